//! e^x after N. Shibata, "Efficient evaluation methods of elementary functions suitable for SIMD computation" (2010), as in SLEEF.

use super::polynomial;
use super::scale::{join, power_of_two};

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

/// r · coth(r / 2) - 2 = r² · P(r²): fdlibm's minimax coefficients, from r⁸ down to 1. Go rounds the last
/// one to a sixth, which fdlibm does not.
const COTH_FIRST: f64 = 4.138_136_797_057_238_5e-8;
const COTH: [f64; 4] = [
    -1.653_390_220_546_525_2e-6,
    6.613_756_321_437_934e-5,
    -2.777_777_777_701_559_3e-3,
    1.666_666_666_666_666_6e-1,
];
/// ln 2 in two parts, as fdlibm splits it.
const LN_2_HEAD: f64 = 6.931_471_803_691_238e-1;
const LN_2_TAIL: f64 = 1.908_214_929_270_587_7e-10;

/// 2^x; exact for whole numbers. By fdlibm's method, which fuses nothing.
pub fn exp2(x: f64) -> f64 {
    if x.is_nan() || x > 1_023.999_999_999_999_9 {
        return x + f64::INFINITY;
    }
    if x < -1074.0 {
        return 0.0;
    }
    // x = exponent + fraction, and 2^fraction = e^(high - low).
    let exponent = if x > 0.0 {
        (x + 0.5).trunc()
    } else if x < 0.0 {
        (x - 0.5).trunc()
    } else {
        0.0
    };
    let fraction = x - exponent;
    let (high, low) = (fraction * LN_2_HEAD, -fraction * LN_2_TAIL);
    let r = high - low;
    let square = r * r;
    let c = r - square * polynomial(square, COTH_FIRST, COTH);
    let power = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    join(power, exponent as i32)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_have_the_bits_of_go() {
        for (x, bits) in [
            (0.0, 0x3ff0_0000_0000_0000_u64),
            (1.0, 0x4000_0000_0000_0000),
            (-1.0, 0x3fe0_0000_0000_0000),
            (0.5, 0x3ff6_a09e_667f_3bcc),
            (-0.5, 0x3fe6_a09e_667f_3bcc),
            (0.1, 0x3ff1_25fb_ee25_0664),
            (-0.3, 0x3fe9_fdf8_bcce_533e),
            (1.0 / 3.0, 0x3ff4_28a2_f98d_728b),
            (2.7, 0x4019_fdf8_bcce_533e),
            (10.01, 0x4090_1c7d_6c40_4f0b),
            (-10.9, 0x3f41_25fb_ee25_0663),
            (100.123, 0x4631_6c88_2264_f697),
            (-500.25, 0x20aa_e89f_995a_d3ae),
            (1023.5, 0x7fe6_a09e_667f_3bcc),
            (1_023.999_999_999_999_9, 0x7fef_ffff_ffff_fd3a),
            (1024.0, 0x7ff0_0000_0000_0000),
            (-1022.5, 0x000b_504f_333f_9de6),
            (-1073.5, 1),
            (-1074.0, 1),
            (-1074.5, 0),
            (1e-20, 0x3ff0_0000_0000_0000),
            (f64::INFINITY, 0x7ff0_0000_0000_0000),
            (f64::NEG_INFINITY, 0),
        ] {
            assert_eq!(exp2(x).to_bits(), bits, "{x}");
        }
        assert!(exp2(f64::NAN).is_nan());
    }
}
