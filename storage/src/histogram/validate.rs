//! Validity of histograms that come from outside.

use super::{FloatHistogram, HistogramError, SCHEMA_CUSTOM, Span, is_exponential};

impl FloatHistogram {
    /// Checks that spans fit the buckets, that no count is negative, and that there is nothing that the schema has no use for. Whether the
    /// counts of the buckets add up to the count of observations is not checked, because they are floats.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let positive = HistogramError::within("positive side");
        let negative = HistogramError::within("negative side");
        if self.schema == SCHEMA_CUSTOM {
            self.validate_custom()?;
        } else if is_exponential(self.schema) {
            validate_spans(&self.positive_spans, self.positive_buckets.len()).map_err(&positive)?;
            validate_spans(&self.negative_spans, self.negative_buckets.len()).map_err(&negative)?;
            validate_counts(&self.negative_buckets).map_err(&negative)?;
            if self.zero_count < 0.0 {
                return Err(HistogramError::NegativeZeroBucket(self.zero_count));
            }
            if !self.custom_values.is_empty() {
                return Err(HistogramError::UnusedBounds);
            }
        } else {
            return Err(HistogramError::InvalidSchema(self.schema));
        }
        if self.count < 0.0 {
            return Err(HistogramError::NegativeCount(self.count));
        }
        validate_counts(&self.positive_buckets).map_err(positive)
    }

    fn validate_custom(&self) -> Result<(), HistogramError> {
        let custom = HistogramError::within("custom buckets");
        validate_bounds(&self.custom_values).map_err(&custom)?;
        validate_custom_spans(self).map_err(custom)?;
        if self.zero_count != 0.0 {
            Err(HistogramError::CustomZeroCount)
        } else if self.zero_threshold != 0.0 {
            Err(HistogramError::CustomZeroThreshold)
        } else if !self.negative_spans.is_empty() {
            Err(HistogramError::CustomNegativeSpans)
        } else if !self.negative_buckets.is_empty() {
            Err(HistogramError::CustomNegativeBuckets)
        } else {
            Ok(())
        }
    }
}

/// Whether spans fit the buckets of an exponential side.
pub(super) fn validate_spans(spans: &[Span], buckets: usize) -> Result<(), HistogramError> {
    validate_offsets(spans, 1)?;
    validate_lengths(spans, buckets)
}

/// Only the first span may begin at a negative index, and not with custom bounds.
fn validate_offsets(spans: &[Span], first: usize) -> Result<(), HistogramError> {
    let negative = spans
        .iter()
        .enumerate()
        .skip(first)
        .find(|(_, span)| span.offset < 0);
    negative.map_or(Ok(()), |(position, span)| {
        Err(HistogramError::NegativeOffset {
            number: position + 1,
            offset: span.offset,
        })
    })
}

fn validate_lengths(spans: &[Span], present: usize) -> Result<(), HistogramError> {
    let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if needed != present as u64 {
        return Err(HistogramError::BucketNumber { needed, present });
    }
    Ok(())
}

fn validate_counts(buckets: &[f64]) -> Result<(), HistogramError> {
    match buckets.iter().position(|count| *count < 0.0) {
        None => Ok(()),
        Some(position) => Err(HistogramError::NegativeBucket {
            number: position + 1,
            count: buckets.get(position).copied().unwrap_or(0.0),
        }),
    }
}

fn validate_bounds(bounds: &[f64]) -> Result<(), HistogramError> {
    let mut previous: Option<f64> = None;
    for bound in bounds.iter().copied() {
        if bound.is_nan() {
            return Err(HistogramError::NanBound);
        }
        match previous {
            Some(previous) if bound <= previous => {
                return Err(HistogramError::UnorderedBounds {
                    previous,
                    current: bound,
                });
            }
            _ => previous = Some(bound),
        }
    }
    if previous == Some(f64::INFINITY) {
        return Err(HistogramError::InfiniteBound);
    }
    Ok(())
}

fn validate_custom_spans(histogram: &FloatHistogram) -> Result<(), HistogramError> {
    let spans = &histogram.positive_spans;
    validate_offsets(spans, 0)?;
    validate_lengths(spans, histogram.positive_buckets.len())?;
    let length = spans
        .iter()
        .map(|span| i64::from(span.length) + i64::from(span.offset))
        .sum();
    let bounds = histogram.custom_values.len();
    if i64::try_from(bounds + 1).is_ok_and(|buckets| buckets < length) {
        return Err(HistogramError::TooFewBounds { bounds, length });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::arbitrary::{any_histogram, valid_histogram};
    use super::*;

    fn custom(bounds: &[f64]) -> FloatHistogram {
        FloatHistogram {
            schema: SCHEMA_CUSTOM,
            custom_values: bounds.to_vec(),
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn messages_are_those_of_prometheus() {
        let span = |offset, length| Span { offset, length };
        let valid = FloatHistogram::default();
        for (histogram, message) in [
            (
                FloatHistogram {
                    schema: 9,
                    ..valid.clone()
                },
                "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, got schema 9",
            ),
            (
                FloatHistogram {
                    negative_spans: vec![span(-1, 0), span(-2, 1)],
                    ..valid.clone()
                },
                "negative side: span number 2 with offset -2: histogram has a span whose offset is negative",
            ),
            (
                FloatHistogram {
                    positive_spans: vec![span(0, 2)],
                    ..valid.clone()
                },
                "positive side: spans need 2 buckets, have 0 buckets: histogram spans specify different number of buckets than provided",
            ),
            (
                FloatHistogram {
                    positive_spans: vec![span(0, 1)],
                    positive_buckets: vec![-1.5],
                    ..valid.clone()
                },
                "positive side: bucket number 1 has observation count of -1.5: histogram has a bucket whose observation count is negative",
            ),
            (
                FloatHistogram {
                    zero_count: -1.0,
                    ..valid.clone()
                },
                "zero bucket has observation count of -1: histogram has a bucket whose observation count is negative",
            ),
            (
                FloatHistogram {
                    count: -2.0,
                    ..valid.clone()
                },
                "observation count is  -2: histogram's observation count is negative",
            ),
            (
                FloatHistogram {
                    custom_values: vec![1.0],
                    ..valid
                },
                "histogram with exponential schema must not have custom bounds",
            ),
            (
                custom(&[f64::NAN]),
                "custom buckets: histogram custom bounds must not be NaN",
            ),
            (
                custom(&[2.0, 1.0]),
                "custom buckets: previous bound is 2.000000 and current is 1.000000: histogram custom bounds must be in strictly increasing order",
            ),
            (
                custom(&[2.0, f64::INFINITY]),
                "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite",
            ),
            (
                FloatHistogram {
                    positive_spans: vec![span(2, 1)],
                    positive_buckets: vec![1.0],
                    ..custom(&[1.0])
                },
                "custom buckets: only 1 custom bounds defined which is insufficient to cover total span length of 3: histogram custom bounds are too few",
            ),
            (
                FloatHistogram {
                    zero_count: 1.0,
                    ..custom(&[])
                },
                "custom buckets: must have zero count of 0",
            ),
        ] {
            assert_eq!(histogram.validate().unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn any_histogram_is_valid_or_not(histogram in any_histogram()) {
            let _ = histogram.validate();
        }

        #[test]
        fn histograms_of_other_properties_are_valid(histogram in valid_histogram()) {
            prop_assert_eq!(histogram.validate(), Ok(()));
        }
    }
}
