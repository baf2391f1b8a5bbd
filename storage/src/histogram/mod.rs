//! Native histograms: the type that every format of Varve stores, and the arithmetic on it.
//!
//! Integer histograms are kept as floats with absolute bucket counts, the form in which PromQL computes. Results have the
//! bits of Prometheus's: every operation is one IEEE 754 operation, and their order is part of the result.
//!
//! Vocabulary:
//! - The *schema* is the resolution. From -4 to 8 buckets are exponential: 2^schema of them double the bound. Schema -53 has
//!   *custom bounds*, as classic histograms have (Prometheus: NHCB).
//! - A *side* is the positive or the negative buckets; an *index* numbers the buckets of a side. *Spans* say which indexes
//!   have an explicit count.
//! - The *zero bucket* counts observations between minus and plus the *zero threshold*.
//!
//! [`Bucket`] gives buckets with their bounds; addition and subtraction reconcile two layouts first and report it as
//! [`Combined`]; [`Compensation`] is what Kahan's summation carries from one addition to the next. Functions of PromQL that need Go's
//! logarithms or its notation of numbers are not here but in `varve-histogram`.
//!
//! Invariant: no method panics or allocates more than the histograms have items, whatever they hold. Only histograms that pass
//! [`FloatHistogram::validate`] have meaningful results.

mod arithmetic;
mod bounds;
mod buckets;
mod cell;
mod classic;
mod compact;
mod custom;
mod encoding;
mod equality;
mod error;
mod integer;
mod kahan;
mod layout;
mod reset;
mod resolution;
mod validate;
mod zero;

#[cfg(test)]
mod arbitrary;

use std::cmp::Ordering;

pub use arithmetic::Combined;
pub use buckets::Bucket;
pub use classic::ClassicHistogram;
pub use error::HistogramError;
pub use integer::IntegerHistogram;
pub use kahan::{Compensation, kahan_add};

/// The schema of custom bounds.
pub const SCHEMA_CUSTOM: i32 = -53;
/// The coarsest exponential schema: a bucket spans 16 doublings.
pub const SCHEMA_MIN: i32 = -4;
/// The finest exponential schema: 256 buckets to a doubling.
pub const SCHEMA_MAX: i32 = 8;
/// The coarsest exponential schema that may be received; it has to be reduced before use.
pub const SCHEMA_MIN_RESERVED: i32 = -9;
/// The finest exponential schema that may be received; it has to be reduced before use.
pub const SCHEMA_MAX_RESERVED: i32 = 52;

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The gap to the previous span's end, or the index of the first bucket for the first span.
    pub offset: i32,
    /// The number of buckets in the run.
    pub length: u32,
}

/// What is known about a counter reset between a histogram and its predecessor (Prometheus's `CounterResetHint`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(i8)]
pub enum CounterResetHint {
    /// Nothing is known.
    #[default]
    Unknown = 0,
    /// A reset happened.
    CounterReset = 1,
    /// No reset happened.
    NotCounterReset = 2,
    /// The histogram is a gauge.
    Gauge = 3,
}

/// A native histogram with absolute float counts.
///
/// `==` compares fields as floats do; [`FloatHistogram::same_data`] is what PromQL calls equal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {
    /// What is known about a reset before this sample.
    pub counter_reset_hint: CounterResetHint,
    /// The resolution: -4 to 8 exponential, -53 custom bounds.
    pub schema: i32,
    /// The width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// The sum of all observations; the stale marker's bits mark staleness.
    pub sum: f64,
    /// The runs of positive buckets.
    pub positive_spans: Vec<Span>,
    /// Absolute counts of the positive buckets, as many as the spans' lengths add up to.
    pub positive_buckets: Vec<f64>,
    /// The runs of negative buckets.
    pub negative_spans: Vec<Span>,
    /// Absolute counts of the negative buckets.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets (schema -53), else empty.
    pub custom_values: Vec<f64>,
}

impl FloatHistogram {
    /// Whether the buckets have custom bounds rather than exponential ones.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == SCHEMA_CUSTOM
    }

    /// Whether the schema is one of those with which PromQL computes.
    pub fn has_valid_schema(&self) -> bool {
        self.uses_custom_buckets() || is_exponential(self.schema)
    }

    /// The spans, buckets and bounds on the heap; each takes 8 bytes.
    pub fn heap_items(&self) -> usize {
        self.positive_spans.len()
            + self.positive_buckets.len()
            + self.negative_spans.len()
            + self.negative_buckets.len()
            + self.custom_values.len()
    }

    /// A total order on the bits, to choose between two samples of one series at one time.
    pub fn total_cmp(&self, other: &Self) -> Ordering {
        let floats = |a: &[f64], b: &[f64]| {
            a.iter()
                .map(|v| v.to_bits())
                .cmp(b.iter().map(|v| v.to_bits()))
        };
        let spans = |a: &[Span], b: &[Span]| {
            a.iter()
                .map(|s| (s.offset, s.length))
                .cmp(b.iter().map(|s| (s.offset, s.length)))
        };
        crate::sample::compare_duplicates(self.sum, other.sum)
            .then_with(|| self.count.total_cmp(&other.count))
            .then_with(|| self.schema.cmp(&other.schema))
            .then_with(|| self.zero_threshold.total_cmp(&other.zero_threshold))
            .then_with(|| self.zero_count.total_cmp(&other.zero_count))
            .then_with(|| self.counter_reset_hint.cmp(&other.counter_reset_hint))
            .then_with(|| spans(&self.positive_spans, &other.positive_spans))
            .then_with(|| floats(&self.positive_buckets, &other.positive_buckets))
            .then_with(|| spans(&self.negative_spans, &other.negative_spans))
            .then_with(|| floats(&self.negative_buckets, &other.negative_buckets))
            .then_with(|| floats(&self.custom_values, &other.custom_values))
    }
}

/// Whether a schema has exponential buckets and may be computed with.
pub(crate) fn is_exponential(schema: i32) -> bool {
    (SCHEMA_MIN..=SCHEMA_MAX).contains(&schema)
}
