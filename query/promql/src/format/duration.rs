//! Durations such as `1h30m`.

use super::{ValueError, parse_go_float};

/// Units from the largest to the smallest: name, milliseconds, and whether it is only used when it divides the rest.
const UNITS: [(&str, i64, bool); 7] = [
    ("y", 365 * 24 * 3_600_000, true),
    // "90d" reads better than "12w6d".
    ("w", 7 * 24 * 3_600_000, true),
    ("d", 24 * 3_600_000, false),
    ("h", 3_600_000, false),
    ("m", 60_000, false),
    ("s", 1000, false),
    ("ms", 1, false),
];

/// Longest duration: 64 bits of nanoseconds.
const MS_MAX: i64 = i64::MAX / 1_000_000;

/// A duration as `1h30m`; a negative one with a minus sign in front.
pub fn format_duration(duration_ms: i64) -> String {
    if duration_ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    if duration_ms < 0 {
        text.push('-');
    }
    let mut rest = duration_ms.unsigned_abs();
    for (unit, unit_ms, only_if_exact) in UNITS {
        let unit_ms = unit_ms.unsigned_abs();
        if only_if_exact && !rest.is_multiple_of(unit_ms) {
            continue;
        }
        let count = rest / unit_ms;
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
            rest %= unit_ms;
        }
    }
    text
}

/// Milliseconds of a duration such as `1h30m`: whole numbers with the units y, w, d, h, m, s, ms in this order, each at
/// most once; or `0`.
pub fn parse_duration(text: &str) -> Result<i64, ValueError> {
    match text {
        "" => return Err(ValueError::EmptyDuration),
        "0" => return Ok(0),
        _ => {}
    }
    let invalid = || ValueError::Duration {
        text: text.to_owned(),
    };
    let mut rest = text;
    let mut units_left = UNITS.as_slice();
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let (digits, tail) = split_at_first(rest, |c| !c.is_ascii_digit());
        let (unit, tail) = split_at_first(tail, |c| c.is_ascii_digit());
        let count: u64 = digits.parse().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(invalid());
        }
        if !UNITS.iter().any(|(name, _, _)| *name == unit) {
            return Err(ValueError::DurationUnit {
                unit: unit.to_owned(),
                text: text.to_owned(),
            });
        }
        let position = units_left
            .iter()
            .position(|(name, _, _)| *name == unit)
            .ok_or_else(invalid)?;
        let (used, left) = units_left.split_at(position + 1);
        units_left = left;
        let unit_ms = used.last().map_or(1, |(_, unit_ms, _)| *unit_ms);
        total = i64::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(unit_ms))
            .and_then(|ms| total.checked_add(ms))
            .filter(|&ms| ms <= MS_MAX)
            .ok_or(ValueError::DurationRange)?;
        rest = tail;
    }
    Ok(total)
}

/// Milliseconds of a duration or of a number of seconds, as in the parameters `step` and `timeout` of the HTTP API.
pub fn parse_duration_or_seconds(text: &str) -> Result<i64, ValueError> {
    if let Ok(seconds) = parse_go_float(text) {
        let nanoseconds = seconds * 1e9;
        if nanoseconds.is_nan() || nanoseconds.abs() > i64::MAX as f64 {
            return Err(ValueError::SecondsRange {
                text: text.to_owned(),
            });
        }
        return Ok(nanoseconds as i64 / 1_000_000);
    }
    parse_duration(text).map_err(|_| ValueError::DurationOrSeconds {
        text: text.to_owned(),
    })
}

fn split_at_first(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(wanted).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_written_with_the_largest_units() {
        for (ms, text) in [
            (0, "0s"),
            (1, "1ms"),
            (999, "999ms"),
            (1000, "1s"),
            (1500, "1s500ms"),
            (60_000, "1m"),
            (90_000, "1m30s"),
            (3_600_000, "1h"),
            (5_400_000, "1h30m"),
            (86_400_000, "1d"),
            (90 * 86_400_000, "90d"),
            (7 * 86_400_000, "1w"),
            (14 * 86_400_000, "2w"),
            (8 * 86_400_000, "8d"),
            (365 * 86_400_000, "1y"),
            (730 * 86_400_000, "2y"),
            (366 * 86_400_000, "366d"),
            (365 * 86_400_000 + 60_000, "365d1m"),
            (-300_000, "-5m"),
            (i64::MIN, "-106751991167d7h12m55s808ms"),
        ] {
            assert_eq!(format_duration(ms), text, "{ms}");
        }
    }

    #[test]
    fn durations_are_read_strictly() {
        for (text, ms) in [
            ("0", 0),
            ("0w", 0),
            ("0s", 0),
            ("324ms", 324),
            ("3s", 3000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("4d", 345_600_000),
            ("4d1h", 349_200_000),
            ("14d", 1_209_600_000),
            ("3w", 1_814_400_000),
            ("3w2d1h", 1_990_800_000),
            ("10y", 315_360_000_000),
            ("1y2w3d4h5m6s7ms", 33_019_506_007),
            ("292y", 9_208_512_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for (text, message) in [
            ("", "empty duration string"),
            ("1", "not a valid duration string: \"1\""),
            ("h", "not a valid duration string: \"h\""),
            ("-1w", "not a valid duration string: \"-1w\""),
            ("1h-5m", "unknown unit \"h-\" in duration \"1h-5m\""),
            ("5m1h", "not a valid duration string: \"5m1h\""),
            ("5m1m", "not a valid duration string: \"5m1m\""),
            ("5m1hs", "unknown unit \"hs\" in duration \"5m1hs\""),
            ("1.5d", "unknown unit \".\" in duration \"1.5d\""),
            ("294y", "duration out of range"),
            ("200y10400w", "duration out of range"),
            ("9223372036854775807y", "duration out of range"),
            (
                "99999999999999999999s",
                "not a valid duration string: \"99999999999999999999s\"",
            ),
            ("5µs", "unknown unit \"µs\" in duration \"5µs\""),
        ] {
            assert_eq!(
                parse_duration(text).unwrap_err().to_string(),
                message,
                "{text}"
            );
        }
    }

    #[test]
    fn parameters_may_be_seconds() {
        assert_eq!(parse_duration_or_seconds("15"), Ok(15_000));
        assert_eq!(parse_duration_or_seconds("0.5"), Ok(500));
        assert_eq!(parse_duration_or_seconds("-1.5"), Ok(-1500));
        assert_eq!(parse_duration_or_seconds("1h30m"), Ok(5_400_000));
        assert_eq!(parse_duration_or_seconds("1e3"), Ok(1_000_000));
        assert_eq!(
            parse_duration_or_seconds("1e10").unwrap_err().to_string(),
            "cannot parse \"1e10\" to a valid duration. It overflows int64"
        );
        assert!(parse_duration_or_seconds("NaN").is_err());
        assert_eq!(
            parse_duration_or_seconds("soon").unwrap_err().to_string(),
            "cannot parse \"soon\" to a valid duration"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(ms in 0..MS_MAX) {
            prop_assert_eq!(parse_duration(&format_duration(ms)), Ok(ms));
        }

        #[test]
        fn any_text_is_a_duration_or_an_error(text in "[0-9a-zµ.-]{0,12}") {
            if let Ok(ms) = parse_duration(&text) {
                prop_assert!((0..=MS_MAX).contains(&ms));
            }
        }
    }
}
