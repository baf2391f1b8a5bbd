//! Floating-point numbers as Go's `strconv` writes and reads them.

use super::ValueError;

/// The shortest digits that read back as the same number, never with an exponent: `strconv.FormatFloat(value, 'f', -1, 64)`.
pub fn format_float(value: f64) -> String {
    special(value).map_or_else(|| even_digits(value, value.to_string()), str::to_owned)
}

/// The shortest digits, always with an exponent of at least two digits: `1.5e+21` (`'e'`, -1).
pub fn format_float_e(value: f64) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = even_digits(value, mantissa.to_owned());
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// With an exponent where that is usual in Go: below 1e-4 and from 1e6 on (`'g'`, -1; what `%v` prints).
pub fn format_float_g(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        format_float_e(value)
    } else {
        format_float(value)
    }
}

/// A sample value in a JSON answer, without its quotes: an exponent only below 1e-6 and from 1e21 on.
pub fn format_sample_value(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        format_float_e(value)
    } else {
        format_float(value)
    }
}

/// Corrects the last of the shortest digits where two candidates are equally near: Go takes the even one, Rust the greater.
/// `mantissa` is the number as Rust writes it, or what stands before its exponent.
fn even_digits(value: f64, mantissa: String) -> String {
    let corrected = || {
        let exact = exact_decimal(value)?;
        let digits: u64 = mantissa
            .bytes()
            .filter(u8::is_ascii_digit)
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let (below, above) = (exact / 10, exact / 10 + 1);
        let even = if below % 2 == 0 { below } else { above };
        if digits == even || !(digits == below || digits == above) {
            return None;
        }
        let kept = mantissa.get(..mantissa.len() - 1)?;
        Some(format!("{kept}{}", even % 10))
    };
    corrected().unwrap_or(mantissa)
}

/// All digits of a number as a whole number, if the last is a 5 behind the point and shorter digits may stand for the number. A
/// number of fewer than 16 digits is the only one of its length that reads as the same float.
fn exact_decimal(value: f64) -> Option<u64> {
    let bits = value.abs().to_bits();
    let (exponent, fraction) = ((bits >> 52) as u32, bits & ((1 << 52) - 1));
    if exponent == 0 {
        return None;
    }
    let significand = fraction | 1 << 52;
    let zeros = significand.trailing_zeros();
    let binary_places = (1023 + 52u32).checked_sub(exponent + zeros)?;
    if binary_places == 0 {
        return None;
    }
    // Below a power of two floats are twice as dense: there a distance of 5 may already reach the next one.
    let exact_min = if fraction == 0 {
        5 << 54
    } else {
        1_000_000_000_000_000
    };
    (significand >> zeros)
        .checked_mul(5u64.checked_pow(binary_places)?)
        .filter(|exact| (exact_min..1_000_000_000_000_000_000).contains(exact))
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("+Inf")
    } else if value == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// Reads a number as `strconv.ParseFloat` does: decimal or hexadecimal with a binary exponent, underscores between digits,
/// `Inf`, `Infinity` and `NaN` in any case. A number too large for 64 bits is an error, one too small is 0.
pub fn parse_go_float(text: &str) -> Result<f64, ValueError> {
    let invalid = || ValueError::Float {
        text: text.to_owned(),
    };
    let out_of_range = || ValueError::FloatRange {
        text: text.to_owned(),
    };
    if text.eq_ignore_ascii_case("nan") {
        return Ok(f64::NAN);
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = if unsigned.eq_ignore_ascii_case("inf") || unsigned.eq_ignore_ascii_case("infinity")
    {
        f64::INFINITY
    } else {
        let digits = without_underscores(unsigned).ok_or_else(invalid)?;
        let value = match digits
            .strip_prefix("0x")
            .or_else(|| digits.strip_prefix("0X"))
        {
            Some(digits) => hexadecimal(digits),
            None => decimal(&digits),
        };
        let value = value.ok_or_else(invalid)?;
        if value.is_infinite() {
            return Err(out_of_range());
        }
        value
    };
    Ok(if negative { -value } else { value })
}

/// Reads a number literal of a query: an integer in Go's notation (`0x1f`, `017`), else a float.
pub fn parse_number(text: &str) -> Result<f64, ValueError> {
    match integer(text) {
        Some(value) => Ok(value as f64),
        None => parse_go_float(text),
    }
}

fn integer(text: &str) -> Option<i64> {
    let digits = without_underscores(text)?;
    if let Some(hex) = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        return i64::from_str_radix(hex, 16).ok();
    }
    match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => i64::from_str_radix(octal, 8).ok(),
        _ => digits.parse().ok(),
    }
}

/// Removes underscores, which may stand between digits and behind a base prefix only.
fn without_underscores(text: &str) -> Option<std::borrow::Cow<'_, str>> {
    if !text.contains('_') {
        return Some(text.into());
    }
    let hex = text.starts_with("0x") || text.starts_with("0X");
    // The prefix counts as a digit.
    let (mut after_digit, mut after_underscore) = (hex, false);
    for c in text.chars().skip(if hex { 2 } else { 0 }) {
        if c == '_' {
            if !after_digit {
                return None;
            }
            (after_digit, after_underscore) = (false, true);
        } else {
            let digit = if hex {
                c.is_ascii_hexdigit()
            } else {
                c.is_ascii_digit()
            };
            if after_underscore && !digit {
                return None;
            }
            (after_digit, after_underscore) = (digit, false);
        }
    }
    (!after_underscore).then(|| text.replace('_', "").into())
}

fn decimal(digits: &str) -> Option<f64> {
    // Rust reads the same decimals, but also words such as "infinity", which need a letter other than "e".
    let plain = digits
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    // A second sign is no part of the mantissa.
    if !plain || digits.starts_with(['+', '-']) {
        return None;
    }
    digits.parse().ok()
}

/// `1.8p3`, the prefix removed: hexadecimal digits and a power of two, which must be there.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if exponent_digits.is_empty() || !exponent_digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Exponents beyond this are infinite or zero whatever the mantissa that fits into memory.
    let magnitude = exponent_digits
        .parse::<i64>()
        .unwrap_or(i64::MAX / 4)
        .min(i64::MAX / 4);
    let mut exponent = if exponent.starts_with('-') {
        -magnitude
    } else {
        magnitude
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut bits: u64 = 0;
    for (index, c) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(c.to_digit(16)?);
        if bits >> 60 == 0 {
            bits = bits << 4 | digit;
            if index >= whole.len() {
                exponent -= 4;
            }
        } else {
            // No room left: only remember that something followed.
            bits |= u64::from(digit != 0);
            if index < whole.len() {
                exponent += 4;
            }
        }
    }
    Some(scale(bits, exponent))
}

/// `bits * 2^exponent`, rounded once, half to even. The lowest bit may stand for lost ones below it.
fn scale(bits: u64, exponent: i64) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    let shift = i64::from(bits.leading_zeros());
    let bits = bits << shift;
    // The value is 0.1xxx… * 2^top.
    let top = exponent - shift + 64;
    if top > 1024 {
        return f64::INFINITY;
    }
    // A normal number keeps 53 bits, a subnormal one fewer.
    let kept = 53.min(top + 1074);
    if kept < 0 {
        return 0.0;
    }
    let dropped = 64 - kept;
    let (quotient, remainder, half) = if dropped == 64 {
        (0, u128::from(bits), 1u128 << 63)
    } else {
        let mask = (1u128 << dropped) - 1;
        (
            bits >> dropped,
            u128::from(bits) & mask,
            1u128 << (dropped - 1),
        )
    };
    let round_up = remainder > half || (remainder == half && quotient & 1 == 1);
    let quotient = quotient + u64::from(round_up);
    // The number of bits was chosen so that the product is exact; in two steps, because 2^-1074 is no normal number.
    let power = top - kept;
    quotient as f64 * power_of_two(power / 2) * power_of_two(power - power / 2)
}

/// 2^exponent, for exponents of normal numbers.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits((exponent + 1023).clamp(0, 2047).unsigned_abs() << 52)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sample_values_have_the_shortest_digits() {
        for (value, plain, exponent, general, sample) in [
            (0.0, "0", "0e+00", "0", "0"),
            (-0.0, "-0", "-0e+00", "-0", "-0"),
            (1.0, "1", "1e+00", "1", "1"),
            (-1.5, "-1.5", "-1.5e+00", "-1.5", "-1.5"),
            (0.1, "0.1", "1e-01", "0.1", "0.1"),
            (
                1.0 / 3.0,
                "0.3333333333333333",
                "3.333333333333333e-01",
                "0.3333333333333333",
                "0.3333333333333333",
            ),
            (100_000.0, "100000", "1e+05", "100000", "100000"),
            (1_000_000.0, "1000000", "1e+06", "1e+06", "1000000"),
            (
                1_234_567.0,
                "1234567",
                "1.234567e+06",
                "1.234567e+06",
                "1234567",
            ),
            (0.0001, "0.0001", "1e-04", "0.0001", "0.0001"),
            (0.00001, "0.00001", "1e-05", "1e-05", "0.00001"),
            (1e-6, "0.000001", "1e-06", "1e-06", "0.000001"),
            (1e-7, "0.0000001", "1e-07", "1e-07", "1e-07"),
            (
                1e20,
                "100000000000000000000",
                "1e+20",
                "1e+20",
                "100000000000000000000",
            ),
            (1e21, "1000000000000000000000", "1e+21", "1e+21", "1e+21"),
            (
                9007199254740993.0,
                "9007199254740992",
                "9.007199254740992e+15",
                "9.007199254740992e+15",
                "9007199254740992",
            ),
            (
                1.5e300,
                &format!("15{}", "0".repeat(299)),
                "1.5e+300",
                "1.5e+300",
                "1.5e+300",
            ),
            (f64::INFINITY, "+Inf", "+Inf", "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf", "-Inf"),
            (f64::NAN, "NaN", "NaN", "NaN", "NaN"),
        ] {
            assert_eq!(format_float(value), plain);
            assert_eq!(format_float_e(value), exponent);
            assert_eq!(format_float_g(value), general);
            assert_eq!(format_sample_value(value), sample);
        }
        assert_eq!(format_sample_value(5e-324), "5e-324");
        assert_eq!(format_sample_value(f64::MAX), "1.7976931348623157e+308");
    }

    #[test]
    #[allow(clippy::excessive_precision)] // Every digit of a tie is needed.
    fn of_two_nearest_numbers_the_even_one_is_written() {
        for (value, text) in [
            (999999999999998.25, "999999999999998.2"),
            (999999999999998.75, "999999999999998.8"),
            (-90571523379234.125, "-90571523379234.12"),
            (2251799813685249.5, "2251799813685249.5"),
            (1823625613323739.25, "1823625613323739.2"),
            (117798894199387.125, "117798894199387.12"),
            (2.0f64.powi(-25), "2.9802322387695312e-08"),
            (2.0f64.powi(-24), "5.960464477539063e-08"),
            (1.5 * 2.0f64.powi(-25), "4.470348358154297e-08"),
            (10253950167248.8125, "10253950167248.812"),
            (5.960464477539062e-7, "5.960464477539062e-07"),
            (0.5, "0.5"),
            (1e15 + 0.125, "1000000000000000.1"),
            (1e15 + 0.375, "1000000000000000.4"),
        ] {
            assert_eq!(format_sample_value(value), text);
            assert_eq!(parse_go_float(text), Ok(value));
        }
        assert_eq!(format_float_e(999999999999998.25), "9.999999999999982e+14");
    }

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, value) in [
            ("0", 0.0),
            ("1", 1.0),
            ("+1", 1.0),
            ("-1", -1.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("1e5", 1e5),
            ("1E-5", 1e-5),
            ("1e+05", 1e5),
            ("1_000.5", 1000.5),
            ("1_23.50_0_0e+1_2", 1.235e14),
            ("0x1p-2", 0.25),
            ("0x1.8p1", 3.0),
            ("-0X_1FFFP-16", -0.1249847412109375),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x1.fffffffffffff8p1022", 8.98846567431158e307),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080000000000000001p0", 1.0000000000000002),
            ("0x.8p1", 1.0),
            ("0x0p99999999999999999999", 0.0),
            ("1e-400", 0.0),
            ("4.9e-324", 5e-324),
            ("Inf", f64::INFINITY),
            ("+inf", f64::INFINITY),
            ("-iNfInItY", f64::NEG_INFINITY),
            ("179769313486231570000000000000000000000e270", f64::MAX),
        ] {
            assert_eq!(parse_go_float(text), Ok(value), "{text}");
        }
        assert!(parse_go_float("-0").unwrap().is_sign_negative());
        assert!(parse_go_float("nan").unwrap().is_nan());
        assert!(parse_go_float("NaN").unwrap().is_nan());
        for text in [
            "", "+", "-", ".", "e5", "1e", "1e+", "1.2.3", "--1", "+-1", "1 ", " 1", "infin",
            "+nan", "-NaN", "nano", "0x", "0x1", "0x1.8", "0xp1", "0x.p1", "0x1p", "0x1p1.5",
            "0xg.p1", "_1", "1_", "1__0", "1_.5", "1._5", "1e_5", "1_e5", "0_x1p1", "0x1_p1", "１",
            "1f64",
        ] {
            let message = parse_go_float(text).unwrap_err().to_string();
            assert_eq!(
                message,
                format!("strconv.ParseFloat: parsing \"{text}\": invalid syntax")
            );
        }
        for text in ["1e309", "-1e309", "0x1p1024", "0x1.fffffffffffff8p1023"] {
            let message = parse_go_float(text).unwrap_err().to_string();
            assert_eq!(
                message,
                format!("strconv.ParseFloat: parsing \"{text}\": value out of range")
            );
        }
    }

    #[test]
    fn literals_of_queries_may_be_integers_of_go() {
        for (text, value) in [
            ("0755", 493.0),
            ("08", 8.0),
            ("0xff", 255.0),
            ("0X_1F", 31.0),
            ("1_000", 1000.0),
            ("9223372036854775807", 9.223372036854776e18),
            ("9223372036854775808", 9.223372036854776e18),
            ("5.5e1", 55.0),
        ] {
            assert_eq!(parse_number(text), Ok(value), "{text}");
        }
        assert!(parse_number("0xffffffffffffffffffff").is_err());
    }

    proptest! {
        #[test]
        fn every_form_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            for text in [format_float(value), format_float_e(value), format_float_g(value), format_sample_value(value)] {
                let read = parse_go_float(&text).unwrap();
                prop_assert!(read.to_bits() == bits || value.is_nan() && read.is_nan(), "{}", text);
            }
        }

        #[test]
        fn hexadecimal_digits_keep_every_bit(bits in 0..0x7fe0_0000_0000_0000_u64) {
            let value = f64::from_bits(bits);
            let (exponent, mantissa) = ((bits >> 52) as i64, bits & ((1 << 52) - 1));
            let text = match exponent {
                0 => format!("0x0.{mantissa:013x}p-1022"),
                _ => format!("0x1.{mantissa:013x}p{}", exponent - 1023),
            };
            prop_assert_eq!(parse_go_float(&text), Ok(value), "{}", text);
        }

        #[test]
        fn any_text_is_a_number_or_an_error(text in "[0-9a-fxXpPeE_.+-]{0,12}|\\PC{0,8}") {
            if let Ok(value) = parse_go_float(&text) {
                prop_assert!(value.is_finite() || text.to_lowercase().contains('n'));
            }
        }
    }
}
