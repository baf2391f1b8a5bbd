//! Values between two samples, and smoothed instant selectors.

use varve_storage::FloatHistogram;
use varve_storage::histogram::CounterResetHint;

use super::{Timed, combine, is_gauge};
use crate::note::{Note, Operation};
use crate::sample::{Answer, Point, Sample, Value};

/// Where `at_ms` lies between two times: 0 at the first, 1 at the second.
fn fraction(from_ms: i64, to_ms: i64, at_ms: i64) -> f64 {
    at_ms.wrapping_sub(from_ms) as f64 / to_ms.wrapping_sub(from_ms) as f64
}

/// The histogram between two others. A counter that was reset between them began again at 0.
pub(super) fn interpolated(
    (t1, h1): Timed<'_>,
    (t2, h2): Timed<'_>,
    at_ms: i64,
    is_counter: bool,
    notes: &mut Vec<Note>,
) -> Option<FloatHistogram> {
    if at_ms == t1 {
        return Some(h1.clone());
    }
    let mut value = h2.clone();
    if at_ms == t2 {
        return Some(value);
    }
    let fraction = fraction(t1, t2, at_ms);
    if is_counter && h2.detect_reset(h1) {
        value.mul(fraction);
        return Some(value);
    }
    combine(&mut value, h1, Operation::Subtraction, notes)?;
    value.mul(fraction);
    combine(&mut value, h1, Operation::Addition, notes)?;
    Some(value)
}

/// The value of a smoothed instant selector at `at_ms`. The points are those within the look-back to both sides; both kinds among them
/// have no value, wherever they are.
///
/// Histograms are taken for counters unless both neighbours are gauges, and floats always for gauges.
pub fn smoothed_at(points: &[Point<'_>], at_ms: i64) -> Answer {
    let is_histogram = |point: &Point<'_>| point.sample.histogram().is_some();
    if points.iter().any(is_histogram) && !points.iter().all(is_histogram) {
        return Answer::because(Note::MixedFloatsHistograms);
    }
    let next = points.partition_point(|point| point.time_ms < at_ms);
    let after = points.get(next);
    let before = next.checked_sub(1).and_then(|index| points.get(index));
    let exact = after.filter(|point| point.time_ms == at_ms);
    match (exact.or(before), after) {
        (None, _) => Answer::nothing(),
        (Some(point), _) if point.time_ms == at_ms => alone(point.sample, |_| {}),
        // A hint is about the sample before, not about the value that lasts.
        (Some(point), None) => alone(point.sample, |histogram| {
            histogram.counter_reset_hint = CounterResetHint::Unknown;
        }),
        (Some(before), Some(after)) => between(before, after, at_ms),
    }
}

fn alone(sample: Sample<'_>, change: impl FnOnce(&mut FloatHistogram)) -> Answer {
    let value = match sample {
        Sample::Float(value) => Value::Float(value),
        Sample::Histogram(histogram) => {
            let mut histogram = histogram.clone();
            change(&mut histogram);
            histogram.into()
        }
    };
    Answer {
        value: Some(value),
        notes: Vec::new(),
    }
}

fn between(before: &Point<'_>, after: &Point<'_>, at_ms: i64) -> Answer {
    let (t1, t2) = (before.time_ms, after.time_ms);
    let mut notes = Vec::new();
    let value = match (before.sample, after.sample) {
        (Sample::Float(v1), Sample::Float(v2)) => {
            let elapsed = at_ms.wrapping_sub(t1) as f64;
            let interval = t2.wrapping_sub(t1) as f64;
            Some(Value::Float(v1 + (v2 - v1) * elapsed / interval))
        }
        (Sample::Histogram(h1), Sample::Histogram(h2)) => {
            if h1.uses_custom_buckets() != h2.uses_custom_buckets() {
                return Answer::because(Note::MixedExponentialCustom);
            }
            let is_counter = !(is_gauge(h1) && is_gauge(h2));
            interpolated((t1, h1), (t2, h2), at_ms, is_counter, &mut notes).map(Value::from)
        }
        _ => return Answer::because(Note::MixedFloatsHistograms),
    };
    Answer { value, notes }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::tests::counts;
    use super::*;
    use crate::arbitrary::{parsed, window};
    use crate::text::test_expression;

    #[test]
    fn a_smoothed_value_lies_between_its_neighbours() {
        let values = [
            parsed("{{count:4 sum:8 buckets:[4] counter_reset_hint:not_reset}}"),
            parsed("{{count:12 sum:10 buckets:[6 6] counter_reset_hint:not_reset}}"),
            parsed("{{count:4 sum:2 buckets:[4] counter_reset_hint:reset}}"),
        ];
        let points = window(&values);
        let at = |minutes: f64| {
            let answer = smoothed_at(&points, (minutes * 60_000.0) as i64);
            assert_eq!(answer.notes, []);
            answer.histogram().map(test_expression)
        };
        assert_eq!(at(0.9), None);
        for (minutes, expected) in [
            (
                1.0,
                "{{count:4 sum:8 counter_reset_hint:not_reset buckets:[4]}}",
            ),
            (
                1.5,
                "{{count:8 sum:9 counter_reset_hint:not_reset buckets:[5 3]}}",
            ),
            // The counter was reset, and grew from 0.
            (
                2.25,
                "{{count:1 sum:0.5 counter_reset_hint:reset buckets:[1]}}",
            ),
            (
                3.0,
                "{{count:4 sum:2 counter_reset_hint:reset buckets:[4]}}",
            ),
            (3.1, "{{count:4 sum:2 buckets:[4]}}"),
        ] {
            assert_eq!(at(minutes).as_deref(), Some(expected), "{minutes}");
        }
    }

    #[test]
    fn only_two_gauges_fall() {
        let count = |values: &[(f64, &str)]| {
            let values = counts(values);
            let answer = smoothed_at(&window(&values), 90_000);
            answer.histogram().unwrap().count
        };
        assert_eq!(count(&[(8.0, "gauge"), (4.0, "gauge")]), 6.0);
        assert_eq!(count(&[(8.0, "gauge"), (4.0, "")]), 2.0);
        assert_eq!(count(&[(8.0, ""), (4.0, "gauge")]), 2.0);
    }

    #[test]
    fn smoothed_neighbours_may_not_fit() {
        let values = [
            parsed("{{schema:-53 count:5 custom_values:[1 2] buckets:[5]}}"),
            parsed("{{schema:-53 count:6 custom_values:[2 3] buckets:[6]}}"),
            parsed("{{count:4 buckets:[4]}}"),
        ];
        let points = window(&values);
        let answer = smoothed_at(&points, 90_000);
        assert_eq!(
            answer.notes,
            [
                Note::MismatchedCustomBuckets(Operation::Subtraction),
                Note::MismatchedCustomBuckets(Operation::Addition)
            ]
        );
        assert_eq!(
            test_expression(answer.histogram().unwrap()),
            "{{schema:-53 count:5.5 custom_values:[2] buckets:[5.5]}}"
        );
        let mixed = Answer::because(Note::MixedExponentialCustom);
        assert_eq!(smoothed_at(&points, 150_000), mixed);
        // Where there is a sample, its neighbours do not matter.
        assert_eq!(smoothed_at(&points, 180_000).notes, []);
    }

    #[test]
    fn smoothed_floats_are_gauges() {
        let point = |time_ms, value| Point::new(time_ms, Sample::Float(value));
        let points = [point(100, 8.0), point(200, 4.0)];
        for (at_ms, expected) in [
            (99, None),
            (100, Some(8.0)),
            (125, Some(7.0)),
            (200, Some(4.0)),
            (201, Some(4.0)),
        ] {
            let answer = smoothed_at(&points, at_ms);
            assert_eq!(answer.value, expected.map(Value::Float), "{at_ms}");
        }
    }

    #[test]
    fn a_float_anywhere_around_is_a_mix() {
        let values = counts(&[(1.0, ""), (2.0, ""), (3.0, "")]);
        let mut points = window(&values);
        points[0].sample = Sample::Float(1.0);
        let mixed = Answer::because(Note::MixedFloatsHistograms);
        assert_eq!(smoothed_at(&points, 180_000), mixed);
        assert_eq!(smoothed_at(&points, 30_000), mixed);
        assert_eq!(smoothed_at(&[], 0), Answer::nothing());
    }
}
