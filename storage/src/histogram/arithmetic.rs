//! Adding and subtracting histograms, and scaling one.

use std::borrow::Cow;

use super::cell::cells;
use super::custom::{add_with_other_bounds, same_bounds};
use super::layout::merge;
use super::resolution::reduced;
use super::zero::above_threshold;
use super::{CounterResetHint, FloatHistogram, HistogramError, Span};

/// What had to be decided to combine two histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Combined {
    /// One said that there was a counter reset and the other that there was none. The result says that nothing is known.
    pub counter_resets_collide: bool,
    /// Custom bounds differed; the result has those that both have.
    pub bounds_reconciled: bool,
}

impl FloatHistogram {
    /// Adds another histogram. The result has the coarser schema of the two, the wider zero bucket, and the common custom bounds; it
    /// may have empty buckets ([`FloatHistogram::compact`]).
    ///
    /// Fails without changing anything if one of the two has custom bounds and the other has not.
    pub fn add(&mut self, other: &Self) -> Result<Combined, HistogramError> {
        self.combine(other, false)
    }

    /// Subtracts another histogram, as [`FloatHistogram::add`] adds one. The counter reset hint is that of a sum; who shows the
    /// difference to a user marks it as a gauge.
    pub fn sub(&mut self, other: &Self) -> Result<Combined, HistogramError> {
        self.combine(other, true)
    }

    /// Multiplies all counts and the sum. With a negative factor the result is a gauge.
    pub fn mul(&mut self, factor: f64) {
        self.each_number(|number| *number *= factor);
        if factor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum. With a negative divisor the result is a gauge. Division by zero leaves no bucket but the zero
    /// bucket.
    pub fn div(&mut self, divisor: f64) {
        if divisor == 0.0 {
            self.positive_buckets.clear();
            self.negative_buckets.clear();
            self.positive_spans.clear();
            self.negative_spans.clear();
        }
        self.each_number(|number| *number /= divisor);
        if divisor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Whether any number is infinite, as when a sum was too large.
    pub fn has_overflow(&self) -> bool {
        [self.zero_count, self.count, self.sum]
            .iter()
            .chain(&self.positive_buckets)
            .chain(&self.negative_buckets)
            .chain(&self.custom_values)
            .any(|number| number.is_infinite())
    }

    fn each_number(&mut self, change: impl Fn(&mut f64)) {
        for number in [&mut self.zero_count, &mut self.count, &mut self.sum] {
            change(number);
        }
        self.positive_buckets.iter_mut().for_each(&change);
        self.negative_buckets.iter_mut().for_each(&change);
    }

    /// What comes first in every combination: whether it is possible, and the counter reset hint of the result.
    pub(super) fn begin_combining(&mut self, other: &Self) -> Result<Combined, HistogramError> {
        if self.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(HistogramError::IncompatibleSchemas);
        }
        let (hint, counter_resets_collide) =
            combined_hint(self.counter_reset_hint, other.counter_reset_hint);
        self.counter_reset_hint = hint;
        Ok(Combined {
            counter_resets_collide,
            bounds_reconciled: false,
        })
    }

    fn combine(&mut self, other: &Self, subtract: bool) -> Result<Combined, HistogramError> {
        let mut combined = self.begin_combining(other)?;
        let signed = |number: f64| if subtract { -number } else { number };
        if !self.uses_custom_buckets() {
            let (zero_count, _) = self.reconcile_zero_buckets(other, None);
            self.zero_count += signed(zero_count);
        }
        self.count += signed(other.count);
        self.sum += signed(other.sum);

        if self.uses_custom_buckets() && !same_bounds(&self.custom_values, &other.custom_values) {
            combined.bounds_reconciled = true;
            add_with_other_bounds(self, other, None, subtract);
            return Ok(combined);
        }
        let (own_schema, schema) = (self.schema, self.schema.min(other.schema));
        self.schema = schema;
        let threshold = self.zero_threshold;
        let sides = [
            (
                &mut self.positive_spans,
                &mut self.positive_buckets,
                &other.positive_spans,
                &other.positive_buckets,
            ),
            (
                &mut self.negative_spans,
                &mut self.negative_buckets,
                &other.negative_spans,
                &other.negative_buckets,
            ),
        ];
        for (spans, buckets, other_spans, other_buckets) in sides {
            let (own_spans, own_buckets) = at_schema(spans, buckets, own_schema, schema);
            let (other_spans, other_buckets) =
                at_schema(other_spans, other_buckets, other.schema, schema);
            let others =
                cells(&other_spans, &other_buckets).map(|(index, count)| (index, signed(count)));
            let others = above_threshold(others, schema, threshold);
            let merged = merge(&own_spans, &own_buckets, others, |a, b| a + b);
            (*spans, *buckets) = merged;
        }
        Ok(combined)
    }
}

type Side<'a> = (Cow<'a, [Span]>, Cow<'a, [f64]>);

fn at_schema<'a>(spans: &'a [Span], buckets: &'a [f64], from: i32, to: i32) -> Side<'a> {
    if from == to {
        return (spans.into(), buckets.into());
    }
    let (spans, buckets) = reduced(spans, buckets, from, to, |a, b| a + b);
    (spans.into(), buckets.into())
}

/// The hint of a sum or difference, and whether the two contradict each other. Gauges make gauges; what is not known stays unknown.
fn combined_hint(a: CounterResetHint, b: CounterResetHint) -> (CounterResetHint, bool) {
    use CounterResetHint::{Gauge, Unknown};
    match (a, b) {
        (a, b) if a == b => (a, false),
        (Gauge, _) | (_, Gauge) => (Gauge, false),
        (Unknown, _) | (_, Unknown) => (Unknown, false),
        _ => (Unknown, true),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::SCHEMA_CUSTOM;
    use super::super::arbitrary::{any_histogram, valid_histogram, whole_histogram};
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    fn positive(schema: i32, spans: &[Span], buckets: &[f64]) -> FloatHistogram {
        let count = buckets.iter().sum();
        FloatHistogram {
            schema,
            count,
            sum: count * 2.0,
            positive_spans: spans.to_vec(),
            positive_buckets: buckets.to_vec(),
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn the_finer_histogram_is_reduced() {
        let coarse = positive(0, &[span(0, 2)], &[1.0, 2.0]);
        let fine = positive(1, &[span(-1, 4)], &[1.0, 2.0, 3.0, 4.0]);
        let expected = positive(0, &[span(0, 2)], &[4.0, 9.0]);
        for (mut sum, other) in [(coarse.clone(), &fine), (fine.clone(), &coarse)] {
            assert_eq!(sum.add(other), Ok(Combined::default()));
            assert_eq!(sum, expected);
        }
        let mut difference = fine.clone();
        difference.sub(&coarse).unwrap();
        assert_eq!(difference.positive_buckets, [2.0, 5.0]);
        assert_eq!(difference.count, 7.0);
    }

    #[test]
    fn zero_buckets_widen_until_they_cut_no_populated_bucket() {
        // Buckets (0.5, 1], (1, 2], (2, 4].
        let mut narrow = positive(0, &[span(0, 3)], &[1.0, 2.0, 4.0]);
        narrow.zero_threshold = 0.001;
        narrow.zero_count = 10.0;
        let mut wide = positive(0, &[span(2, 1)], &[8.0]);
        wide.zero_threshold = 1.5;
        wide.zero_count = 100.0;
        narrow.add(&wide).unwrap();
        assert_eq!(narrow.zero_threshold, 2.0);
        assert_eq!(narrow.zero_count, 113.0);
        assert_eq!(narrow.positive_spans, [span(2, 1)]);
        assert_eq!(narrow.positive_buckets, [12.0]);
    }

    #[test]
    fn custom_bounds_that_differ_are_reduced_to_the_common_ones() {
        let custom = |bounds: &[f64], buckets: &[f64]| FloatHistogram {
            custom_values: bounds.to_vec(),
            ..positive(SCHEMA_CUSTOM, &[span(0, buckets.len() as u32)], buckets)
        };
        let mut sum = custom(&[1.0, 2.0, 5.0], &[1.0, 2.0, 4.0, 8.0]);
        let combined = sum.add(&custom(&[2.0, 3.0, 5.0], &[10.0, 20.0, 40.0, 80.0]));
        assert!(combined.unwrap().bounds_reconciled);
        assert_eq!(sum.custom_values, [2.0, 5.0]);
        assert_eq!(sum.positive_buckets, [13.0, 64.0, 88.0]);

        let mut sum = custom(&[1.0], &[1.0, 2.0]);
        sum.sub(&custom(&[7.0], &[1.0, 2.0])).unwrap();
        assert!(sum.custom_values.is_empty() && sum.positive_buckets.is_empty());

        let exponential = positive(0, &[], &[]);
        let error = sum.add(&exponential).unwrap_err();
        assert_eq!(error, HistogramError::IncompatibleSchemas);
    }

    #[test]
    fn contradicting_hints_collide() {
        use CounterResetHint::{CounterReset, Gauge, NotCounterReset, Unknown};
        for (a, b, expected) in [
            (CounterReset, CounterReset, (CounterReset, false)),
            (CounterReset, NotCounterReset, (Unknown, true)),
            (NotCounterReset, CounterReset, (Unknown, true)),
            (NotCounterReset, Unknown, (Unknown, false)),
            (Unknown, CounterReset, (Unknown, false)),
            (Gauge, CounterReset, (Gauge, false)),
            (Unknown, Gauge, (Gauge, false)),
        ] {
            assert_eq!(combined_hint(a, b), expected, "{a:?} {b:?}");
        }
    }

    #[test]
    fn scaling_changes_counts_and_makes_gauges_of_negatives() {
        let mut scaled = positive(0, &[span(0, 2)], &[1.0, 2.0]);
        scaled.mul(-2.0);
        assert_eq!(scaled.positive_buckets, [-2.0, -4.0]);
        assert_eq!((scaled.count, scaled.sum), (-6.0, -12.0));
        assert_eq!(scaled.counter_reset_hint, CounterResetHint::Gauge);
        scaled.div(0.0);
        assert!(scaled.positive_spans.is_empty() && scaled.has_overflow());
        assert_eq!(scaled.count, f64::NEG_INFINITY);
    }

    fn cuts_buckets(histogram: &FloatHistogram) -> bool {
        let threshold = histogram.zero_threshold;
        let inside = histogram
            .positive_ascending()
            .any(|bucket| bucket.lower < threshold)
            || histogram
                .negative_descending()
                .any(|bucket| bucket.upper > -threshold);
        inside && !histogram.uses_custom_buckets()
    }

    fn commutes(a: &FloatHistogram, b: &FloatHistogram) -> Result<(), TestCaseError> {
        let (mut ab, mut ba) = (a.clone(), b.clone());
        prop_assert_eq!(ab.add(b), ba.add(a));
        ab.compact(0);
        ba.compact(0);
        prop_assert_eq!(ab.counter_reset_hint, ba.counter_reset_hint);
        prop_assert!(ab.same_data(&ba), "{:?} {:?}", ab, ba);
        Ok(())
    }

    proptest! {
        #[test]
        fn addition_commutes(a in whole_histogram(), mut b in whole_histogram(), same_schema: bool) {
            // A bucket inside the wider zero bucket of the other histogram may be part of a coarser one that is not. Then
            // Prometheus counts it in both if it belongs to the histogram that is added.
            if same_schema {
                b.schema = a.schema;
            } else {
                b.zero_threshold = a.zero_threshold;
            }
            // What lies inside the own zero bucket already is left alone on one side only.
            if !cuts_buckets(&a) && !cuts_buckets(&b) {
                commutes(&a, &b)?;
            }
        }

        #[test]
        fn addition_with_rounding_commutes_where_nothing_is_swallowed(a in valid_histogram(), mut b in valid_histogram()) {
            if a.uses_custom_buckets() != b.uses_custom_buckets() {
                b = a.clone();
                b.mul(0.3);
            }
            b.schema = a.schema;
            b.zero_threshold = a.zero_threshold;
            b.custom_values = a.custom_values.clone();
            if !cuts_buckets(&a) && !cuts_buckets(&b) {
                commutes(&a, &b)?;
            }
        }

        #[test]
        fn any_two_histograms_combine_or_do_not(a in any_histogram(), b in any_histogram()) {
            let _ = a.clone().add(&b);
            let _ = a.clone().sub(&b);
        }
    }
}
