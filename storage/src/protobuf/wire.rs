//! The encoding of Protocol Buffers: fields of a message, in the order in which they come.
//!
//! Rules that every reader here follows, as the specification demands: unknown fields are passed over, of a field that is not
//! repeated the last one counts, and repeated numbers may be packed or not.

use thiserror::Error;

/// Groups within groups are refused beyond this depth; no message of ours has any.
const GROUP_DEPTH_MAX: u32 = 16;

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// A field's bytes end after the message's.
    #[error("unexpected EOF")]
    Truncated,
    /// A variable-length integer of more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// A field with a number or of a type that cannot be.
    #[error("proto: illegal tag or wire type")]
    IllegalTag,
    /// A known field of another type than it should have.
    #[error("proto: wrong wireType for field {0}")]
    WrongType(u32),
    /// A string that is no UTF-8.
    #[error("string field contains invalid UTF-8")]
    InvalidUtf8,
}

/// The value of one field, before its type is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Integers, booleans and enumerations.
    Varint(u64),
    /// Doubles and 64-bit integers of fixed length.
    Fixed64(u64),
    /// Floats and 32-bit integers of fixed length.
    Fixed32(u32),
    /// Strings, bytes, messages and packed numbers.
    Bytes(&'a [u8]),
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// Its number in the message's definition.
    pub number: u32,
    /// What is behind its tag.
    pub value: Value<'a>,
}

/// The fields of a message.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of an encoded message.
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field; `None` at the end. Groups, which were given up long ago, are passed over.
    // An iterator of results would go on after an error.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Field<'a>>, WireError> {
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            let (number, kind) = self.tag()?;
            match kind {
                3 => self.skip_group(number, GROUP_DEPTH_MAX)?,
                4 => return Err(WireError::IllegalTag),
                kind => {
                    let value = self.value(kind)?;
                    return Ok(Some(Field { number, value }));
                }
            }
        }
    }

    fn tag(&mut self) -> Result<(u32, u8), WireError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| WireError::IllegalTag)?;
        if number == 0 || number >= 1 << 29 {
            return Err(WireError::IllegalTag);
        }
        Ok((number, (tag & 7) as u8))
    }

    fn value(&mut self, kind: u8) -> Result<Value<'a>, WireError> {
        Ok(match kind {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(WireError::IllegalTag),
        })
    }

    fn skip_group(&mut self, group: u32, depth: u32) -> Result<(), WireError> {
        let depth = depth.checked_sub(1).ok_or(WireError::IllegalTag)?;
        loop {
            if self.rest.is_empty() {
                return Err(WireError::Truncated);
            }
            match self.tag()? {
                (number, 4) if number == group => return Ok(()),
                (_, 4) => return Err(WireError::IllegalTag),
                (number, 3) => self.skip_group(number, depth)?,
                (_, kind) => drop(self.value(kind)?),
            }
        }
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().enumerate() {
            let bits = u64::from(byte & 0x7f);
            // Of the tenth byte one bit is left.
            if index == 9 && *byte > 1 {
                return Err(WireError::Overflow);
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(WireError::Truncated)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }
}

impl<'a> Field<'a> {
    fn wrong<T>(&self) -> Result<T, WireError> {
        Err(WireError::WrongType(self.number))
    }

    /// A `uint64`, or an enumeration.
    pub fn uint64(&self) -> Result<u64, WireError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => self.wrong(),
        }
    }

    /// A `uint32`: of a longer integer the low bits count.
    pub fn uint32(&self) -> Result<u32, WireError> {
        Ok(self.uint64()? as u32)
    }

    /// An `int64`.
    pub fn int64(&self) -> Result<i64, WireError> {
        Ok(self.uint64()? as i64)
    }

    /// A `sint32`.
    pub fn sint32(&self) -> Result<i32, WireError> {
        Ok(zigzag(u64::from(self.uint32()?)) as i32)
    }

    /// A `fixed64`.
    pub fn fixed64(&self) -> Result<u64, WireError> {
        match self.value {
            Value::Fixed64(bits) => Ok(bits),
            _ => self.wrong(),
        }
    }

    /// An `sfixed64`.
    pub fn sfixed64(&self) -> Result<i64, WireError> {
        Ok(self.fixed64()? as i64)
    }

    /// A `double`.
    pub fn double(&self) -> Result<f64, WireError> {
        Ok(f64::from_bits(self.fixed64()?))
    }

    /// Bytes, or a message.
    pub fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => self.wrong(),
        }
    }

    /// The fields of a message.
    pub fn message(&self) -> Result<Fields<'a>, WireError> {
        Ok(Fields::new(self.bytes()?))
    }

    /// A string.
    pub fn string(&self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::InvalidUtf8)
    }

    /// Appends a repeated `double`, packed or a single one.
    pub fn doubles(&self, into: &mut Vec<f64>) -> Result<(), WireError> {
        self.fixed(|bits| into.push(f64::from_bits(bits)))
    }

    /// Appends a repeated `fixed64`, packed or a single one.
    pub fn fixed64s(&self, into: &mut Vec<u64>) -> Result<(), WireError> {
        self.fixed(|bits| into.push(bits))
    }

    fn fixed(&self, mut take: impl FnMut(u64)) -> Result<(), WireError> {
        let Value::Bytes(bytes) = self.value else {
            take(self.fixed64()?);
            return Ok(());
        };
        let (items, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(WireError::Truncated);
        }
        items
            .iter()
            .for_each(|item| take(u64::from_le_bytes(*item)));
        Ok(())
    }

    /// Appends a repeated `uint64`, packed or a single one.
    pub fn uint64s(&self, into: &mut Vec<u64>) -> Result<(), WireError> {
        self.varints(|value| into.push(value))
    }

    /// Appends a repeated `sint64`, packed or a single one.
    pub fn sint64s(&self, into: &mut Vec<i64>) -> Result<(), WireError> {
        self.varints(|value| into.push(zigzag(value)))
    }

    /// Appends a repeated `uint32`, packed or a single one.
    pub fn uint32s(&self, into: &mut Vec<u32>) -> Result<(), WireError> {
        self.varints(|value| into.push(value as u32))
    }

    fn varints(&self, mut take: impl FnMut(u64)) -> Result<(), WireError> {
        let Value::Bytes(bytes) = self.value else {
            take(self.uint64()?);
            return Ok(());
        };
        let mut packed = Fields::new(bytes);
        while !packed.rest.is_empty() {
            take(packed.varint()?);
        }
        Ok(())
    }
}

/// Undoes the folding of negative integers into positive ones.
fn zigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, WireError> {
        let mut fields = Fields::new(bytes);
        let mut out = Vec::new();
        while let Some(field) = fields.next()? {
            out.push((field.number, field.value));
        }
        Ok(out)
    }

    #[test]
    fn fields_come_in_order_and_groups_are_passed_over() {
        let message = [
            0x08, 0x96, 0x01, // 1: varint 150
            0x13, 0x08, 0x01, 0x1b, 0x1c, 0x14, // group 2 with a field and group 3 in it
            0x22, 0x02, b'h', b'i', // 4: bytes
            0x2d, 1, 0, 0, 0, // 5: fixed 32
            0x31, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, // 6: fixed 64
        ];
        assert_eq!(
            all(&message).unwrap(),
            [
                (1, Value::Varint(150)),
                (4, Value::Bytes(b"hi")),
                (5, Value::Fixed32(1)),
                (6, Value::Fixed64(1.0_f64.to_bits())),
            ]
        );
    }

    #[test]
    fn broken_messages_are_errors() {
        for (bytes, error) in [
            (&[0x08][..], WireError::Truncated),
            (&[0x0a, 0x05, 1], WireError::Truncated),
            (&[0x09, 1, 2], WireError::Truncated),
            (&[0x13, 0x08, 0x01], WireError::Truncated),
            (&[0x00, 0x01], WireError::IllegalTag),
            (&[0x0e], WireError::IllegalTag),
            (&[0x14], WireError::IllegalTag),
            (
                &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
                WireError::Overflow,
            ),
            // A length of 2^64 - 1.
            (
                &[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
                WireError::Truncated,
            ),
        ] {
            assert_eq!(all(bytes), Err(error), "{bytes:?}");
        }
        assert_eq!(all(&[0x13; 100]), Err(WireError::IllegalTag));
    }

    #[test]
    fn numbers_may_be_packed_or_not() {
        let field = |value| Field { number: 1, value };
        let mut deltas = Vec::new();
        field(Value::Bytes(&[2, 1, 0x80, 1]))
            .sint64s(&mut deltas)
            .unwrap();
        field(Value::Varint(3)).sint64s(&mut deltas).unwrap();
        assert_eq!(deltas, [1, -1, 64, -2]);
        let mut doubles = Vec::new();
        let one = 1.0_f64.to_le_bytes();
        field(Value::Bytes(&one)).doubles(&mut doubles).unwrap();
        field(Value::Fixed64(2.0_f64.to_bits()))
            .doubles(&mut doubles)
            .unwrap();
        assert_eq!(doubles, [1.0, 2.0]);
        assert!(
            field(Value::Bytes(&one[1..]))
                .doubles(&mut doubles)
                .is_err()
        );
        assert_eq!(field(Value::Varint(1)).sint32(), Ok(-1));
        assert_eq!(
            field(Value::Varint(1)).double(),
            Err(WireError::WrongType(1))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = all(&bytes);
        }

        #[test]
        fn integers_fold_and_unfold(value in any::<i64>()) {
            let folded = ((value << 1) ^ (value >> 63)) as u64;
            prop_assert_eq!(zigzag(folded), value);
        }
    }
}
