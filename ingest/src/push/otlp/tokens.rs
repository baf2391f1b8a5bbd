//! JSON, token by token.
//!
//! `serde_json` is not used here because its floats may be wrong by the last bit unless a feature is on, which would be on for all crates then.

use std::borrow::Cow;

use thiserror::Error;

/// Lists and objects within each other; each level takes stack.
const DEPTH_MAX: usize = 128;

/// What is no JSON, or not the JSON that is expected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid JSON at byte {at}: {message}")]
pub(super) struct JsonError {
    at: usize,
    message: String,
}

/// A walk over a text.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// An error at the place that was reached.
    pub(super) fn error(&self, message: impl Into<String>) -> JsonError {
        JsonError {
            at: self.at,
            message: message.into(),
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The first byte of what comes next.
    pub(super) fn peek(&mut self) -> Result<u8, JsonError> {
        self.skip_blanks();
        self.byte().ok_or_else(|| self.error("unexpected end"))
    }

    /// Nothing but blanks may follow.
    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        self.skip_blanks();
        match self.byte() {
            None => Ok(()),
            Some(_) => Err(self.error("more than one value")),
        }
    }

    fn expect(&mut self, expected: u8) -> Result<(), JsonError> {
        if self.peek()? != expected {
            return Err(self.error(format!("expected {:?}", char::from(expected))));
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over the bracket that begins a list or an object.
    pub(super) fn open(&mut self, bracket: u8) -> Result<(), JsonError> {
        self.expect(bracket)?;
        self.depth += 1;
        match self.depth > DEPTH_MAX {
            true => Err(self.error("too deep")),
            false => Ok(()),
        }
    }

    /// Whether another item follows. Steps over the comma before it, or over the bracket that ends the list or object.
    pub(super) fn next_item(&mut self, bracket: u8, first: bool) -> Result<bool, JsonError> {
        if self.peek()? == bracket {
            self.at += 1;
            self.depth = self.depth.saturating_sub(1);
            return Ok(false);
        }
        if !first {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// Steps over the colon behind a name.
    pub(super) fn colon(&mut self) -> Result<(), JsonError> {
        self.expect(b':')
    }

    fn word(&mut self, word: &str) -> Result<(), JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.error(format!("expected {word}")));
        }
        self.at += word.len();
        Ok(())
    }

    /// Steps over `null` if it is there.
    pub(super) fn take_null(&mut self) -> Result<bool, JsonError> {
        match self.peek()? {
            b'n' => self.word("null").map(|()| true),
            _ => Ok(false),
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self) -> Result<bool, JsonError> {
        match self.peek()? {
            b't' => self.word("true").map(|()| true),
            _ => self.word("false").map(|()| false),
        }
    }

    /// A number as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str, JsonError> {
        self.peek()?;
        let start = self.at;
        let digits = |tokens: &mut Self| {
            let before = tokens.at;
            while tokens.byte().is_some_and(|b| b.is_ascii_digit()) {
                tokens.at += 1;
            }
            tokens.at > before
        };
        let take = |tokens: &mut Self, bytes: &[u8]| {
            let found = tokens.byte().is_some_and(|b| bytes.contains(&b));
            tokens.at += usize::from(found);
            found
        };
        take(self, b"-");
        let mut valid = digits(self);
        if take(self, b".") {
            valid &= digits(self);
        }
        if take(self, b"eE") {
            take(self, b"+-");
            valid &= digits(self);
        }
        let written = self.text.get(start..self.at).unwrap_or_default();
        let written = std::str::from_utf8(written).ok().filter(|_| valid);
        written.ok_or_else(|| self.error("expected a value"))
    }

    /// A text. It borrows what is written where that has no escapes.
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.expect(b'"')?;
        let mut out = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let length = memchr::memchr2(b'"', b'\\', rest);
            let length = length.ok_or_else(|| self.error("a text without end"))?;
            let plain = rest.get(..length).unwrap_or_default();
            if plain.iter().any(|byte| *byte < 0x20) {
                return Err(self.error("a control character in a text"));
            }
            let plain = std::str::from_utf8(plain).map_err(|_| self.error("invalid UTF-8"))?;
            self.at += length + 1;
            if rest.get(length) == Some(&b'"') {
                if out.is_empty() {
                    return Ok(Cow::Borrowed(plain));
                }
                out.push_str(plain);
                return Ok(Cow::Owned(out));
            }
            out.push_str(plain);
            let c = self.escape()?;
            out.push(c);
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<char, JsonError> {
        let byte = self.byte();
        self.at += 1;
        Ok(match byte {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.code_unit()?;
                let mut units = vec![first];
                // Two halves make one character.
                if (0xd800..0xdc00).contains(&first)
                    && self.text.get(self.at..self.at + 2) == Some(b"\\u")
                {
                    self.at += 2;
                    units.push(self.code_unit()?);
                }
                let mut chars = char::decode_utf16(units);
                let only = chars
                    .next()
                    .and_then(Result::ok)
                    .filter(|_| chars.next().is_none());
                only.ok_or_else(|| self.error("half a character"))?
            }
            _ => return Err(self.error("an unknown escape")),
        })
    }

    fn code_unit(&mut self) -> Result<u16, JsonError> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        let is_hexadecimal = digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit);
        let digits = std::str::from_utf8(digits).ok().filter(|_| is_hexadecimal);
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        self.at += 4;
        unit.ok_or_else(|| self.error("four hexadecimal digits expected"))
    }

    /// Steps over any value.
    pub(super) fn skip(&mut self) -> Result<(), JsonError> {
        match self.peek()? {
            b'"' => self.text().map(drop),
            b't' | b'f' => self.boolean().map(drop),
            b'n' => self.word("null"),
            bracket @ (b'{' | b'[') => {
                self.open(bracket)?;
                // The closing one is two behind it.
                let mut first = true;
                while self.next_item(bracket + 2, std::mem::take(&mut first))? {
                    if bracket == b'{' {
                        self.text()?;
                        self.colon()?;
                    }
                    self.skip()?;
                }
                Ok(())
            }
            _ => self.number().map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn is_json(text: &[u8]) -> bool {
        let mut tokens = Tokens::new(text);
        tokens.skip().and_then(|()| tokens.end()).is_ok()
    }

    #[test]
    fn texts_have_escapes() {
        for (written, text) in [
            (r#""a b""#, "a b"),
            (r#""""#, ""),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""x\u00e9\ud83d\ude0A!""#, "xé\u{1f60a}!"),
            (r#""größe""#, "größe"),
        ] {
            assert_eq!(Tokens::new(written.as_bytes()).text().unwrap(), text);
        }
        for written in [
            r#""a"#,
            r#""\x""#,
            r#""\u12""#,
            r#""\ud83d""#,
            r#""\ud83d\u0041""#,
            r#""\udc00""#,
            "\"\n\"",
            "\"\\",
        ] {
            assert!(Tokens::new(written.as_bytes()).text().is_err(), "{written}");
        }
        assert!(Tokens::new(b"\"\xff\"").text().is_err());
    }

    #[test]
    fn depth_has_an_end() {
        assert!(is_json(
            format!("{}{}", "[".repeat(100), "]".repeat(100)).as_bytes()
        ));
        assert!(!is_json("[".repeat(100_000).as_bytes()));
    }

    proptest! {
        /// Whatever `serde_json` takes is taken, and nothing else but numbers that begin with zeros.
        #[test]
        fn json_is_what_others_take_for_it(text in r#"[\[\]\{\}",:0-9a-z\\ \.eE+-]{0,20}|[\[{]["a:,1\]\}]{0,8}|"[\\\\u0-9a-f"]{0,12}""#) {
            let own = is_json(text.as_bytes());
            let mut deserializer = serde_json::Deserializer::from_str(&text);
            let theirs = serde::de::IgnoredAny::deserialize(&mut deserializer).and_then(|_| deserializer.end());
            match theirs {
                Ok(()) => {
                    // A half of a character is no text.
                    prop_assert!(own || text.contains("\\u"), "{text}");
                }
                Err(_) => prop_assert!(!own || text.contains('0'), "{text}"),
            }
        }

        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            is_json(&text);
        }
    }

    use serde::Deserialize;
}
