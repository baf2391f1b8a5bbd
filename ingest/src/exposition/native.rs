//! Native histograms on their way from an exposition to a sample: what is checked where.
//!
//! That spans fit buckets is checked when a histogram is read, and breaks the exposition. Everything else is up to whoever takes the sample, as in
//! Prometheus: a histogram that is dropped may be as wrong as it likes, and one that is too fine may be reduced first.

use std::sync::Arc;

use varve_storage::SampleValue;
use varve_storage::histogram::{
    FloatHistogram, HistogramError, IntegerHistogram, SCHEMA_MAX, SCHEMA_MAX_RESERVED,
    SCHEMA_MIN_RESERVED, Span,
};

/// The observations of a histogram whose counts were exposed as integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observations {
    /// Those in buckets.
    in_buckets: u128,
    /// All of them.
    count: u64,
}

impl Observations {
    /// Checks a histogram, which may have been made coarser since: no count is negative, nothing is there that its schema has no use for, and integers
    /// add up.
    pub fn check(
        observations: Option<Self>,
        histogram: &FloatHistogram,
    ) -> Result<(), HistogramError> {
        histogram.validate()?;
        let Some(Self { in_buckets, count }) = observations else {
            return Ok(());
        };
        let found = in_buckets;
        match histogram.sum.is_nan() {
            true if found > u128::from(count) => {
                Err(HistogramError::CountTooSmall { found, count })
            }
            false if found != u128::from(count) => {
                Err(HistogramError::CountMismatch { found, count })
            }
            _ => Ok(()),
        }
    }
}

/// Reduces the resolution to `schema` where it is finer and can be reduced at all: custom bounds cannot.
pub fn coarsen(histogram: &mut Arc<FloatHistogram>, schema: i32) -> Result<(), HistogramError> {
    let reducible = (SCHEMA_MIN_RESERVED..=SCHEMA_MAX_RESERVED).contains(&histogram.schema);
    match reducible && histogram.schema > schema {
        true => Arc::make_mut(histogram).reduce_resolution(schema),
        false => Ok(()),
    }
}

/// A value that is taken as it is, unless its histogram is too fine or wrong.
pub(crate) fn checked(
    value: &SampleValue,
    observations: Option<Observations>,
) -> Result<SampleValue, HistogramError> {
    let mut value = value.clone();
    if let SampleValue::Histogram(histogram) = &mut value {
        coarsen(histogram, SCHEMA_MAX)?;
        Observations::check(observations, histogram)?;
    }
    Ok(value)
}

/// A histogram with integer counts as one with float counts, without empty buckets. Negative counts are found when it is checked.
pub(super) fn of_integers(integer: IntegerHistogram) -> (FloatHistogram, Observations) {
    let (positive_buckets, positive) = absolute(&integer.positive_deltas);
    let (negative_buckets, negative) = absolute(&integer.negative_deltas);
    let observations = Observations {
        in_buckets: u128::from(integer.zero_count) + positive + negative,
        count: integer.count,
    };
    let mut histogram = FloatHistogram {
        counter_reset_hint: integer.counter_reset_hint,
        schema: integer.schema,
        zero_threshold: integer.zero_threshold,
        zero_count: integer.zero_count as f64,
        count: integer.count as f64,
        sum: integer.sum,
        positive_spans: integer.positive_spans,
        positive_buckets,
        negative_spans: integer.negative_spans,
        negative_buckets,
        custom_values: integer.custom_values,
    };
    histogram.compact(0);
    (histogram, observations)
}

/// Absolute counts, and what those that are not negative add up to.
fn absolute(deltas: &[i64]) -> (Vec<f64>, u128) {
    let mut count = 0_i64;
    let mut sum = 0_u128;
    let counts = deltas.iter().map(|delta| {
        count = count.wrapping_add(*delta);
        sum += u128::from(u64::try_from(count).unwrap_or(0));
        count as f64
    });
    (counts.collect(), sum)
}

/// Whether spans are for as many buckets as there are; else what is wrong, in Prometheus's words.
pub(super) fn check_spans(side: &str, spans: &[Span], buckets: usize) -> Result<(), String> {
    let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    match needed == buckets as u64 {
        true => Ok(()),
        false => Err(format!(
            "{side} side: spans require {needed} buckets, have {buckets}"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn integer(schema: i32) -> IntegerHistogram {
        IntegerHistogram {
            schema,
            count: 12,
            sum: 3.0,
            zero_count: 2,
            positive_spans: vec![Span {
                offset: 1,
                length: 4,
            }],
            positive_deltas: vec![1, 3, -4, 5],
            ..IntegerHistogram::default()
        }
    }

    fn check(integer: IntegerHistogram) -> Result<FloatHistogram, String> {
        let (histogram, observations) = of_integers(integer);
        let checked = Observations::check(Some(observations), &histogram);
        checked.map(|()| histogram).map_err(|e| e.to_string())
    }

    #[test]
    fn empty_buckets_go_and_integers_must_add_up() {
        assert_eq!(check(integer(0)).unwrap().positive_buckets, [1.0, 4.0, 5.0]);
        let more = IntegerHistogram {
            count: 13,
            ..integer(0)
        };
        assert_eq!(
            check(more.clone()).unwrap_err(),
            "12 observations found in buckets, but the Count field is 13: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)"
        );
        // Where the sum is no number, some observations were none either.
        let nan = f64::NAN;
        assert!(check(IntegerHistogram { sum: nan, ..more }).is_ok());
        let fewer = IntegerHistogram {
            count: 11,
            sum: nan,
            ..integer(0)
        };
        assert!(check(fewer).is_err());
        let negative = IntegerHistogram {
            positive_deltas: vec![1, -3, 4, 5],
            ..integer(0)
        };
        assert_eq!(
            check(negative).unwrap_err(),
            "positive side: bucket number 2 has observation count of -2: histogram has a bucket whose observation count is negative"
        );
    }

    #[test]
    fn a_schema_that_is_too_fine_is_wrong_unless_it_is_reduced() {
        let (histogram, observations) = of_integers(integer(9));
        assert!(check(integer(9)).is_err());
        let mut fine = Arc::new(histogram.clone());
        coarsen(&mut fine, 5).unwrap();
        assert_eq!(fine.schema, 5);
        Observations::check(Some(observations), &fine).unwrap();
        let value = SampleValue::Histogram(Arc::new(histogram));
        let taken = checked(&value, Some(observations)).unwrap();
        assert!(matches!(taken, SampleValue::Histogram(h) if h.schema == 8));
        let mut custom = Arc::new(FloatHistogram {
            schema: varve_storage::histogram::SCHEMA_CUSTOM,
            ..FloatHistogram::default()
        });
        coarsen(&mut custom, 0).unwrap();
        assert!(custom.uses_custom_buckets());
    }
}
