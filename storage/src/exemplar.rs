//! Exemplars: single observations, with the trace that they belong to.

mod batch;

use crate::labels::{Labels, SeriesRef};

pub use batch::{decode_exemplars, exemplars_batch};

/// One exemplar of a series.
#[derive(Clone, Debug)]
pub struct Exemplar {
    /// The series that it illustrates.
    pub series: SeriesRef,
    /// The exemplar's own labels, such as `trace_id`.
    pub labels: Labels,
    /// Its time; the sample's where the target gave none.
    pub timestamp_ms: i64,
    /// The observed value.
    pub value: f64,
}

impl Exemplar {
    fn key(&self) -> (&str, &[u8; 16], i64, &Labels, u64) {
        (
            self.series.labels.metric_name(),
            &self.series.id.0,
            self.timestamp_ms,
            &self.labels,
            self.value.to_bits(),
        )
    }

    /// The order in segments and files: metric name, series id, time, labels, bits of the value. Equal ones are one exemplar.
    pub fn total_cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }

    /// Bytes in memory without those of its series, about.
    pub fn own_bytes(&self) -> usize {
        size_of::<Self>() + self.labels.heap_bytes()
    }
}
