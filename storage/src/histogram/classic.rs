//! Native histograms with custom bounds out of the series of a classic histogram.

use super::{FloatHistogram, HistogramError, SCHEMA_CUSTOM, Span};

/// Below it floats are whole numbers of 64 bits with a sign.
const INTEGERS_END: f64 = (1u64 << 63) as f64;
/// How many empty buckets in a row stay explicit in a histogram of whole numbers, and in one of others.
const EMPTY_MAX_INTEGER: usize = 2;
const EMPTY_MAX_FLOAT: usize = 0;

/// The samples of a classic histogram at one time, gathered in any order.
#[derive(Clone, Debug, Default)]
pub struct ClassicHistogram {
    /// Upper bounds and cumulative counts, by bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    /// What was wrong first; nothing counts after it.
    error: Option<HistogramError>,
}

impl ClassicHistogram {
    /// Takes the sample of the `_bucket` series with the bound `le`. Of several with one bound the first counts.
    ///
    /// Fails if the counts are not cumulative, and fails again in [`ClassicHistogram::to_native`].
    pub fn set_bucket(&mut self, le: f64, count: f64) -> Result<(), HistogramError> {
        self.checked(|histogram| histogram.insert(le, count))
    }

    /// Takes the sample of the `_count` series. Without one, the count is that of the highest bucket.
    pub fn set_count(&mut self, count: f64) -> Result<(), HistogramError> {
        self.checked(|histogram| {
            if count < 0.0 {
                return Err(HistogramError::ClassicNegativeCount(count));
            }
            histogram.count = Some(count);
            Ok(())
        })
    }

    /// Takes the sample of the `_sum` series. Without one, the sum is 0.
    pub fn set_sum(&mut self, sum: f64) {
        if self.error.is_none() {
            self.sum = sum;
        }
    }

    /// The native histogram. Fails if a sample failed, and if the count is not that of the bucket `+Inf`.
    pub fn to_native(&self) -> Result<FloatHistogram, HistogramError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let highest = self.buckets.last().copied();
        let count = self
            .count
            .unwrap_or_else(|| highest.map_or(0.0, |(_, count)| count));
        let (le, bucket_count) = match highest {
            Some((f64::INFINITY, count)) => (f64::INFINITY, count),
            _ => (f64::INFINITY, count),
        };
        let bounds = self.buckets.iter().filter(|(le, _)| *le != f64::INFINITY);
        let custom_values: Vec<f64> = bounds.clone().map(|(le, _)| *le).collect();
        let cumulative = bounds.map(|(_, count)| *count).chain([bucket_count]);

        let integer = cumulative.clone().chain([count]).all(is_integer);
        if count != bucket_count {
            return Err(HistogramError::ClassicCount {
                count,
                integer,
                le,
                bucket_count,
            });
        }
        let positive_buckets: Vec<f64> = cumulative
            .scan(0.0, |below, count| {
                Some(count - std::mem::replace(below, count))
            })
            .collect();
        let mut histogram = FloatHistogram {
            schema: SCHEMA_CUSTOM,
            count,
            sum: self.sum,
            positive_spans: vec![Span {
                offset: 0,
                length: u32::try_from(positive_buckets.len()).unwrap_or(u32::MAX),
            }],
            positive_buckets,
            custom_values,
            ..FloatHistogram::default()
        };
        histogram.compact(if integer {
            EMPTY_MAX_INTEGER
        } else {
            EMPTY_MAX_FLOAT
        });
        Ok(histogram)
    }

    fn checked(
        &mut self,
        set: impl FnOnce(&mut Self) -> Result<(), HistogramError>,
    ) -> Result<(), HistogramError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let result = set(self);
        self.error = result.as_ref().err().cloned();
        result
    }

    fn insert(&mut self, le: f64, count: f64) -> Result<(), HistogramError> {
        if le.is_nan() {
            return Err(HistogramError::ClassicNanBound);
        }
        if count < 0.0 {
            return Err(HistogramError::ClassicNegativeBucket { le, count });
        }
        let position = self.buckets.partition_point(|(bound, _)| *bound < le);
        let above = self.buckets.get(position).copied();
        if above.is_some_and(|(bound, _)| bound == le) {
            return Ok(());
        }
        let below = position.checked_sub(1);
        let below = below.and_then(|below| self.buckets.get(below)).copied();
        if let Some((_, neighbour)) = below.filter(|(_, neighbour)| count < *neighbour) {
            return Err(HistogramError::ClassicNotCumulative { count, neighbour });
        }
        if let Some((_, neighbour)) = above.filter(|(_, neighbour)| count > *neighbour) {
            return Err(HistogramError::ClassicNotCumulative { count, neighbour });
        }
        self.buckets.insert(position, (le, count));
        Ok(())
    }
}

fn is_integer(count: f64) -> bool {
    count.abs() < INTEGERS_END && count.trunc() == count
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cumulative_counts_become_those_of_buckets() {
        let mut classic = ClassicHistogram::default();
        for (le, count) in [
            (f64::INFINITY, 10.0),
            (1.0, 3.0),
            (0.1, 1.0),
            (1.0, 99.0),
            (5.0, 3.0),
        ] {
            classic.set_bucket(le, count).unwrap();
        }
        classic.set_sum(12.5);
        let native = classic.to_native().unwrap();
        assert_eq!(
            native,
            FloatHistogram {
                schema: SCHEMA_CUSTOM,
                count: 10.0,
                sum: 12.5,
                positive_spans: vec![Span {
                    offset: 0,
                    length: 4
                }],
                positive_buckets: vec![1.0, 2.0, 0.0, 7.0],
                custom_values: vec![0.1, 1.0, 5.0],
                ..FloatHistogram::default()
            }
        );
        assert_eq!(native.validate(), Ok(()));
    }

    #[test]
    fn fractions_leave_no_bucket_empty() {
        let mut classic = ClassicHistogram::default();
        classic.set_bucket(1.0, 0.5).unwrap();
        classic.set_bucket(2.0, 0.5).unwrap();
        classic.set_count(2.0).unwrap();
        let native = classic.to_native().unwrap();
        assert_eq!(native.positive_buckets, [0.5, 1.5]);
        assert_eq!(
            native.positive_spans,
            [
                Span {
                    offset: 0,
                    length: 1
                },
                Span {
                    offset: 1,
                    length: 1
                }
            ]
        );
    }

    #[test]
    fn a_count_alone_is_one_bucket() {
        let mut classic = ClassicHistogram::default();
        assert!(classic.to_native().unwrap().positive_buckets.is_empty());
        classic.set_count(3.0).unwrap();
        let native = classic.to_native().unwrap();
        assert_eq!(
            (native.positive_buckets, native.custom_values),
            (vec![3.0], vec![])
        );
    }

    #[test]
    fn contradictions_are_errors_that_last() {
        let message = |set: &dyn Fn(&mut ClassicHistogram) -> Result<(), HistogramError>| {
            let mut classic = ClassicHistogram::default();
            classic.set_bucket(1.0, 2.0).unwrap();
            classic.set_bucket(3.0, 4.0).unwrap();
            let _ = set(&mut classic);
            classic.to_native().unwrap_err().to_string()
        };
        assert_eq!(
            message(&|c| c.set_bucket(f64::NAN, 1.0)),
            "bucket boundary must not be NaN"
        );
        assert_eq!(
            message(&|c| c.set_bucket(9.0, -1.0)),
            "bucket count must be non-negative: le=9, count=-1"
        );
        assert_eq!(
            message(&|c| c.set_bucket(9.0, 1.0)),
            "count is not cumulative: 1 < 4"
        );
        assert_eq!(
            message(&|c| c.set_bucket(2.0, 5.0)),
            "count is not cumulative: 5 > 4"
        );
        assert_eq!(
            message(&|c| c.set_count(-5.0)),
            "count must be non-negative: count=-5"
        );
        let infinite = |count| {
            move |c: &mut ClassicHistogram| {
                c.set_count(count)?;
                c.set_bucket(f64::INFINITY, 5.0)
            }
        };
        assert_eq!(
            message(&infinite(4.0)),
            "count mismatch: count=4 != le=+Inf count=5"
        );
        assert_eq!(
            message(&infinite(4.5)),
            "count mismatch: count=4.5 != le=+Inf count=5"
        );
    }

    proptest! {
        #[test]
        fn the_order_of_buckets_does_not_matter(
            counts in prop::collection::vec(0..1000u32, 1..8),
            order in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let cumulative: Vec<(f64, f64)> = counts.iter().scan(0, |sum, count| { *sum += count; Some(f64::from(*sum)) })
                .enumerate().map(|(nth, count)| (nth as f64, count)).collect();
            let build = |order: &[usize]| {
                let mut classic = ClassicHistogram::default();
                for (le, count) in order.iter().filter_map(|nth| cumulative.get(*nth)) {
                    classic.set_bucket(*le, *count).unwrap();
                }
                classic.to_native().unwrap()
            };
            let native = build(&order);
            prop_assert_eq!(native.validate(), Ok(()));
            prop_assert_eq!(native, build(&[0, 1, 2, 3, 4, 5, 6, 7]));
        }
    }
}
