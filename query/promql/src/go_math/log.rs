//! Logarithms with the series of fdlibm (Sun Microsystems, 1993): for u = 1 + f between √½ and √2 and s = f / (2 + f),
//! ln u = ln(1 + s) - ln(1 - s) = 2s + s · R(s²), where R is a minimax polynomial.

use std::f64::consts::{FRAC_1_SQRT_2, LOG2_E, LOG10_E, SQRT_2};

use super::polynomial;
use super::scale::{exponent, fraction_bits, half_to_one, split};

/// ln 2 in two parts. The first has trailing zeros, so that its product with an exponent is exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// R's coefficients of s², s⁴, … s¹⁴.
const R: [f64; 7] = [
    6.666_666_666_666_735e-1,
    3.999_999_999_940_942e-1,
    2.857_142_874_366_239e-1,
    2.222_219_843_214_978_4e-1,
    1.818_357_216_161_805e-1,
    1.531_383_769_920_937_3e-1,
    1.479_819_860_511_658_6e-1,
];

/// √½ - 1 and √2 - 1.
const SQRT_HALF_LESS_1: f64 = -0.292_893_218_813_452_5;
const SQRT_2_LESS_1: f64 = 0.414_213_562_373_095_03;

/// The natural logarithm; NaN below 0.
pub fn ln(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == f64::INFINITY {
        return x;
    }
    // Subnormal numbers are not normalised first, as if they had a leading one. Go's assembly for amd64 does that too, so that
    // the logarithm of the least of them is -709 rather than -744.
    let (fraction, power) = (half_to_one(x), exponent(x) + 1);
    let (u, power) = if fraction <= FRAC_1_SQRT_2 {
        (fraction * 2.0, power - 1)
    } else {
        (fraction, power)
    };
    let (f, k) = (u - 1.0, f64::from(power));

    // Odd and even coefficients apart, which is shorter than Horner's rule where multiplications overlap.
    let [r1, r2, r3, r4, r5, r6, r7] = R;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let r = s2 * polynomial(s4, r7, [r5, r3, r1]) + s4 * polynomial(s4, r6, [r4, r2]);
    let half_square = 0.5 * f * f;
    k * LN_2_HIGH - ((half_square - (s * (half_square + r) + k * LN_2_LOW)) - f)
}

/// The logarithm to base 2; exact for powers of two.
pub fn log2(x: f64) -> f64 {
    let (fraction, power) = split(x);
    if fraction == 0.5 {
        return f64::from(power - 1);
    }
    ln(fraction) * LOG2_E + f64::from(power)
}

/// The logarithm to base 10.
pub fn log10(x: f64) -> f64 {
    ln(x) * LOG10_E
}

/// ln(1 + x), exact where 1 + x is not.
pub(super) fn ln_1p(x: f64) -> f64 {
    const SMALL: f64 = 1.0 / (1u64 << 29) as f64;
    const TINY: f64 = 1.0 / (1u64 << 54) as f64;

    if x.is_nan() || x < -1.0 {
        return f64::NAN;
    }
    if x == -1.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    if x.abs() < TINY {
        return x;
    }
    if x.abs() < SMALL {
        return x - x * x * 0.5;
    }
    if x > SQRT_HALF_LESS_1 && x < SQRT_2_LESS_1 {
        // Nothing is rounded: 1 + f = 1 + x.
        let half_square = 0.5 * x * x;
        let (s, r) = series(x);
        return x - (half_square - s * (half_square + r));
    }
    ln_1p_scaled(x)
}

/// ln(1 + x) where 1 + x is not between √½ and √2: 1 + x = 2^k · (1 + f) but for what rounding lost, which adds lost / (1 + x).
fn ln_1p_scaled(x: f64) -> f64 {
    const FRACTION_LOST: f64 = (1u64 << 53) as f64;

    let (rounded, lost) = if x.abs() < FRACTION_LOST {
        let sum = 1.0 + x;
        let lost = if exponent(sum) > 0 {
            1.0 - (sum - x)
        } else {
            x - (sum - 1.0)
        };
        (sum, lost / sum)
    } else {
        (x, 0.0)
    };
    let normal = 2.0 * half_to_one(rounded);
    let above_sqrt_2 = fraction_bits(normal) >= fraction_bits(SQRT_2);
    let (u, power) = if above_sqrt_2 {
        (normal * 0.5, exponent(rounded) + 1)
    } else {
        (normal, exponent(rounded))
    };
    let (f, k) = (u - 1.0, f64::from(power));
    // What is lost matters only beside the rounding of k · ln 2.
    let low = if power == 0 { 0.0 } else { k * LN_2_LOW + lost };
    if f == 0.0 {
        return k * LN_2_HIGH + low;
    }
    let half_square = 0.5 * f * f;
    if above_sqrt_2 && (1u64 << 52) - fraction_bits(normal) < 4 {
        // 1 + f is 1 but for the last bits.
        let r = half_square * (1.0 - 0.666_666_666_666_666_6 * f);
        return k * LN_2_HIGH - ((r - low) - f);
    }
    let (s, r) = series(f);
    k * LN_2_HIGH - ((half_square - (s * (half_square + r) + low)) - f)
}

/// s and R(s²) by Horner's rule.
fn series(f: f64) -> (f64, f64) {
    let [r1, r2, r3, r4, r5, r6, r7] = R;
    let s = f / (2.0 + f);
    let s2 = s * s;
    (s, s2 * polynomial(s2, r7, [r6, r5, r4, r3, r2, r1]))
}
