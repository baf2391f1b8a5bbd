//! The line protocol: `measurement,tag=value field=1.5,other=2i 1700000000000000000`.
//!
//! A backslash takes the meaning of the comma, equals sign or blank behind it, in texts that of the quote or backslash; otherwise it stands for itself. A text
//! in quotes may go over several lines. Lines that begin with `#` are comments.

use std::borrow::Cow;

use thiserror::Error;

/// Why a line is not stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum LineError {
    /// Something is left out.
    #[error("missing {0}")]
    Missing(&'static str),
    /// A field's value that is none.
    #[error("invalid value {0:?}")]
    Value(String),
    /// A timestamp that is no whole number, or too large.
    #[error("bad timestamp {0:?}")]
    Timestamp(String),
    /// Bytes that are no text.
    #[error("invalid UTF-8")]
    Utf8,
    /// Quotes that do not end.
    #[error("unbalanced quotes")]
    Quotes,
}

/// A point: fields of one measurement at one time. It borrows the line, but for names with escapes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Point<'a> {
    pub(super) measurement: Cow<'a, str>,
    pub(super) tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Fields that are numbers; booleans are 0 or 1, and texts are left out.
    pub(super) fields: Vec<(Cow<'a, str>, f64)>,
    /// In whatever unit the request says; `None` where the line has none.
    pub(super) timestamp: Option<i64>,
}

/// Cuts a body into lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    /// The number of the next line, from 1.
    number: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self {
            rest: body,
            number: 1,
        }
    }
}

/// Lines with their numbers, without comments and empty ones.
impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = line_end(self.rest);
            let line = self.rest.get(..end).unwrap_or_default();
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            let number = self.number;
            self.number += 1 + line.iter().filter(|byte| **byte == b'\n').count();
            let line = line.trim_ascii();
            if !line.is_empty() && !line.starts_with(b"#") {
                return Some((number, line));
            }
        }
        None
    }
}

/// Where a line ends: at a line break that is not in quotes, which only values of fields have.
fn line_end(rest: &[u8]) -> usize {
    if rest.trim_ascii_start().starts_with(b"#") {
        return memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    }
    let (mut fields, mut quoted, mut escaped) = (false, false, false);
    let mut started = false;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'\n' if !quoted => return at,
            _ if std::mem::take(&mut escaped) => {}
            b'\\' => escaped = true,
            b' ' if started => fields = true,
            b'"' if fields => quoted = !quoted,
            _ => {}
        }
        started |= !byte.is_ascii_whitespace();
    }
    rest.len()
}

/// A walk over one line.
struct Walk<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn byte(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    /// Steps over a byte if it is there.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.byte() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_blanks(&mut self) {
        while self.take(b' ') {}
    }

    /// Steps over a name up to one of the bytes that end it. A backslash before one of `escapable` disappears.
    fn name(&mut self, ends: &[u8], escapable: &[u8]) -> Result<Cow<'a, str>, LineError> {
        let start = self.at;
        let mut has_escapes = false;
        while let Some(byte) = self.byte().filter(|byte| !ends.contains(byte)) {
            let next = self.line.get(self.at + 1);
            let is_escape = byte == b'\\' && next.is_some_and(|next| escapable.contains(next));
            has_escapes |= is_escape;
            self.at += 1 + usize::from(is_escape);
        }
        let written = self.line.get(start..self.at).unwrap_or_default();
        let written = std::str::from_utf8(written).map_err(|_| LineError::Utf8)?;
        if !has_escapes {
            return Ok(Cow::Borrowed(written));
        }
        let mut out = String::with_capacity(written.len());
        let mut chars = written.chars().peekable();
        while let Some(c) = chars.next() {
            let next = chars.peek().copied().map(u8::try_from);
            match next {
                Some(Ok(next)) if c == '\\' && escapable.contains(&next) => {
                    out.extend(chars.next());
                }
                _ => out.push(c),
            }
        }
        Ok(Cow::Owned(out))
    }

    /// Steps over the value of a field; `None` for a text.
    fn value(&mut self) -> Result<Option<f64>, LineError> {
        if self.take(b'"') {
            while let Some(byte) = self.byte() {
                self.at += 1;
                match byte {
                    b'"' => return Ok(None),
                    b'\\' => self.at += 1,
                    _ => {}
                }
            }
            return Err(LineError::Quotes);
        }
        let start = self.at;
        while self.byte().is_some_and(|b| !matches!(b, b',' | b' ')) {
            self.at += 1;
        }
        let written = self.line.get(start..self.at).unwrap_or_default();
        let text = std::str::from_utf8(written).map_err(|_| LineError::Utf8)?;
        if text.is_empty() {
            return Err(LineError::Missing("field value"));
        }
        number(text)
            .map(Some)
            .ok_or_else(|| LineError::Value(shortened(text)))
    }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => return Some(1.0),
        "f" | "F" | "false" | "False" | "FALSE" => return Some(0.0),
        _ => {}
    }
    if let Some(signed) = text.strip_suffix('i') {
        return signed.parse::<i64>().ok().map(|value| value as f64);
    }
    if let Some(unsigned) = text.strip_suffix('u') {
        return unsigned.parse::<u64>().ok().map(|value| value as f64);
    }
    // Infinities and NaN are no numbers here.
    let is_number = text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let value = text.parse::<f64>().ok().filter(|_| is_number)?;
    value.is_finite().then_some(value)
}

fn shortened(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 50;
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

impl<'a> Point<'a> {
    /// Reads one line.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, LineError> {
        let mut walk = Walk { line, at: 0 };
        let mut point = Self {
            measurement: walk.name(b", ", b", ")?,
            ..Self::default()
        };
        while walk.take(b',') {
            let name = walk.name(b"=, ", b"=, ")?;
            if name.is_empty() {
                return Err(LineError::Missing("tag key"));
            }
            if !walk.take(b'=') {
                return Err(LineError::Missing("tag value"));
            }
            let value = walk.name(b", ", b"=, ")?;
            // A label without a value is none.
            if !value.is_empty() {
                point.tags.push((name, value));
            }
        }
        walk.skip_blanks();
        if walk.byte().is_none() {
            return Err(LineError::Missing("fields"));
        }
        loop {
            let name = walk.name(b"=, ", b"=, ")?;
            if name.is_empty() {
                return Err(LineError::Missing("field key"));
            }
            if !walk.take(b'=') {
                return Err(LineError::Missing("field value"));
            }
            if let Some(value) = walk.value()? {
                point.fields.push((name, value));
            }
            if !walk.take(b',') {
                break;
            }
        }
        if walk.byte().is_some_and(|byte| byte != b' ') {
            let rest = line.get(walk.at..).unwrap_or_default();
            return Err(LineError::Value(shortened(&String::from_utf8_lossy(rest))));
        }
        let rest = line.get(walk.at..).unwrap_or_default().trim_ascii();
        if !rest.is_empty() {
            let text = String::from_utf8_lossy(rest);
            let timestamp = text.parse();
            let timestamp = timestamp.map_err(|_| LineError::Timestamp(shortened(&text)))?;
            point.timestamp = Some(timestamp);
        }
        Ok(point)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn shown(line: &str) -> Result<String, String> {
        let point = Point::parse(line.as_bytes()).map_err(|error| error.to_string())?;
        let mut parts = vec![point.measurement.into_owned()];
        parts.extend(point.tags.iter().map(|(n, v)| format!("{n}={v}")));
        parts.extend(point.fields.iter().map(|(n, v)| format!("{n}:{v}")));
        parts.extend(point.timestamp.map(|time| format!("@{time}")));
        Ok(parts.join("|"))
    }

    #[test]
    fn points_are_read() {
        for (line, expected) in [
            (
                "cpu,host=a,dc=b load=1.5,n=2i 17",
                "cpu|host=a|dc=b|load:1.5|n:2|@17",
            ),
            ("m f=1", "m|f:1"),
            (
                "m a=t,b=False,c=-1e3,d=18446744073709551615u,e=+.5",
                "m|a:1|b:0|c:-1000|d:18446744073709552000|e:0.5",
            ),
            (r#"m s="a b, \"c\" \\",f=1 -5"#, "m|f:1|@-5"),
            ("m s=\"two\nlines\"", "m"),
            (
                r"my\ m\,x,t\=1=a\ b\,c\=d f\ 1=1",
                "my m,x|t=1=a b,c=d|f 1:1",
            ),
            (r"a\b,c=\\d e\f=1", r"a\b|c=\\d|e\f:1"),
            ("m,a=x=y,b= f=1", "m|a=x=y|f:1"),
            ("m  f=1  7 ", "m|f:1|@7"),
            (",a=b f=1", "|a=b|f:1"),
            ("größe,ort=münchen f=1", "größe|ort=münchen|f:1"),
        ] {
            assert_eq!(shown(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn broken_lines_say_what_is_missing() {
        for (line, message) in [
            ("m", "missing fields"),
            ("m,a=b", "missing fields"),
            ("m,a f=1", "missing tag value"),
            ("m,=b f=1", "missing tag key"),
            ("m f", "missing field value"),
            ("m f=", "missing field value"),
            ("m =1", "missing field key"),
            ("m f=1,", "missing field key"),
            ("m f=abc", "invalid value \"abc\""),
            ("m f=NaN", "invalid value \"NaN\""),
            ("m f=1e999", "invalid value \"1e999\""),
            ("m f=1.5i", "invalid value \"1.5i\""),
            ("m f=-1u", "invalid value \"-1u\""),
            ("m f=\"a", "unbalanced quotes"),
            ("m f=\"a\"b", "invalid value \"b\""),
            ("m f=1 now", "bad timestamp \"now\""),
            (
                "m f=1 99999999999999999999",
                "bad timestamp \"99999999999999999999\"",
            ),
        ] {
            assert_eq!(shown(line).unwrap_err(), message, "{line}");
        }
        assert_eq!(Point::parse(b"m,a=\xff f=1"), Err(LineError::Utf8));
    }

    #[test]
    fn bodies_are_cut_at_line_breaks_outside_of_quotes() {
        let body = b"a f=1\r\n\n# a \"comment\nb s=\"x\ny\",f=2\n  c\\\n f x=\"\\\"\n\"\nd \" f=1";
        let lines: Vec<(usize, String)> = Lines::new(body)
            .map(|(number, line)| (number, String::from_utf8_lossy(line).into_owned()))
            .collect();
        let expected = [
            (1, "a f=1"),
            (4, "b s=\"x\ny\",f=2"),
            (6, "c\\"),
            (7, "f x=\"\\\"\n\""),
            (9, "d \" f=1"),
        ];
        assert_eq!(lines, expected.map(|(n, line)| (n, line.to_owned())));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            for (_, line) in Lines::new(&body) {
                let _ = Point::parse(line);
            }
        }

        #[test]
        fn no_line_panics(body in "[a\\\\ ,=\"\n#1i.é-]{0,40}") {
            for (_, line) in Lines::new(body.as_bytes()) {
                let _ = Point::parse(line);
            }
        }

        #[test]
        fn names_are_read_as_they_were_written(
            measurement in "[a-zé,][a-zé ,]{0,7}", tag in "[a-z =,]{1,8}", value in r"([a-z =,]|\\[a-z]){0,8}[a-z]", number in -1e9..1e9,
        ) {
            let escape = |text: &str, special: &[char]| text.chars()
                .flat_map(|c| special.contains(&c).then_some('\\').into_iter().chain([c])).collect::<String>();
            // (A backslash before a special character cannot be written.)
            let line = format!("{},{}={} f={number}", escape(&measurement, &[' ', ',']), escape(&tag, &[' ', ',', '=']), escape(&value, &[' ', ',', '=']));
            let point = Point::parse(line.as_bytes()).unwrap();
            prop_assert_eq!(point.measurement.as_ref(), measurement.as_str());
            prop_assert_eq!(&point.tags, &[(Cow::Borrowed(tag.as_str()), Cow::Borrowed(value.as_str()))]);
            prop_assert_eq!(&point.fields, &[(Cow::Borrowed("f"), number)]);
        }
    }
}
