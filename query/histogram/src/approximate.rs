//! Comparing an answer with the one that a test script expects.

use varve_storage::histogram::Span;
use varve_storage::{FloatHistogram, is_stale_nan};

use crate::parse::WrittenHistogram;

/// The relative difference that test scripts forgive.
const TOLERANCE: f64 = 0.000_001;

/// Whether two numbers differ by less than a millionth of their sum. Stale markers are equal to each other only, other NaN to each other.
pub fn nearly_equal(a: f64, b: f64) -> bool {
    if is_stale_nan(a) || is_stale_nan(b) {
        return is_stale_nan(a) && is_stale_nan(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        difference < TOLERANCE * f64::MIN_POSITIVE
    } else {
        difference / sum.min(f64::MAX) < TOLERANCE
    }
}

/// Whether an answer has the populated buckets that a script expects, with nearly the same counts and sum. Bounds are compared exactly, and the counter
/// reset hint if one was written.
pub fn nearly_same(expected: &WrittenHistogram, actual: &FloatHistogram) -> bool {
    let (mut a, mut b) = (expected.histogram.clone(), actual.clone());
    a.compact(0);
    b.compact(0);
    let all = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| nearly_equal(*a, *b))
    };
    let spans = |a: &[Span], b: &[Span]| a == b;
    a.schema == b.schema
        && nearly_equal(a.count, b.count)
        && nearly_equal(a.sum, b.sum)
        && (!a.uses_custom_buckets() || a.custom_values == b.custom_values)
        && a.zero_threshold == b.zero_threshold
        && nearly_equal(a.zero_count, b.zero_count)
        && spans(&a.negative_spans, &b.negative_spans)
        && all(&a.negative_buckets, &b.negative_buckets)
        && spans(&a.positive_spans, &b.positive_spans)
        && all(&a.positive_buckets, &b.positive_buckets)
        && (!expected.has_hint || a.counter_reset_hint == b.counter_reset_hint)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::arbitrary::parsed;
    use crate::parse::parse_histogram;

    #[test]
    fn small_differences_are_forgiven_and_layouts_do_not_matter() {
        for (expected, actual, same) in [
            (
                "{{count:3 buckets:[1 0 2]}}",
                "{{count:3.0000001 buckets:[1 0 2.0000001 0]}}",
                true,
            ),
            (
                "{{count:3 buckets:[1 0 2]}}",
                "{{count:3 buckets:[1 0.1 2]}}",
                false,
            ),
            (
                "{{count:3 buckets:[1]}}",
                "{{count:3 offset:1 buckets:[1]}}",
                false,
            ),
            ("{{count:3}}", "{{count:3 counter_reset_hint:gauge}}", true),
            (
                "{{count:3 counter_reset_hint:unknown}}",
                "{{count:3 counter_reset_hint:gauge}}",
                false,
            ),
            ("{{sum:NaN}}", "{{sum:NaN}}", true),
        ] {
            let (written, _) = parse_histogram(expected).unwrap();
            assert_eq!(
                nearly_same(&written, &parsed(actual)),
                same,
                "{expected} {actual}"
            );
        }
        assert!(!nearly_equal(f64::NAN, varve_storage::stale_nan()));
        assert!(!nearly_equal(0.0, 1e-9));
    }
}
