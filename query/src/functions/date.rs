//! Parts of dates, in UTC.

use chrono::{DateTime, Datelike, Timelike, Utc};

/// A part of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatePart {
    /// 1 to 31.
    DayOfMonth,
    /// 0 (Sunday) to 6.
    DayOfWeek,
    /// 1 to 366.
    DayOfYear,
    /// 28 to 31.
    DaysInMonth,
    /// 0 to 23.
    Hour,
    /// 0 to 59.
    Minute,
    /// 1 to 12.
    Month,
    /// The year.
    Year,
}

impl DatePart {
    const ALL: [Self; 8] = [
        Self::DayOfMonth,
        Self::DayOfWeek,
        Self::DayOfYear,
        Self::DaysInMonth,
        Self::Hour,
        Self::Minute,
        Self::Month,
        Self::Year,
    ];

    /// The part of a PromQL function's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }

    /// PromQL's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::DayOfMonth => "day_of_month",
            Self::DayOfWeek => "day_of_week",
            Self::DayOfYear => "day_of_year",
            Self::DaysInMonth => "days_in_month",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The part of a time in seconds since the epoch, fractions cut off; NaN for a time that no calendar has.
    pub(super) fn of(self, seconds: f64) -> f64 {
        let whole = (!seconds.is_nan()).then_some(seconds as i64);
        let Some(time) = whole.and_then(|s| DateTime::<Utc>::from_timestamp(s, 0)) else {
            return f64::NAN;
        };
        match self {
            Self::DayOfMonth => f64::from(time.day()),
            Self::DayOfWeek => f64::from(time.weekday().num_days_from_sunday()),
            Self::DayOfYear => f64::from(time.ordinal()),
            Self::DaysInMonth => f64::from(time.num_days_in_month()),
            Self::Hour => f64::from(time.hour()),
            Self::Minute => f64::from(time.minute()),
            Self::Month => f64::from(time.month()),
            Self::Year => f64::from(time.year()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_utc() {
        let leap_day = 951_782_400.0 + 3_661.5; // 2000-02-29T01:01:01.5Z, a Tuesday
        let parts = DatePart::ALL.map(|part| part.of(leap_day));
        assert_eq!(parts, [29.0, 2.0, 60.0, 29.0, 1.0, 1.0, 2.0, 2000.0]);
        assert!(DatePart::Year.of(f64::NAN).is_nan());
        assert!(DatePart::Year.of(f64::INFINITY).is_nan());
    }
}
