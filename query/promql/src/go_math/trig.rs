//! Sine, cosine and tangent with the approximations of S. L. Moshier's Cephes library.

use super::reduce::Angle;
use super::{polynomial, with_sign_of};

/// Sine; NaN of an infinity.
pub fn sin(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    let angle = Angle::of(x.abs());
    with_sign_of(x, sine_of(angle.quadrant, angle.rest))
}

/// Cosine; NaN of an infinity.
pub fn cos(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let angle = Angle::of(x.abs());
    sine_of(angle.quadrant + 1, angle.rest)
}

/// Tangent; NaN of an infinity.
pub fn tan(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    let angle = Angle::of(x.abs());
    let tangent = tangent_near_zero(angle.rest);
    with_sign_of(
        x,
        if angle.quadrant % 2 == 1 {
            -1.0 / tangent
        } else {
            tangent
        },
    )
}

/// The sine of an angle whose quadrants and rest are known.
fn sine_of(quadrant: u64, rest: f64) -> f64 {
    let magnitude = if quadrant.is_multiple_of(2) {
        sine_near_zero(rest)
    } else {
        cosine_near_zero(rest)
    };
    if quadrant / 2 % 2 == 1 {
        -magnitude
    } else {
        magnitude
    }
}

/// Sine of |z| ≤ π/4.
fn sine_near_zero(z: f64) -> f64 {
    let zz = z * z;
    let series = polynomial(
        zz,
        1.589_623_015_765_465_6e-10,
        [
            -2.505_074_776_285_780_7e-8,
            2.755_731_362_138_572_4e-6,
            -1.984_126_982_958_954e-4,
            8.333_333_333_322_118e-3,
            -1.666_666_666_666_663e-1,
        ],
    );
    z + z * zz * series
}

/// Cosine of |z| ≤ π/4.
fn cosine_near_zero(z: f64) -> f64 {
    let zz = z * z;
    let series = polynomial(
        zz,
        -1.135_853_652_138_768_2e-11,
        [
            2.087_570_084_197_473e-9,
            -2.755_731_417_929_674e-7,
            2.480_158_728_885_170_4e-5,
            -1.388_888_888_887_305_6e-3,
            4.166_666_666_666_659_5e-2,
        ],
    );
    1.0 - 0.5 * zz + zz * zz * series
}

/// Tangent of |z| ≤ π/4.
fn tangent_near_zero(z: f64) -> f64 {
    let zz = z * z;
    if zz <= 1e-14 {
        return z;
    }
    let numerator = polynomial(
        zz,
        -1.309_369_391_813_837_8e4,
        [1.153_516_648_385_874_2e6, -1.795_652_519_764_848_8e7],
    );
    let denominator = polynomial(
        zz,
        1.0,
        [
            1.368_129_634_706_929_6e4,
            -1.320_892_344_402_109_7e6,
            2.500_838_018_233_579e7,
            -5.386_957_559_294_546_4e7,
        ],
    );
    z + z * (zz * numerator / denominator)
}
