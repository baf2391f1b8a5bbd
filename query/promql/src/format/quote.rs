//! Quoted text in Go's notation.

use std::fmt::Write;

/// The text in double quotes, escaped as `strconv.Quote` does.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        push_escaped(&mut quoted, c, '"');
    }
    quoted.push('"');
    quoted
}

/// Bytes in double quotes; those that are no UTF-8 as `\xff`.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut quoted = String::from('"');
    for chunk in bytes.utf8_chunks() {
        chunk
            .valid()
            .chars()
            .for_each(|c| push_escaped(&mut quoted, c, '"'));
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

/// A character in single quotes.
pub(crate) fn quote_char(c: char) -> String {
    let mut quoted = String::from('\'');
    push_escaped(&mut quoted, c, '\'');
    quoted.push('\'');
    quoted
}

/// A character by its code point: `U+0063 'c'`.
pub(crate) fn describe_char(c: char) -> String {
    let code = u32::from(c);
    if is_printable(c) {
        format!("U+{code:04X} '{c}'")
    } else {
        format!("U+{code:04X}")
    }
}

fn push_escaped(quoted: &mut String, c: char, quote: char) {
    match c {
        '\\' => quoted.push_str("\\\\"),
        c if c == quote => {
            quoted.push('\\');
            quoted.push(c);
        }
        '\x07' => quoted.push_str("\\a"),
        '\x08' => quoted.push_str("\\b"),
        '\x0c' => quoted.push_str("\\f"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\x0b' => quoted.push_str("\\v"),
        // The parser takes this one for broken UTF-8, unless it is escaped.
        char::REPLACEMENT_CHARACTER if quote == '"' => quoted.push_str("\\ufffd"),
        c if is_printable(c) => quoted.push(c),
        c => {
            let code = u32::from(c);
            // Writing to a string cannot fail.
            let _ = match code {
                0..0x80 => write!(quoted, "\\x{code:02x}"),
                0x80..0x1_0000 => write!(quoted, "\\u{code:04x}"),
                _ => write!(quoted, "\\U{code:08x}"),
            };
        }
    }
}

/// Letters, marks, numbers, punctuation, symbols and the space.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // Rust escapes what is not printable, and, at the beginning of a text only, combining marks.
    let mut buffer = ['x', c].iter().collect::<String>();
    buffer = buffer.escape_debug().skip(1).collect();
    !buffer.starts_with('\\')
}

/// The text of a string literal with its quotes, which the lexer has checked. Bytes that are no UTF-8 (`\xff`) become
/// replacement characters, as they do in JSON answers of Prometheus.
pub(crate) fn unquote(literal: &str) -> String {
    String::from_utf8(unquote_bytes(literal))
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The bytes of a string literal with its quotes, which the lexer has checked.
pub(crate) fn unquote_bytes(literal: &str) -> Vec<u8> {
    let Some(quote) = literal.chars().next() else {
        return Vec::new();
    };
    let inner = literal
        .get(1..literal.len().saturating_sub(1))
        .unwrap_or_default();
    if quote == '`' || !inner.contains('\\') {
        return inner.as_bytes().to_vec();
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            push_char(&mut bytes, c);
            continue;
        }
        match chars.next() {
            Some('a') => bytes.push(0x07),
            Some('b') => bytes.push(0x08),
            Some('f') => bytes.push(0x0c),
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('t') => bytes.push(b'\t'),
            Some('v') => bytes.push(0x0b),
            Some('x') => push_byte(&mut bytes, code(&mut chars, 0, 2, 16)),
            Some('u') => push_code_point(&mut bytes, code(&mut chars, 0, 4, 16)),
            Some('U') => push_code_point(&mut bytes, code(&mut chars, 0, 8, 16)),
            Some(c) => match c.to_digit(8) {
                Some(first) => push_byte(&mut bytes, code(&mut chars, first, 2, 8)),
                None => push_char(&mut bytes, c),
            },
            None => {}
        }
    }
    bytes
}

fn code(chars: &mut std::str::Chars<'_>, first: u32, digits: usize, radix: u32) -> u32 {
    chars
        .by_ref()
        .take(digits)
        .filter_map(|c| c.to_digit(radix))
        .fold(first, |code, digit| {
            code.wrapping_mul(radix).wrapping_add(digit)
        })
}

fn push_byte(bytes: &mut Vec<u8>, code: u32) {
    bytes.push(u8::try_from(code).unwrap_or(u8::MAX));
}

fn push_code_point(bytes: &mut Vec<u8>, code: u32) {
    push_char(
        bytes,
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
    );
}

fn push_char(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_as_go_quotes_it() {
        for (text, quoted) in [
            ("", r#""""#),
            ("plain 'text'", r#""plain 'text'""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            ("\0\x1b\x7f", r#""\x00\x1b\x7f""#),
            ("é☺日", "\"é☺日\""),
            ("e\u{301}", "\"e\u{301}\""),
            (
                "\u{a0}\u{ad}\u{200b}\u{feff}",
                r#""\u00a0\u00ad\u200b\ufeff""#,
            ),
            ("\u{10ffff}", r#""\U0010ffff""#),
            ("\u{fffd}", r#""\ufffd""#),
        ] {
            assert_eq!(quote(text), quoted);
            assert_eq!(unquote(quoted), text, "{quoted}");
        }
        assert_eq!(quote_bytes(b"a\xc5z\n"), r#""a\xc5z\n""#);
        assert_eq!(quote_char('\''), r"'\''");
        assert_eq!(quote_char('"'), "'\"'");
        assert_eq!(quote_char('\n'), r"'\n'");
        assert_eq!(describe_char('c'), "U+0063 'c'");
        assert_eq!(describe_char('\n'), "U+000A");
        assert_eq!(describe_char('☺'), "U+263A '☺'");
    }

    #[test]
    fn escapes_are_resolved() {
        for (literal, text) in [
            (r#"'it\'s'"#, "it's"),
            (r#""\x41\101\u0041\U00000041""#, "AAAA"),
            (r#""\xe2\x98\xba\342\230\272""#, "☺☺"),
            (r#""a\xffb""#, "a\u{fffd}b"),
            (r#"`no \escape "here"`"#, r#"no \escape "here""#),
            (r#""\a\b\f\n\r\t\v\\\"""#, "\x07\x08\x0c\n\r\t\x0b\\\""),
        ] {
            assert_eq!(unquote(literal), text, "{literal}");
        }
    }
}
