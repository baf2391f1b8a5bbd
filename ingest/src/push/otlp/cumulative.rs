//! Deltas added up: for each series what its data points came to so far (the feature `otlp-deltatocumulative`).
//!
//! A data point that is not later than the one before it, or began before the series did, is left out, since it was counted already or belongs to a series
//! that is gone. What is known lies in memory: after a restart, and for a series that was not heard of for so long that others took its
//! place, counting begins again, which looks like the reset of a counter.

use varve_storage::SeriesId;
use varve_storage::histogram::{FloatHistogram, HistogramError, SCHEMA_MIN};

use super::points::{Head, HistogramPoint, NumberPoint};
use crate::push::generations::Generations;

/// Buckets on one side of a histogram that deltas are added to; with more, two become one.
const BUCKETS_MAX: usize = 160;

/// What an entry takes besides lists.
const ENTRY_BYTES: usize = 250;

/// What data points came to, by series.
#[derive(Debug)]
pub(in crate::push) struct Totals(Generations<SeriesId, Total>);

#[derive(Clone, Debug)]
struct Total {
    /// When counting began, and the time of the last data point; nanoseconds.
    start_ns: u64,
    time_ns: u64,
    sum: Sum,
}

#[derive(Clone, Debug)]
enum Sum {
    Number(f64),
    Histogram {
        count: u64,
        sum: Option<f64>,
        bucket_counts: Vec<u64>,
        bounds: Vec<f64>,
    },
    Native(FloatHistogram),
}

impl Sum {
    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + 8 * match self {
                Self::Number(_) => 0,
                Self::Histogram {
                    bucket_counts,
                    bounds,
                    ..
                } => bucket_counts.len() + bounds.len(),
                Self::Native(histogram) => histogram.heap_items(),
            }
    }
}

impl Totals {
    /// Nothing yet, in `bytes_max` bytes at most.
    pub(in crate::push) fn new(bytes_max: usize) -> Self {
        Self(Generations::new(bytes_max))
    }

    /// The total to which a data point is added; `Err` if it cannot be.
    fn before(&mut self, series: &SeriesId, head: &Head<'_>) -> Result<Option<Total>, LeftOut> {
        let known = self.0.get(series);
        let late = |total: &Total| head.start_ns < total.start_ns || head.time_ns <= total.time_ns;
        match known {
            Some(total) if late(total) => Err(LeftOut),
            known => Ok(known.cloned()),
        }
    }

    /// Remembers a total, and gives the data point its start.
    fn put(&mut self, series: SeriesId, head: &mut Head<'_>, before: Option<u64>, sum: Sum) {
        head.start_ns = before.unwrap_or(head.start_ns);
        let bytes = sum.bytes();
        let total = Total {
            start_ns: head.start_ns,
            time_ns: head.time_ns,
            sum,
        };
        self.0.insert(series, total, bytes);
    }

    /// Makes a difference the total.
    pub(super) fn number(
        &mut self,
        series: SeriesId,
        point: &mut NumberPoint<'_>,
    ) -> Result<(), LeftOut> {
        let before = self.before(&series, &point.head)?;
        let start = before.as_ref().map(|total| total.start_ns);
        if let Some(Sum::Number(sum)) = before.map(|total| total.sum) {
            point.value += sum;
        }
        let sum = Sum::Number(point.value);
        self.put(series, &mut point.head, start, sum);
        Ok(())
    }

    /// Makes a difference the total. With other bounds than before counting begins again.
    pub(super) fn histogram(
        &mut self,
        series: SeriesId,
        point: &mut HistogramPoint<'_>,
    ) -> Result<(), LeftOut> {
        let before = self.before(&series, &point.head)?;
        let mut start = None;
        if let Some(Total {
            start_ns,
            sum:
                Sum::Histogram {
                    count,
                    sum,
                    bucket_counts,
                    bounds,
                },
            ..
        }) = before
            && bounds == point.bounds
        {
            start = Some(start_ns);
            point.count = point.count.wrapping_add(count);
            point.sum = point.sum.zip(sum).map(|(a, b)| a + b);
            for (own, before) in point.bucket_counts.iter_mut().zip(bucket_counts) {
                *own = own.wrapping_add(before);
            }
        }
        let sum = Sum::Histogram {
            count: point.count,
            sum: point.sum,
            bucket_counts: point.bucket_counts.clone(),
            bounds: point.bounds.clone(),
        };
        self.put(series, &mut point.head, start, sum);
        Ok(())
    }

    /// Makes a difference the total. Resolutions that differ are brought to the coarser one.
    pub(super) fn native(
        &mut self,
        series: SeriesId,
        head: &mut Head<'_>,
        histogram: &mut FloatHistogram,
    ) -> Result<Result<(), HistogramError>, LeftOut> {
        let before = self.before(&series, head)?;
        let start = before.as_ref().map(|total| total.start_ns);
        if let Some(Sum::Native(mut total)) = before.map(|total| total.sum) {
            if let Err(error) = total.add(histogram) {
                return Ok(Err(error));
            }
            total.compact(2);
            while total
                .positive_buckets
                .len()
                .max(total.negative_buckets.len())
                > BUCKETS_MAX
                && total.schema > SCHEMA_MIN
            {
                if let Err(error) = total.reduce_resolution(total.schema - 1) {
                    return Ok(Err(error));
                }
            }
            *histogram = total;
        }
        self.put(series, head, start, Sum::Native(histogram.clone()));
        Ok(Ok(()))
    }
}

/// A data point that is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeftOut;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use varve_storage::histogram::Span;
    use varve_storage::{Labels, Series};

    use super::*;

    fn series() -> SeriesId {
        Series::new(Labels::from_pairs([("__name__", "x")])).id
    }

    fn head(start_ns: u64, time_ns: u64) -> Head<'static> {
        Head {
            start_ns,
            time_ns,
            ..Head::default()
        }
    }

    #[test]
    fn numbers_add_up_and_late_ones_are_left_out() {
        let mut totals = Totals::new(10_000);
        let mut add = |start, time, value| {
            let mut point = NumberPoint {
                head: head(start, time),
                value,
            };
            let added = totals.number(series(), &mut point);
            added.map(|()| (point.head.start_ns, point.value))
        };
        assert_eq!(add(10, 20, 1.5), Ok((10, 1.5)));
        assert_eq!(add(20, 30, 2.0), Ok((10, 3.5)));
        assert_eq!(add(20, 30, 2.0), Err(LeftOut));
        assert_eq!(add(9, 40, 2.0), Err(LeftOut));
        // A gap makes no difference.
        assert_eq!(add(50, 60, 1.0), Ok((10, 4.5)));
    }

    #[test]
    fn histograms_add_up_while_their_bounds_stay() {
        let mut totals = Totals::new(10_000);
        let mut add = |time, bounds: &[f64], sum| {
            let mut point = HistogramPoint {
                head: head(1, time),
                count: 3,
                sum,
                bucket_counts: vec![1, 2],
                bounds: bounds.to_vec(),
            };
            totals.histogram(series(), &mut point).unwrap();
            (point.count, point.sum, point.bucket_counts)
        };
        assert_eq!(add(2, &[1.0], Some(1.0)), (3, Some(1.0), vec![1, 2]));
        assert_eq!(add(3, &[1.0], Some(2.0)), (6, Some(3.0), vec![2, 4]));
        assert_eq!(add(4, &[1.0], None), (9, None, vec![3, 6]));
        assert_eq!(add(5, &[2.0], None), (3, None, vec![1, 2]));
    }

    #[test]
    fn native_histograms_stay_small() {
        let mut totals = Totals::new(100_000);
        let mut add = |time, offset, schema| {
            let mut histogram = FloatHistogram {
                schema,
                count: 100.0,
                sum: 1.0,
                positive_spans: vec![Span {
                    offset,
                    length: 100,
                }],
                positive_buckets: vec![1.0; 100],
                ..FloatHistogram::default()
            };
            let added = totals.native(series(), &mut head(1, time), &mut histogram);
            added.unwrap().unwrap();
            (
                histogram.schema,
                histogram.count,
                histogram.positive_buckets.len(),
            )
        };
        assert_eq!(add(2, 1, 8), (8, 100.0, 100));
        assert_eq!(add(3, 101, 8), (7, 200.0, 100));
        assert_eq!(add(4, 1, 7).0, 7);
    }
}
