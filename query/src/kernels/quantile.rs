//! Quantiles and the median absolute deviation.

use std::cmp::Ordering;

/// The φ-quantile of values in any order, which are sorted in place: NaN first, then ascending; between two ranks a
/// weighted mean. NaN for no values or a φ that is NaN, -Inf below 0, +Inf above 1.
pub fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
    });
    let last = (values.len() - 1) as f64;
    let rank = phi * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

/// The quantile of a window.
pub(super) fn over_time(phi: f64, values: &[f64], sorted: &mut Vec<f64>) -> f64 {
    sorted.clear();
    sorted.extend_from_slice(values);
    quantile(phi, sorted)
}

/// The median of the distances to the median; NaN where a value is NaN.
pub(super) fn median_deviation(values: &[f64], sorted: &mut Vec<f64>) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let median = over_time(0.5, values, sorted);
    for value in sorted.iter_mut() {
        *value = (*value - median).abs();
    }
    quantile(0.5, sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_ranks_lies_a_weighted_mean() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0]), 2.0);
        assert_eq!(
            quantile(0.8, &mut [0.0, 1.0, 2.0, 3.0]),
            2.0 * (1.0 - 0.40000000000000036) + 3.0 * 0.40000000000000036
        );
        assert_eq!(quantile(0.0, &mut [2.0, 1.0]), 1.0);
        assert_eq!(quantile(1.0, &mut [2.0, 1.0]), 2.0);
        assert_eq!(quantile(-0.1, &mut [2.0]), f64::NEG_INFINITY);
        assert_eq!(quantile(1.1, &mut [2.0]), f64::INFINITY);
        assert!(quantile(0.0, &mut [2.0, f64::NAN]).is_nan());
        assert_eq!(quantile(1.0, &mut [2.0, f64::NAN]), 2.0);
        assert!(quantile(0.5, &mut []).is_nan());
        assert!(quantile(f64::NAN, &mut [1.0]).is_nan());
    }

    #[test]
    fn the_deviation_is_the_median_distance_to_the_median() {
        let mut sorted = Vec::new();
        assert_eq!(
            median_deviation(&[4.0, 6.0, 2.0, 1.0, 999.0, 1.0, 2.0], &mut sorted),
            1.0
        );
        assert!(median_deviation(&[4.0, f64::NAN], &mut sorted).is_nan());
    }
}
