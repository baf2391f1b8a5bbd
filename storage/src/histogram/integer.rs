//! Histograms whose counts are integers, as clients and Prometheus's formats write them: buckets as differences.

use super::validate::validate_spans;
use super::{
    CounterResetHint, FloatHistogram, HistogramError, SCHEMA_CUSTOM, SCHEMA_MAX,
    SCHEMA_MAX_RESERVED, Span,
};

/// A native histogram with integer counts; see [`FloatHistogram`] for what the fields mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntegerHistogram {
    /// What is known about a reset before this sample.
    pub counter_reset_hint: CounterResetHint,
    /// The resolution.
    pub schema: i32,
    /// The width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations.
    pub count: u64,
    /// The sum of all observations.
    pub sum: f64,
    /// The runs of positive buckets.
    pub positive_spans: Vec<Span>,
    /// Counts of the positive buckets, each as the difference from the one before.
    pub positive_deltas: Vec<i64>,
    /// The runs of negative buckets.
    pub negative_spans: Vec<Span>,
    /// Counts of the negative buckets, each as the difference from the one before.
    pub negative_deltas: Vec<i64>,
    /// Upper bounds of custom buckets, else empty.
    pub custom_values: Vec<f64>,
}

impl IntegerHistogram {
    /// The same histogram with float counts, checked as Prometheus checks what it receives: it is valid as a float histogram, and its buckets
    /// hold all observations (at most all, where the sum is NaN, for then some observations were NaN). A schema above 8 is reduced to 8.
    pub fn to_float(self) -> Result<FloatHistogram, HistogramError> {
        let (positive_buckets, positive_sum) =
            absolute(&self.positive_deltas).map_err(HistogramError::within("positive side"))?;
        let (negative_buckets, negative_sum) =
            absolute(&self.negative_deltas).map_err(HistogramError::within("negative side"))?;
        let found = positive_sum
            .saturating_add(negative_sum)
            .saturating_add(u128::from(self.zero_count));
        let count = self.count;
        let float = FloatHistogram {
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count as f64,
            count: count as f64,
            sum: self.sum,
            positive_spans: self.positive_spans,
            positive_buckets,
            negative_spans: self.negative_spans,
            negative_buckets,
            custom_values: self.custom_values,
        }
        .received()?;
        match float.sum.is_nan() {
            true if found > u128::from(count) => {
                Err(HistogramError::CountTooSmall { found, count })
            }
            false if found != u128::from(count) => {
                Err(HistogramError::CountMismatch { found, count })
            }
            _ => Ok(float),
        }
    }
}

impl FloatHistogram {
    /// A histogram that came from outside, checked, and with a schema above 8 reduced to 8.
    pub fn received(mut self) -> Result<Self, HistogramError> {
        if self.schema != SCHEMA_CUSTOM
            && (SCHEMA_MAX + 1..=SCHEMA_MAX_RESERVED).contains(&self.schema)
        {
            validate_spans(&self.positive_spans, self.positive_buckets.len())
                .map_err(HistogramError::within("positive side"))?;
            validate_spans(&self.negative_spans, self.negative_buckets.len())
                .map_err(HistogramError::within("negative side"))?;
            self.reduce_resolution(SCHEMA_MAX)?;
        }
        self.validate()?;
        Ok(self)
    }
}

/// Absolute counts, and what they add up to.
fn absolute(deltas: &[i64]) -> Result<(Vec<f64>, u128), HistogramError> {
    let mut count = 0_i64;
    let mut sum = 0_u128;
    let mut counts = Vec::with_capacity(deltas.len());
    for (position, delta) in deltas.iter().enumerate() {
        count = count.wrapping_add(*delta);
        let Ok(whole) = u64::try_from(count) else {
            return Err(HistogramError::NegativeBucket {
                number: position + 1,
                count: count as f64,
            });
        };
        sum += u128::from(whole);
        counts.push(count as f64);
    }
    Ok((counts, sum))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn histogram() -> IntegerHistogram {
        IntegerHistogram {
            count: 9,
            sum: 3.0,
            zero_count: 2,
            positive_spans: vec![Span {
                offset: 0,
                length: 3,
            }],
            positive_deltas: vec![1, 2, -1],
            negative_spans: vec![Span {
                offset: -4,
                length: 1,
            }],
            negative_deltas: vec![1],
            ..IntegerHistogram::default()
        }
    }

    #[test]
    fn differences_become_counts() {
        let float = histogram().to_float().unwrap();
        assert_eq!(float.positive_buckets, [1.0, 3.0, 2.0]);
        assert_eq!(float.negative_buckets, [1.0]);
        assert_eq!((float.count, float.zero_count), (9.0, 2.0));
    }

    #[test]
    fn buckets_must_hold_all_observations() {
        let other = |count, sum| IntegerHistogram {
            count,
            sum,
            ..histogram()
        };
        assert_eq!(
            other(10, 3.0).to_float().unwrap_err().to_string(),
            "9 observations found in buckets, but the Count field is 10: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)"
        );
        assert!(other(10, f64::NAN).to_float().is_ok());
        assert_eq!(
            other(8, f64::NAN).to_float().unwrap_err().to_string(),
            "9 observations found in buckets, but the Count field is 8: histogram's observation count should be at least the number of observations found in the buckets"
        );
    }

    #[test]
    fn counts_below_zero_and_absurd_differences_are_errors() {
        for deltas in [
            vec![1, -2, 5],
            vec![i64::MAX, i64::MAX, 1],
            vec![i64::MIN, 0, 0],
        ] {
            let wrong = IntegerHistogram {
                positive_deltas: deltas,
                ..histogram()
            };
            assert!(wrong.to_float().is_err());
        }
        // Spans of four thousand million buckets cost nothing.
        let spans = vec![Span {
            offset: 0,
            length: u32::MAX,
        }];
        for schema in [0, 20, -53] {
            let wrong = IntegerHistogram {
                schema,
                positive_spans: spans.clone(),
                ..histogram()
            };
            assert!(wrong.to_float().is_err());
        }
    }

    #[test]
    fn finer_schemas_are_reduced() {
        let fine = IntegerHistogram {
            schema: 9,
            ..histogram()
        };
        let float = fine.to_float().unwrap();
        assert_eq!((float.schema, float.count), (8, 9.0));
        let unknown = IntegerHistogram {
            schema: 53,
            ..histogram()
        };
        assert!(unknown.to_float().is_err());
    }
}
