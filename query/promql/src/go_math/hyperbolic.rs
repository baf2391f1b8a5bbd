//! Hyperbolic functions and their inverses.

use std::f64::consts::LN_2;

use super::log::ln_1p;
use super::{exp, ln, polynomial, with_sign_of};

/// From here on e^-x does not change e^x.
const EXP_ALONE: f64 = 21.0;

/// 2^-28: below it x² is nothing beside 1. Above its inverse, 1 is nothing beside x².
const NEAR_ZERO: f64 = 1.0 / LARGE;
const LARGE: f64 = (1u64 << 28) as f64;

/// Hyperbolic sine. Near zero a rational function of Hart and Cheney (number 2029).
pub fn sinh(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    let magnitude = x.abs();
    let sine = if magnitude > EXP_ALONE {
        exp(magnitude) / 2.0
    } else if magnitude > 0.5 {
        let grown = exp(magnitude);
        (grown - 1.0 / grown) / 2.0
    } else {
        let square = magnitude * magnitude;
        let numerator = polynomial(
            square,
            -2.630_563_213_397_497e1,
            [
                -2.894_211_355_989_564e3,
                -8.991_272_022_039_509e4,
                -6.307_673_640_497_717e5,
            ],
        );
        let denominator = polynomial(
            square,
            1.0,
            [
                -1.736_789_535_582_337e2,
                1.521_517_378_790_019e4,
                -6.307_673_640_497_717e5,
            ],
        );
        numerator * magnitude / denominator
    };
    with_sign_of(x, sine)
}

/// Hyperbolic cosine.
pub fn cosh(x: f64) -> f64 {
    let magnitude = x.abs();
    if magnitude > EXP_ALONE {
        exp(magnitude) / 2.0
    } else {
        let grown = exp(magnitude);
        (grown + 1.0 / grown) / 2.0
    }
}

/// Hyperbolic tangent. Near zero a rational function of Cody and Waite, from Cephes.
pub fn tanh(x: f64) -> f64 {
    /// Half of ln 2^127: beyond it the result is 1.
    const X_MAX: f64 = 0.5 * 88.029_691_931_113_05;

    let magnitude = x.abs();
    if magnitude > X_MAX {
        return with_sign_of(x, 1.0);
    }
    if magnitude >= 0.625 {
        return with_sign_of(x, 1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0));
    }
    if x == 0.0 {
        return x;
    }
    let square = x * x;
    let numerator = polynomial(
        square,
        -9.643_991_794_250_523e-1,
        [-9.928_772_310_019_185e1, -1.614_687_684_417_084_5e3],
    );
    let denominator = polynomial(
        square,
        1.0,
        [
            1.128_116_784_916_329_3e2,
            2.235_488_390_601_004_5e3,
            4.844_063_053_251_255e3,
        ],
    );
    x + x * square * numerator / denominator
}

/// Inverse hyperbolic sine.
pub fn asinh(x: f64) -> f64 {
    if !x.is_finite() {
        return x;
    }
    let m = x.abs();
    let inverse = if m > LARGE {
        ln(m) + LN_2
    } else if m > 2.0 {
        ln(2.0 * m + 1.0 / ((m * m + 1.0).sqrt() + m))
    } else if m < NEAR_ZERO {
        return x;
    } else {
        ln_1p(m + m * m / (1.0 + (1.0 + m * m).sqrt()))
    };
    with_sign_of(x, inverse)
}

/// Inverse hyperbolic cosine; NaN below 1.
pub fn acosh(x: f64) -> f64 {
    if x.is_nan() || x < 1.0 {
        f64::NAN
    } else if x == 1.0 {
        0.0
    } else if x >= LARGE {
        ln(x) + LN_2
    } else if x > 2.0 {
        ln(2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt()))
    } else {
        let t = x - 1.0;
        ln_1p(t + (2.0 * t + t * t).sqrt())
    }
}

/// Inverse hyperbolic tangent; NaN outside [-1, 1].
pub fn atanh(x: f64) -> f64 {
    let m = x.abs();
    let inverse = if m.is_nan() || m > 1.0 {
        return f64::NAN;
    } else if m == 1.0 {
        f64::INFINITY
    } else if m < NEAR_ZERO {
        return x;
    } else if m < 0.5 {
        let double = m + m;
        0.5 * ln_1p(double + double * m / (1.0 - m))
    } else {
        0.5 * ln_1p((m + m) / (1.0 - m))
    };
    with_sign_of(x, inverse)
}
