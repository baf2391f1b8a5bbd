//! OpenMetrics 1.0. Stricter than the text format: single spaces, no free comments, `# EOF` at the end.

use std::borrow::Cow;

use memchr::memchr;

use super::decode::unescape_help;
use super::failure::State;
use super::number::parse_float;
use super::parser::{Braces, Parser};
use super::{Entry, ExpositionError, Sample};

const NO_EOF: &str = "data does not end with # EOF";

impl<'a> Parser<'a> {
    pub(super) fn next_open_metrics(
        &mut self,
        expected: &[u8],
    ) -> Result<Option<Entry<'a>>, ExpositionError> {
        self.start = self.at;
        match self.byte() {
            None => Err(self.failure(NO_EOF.to_owned())),
            Some(b'#') => self.open_metrics_comment(),
            Some(_) => self.open_metrics_series(expected).map(Some),
        }
    }

    fn open_metrics_comment(&mut self) -> Result<Option<Entry<'a>>, ExpositionError> {
        let rest = self.rest();
        if let Some(after) = rest.strip_prefix(b"# EOF") {
            // A NUL ends the input, as it does in Prometheus.
            let after = after.strip_prefix(b"\n").unwrap_or(after);
            if matches!(after.first(), None | Some(0)) {
                self.at = self.input.len();
                return Ok(None);
            }
            return Err(self.failure("unexpected data after # EOF".to_owned()));
        }
        let keyword = ["HELP", "TYPE", "UNIT"].into_iter().find(|keyword| {
            rest.get(2..7).is_some_and(|word| {
                rest.starts_with(b"# ") && &word[..4] == keyword.as_bytes() && word[4] == b' '
            })
        });
        let Some(keyword) = keyword else {
            return Err(self.unexpected("expected a valid start token", State::Start));
        };
        self.at += 7;
        let family = self.take_family(keyword)?;
        let rest = self.rest();
        let line = match (rest.first(), memchr(b'\n', rest)) {
            (Some(b' '), Some(length)) => &rest[1..length],
            _ => return Err(self.failure(format!("expected text in {keyword}"))),
        };
        self.at += line.len() + 2;
        let shown = || String::from_utf8_lossy(line).into_owned();
        match keyword {
            "TYPE" => {
                self.kind = self
                    .format
                    .metric_type(line)
                    .ok_or_else(|| self.failure(format!("invalid metric type {:?}", shown())))?;
                Ok(Some(Entry::Type(family, self.kind)))
            }
            "HELP" => match std::str::from_utf8(line) {
                Ok(help) => Ok(Some(Entry::Help(family, unescape_help(help, self.format)))),
                Err(_) => Err(self.failure(format!(
                    "help text {:?} is not a valid utf8 string",
                    shown()
                ))),
            },
            _ => {
                let suffixed = line.is_empty()
                    || family
                        .strip_suffix(line)
                        .is_some_and(|stem| stem.ends_with(b"_"));
                if !suffixed {
                    let family = String::from_utf8_lossy(family);
                    return Err(self.failure(format!(
                        "unit {:?} not a suffix of metric {family:?}",
                        shown()
                    )));
                }
                Ok(Some(Entry::Unit(family, Cow::Owned(shown()))))
            }
        }
    }

    fn open_metrics_series(&mut self, expected: &[u8]) -> Result<Entry<'a>, ExpositionError> {
        let expected = self.take_expected(expected);
        if !expected {
            self.name = self.take_name();
            self.labels.clear();
            match self.byte() {
                Some(b'{') => {
                    self.at += 1;
                    self.take_labels(Braces::Series)?;
                }
                _ if self.name.is_none() => {
                    return Err(self.unexpected("expected a valid start token", State::Start));
                }
                _ => {}
            }
        }
        let series = self.since(self.start);
        if !expected && self.name.is_none() {
            self.skip_token();
            return Err(self.failure(format!(
                "metric name not set while parsing: {}",
                self.shown(self.start, self.at)
            )));
        }
        let value = self.open_metrics_float("metric")?;
        let timestamp_ms = self.open_metrics_tail()?;
        Ok(Entry::Series(Sample {
            series,
            value,
            timestamp_ms,
            expected,
        }))
    }

    /// Steps over a space and what follows it up to the next space or line break; gives what follows the space.
    fn skip_token(&mut self) -> Option<&'a [u8]> {
        if self.byte() != Some(b' ') {
            return None;
        }
        let start = self.at + 1;
        let mut end = start;
        while self
            .input
            .get(end)
            .is_some_and(|b| !matches!(b, b' ' | b'\n' | 0))
        {
            end += 1;
        }
        if end == start {
            return None;
        }
        self.at = end;
        Some(self.since(start))
    }

    fn open_metrics_float(&mut self, after: &str) -> Result<f64, ExpositionError> {
        match self.skip_token() {
            Some(token) => parse_float(token).map_err(|reason| self.failure_while_parsing(&reason)),
            None => Err(self.unexpected(&format!("expected value after {after}"), State::Value)),
        }
    }

    /// A timestamp in seconds, as ms.
    fn open_metrics_timestamp(&mut self, what: &str) -> Result<Option<i64>, ExpositionError> {
        let Some(token) = self.skip_token() else {
            return Ok(None);
        };
        let seconds = parse_float(token).map_err(|reason| self.failure_while_parsing(&reason))?;
        if !seconds.is_finite() {
            let shown = match seconds {
                s if s.is_nan() => "NaN",
                s if s > 0.0 => "+Inf",
                _ => "-Inf",
            };
            return Err(self.failure(format!("invalid {what} {shown}")));
        }
        // Whole milliseconds, towards zero; what is beyond 64 bits stays at their end.
        Ok(Some((seconds * 1000.0) as i64))
    }

    /// What may follow a value: a timestamp, an exemplar, the line break.
    fn open_metrics_tail(&mut self) -> Result<Option<i64>, ExpositionError> {
        if self.take_exemplar()? {
            return Ok(None);
        }
        // Behind a value, a hash sign on its own begins an exemplar or nothing.
        let timestamp_ms = match self.rest() {
            [b' ', b'#', b' ', ..] => None,
            _ => self.open_metrics_timestamp("timestamp")?,
        };
        if timestamp_ms.is_some() && self.take_exemplar()? {
            return Ok(timestamp_ms);
        }
        if timestamp_ms.is_some() {
            self.open_metrics_line_end("expected next entry after timestamp")?;
        } else if let Err(error) = self.open_metrics_line_end("expected timestamp or new record") {
            if self.byte().is_none() {
                return Err(error);
            }
            self.pending = Some(error);
        }
        Ok(timestamp_ms)
    }

    fn take_exemplar(&mut self) -> Result<bool, ExpositionError> {
        if !self.rest().starts_with(b" # {") {
            return Ok(false);
        }
        self.at += 4;
        // The list is read into the exemplar; the series' own labels are put aside for the time.
        let series_labels = std::mem::take(&mut self.labels);
        let result = self.take_labels(Braces::Exemplar);
        self.labels = series_labels;
        result?;
        let value = self.open_metrics_float("exemplar labels")?;
        let timestamp_ms = self.open_metrics_timestamp("exemplar timestamp")?;
        self.open_metrics_line_end(match timestamp_ms {
            Some(_) => "expected next entry after exemplar timestamp",
            None => "expected timestamp or comment",
        })?;
        if let Some(exemplar) = &mut self.exemplar {
            exemplar.value = value;
            exemplar.timestamp_ms = timestamp_ms;
        }
        Ok(true)
    }

    fn open_metrics_line_end(&mut self, expectation: &str) -> Result<(), ExpositionError> {
        match self.byte() {
            Some(b'\n') => {
                self.at += 1;
                Ok(())
            }
            None => Err(self.failure(NO_EOF.to_owned())),
            Some(_) => Err(self.unexpected(expectation, State::Timestamp)),
        }
    }
}
