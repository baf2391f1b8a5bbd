//! Merges the slices of one series into one run of samples.

use varve_storage::sample::compare_duplicates;

use crate::kernels::Samples;

/// The samples of one series, gathered from slices that come in the order of their first time and may overlap.
///
/// Of two samples at one time the greater by [`compare_duplicates`] stands; the rule looks at values only, so the result
/// does not depend on how samples were cut into slices.
#[derive(Debug, Default)]
pub(crate) struct SampleRun {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    /// The part of the run that an overlapping slice is merged with.
    tail_timestamps: Vec<i64>,
    tail_values: Vec<f64>,
}

impl SampleRun {
    pub(crate) fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
    }

    pub(crate) fn samples(&self) -> Samples<'_> {
        Samples {
            timestamps: &self.timestamps,
            values: &self.values,
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        (self.timestamps.capacity() + self.tail_timestamps.capacity()) * 16
    }

    /// Adds a slice: timestamps strictly increasing, as many values.
    pub(crate) fn append(&mut self, timestamps: &[i64], values: &[f64]) {
        let (Some(&first), Some(&last)) = (timestamps.first(), self.timestamps.last()) else {
            self.timestamps.extend_from_slice(timestamps);
            self.values.extend_from_slice(values);
            return;
        };
        if first > last {
            self.timestamps.extend_from_slice(timestamps);
            self.values.extend_from_slice(values);
            return;
        }
        let cut = self.timestamps.partition_point(|t| *t < first);
        self.tail_timestamps.clear();
        self.tail_timestamps.extend(self.timestamps.drain(cut..));
        self.tail_values.clear();
        self.tail_values.extend(self.values.drain(cut..));
        let mut old = self
            .tail_timestamps
            .iter()
            .copied()
            .zip(self.tail_values.iter().copied())
            .peekable();
        let mut new = timestamps
            .iter()
            .copied()
            .zip(values.iter().copied())
            .peekable();
        loop {
            let next = match (old.peek().copied(), new.peek().copied()) {
                (None, None) => return,
                (Some(a), None) => {
                    old.next();
                    a
                }
                (None, Some(b)) => {
                    new.next();
                    b
                }
                (Some(a), Some(b)) if a.0 < b.0 => {
                    old.next();
                    a
                }
                (Some(a), Some(b)) if a.0 > b.0 => {
                    new.next();
                    b
                }
                (Some(a), Some(b)) => {
                    old.next();
                    new.next();
                    if compare_duplicates(a.1, b.1).is_lt() {
                        b
                    } else {
                        a
                    }
                }
            };
            self.timestamps.push(next.0);
            self.values.push(next.1);
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
        run.append(&[1, 3, 5], &[1.0, 3.0, stale_nan()]);
        run.append(&[2, 3, 5, 6], &[2.0, 2.5, 5.0, 6.0]);
        run.append(&[4], &[4.0]);
        assert_eq!(run.samples().timestamps, [1, 2, 3, 4, 5, 6]);
        assert_eq!(run.samples().values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        run.clear();
        run.append(&[7], &[7.0]);
        assert_eq!(run.samples().timestamps, [7]);
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
                run.append(&timestamps, &values);
            }
            prop_assert_eq!(run.samples().timestamps, want.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(run.samples().values, want.values().copied().collect::<Vec<_>>());
        }
    }
}
