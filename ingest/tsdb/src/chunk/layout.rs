//! What all histograms of a chunk have in common: schema, zero threshold, spans and custom bounds.

use varve_storage::FloatHistogram;
use varve_storage::histogram::{
    CounterResetHint, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MAX_RESERVED, SCHEMA_MIN_RESERVED, Span,
};

use super::bits::{BitReader, BitWriter};
use crate::error::{DecodeError, TRUNCATED};

type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// Spans of a side and custom bounds that a chunk may have: far above any histogram, far below what a few bytes could announce.
const LIST_ITEMS_MAX: u64 = 1 << 16;

/// Buckets that a histogram may have.
const BUCKETS_MAX: u64 = 1 << 20;

/// Custom bounds up to this times 1000 are written as whole thousandths.
const SHORT_BOUND_MAX: f64 = 33_554_430.0;

/// The layout of a histogram chunk.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive_spans: Vec<Span>,
    pub(super) negative_spans: Vec<Span>,
    pub(super) custom_values: Vec<f64>,
}

impl Layout {
    /// The layout that a histogram has. Nothing but a stale marker's sum is written, so its layout is empty.
    pub(super) fn of(histogram: &FloatHistogram) -> Self {
        if varve_storage::is_stale_nan(histogram.sum) {
            return Self::default();
        }
        Self {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            positive_spans: histogram.positive_spans.clone(),
            negative_spans: histogram.negative_spans.clone(),
            custom_values: histogram.custom_values.clone(),
        }
    }

    /// Reads a layout, and gives the numbers of positive and negative buckets; there are never more than bits behind it.
    pub(super) fn read(bits: &mut BitReader) -> Result<(Self, usize, usize)> {
        let zero_threshold = read_zero_threshold(bits)?;
        let schema = bits.varbit_int()?;
        let schema = i32::try_from(schema)
            .ok()
            .filter(|schema| is_known_schema(*schema))
            .ok_or_else(|| {
                DecodeError::from(format!("histograms of the unknown schema {schema}"))
            })?;
        let (positive_spans, positive) = read_spans(bits)?;
        let (negative_spans, negative) = read_spans(bits)?;
        let custom_values = if schema == SCHEMA_CUSTOM {
            read_bounds(bits)?
        } else {
            Vec::new()
        };
        // Every bucket of the first sample takes at least a bit.
        let buckets = positive.saturating_add(negative);
        if buckets > bits.remaining() {
            return Err(TRUNCATED);
        }
        if buckets > BUCKETS_MAX {
            return Err(DecodeError::from(format!(
                "histograms of {buckets} buckets"
            )));
        }
        let layout = Self {
            schema,
            zero_threshold,
            positive_spans,
            negative_spans,
            custom_values,
        };
        Ok((layout, positive as usize, negative as usize))
    }

    pub(super) fn write(&self, bits: &mut BitWriter) {
        write_zero_threshold(bits, self.zero_threshold);
        bits.varbit_int(i64::from(self.schema));
        for spans in [&self.positive_spans, &self.negative_spans] {
            bits.varbit_uint(spans.len() as u64);
            for span in spans {
                bits.varbit_uint(u64::from(span.length));
                bits.varbit_int(i64::from(span.offset));
            }
        }
        if self.schema == SCHEMA_CUSTOM {
            bits.varbit_uint(self.custom_values.len() as u64);
            for bound in &self.custom_values {
                write_bound(bits, *bound);
            }
        }
    }

    /// A histogram of this layout, of the resolution that PromQL computes with.
    pub(super) fn histogram(
        &self,
        counter_reset_hint: CounterResetHint,
        (count, zero_count, sum): (f64, f64, f64),
        positive_buckets: Vec<f64>,
        negative_buckets: Vec<f64>,
    ) -> Result<FloatHistogram> {
        // A stale marker has nothing but its sum.
        if varve_storage::is_stale_nan(sum) {
            return Ok(FloatHistogram {
                sum,
                ..FloatHistogram::default()
            });
        }
        let histogram = FloatHistogram {
            counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count,
            count,
            sum,
            positive_spans: self.positive_spans.clone(),
            positive_buckets,
            negative_spans: self.negative_spans.clone(),
            negative_buckets,
            custom_values: self.custom_values.clone(),
        };
        with_usable_schema(histogram)
    }
}

/// Reduces a resolution that is reserved for later versions, as Prometheus does when it reads.
pub(crate) fn with_usable_schema(mut histogram: FloatHistogram) -> Result<FloatHistogram> {
    if histogram.schema > SCHEMA_MAX {
        histogram
            .reduce_resolution(SCHEMA_MAX)
            .map_err(|error| DecodeError::from(error.to_string()))?;
    }
    Ok(histogram)
}

/// Whether a schema may be read.
pub(crate) fn is_known_schema(schema: i32) -> bool {
    schema == SCHEMA_CUSTOM || (SCHEMA_MIN_RESERVED..=SCHEMA_MAX_RESERVED).contains(&schema)
}

fn list_items(bits: &mut BitReader) -> Result<u64> {
    let count = bits.varbit_uint()?;
    if count > LIST_ITEMS_MAX {
        return Err(DecodeError::from(format!(
            "a list of {count} spans or bounds"
        )));
    }
    Ok(count)
}

fn read_spans(bits: &mut BitReader) -> Result<(Vec<Span>, u64)> {
    let count = list_items(bits)?;
    let mut spans = Vec::new();
    let mut buckets = 0u64;
    for _ in 0..count {
        let length = bits.varbit_uint()? as u32;
        let offset = bits.varbit_int()? as i32;
        buckets = buckets.saturating_add(u64::from(length));
        spans.push(Span { offset, length });
    }
    Ok((spans, buckets))
}

fn read_bounds(bits: &mut BitReader) -> Result<Vec<f64>> {
    let count = list_items(bits)?;
    let mut bounds = Vec::new();
    for _ in 0..count {
        bounds.push(match bits.varbit_uint()? {
            0 => bits.float()?,
            thousandths => (thousandths - 1) as f64 / 1000.0,
        });
    }
    Ok(bounds)
}

fn write_bound(bits: &mut BitWriter, bound: f64) {
    let thousandths = bound * 1000.0;
    let whole = thousandths.round();
    if (0.0..=SHORT_BOUND_MAX).contains(&thousandths)
        && (whole / 1000.0).to_bits() == bound.to_bits()
    {
        bits.varbit_uint(whole as u64 + 1);
    } else {
        bits.bit(false);
        bits.float(bound);
    }
}

/// The power of two that a byte from 1 to 254 stands for: 2^-243 to 2^10.
fn power_of_two(byte: u8) -> f64 {
    const EXPONENT_BIAS: u64 = 1023;
    const BYTE_BIAS: u64 = 244;
    f64::from_bits((u64::from(byte) + EXPONENT_BIAS - BYTE_BIAS) << 52)
}

fn read_zero_threshold(bits: &mut BitReader) -> Result<f64> {
    match bits.byte()? {
        0 => Ok(0.0),
        255 => bits.float(),
        power => Ok(power_of_two(power)),
    }
}

fn write_zero_threshold(bits: &mut BitWriter, threshold: f64) {
    if threshold == 0.0 {
        return bits.byte(0);
    }
    let power = (1..=254u8).find(|power| power_of_two(*power) == threshold);
    match power {
        Some(power) => bits.byte(power),
        None => {
            bits.byte(255);
            bits.float(threshold);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;

    use super::*;

    #[test]
    fn powers_of_two_take_a_byte() {
        for (threshold, bytes) in [
            (0.0, 1),
            (2f64.powi(-128), 1),
            (2f64.powi(-243), 1),
            (1024.0, 1),
            (2048.0, 9),
            (0.001, 9),
        ] {
            let mut writer = BitWriter::new(0);
            write_zero_threshold(&mut writer, threshold);
            assert_eq!(writer.len(), bytes, "{threshold}");
            let mut reader = BitReader::new(Bytes::from(writer.finish(&[])));
            assert_eq!(read_zero_threshold(&mut reader), Ok(threshold));
        }
    }

    #[test]
    fn bounds_of_whole_thousandths_are_short() {
        for (bound, bits) in [
            (0.005, 5),
            (33_554.43, 32),
            (33_554.431, 65),
            (-1.0, 65),
            (0.0001, 65),
        ] {
            let mut writer = BitWriter::new(0);
            write_bound(&mut writer, bound);
            assert_eq!(writer.len(), usize::div_ceil(bits, 8), "{bound}");
        }
    }
}
