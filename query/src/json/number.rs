//! Numbers as Go's `strconv` and Prometheus's marshaller print them.

use std::io::Write;

/// Integers up to here print alike as integer and as float.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a `Vec` cannot fail.
    let _ = out.write_fmt(text);
}

/// Appends the special values; returns whether `value` was one.
fn push_special(out: &mut Vec<u8>, value: f64) -> bool {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value == f64::INFINITY {
        b"+Inf"
    } else if value == f64::NEG_INFINITY {
        b"-Inf"
    } else {
        return false;
    };
    out.extend_from_slice(text);
    true
}

/// Appends the shortest decimal that reads back as `value`, never with an exponent (Go's format `f`).
pub fn push_decimal(out: &mut Vec<u8>, value: f64) {
    if push_special(out, value) {
        return;
    }
    if value.fract() == 0.0 && value.abs() < EXACT_INTEGER_MAX && (value != 0.0) {
        push(out, format_args!("{}", value as i64));
    } else {
        push(out, format_args!("{value}"));
    }
}

/// Appends the shortest scientific form; the exponent has a sign and at least `exponent_digits` digits.
fn push_scientific(out: &mut Vec<u8>, value: f64, exponent_digits: usize) {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    push(
        out,
        format_args!("{mantissa}e{sign}{digits:0>exponent_digits$}"),
    );
}

fn needs_exponent(value: f64) -> bool {
    let magnitude = value.abs();
    magnitude != 0.0 && value.is_finite() && !(1e-6..1e21).contains(&magnitude)
}

/// Appends a sample value without quotes: decimal, or scientific below 1e-6 and from 1e21 on (`1e-07`, `1.5e+300`).
pub fn push_sample_value(out: &mut Vec<u8>, value: f64) {
    if needs_exponent(value) {
        push_scientific(out, value, 2);
    } else {
        push_decimal(out, value);
    }
}

/// Appends a float as Go's JSON encoder writes numbers: like a sample value, but `1e-7` for `1e-07`.
pub fn push_json_float(out: &mut Vec<u8>, value: f64) {
    if needs_exponent(value) {
        let digits = if value.abs() < 1e-6 { 1 } else { 2 };
        push_scientific(out, value, digits);
    } else {
        push_decimal(out, value);
    }
}

/// Appends a sample's time in seconds: no fraction for whole seconds, else exactly three digits (`1435781451.780`).
pub fn push_timestamp(out: &mut Vec<u8>, time_ms: i64) {
    if time_ms < 0 {
        out.push(b'-');
    }
    let magnitude = time_ms.unsigned_abs();
    push(out, format_args!("{}", magnitude / 1000));
    let fraction = magnitude % 1000;
    if fraction != 0 {
        push(out, format_args!(".{fraction:03}"));
    }
}

/// Appends the time of a scalar or string result, which Prometheus prints as a float: `1435781451.78`.
pub fn push_float_seconds(out: &mut Vec<u8>, time_ms: i64) {
    push_json_float(out, time_ms as f64 / 1000.0);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sample_values_have_gos_shortest_form() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.3333333333333333"),
            (1e-6, "0.000001"),
            (9.99e-7, "9.99e-07"),
            (-1e-7, "-1e-07"),
            (1e-300, "1e-300"),
            (5e-324, "5e-324"),
            (123456789012345680000.0, "123456789012345680000"),
            (9007199254740993.0, "9007199254740992"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(text(|out| push_sample_value(out, value)), expected);
        }
    }

    #[test]
    fn decimals_never_have_an_exponent() {
        assert_eq!(
            text(|out| push_decimal(out, 1e21)),
            "1000000000000000000000"
        );
        assert_eq!(text(|out| push_decimal(out, 1e-7)), "0.0000001");
    }

    #[test]
    fn timestamps_have_three_decimals_or_none() {
        for (time_ms, sample, float) in [
            (1435781451781, "1435781451.781", "1435781451.781"),
            (1435781430000, "1435781430", "1435781430"),
            (1435781451780, "1435781451.780", "1435781451.78"),
            (1, "0.001", "0.001"),
            (-1500, "-1.500", "-1.5"),
            (0, "0", "0"),
        ] {
            assert_eq!(text(|out| push_timestamp(out, time_ms)), sample);
            assert_eq!(text(|out| push_float_seconds(out, time_ms)), float);
        }
        assert_eq!(
            text(|out| push_timestamp(out, i64::MIN)),
            "-9223372036854775.808"
        );
    }
}
