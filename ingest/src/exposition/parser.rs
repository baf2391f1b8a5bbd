//! What both formats share: the state of a walk over the bytes, names, label lists.

use std::ops::Range;

use varve_storage::MetricType;

use super::failure::State;
use super::{Entry, ExpositionError, Format};

/// Labels that one series or exemplar may be exposed with: far above what can be stored, for rules may drop most of them.
pub(super) const EXPOSED_LABELS_MAX: usize = 10_000;

/// A walk over one exposition.
#[derive(Debug)]
pub struct Parser<'a> {
    pub(super) input: &'a [u8],
    pub(super) format: Format,
    /// The next byte.
    pub(super) at: usize,
    /// Where the current entry begins.
    pub(super) start: usize,
    /// The type of the last `# TYPE`; it decides how `le` and `quantile` are written.
    pub(super) kind: MetricType,
    /// The length of the name in the last metadata.
    pub(super) family_length: usize,
    /// Comments so far that say nothing.
    pub(super) comments: usize,
    /// The metric name of the last series; `None` before one was found.
    pub(super) name: Option<Range<usize>>,
    /// Names and values (without quotes, with escapes) of the last series' labels.
    pub(super) labels: Vec<(Range<usize>, Range<usize>)>,
    /// The exemplar of the last series.
    pub(super) exemplar: Option<RawExemplar>,
    /// What is wrong behind the last series. The series itself counts, so this is told after it.
    pub(super) pending: Option<ExpositionError>,
}

/// An exemplar as it is written.
#[derive(Debug, Default)]
pub(super) struct RawExemplar {
    pub(super) labels: Vec<(Range<usize>, Range<usize>)>,
    pub(super) value: f64,
    pub(super) timestamp_ms: Option<i64>,
}

/// What a byte may be; looked up, because names and values are most of what is read.
const CLASSES: [u8; 256] = classes();
const LABEL_START: u8 = 1;
const LABEL: u8 = 2;
const NAME: u8 = 4;
/// What ends a quoted text or may not be there.
const SPECIAL: u8 = 8;

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        classes[byte] = match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => LABEL_START | LABEL | NAME,
            b'0'..=b'9' => LABEL | NAME,
            b':' => NAME,
            b'"' | b'\\' | b'\n' | 0 => SPECIAL,
            _ => 0,
        };
        byte += 1;
    }
    classes
}

fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn is_label_start(byte: u8) -> bool {
    is(byte, LABEL_START)
}

pub(super) fn is_name_start(byte: u8) -> bool {
    is_label_start(byte) || byte == b':'
}

/// Which label list is being read.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Braces {
    Series,
    Exemplar,
}

impl<'a> Parser<'a> {
    /// A walk from the start of an exposition.
    pub fn new(input: &'a [u8], format: Format) -> Self {
        Self {
            input,
            format,
            at: 0,
            start: 0,
            kind: MetricType::Unknown,
            family_length: 0,
            comments: 0,
            name: None,
            labels: Vec::new(),
            exemplar: None,
            pending: None,
        }
    }

    /// The next entry; `None` at the end. `expected` is how the next series is probably written, empty for no guess.
    pub fn next(&mut self, expected: &[u8]) -> Result<Option<Entry<'a>>, ExpositionError> {
        self.exemplar = None;
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        match self.format {
            Format::Text => self.next_text(expected),
            Format::OpenMetrics => self.next_open_metrics(expected),
            // Messages are not walked by this parser.
            Format::Protobuf => Ok(None),
        }
    }

    /// The name of the last series that was not the expected one, as it is written.
    pub(super) fn name(&self) -> &'a [u8] {
        let name = self.name.clone().unwrap_or_default();
        self.input.get(name).unwrap_or_default()
    }

    /// The other labels of that series, as they are written.
    pub(super) fn raw_labels(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let bytes = |range: &Range<usize>| self.input.get(range.clone()).unwrap_or_default();
        let labels = self.labels.iter();
        labels.map(move |(name, value)| (bytes(name), bytes(value)))
    }

    pub(super) fn byte(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    /// The bytes from `start` to the next one that is to be read.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.input.get(start..self.at).unwrap_or_default()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    pub(super) fn skip_blanks(&mut self) {
        while self.byte().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    /// Steps over the series if it is the expected one.
    ///
    /// A closing brace ends a series for good. A bare name must be followed by one blank and then something that is
    /// neither blank nor brace; what is rarer takes the long way.
    pub(super) fn take_expected(&mut self, expected: &[u8]) -> bool {
        if expected.is_empty() || !self.rest().starts_with(expected) {
            return false;
        }
        let end = self.at + expected.len();
        let complete = expected.ends_with(b"}")
            || (self.input.get(end) == Some(&b' ')
                && self
                    .input
                    .get(end + 1)
                    .is_some_and(|b| !is_blank(*b) && *b != b'{'));
        if complete {
            self.at = end;
        }
        complete
    }

    /// Steps over a metric name.
    pub(super) fn take_name(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        if !self.byte().is_some_and(is_name_start) {
            return None;
        }
        self.skip_class(NAME);
        Some(start..self.at)
    }

    /// Steps over all bytes of a class.
    fn skip_class(&mut self, class: u8) {
        let rest = self.rest();
        let length = rest.iter().position(|byte| !is(*byte, class));
        self.at += length.unwrap_or(rest.len());
    }

    /// Steps over a quoted text and gives what stands between the quotes. Without a closing quote, or at a byte that
    /// may not be there, `at` stays.
    pub(super) fn take_quoted(&mut self, nul: bool, line_break: bool) -> Option<Range<usize>> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            let rest = self.input.get(at..)?;
            at += rest.iter().position(|byte| is(*byte, SPECIAL))?;
            match self.input.get(at)? {
                b'"' => {
                    self.at = at + 1;
                    return Some(start..at);
                }
                b'\\' => {}
                0 if nul => {
                    at += 1;
                    continue;
                }
                b'\n' if line_break => {
                    at += 1;
                    continue;
                }
                _ => return None,
            }
            // A backslash goes with the byte after it.
            if matches!(self.input.get(at + 1), None | Some(b'\n' | 0)) {
                return None;
            }
            at += 2;
        }
    }

    /// The name of a family after `# HELP` and the like: bare, or in quotes, which are left out.
    pub(super) fn take_family(&mut self, keyword: &str) -> Result<&'a [u8], ExpositionError> {
        let range = match self.byte() {
            Some(b'"') => self.take_quoted(false, true),
            _ => self.take_name(),
        };
        match range {
            Some(range) => {
                self.family_length = range.len();
                Ok(&self.input[range])
            }
            None => Err(self.unexpected(
                &format!("expected metric name after {keyword}"),
                State::Family,
            )),
        }
    }

    /// Reads a label list after its opening brace. The text format allows blanks between the parts, and labels that
    /// no comma separates; OpenMetrics allows neither, nor line breaks in values.
    pub(super) fn take_labels(&mut self, braces: Braces) -> Result<(), ExpositionError> {
        let lenient = self.format == Format::Text;
        let mut labels = std::mem::take(&mut self.labels);
        labels.clear();
        let result = self.take_label_list(braces, lenient, &mut labels);
        if braces == Braces::Exemplar {
            self.exemplar = Some(RawExemplar {
                labels,
                ..RawExemplar::default()
            });
        } else {
            self.labels = labels;
        }
        result
    }

    fn take_label_list(
        &mut self,
        braces: Braces,
        lenient: bool,
        labels: &mut Vec<(Range<usize>, Range<usize>)>,
    ) -> Result<(), ExpositionError> {
        loop {
            self.blanks_if(lenient);
            let quoted = self.byte() == Some(b'"');
            let name = match self.byte() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'"') => self.take_quoted(false, braces == Braces::Series),
                Some(byte) if is_label_start(byte) => {
                    let start = self.at;
                    self.skip_class(LABEL);
                    Some(start..self.at)
                }
                _ => None,
            };
            let Some(name) = name else {
                return Err(self.unexpected("expected label name", State::Labels));
            };
            self.blanks_if(lenient);
            let next = self.byte();
            if quoted && matches!(next, Some(b',' | b'}')) {
                // A quoted text that stands alone is the metric's name.
                if braces == Braces::Exemplar {
                    return Err(self.unexpected("expected label name", State::Labels));
                }
                self.at += 1;
                if self.name.is_some() {
                    return Err(self.failure(format!(
                        "metric name already set while parsing: {}",
                        self.shown(self.start, self.at)
                    )));
                }
                self.name = Some(name);
                if next == Some(b'}') {
                    return Ok(());
                }
                continue;
            }
            if next != Some(b'=') {
                return Err(self.unexpected("expected equal", State::Labels));
            }
            self.at += 1;
            self.blanks_if(lenient);
            let start = self.at;
            let value = match self.byte() {
                Some(b'"') => self.take_quoted(braces == Braces::Series, lenient),
                _ => None,
            };
            let Some(value) = value else {
                return Err(self.unexpected("expected label value", State::LabelValue));
            };
            if std::str::from_utf8(&self.input[value.clone()]).is_err() {
                return Err(self.failure(format!(
                    "invalid UTF-8 label value: {}",
                    self.shown(start, self.at)
                )));
            }
            if labels.len() == EXPOSED_LABELS_MAX {
                return Err(self.failure(format!(
                    "more than {EXPOSED_LABELS_MAX} labels while parsing: {}",
                    self.shown(self.start, self.at)
                )));
            }
            labels.push((name, value));
            self.blanks_if(lenient);
            if self.byte() == Some(b',') {
                self.at += 1;
            } else if !lenient && self.byte() != Some(b'}') {
                return Err(self.unexpected("expected comma or brace close", State::Labels));
            }
        }
    }

    fn blanks_if(&mut self, lenient: bool) {
        if lenient {
            self.skip_blanks();
        }
    }
}
