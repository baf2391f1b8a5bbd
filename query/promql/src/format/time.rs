//! Points in time, in milliseconds since the epoch.

use super::{ValueError, parse_go_float};

const DAY_MS: i64 = 86_400_000;

/// The first and the last time that Prometheus knows, which have more digits than RFC 3339 allows.
const MIN_TIME: (&str, i64) = ("-292273086-05-16T16:47:06Z", -9_223_309_901_257_974_000);
const MAX_TIME: (&str, i64) = (
    "292277025-08-18T07:12:54.999999999Z",
    9_223_309_901_257_974_999,
);

/// A time as RFC 3339 in UTC: `2015-07-01T20:10:51.781Z`, without zeros at the end of the fraction.
pub fn format_time(time_ms: i64) -> String {
    let (year, month, day) = date_of_day(time_ms.div_euclid(DAY_MS));
    let of_day = time_ms.rem_euclid(DAY_MS);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    let fraction = match of_day % 1000 {
        0 => String::new(),
        ms => format!(".{ms:03}").trim_end_matches('0').to_owned(),
    };
    let sign = if year < 0 { "-" } else { "" };
    let year = year.unsigned_abs();
    format!("{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// A time in seconds since the epoch, with three decimals unless it is a whole second: `1435781451.781`, as in JSON answers.
pub fn format_timestamp_seconds(time_ms: i64) -> String {
    let sign = if time_ms < 0 { "-" } else { "" };
    let magnitude = time_ms.unsigned_abs();
    match magnitude % 1000 {
        0 => format!("{sign}{}", magnitude / 1000),
        ms => format!("{sign}{}.{ms:03}", magnitude / 1000),
    }
}

/// A time parameter of the HTTP API: seconds since the epoch, rounded to milliseconds, or RFC 3339.
pub fn parse_time(text: &str) -> Result<i64, ValueError> {
    let invalid = || ValueError::Time {
        text: text.to_owned(),
    };
    if let Ok(seconds) = parse_go_float(text) {
        if !seconds.is_finite() || seconds.abs() >= i64::MAX as f64 / 1000.0 {
            return Err(invalid());
        }
        let (whole, fraction) = (
            seconds.trunc() as i64,
            (seconds.fract() * 1000.0).round() as i64,
        );
        return Ok((whole * 1000).saturating_add(fraction));
    }
    for (name, time_ms) in [MIN_TIME, MAX_TIME] {
        if text == name {
            return Ok(time_ms);
        }
    }
    rfc3339(text.as_bytes()).ok_or_else(invalid)
}

fn rfc3339(text: &[u8]) -> Option<i64> {
    let (date_time, mut rest) = text.split_at_checked(19)?;
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators
        .iter()
        .any(|&(at, separator)| date_time.get(at) != Some(&separator))
    {
        return None;
    }
    let field = |from: usize, to: usize| number(date_time.get(from..to)?);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    if !(1..=12).contains(&month) || day < 1 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let day_number = day_of_date(year, month, day);
    // The 31st of a shorter month would come back as another date.
    if date_of_day(day_number) != (year, month, day) {
        return None;
    }
    let mut fraction_ms = 0;
    if let Some((b'.' | b',', digits)) = rest.split_first() {
        let length = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (digits, tail) = digits.split_at(length);
        if digits.is_empty() {
            return None;
        }
        let mut three = [b'0'; 3];
        three
            .iter_mut()
            .zip(digits)
            .for_each(|(to, from)| *to = *from);
        fraction_ms = number(&three)?;
        rest = tail;
    }
    let zone_minutes = match rest {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 24 || minutes > 60 {
                return None;
            }
            let minutes = hours * 60 + minutes;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = (hour * 60 + minute - zone_minutes) * 60 + second;
    Some(day_number * DAY_MS + seconds * 1000 + fraction_ms)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// Days in 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// Day number, from 1970-01-01, to (year, month, day). Years are counted from March, so that a leap day comes last.
fn date_of_day(day: i64) -> (i64, i64, i64) {
    let day = day + EPOCH_DAYS;
    let (era, of_era) = (day.div_euclid(ERA_DAYS), day.rem_euclid(ERA_DAYS));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_month)
}

fn day_of_date(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * ERA_DAYS + of_era - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_435_781_451_781, "2015-07-01T20:10:51.781Z"),
            (1_435_781_451_780, "2015-07-01T20:10:51.78Z"),
            (1_435_781_451_700, "2015-07-01T20:10:51.7Z"),
            (1_456_704_000_000, "2016-02-29T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (MIN_TIME.1, MIN_TIME.0),
        ] {
            assert_eq!(format_time(ms), text, "{ms}");
        }
    }

    #[test]
    fn times_are_read_as_seconds_or_rfc_3339() {
        for (text, ms) in [
            ("0", 0),
            ("123.5", 123_500),
            ("1435781451.781", 1_435_781_451_781),
            ("1543578564.705", 1_543_578_564_705),
            ("-1.5", -1500),
            ("1e9", 1_000_000_000_000),
            ("2015-06-03T13:21:58.555Z", 1_433_337_718_555),
            ("2015-06-03T13:21:58Z", 1_433_337_718_000),
            ("2015-06-03T14:21:58.555+01:00", 1_433_337_718_555),
            ("2015-06-03T11:51:58.5559-01:30", 1_433_337_718_555),
            (MIN_TIME.0, MIN_TIME.1),
            (MAX_TIME.0, MAX_TIME.1),
        ] {
            assert_eq!(parse_time(text), Ok(ms), "{text}");
        }
        for text in [
            "",
            "now",
            "30s",
            "NaN",
            "+Inf",
            "1e300",
            "2015-06-03",
            "2015-06-03T13:21:58",
            "2015-06-03 13:21:58Z",
            "2015-02-29T00:00:00Z",
            "2015-13-01T00:00:00Z",
            "2015-06-03T24:00:00Z",
            "2015-06-03T13:21:58.Z",
            "2015-06-03T13:21:58+0100",
            "２015-06-03T13:21:58Z",
        ] {
            let message = parse_time(text).unwrap_err().to_string();
            assert_eq!(
                message,
                format!("cannot parse \"{text}\" to a valid timestamp")
            );
        }
    }

    #[test]
    fn timestamps_in_seconds_have_no_or_three_decimals() {
        for (ms, text) in [
            (0, "0"),
            (1_435_781_451_781, "1435781451.781"),
            (1_435_781_451_780, "1435781451.780"),
            (1_435_781_451_001, "1435781451.001"),
            (1_435_781_451_000, "1435781451"),
            (-1, "-0.001"),
            (-1500, "-1.500"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(format_timestamp_seconds(ms), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(ms in -62_167_219_200_000..=253_402_300_799_999_i64) {
            prop_assert_eq!(parse_time(&format_time(ms)), Ok(ms));
            let seconds = parse_time(&format_timestamp_seconds(ms));
            prop_assert_eq!(seconds, Ok(ms));
        }

        #[test]
        fn any_text_is_a_time_or_an_error(text in "\\PC{0,30}|[0-9T:.Z+-]{18,30}") {
            let _ = parse_time(&text);
        }
    }
}
