//! The fields that index, tombstones and WAL records are made of: big-endian numbers, variable-length ones, strings.

use crate::error::{DecodeError, TRUNCATED};

type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// A variable-length number takes at most 10 bytes.
const VARINT_BYTES_MAX: u32 = 10;

/// Reads fields from the front of some bytes.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes that are left.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64> {
        self.u64().map(f64::from_bits)
    }

    pub(crate) fn uvarint(&mut self) -> Result<u64> {
        read_uvarint(|| self.byte())
    }

    pub(crate) fn varint(&mut self) -> Result<i64> {
        self.uvarint().map(zigzag_decode)
    }

    /// A count of items each of which takes at least `item_bytes_min` bytes: what cannot be there is refused before any memory
    /// is taken for it.
    pub(crate) fn count(&mut self, item_bytes_min: usize) -> Result<usize> {
        let count = self.uvarint()?;
        let possible = self.rest.len() / item_bytes_min;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= possible)
            .ok_or(TRUNCATED)
    }

    /// A string with its length before it.
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let length = self.count(1)?;
        std::str::from_utf8(self.bytes(length)?)
            .map_err(|_| DecodeError::new("a string is not UTF-8"))
    }
}

/// Reads a variable-length number byte by byte.
pub(crate) fn read_uvarint(mut byte: impl FnMut() -> Result<u8>) -> Result<u64> {
    let mut value = 0u64;
    for place in 0..VARINT_BYTES_MAX {
        let next = byte()?;
        let part = u64::from(next & 0x7f);
        if place == VARINT_BYTES_MAX - 1 && next > 1 {
            break;
        }
        value |= part << (7 * place);
        if next < 0x80 {
            return Ok(value);
        }
    }
    Err(DecodeError::new(
        "a variable-length number takes more than 64 bits",
    ))
}

/// A signed number from the unsigned form in which small magnitudes are short.
pub(crate) fn zigzag_decode(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// The unsigned form of a signed number.
pub(crate) fn zigzag_encode(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Appends a variable-length number.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed variable-length number.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, zigzag_encode(value));
}

/// Appends a string with its length before it.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_read_back(value in any::<u64>(), signed in any::<i64>()) {
            let mut out = Vec::new();
            put_uvarint(&mut out, value);
            put_varint(&mut out, signed);
            let mut fields = Fields::new(&out);
            prop_assert_eq!(fields.uvarint(), Ok(value));
            prop_assert_eq!(fields.varint(), Ok(signed));
            prop_assert!(fields.is_empty());
        }
    }

    #[test]
    fn what_cannot_be_there_is_refused() {
        assert!(Fields::new(&[0x80; 11]).uvarint().is_err());
        assert!(Fields::new(&[0xff; 10]).uvarint().is_err());
        // A count of 100 items of 8 bytes, and 3 bytes.
        assert!(Fields::new(&[100, 1, 2, 3]).count(8).is_err());
        assert!(Fields::new(&[2, 0xff, 0xff]).text().is_err());
    }
}
