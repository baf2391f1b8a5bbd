//! Merges the slices of one series into one run of samples.

use std::cmp::Ordering;
use std::sync::Arc;

use varve_storage::FloatHistogram;
use varve_storage::sample::compare_duplicates;

use crate::kernels::{MixedSamples, Samples};

/// A histogram, where the sample is one.
type Histogram = Option<Arc<FloatHistogram>>;

/// The samples of one series, gathered from slices that come in the order of their first time and may overlap.
///
/// Of two samples at one time the greater stands, by [`compare_duplicates`] or as histograms; the rule looks at values only, so the
/// result does not depend on how samples were cut into slices.
#[derive(Debug, Default)]
pub(crate) struct SampleRun {
    samples: Columns,
    /// The part of the run that an overlapping slice is merged with.
    tail: Columns,
}

/// Samples in columns of one length; `histograms` is empty as long as there is none.
#[derive(Debug, Default)]
struct Columns {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    histograms: Vec<Histogram>,
    /// Bytes of histograms.
    histogram_bytes: usize,
}

impl Columns {
    fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
        self.histogram_bytes = 0;
    }

    fn extend(&mut self, timestamps: &[i64], values: &[f64], histograms: &[Histogram]) {
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
    }

    fn push(&mut self, timestamp: i64, value: f64, histogram: Histogram) {
        match histogram {
            None => self.extend(&[timestamp], &[value], &[]),
            some => self.extend(&[timestamp], &[value], &[some]),
        }
    }

    fn move_from(&mut self, other: &mut Self, from: usize) {
        self.clear();
        self.timestamps.extend(other.timestamps.drain(from..));
        self.values.extend(other.values.drain(from..));
        if !other.histograms.is_empty() {
            self.histograms.extend(other.histograms.drain(from..));
        }
    }

    fn histogram(&self, index: usize) -> Histogram {
        self.histograms.get(index).cloned().flatten()
    }

    fn heap_bytes(&self) -> usize {
        self.timestamps.capacity() * 16 + self.histograms.capacity() * 8 + self.histogram_bytes
    }
}

fn bytes(histogram: &Arc<FloatHistogram>) -> usize {
    size_of::<FloatHistogram>() + 8 * histogram.heap_items()
}

/// Whether the second of two samples at one time stands.
fn is_second_greater(a: (f64, &Histogram), b: (f64, &Histogram)) -> bool {
    let order = match (a.1, b.1) {
        (None, None) => compare_duplicates(a.0, b.0),
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => a.total_cmp(b),
    };
    order.is_lt()
}

impl SampleRun {
    pub(crate) fn clear(&mut self) {
        self.samples.clear();
    }

    /// Whether there are no samples.
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.timestamps.is_empty()
    }

    /// The samples, if none is a histogram.
    pub(crate) fn floats(&self) -> Option<Samples<'_>> {
        self.samples
            .histograms
            .is_empty()
            .then(|| self.all().floats)
    }

    /// The samples.
    pub(crate) fn all(&self) -> MixedSamples<'_> {
        MixedSamples {
            floats: Samples {
                timestamps: &self.samples.timestamps,
                values: &self.samples.values,
            },
            histograms: &self.samples.histograms,
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.samples.heap_bytes() + self.tail.heap_bytes()
    }

    /// Adds a slice: timestamps strictly increasing, as many values, as many histograms or none at all.
    pub(crate) fn append(&mut self, timestamps: &[i64], values: &[f64], histograms: &[Histogram]) {
        let overlaps = match (timestamps.first(), self.samples.timestamps.last()) {
            (Some(first), Some(last)) => first <= last,
            _ => false,
        };
        let Some(&first) = timestamps.first() else {
            return;
        };
        if !overlaps {
            self.samples.extend(timestamps, values, histograms);
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
            let ours = |run: &Self| (run.tail.values[old], run.tail.histogram(old));
            let theirs = || (values[new], histograms.get(new).cloned().flatten());
            let (timestamp, (value, histogram)) = match order {
                Ordering::Less => (a, ours(self)),
                Ordering::Greater => (b, theirs()),
                Ordering::Equal => {
                    let (a_sample, b_sample) = (ours(self), theirs());
                    let second =
                        is_second_greater((a_sample.0, &a_sample.1), (b_sample.0, &b_sample.1));
                    (a, if second { b_sample } else { a_sample })
                }
            };
            old += usize::from(order.is_le());
            new += usize::from(order.is_ge());
            if let Some(timestamp) = timestamp {
                self.samples.push(timestamp, value, histogram);
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
        run.append(&[1, 3, 5], &[1.0, 3.0, stale_nan()], &[]);
        run.append(&[2, 3, 5, 6], &[2.0, 2.5, 5.0, 6.0], &[]);
        run.append(&[4], &[4.0], &[]);
        assert_eq!(run.all().floats.timestamps, [1, 2, 3, 4, 5, 6]);
        assert_eq!(run.all().floats.values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        run.clear();
        run.append(&[7], &[7.0], &[]);
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
        run.append(&[1, 3, 5], &[1.0, 3.0, 5.0], &[]);
        run.append(
            &[2, 3, 6],
            &[0.0, 0.0, 6.0],
            &[histogram(2.0), histogram(3.0), None],
        );
        run.append(&[2, 7], &[9.0, 7.0], &[]);
        assert_eq!(run.all().floats.timestamps, [1, 2, 3, 5, 6, 7]);
        let want = [None, histogram(2.0), histogram(3.0), None, None, None];
        assert_eq!(run.all().histograms, want);
        assert!(run.floats().is_none());
        run.clear();
        run.append(&[1], &[1.0], &[]);
        assert!(run.floats().is_some());
    }

    proptest! {
        #[test]
        fn any_slices_give_the_same_run(
            mut slices in proptest::collection::vec(
                proptest::collection::btree_map(0..60i64, 0..4u8, 1..20), 0..8)
        ) {
            // As scans deliver them: by first time.
            slices.sort_by_key(|slice| slice.keys().next().copied());
            let mut run = SampleRun::default();
            let mut want: BTreeMap<i64, f64> = BTreeMap::new();
            for slice in &slices {
                let timestamps: Vec<i64> = slice.keys().copied().collect();
                let values: Vec<f64> = slice.values().map(|v| f64::from(*v)).collect();
                for (t, v) in timestamps.iter().zip(&values) {
                    want.entry(*t).and_modify(|w| *w = w.max(*v)).or_insert(*v);
                }
                run.append(&timestamps, &values, &[]);
            }
            prop_assert_eq!(run.all().floats.timestamps, want.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(run.all().floats.values, want.values().copied().collect::<Vec<_>>());
        }
    }
}
