//! From the bytes of a series to its labels.

use std::borrow::Cow;
use std::ops::Range;

use varve_storage::{METRIC_NAME, MetricType};

use super::number::{format_bound, parse_go_float};
use super::parser::Parser;
use super::{ExpositionError, Format};

/// An exemplar with its labels decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedExemplar {
    /// Names and values, as they were written.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// The time, where one is given; ms since the epoch.
    pub timestamp_ms: Option<i64>,
}

impl Parser<'_> {
    /// The labels of the last series that was not the expected one, the metric name first, else as written.
    ///
    /// The bounds of classic histograms (`le`) and summaries (`quantile`) are written as OpenMetrics does (`1.0`), so
    /// that both formats give the same series. A name that is not UTF-8 is an error; [`repeated_name`] finds one that occurs
    /// twice.
    pub fn labels(&self) -> Result<Vec<(String, String)>, ExpositionError> {
        let mut labels = Vec::with_capacity(self.labels.len() + 1);
        if let Some(name) = &self.name {
            labels.push((METRIC_NAME.to_owned(), self.unescaped(name)?));
        }
        for (name, value) in &self.labels {
            let name = self.unescaped(name)?;
            let value = self.unescaped(value)?;
            let is_bound = matches!(
                (self.kind, name.as_str()),
                (MetricType::Histogram, "le") | (MetricType::Summary, "quantile")
            );
            let bound = is_bound.then(|| parse_go_float(&value)).flatten();
            let value = bound.map_or(value, format_bound);
            labels.push((name, value));
        }
        Ok(labels)
    }

    /// The exemplar of the last series.
    pub fn exemplar(&self) -> Option<ParsedExemplar> {
        let exemplar = self.exemplar.as_ref()?;
        let text = |range: &Range<usize>| {
            String::from_utf8_lossy(self.input.get(range.clone()).unwrap_or_default()).into_owned()
        };
        let labels = exemplar.labels.iter();
        Some(ParsedExemplar {
            labels: labels
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            value: exemplar.value,
            timestamp_ms: exemplar.timestamp_ms,
        })
    }

    fn unescaped(&self, range: &Range<usize>) -> Result<String, ExpositionError> {
        let bytes = self.input.get(range.clone()).unwrap_or_default();
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(unescape(text, true).into_owned()),
            Err(_) => Err(self.failure(format!(
                "invalid metric name or label names: {}",
                self.shown(self.start, self.at)
            ))),
        }
    }
}

/// The first name that a series has twice among its labels.
pub fn repeated_name(labels: &[(String, String)]) -> Option<&str> {
    let mut names = labels.iter().enumerate();
    names
        .find(|(i, (name, _))| labels[..*i].iter().any(|(other, _)| other == name))
        .map(|(_, (name, _))| name.as_str())
}

/// Resolves `\\`, `\n` and, where `quotes` says so, `\"`. Any other backslash stays.
fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('\\') {
        out.push_str(&rest[..position]);
        let after = &rest[position + 1..];
        let resolved = match after.bytes().next() {
            Some(b'\\') => Some('\\'),
            Some(b'n') => Some('\n'),
            Some(b'"') if quotes => Some('"'),
            _ => None,
        };
        out.push(resolved.unwrap_or('\\'));
        rest = &after[usize::from(resolved.is_some())..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Resolves the escapes of a help text: OpenMetrics has those of label values, the text format has no escaped quote.
pub(super) fn unescape_help(text: &str, format: Format) -> Cow<'_, str> {
    unescape(text, format == Format::OpenMetrics)
}
