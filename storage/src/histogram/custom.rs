//! Custom bounds that differ between two histograms.

use super::cell::cells;
use super::kahan::{Count, kahan_add};
use super::layout::spans_of_indexes;
use super::{FloatHistogram, Span};

/// Whether two lists of bounds are the same.
pub(super) fn same_bounds(a: &[f64], b: &[f64]) -> bool {
    a == b
}

/// The bounds that both lists have. Both ascend.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut b = b.iter().peekable();
    a.iter()
        .filter(|bound| {
            while b.next_if(|other| *other < *bound).is_some() {}
            b.next_if_eq(bound).is_some()
        })
        .copied()
        .collect()
}

/// Adds `other` to the buckets of `histogram`, or subtracts it, after both were reduced to their common bounds; sets the bounds too.
/// Returns what rounding lost of each bucket, including `compensation`, what it lost before.
pub(super) fn add_with_other_bounds(
    histogram: &mut FloatHistogram,
    other: &FloatHistogram,
    compensation: Option<&[f64]>,
    subtract: bool,
) -> Vec<f64> {
    let common = common_bounds(&histogram.custom_values, &other.custom_values);
    let mut totals = Totals {
        counts: vec![(0.0, 0.0); common.len() + 1],
        bounds: &common,
    };
    let own: Vec<(f64, Option<f64>)> = histogram
        .positive_buckets
        .iter()
        .enumerate()
        .map(|(nth, count)| (*count, compensation.and_then(|lost| lost.get(nth)).copied()))
        .collect();
    totals.add(&histogram.positive_spans, &own, &histogram.custom_values);
    let others: Vec<(f64, Option<f64>)> = other
        .positive_buckets
        .iter()
        .map(|count| (if subtract { -count } else { *count }, None))
        .collect();
    totals.add(&other.positive_spans, &others, &other.custom_values);

    let populated: Vec<(i32, Count)> = (0..)
        .zip(totals.counts)
        .filter(|(_, (count, lost))| *count != 0.0 || *lost != 0.0)
        .collect();
    histogram.positive_spans = spans_of_indexes(populated.iter().map(|(index, _)| *index));
    histogram.custom_values = common;
    let counts = populated.into_iter().map(|(_, count)| count);
    let (buckets, lost) = counts.unzip();
    histogram.positive_buckets = buckets;
    lost
}

/// The buckets between the common bounds.
struct Totals<'a> {
    counts: Vec<Count>,
    bounds: &'a [f64],
}

impl Totals<'_> {
    /// Adds every count, and its compensation, to the bucket in which its own bucket lies.
    fn add(&mut self, spans: &[Span], counts: &[(f64, Option<f64>)], bounds: &[f64]) {
        let last = self.bounds.len();
        for (index, (count, lost)) in cells(spans, counts) {
            let bound = usize::try_from(index)
                .ok()
                .and_then(|index| bounds.get(index));
            let target = bound.map_or(last, |bound| {
                self.bounds.partition_point(|common| common < bound)
            });
            let Some(total) = self.counts.get_mut(target) else {
                continue;
            };
            *total = kahan_add(count, total.0, total.1);
            if let Some(lost) = lost {
                *total = kahan_add(lost, total.0, total.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_bounds_are_in_both_lists() {
        assert_eq!(
            common_bounds(&[1.0, 2.0, 5.0, 9.0], &[0.5, 2.0, 3.0, 9.0]),
            [2.0, 9.0]
        );
        assert!(common_bounds(&[1.0], &[]).is_empty());
        assert!(common_bounds(&[1.0], &[2.0]).is_empty());
    }
}
