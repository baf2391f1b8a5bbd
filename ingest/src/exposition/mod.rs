//! What targets answer: the text format 0.0.4, OpenMetrics 1.0, and Prometheus's protobuf messages.
//!
//! One [`Parser`] walks the bytes of a response and hands out entries. It accepts and rejects what Prometheus's parsers
//! do; an error ends the scrape. Nothing is allocated per sample: an entry borrows the input, and label sets are
//! decoded only when they are asked for, which is once per series and target.
//!
//! Targets expose the same series in the same order almost always. The caller may therefore say which bytes it expects
//! next: where they are there, the parser compares instead of lexing. This cannot change what is accepted, because
//! the grammar is regular and the expected bytes were lexed as one series before.
//!
//! Flow: [`Format::of`] picks the format by Content-Type; [`read`] hands everything to a [`Visitor`], whatever the format. For texts
//! [`Parser::next`] yields [`Entry`]s; [`Parser::labels`] and [`Parser::exemplar`] decode what belongs to the last series. Messages are read in
//! place, field by field. Classic histograms become native ones on the way, where that is asked for.

mod created;
mod decode;
mod failure;
mod media_type;
mod native;
mod nhcb;
mod number;
mod openmetrics;
mod parser;
mod protobuf;
mod read;
mod text;

use std::borrow::Cow;

use thiserror::Error;
use varve_storage::MetricType;

pub use self::decode::{ParsedExemplar, repeated_name};
pub(crate) use self::native::checked;
pub use self::native::{Observations, coarsen};
pub use self::parser::Parser;
pub use self::read::{Details, Exposed, ReadOptions, Visitor, read};

/// The bits of the NaN that every exposed NaN becomes, so that none is mistaken for a stale marker.
pub const NORMAL_NAN: u64 = 0x7ff8_0000_0000_0001;

/// An exposition that breaks its grammar.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ExpositionError {
    /// The line, counted from 1; 0 where the format has no lines.
    pub line: usize,
    /// What is wrong, in Prometheus's words.
    pub message: String,
}

impl std::fmt::Display for ExpositionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

/// An exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4, quoted UTF-8 names included.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Messages `io.prometheus.client.MetricFamily`, each behind its length.
    Protobuf,
}

/// One entry of an exposition.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    /// A sample.
    Series(Sample<'a>),
    /// `# TYPE`: the name of a family as it is written, and its type.
    Type(&'a [u8], MetricType),
    /// `# HELP`: the name of a family, and its help text without escapes.
    Help(&'a [u8], Cow<'a, str>),
    /// `# UNIT`: the name of a family, and its unit.
    Unit(&'a [u8], Cow<'a, str>),
}

/// A sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The series as it is written, from the name to the closing brace.
    pub series: &'a [u8],
    /// The value. Every NaN has the bits [`NORMAL_NAN`].
    pub value: f64,
    /// The time, where the exposition gives one; ms since the epoch.
    pub timestamp_ms: Option<i64>,
    /// Whether the series is the one that the caller expected.
    pub expected: bool,
}

impl Format {
    /// The format of a response by its Content-Type. `fallback` stands in where that is missing, malformed or unknown; `Err`
    /// says why there is none.
    pub fn of(content_type: Option<&str>, fallback: Option<Self>) -> Result<Self, String> {
        let Some(content_type) = content_type.filter(|t| !t.is_empty()) else {
            return fallback.ok_or_else(|| {
                "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target".to_owned()
            });
        };
        let media_type = match media_type::media_type(content_type) {
            Ok(media_type) => media_type,
            Err(reason) => {
                return fallback.ok_or_else(|| {
                    format!("cannot parse Content-Type {content_type:?} and no fallback_scrape_protocol for target: {reason}")
                });
            }
        };
        match media_type.as_str() {
            "application/openmetrics-text" => Ok(Self::OpenMetrics),
            "text/plain" => Ok(Self::Text),
            "application/vnd.google.protobuf" => Ok(Self::Protobuf),
            _ => fallback.ok_or_else(|| {
                format!("received unsupported Content-Type {content_type:?} and no fallback_scrape_protocol specified for target")
            }),
        }
    }

    /// The type that a `# TYPE` line names.
    fn metric_type(self, name: &[u8]) -> Option<MetricType> {
        let open_metrics = self == Self::OpenMetrics;
        Some(match name {
            b"counter" => MetricType::Counter,
            b"gauge" => MetricType::Gauge,
            b"histogram" => MetricType::Histogram,
            b"summary" => MetricType::Summary,
            b"untyped" if !open_metrics => MetricType::Unknown,
            b"unknown" if open_metrics => MetricType::Unknown,
            b"gaugehistogram" if open_metrics => MetricType::GaugeHistogram,
            b"info" if open_metrics => MetricType::Info,
            b"stateset" if open_metrics => MetricType::StateSet,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod notes;
#[cfg(test)]
mod tests;
