//! The JSON form of a request, rewritten into the binary one while it is read, so that there is one reader of requests and no tree of them
//! in memory.
//!
//! As everywhere in OTLP: names in camel case (or as the definition spells them), 64-bit integers as texts or numbers, enumerations by name or number, ids in
//! hexadecimal digits; what is unknown or null is passed over.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::schema::{FieldSchema, Kind, REQUEST, Schema};
use crate::proto::encode::Message;

/// Rewrites a request. `Err` says where and why it is no request. What is written takes about as much as `body`, and is refused if it has more than
/// `bytes_max` bytes, which only long lists of short numbers reach.
pub(super) fn to_protobuf(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let mut out = Message::default();
    let seed = MessageSeed {
        schema: &REQUEST,
        out: &mut out,
        bytes_max,
    };
    seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(out.into_bytes())
}

/// Reads the fields of a message into `out`.
struct MessageSeed<'a> {
    schema: &'static Schema,
    out: &'a mut Message,
    bytes_max: usize,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(NameSeed(self.schema))? {
            match field {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(field) => map.next_value_seed(FieldSeed {
                    field,
                    repeated: field.repeated,
                    out: self.out,
                    bytes_max: self.bytes_max,
                })?,
            }
        }
        Ok(())
    }
}

/// Finds a field by its name.
struct NameSeed(&'static Schema);

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Option<&'static FieldSchema>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Option<&'static FieldSchema>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(name))
    }
}

/// Reads the value of a field, or one of its values.
struct FieldSeed<'a> {
    field: &'static FieldSchema,
    /// Whether a list of them is expected.
    repeated: bool,
    out: &'a mut Message,
    bytes_max: usize,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl FieldSeed<'_> {
    fn integer(self, value: i128) -> Result<(), String> {
        let number = self.field.number;
        // Negative numbers are those of their two's complement.
        let range = i128::from(i64::MIN)..=i128::from(u64::MAX);
        if self.repeated || !range.contains(&value) {
            return Err(format!("{value} is out of range"));
        }
        let bits = value as u64;
        match self.field.kind {
            Kind::Integer | Kind::Enum(_) => self.out.uint64_always(number, bits),
            Kind::Fixed => self.out.fixed64_always(number, bits),
            Kind::Double => self.out.double_always(number, value as f64),
            Kind::Folded => match i32::try_from(value) {
                Ok(small) => self.out.sint32(number, small),
                Err(_) => return Err(format!("{value} is out of range")),
            },
            _ => return Err(format!("unexpected number {value}")),
        }
        Ok(())
    }

    fn text(self, text: &str) -> Result<(), String> {
        let number = self.field.number;
        let unexpected = || format!("unexpected text {text:?}");
        if self.repeated {
            return Err(unexpected());
        }
        match self.field.kind {
            Kind::String => self.out.bytes(number, text.as_bytes()),
            Kind::Base64 => {
                let bytes = STANDARD.decode(text).map_err(|_| unexpected())?;
                self.out.bytes(number, &bytes);
            }
            Kind::Hex => {
                let bytes = hexadecimal(text).ok_or_else(unexpected)?;
                self.out.bytes(number, &bytes);
            }
            Kind::Integer | Kind::Fixed | Kind::Folded => {
                let value: i128 = text.parse().map_err(|_| unexpected())?;
                return self.integer(value);
            }
            Kind::Double => {
                let value: f64 = text.parse().map_err(|_| unexpected())?;
                self.out.double_always(number, value);
            }
            Kind::Enum(names) => {
                let known = names.iter().find(|(name, _)| *name == text);
                let (_, value) = known.ok_or_else(unexpected)?;
                self.out.uint64_always(number, *value);
            }
            Kind::Bool | Kind::Message(_) => return Err(unexpected()),
        }
        Ok(())
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok());
    bytes
        .collect::<Option<Vec<u8>>>()
        .filter(|_| rest.is_empty())
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.repeated, self.field.kind) {
            (true, _) => f.write_str("a list"),
            (false, Kind::Message(_)) => f.write_str("an object"),
            (false, kind) => write!(f, "a value of type {kind:?}"),
        }
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        match (self.repeated, self.field.kind) {
            (false, Kind::Bool) => {
                self.out.uint64_always(self.field.number, u64::from(value));
                Ok(())
            }
            _ => Err(E::invalid_type(de::Unexpected::Bool(value), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.integer(i128::from(value)).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.integer(i128::from(value)).map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        match (self.repeated, self.field.kind) {
            (false, Kind::Double) => {
                self.out.double_always(self.field.number, value);
                Ok(())
            }
            (false, _) if value.trunc() == value && value.abs() < 2_f64.powi(64) => {
                self.integer(value as i128).map_err(E::custom)
            }
            _ => Err(E::invalid_type(de::Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.text(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if !self.repeated {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        loop {
            let item = FieldSeed {
                field: self.field,
                repeated: false,
                out: self.out,
                bytes_max: self.bytes_max,
            };
            if items.next_element_seed(item)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(schema) = self.field.kind else {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        };
        if self.repeated {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        }
        let mut inner = Message::default();
        let seed = MessageSeed {
            schema,
            out: &mut inner,
            bytes_max: self.bytes_max,
        };
        seed.visit_map(map)?;
        self.out.bytes(self.field.number, &inner.into_bytes());
        if self.out.len() > self.bytes_max {
            return Err(de::Error::custom(
                "the request is too large; send less at once",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::proto::wire::{Fields, Value};

    /// Fields as text, messages in braces where the bytes are one.
    fn shown(bytes: &[u8], depth: u32) -> String {
        let mut fields = Fields::new(bytes);
        let mut out = Vec::new();
        while let Some(field) = fields.next().unwrap() {
            let value = match field.value {
                Value::Varint(value) => format!("{value}"),
                Value::Fixed64(value) => format!("f{value:x}"),
                Value::Fixed32(value) => format!("s{value:x}"),
                Value::Bytes(bytes) if depth == 0 => {
                    format!("{:?}", String::from_utf8_lossy(bytes))
                }
                Value::Bytes(bytes) => format!("{{{}}}", shown(bytes, depth - 1)),
            };
            out.push(format!("{}:{value}", field.number));
        }
        out.join(" ")
    }

    fn point(json: &str) -> Result<String, String> {
        let body = format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{json}]}}}}]}}]}}]}}"#
        );
        let bytes = to_protobuf(body.as_bytes(), 10_000).map_err(|error| error.to_string())?;
        let text = shown(&bytes, 5);
        let inner = text.strip_prefix("1:{2:{2:{9:{1:{").unwrap();
        Ok(inner.strip_suffix("}}}}}").unwrap().to_owned())
    }

    #[test]
    fn a_request_is_rewritten() {
        for (json, expected) in [
            (
                r#"{"count":"3","sum":1,"flags":1,"unknown":{"a":[1,{}]},"explicitBounds":[0.5,"Infinity"]}"#,
                "4:f3 5:f3ff0000000000000 10:1 7:f3fe0000000000000 7:f7ff0000000000000",
            ),
            (
                r#"{"time_unix_nano":18446744073709551615,"count":null,"bucketCounts":[0,"1"]}"#,
                "3:fffffffffffffffff 6:f0 6:f1",
            ),
            (r#"{"startTimeUnixNano":1.0e3}"#, "2:f3e8"),
            (r#"null"#, ""),
        ] {
            let expected = match expected.is_empty() {
                false => Ok(expected.to_owned()),
                true => continue,
            };
            assert_eq!(point(json), expected, "{json}");
        }
        let exemplar = r#"{"exemplars":[{"spanId":"00fF","asInt":-1,"filteredAttributes":[{"key":"k","value":{"boolValue":true}}]}]}"#;
        assert!(point(exemplar).is_ok());
    }

    #[test]
    fn enumerations_have_names_and_numbers() {
        let written = |temporality: &str| {
            let body = format!(
                r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"sum":{{"aggregationTemporality":{temporality},"isMonotonic":true}}}}]}}]}}]}}"#
            );
            to_protobuf(body.as_bytes(), 1000).map(|bytes| shown(&bytes, 4))
        };
        let expected = "1:{2:{2:{7:{2:2 3:1}}}}";
        assert_eq!(written("2").unwrap(), expected);
        assert_eq!(
            written(r#""AGGREGATION_TEMPORALITY_CUMULATIVE""#).unwrap(),
            expected
        );
        assert!(written(r#""CUMULATIVE""#).is_err());
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        for json in [
            r#"{"count":"x"}"#,
            r#"{"count":{}}"#,
            r#"{"count":[1]}"#,
            r#"{"count":1.5}"#,
            r#"{"count":18446744073709551616}"#,
            r#"{"bucketCounts":1}"#,
            r#"{"exemplars":{}}"#,
            r#"{"exemplars":[{"traceId":"123"}]}"#,
            r#"{"exemplars":[{"traceId":"xy"}]}"#,
            r#"{"sum":true}"#,
            r#"[]"#,
        ] {
            assert!(point(json).is_err(), "{json}");
        }
        for body in ["", "[]", "{", "{}x", "1"] {
            assert!(to_protobuf(body.as_bytes(), 100).is_err(), "{body}");
        }
        assert!(to_protobuf(b"{}", 100).unwrap().is_empty());
        let long = format!(r#"{{"bucketCounts":[{}0]}}"#, "0,".repeat(2000));
        assert!(point(&long).unwrap_err().contains("too large"));
        let deep = format!(
            "{}{}",
            r#"{"resourceMetrics":[{"resource":{"attributes":[{"value":"#,
            r#"{"arrayValue":{"values":["#.repeat(1000)
        );
        assert!(to_protobuf(deep.as_bytes(), 1000).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\{\\}\\[\\]\",:0-9a-z]{0,60}") {
            let _ = to_protobuf(text.as_bytes(), 100);
        }
    }
}
