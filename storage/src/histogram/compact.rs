//! Removing empty buckets.

use super::cell::cells;
use super::layout::spans_of_indexes;
use super::{FloatHistogram, Span};

impl FloatHistogram {
    /// Removes empty buckets at both ends of runs, and inside of them where more than `empty_max` follow each other; fills gaps of at most
    /// `empty_max` buckets. With 0, what remains is the one layout of the populated buckets. Never adds more than `empty_max` buckets for each
    /// one that is there.
    pub fn compact(&mut self, empty_max: usize) {
        for (spans, buckets) in [
            (&mut self.positive_spans, &mut self.positive_buckets),
            (&mut self.negative_spans, &mut self.negative_buckets),
        ] {
            (*spans, *buckets) = compacted(spans, buckets, empty_max, |count| count == 0.0);
        }
    }
}

/// [`FloatHistogram::compact`] for one side, whose counts may carry more than a number.
pub(super) fn compacted<T: Copy + Default>(
    spans: &[Span],
    counts: &[T],
    empty_max: usize,
    is_empty: impl Fn(T) -> bool,
) -> (Vec<Span>, Vec<T>) {
    let (mut indexes, mut kept) = (Vec::new(), Vec::with_capacity(counts.len()));
    let mut last: Option<i32> = None;
    // Explicit empty buckets since the last populated one.
    let mut empty = Vec::new();
    for (index, count) in cells(spans, counts) {
        if is_empty(count) {
            empty.push(count);
            continue;
        }
        if let Some(last) = last {
            let gap = i64::from(index) - i64::from(last) - 1;
            match usize::try_from(gap) {
                Ok(gap) if gap > 0 && gap <= empty_max => {
                    indexes.extend(last.wrapping_add(1)..index);
                    if empty.len() == gap {
                        kept.append(&mut empty);
                    } else {
                        kept.extend(std::iter::repeat_n(T::default(), gap));
                    }
                }
                _ => {}
            }
        }
        empty.clear();
        indexes.push(index);
        kept.push(count);
        last = Some(index);
    }
    (spans_of_indexes(indexes.into_iter()), kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary::{any_histogram, valid_histogram};
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    fn compact(spans: &[Span], counts: &[f64], empty_max: usize) -> (Vec<Span>, Vec<f64>) {
        compacted(spans, counts, empty_max, |count| count == 0.0)
    }

    #[test]
    fn empty_buckets_are_cut_off_and_out() {
        for (spans, counts, empty_max, expected_spans, expected_counts) in [
            // Nothing to do.
            (
                vec![span(-2, 2)],
                vec![1.0, 2.0],
                0,
                vec![span(-2, 2)],
                vec![1.0, 2.0],
            ),
            // Both ends.
            (
                vec![span(0, 4)],
                vec![0.0, 1.0, 2.0, 0.0],
                0,
                vec![span(1, 2)],
                vec![1.0, 2.0],
            ),
            // Inside.
            (
                vec![span(0, 4)],
                vec![1.0, 0.0, 0.0, 2.0],
                0,
                vec![span(0, 1), span(2, 1)],
                vec![1.0, 2.0],
            ),
            (
                vec![span(0, 4)],
                vec![1.0, 0.0, 0.0, 2.0],
                1,
                vec![span(0, 1), span(2, 1)],
                vec![1.0, 2.0],
            ),
            (
                vec![span(0, 4)],
                vec![1.0, 0.0, 0.0, 2.0],
                2,
                vec![span(0, 4)],
                vec![1.0, 0.0, 0.0, 2.0],
            ),
            // Runs that touch, and runs of nothing.
            (
                vec![span(0, 1), span(0, 1), span(2, 0), span(1, 1)],
                vec![1.0; 3],
                0,
                vec![span(0, 2), span(3, 1)],
                vec![1.0; 3],
            ),
            // A gap that is filled.
            (
                vec![span(0, 1), span(2, 1)],
                vec![1.0; 2],
                2,
                vec![span(0, 4)],
                vec![1.0, 0.0, 0.0, 1.0],
            ),
            (vec![span(5, 0)], vec![], 0, vec![], vec![]),
            (vec![span(5, 2)], vec![0.0, 0.0], 3, vec![], vec![]),
        ] {
            let actual = compact(&spans, &counts, empty_max);
            assert_eq!(
                actual,
                (expected_spans, expected_counts),
                "{spans:?} {counts:?} {empty_max}"
            );
        }
    }

    proptest! {
        #[test]
        fn compaction_keeps_the_populated_buckets(histogram in valid_histogram(), empty_max in 0..4usize) {
            let mut compact = histogram.clone();
            compact.compact(empty_max);
            prop_assert!(histogram.populated().eq(compact.populated()));
            let once = compact.clone();
            compact.compact(empty_max);
            prop_assert!(compact.same_data(&once));
        }

        #[test]
        fn any_histogram_compacts(mut histogram in any_histogram()) {
            histogram.compact(3);
        }
    }
}
