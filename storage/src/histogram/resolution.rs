//! Reducing the resolution of exponential buckets.

use super::cell::cells;
use super::layout::spans_of_indexes;
use super::validate::validate_spans;
use super::{FloatHistogram, HistogramError, SCHEMA_CUSTOM, Span};

/// The index at a coarser schema of the bucket that contains a bucket of a finer one.
pub(super) fn coarser_index(index: i32, from: i32, to: i32) -> i32 {
    let doublings = from.wrapping_sub(to).clamp(0, 31);
    (index.wrapping_sub(1) >> doublings).wrapping_add(1)
}

/// A side at a coarser schema: counts that fall into one bucket are combined in ascending order.
pub(super) fn reduced<T: Copy>(
    spans: &[Span],
    counts: &[T],
    from: i32,
    to: i32,
    combine: impl Fn(T, T) -> T,
) -> (Vec<Span>, Vec<T>) {
    let (mut indexes, mut sums) = (Vec::new(), Vec::<T>::new());
    for (index, count) in cells(spans, counts) {
        let index = coarser_index(index, from, to);
        match sums.last_mut() {
            Some(sum) if indexes.last() == Some(&index) => *sum = combine(*sum, count),
            _ => {
                indexes.push(index);
                sums.push(count);
            }
        }
    }
    (spans_of_indexes(indexes.into_iter()), sums)
}

impl FloatHistogram {
    /// Reduces the resolution to a coarser exponential schema, as histograms received with one above 8 need. Changes nothing where it
    /// fails.
    ///
    /// Fails with custom buckets, with a schema that is not coarser, and with spans that do not fit the buckets.
    pub fn reduce_resolution(&mut self, schema: i32) -> Result<(), HistogramError> {
        if self.uses_custom_buckets() || schema == SCHEMA_CUSTOM || schema >= self.schema {
            return Err(HistogramError::ReduceResolution {
                from: self.schema,
                to: schema,
            });
        }
        validate_spans(&self.positive_spans, self.positive_buckets.len())?;
        validate_spans(&self.negative_spans, self.negative_buckets.len())?;
        *self = Self {
            counter_reset_hint: self.counter_reset_hint,
            ..self.at_schema(schema)
        };
        Ok(())
    }

    /// A copy at a schema that is at most as fine. At another schema than this one's nothing is known of counter resets. With custom
    /// buckets, and with a finer schema, it is a plain copy.
    pub fn at_schema(&self, schema: i32) -> Self {
        if self.uses_custom_buckets() || schema == SCHEMA_CUSTOM || schema >= self.schema {
            return self.clone();
        }
        let add = |a: f64, b: f64| a + b;
        let (positive_spans, positive_buckets) = reduced(
            &self.positive_spans,
            &self.positive_buckets,
            self.schema,
            schema,
            add,
        );
        let (negative_spans, negative_buckets) = reduced(
            &self.negative_spans,
            &self.negative_buckets,
            self.schema,
            schema,
            add,
        );
        Self {
            schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::arbitrary::{any_histogram, whole_histogram};
    use super::*;

    #[test]
    fn buckets_of_a_coarser_schema_contain_several() {
        let mut histogram = FloatHistogram {
            schema: 2,
            positive_spans: vec![
                Span {
                    offset: -3,
                    length: 4,
                },
                Span {
                    offset: 7,
                    length: 2,
                },
            ],
            positive_buckets: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            ..FloatHistogram::default()
        };
        histogram.reduce_resolution(0).unwrap();
        // -3..0 are (0.5, 1]; 8 is the end of (2, 4] and 9 the begin of (4, 8].
        assert_eq!(
            histogram.positive_spans,
            [
                Span {
                    offset: 0,
                    length: 1
                },
                Span {
                    offset: 1,
                    length: 2
                }
            ]
        );
        assert_eq!(histogram.positive_buckets, [10.0, 5.0, 6.0]);
        assert!(histogram.reduce_resolution(0).is_err());
        histogram.positive_spans.clear();
        assert!(histogram.reduce_resolution(-1).is_err());
    }

    proptest! {
        #[test]
        fn totals_are_kept(histogram in whole_histogram(), schema in -4..8i32) {
            let reduced = histogram.at_schema(schema);
            let total = |histogram: &FloatHistogram| histogram.populated().map(|bucket| bucket.count).sum::<f64>();
            prop_assert_eq!(total(&histogram), total(&reduced));
            prop_assert_eq!(histogram.count, reduced.count);
            reduced.validate().unwrap();
        }

        #[test]
        fn any_histogram_reduces(histogram in any_histogram(), schema: i32) {
            histogram.at_schema(schema);
        }
    }
}
