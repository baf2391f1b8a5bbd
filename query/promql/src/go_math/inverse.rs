//! Arc tangent, and what follows from it, with the rational function of S. L. Moshier's Cephes library.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use super::{polynomial, with_sign_of};

/// What π/2 is more than [`FRAC_PI_2`].
const FRAC_PI_2_LOW: f64 = 6.123_233_995_736_766e-17;

/// tan 3π/8.
const TAN_3_PI_8: f64 = 2.414_213_562_373_095;

/// Arc tangent, between -π/2 and π/2.
pub fn atan(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    with_sign_of(x, of_positive(x.abs()))
}

/// Arc sine; NaN outside [-1, 1].
pub fn asin(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    let sine = x.abs();
    if sine.is_nan() || sine > 1.0 {
        return f64::NAN;
    }
    let cosine = (1.0 - sine * sine).sqrt();
    let angle = if sine > 0.7 {
        FRAC_PI_2 - of_positive(cosine / sine)
    } else {
        of_positive(sine / cosine)
    };
    with_sign_of(x, angle)
}

/// Arc cosine; NaN outside [-1, 1].
pub fn acos(x: f64) -> f64 {
    FRAC_PI_2 - asin(x)
}

/// The angle of the point (x, y), between -π and π, with the signs of zeros and infinities.
pub fn atan2(y: f64, x: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    let backwards = x.is_sign_negative();
    let magnitude = if y == 0.0 || x.is_infinite() && y.is_finite() {
        if backwards { PI } else { 0.0 }
    } else if x.is_infinite() {
        if backwards {
            3.0 * FRAC_PI_4
        } else {
            FRAC_PI_4
        }
    } else if x == 0.0 || y.is_infinite() {
        FRAC_PI_2
    } else {
        let angle = atan(y / x);
        return match (backwards, angle <= 0.0) {
            (false, _) => angle,
            (true, true) => angle + PI,
            (true, false) => angle - PI,
        };
    };
    magnitude.copysign(y)
}

/// Arc tangent of a positive number, brought into [0, 0.66].
fn of_positive(x: f64) -> f64 {
    if x <= 0.66 {
        near_zero(x)
    } else if x > TAN_3_PI_8 {
        FRAC_PI_2 - near_zero(1.0 / x) + FRAC_PI_2_LOW
    } else {
        FRAC_PI_4 + near_zero((x - 1.0) / (x + 1.0)) + 0.5 * FRAC_PI_2_LOW
    }
}

fn near_zero(x: f64) -> f64 {
    let z = x * x;
    let numerator = polynomial(
        z,
        -8.750_608_600_031_904e-1,
        [
            -1.615_753_718_733_365_2e1,
            -7.500_855_792_314_705e1,
            -1.228_866_684_490_136_1e2,
            -6.485_021_904_942_025e1,
        ],
    );
    let denominator = polynomial(
        z,
        1.0,
        [
            2.485_846_490_142_306_2e1,
            1.650_270_098_316_988_5e2,
            4.328_810_604_912_902_7e2,
            4.853_903_996_359_137e2,
            1.945_506_571_482_614e2,
        ],
    );
    x * (z * numerator / denominator) + x
}
