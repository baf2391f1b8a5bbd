//! `rate`, `increase` and `delta` of windows with histograms.

use varve_storage::FloatHistogram;
use varve_storage::histogram::CounterResetHint;

use crate::note::{Note, Operation};
use crate::sample::{Answer, Point, note_once, only_histograms};

/// Windows whose first sample is nearer to the start than this many intervals between samples reach to the start; likewise at the end.
const EXTRAPOLATION_INTERVALS: f64 = 1.1;

/// Which of the three functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The increase of a counter in a second.
    Rate,
    /// The increase of a counter in the window.
    Increase,
    /// The difference of a gauge over the window.
    Delta,
}

/// The interval of a window: (start, end].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The start, which is not part of it.
    pub start_ms: i64,
    /// The end.
    pub end_ms: i64,
}

/// Applies a function to a window. A rate needs two samples, or one that has been counted since some time in the window.
pub fn rate(points: &[Point<'_>], range: Range, function: Function) -> Answer {
    let histograms = match only_histograms(points) {
        Ok(histograms) => histograms,
        Err(answer) => return answer,
    };
    let (Some((first_ms, first)), Some((last_ms, _))) = (histograms.first(), histograms.last())
    else {
        return Answer::nothing();
    };
    let is_counter = function != Function::Delta;
    let start = points.first().map(Point::counted);
    let start_ms = start.filter(|_| is_counter);
    let start_ms = start_ms.and_then(|counted| counted.start_after(range.start_ms));
    let mut notes = Vec::new();
    let mut value = match (histograms.len(), start_ms) {
        (0..2, None) => return Answer::nothing(),
        (0..2, Some(_)) => FloatHistogram::clone(first),
        (_, start_ms) => {
            let mut value = match difference(points, &histograms, is_counter, &mut notes) {
                Ok(value) => value,
                Err(notes) => return Answer { value: None, notes },
            };
            // The counter was 0 at its start, so the first sample is part of the increase.
            if start_ms.is_some() {
                match value.add(first) {
                    Ok(combined) if combined.bounds_reconciled => {
                        note_once(
                            &mut notes,
                            Note::MismatchedCustomBuckets(Operation::Addition),
                        );
                    }
                    Ok(_) => {}
                    Err(_) => {
                        note_once(&mut notes, Note::MixedExponentialCustom);
                        return Answer { value: None, notes };
                    }
                }
            }
            value
        }
    };
    let sampled = Sampled {
        first_ms: *first_ms,
        last_ms: *last_ms,
        intervals: histograms.len() - 1,
    };
    let counts = is_counter.then_some((first.count, value.count));
    let mut factor = match start_ms {
        Some(start_ms) => sampled.extrapolation_since(start_ms, range),
        None => sampled.extrapolation(range, counts),
    };
    if function == Function::Rate {
        factor /= seconds(range.end_ms.saturating_sub(range.start_ms));
    }
    value.mul(factor);
    Answer::of(value, notes)
}

/// Seconds as Go's `Duration.Seconds` computes them.
pub(crate) fn seconds(duration_ms: i64) -> f64 {
    (duration_ms / 1000) as f64 + ((duration_ms % 1000) * 1_000_000) as f64 / 1e9
}

struct Sampled {
    first_ms: i64,
    last_ms: i64,
    /// Samples less one.
    intervals: usize,
}

fn between(from_ms: i64, to_ms: i64) -> f64 {
    to_ms.wrapping_sub(from_ms) as f64 / 1000.0
}

impl Sampled {
    /// By how much a difference between the first and the last sample grows if the window is as long as it should be. For a counter, `counts` are
    /// the observations at the first sample and their increase: the window does not begin before the counter was 0.
    fn extrapolation(&self, range: Range, counts: Option<(f64, f64)>) -> f64 {
        let mut to_start = between(range.start_ms, self.first_ms);
        let mut to_end = between(self.last_ms, range.end_ms);
        let sampled = between(self.first_ms, self.last_ms);
        let interval = sampled / self.intervals as f64;
        let threshold = interval * EXTRAPOLATION_INTERVALS;
        if to_start >= threshold {
            to_start = interval / 2.0;
        }
        if let Some((first, increase)) =
            counts.filter(|(first, increase)| *increase > 0.0 && *first >= 0.0)
        {
            let to_zero = sampled * (first / increase);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        if to_end >= threshold {
            to_end = interval / 2.0;
        }
        if sampled == 0.0 {
            1.0
        } else {
            (sampled + to_start + to_end) / sampled
        }
    }

    /// The same for an increase since a time before the first sample, at which the counter was 0: nothing is added in front of it. Behind
    /// a single sample nothing is added either, for want of an interval.
    fn extrapolation_since(&self, start_ms: i64, range: Range) -> f64 {
        let mut to_end = between(self.last_ms, range.end_ms);
        let interval = match self.intervals {
            0 => 0.0,
            intervals => between(self.first_ms, self.last_ms) / intervals as f64,
        };
        if to_end >= interval * EXTRAPOLATION_INTERVALS {
            to_end = interval / 2.0;
        }
        let sampled = between(start_ms, self.last_ms);
        if sampled == 0.0 {
            1.0
        } else {
            (sampled + to_end) / sampled
        }
    }
}

/// The difference between the last and the first of at least two histograms, plus what the counter lost in resets. An error is all that is
/// to be noted if there is none. `points` are the histograms with their start timestamps.
fn difference(
    points: &[Point<'_>],
    histograms: &[(i64, &FloatHistogram)],
    is_counter: bool,
    notes: &mut Vec<Note>,
) -> Result<FloatHistogram, Vec<Note>> {
    let values: Vec<&FloatHistogram> = histograms.iter().map(|(_, value)| *value).collect();
    let [first, second, ..] = &values[..] else {
        return Err(Vec::new());
    };
    let pairs = points.iter().zip(points.iter().skip(1));
    let counted = pairs.map(|(before, after)| (before.counted(), after.counted()));
    let began_anew: Vec<bool> = counted
        .clone()
        .map(|(before, after)| after.begins_anew(before))
        .collect();
    let last = values.last().unwrap_or(second);
    let is_gauge = |value: &FloatHistogram| value.counter_reset_hint == CounterResetHint::Gauge;
    if is_counter && (is_gauge(first) || is_gauge(last)) {
        note_once(notes, Note::NotCounter);
    }
    // The layout of a first sample from before a reset does not matter.
    let nothing = FloatHistogram {
        schema: second.schema,
        custom_values: second.custom_values.clone(),
        ..FloatHistogram::default()
    };
    let first_anew = began_anew.first() == Some(&true);
    let was_reset = is_counter && (first_anew || second.detect_reset(first));
    let before = if was_reset { &nothing } else { *first };
    let custom = before.uses_custom_buckets();
    if last.uses_custom_buckets() != custom {
        note_once(notes, Note::MixedExponentialCustom);
        return Err(std::mem::take(notes));
    }
    let mut schema = last.schema.min(before.schema);
    if is_counter {
        for value in values.iter().skip(1).take(values.len() - 2) {
            if is_gauge(value) {
                note_once(notes, Note::NotCounter);
            }
            schema = schema.min(value.schema);
            if value.uses_custom_buckets() != custom {
                return Err(vec![Note::MixedExponentialCustom]);
            }
        }
    }
    let mut result = last.at_schema(schema);
    let mismatch = |_| vec![Note::MixedExponentialCustom];
    if result.sub(before).map_err(mismatch)?.bounds_reconciled {
        note_once(notes, Note::MismatchedCustomBuckets(Operation::Subtraction));
    }
    if is_counter {
        if counted
            .into_iter()
            .any(|(before, after)| after.overlaps(before))
        {
            note_once(notes, Note::StartTimeOverlap);
        }
        let mut previous = before;
        for (value, anew) in values.iter().skip(1).zip(began_anew) {
            if (anew || value.detect_reset(previous))
                && result.add(previous).map_err(mismatch)?.bounds_reconciled
            {
                note_once(notes, Note::MismatchedCustomBuckets(Operation::Addition));
            }
            previous = value;
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        note_once(notes, Note::NotGauge);
    }
    result.counter_reset_hint = CounterResetHint::Gauge;
    result.compact(0);
    Ok(result)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{any_histogram, parsed, window};
    use crate::text::test_expression;

    /// The samples are a minute apart, from minute 1 on.
    fn answer(texts: &[&str], minutes: i64, function: Function) -> (String, Vec<Note>) {
        let values: Vec<_> = texts.iter().map(|text| parsed(text)).collect();
        let range = Range {
            start_ms: 0,
            end_ms: minutes * 60_000,
        };
        let answer = rate(&window(&values), range, function);
        let text = answer.histogram().map(test_expression).unwrap_or_default();
        (text, answer.notes)
    }

    #[test]
    fn counters_increase_and_are_reset() {
        for (texts, minutes, function, expected) in [
            (
                [
                    "{{count:10 sum:10 buckets:[10]}}",
                    "{{count:20 sum:30 buckets:[20]}}",
                ],
                3,
                Function::Increase,
                "{{count:30 sum:60 counter_reset_hint:gauge buckets:[30]}}",
            ),
            (
                [
                    "{{count:10 sum:10 buckets:[10]}}",
                    "{{count:20 sum:30 buckets:[20]}}",
                ],
                3,
                Function::Rate,
                "{{count:0.16666666666666666 sum:0.3333333333333333 counter_reset_hint:gauge buckets:[0.16666666666666666]}}",
            ),
            // A reset: all of the second sample is new. The series does not begin before it was 0.
            (
                [
                    "{{schema:-53 custom_values:[1] count:9 buckets:[9]}}",
                    "{{count:4 sum:8 buckets:[4]}}",
                ],
                2,
                Function::Increase,
                "{{count:8 sum:16 counter_reset_hint:gauge buckets:[8]}}",
            ),
            (
                ["{{count:1 buckets:[1]}}", "{{count:5 buckets:[5]}}"],
                2,
                Function::Increase,
                "{{count:5 counter_reset_hint:gauge buckets:[5]}}",
            ),
        ] {
            assert_eq!(
                answer(&texts, minutes, function),
                (expected.to_owned(), vec![]),
                "{texts:?}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_noted() {
        let gauge = "{{count:2 counter_reset_hint:gauge buckets:[2]}}";
        let counter = "{{count:4 buckets:[4]}}";
        let custom = "{{schema:-53 count:5 custom_values:[1 2] buckets:[5]}}";
        let other = "{{schema:-53 count:6 custom_values:[2] buckets:[6]}}";
        for (texts, function, notes) in [
            (vec![gauge, counter], Function::Rate, vec![Note::NotCounter]),
            (
                vec![counter, gauge, counter],
                Function::Rate,
                vec![Note::NotCounter],
            ),
            (vec![gauge, counter], Function::Delta, vec![Note::NotGauge]),
            (vec![gauge, gauge], Function::Delta, vec![]),
            (
                vec![counter, custom],
                Function::Delta,
                vec![Note::MixedExponentialCustom],
            ),
            (
                vec![custom, counter, other],
                Function::Rate,
                vec![Note::MixedExponentialCustom],
            ),
            (
                vec![custom, other],
                Function::Increase,
                vec![Note::MismatchedCustomBuckets(Operation::Subtraction)],
            ),
            (vec![counter], Function::Rate, vec![]),
        ] {
            assert_eq!(answer(&texts, 3, function).1, notes, "{texts:?}");
        }
    }

    /// The counts of `rate` and what is noted; samples are (start timestamp, count) a minute apart.
    fn counted(samples: &[(i64, f64)], minutes: i64) -> (Option<f64>, Vec<Note>) {
        let texts = samples
            .iter()
            .map(|(_, count)| format!("{{{{count:{count} buckets:[{count}]}}}}"));
        let values: Vec<_> = texts.map(|text| parsed(&text)).collect();
        let mut points = window(&values);
        for (point, (start_ms, _)) in points.iter_mut().zip(samples) {
            point.start_ms = *start_ms;
        }
        let range = Range {
            start_ms: 0,
            end_ms: minutes * 60_000,
        };
        let answer = rate(&points, range, Function::Increase);
        (answer.histogram().map(|value| value.count), answer.notes)
    }

    #[test]
    fn start_timestamps_end_guesses() {
        // Alone, but counted since within the window.
        assert_eq!(counted(&[(30_000, 5.0)], 3), (Some(5.0), vec![]));
        assert_eq!(counted(&[(0, 5.0)], 3), (None, vec![]));
        assert_eq!(counted(&[(60_000, 5.0)], 3), (None, vec![]));
        // A delta: each sample is the increase since the one before.
        assert_eq!(
            counted(&[(1, 5.0), (60_000, 6.0), (120_000, 7.0)], 3).0,
            Some(18.0)
        );
        // From the start to the end of the window, of which two thirds have samples.
        assert_eq!(
            counted(&[(30_000, 5.0), (30_000, 9.0)], 3).0,
            Some(9.0 * (90.0 + 60.0) / 90.0)
        );
        // Counted again, and so perhaps twice.
        let overlap = counted(&[(-10, 5.0), (59_999, 9.0)], 2);
        assert_eq!(overlap.1, [Note::StartTimeOverlap]);
    }

    proptest! {
        #[test]
        fn any_window_has_a_rate_or_none(
            values in prop::collection::vec(any_histogram(), 0..4),
            starts in prop::collection::vec(prop_oneof![0..240_000i64, any::<i64>()], 4),
            start_ms: i64,
            end_ms: i64,
        ) {
            for function in [Function::Rate, Function::Delta] {
                let mut points = window(&values);
                rate(&points, Range { start_ms, end_ms }, function);
                for (point, start_ms) in points.iter_mut().zip(&starts) {
                    point.start_ms = *start_ms;
                }
                rate(&points, Range { start_ms, end_ms }, function);
            }
        }
    }
}
