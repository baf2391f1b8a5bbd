//! Samples, stale markers, and which of two samples of one series at one time stands.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::columns::NO_START_MS;
use crate::histogram::FloatHistogram;

/// The bits of the NaN that says "this series ends here" (Prometheus's `value.StaleNaN`).
pub const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

/// The stale marker as a float.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN)
}

/// Whether a value is the stale marker. Any other NaN is an ordinary value.
pub fn is_stale_nan(value: f64) -> bool {
    value.to_bits() == STALE_NAN
}

/// The value of one sample. A native histogram's stale marker is a histogram whose `sum` is [`stale_nan`].
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

impl SampleValue {
    /// Whether it is the stale marker of either kind.
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Float(value) => is_stale_nan(*value),
            Self::Histogram(histogram) => is_stale_nan(histogram.sum),
        }
    }

    /// The float, if it is one.
    pub fn float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Histogram(_) => None,
        }
    }
}

/// Orders two float samples of one series at one time; the greater one stands.
///
/// The rule looks at the values only, never at where or when they were written. It is therefore
/// associative, commutative and idempotent: WAL, table files of any level and every order of merging give one answer.
/// A stale marker loses against any value; else the greater in IEEE 754 total order stands (so NaN beats numbers).
/// A native histogram beats every float, and two of them compare by [`FloatHistogram::total_cmp`].
pub fn compare_duplicates(a: f64, b: f64) -> Ordering {
    match (is_stale_nan(a), is_stale_nan(b)) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.total_cmp(&b),
    }
}

/// Orders two samples of one series at one time, floats and histograms; the greater one stands. See [`compare_duplicates`].
pub fn compare_duplicate_values(a: &SampleValue, b: &SampleValue) -> Ordering {
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => compare_duplicates(*a, *b),
        (SampleValue::Float(_), SampleValue::Histogram(_)) => Ordering::Less,
        (SampleValue::Histogram(_), SampleValue::Float(_)) => Ordering::Greater,
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => a.total_cmp(b),
    }
}

/// Orders two whole samples of one series at one time, each a value and its start timestamp in milliseconds
/// ([`NO_START_MS`]: not known); the greater one stands. Values decide ([`compare_duplicate_values`]). Between equal ones a
/// start timestamp that is known beats one that is not, and else the greater.
pub fn compare_duplicate_samples(a: (&SampleValue, i64), b: (&SampleValue, i64)) -> Ordering {
    compare_duplicate_values(a.0, b.0).then_with(|| compare_starts(a.1, b.1))
}

/// Orders the start timestamps of two samples that are equal otherwise, in milliseconds; see [`compare_duplicate_samples`].
pub fn compare_starts(a_ms: i64, b_ms: i64) -> Ordering {
    let known = |start_ms: i64| (start_ms != NO_START_MS, start_ms);
    known(a_ms).cmp(&known(b_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_bits_are_a_stale_marker() {
        assert!(stale_nan().is_nan() && is_stale_nan(stale_nan()));
        assert!(!is_stale_nan(f64::NAN));
        assert!(!is_stale_nan(f64::from_bits(0x7ff8_0000_0000_0001)));
    }

    #[test]
    fn a_value_beats_a_marker_and_the_greater_value_stands() {
        assert_eq!(
            compare_duplicates(stale_nan(), f64::NEG_INFINITY),
            Ordering::Less
        );
        assert_eq!(compare_duplicates(f64::NAN, stale_nan()), Ordering::Greater);
        assert_eq!(compare_duplicates(1.0, 2.0), Ordering::Less);
        assert_eq!(compare_duplicates(-0.0, 0.0), Ordering::Less);
    }

    #[test]
    fn values_decide_before_start_timestamps() {
        let (one, two) = (SampleValue::Float(1.0), SampleValue::Float(2.0));
        for (a, b, order) in [
            ((&one, 9), (&two, 0), Ordering::Less),
            ((&one, 9), (&one, 8), Ordering::Greater),
            ((&one, 0), (&one, 8), Ordering::Less),
            // Unknown is not the year 1970.
            ((&one, -5), (&one, NO_START_MS), Ordering::Greater),
            ((&one, 7), (&one, 7), Ordering::Equal),
        ] {
            assert_eq!(compare_duplicate_samples(a, b), order, "{a:?} {b:?}");
            assert_eq!(compare_duplicate_samples(b, a), order.reverse());
        }
    }
}
