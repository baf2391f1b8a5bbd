//! Histograms of OpenTelemetry as native ones.

use varve_storage::histogram::{
    CounterResetHint, FloatHistogram, HistogramError, IntegerHistogram, SCHEMA_CUSTOM, SCHEMA_MAX,
    SCHEMA_MIN, Span,
};
use varve_storage::stale_nan;

use super::points::{Buckets, ExponentialPoint, HistogramPoint};

/// The zero bucket of exponential histograms: OpenTelemetry's own threshold is not looked at, as in Prometheus.
const ZERO_THRESHOLD: f64 = 1e-128;

/// So many empty buckets in a row stay explicit; more are a gap between spans.
const EMPTY_MAX: i32 = 2;

/// A native histogram, or what is wrong with it.
pub(super) type Native = Result<FloatHistogram, HistogramError>;

/// The marker that a series of native histograms has ended.
pub(super) fn stale() -> FloatHistogram {
    FloatHistogram {
        sum: stale_nan(),
        ..FloatHistogram::default()
    }
}

/// A histogram with exponential buckets; `Err` if it is too coarse.
pub(super) fn exponential(
    point: &ExponentialPoint<'_>,
    hint: CounterResetHint,
) -> Result<Native, String> {
    if point.scale < SCHEMA_MIN {
        return Err(format!(
            "cannot convert exponential to native histogram. Scale must be >= {SCHEMA_MIN}, was {}",
            point.scale
        ));
    }
    if point.head.has_no_value() {
        return Ok(Ok(stale()));
    }
    // Shifts by more than 31 bits are the same as one by 31.
    let scale_down = point.scale.saturating_sub(SCHEMA_MAX).clamp(0, 31);
    let side = |buckets: &Buckets| {
        let first = (buckets.offset >> scale_down).wrapping_add(1);
        layout(&buckets.counts, buckets.offset, scale_down, first)
    };
    let (positive_spans, positive_deltas) = side(&point.positive);
    let (negative_spans, negative_deltas) = side(&point.negative);
    let histogram = IntegerHistogram {
        counter_reset_hint: hint,
        schema: point.scale.min(SCHEMA_MAX),
        zero_threshold: ZERO_THRESHOLD,
        zero_count: point.zero_count,
        count: point.count,
        sum: point.sum.unwrap_or(0.0),
        positive_spans,
        positive_deltas,
        negative_spans,
        negative_deltas,
        custom_values: Vec::new(),
    };
    Ok(histogram.to_float())
}

/// A histogram with explicit bounds as one with custom buckets.
pub(super) fn custom(point: &HistogramPoint<'_>, hint: CounterResetHint) -> Native {
    if point.head.has_no_value() {
        return Ok(stale());
    }
    let empty = point.bucket_counts.iter().take_while(|count| **count == 0);
    let first = empty.count();
    let counts = point.bucket_counts.get(first..).unwrap_or_default();
    let first = i32::try_from(first).unwrap_or(i32::MAX);
    let (positive_spans, positive_deltas) = layout(counts, first, 0, first);
    IntegerHistogram {
        counter_reset_hint: hint,
        schema: SCHEMA_CUSTOM,
        count: point.count,
        sum: point.sum.unwrap_or(0.0),
        positive_spans,
        positive_deltas,
        custom_values: point.bounds.clone(),
        ..IntegerHistogram::default()
    }
    .to_float()
}

/// Spans and differences for counts from the index `offset` on, of which 2^`scale_down` lie in one bucket; the first span begins at `first`.
///
/// The walk is Prometheus's, step by step. That shows where buckets are merged and empty ones lie between others: it then puts the first count
/// behind them one merged bucket too low, and stored histograms shall be the same whoever receives them.
fn layout(counts: &[u64], offset: i32, scale_down: i32, first: i32) -> (Vec<Span>, Vec<i64>) {
    let mut written = Layout {
        spans: vec![Span {
            offset: first,
            length: 0,
        }],
        deltas: Vec::new(),
        last: 0,
    };
    let bucket_of = |position: usize| {
        let position = i32::try_from(position).unwrap_or(i32::MAX);
        (position.wrapping_add(offset) >> scale_down).wrapping_add(1)
    };
    let mut bucket = bucket_of(0);
    let mut count = 0_i64;
    for (position, added) in counts.iter().enumerate() {
        let added = added.cast_signed();
        let next = bucket_of(position);
        if next == bucket {
            count = count.wrapping_add(added);
        } else if count == 0 {
            count = added;
        } else {
            written.push(next.wrapping_sub(bucket).wrapping_sub(1), count);
            count = added;
            bucket = next;
        }
    }
    let Some(last) = counts.len().checked_sub(1) else {
        return (Vec::new(), Vec::new());
    };
    written.push(bucket_of(last).wrapping_sub(bucket), count);
    (written.spans, written.deltas)
}

struct Layout {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    last: i64,
}

impl Layout {
    /// Adds a bucket behind a gap.
    fn push(&mut self, gap: i32, count: i64) {
        if gap > EMPTY_MAX {
            self.spans.push(Span {
                offset: gap,
                length: 0,
            });
        } else {
            (0..gap).for_each(|_| self.bucket(0));
        }
        self.bucket(count);
    }

    fn bucket(&mut self, count: i64) {
        if let Some(span) = self.spans.last_mut() {
            span.length = span.length.saturating_add(1);
        }
        self.deltas.push(count.wrapping_sub(self.last));
        self.last = count;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::super::points::Head;
    use super::*;

    fn point(scale: i32, offset: i32, counts: &[u64]) -> ExponentialPoint<'static> {
        ExponentialPoint {
            count: counts.iter().sum(),
            scale,
            positive: Buckets {
                offset,
                counts: counts.to_vec(),
            },
            ..ExponentialPoint::default()
        }
    }

    /// Spans as (offset, length), and counts.
    fn shown(scale: i32, offset: i32, counts: &[u64]) -> (Vec<(i32, u32)>, Vec<f64>) {
        let native = exponential(&point(scale, offset, counts), CounterResetHint::Unknown)
            .unwrap()
            .unwrap();
        let spans = native.positive_spans.iter();
        (
            spans.map(|s| (s.offset, s.length)).collect(),
            native.positive_buckets,
        )
    }

    #[test]
    fn buckets_become_spans() {
        assert_eq!(shown(1, 0, &[4, 2, 3]), (vec![(1, 3)], vec![4.0, 2.0, 3.0]));
        assert_eq!(
            shown(1, -3, &[1, 0, 2]),
            (vec![(-2, 3)], vec![1.0, 0.0, 2.0])
        );
        assert_eq!(
            shown(1, 5, &[1, 0, 0, 0, 2]),
            (vec![(6, 1), (3, 1)], vec![1.0, 2.0])
        );
        assert_eq!(shown(1, 5, &[]), (vec![], vec![]));
        // Four to one.
        assert_eq!(
            shown(10, 0, &[1, 1, 1, 1, 5]),
            (vec![(1, 2)], vec![4.0, 5.0])
        );
    }

    #[test]
    fn scales_have_limits() {
        let error = exponential(&point(-5, 0, &[1]), CounterResetHint::Unknown).unwrap_err();
        assert_eq!(
            error,
            "cannot convert exponential to native histogram. Scale must be >= -4, was -5"
        );
        let fine = exponential(
            &point(i32::MAX, i32::MAX, &[1, 2]),
            CounterResetHint::Unknown,
        );
        assert!(fine.is_ok());
    }

    #[test]
    fn explicit_bounds_become_custom_buckets() {
        let point = HistogramPoint {
            count: 6,
            sum: Some(2.5),
            bucket_counts: vec![0, 0, 1, 0, 5],
            bounds: vec![1.0, 2.0, 3.0, 4.0],
            ..HistogramPoint::default()
        };
        let native = custom(&point, CounterResetHint::Unknown).unwrap();
        assert_eq!(native.custom_values, [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(native.positive_buckets, [1.0, 0.0, 5.0]);
        assert_eq!(
            native.positive_spans,
            [Span {
                offset: 2,
                length: 3
            }]
        );
        assert_eq!(
            (native.count, native.sum, native.schema),
            (6.0, 2.5, SCHEMA_CUSTOM)
        );
        let wrong = HistogramPoint { count: 7, ..point };
        assert!(custom(&wrong, CounterResetHint::Unknown).is_err());
    }

    #[test]
    fn a_point_without_value_ends_the_series() {
        let ended = ExponentialPoint {
            head: Head::ended(),
            ..point(0, 0, &[1])
        };
        let native = exponential(&ended, CounterResetHint::Unknown)
            .unwrap()
            .unwrap();
        assert!(varve_storage::is_stale_nan(native.sum));
    }

    proptest! {
        #[test]
        fn every_observation_is_in_a_bucket(
            counts in prop::collection::vec(0..5_u64, 0..40), offset: i32, scale in -4..40,
        ) {
            let total: u64 = counts.iter().sum();
            let native = exponential(&point(scale, offset, &counts), CounterResetHint::Unknown).unwrap();
            // Indexes may overflow at the ends of their range; nothing may panic there.
            if (-1_000_000..1_000_000).contains(&offset) {
                let native = native.unwrap();
                prop_assert_eq!(native.positive_buckets.iter().sum::<f64>(), total as f64);
            }
        }
    }
}
