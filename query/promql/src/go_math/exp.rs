//! e^x after N. Shibata, "Efficient evaluation methods of elementary functions suitable for SIMD computation" (2010), as in SLEEF.

use super::scale::power_of_two;

/// Beyond it e^x is infinite.
const X_MAX: f64 = 709.782712893384;

/// ln 2 in two parts. The first has trailing zeros, so that its product with an exponent is exact.
const LN_2_HIGH: f64 = 0.693_147_180_559_662_956_511_601_805_686_950_683_593_75;
const LN_2_LOW: f64 = 2.823_529_056_303_157_7e-13;

/// 1/7!, 1/6!, … 1/2!, 1; the series begins with 1/8!.
const TAYLOR: [f64; 7] = [
    1.984_126_984_126_984e-4,
    1.388_888_888_888_889e-3,
    8.333_333_333_333_333e-3,
    4.166_666_666_666_666_4e-2,
    1.666_666_666_666_666_6e-1,
    0.5,
    1.0,
];
const TAYLOR_FIRST: f64 = 2.480_158_730_158_73e-5;

/// e^x.
pub fn exp(x: f64) -> f64 {
    if x.is_nan() || x > X_MAX {
        return x + f64::INFINITY;
    }
    if x == f64::NEG_INFINITY {
        return 0.0;
    }
    // x = exponent · ln 2 + 16 · t. Where x is far below all logarithms, the exponent is the least i32.
    let exponent = (x * std::f64::consts::LOG2_E).round_ties_even();
    let high = (-exponent).mul_add(LN_2_HIGH, x);
    let t = (-exponent).mul_add(LN_2_LOW, high) * 0.0625;

    // e^t - 1, then squared: (1 + s)² - 1 = s · (s + 2).
    let series = TAYLOR
        .into_iter()
        .fold(TAYLOR_FIRST, |sum, coefficient| sum.mul_add(t, coefficient));
    let s = t * series;
    let s = s * (s + 2.0);
    let s = s * (s + 2.0);
    let s = s * (s + 2.0);
    scale(s.mul_add(s + 2.0, 1.0), exponent as i32)
}

/// `value` · 2^`exponent` for a value near 1. What is less than the least subnormal number is 0 without being rounded.
fn scale(value: f64, exponent: i32) -> f64 {
    match exponent {
        1024.. => f64::INFINITY,
        -1022.. => value * power_of_two(exponent),
        -1075.. => value * power_of_two(exponent + 1022) * f64::MIN_POSITIVE,
        _ => 0.0,
    }
}
