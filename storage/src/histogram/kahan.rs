//! Kahan's summation with Neumaier's improvement, of numbers and of histograms.

use super::arithmetic::Combined;
use super::cell::cells;
use super::compact::compacted;
use super::custom::{add_with_other_bounds, same_bounds};
use super::layout::merge;
use super::resolution::reduced;
use super::zero::above_threshold;
use super::{FloatHistogram, HistogramError, Span};

/// Adds `increment` to `sum` and what rounding lost to `compensation`; an infinite sum has none.
pub fn kahan_add(increment: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let total = sum + increment;
    let compensation = if total.is_infinite() {
        0.0
    } else if sum.abs() >= increment.abs() {
        compensation + ((sum - total) + increment)
    } else {
        compensation + ((increment - total) + sum)
    };
    (total, compensation)
}

/// A count with its compensation.
pub(super) type Count = (f64, f64);

/// What rounding lost so far of the counts of one histogram, bucket by bucket.
///
/// It belongs to the histogram that [`FloatHistogram::add_compensated`] changed, whose layout it shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compensation {
    pub(super) zero_count: f64,
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) positive: Vec<f64>,
    pub(super) negative: Vec<f64>,
}

impl Compensation {
    /// That of a histogram of which nothing was lost yet.
    pub fn of(histogram: &FloatHistogram) -> Self {
        Self {
            positive: vec![0.0; histogram.positive_buckets.len()],
            negative: vec![0.0; histogram.negative_buckets.len()],
            ..Self::default()
        }
    }

    /// Multiplies every number, along with [`FloatHistogram::mul`].
    pub fn mul(&mut self, factor: f64) {
        self.each(|number| *number *= factor);
    }

    /// Divides every number, along with [`FloatHistogram::div`]. The divisor is not 0.
    pub fn div(&mut self, divisor: f64) {
        self.each(|number| *number /= divisor);
    }

    fn each(&mut self, change: impl Fn(&mut f64)) {
        for number in [&mut self.zero_count, &mut self.count, &mut self.sum] {
            change(number);
        }
        self.positive.iter_mut().for_each(&change);
        self.negative.iter_mut().for_each(&change);
    }

    /// [`FloatHistogram::compact`] with 0, but a bucket with a compensation is not empty.
    pub(super) fn compact_with(&mut self, histogram: &mut FloatHistogram) {
        for (spans, buckets, compensation) in [
            (
                &mut histogram.positive_spans,
                &mut histogram.positive_buckets,
                &mut self.positive,
            ),
            (
                &mut histogram.negative_spans,
                &mut histogram.negative_buckets,
                &mut self.negative,
            ),
        ] {
            let counts = zipped(buckets, compensation);
            let (kept, counts) = compacted(spans, &counts, 0, |(count, lost): Count| {
                count == 0.0 && lost == 0.0
            });
            *spans = kept;
            (*buckets, *compensation) = counts.into_iter().unzip();
        }
    }
}

impl FloatHistogram {
    /// [`FloatHistogram::add`] with Kahan's summation: what rounding loses goes to `compensation`, which begins as
    /// [`Compensation::of`] this histogram.
    ///
    /// Fails without changing anything if one of the two has custom bounds and the other has not.
    pub fn add_compensated(
        &mut self,
        other: &Self,
        compensation: &mut Compensation,
    ) -> Result<Combined, HistogramError> {
        let mut combined = self.begin_combining(other)?;
        if !self.uses_custom_buckets() {
            let (zero_count, lost) = self.reconcile_zero_buckets(other, Some(compensation));
            let sum = kahan_add(zero_count, self.zero_count, compensation.zero_count);
            (self.zero_count, compensation.zero_count) = kahan_add(lost, sum.0, sum.1);
        }
        (self.count, compensation.count) = kahan_add(other.count, self.count, compensation.count);
        (self.sum, compensation.sum) = kahan_add(other.sum, self.sum, compensation.sum);

        if self.uses_custom_buckets() && !same_bounds(&self.custom_values, &other.custom_values) {
            combined.bounds_reconciled = true;
            compensation.positive =
                add_with_other_bounds(self, other, Some(&compensation.positive), false);
            return Ok(combined);
        }
        let (own_schema, schema) = (self.schema, self.schema.min(other.schema));
        self.schema = schema;
        let threshold = self.zero_threshold;
        let sides = [
            (
                &mut self.positive_spans,
                &mut self.positive_buckets,
                &mut compensation.positive,
                &other.positive_spans,
                &other.positive_buckets,
            ),
            (
                &mut self.negative_spans,
                &mut self.negative_buckets,
                &mut compensation.negative,
                &other.negative_spans,
                &other.negative_buckets,
            ),
        ];
        for (spans, buckets, lost, other_spans, other_buckets) in sides {
            let own = at_schema(spans, zipped(buckets, lost), own_schema, schema);
            let other_counts = other_buckets.iter().map(|count| (*count, 0.0)).collect();
            let others = at_schema(other_spans, other_counts, other.schema, schema);
            let others = cells(&others.0, &others.1);
            let (merged, counts) = merge(
                &own.0,
                &own.1,
                above_threshold(others, schema, threshold),
                |(sum, lost), (count, other_lost)| {
                    let sum = kahan_add(count, sum, lost);
                    if other_lost == 0.0 {
                        sum
                    } else {
                        kahan_add(other_lost, sum.0, sum.1)
                    }
                },
            );
            *spans = merged;
            (*buckets, *lost) = counts.into_iter().unzip();
        }
        Ok(combined)
    }

    /// Adds to every count what rounding lost of it, which ends a summation. Compensations inside the zero bucket are left out.
    pub fn add_compensation(&mut self, compensation: &Compensation) {
        self.zero_count += compensation.zero_count;
        self.count += compensation.count;
        self.sum += compensation.sum;
        for (spans, buckets, lost) in [
            (
                &mut self.positive_spans,
                &mut self.positive_buckets,
                &compensation.positive,
            ),
            (
                &mut self.negative_spans,
                &mut self.negative_buckets,
                &compensation.negative,
            ),
        ] {
            let lost = cells(spans, lost);
            let lost = above_threshold(lost, self.schema, self.zero_threshold);
            (*spans, *buckets) = merge(spans, buckets, lost, |count, lost| count + lost);
        }
    }
}

fn zipped(buckets: &[f64], compensation: &[f64]) -> Vec<Count> {
    let lost = compensation.iter().copied().chain(std::iter::repeat(0.0));
    buckets.iter().copied().zip(lost).collect()
}

fn at_schema(spans: &[Span], counts: Vec<Count>, from: i32, to: i32) -> (Vec<Span>, Vec<Count>) {
    if from == to {
        return (spans.to_vec(), counts);
    }
    reduced(
        spans,
        &counts,
        from,
        to,
        |(sum, lost), (count, count_lost)| {
            let sum = kahan_add(count, sum, lost);
            kahan_add(count_lost, sum.0, sum.1)
        },
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::arbitrary::{any_histogram, valid_histogram};
    use super::*;

    #[test]
    fn small_numbers_survive_large_ones() {
        let numbers = [1.0, 1e100, 1.0, -1e100];
        let (sum, lost) = numbers.into_iter().fold((0.0, 0.0), |(sum, lost), number| {
            kahan_add(number, sum, lost)
        });
        assert_eq!(sum + lost, 2.0);
        assert_eq!(kahan_add(f64::MAX, f64::MAX, 3.0), (f64::INFINITY, 0.0));
    }

    #[test]
    fn what_rounding_lost_comes_back_in_every_count() {
        let with = |number: f64| FloatHistogram {
            count: number,
            sum: number,
            zero_count: number,
            positive_spans: vec![Span {
                offset: 0,
                length: 1,
            }],
            positive_buckets: vec![number],
            negative_spans: vec![Span {
                offset: 3,
                length: 1,
            }],
            negative_buckets: vec![number],
            ..FloatHistogram::default()
        };
        let mut sum = with(1.0);
        let mut compensation = Compensation::of(&sum);
        for number in [1e100, 1.0, -1e100] {
            sum.add_compensated(&with(number), &mut compensation)
                .unwrap();
        }
        sum.add_compensation(&compensation);
        assert_eq!(sum, with(2.0));
    }

    proptest! {
        #[test]
        fn any_two_histograms_add(mut a in any_histogram(), b in any_histogram()) {
            let mut compensation = Compensation::of(&a);
            if a.add_compensated(&b, &mut compensation).is_ok() {
                a.add_compensation(&compensation);
            }
        }

        #[test]
        fn one_addition_agrees_with_the_plain_one(a in valid_histogram(), b in valid_histogram()) {
            let (mut plain, mut compensated) = (a.clone(), a.clone());
            let mut compensation = Compensation::of(&a);
            let result = compensated.add_compensated(&b, &mut compensation);
            prop_assert_eq!(plain.add(&b), result);
            prop_assert_eq!(plain.count, compensated.count);
            prop_assert_eq!(plain.schema, compensated.schema);
            prop_assert_eq!(compensation.positive.len(), compensated.positive_buckets.len());
            prop_assert_eq!(compensation.negative.len(), compensated.negative_buckets.len());
        }
    }
}
