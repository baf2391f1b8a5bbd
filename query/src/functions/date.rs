//! Parts of dates, in UTC.
//!
//! Every number has a date, as in Prometheus: seconds beyond 64 bits and NaN are what amd64 makes of them, the least 64-bit
//! number, and times are counted without sign from a first of March so long ago that the last of them wrap around to the
//! beginning. The calendar is the Gregorian one at all times.

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

    /// The part of a time in seconds since the epoch, fractions cut off.
    pub(super) fn of(self, seconds: f64) -> f64 {
        let time = Time::of(seconds);
        match self {
            Self::DayOfMonth => time.date().day as f64,
            Self::DayOfWeek => time.weekday() as f64,
            Self::DayOfYear => time.date().day_of_year() as f64,
            Self::DaysInMonth => time.date().days_in_month() as f64,
            Self::Hour => (time.second_of_day / 3600) as f64,
            Self::Minute => (time.second_of_day / 60 % 60) as f64,
            Self::Month => time.date().month as f64,
            Self::Year => time.date().year as f64,
        }
    }
}

const SECONDS_PER_DAY: u64 = 86_400;
/// The calendar repeats after 400 years.
const DAYS_PER_ERA: u64 = 146_097;
const YEARS_PER_ERA: i64 = 400;
/// Eras between the first day and the first of March of year 0: those that fit into half of 64 bits of seconds.
const ERAS_BEFORE_YEAR_0: u64 = 730_692_556;
/// Days from the first of March of year 0 to the Unix epoch.
const DAYS_BEFORE_UNIX: u64 = 719_468;

/// A whole second.
struct Time {
    /// Days since a first of March at the beginning of an era.
    day: u64,
    second_of_day: u64,
}

/// A day of the Gregorian calendar.
struct Date {
    year: i64,
    /// 1 to 12.
    month: u64,
    /// 1 to 31.
    day: u64,
}

impl Time {
    fn of(seconds: f64) -> Self {
        const FIRST: u64 = (ERAS_BEFORE_YEAR_0 * DAYS_PER_ERA + DAYS_BEFORE_UNIX) * SECONDS_PER_DAY;
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        let unix = if (-LIMIT..LIMIT).contains(&seconds) {
            seconds as i64
        } else {
            i64::MIN
        };
        let seconds = FIRST.wrapping_add_signed(unix);
        Self {
            day: seconds / SECONDS_PER_DAY,
            second_of_day: seconds % SECONDS_PER_DAY,
        }
    }

    /// 0 for Sunday; eras are whole weeks and begin on a Wednesday.
    fn weekday(&self) -> u64 {
        (self.day + 3) % 7
    }

    /// After H. Hinnant, "chrono-compatible low-level date algorithms": years that begin in March have their leap day last.
    fn date(&self) -> Date {
        let (era, day) = (self.day / DAYS_PER_ERA, self.day % DAYS_PER_ERA);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let months_since_march = (5 * day + 2) / 153;
        let month = (months_since_march + 2) % 12 + 1;
        let year_of_march = (era as i64 - ERAS_BEFORE_YEAR_0 as i64) * YEARS_PER_ERA + year as i64;
        Date {
            year: year_of_march + i64::from(month <= 2),
            month,
            day: day - (153 * months_since_march + 2) / 5 + 1,
        }
    }
}

impl Date {
    fn is_leap_year(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn days_in_month(&self) -> u64 {
        match self.month {
            2 => 28 + u64::from(self.is_leap_year()),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn day_of_year(&self) -> u64 {
        let before = (1..self.month).map(|month| Self { month, ..*self }.days_in_month());
        before.sum::<u64>() + self.day
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
    }

    /// What a real Prometheus answers on amd64.
    #[test]
    fn every_number_has_a_date() {
        let beyond = [4.0, 0.0, 339.0, 31.0, 15.0, 30.0, 12.0, 292277026596.0];
        for (seconds, parts) in [
            (f64::INFINITY, beyond),
            (f64::NEG_INFINITY, beyond),
            (f64::NAN, beyond),
            (1e30, beyond),
            (i64::MIN as f64, beyond),
            (
                1073741824.0,
                [10.0, 6.0, 10.0, 31.0, 13.0, 37.0, 1.0, 2004.0],
            ),
            (
                -9.223372036854775e+18,
                [4.0, 0.0, 339.0, 31.0, 15.0, 47.0, 12.0, 292277026596.0],
            ),
            (-62135596800.0, [1.0, 1.0, 1.0, 31.0, 0.0, 0.0, 1.0, 1.0]),
            (
                -62135596801.0,
                [31.0, 0.0, 366.0, 31.0, 23.0, 59.0, 12.0, 0.0],
            ),
            (-62167219200.0, [1.0, 6.0, 1.0, 31.0, 0.0, 0.0, 1.0, 0.0]),
            (
                -62167219201.0,
                [31.0, 5.0, 365.0, 31.0, 23.0, 59.0, 12.0, -1.0],
            ),
            (
                86400000000000.0,
                [3.0, 3.0, 3.0, 31.0, 0.0, 0.0, 1.0, 2739877.0],
            ),
            (
                -86400000000000.0,
                [29.0, 5.0, 363.0, 31.0, 0.0, 0.0, 12.0, -2735938.0],
            ),
            (
                10000000000000.0,
                [20.0, 0.0, 140.0, 31.0, 17.0, 46.0, 5.0, 318857.0],
            ),
            (
                8210000000000.0,
                [18.0, 0.0, 199.0, 31.0, 3.0, 33.0, 7.0, 262134.0],
            ),
            (
                8220000000000.0,
                [6.0, 2.0, 157.0, 30.0, 21.0, 20.0, 6.0, 262451.0],
            ),
            (
                253402300799.0,
                [31.0, 5.0, 365.0, 31.0, 23.0, 59.0, 12.0, 9999.0],
            ),
            (
                253402300800.0,
                [1.0, 6.0, 1.0, 31.0, 0.0, 0.0, 1.0, 10000.0],
            ),
            (951782400.0, [29.0, 2.0, 60.0, 29.0, 0.0, 0.0, 2.0, 2000.0]),
            (
                951868799.0,
                [29.0, 2.0, 60.0, 29.0, 23.0, 59.0, 2.0, 2000.0],
            ),
            (4107542400.0, [1.0, 1.0, 60.0, 31.0, 0.0, 0.0, 3.0, 2100.0]),
            (-2203891200.0, [1.0, 4.0, 60.0, 31.0, 0.0, 0.0, 3.0, 1900.0]),
            (
                -2203977600.0,
                [28.0, 3.0, 59.0, 28.0, 0.0, 0.0, 2.0, 1900.0],
            ),
            (-0.999, [1.0, 4.0, 1.0, 31.0, 0.0, 0.0, 1.0, 1970.0]),
            (-1.5, [31.0, 3.0, 365.0, 31.0, 23.0, 59.0, 12.0, 1969.0]),
            (59.999, [1.0, 4.0, 1.0, 31.0, 0.0, 0.0, 1.0, 1970.0]),
            (-86400.0, [31.0, 3.0, 365.0, 31.0, 0.0, 0.0, 12.0, 1969.0]),
            (-86401.0, [30.0, 2.0, 364.0, 31.0, 23.0, 59.0, 12.0, 1969.0]),
            (
                -2050222460.3708496,
                [12.0, 4.0, 12.0, 31.0, 13.0, 45.0, 1.0, 1905.0],
            ),
            (
                983481168032.575,
                [12.0, 5.0, 102.0, 30.0, 21.0, 20.0, 4.0, 33135.0],
            ),
            (
                -7.012185370088935e+18,
                [19.0, 2.0, 353.0, 31.0, 3.0, 16.0, 12.0, -222207306585.0],
            ),
            (
                -4753255113454412.0,
                [27.0, 4.0, 239.0, 31.0, 21.0, 46.0, 8.0, -150622689.0],
            ),
            (
                -1885680001.0,
                [31.0, 4.0, 90.0, 31.0, 23.0, 59.0, 3.0, 1910.0],
            ),
            (
                6.675060530446316e+17,
                [24.0, 1.0, 237.0, 31.0, 9.0, 12.0, 8.0, 21152426736.0],
            ),
            (
                -7.341913341826314e+17,
                [13.0, 1.0, 44.0, 28.0, 22.0, 49.0, 2.0, -23265595233.0],
            ),
            (
                6.081262220246174e+18,
                [25.0, 6.0, 268.0, 30.0, 9.0, 8.0, 9.0, 192707530258.0],
            ),
            (
                8.166966430950568e+18,
                [20.0, 3.0, 110.0, 30.0, 5.0, 45.0, 4.0, 258800865594.0],
            ),
            (
                -961813043181.6787,
                [11.0, 1.0, 131.0, 31.0, 14.0, 13.0, 5.0, -28509.0],
            ),
            (
                1.3011288516810322e+18,
                [4.0, 2.0, 216.0, 31.0, 4.0, 56.0, 8.0, 41231133914.0],
            ),
            (
                -742917932329.8531,
                [13.0, 6.0, 317.0, 30.0, 19.0, 41.0, 11.0, -21573.0],
            ),
            (
                300728773806.0647,
                [19.0, 2.0, 262.0, 30.0, 2.0, 30.0, 9.0, 11499.0],
            ),
            (
                2640147360.842251,
                [30.0, 6.0, 242.0, 31.0, 6.0, 16.0, 8.0, 2053.0],
            ),
            (
                1048441335.5128479,
                [23.0, 0.0, 82.0, 31.0, 17.0, 42.0, 3.0, 2003.0],
            ),
            (
                -2253571200.0,
                [3.0, 3.0, 215.0, 31.0, 0.0, 0.0, 8.0, 1898.0],
            ),
            (
                -9.073767239919684e+18,
                [6.0, 5.0, 188.0, 31.0, 22.0, 6.0, 7.0, -287536235368.0],
            ),
        ] {
            let ours = DatePart::ALL.map(|part| part.of(seconds));
            assert_eq!(ours, parts, "{seconds}");
        }
    }
}
