//! The JSON form of a request, rewritten into the binary one while it is read, so that there is one reader of requests and no tree of them
//! in memory.
//!
//! As everywhere in OTLP: names in camel case (or as the definition spells them), 64-bit integers as texts or numbers, enumerations by name or number, ids in
//! hexadecimal digits; what is unknown or null is passed over.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::schema::{FieldSchema, Kind, REQUEST, Schema};
use super::tokens::{JsonError, Tokens};
use varve_storage::protobuf::encode::Message;

/// Rewrites a request. `Err` says where and why it is no request. What is written takes about as much as `body`, and is refused if it has more than
/// `bytes_max` bytes, which only long lists of short numbers reach.
pub(super) fn to_protobuf(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, JsonError> {
    let mut rewriting = Rewriting {
        tokens: Tokens::new(body),
        bytes_max,
    };
    let mut out = Message::default();
    rewriting.message(&REQUEST, &mut out)?;
    rewriting.tokens.end()?;
    Ok(out.into_bytes())
}

struct Rewriting<'a> {
    tokens: Tokens<'a>,
    bytes_max: usize,
}

impl Rewriting<'_> {
    /// Reads an object as the fields of a message.
    fn message(&mut self, schema: &Schema, out: &mut Message) -> Result<(), JsonError> {
        self.tokens.open(b'{')?;
        let mut first = true;
        while self.tokens.next_item(b'}', std::mem::take(&mut first))? {
            let name = self.tokens.text()?;
            self.tokens.colon()?;
            match schema.field(&name) {
                None => self.tokens.skip()?,
                Some(field) if field.repeated => self.list(field, out)?,
                Some(field) => self.value(field, out)?,
            }
        }
        Ok(())
    }

    fn list(&mut self, field: &FieldSchema, out: &mut Message) -> Result<(), JsonError> {
        if self.tokens.take_null()? {
            return Ok(());
        }
        self.tokens.open(b'[')?;
        let mut first = true;
        while self.tokens.next_item(b']', std::mem::take(&mut first))? {
            self.value(field, out)?;
        }
        Ok(())
    }

    /// Reads the value of a field, or one of its values.
    fn value(&mut self, field: &FieldSchema, out: &mut Message) -> Result<(), JsonError> {
        if self.tokens.take_null()? {
            return Ok(());
        }
        if let Kind::Message(schema) = field.kind {
            let mut inner = Message::default();
            self.message(schema, &mut inner)?;
            out.bytes(field.number, &inner.into_bytes());
            return match out.len() > self.bytes_max {
                true => Err(self
                    .tokens
                    .error("the request is too large; send less at once")),
                false => Ok(()),
            };
        }
        let written = match self.tokens.peek()? {
            b'"' => {
                let text = self.tokens.text()?;
                write_text(field, &text, out).ok_or_else(|| format!("unexpected text {text:?}"))
            }
            b't' | b'f' => {
                let value = self.tokens.boolean()?;
                match field.kind {
                    Kind::Bool => {
                        out.uint64_always(field.number, u64::from(value));
                        Ok(())
                    }
                    _ => Err(format!("unexpected {value}")),
                }
            }
            _ => {
                let number = self.tokens.number()?;
                let written = write_number(field, number, out);
                written.ok_or_else(|| format!("unexpected number {number}"))
            }
        };
        written.map_err(|message| self.tokens.error(message))
    }
}

/// Writes what a text says, unless the field cannot have it.
fn write_text(field: &FieldSchema, text: &str, out: &mut Message) -> Option<()> {
    let number = field.number;
    match field.kind {
        Kind::String => out.bytes(number, text.as_bytes()),
        Kind::Base64 => out.bytes(number, &STANDARD.decode(text).ok()?),
        Kind::Hex => out.bytes(number, &hexadecimal(text)?),
        Kind::Integer | Kind::Fixed | Kind::Folded => {
            return write_integer(field, text.parse().ok()?, out);
        }
        Kind::Double => out.double_always(number, text.parse().ok()?),
        Kind::Enum(names) => {
            let (_, value) = names.iter().find(|(name, _)| *name == text)?;
            out.uint64_always(number, *value);
        }
        Kind::Bool | Kind::Message(_) => return None,
    }
    Some(())
}

/// Writes a number, unless the field cannot have it.
fn write_number(field: &FieldSchema, text: &str, out: &mut Message) -> Option<()> {
    if field.kind.is_double() {
        let value: f64 = text.parse().ok()?;
        out.double_always(field.number, Some(value).filter(|value| value.is_finite())?);
        return Some(());
    }
    match text.parse::<i128>() {
        Ok(value) => write_integer(field, value, out),
        // Whole numbers may be written as others.
        Err(_) => {
            let value: f64 = text.parse().ok()?;
            let whole = value.trunc() == value && value.abs() < 2_f64.powi(64);
            write_integer(field, whole.then_some(value as i128)?, out)
        }
    }
}

fn write_integer(field: &FieldSchema, value: i128, out: &mut Message) -> Option<()> {
    // Negative numbers are those of their two's complement.
    if !(i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value) {
        return None;
    }
    match field.kind {
        Kind::Integer | Kind::Enum(_) => out.uint64_always(field.number, value as u64),
        Kind::Fixed => out.fixed64_always(field.number, value as u64),
        Kind::Folded => out.sint32(field.number, i32::try_from(value).ok()?),
        _ => return None,
    }
    Some(())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use varve_storage::protobuf::wire::{Fields, Value};

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
