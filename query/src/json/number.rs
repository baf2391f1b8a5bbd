//! Numbers as Go's `strconv` and Prometheus's marshaller print them.

use varve_promql::format::{format_float, format_sample_value};

/// Integers up to here print alike as integer and as float.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

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

/// Appends a number whose shortest form is the same in Go's format `f` and in Ryu's; returns whether it is one. An answer has millions
/// of them. Both take the even one of two equally near forms, which Rust's own formatting does not.
fn push_common(out: &mut Vec<u8>, value: f64) -> bool {
    if push_special(out, value) {
        return true;
    }
    if value.fract() == 0.0 && value.abs() < EXACT_INTEGER_MAX && (value != 0.0) {
        let mut buffer = itoa::Buffer::new();
        out.extend_from_slice(buffer.format(value as i64).as_bytes());
        return true;
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    if value.fract() == 0.0 || text.contains(&b'e') {
        return false;
    }
    out.extend_from_slice(text);
    true
}

/// Appends the shortest decimal that reads back as `value`, never with an exponent (Go's format `f`).
pub fn push_decimal(out: &mut Vec<u8>, value: f64) {
    if !push_common(out, value) {
        out.extend_from_slice(format_float(value).as_bytes());
    }
}

/// Appends a sample value without quotes: decimal, or scientific below 1e-6 and from 1e21 on (`1e-07`, `1.5e+300`).
pub fn push_sample_value(out: &mut Vec<u8>, value: f64) {
    if !push_common(out, value) {
        out.extend_from_slice(format_sample_value(value).as_bytes());
    }
}

/// Appends a float as Go's JSON encoder writes numbers: like a sample value, but `1e-7` for `1e-07`.
pub fn push_json_float(out: &mut Vec<u8>, value: f64) {
    if push_common(out, value) {
        return;
    }
    let text = format_sample_value(value);
    match text.split_once("e-0") {
        Some((mantissa, digit)) => {
            out.extend_from_slice(mantissa.as_bytes());
            out.extend_from_slice(b"e-");
            out.extend_from_slice(digit.as_bytes());
        }
        None => out.extend_from_slice(text.as_bytes()),
    }
}

/// Appends a sample's time in seconds: no fraction for whole seconds, else exactly three digits (`1435781451.780`).
pub fn push_timestamp(out: &mut Vec<u8>, time_ms: i64) {
    if time_ms < 0 {
        out.push(b'-');
    }
    let magnitude = time_ms.unsigned_abs();
    let mut buffer = itoa::Buffer::new();
    out.extend_from_slice(buffer.format(magnitude / 1000).as_bytes());
    let fraction = magnitude % 1000;
    if fraction != 0 {
        let digit = |place: u64| b'0' + (fraction / place % 10) as u8;
        out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
}

/// Appends the time of a scalar or string result, which Prometheus prints as a float: `1435781451.78`.
pub fn push_float_seconds(out: &mut Vec<u8>, time_ms: i64) {
    push_json_float(out, time_ms as f64 / 1000.0);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

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

    /// Go's answers where two shortest forms are equally near.
    #[test]
    #[allow(clippy::excessive_precision, reason = "the exact numbers")]
    fn of_two_equally_near_forms_the_even_one_is_written() {
        for (value, expected) in [
            (999_999_999_999_998.25, "999999999999998.2"),
            (-90_571_523_379_234.125, "-90571523379234.12"),
            (10_253_950_167_248.812_5, "10253950167248.812"),
            (2f64.powi(-25), "2.9802322387695312e-08"),
        ] {
            assert_eq!(text(|out| push_sample_value(out, value)), expected);
        }
    }

    proptest! {
        #[test]
        fn the_common_form_is_that_of_all_numbers(bits: u64, scale in -30..30_i32) {
            let any = f64::from_bits(bits);
            let usual = (bits as f64 / u64::MAX as f64) * 10f64.powi(scale);
            for value in [any, usual, -usual, usual.round()] {
                prop_assert_eq!(text(|out| push_sample_value(out, value)), format_sample_value(value));
                prop_assert_eq!(text(|out| push_decimal(out, value)), format_float(value));
            }
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
