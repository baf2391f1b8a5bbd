//! Merges the slices of one series into one run of samples.

use std::cmp::Ordering;
use std::sync::Arc;

use varve_storage::FloatHistogram;
use varve_storage::columns::NO_START_MS;
use varve_storage::sample::{compare_duplicates, compare_starts};

use crate::kernels::{MixedSamples, Samples, StartedSamples};
use crate::result::RawSamples;

/// A histogram, where the sample is one.
type Histogram = Option<Arc<FloatHistogram>>;

/// A float or a histogram, and a start timestamp.
type Sample = (f64, Histogram, i64);

/// The samples of one series, gathered from slices that come in the order of their first time and may overlap.
///
/// Of two samples at one time the greater stands, by [`compare_duplicates`] or as histograms, and then by start timestamps; the rule
/// looks at the samples only, so the result does not depend on how they were cut into slices.
#[derive(Debug, Default)]
pub(crate) struct SampleRun {
    samples: Columns,
    /// The part of the run that an overlapping slice is merged with.
    tail: Columns,
}

/// Samples in columns of one length; `histograms` and `starts` are empty as long as there is none.
#[derive(Debug, Default)]
struct Columns {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    histograms: Vec<Histogram>,
    /// Start timestamps in milliseconds.
    starts: Vec<i64>,
    /// Bytes of histograms.
    histogram_bytes: usize,
}

impl Columns {
    fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
        self.starts.clear();
        self.histogram_bytes = 0;
    }

    fn extend(
        &mut self,
        timestamps: &[i64],
        values: &[f64],
        histograms: &[Histogram],
        starts: &[i64],
    ) {
        if !starts.is_empty() {
            self.starts.resize(self.timestamps.len(), NO_START_MS);
            self.starts.extend_from_slice(starts);
        }
        if !histograms.is_empty() {
            self.histograms.resize(self.timestamps.len(), None);
            self.histograms.extend_from_slice(histograms);
            self.histogram_bytes += histograms.iter().flatten().map(bytes).sum::<usize>();
        }
        self.timestamps.extend_from_slice(timestamps);
        self.values.extend_from_slice(values);
        if !self.histograms.is_empty() {
            self.histograms.resize(self.timestamps.len(), None);
        }
        if !self.starts.is_empty() {
            self.starts.resize(self.timestamps.len(), NO_START_MS);
        }
    }

    fn push(&mut self, timestamp: i64, (value, histogram, start): Sample) {
        let starts = [start];
        let starts = match start {
            NO_START_MS => &[][..],
            _ => &starts,
        };
        match histogram {
            None => self.extend(&[timestamp], &[value], &[], starts),
            some => self.extend(&[timestamp], &[value], &[some], starts),
        }
    }

    fn move_from(&mut self, other: &mut Self, from: usize) {
        self.clear();
        self.timestamps.extend(other.timestamps.drain(from..));
        self.values.extend(other.values.drain(from..));
        if !other.histograms.is_empty() {
            self.histograms.extend(other.histograms.drain(from..));
        }
        if !other.starts.is_empty() {
            self.starts.extend(other.starts.drain(from..));
        }
    }

    fn sample(&self, index: usize) -> Sample {
        let histogram = self.histograms.get(index).cloned().flatten();
        let start = self.starts.get(index).copied();
        (self.values[index], histogram, start.unwrap_or(NO_START_MS))
    }

    fn heap_bytes(&self) -> usize {
        (self.timestamps.capacity() * 2 + self.histograms.capacity() + self.starts.capacity()) * 8
            + self.histogram_bytes
    }
}

fn bytes(histogram: &Arc<FloatHistogram>) -> usize {
    size_of::<FloatHistogram>() + 8 * histogram.heap_items()
}

/// Whether the second of two samples at one time stands.
fn is_second_greater(a: &Sample, b: &Sample) -> bool {
    let order = match (&a.1, &b.1) {
        (None, None) => compare_duplicates(a.0, b.0),
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => a.total_cmp(b),
    };
    order.then_with(|| compare_starts(a.2, b.2)).is_lt()
}

impl SampleRun {
    pub(crate) fn clear(&mut self) {
        self.samples.clear();
    }

    /// Whether there are no samples.
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.timestamps.is_empty()
    }

    /// The samples, if none is a histogram and no start timestamp is known.
    pub(crate) fn floats(&self) -> Option<Samples<'_>> {
        let Columns {
            histograms, starts, ..
        } = &self.samples;
        (histograms.is_empty() && starts.is_empty()).then(|| self.all().floats)
    }

    /// The samples with their start timestamps, if none is a histogram.
    pub(crate) fn started_floats(&self) -> Option<StartedSamples<'_>> {
        let histograms = &self.samples.histograms;
        histograms.is_empty().then(|| StartedSamples {
            samples: self.all().floats,
            starts: &self.samples.starts,
        })
    }

    /// The samples.
    pub(crate) fn all(&self) -> MixedSamples<'_> {
        MixedSamples {
            floats: Samples {
                timestamps: &self.samples.timestamps,
                values: &self.samples.values,
            },
            histograms: &self.samples.histograms,
            starts: &self.samples.starts,
        }
    }

    /// The samples without their start timestamps.
    pub(crate) fn into_samples(self) -> RawSamples {
        RawSamples {
            timestamps: self.samples.timestamps,
            values: self.samples.values,
            histograms: self.samples.histograms,
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.samples.heap_bytes() + self.tail.heap_bytes()
    }

    /// Adds a slice: timestamps strictly increasing, as many values, and as many histograms and start timestamps or none at all.
    pub(crate) fn append(
        &mut self,
        timestamps: &[i64],
        values: &[f64],
        histograms: &[Histogram],
        starts: &[i64],
    ) {
        let overlaps = match (timestamps.first(), self.samples.timestamps.last()) {
            (Some(first), Some(last)) => first <= last,
            _ => false,
        };
        let Some(&first) = timestamps.first() else {
            return;
        };
        if !overlaps {
            self.samples.extend(timestamps, values, histograms, starts);
            return;
        }
        let cut = self.samples.timestamps.partition_point(|t| *t < first);
        self.tail.move_from(&mut self.samples, cut);
        let (mut old, mut new) = (0, 0);
        loop {
            let a = self.tail.timestamps.get(old).copied();
            let b = timestamps.get(new).copied();
            let order = match (a, b) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.cmp(&b),
            };
            let theirs = || {
                let start = starts.get(new).copied().unwrap_or(NO_START_MS);
                (values[new], histograms.get(new).cloned().flatten(), start)
            };
            let (timestamp, sample) = match order {
                Ordering::Less => (a, self.tail.sample(old)),
                Ordering::Greater => (b, theirs()),
                Ordering::Equal => {
                    let (a_sample, b_sample) = (self.tail.sample(old), theirs());
                    let second = is_second_greater(&a_sample, &b_sample);
                    (a, if second { b_sample } else { a_sample })
                }
            };
            old += usize::from(order.is_le());
            new += usize::from(order.is_ge());
            if let Some(timestamp) = timestamp {
                self.samples.push(timestamp, sample);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use varve_storage::stale_nan;

    use super::*;

    #[test]
    fn overlaps_and_duplicates_are_resolved_by_value() {
        let mut run = SampleRun::default();
        run.append(&[1, 3, 5], &[1.0, 3.0, stale_nan()], &[], &[]);
        run.append(&[2, 3, 5, 6], &[2.0, 2.5, 5.0, 6.0], &[], &[]);
        run.append(&[4], &[4.0], &[], &[]);
        assert_eq!(run.all().floats.timestamps, [1, 2, 3, 4, 5, 6]);
        assert_eq!(run.all().floats.values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        run.clear();
        run.append(&[7], &[7.0], &[], &[]);
        assert_eq!(run.all().floats.timestamps, [7]);
    }

    #[test]
    fn a_histogram_stands_beside_floats_and_against_them() {
        let histogram = |count| {
            Some(Arc::new(FloatHistogram {
                count,
                ..FloatHistogram::default()
            }))
        };
        let mut run = SampleRun::default();
        run.append(&[1, 3, 5], &[1.0, 3.0, 5.0], &[], &[]);
        run.append(
            &[2, 3, 6],
            &[0.0, 0.0, 6.0],
            &[histogram(2.0), histogram(3.0), None],
            &[],
        );
        run.append(&[2, 7], &[9.0, 7.0], &[], &[]);
        assert_eq!(run.all().floats.timestamps, [1, 2, 3, 5, 6, 7]);
        let want = [None, histogram(2.0), histogram(3.0), None, None, None];
        assert_eq!(run.all().histograms, want);
        assert!(run.floats().is_none());
        run.clear();
        run.append(&[1], &[1.0], &[], &[]);
        assert!(run.floats().is_some());
    }

    #[test]
    fn start_timestamps_stay_with_their_samples() {
        let mut run = SampleRun::default();
        run.append(&[1, 3], &[1.0, 3.0], &[], &[]);
        run.append(&[5, 7], &[5.0, 7.0], &[], &[4, 0]);
        assert_eq!(run.all().starts, [0, 0, 4, 0]);
        // Of equal samples the one whose start is known, or later; a greater value stands with its own.
        run.append(&[3, 5, 7], &[3.0, 5.0, 8.0], &[], &[2, 3, 0]);
        run.append(&[8], &[8.0], &[], &[]);
        assert_eq!(run.all().floats.timestamps, [1, 3, 5, 7, 8]);
        assert_eq!(run.all().starts, [0, 2, 4, 0, 0]);
        assert!(run.floats().is_none() && run.started_floats().is_some());
        run.clear();
        run.append(&[1], &[1.0], &[], &[]);
        assert!(run.floats().is_some());
    }

    proptest! {
        #[test]
        fn any_slices_give_the_same_run(
            mut slices in proptest::collection::vec(
                proptest::collection::btree_map(0..60i64, (0..4u8, 0..3i64), 1..20), 0..8)
        ) {
            // As scans deliver them: by first time.
            slices.sort_by_key(|slice| slice.keys().next().copied());
            let mut run = SampleRun::default();
            let mut want: BTreeMap<i64, (u8, i64)> = BTreeMap::new();
            for slice in &slices {
                let timestamps: Vec<i64> = slice.keys().copied().collect();
                let values: Vec<f64> = slice.values().map(|(v, _)| f64::from(*v)).collect();
                let mut starts: Vec<i64> = slice.values().map(|(_, start)| *start).collect();
                if starts.iter().all(|start| *start == NO_START_MS) {
                    starts.clear();
                }
                for (t, sample) in slice {
                    want.entry(*t).and_modify(|w| *w = (*w).max(*sample)).or_insert(*sample);
                }
                run.append(&timestamps, &values, &[], &starts);
            }
            prop_assert_eq!(run.all().floats.timestamps, want.keys().copied().collect::<Vec<_>>());
            let values: Vec<f64> = want.values().map(|(v, _)| f64::from(*v)).collect();
            prop_assert_eq!(run.all().floats.values, values);
            for (index, (_, start)) in want.values().enumerate() {
                prop_assert_eq!(run.all().starts.get(index).copied().unwrap_or(NO_START_MS), *start);
            }
        }
    }
}
