//! Numbers, durations, times and quoted text as Go and Prometheus write and read them.
//!
//! Clients compare the text of answers, so these follow Go's `strconv`, `time` and Prometheus's `model.Duration` to the
//! last character.

mod duration;
mod float;
mod quote;
mod time;

use thiserror::Error;

pub use duration::{format_duration, parse_duration, parse_duration_or_seconds};
pub use float::{
    format_float, format_float_e, format_float_g, format_sample_value, parse_go_float, parse_number,
};
pub(crate) use quote::{describe_char, quote_char, unquote, unquote_bytes};
pub use quote::{quote, quote_bytes};
pub use time::{format_time, format_timestamp_seconds, parse_time};

/// A text that is not the value it should be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// Not a number.
    #[error("strconv.ParseFloat: parsing {}: invalid syntax", quote(text))]
    Float {
        /// What was given.
        text: String,
    },
    /// A number too large for 64 bits.
    #[error("strconv.ParseFloat: parsing {}: value out of range", quote(text))]
    FloatRange {
        /// What was given.
        text: String,
    },
    /// No text where a duration is needed.
    #[error("empty duration string")]
    EmptyDuration,
    /// Not a duration.
    #[error("not a valid duration string: {}", quote(text))]
    Duration {
        /// What was given.
        text: String,
    },
    /// A duration with an unknown unit.
    #[error("unknown unit {} in duration {}", quote(unit), quote(text))]
    DurationUnit {
        /// The unit.
        unit: String,
        /// What was given.
        text: String,
    },
    /// A duration of more than 292 years.
    #[error("duration out of range")]
    DurationRange,
    /// Neither seconds nor a duration.
    #[error("cannot parse {} to a valid duration", quote(text))]
    DurationOrSeconds {
        /// What was given.
        text: String,
    },
    /// Seconds that do not fit a duration.
    #[error("cannot parse {} to a valid duration. It overflows int64", quote(text))]
    SecondsRange {
        /// What was given.
        text: String,
    },
    /// Neither seconds since the epoch nor RFC 3339.
    #[error("cannot parse {} to a valid timestamp", quote(text))]
    Time {
        /// What was given.
        text: String,
    },
}
