//! Metric metadata: type, unit and help text.

use serde::{Deserialize, Serialize};

/// A metric's type, by Prometheus's names.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum MetricType {
    /// Monotonic, resets aside.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Classic or native histogram.
    Histogram,
    /// A histogram that may decrease.
    GaugeHistogram,
    /// Quantiles, sum and count.
    Summary,
    /// Labels as information, value 1.
    Info,
    /// One series per state.
    StateSet,
    /// Not declared.
    #[default]
    Unknown,
}

impl MetricType {
    /// The name in the HTTP API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
        }
    }
}

/// What a target says about one metric family.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MetricMetadata {
    /// The name of the metric family.
    pub family: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: MetricType,
    /// Its unit, "" where none is declared.
    pub unit: String,
    /// Its help text, "" where none is declared.
    pub help: String,
}
