//! `</` and `>/`: the observations of a histogram on one side of a value.

use varve_storage::FloatHistogram;
use varve_storage::histogram::Bucket;

use crate::quantile::fraction_below;

/// Which observations stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Those below the value: `</`.
    Below,
    /// Those above the value: `>/`.
    Above,
}

/// Removes the observations on the other side of `bound`. A bucket that it cuts is divided as quantiles are interpolated; where an
/// infinite bucket is cut, nobody knows where its observations lie.
///
/// Count and sum are computed anew from the middles of buckets, unless nothing was removed.
pub fn trim(histogram: &mut FloatHistogram, bound: f64, keep: Keep) {
    let linear = histogram.uses_custom_buckets();
    let mut total = Total::default();
    let positive: Vec<Bucket> = histogram.positive_ascending().collect();
    let has_positive = total.trim_side(
        &mut histogram.positive_buckets,
        &positive,
        (bound, keep, linear),
        true,
    );
    let negative: Vec<Bucket> = histogram.negative_descending().collect();
    let has_negative = total.trim_side(
        &mut histogram.negative_buckets,
        &negative,
        (bound, keep, linear),
        false,
    );

    if let Some(mut zero) = histogram.zero_bucket().filter(|zero| zero.count > 0.0) {
        if has_negative && !has_positive {
            zero.upper = 0.0;
        }
        if has_positive && !has_negative {
            zero.lower = 0.0;
        }
        let (count, middle) = trimmed_zero_bucket(&zero, bound, keep);
        if histogram.zero_count != count {
            histogram.zero_count = count;
            total.removed = true;
        }
        total.sum += middle * count;
        total.count += count;
    }
    if total.removed {
        histogram.count = total.count;
        histogram.sum = total.sum;
        histogram.compact(0);
    }
}

#[derive(Default)]
struct Total {
    count: f64,
    sum: f64,
    removed: bool,
}

impl Total {
    /// Trims the buckets of one side and adds up what stays. Returns whether a bucket was populated.
    fn trim_side(
        &mut self,
        counts: &mut [f64],
        buckets: &[Bucket],
        (bound, keep, linear): (f64, Keep, bool),
        positive: bool,
    ) -> bool {
        let mut populated = false;
        for (count, bucket) in counts.iter_mut().zip(buckets) {
            if bucket.count == 0.0 {
                continue;
            }
            populated = true;
            let (stays, cut) = match keep {
                Keep::Below => (bucket.upper <= bound, bucket.lower < bound),
                Keep::Above => (bucket.lower >= bound, bucket.upper > bound),
            };
            if stays {
                self.count += bucket.count;
                self.sum += middle(bucket.lower, bucket.upper, positive, linear) * bucket.count;
            } else if cut {
                let (kept, middle) = trimmed_bucket(bucket, bound, keep, positive, linear);
                self.count += kept;
                self.sum += middle * kept;
                if *count != kept {
                    *count = kept;
                    self.removed = true;
                }
            } else {
                *count = 0.0;
                self.removed = true;
            }
        }
        populated
    }
}

/// The count that stays in a bucket that is cut, and where its observations are.
fn trimmed_bucket(
    bucket: &Bucket,
    bound: f64,
    keep: Keep,
    positive: bool,
    linear: bool,
) -> (f64, f64) {
    if bucket.lower == f64::NEG_INFINITY {
        return trimmed_lowest(bucket, bound, keep);
    }
    if bucket.upper == f64::INFINITY {
        return trimmed_highest(bucket, bound, keep);
    }
    let below = if bound <= bucket.lower {
        0.0
    } else if bound >= bucket.upper {
        bucket.count
    } else {
        bucket.count * fraction_below(bucket, bound, linear)
    };
    match keep {
        Keep::Below => (below, middle(bucket.lower, bound, positive, linear)),
        Keep::Above => (
            bucket.count - below,
            middle(bound, bucket.upper, positive, linear),
        ),
    }
}

/// A bucket without a lower bound begins at 0, if it ends above.
fn trimmed_lowest(bucket: &Bucket, bound: f64, keep: Keep) -> (f64, f64) {
    let unknown = (
        0.0,
        if bucket.upper.is_infinite() {
            0.0
        } else {
            bucket.upper
        },
    );
    match keep {
        Keep::Below => {
            if bound >= bucket.upper {
                (bucket.count, 0.0)
            } else if bound > 0.0 && bucket.upper > 0.0 && bucket.upper != f64::INFINITY {
                (bucket.count * bound / bucket.upper, bound / 2.0)
            } else if bucket.upper <= 0.0 {
                (bucket.count, bound)
            } else {
                unknown
            }
        }
        Keep::Above => {
            if bound <= bucket.lower {
                (bucket.count, 0.0)
            } else if bound >= 0.0 && bucket.upper > bound && bucket.upper != f64::INFINITY {
                (
                    bucket.count * (1.0 - bound / bucket.upper),
                    (bound + bucket.upper) / 2.0,
                )
            } else {
                unknown
            }
        }
    }
}

/// A bucket without an upper bound stays whole above a bound inside of it.
fn trimmed_highest(bucket: &Bucket, bound: f64, keep: Keep) -> (f64, f64) {
    if keep == Keep::Above && bound >= bucket.lower {
        (bucket.count, bound)
    } else {
        (
            0.0,
            if bucket.lower.is_infinite() {
                0.0
            } else {
                bucket.lower
            },
        )
    }
}

/// The zero bucket is divided evenly.
fn trimmed_zero_bucket(zero: &Bucket, bound: f64, keep: Keep) -> (f64, f64) {
    let (lower, upper) = (zero.lower, zero.upper);
    let whole = (zero.count, (lower + upper) / 2.0);
    match keep {
        Keep::Below if bound <= lower => (0.0, 0.0),
        Keep::Below if bound >= upper => whole,
        Keep::Below => (
            zero.count * ((bound - lower) / (upper - lower)),
            (lower + bound) / 2.0,
        ),
        Keep::Above if bound <= lower => whole,
        Keep::Above if bound >= upper => (0.0, 0.0),
        Keep::Above => (
            zero.count * ((upper - bound) / (upper - lower)),
            (bound + upper) / 2.0,
        ),
    }
}

/// Where the observations between two bounds are, on average.
fn middle(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    if lower.is_infinite() {
        if upper.is_infinite() {
            0.0
        } else if upper > 0.0 {
            upper / 2.0
        } else {
            upper
        }
    } else if upper.is_infinite() {
        lower
    } else if linear {
        (lower + upper) / 2.0
    } else {
        let geometric = (lower * upper).abs().sqrt();
        if positive { geometric } else { -geometric }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{any_histogram, parsed};
    use crate::text::test_expression;

    #[test]
    fn buckets_are_cut_and_the_sum_is_estimated() {
        for (before, bound, keep, expected) in [
            (
                "{{count:12 sum:100 offset:1 buckets:[4 4 4]}}",
                2.0,
                Keep::Below,
                "{{count:4 sum:5.656854249492381 offset:1 buckets:[4]}}",
            ),
            (
                "{{count:12 sum:100 offset:1 buckets:[4 4 4]}}",
                9.0,
                Keep::Below,
                "{{count:12 sum:100 offset:1 buckets:[4 4 4]}}",
            ),
            (
                "{{count:12 sum:100 z_bucket:2 z_bucket_w:1 offset:1 buckets:[10]}}",
                0.5,
                Keep::Above,
                "{{count:11 sum:14.892135623730951 z_bucket:1 z_bucket_w:1 offset:1 buckets:[10]}}",
            ),
            (
                "{{schema:-53 count:10 sum:1 custom_values:[5 10] buckets:[4 4 2]}}",
                6.0,
                Keep::Below,
                "{{schema:-53 count:4.8 sum:14.4 custom_values:[5 10] buckets:[4 0.8]}}",
            ),
            (
                "{{schema:-53 count:10 sum:1 custom_values:[5 10] buckets:[4 4 2]}}",
                20.0,
                Keep::Above,
                "{{schema:-53 count:2 sum:40 custom_values:[5 10] offset:2 buckets:[2]}}",
            ),
        ] {
            let mut histogram = parsed(before);
            trim(&mut histogram, bound, keep);
            assert_eq!(
                test_expression(&histogram),
                expected,
                "{before} {bound} {keep:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_histogram_is_trimmed(histogram in any_histogram(), bound: f64) {
            for keep in [Keep::Below, Keep::Above] {
                trim(&mut histogram.clone(), bound, keep);
            }
        }
    }
}
