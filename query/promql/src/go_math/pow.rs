//! x^y by repeated squaring.
//!
//! The special values are those of IEEE 754-2008, section 9.2.1.

use super::scale::{join, split};
use super::{exp, ln};

/// From here on every number is an even whole number, and squaring has long over- or underflowed.
const EXPONENT_MAX: f64 = (1u64 << 63) as f64;

/// Powers of two beyond it over- or underflow whatever the fraction is.
const POWER_MAX: i32 = 1 << 12;

/// x^y.
pub fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if y == 1.0 {
        return x;
    }
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    if x == 0.0 || x.is_infinite() {
        return of_zero_or_infinity(x, y);
    }
    if y.is_infinite() {
        return growing(x, y);
    }
    if y == 0.5 {
        return x.sqrt();
    }
    if y == -0.5 {
        return 1.0 / x.sqrt();
    }
    if y.fract() != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    if y.abs() >= EXPONENT_MAX {
        return growing(x, y);
    }
    finite(x, y)
}

/// 0 or infinity: the limit of |x|^y for |y| without end; 1 for x = -1.
fn growing(x: f64, y: f64) -> f64 {
    if x == -1.0 {
        1.0
    } else if (x.abs() < 1.0) == (y > 0.0) {
        0.0
    } else {
        f64::INFINITY
    }
}

/// x is ±0 or ±infinity, y neither 0 nor NaN.
fn of_zero_or_infinity(x: f64, y: f64) -> f64 {
    let magnitude = if (x == 0.0) == (y > 0.0) {
        0.0
    } else {
        f64::INFINITY
    };
    if x.is_sign_negative() && is_odd(y) {
        -magnitude
    } else {
        magnitude
    }
}

fn is_odd(y: f64) -> bool {
    (y % 2.0).abs() == 1.0
}

/// x finite and not 0, |y| below 2^63, x positive if y has a fraction.
fn finite(x: f64, y: f64) -> f64 {
    let (mut whole, mut rest) = (y.abs().trunc(), y.abs().fract());
    if rest > 0.5 {
        rest -= 1.0;
        whole += 1.0;
    }
    // result · 2^power is what has been multiplied up to now, factor · 2^factor_power the square for the next bit.
    let mut result = if rest == 0.0 { 1.0 } else { exp(rest * ln(x)) };
    let mut power = 0;
    let (mut factor, mut factor_power) = split(x);
    let mut bits = whole as u64;
    while bits != 0 {
        if factor_power.abs() > POWER_MAX {
            power += factor_power;
            break;
        }
        if bits & 1 == 1 {
            result *= factor;
            power += factor_power;
        }
        factor *= factor;
        factor_power *= 2;
        if factor < 0.5 {
            factor += factor;
            factor_power -= 1;
        }
        bits >>= 1;
    }
    if y < 0.0 {
        join(1.0 / result, -power)
    } else {
        join(result, power)
    }
}
