//! Numbers as a fraction and a power of two.

const FRACTION_BITS: u32 = 52;
const FRACTION_MASK: u64 = (1 << FRACTION_BITS) - 1;
const EXPONENT_MASK: u64 = 0x7ff;
const BIAS: i32 = 1023;
/// The exponent field of numbers in [½, 1).
const HALF: u64 = 0x3fe << FRACTION_BITS;

/// 2^`exponent`, for exponents of normal numbers: -1022 to 1023.
pub(super) fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits((i64::from(exponent + BIAS) as u64 & EXPONENT_MASK) << FRACTION_BITS)
}

/// The unbiased exponent that the bits of a normal number hold.
pub(super) fn exponent(value: f64) -> i32 {
    (value.to_bits() >> FRACTION_BITS & EXPONENT_MASK) as i32 - BIAS
}

/// A fraction with magnitude in [½, 1) and an exponent: `value` = fraction · 2^exponent. Zeros, infinities and NaN are their own
/// fraction, with exponent 0.
pub(super) fn split(value: f64) -> (f64, i32) {
    if value == 0.0 || !value.is_finite() {
        return (value, 0);
    }
    let (normal, shift) = if value.is_subnormal() {
        (value * power_of_two(52), -52)
    } else {
        (value, 0)
    };
    (half_to_one(normal), exponent(normal) + 1 + shift)
}

/// The number in [½, 1) with the sign and the fraction bits of `value`.
pub(super) fn half_to_one(value: f64) -> f64 {
    f64::from_bits(value.to_bits() & !(EXPONENT_MASK << FRACTION_BITS) | HALF)
}

/// `value` · 2^`power`, rounded once.
pub(super) fn join(value: f64, power: i32) -> f64 {
    let (fraction, exponent) = split(value);
    if fraction == 0.0 || !fraction.is_finite() {
        return value;
    }
    // `fraction` is below 1, so 2^-1022 · ½ is where subnormal numbers begin.
    let exponent = exponent.saturating_add(power);
    if exponent < -1074 {
        0f64.copysign(value)
    } else if exponent > 1024 {
        f64::INFINITY.copysign(value)
    } else if exponent < -1021 {
        fraction * power_of_two(exponent + 53) * power_of_two(-53)
    } else {
        fraction * 2.0 * power_of_two(exponent - 1)
    }
}

/// The bits of the fraction, without the leading one.
pub(super) fn fraction_bits(value: f64) -> u64 {
    value.to_bits() & FRACTION_MASK
}

/// The whole number that the bits of a normal number's fraction are, with the leading one: in [2^52, 2^53).
pub(super) fn significand(value: f64) -> u64 {
    fraction_bits(value) | 1 << FRACTION_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_put_together_as_they_were_taken_apart() {
        for value in [
            1.0,
            -0.75,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            -2.5e-310,
            0.1,
        ] {
            let (fraction, exponent) = split(value);
            assert!((0.5..1.0).contains(&fraction.abs()), "{value}");
            assert_eq!(join(fraction, exponent), value);
        }
        assert_eq!(split(8.0), (0.5, 4));
        assert_eq!(split(5e-324), (0.5, -1073));
        assert_eq!(split(f64::INFINITY), (f64::INFINITY, 0));
        assert!(split(-0.0).0.is_sign_negative() && split(f64::NAN).0.is_nan());
    }

    #[test]
    fn joining_overflows_and_underflows() {
        assert_eq!(join(1.0, 1023), power_of_two(1023));
        assert_eq!(join(-1.0, 1024), f64::NEG_INFINITY);
        assert_eq!(join(1.0, i32::MAX), f64::INFINITY);
        assert_eq!(join(1.0, -1074), 5e-324);
        assert_eq!(join(1.5, -1075), 5e-324);
        assert_eq!(join(1.0, -1075), 0.0);
        assert!(join(-1.0, i32::MIN).is_sign_negative());
        assert_eq!(
            join(f64::MAX, -2000),
            f64::MAX / power_of_two(1000) / power_of_two(1000)
        );
    }
}
