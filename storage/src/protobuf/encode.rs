//! Writing messages of Protocol Buffers, field by field. Fields with their default value are left out, as in every other writer.

/// A message that is being written.
#[derive(Debug, Default)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// The encoded message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written so far.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds the fields of another message to this one.
    pub fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
    }

    /// The encoded message so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Begins a new message in the same memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    fn tag(&mut self, number: u32, kind: u32) {
        self.varint(u64::from(number << 3 | kind));
    }

    /// A number without a tag, such as the length before a message in a row of them.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A `uint64`, or an enumeration.
    pub fn uint64(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.uint64_always(number, value);
        }
    }

    /// A `uint64` whose presence says something.
    pub fn uint64_always(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        self.varint(value);
    }

    /// An `int64`.
    pub fn int64(&mut self, number: u32, value: i64) {
        self.uint64(number, value as u64);
    }

    /// A `sint32`.
    pub fn sint32(&mut self, number: u32, value: i32) {
        self.uint64(number, fold(i64::from(value)));
    }

    /// A `fixed64` or `sfixed64` whose presence says something.
    pub fn fixed64_always(&mut self, number: u32, value: u64) {
        self.tag(number, 1);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A `sint32` whose presence says something.
    pub fn sint32_always(&mut self, number: u32, value: i32) {
        self.uint64_always(number, fold(i64::from(value)));
    }

    /// A `double`. Only the positive zero is a default.
    pub fn double(&mut self, number: u32, value: f64) {
        if value.to_bits() != 0 {
            self.double_always(number, value);
        }
    }

    /// A `double` whose presence says something.
    pub fn double_always(&mut self, number: u32, value: f64) {
        self.tag(number, 1);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A string.
    pub fn string(&mut self, number: u32, value: &str) {
        if !value.is_empty() {
            self.bytes(number, value.as_bytes());
        }
    }

    /// Bytes, a message, or one of repeated strings, which are written even if they are empty.
    pub fn bytes(&mut self, number: u32, value: &[u8]) {
        self.tag(number, 2);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// A message within this one; it is written in place.
    pub fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        self.tag(number, 2);
        let start = self.bytes.len();
        // Most messages are so short that their length is one byte.
        self.bytes.push(0);
        write(self);
        let length = self.bytes.len().saturating_sub(start + 1);
        match (u8::try_from(length), self.bytes.get_mut(start)) {
            (Ok(length @ ..0x80), Some(byte)) => *byte = length,
            _ => {
                let mut prefix = Self::default();
                prefix.varint(length as u64);
                self.bytes.splice(start..=start, prefix.bytes);
            }
        }
    }

    /// Repeated `uint32`, packed.
    pub fn uint32s(&mut self, number: u32, values: &[u32]) {
        self.packed(number, values.len(), |packed| {
            values.iter().for_each(|v| packed.varint(u64::from(*v)));
        });
    }

    /// Repeated `sint64`, packed.
    pub fn sint64s(&mut self, number: u32, values: &[i64]) {
        self.packed(number, values.len(), |packed| {
            values.iter().for_each(|v| packed.varint(fold(*v)));
        });
    }

    /// Repeated `double`, packed.
    pub fn doubles(&mut self, number: u32, values: &[f64]) {
        self.packed(number, values.len(), |packed| {
            values
                .iter()
                .for_each(|v| packed.bytes.extend_from_slice(&v.to_le_bytes()));
        });
    }

    fn packed(&mut self, number: u32, items: usize, write: impl FnOnce(&mut Self)) {
        if items > 0 {
            self.message(number, write);
        }
    }
}

/// Folds negative integers into positive ones, small ones into small ones.
fn fold(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::super::wire::Fields;
    use super::*;

    #[test]
    fn messages_within_messages_have_lengths_of_any_size() {
        for length in [0, 1, 127, 128, 20_000, 3_000_000] {
            let text = "x".repeat(length);
            let mut message = Message::default();
            message.message(1, |outer| {
                outer.message(2, |inner| inner.string(3, &text));
                outer.uint64_always(4, 0);
            });
            let mut fields = Fields::new(message.as_bytes());
            let mut outer = fields.next().unwrap().unwrap().message().unwrap();
            let mut inner = outer.next().unwrap().unwrap().message().unwrap();
            let found = inner.next().unwrap();
            assert_eq!(found.map_or("", |field| field.string().unwrap()), text);
            let last = outer.next().unwrap().unwrap();
            assert_eq!((last.number, last.uint64()), (4, Ok(0)));
            assert_eq!((outer.next(), fields.next()), (Ok(None), Ok(None)));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            integer: i64, small: i32, text: String,
            double in any::<f64>().prop_filter("a NaN equals nothing", |v| !v.is_nan()),
            deltas: Vec<i64>, refs: Vec<u32>,
        ) {
            let mut message = Message::default();
            message.int64(1, integer);
            message.sint32(2, small);
            message.message(3, |inner| inner.string(1, &text));
            message.double(4, double);
            message.sint64s(5, &deltas);
            message.uint32s(6, &refs);
            let bytes = message.into_bytes();
            let mut read = (0, 0, String::new(), 0.0, Vec::new(), Vec::new());
            let mut fields = Fields::new(&bytes);
            while let Some(field) = fields.next().unwrap() {
                match field.number {
                    1 => read.0 = field.int64().unwrap(),
                    2 => read.1 = field.sint32().unwrap(),
                    3 => {
                        let inner = field.message().unwrap().next().unwrap();
                        read.2 = inner.map(|f| f.string().unwrap().to_owned()).unwrap_or_default();
                    }
                    4 => read.3 = field.double().unwrap(),
                    5 => field.sint64s(&mut read.4).unwrap(),
                    _ => field.uint32s(&mut read.5).unwrap(),
                }
            }
            prop_assert_eq!(read, (integer, small, text, double, deltas, refs));
        }
    }
}
