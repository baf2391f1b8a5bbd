//! `histogram_count`, `histogram_sum`, `histogram_avg`, `histogram_stddev` and `histogram_stdvar`.

use varve_storage::FloatHistogram;
use varve_storage::histogram::kahan_add;

/// `histogram_count`: the number of observations.
pub fn count(histogram: &FloatHistogram) -> f64 {
    histogram.count
}

/// `histogram_sum`: the sum of the observations.
pub fn sum(histogram: &FloatHistogram) -> f64 {
    histogram.sum
}

/// `histogram_avg`: the mean of the observations.
pub fn avg(histogram: &FloatHistogram) -> f64 {
    histogram.sum / histogram.count
}

/// `histogram_stdvar`: the variance, as if all observations of a bucket were in the middle of it. That is the geometric mean of exponential bounds,
/// 0 in the zero bucket, and half way between custom bounds.
pub fn stdvar(histogram: &FloatHistogram) -> f64 {
    let mean = avg(histogram);
    let (mut variance, mut lost) = (0.0, 0.0);
    for bucket in histogram.populated() {
        let middle = if histogram.uses_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let delta = middle - mean;
        (variance, lost) = kahan_add(bucket.count * delta * delta, variance, lost);
    }
    (variance + lost) / histogram.count
}

/// `histogram_stddev`: the square root of [`stdvar`].
pub fn stddev(histogram: &FloatHistogram) -> f64 {
    stdvar(histogram).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arbitrary::parsed;

    #[test]
    fn observations_are_in_the_middle_of_their_bucket() {
        let histogram = parsed("{{schema:2 count:4 sum:10 buckets:[1 0 0 0 1 0 0 0 2]}}");
        assert_eq!(
            (count(&histogram), sum(&histogram), avg(&histogram)),
            (4.0, 10.0, 2.5)
        );
        assert_eq!(stdvar(&histogram), 1.419_486_247_032_629_7);
        assert_eq!(stddev(&histogram), 1.191_421_943_323_451_4);
        let custom = parsed("{{schema:-53 count:4 sum:6 custom_values:[0 2 4] buckets:[0 2 2]}}");
        assert_eq!(stdvar(&custom), 1.25);
        assert!(stdvar(&parsed("{{}}")).is_nan());
    }
}
