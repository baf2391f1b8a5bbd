//! Durations and byte sizes as Prometheus's configuration writes them.
//!
//! A duration is a sequence of `<number><unit>` from the biggest unit to the smallest (`1h30m`, `90s`); the units are
//! `y w d h m s ms`, a year has 365 days and a week seven. A size is a sequence of `<number><unit>` in powers of 1024,
//! with or without the `i` (`15MB` and `15MiB` are the same), fractions allowed.

use std::fmt;
use std::time::Duration;

/// The units of a duration, biggest first, with their milliseconds. The first three are printed only where they
/// divide without a remainder.
const DURATION_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The longest duration, in milliseconds: what fits into Go's 64-bit nanoseconds, about 292 years.
const DURATION_MS_MAX: u64 = i64::MAX as u64 / 1_000_000;

/// Parses a duration, with Prometheus's messages on failure. Zero is a valid duration.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err("empty duration string".to_owned());
    }
    let invalid = || format!("not a valid duration string: {text:?}");
    let out_of_range = || "duration out of range".to_owned();
    let mut rest = text;
    let mut next_unit = 0;
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = &rest[..end];
        if unit.is_empty() {
            return Err(invalid());
        }
        let Some(position) = DURATION_UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(format!("unknown unit {unit:?} in duration {text:?}"));
        };
        if position < next_unit {
            return Err(invalid());
        }
        next_unit = position + 1;
        let (_, unit_ms) = DURATION_UNITS[position];
        total_ms = number
            .checked_mul(unit_ms)
            .and_then(|ms| total_ms.checked_add(ms))
            .filter(|&ms| ms <= DURATION_MS_MAX)
            .ok_or_else(out_of_range)?;
        rest = &rest[end..];
    }
    Ok(Duration::from_millis(total_ms))
}

/// Writes a duration as Prometheus does, in whole milliseconds: `1m30s`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let mut rest_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest_ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (i, (unit, unit_ms)) in DURATION_UNITS.iter().enumerate() {
        // Years, weeks and days stand alone: `26h`, not `1d2h`.
        let exact_only = i < 3;
        if exact_only && rest_ms % unit_ms != 0 {
            continue;
        }
        if rest_ms >= *unit_ms {
            out.push_str(&format!("{}{unit}", rest_ms / unit_ms));
            rest_ms %= unit_ms;
        }
    }
    out
}

/// A number of bytes, parsed and printed in powers of 1024. Zero means "no limit" wherever it is a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const SIZE_PREFIXES: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];

impl ByteSize {
    /// Parses a size such as `15MB` or `1.5GiB`; a bare `0` needs no unit.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self(0));
        }
        let invalid = || format!("units: invalid {text}");
        if text.starts_with('-') {
            return Err(format!("not supported yet: the negative size {text}"));
        }
        let mut rest = text;
        let mut total = 0.0_f64;
        if rest.is_empty() {
            return Err(invalid());
        }
        while !rest.is_empty() {
            let end = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len());
            let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
            rest = &rest[end..];
            let end = rest
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(rest.len());
            let unit = &rest[..end];
            if unit.is_empty() {
                return Err(format!("units: unknown unit  in {text}"));
            }
            let power = SIZE_PREFIXES
                .iter()
                .position(|prefix| {
                    unit.strip_prefix(prefix).is_some_and(|suffix| {
                        suffix == "B" || (suffix == "iB" && !prefix.is_empty())
                    })
                })
                .ok_or_else(|| format!("units: unknown unit {unit} in {text}"))?;
            total += number * 1024_f64.powi(i32::try_from(power).unwrap_or(0));
            rest = &rest[end..];
        }
        // 2^63: what Go's signed integer holds.
        if total >= 9_223_372_036_854_775_808.0 {
            return Err(invalid());
        }
        Ok(Self(total as u64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        for (power, prefix) in SIZE_PREFIXES.iter().enumerate().rev() {
            let part = (self.0 >> (10 * power)) & 1023;
            if part > 0 {
                write!(f, "{part}{prefix}{}", if power == 0 { "B" } else { "iB" })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_read_and_print_as_prometheus_does() {
        for (text, ms, printed) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("324ms", 324, "324ms"),
            ("3s", 3_000, "3s"),
            ("5m", 300_000, "5m"),
            ("90s", 90_000, "1m30s"),
            ("1h", 3_600_000, "1h"),
            ("26h", 93_600_000, "26h"),
            ("4d", 345_600_000, "4d"),
            ("4d1h", 349_200_000, "97h"),
            ("14d", 1_209_600_000, "2w"),
            ("3w", 1_814_400_000, "3w"),
            ("10y", 315_360_000_000, "10y"),
            ("1h0m5s", 3_605_000, "1h5s"),
        ] {
            let parsed = parse_duration(text).unwrap();
            assert_eq!(parsed.as_millis(), ms, "{text}");
            assert_eq!(format_duration(parsed), printed, "{text}");
        }
    }

    #[test]
    fn wrong_durations_name_the_text() {
        for (text, message) in [
            ("", "empty duration string"),
            ("1", r#"not a valid duration string: "1""#),
            ("-1w", r#"not a valid duration string: "-1w""#),
            ("1.5d", r#"unknown unit "." in duration "1.5d""#),
            ("1s1m", r#"not a valid duration string: "1s1m""#),
            ("5m5m", r#"not a valid duration string: "5m5m""#),
            ("1u", r#"unknown unit "u" in duration "1u""#),
            ("294y", "duration out of range"),
            ("99999999999999999y", "duration out of range"),
        ] {
            assert_eq!(parse_duration(text).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024_with_and_without_i() {
        for (text, bytes, printed) in [
            ("0", 0, "0B"),
            ("15MB", 15 << 20, "15MiB"),
            ("15MiB", 15 << 20, "15MiB"),
            ("1.5KB", 1536, "1KiB512B"),
            ("100B", 100, "100B"),
            ("1GB512MB", (1 << 30) + (512 << 20), "1GiB512MiB"),
        ] {
            let size = ByteSize::parse(text).unwrap();
            assert_eq!(size.0, bytes, "{text}");
            assert_eq!(size.to_string(), printed, "{text}");
        }
        assert_eq!(
            ByteSize::parse("100").unwrap_err(),
            "units: unknown unit  in 100"
        );
        assert_eq!(
            ByteSize::parse("5XB").unwrap_err(),
            "units: unknown unit XB in 5XB"
        );
        assert!(ByteSize::parse("").is_err() && ByteSize::parse("9EB").is_err());
    }
}
