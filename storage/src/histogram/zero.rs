//! Zero buckets of different width.

use super::bounds::exponential_bound;
use super::kahan::{Compensation, kahan_add};
use super::{FloatHistogram, is_exponential};

/// A wider zero bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct WiderZero {
    pub(super) count: f64,
    pub(super) threshold: f64,
    /// What rounding lost of the count.
    pub(super) lost: f64,
}

/// Leaves out leading exponential buckets that end within the zero bucket.
pub(super) fn above_threshold<T>(
    cells: impl Iterator<Item = (i32, T)>,
    schema: i32,
    threshold: f64,
) -> impl Iterator<Item = (i32, T)> {
    let exponential = is_exponential(schema);
    cells
        .skip_while(move |(index, _)| exponential && exponential_bound(*index, schema) <= threshold)
}

impl FloatHistogram {
    /// The zero bucket that this histogram would have with a threshold at least as large as its own. Where that cuts a populated bucket, the
    /// threshold becomes the outer bound of that bucket.
    pub(super) fn with_larger_threshold(
        &self,
        threshold: f64,
        compensation: Option<&Compensation>,
    ) -> WiderZero {
        let mut wider = WiderZero {
            count: self.zero_count,
            threshold,
            lost: compensation.map_or(0.0, |compensation| compensation.zero_count),
        };
        if threshold == self.zero_threshold {
            return wider;
        }
        // A negative bucket that was cut changes which positive buckets are inside, so that both have to be added anew. What rounding lost
        // is kept: that is how Prometheus computes.
        loop {
            wider.count = self.zero_count;
            let lost = compensation.map(|compensation| &compensation.positive);
            for (nth, bucket) in self.positive_ascending().enumerate() {
                if bucket.lower >= wider.threshold {
                    break;
                }
                wider.swallow(bucket.count, lost.and_then(|lost| lost.get(nth)));
                if bucket.upper > wider.threshold {
                    if bucket.count != 0.0 {
                        wider.threshold = bucket.upper;
                    }
                    break;
                }
            }
            let lost = compensation.map(|compensation| &compensation.negative);
            let mut cut = false;
            for (nth, bucket) in self.negative_descending().enumerate() {
                if bucket.upper <= -wider.threshold {
                    break;
                }
                wider.swallow(bucket.count, lost.and_then(|lost| lost.get(nth)));
                if bucket.lower < -wider.threshold {
                    cut = bucket.count != 0.0;
                    if cut {
                        wider.threshold = -bucket.lower;
                    }
                    break;
                }
            }
            if !cut {
                return wider;
            }
        }
    }

    /// Widens the zero bucket until it is as wide as the one that `other` can have, and neither cuts a populated bucket. Returns the
    /// count of `other`'s and what rounding lost of it.
    pub(super) fn reconcile_zero_buckets(
        &mut self,
        other: &Self,
        mut compensation: Option<&mut Compensation>,
    ) -> (f64, f64) {
        let mut others = WiderZero {
            count: other.zero_count,
            threshold: other.zero_threshold,
            lost: 0.0,
        };
        while others.threshold != self.zero_threshold {
            if self.zero_threshold > others.threshold {
                others = other.with_larger_threshold(self.zero_threshold, None);
            }
            if others.threshold > self.zero_threshold {
                let wider = self.with_larger_threshold(others.threshold, compensation.as_deref());
                self.zero_count = wider.count;
                self.zero_threshold = wider.threshold;
                if let Some(compensation) = compensation.as_deref_mut() {
                    compensation.zero_count = wider.lost;
                }
                self.remove_buckets_inside_zero(compensation.as_deref_mut());
            } else if others.threshold.is_nan() || self.zero_threshold.is_nan() {
                break;
            }
        }
        (others.count, others.lost)
    }

    fn remove_buckets_inside_zero(&mut self, compensation: Option<&mut Compensation>) {
        let threshold = self.zero_threshold;
        let positive = self
            .positive_ascending()
            .take_while(|bucket| bucket.lower < threshold)
            .count();
        let negative = self
            .negative_descending()
            .take_while(|bucket| bucket.upper > -threshold)
            .count();
        let empty = |buckets: &mut [f64], inside: usize| {
            buckets
                .iter_mut()
                .take(inside)
                .for_each(|count| *count = 0.0);
        };
        empty(&mut self.positive_buckets, positive);
        empty(&mut self.negative_buckets, negative);
        match compensation {
            None => self.compact(0),
            Some(compensation) => {
                empty(&mut compensation.positive, positive);
                empty(&mut compensation.negative, negative);
                compensation.compact_with(self);
            }
        }
    }
}

impl WiderZero {
    fn swallow(&mut self, count: f64, lost: Option<&f64>) {
        (self.count, self.lost) = kahan_add(count, self.count, self.lost);
        if let Some(lost) = lost {
            (self.count, self.lost) = kahan_add(*lost, self.count, self.lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    #[test]
    fn a_cut_bucket_on_either_side_moves_the_threshold() {
        // (1, 2], (2, 4] and [-8, -4), [-16, -8).
        let histogram = FloatHistogram {
            zero_threshold: 0.5,
            zero_count: 1.0,
            positive_spans: vec![Span {
                offset: 1,
                length: 2,
            }],
            positive_buckets: vec![2.0, 0.0],
            negative_spans: vec![Span {
                offset: 3,
                length: 2,
            }],
            negative_buckets: vec![4.0, 8.0],
            ..FloatHistogram::default()
        };
        for (threshold, expected, count) in [
            (0.5, 0.5, 1.0),
            (1.0, 1.0, 1.0),
            (1.5, 2.0, 3.0),
            (3.0, 3.0, 3.0),
            (5.0, 8.0, 7.0),
            (9.0, 16.0, 15.0),
            (1e9, 1e9, 15.0),
        ] {
            let wider = histogram.with_larger_threshold(threshold, None);
            assert_eq!(
                (wider.threshold, wider.count),
                (expected, count),
                "{threshold}"
            );
        }
    }
}
