//! What is remembered of one series: its newest sample and exemplar, which later ones must follow.
//!
//! There is a track for every series that is scraped, so its size matters: see the test at the end.

use std::num::NonZeroU64;
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
    pub(super) alive: Mark,
    /// Its newest sample.
    pub(super) last: Option<Newest>,
    /// The iteration in which `last` was last compared with a sample.
    pub(super) sampled: Mark,
    /// What `last` was before that iteration.
    pub(super) before: Option<Newest>,
    /// What few series have: on the heap, so that the others need no room for it.
    rare: Option<Box<Rare>>,
}

/// What is remembered of histograms and of series with exemplars.
#[derive(Debug, Default)]
struct Rare {
    /// The value of the newest sample, if that is a histogram: from it follows what is known of resets between it and the next.
    histogram: Option<Arc<FloatHistogram>>,
    /// The newest exemplar, if there ever was one.
    exemplar: Option<NewestExemplar>,
}

/// The newest sample of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    /// The time with its sign bit turned, which is not 0, so that "none" needs no room of its own.
    time: NonZeroU64,
    value_bits: u64,
}

const SIGN: u64 = 1 << 63;

impl Newest {
    /// The earliest time of all counts as the one after it.
    fn new(timestamp_ms: i64, value_bits: u64) -> Self {
        let time = timestamp_ms.cast_unsigned() ^ SIGN;
        Self {
            time: NonZeroU64::new(time).unwrap_or(NonZeroU64::MIN),
            value_bits,
        }
    }

    pub(super) fn timestamp_ms(&self) -> i64 {
        (self.time.get() ^ SIGN).cast_signed()
    }
}

/// An iteration, where it is only asked whether it is the current one or the one before: half of its number is enough for that, since nothing
/// is kept unseen for as many iterations as there are marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark(u32);

impl Mark {
    pub(super) fn of(iteration: u64) -> Self {
        Self(iteration as u32)
    }
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
            alive: Mark::default(),
            last,
            sampled: Mark::default(),
            before: None,
            rare: None,
        }
    }

    /// Compares a sample with those before it, as Prometheus's storage does: whether it is in order is decided by what was
    /// there before the scrape; within a scrape the first of two that exclude each other stands.
    pub(super) fn take(&mut self, iteration: Mark, timestamp_ms: i64, value_bits: u64) -> Verdict {
        if self.sampled != iteration {
            self.sampled = iteration;
            self.before = self.last;
        }
        if let Some(before) = self.before {
            if timestamp_ms < before.timestamp_ms() {
                return Verdict::OutOfOrder;
            }
            if timestamp_ms == before.timestamp_ms() && value_bits != before.value_bits {
                return Verdict::Duplicate;
            }
        }
        if self
            .last
            .is_some_and(|last| timestamp_ms <= last.timestamp_ms())
        {
            return Verdict::Known;
        }
        self.last = Some(Newest::new(timestamp_ms, value_bits));
        Verdict::New
    }

    /// The histogram that the series has last, if it is one.
    pub(super) fn histogram(&self) -> Option<&FloatHistogram> {
        self.rare.as_ref()?.histogram.as_deref()
    }

    /// Forgets the histogram that the series has last.
    pub(super) fn forget_histogram(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.histogram = None;
        }
    }

    /// Its newest exemplar.
    pub(super) fn exemplar(&self) -> Option<&NewestExemplar> {
        self.rare.as_ref()?.exemplar.as_ref()
    }

    /// Notes an exemplar that was taken.
    pub(super) fn note_exemplar(&mut self, exemplar: NewestExemplar) {
        self.rare.get_or_insert_default().exemplar = Some(exemplar);
    }

    /// Forgets its newest exemplar.
    pub(super) fn forget_exemplar(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.exemplar = None;
        }
    }

    /// Notes the value of a sample that was taken.
    pub(super) fn note(&mut self, value: &SampleValue) {
        match value {
            SampleValue::Float(_) => self.forget_histogram(),
            SampleValue::Histogram(histogram) => {
                self.rare.get_or_insert_default().histogram = Some(Arc::clone(histogram));
            }
        }
    }

    /// The sample that ends the series: of the kind that its last one has.
    pub(super) fn stale_value(&self) -> SampleValue {
        match self.histogram() {
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
        last.is_none_or(|last| timestamp_ms > last.timestamp_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_one_cache_line() {
        assert_eq!(size_of::<Option<Track>>(), 64);
    }

    #[test]
    fn times_survive_at_both_ends() {
        for time_ms in [i64::MIN + 1, -1, 0, 1, i64::MAX] {
            assert_eq!(Newest::new(time_ms, 7).timestamp_ms(), time_ms);
        }
        assert_eq!(Newest::new(i64::MIN, 7).timestamp_ms(), i64::MIN + 1);
    }
}
