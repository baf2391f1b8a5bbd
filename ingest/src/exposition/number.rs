//! Numbers as Go reads and writes them.

use super::NORMAL_NAN;

/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The largest integer below which a double holds every one.
const EXACT_INTEGERS: u64 = 1 << 53;

/// Parses a float; `Err` is Go's message.
///
/// Accepted is what `strconv.ParseFloat` takes without hexadecimal floats and underscores: decimal notation,
/// `[+-]inf`, `[+-]infinity` and `nan` in any case. What overflows is an error, not an infinity.
pub(super) fn parse_float(token: &[u8]) -> Result<f64, String> {
    match parse_short(token) {
        Some(value) => Ok(value),
        None => parse_any(token),
    }
}

/// The common case: few digits, a small exponent. One multiplication or division of two exact numbers is correctly
/// rounded.
fn parse_short(token: &[u8]) -> Option<f64> {
    let (negative, digits) = match token.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, token),
    };
    // 19 digits fit into 64 bits.
    if digits.len() > 24 {
        return None;
    }
    let mut mantissa: u64 = 0;
    let mut count = 0;
    let mut decimals = 0;
    let mut point = false;
    let mut at = 0;
    while let Some(&byte) = digits.get(at) {
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa
                    .wrapping_mul(10)
                    .wrapping_add(u64::from(byte - b'0'));
                count += 1;
                decimals += i32::from(point);
            }
            b'.' if !point => point = true,
            b'e' | b'E' => break,
            _ => return None,
        }
        at += 1;
    }
    if count == 0 || count > 19 {
        return None;
    }
    let exponent = match digits.get(at..) {
        None | Some([]) => 0,
        Some(tail) => short_exponent(&tail[1..])?,
    };
    let scale = exponent - decimals;
    let value = if scale == 0 {
        mantissa as f64
    } else if mantissa <= EXACT_INTEGERS {
        let power = *EXACT_POWERS.get(scale.unsigned_abs() as usize)?;
        if scale > 0 {
            mantissa as f64 * power
        } else {
            mantissa as f64 / power
        }
    } else {
        return None;
    };
    Some(if negative { -value } else { value })
}

fn short_exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let value = match digits {
        [a @ b'0'..=b'9'] => i32::from(a - b'0'),
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => i32::from(a - b'0') * 10 + i32::from(b - b'0'),
        _ => return None,
    };
    Some(if negative { -value } else { value })
}

fn parse_any(token: &[u8]) -> Result<f64, String> {
    if token.iter().any(|b| matches!(b, b'p' | b'P' | b'_')) {
        return Err("unsupported character in float".to_owned());
    }
    let shown = || String::from_utf8_lossy(token);
    let syntax = || format!("strconv.ParseFloat: parsing {:?}: invalid syntax", shown());
    let text = std::str::from_utf8(token).map_err(|_| syntax())?;
    let value: f64 = text.parse().map_err(|_| syntax())?;
    if value.is_nan() {
        // Go's NaN has no sign.
        if text.starts_with(['+', '-']) {
            return Err(syntax());
        }
        return Ok(f64::from_bits(NORMAL_NAN));
    }
    if value.is_infinite() && text.bytes().any(|b| b.is_ascii_digit()) {
        return Err(format!(
            "strconv.ParseFloat: parsing {:?}: value out of range",
            shown()
        ));
    }
    Ok(value)
}

/// Parses a float with all that `strconv.ParseFloat` takes: hexadecimal floats and underscores between digits too.
pub(super) fn parse_go_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let hexadecimal = unsigned
        .strip_prefix("0x")
        .or_else(|| unsigned.strip_prefix("0X"));
    if text.contains('_') && !are_underscores_between_digits(hexadecimal, unsigned) {
        return None;
    }
    let Some(digits) = hexadecimal else {
        return parse_float(text.replace('_', "").as_bytes()).ok();
    };
    let value = parse_hexadecimal(&digits.replace('_', ""))?;
    Some(if text.starts_with('-') { -value } else { value })
}

/// Whether every underscore has a digit, or the prefix `0x`, before it and a digit after it.
fn are_underscores_between_digits(hexadecimal: Option<&str>, unsigned: &str) -> bool {
    let is_digit = |b: u8| match hexadecimal {
        Some(_) => b.is_ascii_hexdigit(),
        None => b.is_ascii_digit(),
    };
    let bytes = hexadecimal.unwrap_or(unsigned).as_bytes();
    bytes.iter().enumerate().all(|(i, b)| {
        let before = match i.checked_sub(1) {
            Some(i) => bytes.get(i).copied().is_some_and(is_digit),
            None => hexadecimal.is_some(),
        };
        *b != b'_' || (before && bytes.get(i + 1).copied().is_some_and(is_digit))
    })
}

/// Parses what follows `0x`: digits with or without a point, then `p` and a binary exponent. Overflow is no value.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if exponent_digits.is_empty() || !exponent_digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // What is larger overflows or vanishes anyway.
    let mut exponent = exponent
        .parse::<i32>()
        .unwrap_or(match exponent.as_bytes() {
            [b'-', ..] => -1_000_000,
            _ => 1_000_000,
        });
    let mut value: u64 = 0;
    for (i, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = digit.to_digit(16)?;
        if value >> 60 == 0 {
            value = value << 4 | u64::from(digit);
            exponent = exponent.saturating_sub(if i < whole.len() { 0 } else { 4 });
        } else {
            // Only whether anything is left over matters for rounding.
            value |= u64::from(digit != 0);
            exponent = exponent.saturating_add(if i < whole.len() { 4 } else { 0 });
        }
    }
    let exponent = exponent.clamp(-2_200, 2_200);
    // In two steps, since a power of two alone may be out of range.
    let value = value as f64 * 2_f64.powi(exponent / 2) * 2_f64.powi(exponent - exponent / 2);
    value.is_finite().then_some(value)
}

/// Writes a float as the values of `le` and `quantile` are stored: Go's shortest form, with `.0` where it would look
/// like an integer.
pub(super) fn format_bound(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value == 0.0 {
        return "0.0".to_owned();
    }
    // The shortest digits that read back, as `d.ddde<exponent>`.
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // The thresholds of Go's shortest `g`.
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{value}");
    if plain.contains('.') {
        plain
    } else {
        format!("{plain}.0")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn floats_are_those_of_go() {
        for (text, value) in [
            ("0", 0.0),
            ("-0", -0.0),
            ("+1", 1.0),
            ("12345", 12_345.0),
            ("18446744073709551616", 18_446_744_073_709_551_616.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("4.9351e-05", 4.9351e-05),
            ("7.424100000000001e-05", 7.424_100_000_000_001e-5),
            ("1.6252e+07", 1.6252e7),
            (".5", 0.5),
            ("5.", 5.0),
            ("1E3", 1000.0),
            ("1e22", 1e22),
            ("1e23", 1e23),
            ("0.000001", 0.000001),
            ("Inf", f64::INFINITY),
            ("+inf", f64::INFINITY),
            ("-INFINITY", f64::NEG_INFINITY),
            ("1e-400", 0.0),
            ("00000000000000000000000012", 12.0),
        ] {
            let parsed = parse_float(text.as_bytes()).unwrap();
            assert_eq!(parsed.to_bits(), value.to_bits(), "{text}");
        }
        for text in ["NaN", "nan", "nAn"] {
            assert_eq!(parse_float(text.as_bytes()).unwrap().to_bits(), NORMAL_NAN);
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for (text, message) in [
            (
                "true",
                "strconv.ParseFloat: parsing \"true\": invalid syntax",
            ),
            ("", "strconv.ParseFloat: parsing \"\": invalid syntax"),
            ("-", "strconv.ParseFloat: parsing \"-\": invalid syntax"),
            (".", "strconv.ParseFloat: parsing \".\": invalid syntax"),
            ("1e", "strconv.ParseFloat: parsing \"1e\": invalid syntax"),
            (
                "1.2.3",
                "strconv.ParseFloat: parsing \"1.2.3\": invalid syntax",
            ),
            (
                "+nan",
                "strconv.ParseFloat: parsing \"+nan\": invalid syntax",
            ),
            (
                "infinit",
                "strconv.ParseFloat: parsing \"infinit\": invalid syntax",
            ),
            (
                "0x10",
                "strconv.ParseFloat: parsing \"0x10\": invalid syntax",
            ),
            (
                "1\r",
                "strconv.ParseFloat: parsing \"1\\r\": invalid syntax",
            ),
            (
                "1e999",
                "strconv.ParseFloat: parsing \"1e999\": value out of range",
            ),
            ("1_2", "unsupported character in float"),
            ("0x1p-3", "unsupported character in float"),
        ] {
            assert_eq!(parse_float(text.as_bytes()).unwrap_err(), message);
        }
        assert!(parse_float(b"\xff1").is_err());
    }

    #[test]
    fn bounds_print_as_in_go() {
        for (value, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (-1.0, "-1.0"),
            (10.0, "10.0"),
            (0.25, "0.25"),
            (100_000.0, "100000.0"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e100, "1e+100"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format_bound(value), text);
        }
    }

    #[test]
    fn bounds_are_read_with_all_that_go_reads() {
        for (text, value) in [
            ("1", Some(1.0)),
            ("1_0", Some(10.0)),
            ("-1_0.2_5e1_0", Some(-1.025e11)),
            ("0x1p-2", Some(0.25)),
            ("-0X1.8P+1", Some(-3.0)),
            ("0x_1p4", Some(16.0)),
            ("0x.8p0", Some(0.5)),
            ("0x1fffffffffffff8p0", Some(144_115_188_075_855_870.0)),
            ("+Inf", Some(f64::INFINITY)),
            ("0x1", None),
            ("0x1p", None),
            ("0xp1", None),
            ("0x1p9999", None),
            ("0x1p-99999999999", Some(0.0)),
            ("_1", None),
            ("1_", None),
            ("1__0", None),
            ("1_.5", None),
            ("1e400", None),
            ("i_nf", None),
            ("", None),
        ] {
            assert_eq!(parse_go_float(text), value, "{text}");
        }
    }

    proptest! {
        #[test]
        fn short_and_long_way_agree(text in "-?[0-9]{1,20}(\\.[0-9]{0,8})?([eE][-+]?[0-9]{1,2})?") {
            let expected: f64 = text.parse().unwrap();
            prop_assert_eq!(parse_float(text.as_bytes()).unwrap().to_bits(), expected.to_bits());
        }

        #[test]
        fn any_float_reads_back(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            let parsed = parse_float(format!("{value:e}").as_bytes()).unwrap();
            prop_assert_eq!(parsed.to_bits(), value.to_bits());
        }
    }
}
