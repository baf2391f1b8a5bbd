//! What is remembered of one series: its newest sample and exemplar, which later ones must follow.

use std::sync::Arc;

use varve_storage::{FloatHistogram, SampleValue, SeriesRef, stale_nan};

use super::exemplars::NewestExemplar;

/// One series after relabelling.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) series: SeriesRef,
    /// How many slots lead here.
    pub(super) slots: u32,
    /// The iteration in which it last counted as alive.
    pub(super) alive: u64,
    /// Its newest sample.
    pub(super) last: Option<Newest>,
    /// The iteration in which `last` was last compared with a sample.
    pub(super) sampled: u64,
    /// What `last` was before that iteration.
    pub(super) before: Option<Newest>,
    /// The value of `last`, if that is a histogram: from it follows what is known of resets between it and the next.
    pub(super) histogram: Option<Arc<FloatHistogram>>,
    /// Its newest exemplar, if it ever had one.
    pub(super) exemplar: Option<Box<NewestExemplar>>,
}

/// The newest sample of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) timestamp_ms: i64,
    value_bits: u64,
}

/// What becomes of a sample, given those that its series has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is to be written.
    New,
    /// The series has it already, or got a newer one from this very scrape: it is left out, and that is no error.
    Known,
    /// The series has another value for the time.
    Duplicate,
    /// The series has a later sample.
    OutOfOrder,
}

impl Track {
    /// A series that was not seen yet; `last`: its newest sample, if that is known from earlier.
    pub(super) fn new(series: SeriesRef, last: Option<Newest>) -> Self {
        Self {
            series,
            slots: 0,
            alive: 0,
            last,
            sampled: 0,
            before: None,
            histogram: None,
            exemplar: None,
        }
    }

    /// Compares a sample with those before it, as Prometheus's storage does: whether it is in order is decided by what was
    /// there before the scrape; within a scrape the first of two that exclude each other stands.
    pub(super) fn take(&mut self, iteration: u64, timestamp_ms: i64, value_bits: u64) -> Verdict {
        if self.sampled != iteration {
            self.sampled = iteration;
            self.before = self.last;
        }
        if let Some(before) = self.before {
            if timestamp_ms < before.timestamp_ms {
                return Verdict::OutOfOrder;
            }
            if timestamp_ms == before.timestamp_ms && value_bits != before.value_bits {
                return Verdict::Duplicate;
            }
        }
        if self
            .last
            .is_some_and(|last| timestamp_ms <= last.timestamp_ms)
        {
            return Verdict::Known;
        }
        self.last = Some(Newest {
            timestamp_ms,
            value_bits,
        });
        Verdict::New
    }

    /// The histogram that the series has last, if it is one.
    pub(super) fn histogram(&self) -> Option<&FloatHistogram> {
        self.histogram.as_deref()
    }

    /// Notes the value of a sample that was taken.
    pub(super) fn note(&mut self, value: &SampleValue) {
        self.histogram = match value {
            SampleValue::Float(_) => None,
            SampleValue::Histogram(histogram) => Some(Arc::clone(histogram)),
        };
    }

    /// The sample that ends the series: of the kind that its last one has.
    pub(super) fn stale_value(&self) -> SampleValue {
        match &self.histogram {
            None => SampleValue::Float(stale_nan()),
            Some(previous) => {
                let mut marker = FloatHistogram {
                    sum: stale_nan(),
                    ..FloatHistogram::default()
                };
                marker.counter_reset_hint = marker.stored_hint(Some(previous));
                SampleValue::Histogram(Arc::new(marker))
            }
        }
    }

    /// Whether a sample of this time would be its newest.
    pub(super) fn is_newer(&self, timestamp_ms: i64) -> bool {
        let last = self.last.as_ref();
        last.is_none_or(|last| timestamp_ms > last.timestamp_ms)
    }
}
