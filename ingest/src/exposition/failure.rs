//! Messages of parse errors: what was expected, what is there, and the entry so far, as Prometheus words them.

use super::parser::{Parser, is_blank, is_name_start};
use super::{ExpositionError, Format};

/// Bytes of the input that a message shows.
const SHOWN_BYTES_MAX: usize = 120;

/// Where in the grammar an unexpected token stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    /// At the start of a line.
    Start,
    /// After `# HELP` and the like.
    Family,
    /// Between braces.
    Labels,
    /// After an equal sign.
    LabelValue,
    /// After a series.
    Value,
    /// After a value.
    Timestamp,
}

impl Parser<'_> {
    /// An error in the current entry.
    pub(super) fn failure(&self, message: String) -> ExpositionError {
        let before = self.input.get(..self.start).unwrap_or_default();
        ExpositionError {
            line: 1 + memchr::memchr_iter(b'\n', before).count(),
            message,
        }
    }

    /// An error about what was read last.
    pub(super) fn failure_while_parsing(&self, reason: &str) -> ExpositionError {
        self.failure(format!(
            "{reason} while parsing: {}",
            self.shown(self.start, self.at)
        ))
    }

    /// An error about the token at `at`.
    pub(super) fn unexpected(&self, expectation: &str, state: State) -> ExpositionError {
        let (end, token) = self.token_at(state);
        // One byte more than the token: that is what Prometheus shows.
        let end = end.max(self.at) + 1;
        self.failure(format!(
            "{expectation}, got {} ({token:?}) while parsing: {}",
            self.shown(self.at, end),
            self.shown(self.start, end)
        ))
    }

    /// The end and the kind of the token at `at`.
    fn token_at(&self, state: State) -> (usize, &'static str) {
        let at = self.at;
        let Some(byte) = self.byte() else {
            return match self.format {
                // To the text format, the input ends with a line break.
                Format::Text if state == State::Timestamp => (at + 1, "LINEBREAK"),
                Format::Text => (at, "INVALID"),
                Format::OpenMetrics | Format::Protobuf => (at, "EOF"),
            };
        };
        let invalid = (at, "INVALID");
        match (state, byte) {
            (State::Labels, b'}') => (at + 1, "BCLOSE"),
            (State::Labels, b'=') => (at + 1, "EQUAL"),
            (State::Labels, b',') => (at + 1, "COMMA"),
            (State::Labels, b'"') => match self.quote_end() {
                Some(end) => (end, "QSTRING"),
                None => (self.input.len(), "INVALID"),
            },
            (State::LabelValue, b'"') => (self.input.len(), "INVALID"),
            (State::Labels, byte) if is_name_start(byte) && byte != b':' => {
                let rest = self.rest();
                let length = rest
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
                    .count();
                (at + length, "LNAME")
            }
            (State::Timestamp, b' ') if self.format == Format::OpenMetrics => {
                let rest = &self.rest()[1..];
                let length = rest
                    .iter()
                    .take_while(|b| !matches!(b, b' ' | b'\n'))
                    .count();
                match length {
                    0 => (at + 1, "INVALID"),
                    _ => (at + 1 + length, "TIMESTAMP"),
                }
            }
            (State::Value, b' ') if self.format == Format::OpenMetrics => (at + 1, "INVALID"),
            (State::Value, b'{') => (at + 1, "BOPEN"),
            (State::Start, b'#') => {
                let rest = self.rest();
                let matched = ["# HELP ", "# TYPE ", "# UNIT ", "# EOF"]
                    .iter()
                    .map(|word| {
                        let pairs = rest.iter().zip(word.as_bytes());
                        pairs.take_while(|(a, b)| a == b).count()
                    })
                    .max();
                (at + matched.unwrap_or(1), "INVALID")
            }
            (State::Start, b' ' | b'\t') if self.format == Format::Text && is_blank(byte) => {
                (at + 1, "WHITESPACE")
            }
            _ => invalid,
        }
    }

    fn quote_end(&self) -> Option<usize> {
        let mut escaped = false;
        let position = self.rest().iter().skip(1).position(|byte| {
            let closes = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            closes
        })?;
        Some(self.at + position + 2)
    }

    /// A piece of the input in quotes, shortened in the middle where it is long.
    pub(super) fn shown(&self, start: usize, end: usize) -> String {
        let mut bytes = self
            .input
            .get(start..end.min(self.input.len()))
            .unwrap_or_default()
            .to_vec();
        if self.format == Format::Text && end > self.input.len() && !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        let mut cut = "";
        if bytes.len() > SHOWN_BYTES_MAX {
            bytes.truncate(SHOWN_BYTES_MAX);
            cut = "...";
        }
        let mut out = String::from("\"");
        for chunk in bytes.utf8_chunks() {
            out.extend(chunk.valid().chars().flat_map(|c| match c {
                '\0' => "\\x00".chars().collect::<Vec<_>>(),
                '\'' => vec!['\''],
                c => c.escape_debug().collect(),
            }));
            for byte in chunk.invalid() {
                out.push_str(&format!("\\x{byte:02x}"));
            }
        }
        out.push('"');
        out.push_str(cut);
        out
    }
}
