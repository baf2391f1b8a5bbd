//! What is wrong with a histogram, in Prometheus's words.

use std::fmt;

use thiserror::Error;

use super::{SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN};

/// Why a histogram is invalid, or cannot be combined, converted or decoded. The message is Prometheus's, where it has one.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum HistogramError {
    /// Custom bounds with exponential buckets.
    #[error(
        "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
    )]
    IncompatibleSchemas,
    /// A schema with which PromQL does not compute.
    #[error(
        "histogram has an invalid schema, which must be between {SCHEMA_MIN} and {SCHEMA_MAX} for exponential buckets, or {SCHEMA_CUSTOM} for custom buckets, got schema {0}"
    )]
    InvalidSchema(i32),
    /// A resolution that cannot be reduced to the one asked for.
    #[error("cannot reduce resolution from schema {from} to {to}")]
    ReduceResolution {
        /// The histogram's schema.
        from: i32,
        /// What was asked for.
        to: i32,
    },
    /// A gap of negative length between two spans.
    #[error(
        "span number {number} with offset {offset}: histogram has a span whose offset is negative"
    )]
    NegativeOffset {
        /// The position of the span behind it, from 1.
        number: usize,
        /// Its offset.
        offset: i32,
    },
    /// Spans for another number of buckets than there are.
    #[error(
        "spans need {needed} buckets, have {present} buckets: histogram spans specify different number of buckets than provided"
    )]
    BucketNumber {
        /// What the spans' lengths add up to.
        needed: u64,
        /// The number of buckets.
        present: usize,
    },
    /// A bucket with less than nothing in it.
    #[error(
        "bucket number {number} has observation count of {}: histogram has a bucket whose observation count is negative",
        General(*count)
    )]
    NegativeBucket {
        /// Its position, from 1.
        number: usize,
        /// Its count.
        count: f64,
    },
    /// A zero bucket with less than nothing in it.
    #[error(
        "zero bucket has observation count of {}: histogram has a bucket whose observation count is negative",
        General(*.0)
    )]
    NegativeZeroBucket(f64),
    /// Less than no observations.
    #[error(
        "observation count is  {}: histogram's observation count is negative",
        General(*.0)
    )]
    NegativeCount(f64),
    /// A custom bound is NaN.
    #[error("histogram custom bounds must not be NaN")]
    NanBound,
    /// Custom bounds that do not ascend.
    #[error(
        "previous bound is {} and current is {}: histogram custom bounds must be in strictly increasing order",
        Fixed(*previous),
        Fixed(*current)
    )]
    UnorderedBounds {
        /// A bound.
        previous: f64,
        /// The one behind it, which is not greater.
        current: f64,
    },
    /// The last custom bound is infinite.
    #[error(
        "last +Inf bound must not be explicitly defined: histogram custom bounds must be finite"
    )]
    InfiniteBound,
    /// Buckets beyond the one behind the last custom bound.
    #[error(
        "only {bounds} custom bounds defined which is insufficient to cover total span length of {length}: histogram custom bounds are too few"
    )]
    TooFewBounds {
        /// The number of custom bounds.
        bounds: usize,
        /// How many buckets the spans reach over, gaps included.
        length: i64,
    },
    /// A zero bucket beside custom buckets.
    #[error("custom buckets: must have zero count of 0")]
    CustomZeroCount,
    /// A zero bucket beside custom buckets.
    #[error("custom buckets: must have zero threshold of 0")]
    CustomZeroThreshold,
    /// Negative buckets beside custom buckets.
    #[error("custom buckets: must not have negative spans")]
    CustomNegativeSpans,
    /// Negative buckets beside custom buckets.
    #[error("custom buckets: must not have negative buckets")]
    CustomNegativeBuckets,
    /// Custom bounds without custom buckets.
    #[error("histogram with exponential schema must not have custom bounds")]
    UnusedBounds,
    /// More observations in buckets than there are, and their sum is NaN.
    #[error(
        "{found} observations found in buckets, but the Count field is {count}: histogram's observation count should be at least the number of observations found in the buckets"
    )]
    CountTooSmall {
        /// The observations in buckets.
        found: u128,
        /// All observations.
        count: u64,
    },
    /// Another number of observations in buckets than there are.
    #[error(
        "{found} observations found in buckets, but the Count field is {count}: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)"
    )]
    CountMismatch {
        /// The observations in buckets.
        found: u128,
        /// All observations.
        count: u64,
    },
    /// One of the other errors, in one part of the histogram.
    #[error("{part}: {error}")]
    Part {
        /// "positive side", "negative side" or "custom buckets".
        part: &'static str,
        /// What is wrong there.
        error: Box<HistogramError>,
    },
    /// A classic bucket with less than nothing in it.
    #[error(
        "bucket count must be non-negative: le={}, count={}",
        General(*le),
        General(*count)
    )]
    ClassicNegativeBucket {
        /// The upper bound.
        le: f64,
        /// The cumulative count.
        count: f64,
    },
    /// A classic bucket whose bound is NaN.
    #[error("bucket boundary must not be NaN")]
    ClassicNanBound,
    /// A classic histogram with less than no observations.
    #[error("count must be non-negative: count={}", General(*.0))]
    ClassicNegativeCount(f64),
    /// A classic histogram whose count is not that of its last bucket.
    #[error(
        "count mismatch: count={} != le={} count={}",
        CountOf { count: *count, integer: *integer },
        General(*le),
        General(*bucket_count)
    )]
    ClassicCount {
        /// The number of observations.
        count: f64,
        /// Whether all counts are whole numbers.
        integer: bool,
        /// The last bucket's bound.
        le: f64,
        /// Its cumulative count.
        bucket_count: f64,
    },
    /// A classic bucket with fewer observations than one below it.
    #[error(
        "count is not cumulative: {} {} {}",
        General(*count),
        if count < neighbour { '<' } else { '>' },
        General(*neighbour)
    )]
    ClassicNotCumulative {
        /// Its count.
        count: f64,
        /// The count of the bucket below or above that contradicts it.
        neighbour: f64,
    },
    /// Bytes that are not an encoded histogram.
    #[error("bytes are not an encoded histogram: {0}")]
    Encoding(&'static str),
}

impl HistogramError {
    /// A function that says of an error in which part it is.
    pub(super) fn within(part: &'static str) -> impl Fn(Self) -> Self {
        move |error| Self::Part {
            part,
            error: Box::new(error),
        }
    }
}

/// A number as Go's `%g` writes it, up to ties between shortest decimals.
struct General(f64);

impl fmt::Display for General {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.abs();
        if self.0.is_infinite() {
            return f.write_str(if self.0 > 0.0 { "+Inf" } else { "-Inf" });
        }
        if magnitude == 0.0 || magnitude.is_nan() || (1e-4..1e6).contains(&magnitude) {
            return write!(f, "{}", self.0);
        }
        let text = format!("{:e}", self.0);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        write!(f, "{mantissa}e{sign}{digits:0>2}")
    }
}

/// A number as Go's `%f` writes it.
struct Fixed(f64);

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_infinite() {
            return write!(f, "{}", General(self.0));
        }
        write!(f, "{:.6}", self.0)
    }
}

struct CountOf {
    count: f64,
    integer: bool,
}

impl fmt::Display for CountOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.integer {
            return write!(f, "{}", self.count);
        }
        write!(f, "{}", General(self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_messages_look_like_go() {
        for (number, general, fixed) in [
            (1.5, "1.5", "1.500000"),
            (-0.0, "-0", "-0.000000"),
            (1e6, "1e+06", "1000000.000000"),
            (123456.5, "123456.5", "123456.500000"),
            (1e-5, "1e-05", "0.000010"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NAN, "NaN", "NaN"),
        ] {
            assert_eq!(General(number).to_string(), general);
            assert_eq!(Fixed(number).to_string(), fixed);
        }
    }
}
