//! Buckets with their bounds, in either order.

use super::bounds::bound;
use super::cell::{cells, cells_reversed};
use super::{FloatHistogram, SCHEMA_CUSTOM};

/// One bucket: an interval and how many observations fell into it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
    /// Whether an observation that is the lower bound belongs to it.
    pub lower_inclusive: bool,
    /// Whether an observation that is the upper bound belongs to it.
    pub upper_inclusive: bool,
    /// The observations.
    pub count: f64,
    /// The index on its side; 0 for the zero bucket.
    pub index: i32,
}

impl Bucket {
    /// How the HTTP API says which bounds are inclusive: 0 the upper one, 1 the lower one, 2 none, 3 both.
    pub fn boundary_rule(&self) -> u8 {
        match (self.lower_inclusive, self.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        }
    }

    fn positive(index: i32, count: f64, schema: i32, custom_values: &[f64]) -> Self {
        let lower = bound(index.wrapping_sub(1), schema, custom_values);
        Self::side(
            lower,
            bound(index, schema, custom_values),
            index,
            count,
            schema,
        )
    }

    fn negative(index: i32, count: f64, schema: i32) -> Self {
        let upper = -bound(index.wrapping_sub(1), schema, &[]);
        Self::side(-bound(index, schema, &[]), upper, index, count, schema)
    }

    fn side(lower: f64, upper: f64, index: i32, count: f64, schema: i32) -> Self {
        let custom = schema == SCHEMA_CUSTOM;
        Self {
            lower,
            upper,
            lower_inclusive: if custom { index == 0 } else { lower < 0.0 },
            upper_inclusive: custom || upper > 0.0,
            count,
            index,
        }
    }

    /// Cut off where the zero bucket begins.
    fn outside(mut self, zero_threshold: f64) -> Self {
        if self.upper < 0.0 && self.upper > -zero_threshold {
            self.upper = -zero_threshold;
        } else if self.lower > 0.0 && self.lower < zero_threshold {
            self.lower = zero_threshold;
        }
        self
    }
}

impl FloatHistogram {
    /// The zero bucket, with both bounds inclusive; `None` with custom bounds.
    pub fn zero_bucket(&self) -> Option<Bucket> {
        (!self.uses_custom_buckets()).then_some(Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
            index: 0,
        })
    }

    /// The explicit positive buckets from zero upwards, also where they are empty.
    pub fn positive_ascending(&self) -> impl Iterator<Item = Bucket> + '_ {
        cells(&self.positive_spans, &self.positive_buckets)
            .map(|(index, count)| Bucket::positive(index, count, self.schema, &self.custom_values))
    }

    /// The explicit positive buckets from the highest down to zero.
    pub fn positive_descending(&self) -> impl Iterator<Item = Bucket> + '_ {
        cells_reversed(&self.positive_spans, &self.positive_buckets)
            .map(|(index, count)| Bucket::positive(index, count, self.schema, &self.custom_values))
    }

    /// The explicit negative buckets from zero downwards.
    pub fn negative_descending(&self) -> impl Iterator<Item = Bucket> + '_ {
        cells(&self.negative_spans, &self.negative_buckets)
            .map(|(index, count)| Bucket::negative(index, count, self.schema))
    }

    /// The explicit negative buckets from the lowest up to zero.
    pub fn negative_ascending(&self) -> impl Iterator<Item = Bucket> + '_ {
        cells_reversed(&self.negative_spans, &self.negative_buckets)
            .map(|(index, count)| Bucket::negative(index, count, self.schema))
    }

    /// All explicit buckets from the lowest to the highest, and the zero bucket if it is populated. Buckets that overlap with the zero
    /// bucket are cut off at the zero threshold.
    pub fn ascending(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.negative_ascending()
            .map(|bucket| bucket.outside(self.zero_threshold))
            .chain(self.populated_zero_bucket())
            .chain(
                self.positive_ascending()
                    .map(|bucket| bucket.outside(self.zero_threshold)),
            )
    }

    /// [`FloatHistogram::ascending`] the other way round.
    pub fn descending(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.positive_descending()
            .map(|bucket| bucket.outside(self.zero_threshold))
            .chain(self.populated_zero_bucket())
            .chain(
                self.negative_descending()
                    .map(|bucket| bucket.outside(self.zero_threshold)),
            )
    }

    /// The buckets that the HTTP API lists: those of [`FloatHistogram::ascending`] that are not empty.
    pub fn populated(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.ascending().filter(|bucket| bucket.count != 0.0)
    }

    fn populated_zero_bucket(&self) -> Option<Bucket> {
        self.zero_bucket().filter(|bucket| bucket.count > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    fn interval(bucket: Bucket) -> (f64, f64, u8, f64) {
        (
            bucket.lower,
            bucket.upper,
            bucket.boundary_rule(),
            bucket.count,
        )
    }

    #[test]
    fn buckets_ascend_through_zero() {
        let histogram = FloatHistogram {
            zero_threshold: 0.75,
            zero_count: 2.0,
            positive_spans: vec![
                Span {
                    offset: 0,
                    length: 2,
                },
                Span {
                    offset: 1,
                    length: 1,
                },
            ],
            positive_buckets: vec![1.0, 0.0, 3.0],
            negative_spans: vec![Span {
                offset: 1,
                length: 1,
            }],
            negative_buckets: vec![4.0],
            ..FloatHistogram::default()
        };
        let ascending: Vec<_> = histogram.ascending().map(interval).collect();
        let expected = [
            (-2.0, -1.0, 1, 4.0),
            (-0.75, 0.75, 3, 2.0),
            (0.75, 1.0, 0, 1.0),
            (1.0, 2.0, 0, 0.0),
            (4.0, 8.0, 0, 3.0),
        ];
        assert_eq!(ascending, expected);
        let mut descending: Vec<_> = histogram.descending().map(interval).collect();
        descending.reverse();
        assert_eq!(descending, expected);
        assert_eq!(histogram.populated().count(), 4);
    }

    #[test]
    fn custom_buckets_reach_from_infinity_to_infinity() {
        let histogram = FloatHistogram {
            schema: SCHEMA_CUSTOM,
            positive_spans: vec![Span {
                offset: 0,
                length: 3,
            }],
            positive_buckets: vec![1.0, 2.0, 3.0],
            custom_values: vec![5.0, 10.0],
            ..FloatHistogram::default()
        };
        let ascending: Vec<_> = histogram.ascending().map(interval).collect();
        assert_eq!(
            ascending,
            [
                (f64::NEG_INFINITY, 5.0, 3, 1.0),
                (5.0, 10.0, 0, 2.0),
                (10.0, f64::INFINITY, 0, 3.0),
            ]
        );
        assert_eq!(histogram.zero_bucket(), None);
    }
}
