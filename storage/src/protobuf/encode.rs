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

    /// The number of bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written so far.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn tag(&mut self, number: u32, kind: u32) {
        self.varint(u64::from(number << 3 | kind));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A `uint64`, or an enumeration.
    pub fn uint64(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.tag(number, 0);
            self.varint(value);
        }
    }

    /// An `int64`.
    pub fn int64(&mut self, number: u32, value: i64) {
        self.uint64(number, value as u64);
    }

    /// A `sint32`.
    pub fn sint32(&mut self, number: u32, value: i32) {
        self.uint64(number, fold(i64::from(value)));
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

    /// A message within this one.
    pub fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(number, &inner.bytes);
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
