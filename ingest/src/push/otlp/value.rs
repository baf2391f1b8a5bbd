//! Attribute values as texts: labels have no other type. Scalars are written plainly, lists and maps as Go's JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::OtlpError;
use varve_storage::protobuf::wire::{Field, Fields, WireError};

/// Lists within lists are refused beyond this depth, since each level takes stack.
const DEPTH_MAX: u32 = 40;

/// A value before it is a text. Lists and maps stay encoded until somebody wants them.
#[derive(Clone, Copy, Debug)]
enum AnyValue<'a> {
    Empty,
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    List(Field<'a>),
    Map(Field<'a>),
    Bytes(&'a [u8]),
}

impl<'a> AnyValue<'a> {
    /// Of several kinds of value the last one counts.
    fn read(mut fields: Fields<'a>) -> Result<Self, WireError> {
        let mut value = Self::Empty;
        while let Some(field) = fields.next()? {
            value = match field.number {
                1 => Self::Text(field.string()?),
                2 => Self::Bool(field.uint64()? != 0),
                3 => Self::Int(field.int64()?),
                4 => Self::Double(field.double()?),
                5 => Self::List(field),
                6 => Self::Map(field),
                7 => Self::Bytes(field.bytes()?),
                _ => value,
            };
        }
        Ok(value)
    }

    fn text(self) -> Result<Cow<'a, str>, OtlpError> {
        Ok(match self {
            Self::Empty => Cow::Borrowed(""),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Double(value) if value.is_finite() => Cow::Owned(number(value)),
            Self::Double(value) => Cow::Owned(format!(
                "json: unsupported value: {}",
                match value {
                    f64::INFINITY => "+Inf",
                    f64::NEG_INFINITY => "-Inf",
                    _ => "NaN",
                }
            )),
            Self::Bytes(bytes) => Cow::Owned(STANDARD.encode(bytes)),
            Self::List(_) | Self::Map(_) => {
                let mut out = String::new();
                match self.write_json(&mut out, DEPTH_MAX) {
                    Ok(()) => Cow::Owned(out),
                    // Numbers that JSON does not have.
                    Err(JsonError::NotFinite) => Cow::Borrowed(""),
                    Err(JsonError::Other(error)) => return Err(error),
                }
            }
        })
    }

    fn write_json(self, out: &mut String, depth: u32) -> Result<(), JsonError> {
        let Some(depth) = depth.checked_sub(1) else {
            let reason = "an attribute has lists or maps in each other too deeply".to_owned();
            return Err(JsonError::Other(OtlpError::Untranslatable(reason)));
        };
        match self {
            Self::Empty => out.push_str("null"),
            Self::Text(text) => quote(text, out),
            Self::Double(value) if !value.is_finite() => return Err(JsonError::NotFinite),
            Self::Bool(_) | Self::Int(_) | Self::Double(_) => out.push_str(&self.text()?),
            Self::Bytes(bytes) => quote(&STANDARD.encode(bytes), out),
            Self::List(list) => {
                out.push('[');
                let mut items = list.message()?;
                let mut first = true;
                while let Some(item) = items.next()? {
                    if item.number == 1 {
                        if !std::mem::take(&mut first) {
                            out.push(',');
                        }
                        Self::read(item.message()?)?.write_json(out, depth)?;
                    }
                }
                out.push(']');
            }
            Self::Map(map) => {
                let mut sorted = BTreeMap::new();
                let mut items = map.message()?;
                while let Some(item) = items.next()? {
                    if item.number == 1 {
                        let (key, value) = pair(item)?;
                        sorted.insert(key, value);
                    }
                }
                out.push('{');
                for (nth, (key, value)) in sorted.into_iter().enumerate() {
                    if nth > 0 {
                        out.push(',');
                    }
                    quote(key, out);
                    out.push(':');
                    value.write_json(out, depth)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

enum JsonError {
    NotFinite,
    Other(OtlpError),
}

impl From<WireError> for JsonError {
    fn from(error: WireError) -> Self {
        Self::Other(error.into())
    }
}

impl From<OtlpError> for JsonError {
    fn from(error: OtlpError) -> Self {
        Self::Other(error)
    }
}

fn pair(field: Field<'_>) -> Result<(&str, AnyValue<'_>), WireError> {
    let (mut key, mut value) = ("", AnyValue::Empty);
    let mut fields = field.message()?;
    while let Some(field) = fields.next()? {
        match field.number {
            1 => key = field.string()?,
            2 => value = AnyValue::read(field.message()?)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// An attribute (`KeyValue`) with its value as text.
pub(super) fn attribute(field: Field<'_>) -> Result<(&str, Cow<'_, str>), OtlpError> {
    let (key, value) = pair(field)?;
    Ok((key, value.text()?))
}

/// A finite number as JSON in Go and in browsers has it: an exponent only below 1e-6 and from 1e21.
fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    match text.split_once("e-") {
        Some(_) => text,
        None => text.replacen('e', "e+", 1),
    }
}

/// A text in quotes. Besides what JSON demands, characters are escaped that mean something in HTML or JavaScript.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use varve_storage::protobuf::encode::Message;

    fn any(write: impl FnOnce(&mut Message)) -> Message {
        let mut message = Message::default();
        write(&mut message);
        message
    }

    fn text(value: Message) -> Result<String, OtlpError> {
        let bytes = any(|pair| {
            pair.string(1, "k");
            pair.bytes(2, &value.into_bytes());
        })
        .into_bytes();
        let outer = any(|outer| outer.bytes(1, &bytes)).into_bytes();
        let field = Fields::new(&outer).next().unwrap().unwrap();
        let (key, value) = attribute(field)?;
        assert_eq!(key, "k");
        Ok(value.into_owned())
    }

    #[test]
    fn scalars_are_plain() {
        assert_eq!(text(Message::default()).unwrap(), "");
        assert_eq!(text(any(|v| v.string(1, "a<b"))).unwrap(), "a<b");
        assert_eq!(text(any(|v| v.uint64(2, 1))).unwrap(), "true");
        assert_eq!(text(any(|v| v.int64(3, -5))).unwrap(), "-5");
        assert_eq!(text(any(|v| v.bytes(7, &[1, 2]))).unwrap(), "AQI=");
        for (value, expected) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e-9, "-1.5e-9"),
            (1e-6, "0.000001"),
            (f64::NAN, "json: unsupported value: NaN"),
            (f64::NEG_INFINITY, "json: unsupported value: -Inf"),
        ] {
            assert_eq!(text(any(|v| v.double_always(4, value))).unwrap(), expected);
        }
    }

    #[test]
    fn lists_and_maps_are_json() {
        let list = any(|list| {
            list.message(1, |v| v.string(1, "<a\u{1}\""));
            list.message(1, |v| v.int64(3, 7));
            list.message(1, |_| {});
        });
        let value = any(|v| v.bytes(5, &list.into_bytes()));
        assert_eq!(text(value).unwrap(), r#"["\u003ca\u0001\"",7,null]"#);
        let entry = |key: &str, number| {
            any(|pair| {
                pair.string(1, key);
                pair.message(2, |v| v.double_always(4, number));
            })
        };
        let map = |numbers: [f64; 3]| {
            let map = any(|map| {
                for (key, number) in ["b", "a", "b"].iter().zip(numbers) {
                    map.bytes(1, &entry(key, number).into_bytes());
                }
            });
            any(|v| v.bytes(6, &map.into_bytes()))
        };
        assert_eq!(text(map([1.0, 2.5, 3.0])).unwrap(), r#"{"a":2.5,"b":3}"#);
        assert_eq!(text(map([1.0, f64::NAN, 3.0])).unwrap(), "");
    }

    #[test]
    fn depth_has_an_end() {
        let mut value = Message::default();
        for _ in 0..100 {
            let list = any(|list| list.bytes(1, &value.into_bytes()));
            value = any(|v| v.bytes(5, &list.into_bytes()));
        }
        assert!(matches!(text(value), Err(OtlpError::Untranslatable(_))));
    }
}
