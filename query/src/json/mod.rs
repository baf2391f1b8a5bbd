//! JSON as Prometheus's HTTP API writes it, byte for byte.
//!
//! Two writers meet in one response. Sample values, timestamps and label sets are written by hand ([`number`],
//! [`text`], [`result`]): they are nearly all of a large response, and their form is peculiar (values are strings, label
//! values keep `<`, `>` and `&` as they are). Everything else goes through serde with [`GoFormatter`], which escapes strings
//! as Go does. A query result becomes a stream of chunks, so that a large matrix never exists twice in memory.

pub mod number;
pub mod result;
pub mod text;
pub mod tree;

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};

/// Compact JSON with Go's escapes: `<`, `>`, `&`, U+2028 and U+2029 as `\u` sequences, and no `\b` or `\f`.
#[derive(Clone, Copy, Debug, Default)]
pub struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, escape)) = text::next_html_escape(rest) {
            writer.write_all(rest.as_bytes().get(..at).unwrap_or_default())?;
            writer.write_all(escape.text.as_bytes())?;
            rest = rest.get(at + escape.bytes..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Quote => writer.write_all(b"\\\""),
            CharEscape::ReverseSolidus => writer.write_all(b"\\\\"),
            CharEscape::Solidus => writer.write_all(b"/"),
            CharEscape::LineFeed => writer.write_all(b"\\n"),
            CharEscape::CarriageReturn => writer.write_all(b"\\r"),
            CharEscape::Tab => writer.write_all(b"\\t"),
            CharEscape::Backspace => writer.write_all(b"\\u0008"),
            CharEscape::FormFeed => writer.write_all(b"\\u000c"),
            CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04x}"),
        }
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let mut text = Vec::with_capacity(24);
        number::push_json_float(&mut text, value);
        writer.write_all(&text)
    }
}

/// Appends a value as Go's encoder would write it.
///
/// # Errors
/// Only where the value itself refuses to serialize, which none of the API's types does.
pub fn push_json<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    value: &T,
) -> Result<(), serde_json::Error> {
    value.serialize(&mut serde_json::Serializer::with_formatter(
        out,
        GoFormatter,
    ))
}

/// Appends a JSON array whose items are written by hand.
pub fn push_list<T>(out: &mut Vec<u8>, items: &[T], push_item: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_item(out, item);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut out = Vec::new();
        push_json(
            &mut out,
            "a<b> & \"c\" \\ \n\r\t \u{8}\u{c}\u{1} / é \u{2028}\u{2029}",
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#""a\u003cb\u003e \u0026 \"c\" \\ \n\r\t \u0008\u000c\u0001 / é \u2028\u2029""#
        );
    }

    #[test]
    fn floats_are_written_as_go_does() {
        for (value, text) in [
            (0.0, "0"),
            (0.002173393, "0.002173393"),
            (1e-7, "1e-7"),
            (1e21, "1e+21"),
            (123456.0, "123456"),
        ] {
            let mut out = Vec::new();
            push_json(&mut out, &value).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
