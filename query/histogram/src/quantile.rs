//! `histogram_quantile` and `histogram_fraction`: where observations lie within their buckets.
//!
//! Observations are spread evenly over a bucket with custom bounds and over the zero bucket, and evenly on a logarithmic scale over an exponential
//! one. Observations of NaN are in no bucket, but are counted; then the sum is NaN too.

use varve_promql::go_math::{exp2, log2};
use varve_storage::FloatHistogram;
use varve_storage::histogram::Bucket;

use crate::note::Note;

const NO_BUCKET: Bucket = Bucket {
    lower: 0.0,
    upper: 0.0,
    lower_inclusive: false,
    upper_inclusive: false,
    count: 0.0,
    index: 0,
};

/// How much of a bucket with finite bounds lies below a value inside of it, from 0 to 1.
pub(crate) fn fraction_below(bucket: &Bucket, value: f64, linear: bool) -> f64 {
    if linear {
        return (value - bucket.lower) / (bucket.upper - bucket.lower);
    }
    let log_lower = log2(bucket.lower.abs());
    let log_upper = log2(bucket.upper.abs());
    let log_value = log2(value.abs());
    if value > 0.0 {
        (log_value - log_lower) / (log_upper - log_lower)
    } else {
        1.0 - ((log_value - log_upper) / (log_lower - log_upper))
    }
}

/// Half a zero bucket, where all buckets are on one side of it.
fn half_zero_bucket(bucket: &mut Bucket, histogram: &FloatHistogram) {
    let positive = !histogram.positive_buckets.is_empty();
    let negative = !histogram.negative_buckets.is_empty();
    if positive && !negative {
        bucket.lower = 0.0;
    } else if negative && !positive {
        bucket.upper = 0.0;
    }
}

/// `histogram_quantile(q, histogram)`: the value below which the share `q` of all observations lies. Infinite for a `q` outside of [0, 1], NaN without
/// observations.
pub fn quantile(q: f64, histogram: &FloatHistogram) -> (f64, Option<Note>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    let with_nans = histogram.sum.is_nan();
    // From the nearer end, but observations of NaN hide behind the upper one.
    let from_below = with_nans || q < 0.5;
    let (rank, mut buckets): (f64, Box<dyn Iterator<Item = Bucket>>) = if from_below {
        (q * histogram.count, Box::new(histogram.ascending()))
    } else {
        (
            (1.0 - q) * histogram.count,
            Box::new(histogram.descending()),
        )
    };
    let (mut bucket, mut count) = (NO_BUCKET, 0.0);
    for next in buckets.by_ref() {
        bucket = next;
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    let custom = histogram.uses_custom_buckets();
    if custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        half_zero_bucket(&mut bucket, histogram);
    }
    if count > histogram.count {
        count = histogram.count;
    }
    if count < rank {
        return if with_nans {
            (f64::NAN, Some(Note::QuantileIsNan))
        } else {
            (bucket.upper, None)
        };
    }
    let rank = if from_below {
        rank - (count - bucket.count)
    } else {
        count - rank
    };
    let mut note = None;
    if with_nans {
        // The bucket becomes the last one: so Prometheus does, and answers depend on it.
        for next in buckets {
            bucket = next;
            count += bucket.count;
        }
        note = (count < histogram.count).then_some(Note::QuantileSkewed);
    }
    (interpolated(&bucket, rank / bucket.count, custom), note)
}

/// The value with a share of the bucket's observations below it.
fn interpolated(bucket: &Bucket, fraction: f64, custom: bool) -> f64 {
    if custom || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * fraction;
    }
    let log_lower = log2(bucket.lower.abs());
    let log_upper = log2(bucket.upper.abs());
    if bucket.lower > 0.0 {
        exp2(log_lower + (log_upper - log_lower) * fraction)
    } else {
        -exp2(log_upper + (log_lower - log_upper) * (1.0 - fraction))
    }
}

/// `histogram_fraction(lower, upper, histogram)`: the share of all observations between two values. NaN without observations.
pub fn fraction(lower: f64, upper: f64, histogram: &FloatHistogram) -> (f64, Option<Note>) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let custom = histogram.uses_custom_buckets();
    let mut buckets = histogram.ascending();
    let (mut count, mut below) = (0.0, 0.0);
    let (mut lower_rank, mut upper_rank) = (None, None);
    for mut bucket in buckets.by_ref() {
        count += bucket.count;
        let zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if zero {
            half_zero_bucket(&mut bucket, histogram);
        }
        for (bound, rank) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
            if rank.is_none() {
                *rank = rank_within(&bucket, bound, below, custom || zero);
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        below += bucket.count;
    }
    let mut note = None;
    if histogram.sum.is_nan() {
        for bucket in buckets {
            count += bucket.count;
        }
        note = (count < histogram.count).then_some(Note::FractionWithoutNans);
    } else {
        count = histogram.count;
    }
    let at_most = |rank: Option<f64>| match rank {
        Some(rank) if rank > count => count,
        Some(rank) => rank,
        None => count,
    };
    let between = at_most(upper_rank) - at_most(lower_rank);
    (between / histogram.count, note)
}

/// How many observations lie below a bound, if it is in this bucket or at its lower end.
fn rank_within(bucket: &Bucket, bound: f64, below: f64, linear: bool) -> Option<f64> {
    if bucket.lower >= bound {
        Some(below)
    } else if !(bucket.lower < bound && bucket.upper > bound) {
        None
    } else if linear && bucket.lower == f64::NEG_INFINITY {
        // Nobody knows where they lie, so none of them is taken for one above the bound.
        Some(bucket.count)
    } else {
        Some(below + bucket.count * fraction_below(bucket, bound, linear))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{any_histogram, parsed};

    #[test]
    fn quantiles_interpolate_within_buckets() {
        for (histogram, q, expected) in [
            ("{{}}", 0.5, f64::NAN),
            ("{{count:1 sum:1 buckets:[1]}}", -0.1, f64::NEG_INFINITY),
            ("{{count:1 sum:1 buckets:[1]}}", 1.1, f64::INFINITY),
            // (1, 2] in the middle of its logarithm.
            (
                "{{count:12 sum:100 offset:1 buckets:[12]}}",
                0.25,
                1.189_207_115_002_721,
            ),
            // The zero bucket, linearly, and only its upper half.
            (
                "{{count:12 sum:100 z_bucket:2 z_bucket_w:0.001 buckets:[2 3 0 1 4]}}",
                0.08,
                0.000_48,
            ),
            (
                "{{count:4 sum:-3 n_buckets:[4]}}",
                0.25,
                -0.840_896_415_253_714_6,
            ),
            // Custom bounds: from 0, linearly; the last finite bound.
            (
                "{{schema:-53 count:10 sum:1 custom_values:[5 10] buckets:[4 4 2]}}",
                0.2,
                2.5,
            ),
            (
                "{{schema:-53 count:10 sum:1 custom_values:[5 10] buckets:[4 4 2]}}",
                0.6,
                7.5,
            ),
            (
                "{{schema:-53 count:10 sum:1 custom_values:[5 10] buckets:[4 4 2]}}",
                0.9,
                10.0,
            ),
            (
                "{{schema:-53 count:10 sum:1 custom_values:[-5 10] buckets:[4 4 2]}}",
                0.1,
                -5.0,
            ),
        ] {
            let (actual, note) = quantile(q, &parsed(histogram));
            assert!(
                actual == expected || actual.is_nan() && expected.is_nan(),
                "{histogram} {q}: {actual}"
            );
            assert_eq!(note, None);
        }
    }

    #[test]
    fn observations_of_nan_are_above_all_buckets() {
        let histogram = parsed("{{count:10 sum:NaN offset:1 buckets:[8]}}");
        assert_eq!(
            quantile(0.2, &histogram),
            (1.189_207_115_002_721, Some(Note::QuantileSkewed))
        );
        let (value, note) = quantile(0.9, &histogram);
        assert!(value.is_nan());
        assert_eq!(note, Some(Note::QuantileIsNan));
        let all = fraction(f64::NEG_INFINITY, f64::INFINITY, &histogram);
        assert_eq!(all, (0.8, Some(Note::FractionWithoutNans)));
    }

    #[test]
    fn fractions_are_quantiles_the_other_way_round() {
        let histogram = parsed("{{count:12 sum:100 offset:1 buckets:[12]}}");
        for (lower, upper, expected) in [
            (f64::NEG_INFINITY, f64::INFINITY, 1.0),
            (1.0, 2.0, 1.0),
            (0.0, 2f64.sqrt(), 0.500_000_000_000_000_1),
            (3.0, 2.0, 0.0),
            (2.0, 9.0, 0.0),
        ] {
            assert_eq!(
                fraction(lower, upper, &histogram).0,
                expected,
                "{lower} {upper}"
            );
        }
        assert!(fraction(f64::NAN, 1.0, &histogram).0.is_nan());
        let custom = parsed("{{schema:-53 count:10 sum:1 custom_values:[5 10] buckets:[4 4 2]}}");
        assert_eq!(fraction(7.5, f64::INFINITY, &custom).0, 0.4);
        assert_eq!(fraction(f64::NEG_INFINITY, 3.0, &custom).0, 0.24);
    }

    proptest! {
        #[test]
        fn any_histogram_has_quantiles(histogram in any_histogram(), q: f64, lower: f64, upper: f64) {
            quantile(q, &histogram);
            quantile(q.fract().abs(), &histogram);
            fraction(lower, upper, &histogram);
        }
    }
}
