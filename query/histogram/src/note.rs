//! Annotations about native histograms and start timestamps, with Prometheus's texts.

use std::fmt;

use varve_promql::BinaryOp;
use varve_promql::format::quote;

/// Whether an annotation is a warning or an info.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `PromQL info: …`
    Info,
    /// `PromQL warning: …`
    Warning,
}

/// A kind of sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A float.
    Float,
    /// A native histogram.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float => "float",
            Self::Histogram => "histogram",
        })
    }
}

/// What was done with histograms that did not quite fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `+`, and the corrections of a rate.
    Addition,
    /// `-`, and the differences of a rate.
    Subtraction,
    /// `sum`, `avg`, and both of them over time.
    Aggregation,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        })
    }
}

/// Something that a user should know of a result, or of why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A window has floats and histograms, and the function cannot have both.
    MixedFloatsHistograms,
    /// A group of series has floats and histograms.
    MixedFloatsHistogramsInAggregation,
    /// Series have both classic buckets and native histograms.
    MixedClassicNative,
    /// A function of counters read a gauge.
    NotCounter,
    /// A function of gauges read a counter.
    NotGauge,
    /// Exponential and custom buckets met.
    MixedExponentialCustom,
    /// A sample counts again what the one before has counted, by their start timestamps.
    StartTimeOverlap,
    /// An operator has no meaning for two kinds of samples.
    IncompatibleTypes(Kind, BinaryOp, Kind),
    /// An operator met exponential and custom buckets.
    IncompatibleBucketLayout(BinaryOp),
    /// Histograms contradict each other about a counter reset.
    CounterResetCollision(Operation),
    /// Custom bounds differed, and were reduced to the common ones.
    MismatchedCustomBuckets(Operation),
    /// An aggregation without a meaning for histograms left one out.
    IgnoredInAggregation(&'static str),
    /// A function of floats left histograms out of a window.
    IgnoredInMixedRange,
    /// A quantile lies among observations of NaN.
    QuantileIsNan,
    /// Observations of NaN count as if they were above all others.
    QuantileSkewed,
    /// Observations of NaN are in no fraction.
    FractionWithoutNans,
}

impl Note {
    /// How serious it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::MixedFloatsHistograms
            | Self::MixedFloatsHistogramsInAggregation
            | Self::MixedClassicNative
            | Self::NotCounter
            | Self::NotGauge
            | Self::MixedExponentialCustom
            | Self::StartTimeOverlap
            | Self::IncompatibleBucketLayout(_)
            | Self::CounterResetCollision(_) => Severity::Warning,
            Self::IncompatibleTypes(..)
            | Self::MismatchedCustomBuckets(_)
            | Self::IgnoredInAggregation(_)
            | Self::IgnoredInMixedRange
            | Self::QuantileIsNan
            | Self::QuantileSkewed
            | Self::FractionWithoutNans => Severity::Info,
        }
    }

    /// The text behind `PromQL warning: ` or `PromQL info: `, without the position. The name is that of the metric that was read, and empty where
    /// it is gone; some texts have no use for it.
    pub fn text(self, metric_name: &str) -> String {
        let named = |text: &str| format!("{text} {}", quote(metric_name));
        let named_if_known = |text: &str| match metric_name {
            "" => text.to_owned(),
            name => format!("{text} for metric name {}", quote(name)),
        };
        match self {
            Self::MixedFloatsHistograms => {
                named("encountered a mix of histograms and floats for metric name")
            }
            Self::MixedFloatsHistogramsInAggregation => {
                "encountered a mix of histograms and floats for aggregation".to_owned()
            }
            Self::MixedClassicNative => {
                named_if_known("vector contains a mix of classic and native histograms")
            }
            Self::NotCounter => named("this native histogram metric is not a counter:"),
            Self::NotGauge => named("this native histogram metric is not a gauge:"),
            Self::MixedExponentialCustom => named(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name",
            ),
            Self::StartTimeOverlap => named(
                "sample has start time that overlaps with previous sample timestamp for metric",
            ),
            Self::IncompatibleTypes(left, op, right) => format!(
                "incompatible sample types encountered for binary operator {}: {left} {op} {right}",
                quote(op.as_str())
            ),
            Self::IncompatibleBucketLayout(op) => {
                format!("incompatible bucket layout encountered for binary operator {op}")
            }
            Self::CounterResetCollision(operation) => {
                format!("conflicting counter resets during histogram {operation}")
            }
            Self::MismatchedCustomBuckets(operation) => {
                format!("mismatched custom buckets were reconciled during {operation}")
            }
            Self::IgnoredInAggregation(aggregation) => {
                format!("ignored histogram in {aggregation} aggregation")
            }
            Self::IgnoredInMixedRange => named(
                "ignored histograms in a range containing both floats and histograms for metric name",
            ),
            Self::QuantileIsNan => {
                named_if_known("input to histogram_quantile has NaN observations, result is NaN")
            }
            Self::QuantileSkewed => named_if_known(
                "input to histogram_quantile has NaN observations, result is skewed higher",
            ),
            Self::FractionWithoutNans => named_if_known(
                "input to histogram_fraction has NaN observations, which are excluded from all fractions",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_prometheus() {
        for (note, severity, text) in [
            (
                Note::MixedFloatsHistograms,
                Severity::Warning,
                "encountered a mix of histograms and floats for metric name \"m\"",
            ),
            (
                Note::IncompatibleTypes(Kind::Histogram, BinaryOp::TrimUpper, Kind::Histogram),
                Severity::Info,
                "incompatible sample types encountered for binary operator \"</\": histogram </ histogram",
            ),
            (
                Note::StartTimeOverlap,
                Severity::Warning,
                "sample has start time that overlaps with previous sample timestamp for metric \"m\"",
            ),
            (
                Note::CounterResetCollision(Operation::Aggregation),
                Severity::Warning,
                "conflicting counter resets during histogram aggregation",
            ),
            (
                Note::QuantileIsNan,
                Severity::Info,
                "input to histogram_quantile has NaN observations, result is NaN for metric name \"m\"",
            ),
        ] {
            assert_eq!((note.severity(), note.text("m").as_str()), (severity, text));
        }
        assert_eq!(
            Note::MixedClassicNative.text(""),
            "vector contains a mix of classic and native histograms"
        );
    }
}
