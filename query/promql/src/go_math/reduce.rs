//! An angle as a quadrant and what remains, in [-π/4, π/4].

use std::f64::consts::FRAC_PI_4;

use super::scale::{exponent, power_of_two, significand};

/// π/4 in three parts, the first two with trailing zeros: their products with octants below [`EXACT_MAX`] are exact.
const PI_4_PARTS: [f64; 3] = [
    7.853_981_256_484_985e-1,
    3.774_894_707_930_798e-8,
    2.695_151_429_079_059_5e-15,
];

/// From here on the parts are too few, and the digits of 4/π are used.
const EXACT_MAX: f64 = (1u64 << 29) as f64;

const OCTANTS_PER_RADIAN: f64 = 4.0 / std::f64::consts::PI;

/// The digits of 4/π in base 2^64, the first of them before the point: enough for the largest number.
const FOUR_OVER_PI: [u64; 20] = [
    0x0000_0000_0000_0001,
    0x45f3_06dc_9c88_2a53,
    0xf84e_afa3_ea69_bb81,
    0xb6c5_2b32_7887_2083,
    0xfca2_c757_bd77_8ac3,
    0x6e48_dc74_849b_a5c0,
    0x0c92_5dd4_13a3_2439,
    0xfc3b_d639_6253_4e7d,
    0xd104_6bea_5d76_8909,
    0xd338_e04d_68be_fc82,
    0x7323_ac73_06a6_73e9,
    0x3908_bf17_7bf2_5076,
    0x3ff1_2fff_bc0b_301f,
    0xde5e_2316_b414_da3e,
    0xda6c_fd9e_4f96_136e,
    0x9e8c_7ecd_3cbf_d45a,
    0xea4f_758f_d7cb_e2f6,
    0x7a0e_73ef_14a5_25d4,
    0xd7f6_bf62_3f1a_ba10,
    0xac06_608d_f8f6_d757,
];

/// An angle without whole turns: `quadrant` · π/2 + `rest`.
pub(super) struct Angle {
    /// 0 to 3.
    pub(super) quadrant: u64,
    /// Within [-π/4, π/4].
    pub(super) rest: f64,
}

impl Angle {
    /// Reduces a finite number that is not negative.
    pub(super) fn of(x: f64) -> Self {
        let (octant, rest) = if x < EXACT_MAX {
            cody_waite(x)
        } else {
            payne_hanek(x)
        };
        Self {
            quadrant: octant / 2 % 4,
            rest,
        }
    }
}

/// The nearest even octant, and the rest after taking it away part by part.
fn cody_waite(x: f64) -> (u64, f64) {
    let octant = (x * OCTANTS_PER_RADIAN) as u64;
    let even = octant + octant % 2;
    let [high, middle, low] = PI_4_PARTS;
    let turns = even as f64;
    (even, ((x - turns * high) - turns * middle) - turns * low)
}

/// The same from the digits of 4/π that matter for x: those before them give whole turns, those behind are too small.
/// After K. C. Ng, "Argument reduction for huge arguments: good to the last bit" (1992).
fn payne_hanek(x: f64) -> (u64, f64) {
    let significand = significand(x);
    // Bits of 4/π from the one whose product with the significand's last bit is 2^2, so that octants modulo 8 come first.
    let from = exponent(x) - 52 + 61;
    let [d0, d1, d2] = [0, 64, 128].map(|offset| digits_from(from + offset));
    let wide = |digit: u64| u128::from(digit) * u128::from(significand);
    let product = (wide(d0) << 64)
        .wrapping_add(wide(d1))
        .wrapping_add(wide(d2) >> 64);
    let (high, low) = ((product >> 64) as u64, product as u64);

    let octant = high >> 61;
    let fraction = high << 3 | low >> 61;
    // The fraction as a number in [0, 1): its leading one goes, the bits behind it follow. Go fills up from `low` where three of
    // its bits are already in the fraction, which matters for the last bits of very small rests.
    let zeros = fraction.leading_zeros();
    let leading = fraction.checked_shl(zeros + 1).unwrap_or(0);
    let filled = leading | low.checked_shr(63u32.wrapping_sub(zeros)).unwrap_or(0);
    let octants = f64::from_bits(1f64.to_bits() | filled >> 12) * power_of_two(-1 - zeros as i32);
    if octant % 2 == 1 {
        (octant + 1, (octants - 1.0) * FRAC_PI_4)
    } else {
        (octant, octants * FRAC_PI_4)
    }
}

/// 64 bits of 4/π from a bit on, counted from the first of [`FOUR_OVER_PI`].
fn digits_from(bit: i32) -> u64 {
    let digit = |index: i32| {
        usize::try_from(index)
            .ok()
            .and_then(|index| FOUR_OVER_PI.get(index))
            .copied()
            .unwrap_or(0)
    };
    let (index, shift) = (bit.div_euclid(64), bit.rem_euclid(64));
    let pair = u128::from(digit(index)) << 64 | u128::from(digit(index + 1));
    (pair >> (64 - shift)) as u64
}
