//! Two-hour windows and days.

use std::ops::Range;

use chrono::{DateTime, NaiveDate};

/// The length of a window. Twelve of them make a day, so no window crosses midnight UTC.
pub const WINDOW_MS: i64 = 2 * 3_600_000;
/// The length of a day.
pub(crate) const DAY_MS: i64 = 24 * 3_600_000;

/// The beginning of the window in which a time lies.
pub(crate) fn window_of(time_ms: i64) -> i64 {
    time_ms.saturating_sub(time_ms.rem_euclid(WINDOW_MS))
}

/// The UTC day in which a time lies; `None` beyond the calendar (year 262,000).
pub(crate) fn date_of(time_ms: i64) -> Option<NaiveDate> {
    Some(DateTime::from_timestamp_millis(time_ms)?.date_naive())
}

/// Midnight at which a day begins.
pub(crate) fn day_start_ms(date: NaiveDate) -> i64 {
    date.and_time(chrono::NaiveTime::MIN)
        .and_utc()
        .timestamp_millis()
}

/// Cuts ascending times into runs that lie in one window each.
pub(crate) fn split(timestamps: &[i64]) -> impl Iterator<Item = (i64, Range<usize>)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let window = window_of(*timestamps.get(start)?);
        let end = window.saturating_add(WINDOW_MS);
        let rest = timestamps.get(start..)?;
        let length = rest.partition_point(|time| *time < end).max(1);
        let range = start..start + length;
        start = range.end;
        Some((window, range))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn windows_begin_at_even_hours_before_and_after_the_epoch() {
        assert_eq!(window_of(0), 0);
        assert_eq!(window_of(WINDOW_MS - 1), 0);
        assert_eq!(window_of(WINDOW_MS), WINDOW_MS);
        assert_eq!(window_of(-1), -WINDOW_MS);
    }

    #[test]
    fn times_are_cut_at_window_ends() {
        let times = [-1, 0, 5, WINDOW_MS - 1, WINDOW_MS, 30 * WINDOW_MS];
        let runs: Vec<_> = split(&times).collect();
        assert_eq!(
            runs,
            [
                (-WINDOW_MS, 0..1),
                (0, 1..4),
                (WINDOW_MS, 4..5),
                (30 * WINDOW_MS, 5..6)
            ]
        );
        assert_eq!(split(&[]).count(), 0);
    }

    #[test]
    fn a_day_holds_twelve_windows() {
        let date = NaiveDate::from_ymd_opt(2026, 11, 23).unwrap();
        let start = day_start_ms(date);
        assert_eq!(window_of(start), start);
        assert_eq!(date_of(start), Some(date));
        assert_eq!(date_of(start - 1), date.pred_opt());
        assert_eq!(start.rem_euclid(DAY_MS), 0);
        assert_eq!(date_of(i64::MAX), None);
    }
}
