//! Strings in JSON, with and without Go's HTML escapes.

use varve_storage::Labels;

/// How one character is written.
#[derive(Clone, Copy, Debug)]
pub struct HtmlEscape {
    /// The escape sequence.
    pub text: &'static str,
    /// The bytes of the character that it replaces.
    pub bytes: usize,
}

/// The first character that Go's encoder escapes for the sake of HTML, and where it is.
pub fn next_html_escape(text: &str) -> Option<(usize, HtmlEscape)> {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().find_map(|(at, byte)| {
        let escape = |text, bytes| Some((at, HtmlEscape { text, bytes }));
        match byte {
            b'<' => escape("\\u003c", 1),
            b'>' => escape("\\u003e", 1),
            b'&' => escape("\\u0026", 1),
            0xe2 if bytes.get(at + 1..at + 3) == Some(&[0x80, 0xa8]) => escape("\\u2028", 3),
            0xe2 if bytes.get(at + 1..at + 3) == Some(&[0x80, 0xa9]) => escape("\\u2029", 3),
            _ => None,
        }
    })
}

/// Appends a JSON string in which only what JSON demands is escaped: the form of label names and values.
pub fn push_plain_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Appends a label set as a JSON object, names ascending.
pub fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_plain_string(out, name);
        out.push(b':');
        push_plain_string(out, value);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn label_values_keep_angle_brackets() {
        let labels = Labels::from_pairs([("b", "<x> & \"y\"\n\u{1}"), ("a", "é\\")]);
        let mut out = Vec::new();
        push_labels(&mut out, &labels);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"a":"é\\","b":"<x> & \"y\"\n\u0001"}"#
        );
    }
}
