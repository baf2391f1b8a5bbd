//! Streams of bits, most significant first, and the variable-length numbers in them.

use bytes::Bytes;

use crate::error::{DecodeError, TRUNCATED};
use crate::fields::{read_uvarint, zigzag_decode, zigzag_encode};

type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// How many bits follow a prefix of so many ones (with a zero behind them, unless there are eight).
const VARBIT_SIZES: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

fn mask(bits: u32) -> u64 {
    match bits {
        0 => 0,
        1..64 => (1 << bits) - 1,
        _ => u64::MAX,
    }
}

/// Reads bits from the front of some bytes, which it owns.
#[derive(Clone, Debug)]
pub(super) struct BitReader {
    data: Bytes,
    /// The next byte to load.
    next: usize,
    /// Loaded bytes; the lowest `valid` bits are not read yet.
    buffer: u64,
    valid: u32,
}

impl BitReader {
    pub(super) fn new(data: Bytes) -> Self {
        Self {
            data,
            next: 0,
            buffer: 0,
            valid: 0,
        }
    }

    /// The bits that are left.
    pub(super) fn remaining(&self) -> u64 {
        8 * (self.data.len() - self.next) as u64 + u64::from(self.valid)
    }

    fn refill(&mut self) {
        let rest = self.data.get(self.next..).unwrap_or_default();
        if let Some(word) = rest.first_chunk::<8>() {
            self.buffer = u64::from_be_bytes(*word);
            self.valid = 64;
            self.next += 8;
        } else {
            self.buffer = rest
                .iter()
                .fold(0, |buffer, byte| buffer << 8 | u64::from(*byte));
            self.valid = 8 * rest.len() as u32;
            self.next = self.data.len();
        }
    }

    /// The next bits, at most 64.
    pub(super) fn bits(&mut self, count: u32) -> Result<u64> {
        if count <= self.valid {
            self.valid -= count;
            return Ok(self.buffer.checked_shr(self.valid).unwrap_or(0) & mask(count));
        }
        let missing = count - self.valid;
        let high = self.buffer & mask(self.valid);
        self.refill();
        if self.valid < missing {
            return Err(TRUNCATED);
        }
        self.valid -= missing;
        let low = self.buffer.checked_shr(self.valid).unwrap_or(0) & mask(missing);
        Ok(high.checked_shl(missing).unwrap_or(0) | low)
    }

    pub(super) fn bit(&mut self) -> Result<bool> {
        self.bits(1).map(|bit| bit == 1)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.bits(8).map(|bits| bits as u8)
    }

    pub(super) fn float(&mut self) -> Result<f64> {
        self.bits(64).map(f64::from_bits)
    }

    pub(super) fn uvarint(&mut self) -> Result<u64> {
        read_uvarint(|| self.byte())
    }

    pub(super) fn varint(&mut self) -> Result<i64> {
        self.uvarint().map(zigzag_decode)
    }

    /// The number of ones before a zero; the zero behind `most` ones is not there.
    pub(super) fn ones(&mut self, most: u32) -> Result<u32> {
        let mut ones = 0;
        while ones < most && self.bit()? {
            ones += 1;
        }
        Ok(ones)
    }

    /// A signed number of so many bits, of which the greatest positive is 2^(count-1), as Prometheus has it.
    pub(super) fn signed(&mut self, count: u32) -> Result<i64> {
        let bits = self.bits(count)?;
        if (1..64).contains(&count) && bits > 1 << (count - 1) {
            return Ok(bits.wrapping_sub(1 << count) as i64);
        }
        Ok(bits as i64)
    }

    fn varbit_size(&mut self) -> Result<u32> {
        let ones = self.ones(8)?;
        Ok(VARBIT_SIZES.get(ones as usize).copied().unwrap_or(64))
    }

    pub(super) fn varbit_int(&mut self) -> Result<i64> {
        let size = self.varbit_size()?;
        self.signed(size)
    }

    pub(super) fn varbit_uint(&mut self) -> Result<u64> {
        let size = self.varbit_size()?;
        self.bits(size)
    }
}

/// Whether a number fits in so many bits, of which the greatest positive is 2^(bits-1).
pub(super) fn fits_signed(value: i64, bits: u32) -> bool {
    let half = 1i64 << (bits - 1);
    (1 - half..=half).contains(&value)
}

/// Appends bits to some bytes.
#[derive(Clone, Debug)]
pub(super) struct BitWriter {
    data: Vec<u8>,
    /// Bits of the last byte that are not written yet.
    free: u32,
}

impl BitWriter {
    /// A writer behind a header of so many bytes, which are 0 at first.
    pub(super) fn new(header_bytes: usize) -> Self {
        Self {
            data: vec![0; header_bytes],
            free: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// The bytes, with the header put in.
    pub(super) fn finish(mut self, header: &[u8]) -> Vec<u8> {
        for (place, byte) in self.data.iter_mut().zip(header) {
            *place = *byte;
        }
        self.data
    }

    pub(super) fn bits(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.data.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let part = (value >> (left - taken)) & mask(taken);
            self.free -= taken;
            left -= taken;
            if let Some(last) = self.data.last_mut() {
                *last |= (part << self.free) as u8;
            }
        }
    }

    pub(super) fn bit(&mut self, bit: bool) {
        self.bits(u64::from(bit), 1);
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.bits(u64::from(byte), 8);
    }

    pub(super) fn float(&mut self, value: f64) {
        self.bits(value.to_bits(), 64);
    }

    pub(super) fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    pub(super) fn varint(&mut self, value: i64) {
        self.uvarint(zigzag_encode(value));
    }

    fn varbit(&mut self, value: u64, fits: impl Fn(u32) -> bool) {
        let ones = (1..8)
            .find(|ones| fits(VARBIT_SIZES[*ones]))
            .unwrap_or(VARBIT_SIZES.len() - 1);
        for _ in 0..ones {
            self.bit(true);
        }
        if ones < 8 {
            self.bit(false);
        }
        self.bits(value, VARBIT_SIZES[ones]);
    }

    pub(super) fn varbit_int(&mut self, value: i64) {
        if value == 0 {
            return self.bit(false);
        }
        self.varbit(value as u64, |size| fits_signed(value, size));
    }

    pub(super) fn varbit_uint(&mut self, value: u64) {
        if value == 0 {
            return self.bit(false);
        }
        self.varbit(value, |size| value <= mask(size));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_read_back(values in prop::collection::vec((any::<u64>(), 0..65u32), 0..40)) {
            let mut writer = BitWriter::new(3);
            for (value, bits) in &values {
                let value = value & mask(*bits);
                writer.bit(true);
                writer.bits(value, *bits);
                writer.varbit_int(value as i64);
                writer.varbit_uint(value);
                writer.uvarint(value);
                writer.varint(value as i64);
            }
            let mut reader = BitReader::new(Bytes::from(writer.finish(&[1, 2, 3])));
            prop_assert_eq!(reader.bits(24), Ok(0x01_02_03));
            for (value, bits) in &values {
                let value = value & mask(*bits);
                prop_assert_eq!(reader.bit(), Ok(true));
                prop_assert_eq!(reader.bits(*bits), Ok(value));
                prop_assert_eq!(reader.varbit_int(), Ok(value as i64));
                prop_assert_eq!(reader.varbit_uint(), Ok(value));
                prop_assert_eq!(reader.uvarint(), Ok(value));
                prop_assert_eq!(reader.varint(), Ok(value as i64));
            }
            prop_assert!(reader.remaining() < 8);
        }
    }

    #[test]
    fn the_greatest_of_each_size() {
        for (value, bits) in [
            (4, 5),
            (-3, 5),
            (5, 9),
            (32, 9),
            (-31, 9),
            (33, 13),
            (i64::MIN, 72),
        ] {
            let mut writer = BitWriter::new(0);
            writer.varbit_int(value);
            let written = 8 * writer.len() as u32 - writer.free;
            assert_eq!(written, bits, "{value}");
        }
    }
}
