//! Native histograms, as every format of Varve stores them.
//!
//! Integer histograms are kept as floats with absolute bucket counts, the form in which PromQL computes.

use std::cmp::Ordering;

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
#[derive(Clone, Debug, PartialEq)]
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
