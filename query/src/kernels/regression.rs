//! Linear regression and double exponential smoothing.

use super::function::InvalidFactor;
use super::kahan;

/// The least-squares line through the samples: slope per second, and value at `intercept_ms`.
///
/// Constant values give a slope of exactly 0, whatever rounding would make of it.
fn linear_regression(timestamps: &[i64], values: &[f64], intercept_ms: i64) -> (f64, f64) {
    let first = values.first().copied().unwrap_or(f64::NAN);
    let mut constant = true;
    let mut n = 0.0;
    let (mut x_sum, mut x_c) = (0.0, 0.0);
    let (mut y_sum, mut y_c) = (0.0, 0.0);
    let (mut xy_sum, mut xy_c) = (0.0, 0.0);
    let (mut xx_sum, mut xx_c) = (0.0, 0.0);
    for (i, (&t, &y)) in timestamps.iter().zip(values).enumerate() {
        if constant && i > 0 && y != first {
            constant = false;
        }
        n += 1.0;
        let x = (t - intercept_ms) as f64 / 1e3;
        (x_sum, x_c) = kahan::add(x, x_sum, x_c);
        (y_sum, y_c) = kahan::add(y, y_sum, y_c);
        (xy_sum, xy_c) = kahan::add(x * y, xy_sum, xy_c);
        (xx_sum, xx_c) = kahan::add(x * x, xx_sum, xx_c);
    }
    if constant {
        if first.is_infinite() {
            return (f64::NAN, f64::NAN);
        }
        return (0.0, first);
    }
    x_sum += x_c;
    y_sum += y_c;
    xy_sum += xy_c;
    xx_sum += xx_c;
    let covariance = xy_sum - x_sum * y_sum / n;
    let variance = xx_sum - x_sum * x_sum / n;
    let slope = covariance / variance;
    (slope, y_sum / n - slope * x_sum / n)
}

/// The slope per second; needs two samples.
pub(super) fn deriv(timestamps: &[i64], values: &[f64]) -> Option<f64> {
    match *timestamps {
        // Times near zero keep the sums exact.
        [first, _, ..] => Some(linear_regression(timestamps, values, first).0),
        _ => None,
    }
}

/// The line's value `seconds` after the step; needs two samples.
pub(super) fn predict_linear(
    timestamps: &[i64],
    values: &[f64],
    step_ms: i64,
    seconds: f64,
) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let (slope, intercept) = linear_regression(timestamps, values, step_ms);
    Some(slope * seconds + intercept)
}

/// Smooths with `smoothing` for the level and `trend` for the slope; needs two samples.
pub(super) fn double_exponential_smoothing(
    values: &[f64],
    smoothing: f64,
    trend: f64,
) -> Result<Option<f64>, InvalidFactor> {
    for (what, symbol, value) in [("smoothing", "sf", smoothing), ("trend", "tf", trend)] {
        if value <= 0.0 || value >= 1.0 {
            return Err(InvalidFactor {
                what,
                symbol,
                value,
            });
        }
    }
    let [first, second, ..] = *values else {
        return Ok(None);
    };
    let mut before = 0.0;
    let mut smoothed = first;
    let mut slope = second - first;
    for (i, &value) in values.iter().enumerate().skip(1) {
        let scaled = smoothing * value;
        if i > 1 {
            slope = trend * (smoothed - before) + (1.0 - trend) * slope;
        }
        let level = (1.0 - smoothing) * (smoothed + slope);
        (before, smoothed) = (smoothed, scaled + level);
    }
    Ok(Some(smoothed))
}
