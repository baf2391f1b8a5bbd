//! Counter resets.

use super::cell::cells;
use super::custom::{common_bounds, same_bounds};
use super::resolution::coarser_index;
use super::zero::above_threshold;
use super::{CounterResetHint, FloatHistogram, Span};

impl FloatHistogram {
    /// Whether the counter was reset between `previous` and this histogram.
    ///
    /// The hint decides if it says yes or no. Else there was a reset if any count became smaller, a populated bucket is gone, the resolution became
    /// finer or the zero bucket narrower, or the zero bucket now ends inside a populated bucket. The sum does not matter. A coarser resolution, a wider
    /// zero bucket and other custom bounds are no reset by themselves: counts are compared after both were brought to them.
    pub fn detect_reset(&self, previous: &Self) -> bool {
        match self.counter_reset_hint {
            CounterResetHint::CounterReset => return true,
            CounterResetHint::NotCounterReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            if !previous.uses_custom_buckets() {
                return true;
            }
            if !same_bounds(&self.custom_values, &previous.custom_values) {
                return self.falls_below_common_bounds(previous);
            }
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let zero = previous.with_larger_threshold(self.zero_threshold, None);
        if zero.threshold != self.zero_threshold || self.zero_count < zero.count {
            return true;
        }
        let side = |histogram: &Self, spans: &[Span], counts: &[f64]| {
            self.comparable(histogram.schema, spans, counts)
        };
        fell(
            side(self, &self.positive_spans, &self.positive_buckets),
            side(
                previous,
                &previous.positive_spans,
                &previous.positive_buckets,
            ),
        ) || fell(
            side(self, &self.negative_spans, &self.negative_buckets),
            side(
                previous,
                &previous.negative_spans,
                &previous.negative_buckets,
            ),
        )
    }

    /// The hint that this sample has once it is stored behind another of its series, as Prometheus's storage has it: that it is no reset if it
    /// continues what came before, else nothing, whatever it said of itself, because samples between the two may come later. Gauges stay gauges.
    ///
    /// `previous` is the sample before it if that is a histogram, too.
    pub fn stored_hint(&self, previous: Option<&Self>) -> CounterResetHint {
        if self.counter_reset_hint == CounterResetHint::Gauge {
            return CounterResetHint::Gauge;
        }
        match previous {
            Some(previous) if self.continues(previous) => CounterResetHint::NotCounterReset,
            _ => CounterResetHint::Unknown,
        }
    }

    /// Whether a counter goes on with the same buckets.
    fn continues(&self, previous: &Self) -> bool {
        let stale = |histogram: &Self| crate::sample::is_stale_nan(histogram.sum);
        if previous.counter_reset_hint == CounterResetHint::Gauge
            || self.counter_reset_hint == CounterResetHint::CounterReset
        {
            return false;
        }
        if stale(self) || stale(previous) {
            return stale(self);
        }
        let fell = |spans: &[Span], counts: &[f64], old_spans: &[Span], old_counts: &[f64]| {
            fell(
                cells(spans, counts).collect(),
                cells(old_spans, old_counts).collect(),
            )
        };
        self.count >= previous.count
            && self.schema == previous.schema
            && self.zero_threshold == previous.zero_threshold
            && same_bounds(&self.custom_values, &previous.custom_values)
            && self.zero_count >= previous.zero_count
            && !fell(
                &self.positive_spans,
                &self.positive_buckets,
                &previous.positive_spans,
                &previous.positive_buckets,
            )
            && !fell(
                &self.negative_spans,
                &self.negative_buckets,
                &previous.negative_spans,
                &previous.negative_buckets,
            )
    }

    /// What queries that only look at the count and the sum read: a histogram without buckets, whose hint says what
    /// [`FloatHistogram::detect_reset`] found while the buckets were there. `previous` is the sample before it in its series, if that was read
    /// too and is no stale marker.
    pub fn without_buckets(&self, previous: Option<&Self>) -> Self {
        let hint = match (self.counter_reset_hint, previous) {
            (CounterResetHint::Unknown, Some(previous))
                if !crate::sample::is_stale_nan(self.sum) =>
            {
                if self.detect_reset(previous) {
                    CounterResetHint::CounterReset
                } else {
                    CounterResetHint::NotCounterReset
                }
            }
            (hint, _) => hint,
        };
        Self {
            counter_reset_hint: hint,
            schema: self.schema,
            count: self.count,
            sum: self.sum,
            ..Self::default()
        }
    }

    /// A side of a histogram with `schema`, with this histogram's schema and without what lies in this one's zero bucket.
    fn comparable(&self, schema: i32, spans: &[Span], counts: &[f64]) -> Vec<(i32, f64)> {
        let mut merged: Vec<(i32, f64)> = Vec::with_capacity(counts.len());
        for (index, count) in cells(spans, counts) {
            let index = if schema == self.schema {
                index
            } else {
                coarser_index(index, schema, self.schema)
            };
            match merged.last_mut() {
                Some((last, sum)) if *last == index => *sum += count,
                _ => merged.push((index, count)),
            }
        }
        if self.zero_threshold == 0.0 {
            return merged;
        }
        above_threshold(merged.into_iter(), self.schema, self.zero_threshold).collect()
    }

    /// Whether fewer observations lie between two neighbours of the custom bounds that both histograms have.
    fn falls_below_common_bounds(&self, previous: &Self) -> bool {
        let mut bounds = common_bounds(&self.custom_values, &previous.custom_values);
        bounds.push(f64::INFINITY);
        let mut own = self.positive_ascending().peekable();
        let mut before = previous.positive_ascending().peekable();
        bounds.iter().any(|bound| {
            let (mut sum, mut sum_before) = (0.0, 0.0);
            while let Some(bucket) = own.next_if(|bucket| bucket.upper <= *bound) {
                sum += bucket.count;
            }
            while let Some(bucket) = before.next_if(|bucket| bucket.upper <= *bound) {
                sum_before += bucket.count;
            }
            sum < sum_before
        })
    }
}

/// Whether a count of `previous` is greater than the one of the same bucket, or is not 0 and its bucket is gone.
fn fell(current: Vec<(i32, f64)>, previous: Vec<(i32, f64)>) -> bool {
    let mut current = current.into_iter().peekable();
    previous.into_iter().any(|(index, before)| {
        while current.next_if(|(other, _)| *other < index).is_some() {}
        match current.peek() {
            Some((other, count)) if *other == index => *count < before,
            _ => before != 0.0,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::SCHEMA_CUSTOM;
    use super::super::arbitrary::any_histogram;
    use super::*;

    fn histogram(offset: i32, buckets: &[f64]) -> FloatHistogram {
        FloatHistogram {
            count: buckets.iter().sum::<f64>() + 1.0,
            zero_count: 1.0,
            zero_threshold: 0.01,
            positive_spans: vec![Span {
                offset,
                length: buckets.len() as u32,
            }],
            positive_buckets: buckets.to_vec(),
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn counts_only_grow_without_a_reset() {
        let previous = histogram(0, &[1.0, 2.0, 0.0]);
        for (current, expected) in [
            (histogram(0, &[1.0, 2.0, 0.0]), false),
            (histogram(0, &[1.0, 2.0]), false),
            (histogram(-1, &[5.0, 1.0, 2.0]), false),
            (histogram(0, &[9.0]), true),
            (histogram(0, &[0.0, 9.0]), true),
            (histogram(1, &[9.0]), true),
            (histogram(0, &[0.5, 0.5]), true),
        ] {
            assert_eq!(current.detect_reset(&previous), expected, "{current:?}");
        }
    }

    #[test]
    fn the_hint_decides_where_there_is_one() {
        let previous = histogram(0, &[1.0]);
        let mut current = histogram(0, &[2.0]);
        current.counter_reset_hint = CounterResetHint::CounterReset;
        assert!(current.detect_reset(&previous));
        current = histogram(0, &[0.5]);
        current.counter_reset_hint = CounterResetHint::NotCounterReset;
        assert!(!current.detect_reset(&previous));
        current.counter_reset_hint = CounterResetHint::Gauge;
        assert!(current.detect_reset(&previous));
    }

    #[test]
    fn a_coarser_layout_is_no_reset_and_a_finer_one_is() {
        let previous = histogram(0, &[1.0, 2.0]);
        let mut coarse = histogram(0, &[1.0, 2.0]);
        coarse.schema = -1;
        assert!(!coarse.detect_reset(&previous));
        assert!(previous.detect_reset(&coarse));

        let mut wide = histogram(1, &[2.0]);
        wide.zero_threshold = 1.0;
        wide.zero_count = 2.0;
        wide.count = 4.0;
        assert!(!wide.detect_reset(&previous));
        wide.zero_threshold = 0.9;
        assert!(wide.detect_reset(&previous));
        assert!(previous.detect_reset(&wide));
    }

    #[test]
    fn custom_buckets_compare_at_common_bounds() {
        let custom = |bounds: &[f64], buckets: &[f64]| FloatHistogram {
            schema: SCHEMA_CUSTOM,
            custom_values: bounds.to_vec(),
            zero_count: 0.0,
            zero_threshold: 0.0,
            count: 10.0,
            ..histogram(0, buckets)
        };
        let previous = custom(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0]);
        for (current, expected) in [
            (custom(&[2.0, 4.0], &[3.0, 3.0, 4.0]), false),
            (custom(&[2.0, 4.0], &[2.0, 4.0, 4.0]), true),
            (custom(&[3.0], &[0.0, 10.0]), false),
            (custom(&[3.0], &[0.0, 9.0]), true),
            (custom(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 3.0]), true),
        ] {
            assert_eq!(current.detect_reset(&previous), expected, "{current:?}");
        }
        let mut exponential = histogram(0, &[]);
        exponential.count = 20.0;
        assert!(exponential.detect_reset(&previous));
        exponential.count = 1.0;
        assert!(previous.detect_reset(&exponential));
    }

    #[test]
    fn the_hint_survives_the_buckets() {
        let previous = histogram(0, &[1.0, 2.0]);
        let current = histogram(0, &[2.0, 1.0]);
        let hint = |previous| current.without_buckets(previous).counter_reset_hint;
        assert_eq!(hint(None), CounterResetHint::Unknown);
        assert_eq!(hint(Some(&previous)), CounterResetHint::CounterReset);
        assert_eq!(hint(Some(&current)), CounterResetHint::NotCounterReset);
        assert_eq!(current.without_buckets(None).heap_items(), 0);
    }

    #[test]
    fn a_stored_sample_says_whether_it_goes_on() {
        let of = |count: f64, hint| FloatHistogram {
            count,
            counter_reset_hint: hint,
            positive_spans: vec![Span {
                offset: 0,
                length: 1,
            }],
            positive_buckets: vec![count],
            ..FloatHistogram::default()
        };
        use CounterResetHint::{CounterReset, Gauge, NotCounterReset, Unknown};
        let before = of(3.0, Unknown);
        for (count, hint, want) in [
            (4.0, Unknown, NotCounterReset),
            (3.0, Unknown, NotCounterReset),
            (2.0, Unknown, Unknown),
            (2.0, NotCounterReset, Unknown),
            (4.0, CounterReset, Unknown),
            (4.0, Gauge, Gauge),
        ] {
            assert_eq!(of(count, hint).stored_hint(Some(&before)), want);
        }
        assert_eq!(of(4.0, NotCounterReset).stored_hint(None), Unknown);
        let finer = FloatHistogram {
            schema: 1,
            ..of(9.0, Unknown)
        };
        assert_eq!(finer.stored_hint(Some(&before)), Unknown);
    }

    proptest! {
        #[test]
        fn any_two_histograms_compare(a in any_histogram(), b in any_histogram()) {
            a.detect_reset(&b);
        }
    }
}
