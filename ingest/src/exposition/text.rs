//! The text format 0.0.4.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::decode::unescape_help;
use super::failure::State;
use super::number::parse_float;
use super::parser::{Braces, Parser, is_blank, is_name_start};
use super::{Entry, ExpositionError, Sample};

impl<'a> Parser<'a> {
    pub(super) fn next_text(
        &mut self,
        expected: &[u8],
    ) -> Result<Option<Entry<'a>>, ExpositionError> {
        loop {
            self.start = self.at;
            self.skip_blanks();
            match self.byte() {
                // A NUL where a line begins ends the input, as it does in Prometheus.
                None | Some(0) => return Ok(None),
                Some(b'\n') => self.at += 1,
                Some(b'#') => {
                    if let Some(entry) = self.text_comment()? {
                        return Ok(Some(entry));
                    }
                }
                Some(byte) => return self.text_series(byte, expected).map(Some),
            }
        }
    }

    /// Metadata, or `None` for any other comment. What does not look exactly like metadata is a comment.
    fn text_comment(&mut self) -> Result<Option<Entry<'a>>, ExpositionError> {
        self.at += 1;
        let blanks = self.at;
        self.skip_blanks();
        let line_end = memchr2(b'\n', 0, self.rest());
        if line_end.is_some_and(|end| self.is_end_in_comment(end, blanks)) {
            self.at = self.input.len();
            return Ok(None);
        }
        let keyword = match self.rest() {
            _ if self.at == blanks => None,
            [b'H', b'E', b'L', b'P', next, ..] if is_blank(*next) => Some("HELP"),
            [b'T', b'Y', b'P', b'E', next, ..] if is_blank(*next) => Some("TYPE"),
            _ => None,
        };
        let Some(keyword) = keyword else {
            self.comments += 1;
            self.take_line();
            return Ok(None);
        };
        self.at += keyword.len();
        while self.byte().is_some_and(|b| is_blank(b) || b == 0) {
            self.at += 1;
        }
        let family = self.take_family(keyword)?;
        let text = match self.take_line() {
            line if line.iter().all(|b| is_blank(*b)) => &[][..],
            line => &line[1..],
        };
        if keyword == "TYPE" {
            self.kind = self.format.metric_type(text).ok_or_else(|| {
                let shown = String::from_utf8_lossy(text);
                self.failure(format!("invalid metric type {shown:?}"))
            })?;
            return Ok(Some(Entry::Type(family, self.kind)));
        }
        match std::str::from_utf8(text) {
            Ok(help) => Ok(Some(Entry::Help(family, unescape_help(help, self.format)))),
            Err(_) => {
                let shown = Cow::<str>::Owned(String::from_utf8_lossy(text).into_owned());
                Err(self.failure(format!("help text {shown:?} is not a valid utf8 string")))
            }
        }
    }

    /// Whether a NUL, `end` bytes ahead in a comment, ends the input, as it does in Prometheus: right behind the blanks after
    /// the hash sign, and anywhere if there are none. `blanks`: where they begin.
    fn is_end_in_comment(&self, end: usize, blanks: usize) -> bool {
        self.rest().get(end) == Some(&0) && (end == 0 || self.at == blanks)
    }

    /// Steps over the rest of the line and gives it without the line break.
    fn take_line(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let length = memchr(b'\n', rest).unwrap_or(rest.len());
        self.at += length + usize::from(length < rest.len());
        &rest[..length]
    }

    fn text_series(&mut self, first: u8, expected: &[u8]) -> Result<Entry<'a>, ExpositionError> {
        let start = self.start;
        let after_blanks = std::mem::replace(&mut self.at, start);
        let expected = self.take_expected(expected);
        if !expected {
            self.at = after_blanks;
        }
        let series = if expected {
            self.since(start)
        } else {
            self.text_series_unexpected(first)?
        };
        self.skip_blanks();
        let value = self.text_value()?;
        let timestamp_ms = self.text_timestamp()?;
        Ok(Entry::Series(Sample {
            series,
            value,
            timestamp_ms,
            expected,
        }))
    }

    fn text_series_unexpected(&mut self, first: u8) -> Result<&'a [u8], ExpositionError> {
        let start = self.start;
        if first == b'{' {
            self.name = None;
            self.at += 1;
            self.take_labels(Braces::Series)?;
            if self.name.is_none() {
                self.skip_blanks();
                self.skip_value();
                return Err(self.failure(format!(
                    "metric name not set while parsing: {}",
                    self.shown(start, self.at)
                )));
            }
            return Ok(self.since(start));
        }
        if !is_name_start(first) {
            return Err(self.unexpected("expected a valid start token", State::Start));
        }
        // Blanks before a name are part of it, as they are to Prometheus.
        self.name = self.take_name().map(|name| start..name.end);
        self.labels.clear();
        let series = self.since(start);
        let after_name = self.at;
        self.skip_blanks();
        if self.byte() != Some(b'{') {
            self.at = after_name;
            return Ok(series);
        }
        self.at += 1;
        self.take_labels(Braces::Series)?;
        Ok(self.since(start))
    }

    fn skip_value(&mut self) {
        while self
            .byte()
            .is_some_and(|b| !matches!(b, b'{' | b' ' | b'\t' | b'\n' | 0))
        {
            self.at += 1;
        }
    }

    fn text_value(&mut self) -> Result<f64, ExpositionError> {
        let start = self.at;
        self.skip_value();
        let token = self.since(start);
        if token.is_empty() {
            return Err(self.unexpected("expected value after metric", State::Value));
        }
        parse_float(token).map_err(|reason| self.failure_while_parsing(&reason))
    }

    /// Reads an optional timestamp and the end of the line.
    fn text_timestamp(&mut self) -> Result<Option<i64>, ExpositionError> {
        self.skip_blanks();
        let start = self.at;
        while self.byte().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = self.since(start);
        if digits.is_empty() {
            self.text_line_end("expected timestamp or new record")?;
            return Ok(None);
        }
        let text = String::from_utf8_lossy(digits);
        let timestamp_ms = text.parse().map_err(|_| {
            self.failure_while_parsing(&format!(
                "strconv.ParseInt: parsing {text:?}: value out of range"
            ))
        })?;
        self.skip_blanks();
        self.text_line_end("expected next entry after timestamp")?;
        Ok(Some(timestamp_ms))
    }

    fn text_line_end(&mut self, expectation: &str) -> Result<(), ExpositionError> {
        match self.byte() {
            Some(b'\n') => {
                self.at += 1;
                Ok(())
            }
            // The last line needs no line break.
            None => Ok(()),
            Some(_) => Err(self.unexpected(expectation, State::Timestamp)),
        }
    }
}
