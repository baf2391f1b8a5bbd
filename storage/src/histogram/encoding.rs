//! One histogram as bytes, for cells of an Arrow binary column within a query.
//!
//! | part | bytes |
//! |---|---|
//! | flags | 1: bits 0 and 1 are the counter reset hint, then one bit each for zero bucket, negative side, custom bounds |
//! | schema | variable-length integer, zigzag |
//! | count, sum | 8 each |
//! | zero threshold, zero count | 8 each, with the zero bucket's bit |
//! | positive side, negative side | number of spans, then offset (zigzag) and length of each; number of buckets, then 8 each |
//! | custom bounds | number, then 8 each |
//!
//! Numbers are variable-length integers of 7 bits a byte, the lowest first. Floats are little-endian, and all their bits survive. The
//! encoding is never stored, so it has no version.

use super::{CounterResetHint, FloatHistogram, HistogramError, Span};

const HINT: u8 = 0b11;
const ZERO_BUCKET: u8 = 1 << 2;
const NEGATIVE: u8 = 1 << 3;
const CUSTOM: u8 = 1 << 4;

impl FloatHistogram {
    /// The histogram as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(40 + 8 * self.heap_items());
        self.encode_to(&mut bytes);
        bytes
    }

    /// Appends the histogram's bytes.
    pub fn encode_to(&self, bytes: &mut Vec<u8>) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let zero_bucket = self.zero_threshold.to_bits() != 0 || self.zero_count.to_bits() != 0;
        let negative = !(self.negative_spans.is_empty() && self.negative_buckets.is_empty());
        let custom = !self.custom_values.is_empty();
        bytes.push(
            self.counter_reset_hint as u8
                | flag(zero_bucket, ZERO_BUCKET)
                | flag(negative, NEGATIVE)
                | flag(custom, CUSTOM),
        );
        push_signed(bytes, self.schema);
        push_floats(bytes, &[self.count, self.sum]);
        if zero_bucket {
            push_floats(bytes, &[self.zero_threshold, self.zero_count]);
        }
        push_side(bytes, &self.positive_spans, &self.positive_buckets);
        if negative {
            push_side(bytes, &self.negative_spans, &self.negative_buckets);
        }
        if custom {
            push_unsigned(bytes, self.custom_values.len() as u64);
            push_floats(bytes, &self.custom_values);
        }
    }

    /// The histogram with these bytes, of which none may be left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, HistogramError> {
        let mut reader = Reader { bytes };
        let flags = reader.byte()?;
        let has = |flag: u8| flags & flag != 0;
        let mut histogram = Self {
            counter_reset_hint: match flags & HINT {
                0 => CounterResetHint::Unknown,
                1 => CounterResetHint::CounterReset,
                2 => CounterResetHint::NotCounterReset,
                _ => CounterResetHint::Gauge,
            },
            schema: reader.signed()?,
            count: reader.float()?,
            sum: reader.float()?,
            ..Self::default()
        };
        if has(ZERO_BUCKET) {
            histogram.zero_threshold = reader.float()?;
            histogram.zero_count = reader.float()?;
        }
        (histogram.positive_spans, histogram.positive_buckets) = reader.side()?;
        if has(NEGATIVE) {
            (histogram.negative_spans, histogram.negative_buckets) = reader.side()?;
        }
        if has(CUSTOM) {
            histogram.custom_values = reader.floats()?;
        }
        if reader.bytes.is_empty() {
            Ok(histogram)
        } else {
            Err(HistogramError::Encoding("bytes are left over"))
        }
    }
}

fn push_unsigned(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn push_signed(bytes: &mut Vec<u8>, number: i32) {
    push_unsigned(bytes, u64::from((number << 1 ^ number >> 31) as u32));
}

fn push_floats(bytes: &mut Vec<u8>, floats: &[f64]) {
    bytes.extend(floats.iter().flat_map(|float| float.to_le_bytes()));
}

fn push_side(bytes: &mut Vec<u8>, spans: &[Span], buckets: &[f64]) {
    push_unsigned(bytes, spans.len() as u64);
    for span in spans {
        push_signed(bytes, span.offset);
        push_unsigned(bytes, u64::from(span.length));
    }
    push_unsigned(bytes, buckets.len() as u64);
    push_floats(bytes, buckets);
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, HistogramError> {
        let (first, rest) = self.bytes.split_first().ok_or(CUT_OFF)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn float(&mut self) -> Result<f64, HistogramError> {
        let (float, rest) = self.bytes.split_first_chunk().ok_or(CUT_OFF)?;
        self.bytes = rest;
        Ok(f64::from_le_bytes(*float))
    }

    fn unsigned(&mut self) -> Result<u64, HistogramError> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(OUT_OF_RANGE)
    }

    fn signed(&mut self) -> Result<i32, HistogramError> {
        let number = u32::try_from(self.unsigned()?).map_err(|_| OUT_OF_RANGE)?;
        Ok((number >> 1) as i32 ^ -((number & 1) as i32))
    }

    /// The length of a list whose items take at least `item_bytes` each.
    fn length(&mut self, item_bytes: usize) -> Result<usize, HistogramError> {
        let length = usize::try_from(self.unsigned()?).map_err(|_| OUT_OF_RANGE)?;
        if length > self.bytes.len() / item_bytes {
            return Err(CUT_OFF);
        }
        Ok(length)
    }

    fn floats(&mut self) -> Result<Vec<f64>, HistogramError> {
        (0..self.length(8)?).map(|_| self.float()).collect()
    }

    fn side(&mut self) -> Result<(Vec<Span>, Vec<f64>), HistogramError> {
        let spans = (0..self.length(2)?)
            .map(|_| {
                Ok(Span {
                    offset: self.signed()?,
                    length: u32::try_from(self.unsigned()?).map_err(|_| OUT_OF_RANGE)?,
                })
            })
            .collect::<Result<_, HistogramError>>()?;
        Ok((spans, self.floats()?))
    }
}

const CUT_OFF: HistogramError = HistogramError::Encoding("it ends early");
const OUT_OF_RANGE: HistogramError = HistogramError::Encoding("a number is out of range");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::super::arbitrary::any_histogram;
    use super::*;

    #[test]
    fn a_plain_histogram_is_small() {
        let histogram = FloatHistogram {
            schema: 3,
            positive_spans: vec![Span {
                offset: -5,
                length: 2,
            }],
            positive_buckets: vec![1.0, 2.0],
            ..FloatHistogram::default()
        };
        assert_eq!(histogram.encode().len(), 38);
        assert_eq!(FloatHistogram::default().encode().len(), 20);
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same_bits(histogram in any_histogram()) {
            let bytes = histogram.encode();
            let decoded = FloatHistogram::decode(&bytes).unwrap();
            // Equal in every bit, stale markers too.
            prop_assert_eq!(histogram.sum.to_bits(), decoded.sum.to_bits());
            prop_assert_eq!(histogram.total_cmp(&decoded), Ordering::Equal);
            for end in 0..bytes.len() {
                prop_assert!(FloatHistogram::decode(&bytes[..end]).is_err());
            }
        }

        #[test]
        fn any_bytes_decode_or_do_not(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = FloatHistogram::decode(&bytes);
        }
    }
}
