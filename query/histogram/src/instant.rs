//! `irate` and `idelta`: the last two samples of a window.

use varve_storage::histogram::CounterResetHint;

use crate::note::{Note, Operation};
use crate::sample::{Answer, Point, Sample};

/// Which of the two functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The increase of a counter in a second.
    Irate,
    /// The difference of a gauge.
    Idelta,
}

/// Applies a function to the last two samples of a window. Two floats are the caller's business.
pub fn instant(points: &[Point<'_>], function: Function) -> Answer {
    let [.., previous, last] = points else {
        return Answer::nothing();
    };
    let interval_ms = last.time_ms.wrapping_sub(previous.time_ms);
    if interval_ms == 0 {
        return Answer::nothing();
    }
    let (before, current) = match (previous.sample, last.sample) {
        (Sample::Histogram(before), Sample::Histogram(current)) => (before, current),
        (Sample::Float(_), Sample::Float(_)) => return Answer::nothing(),
        _ => return Answer::because(Note::MixedFloatsHistograms),
    };
    let gauges = [before, current]
        .into_iter()
        .filter(|value| value.counter_reset_hint == CounterResetHint::Gauge)
        .count();
    let is_rate = function == Function::Irate;
    let mut notes = match (is_rate, gauges) {
        (true, 1..) => vec![Note::NotCounter],
        (false, 0..=1) => vec![Note::NotGauge],
        _ => Vec::new(),
    };
    let mut value = current.clone();
    let began_anew = last.counted().begins_anew(previous.counted());
    if !is_rate || !(began_anew || current.detect_reset(before)) {
        match value.sub(before) {
            Ok(combined) if combined.bounds_reconciled => {
                notes.push(Note::MismatchedCustomBuckets(Operation::Subtraction));
            }
            Ok(_) => {}
            Err(_) => {
                notes.push(Note::MixedExponentialCustom);
                return Answer { value: None, notes };
            }
        }
    }
    value.counter_reset_hint = CounterResetHint::Gauge;
    value.compact(0);
    if is_rate {
        value.div(interval_ms as f64 / 1000.0);
    }
    Answer::of(value, notes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::arbitrary::{parsed, window};
    use crate::text::test_expression;

    fn answer(texts: &[&str], function: Function) -> (String, Vec<Note>) {
        let values: Vec<_> = texts.iter().map(|text| parsed(text)).collect();
        let answer = instant(&window(&values), function);
        let text = answer.histogram().map(test_expression).unwrap_or_default();
        (text, answer.notes)
    }

    #[test]
    fn the_last_two_samples_count() {
        let counters = [
            "{{count:9 buckets:[9]}}",
            "{{count:1 buckets:[1]}}",
            "{{count:7 sum:12 buckets:[7]}}",
        ];
        assert_eq!(
            answer(&counters, Function::Irate),
            (
                "{{count:0.1 sum:0.2 counter_reset_hint:gauge buckets:[0.1]}}".to_owned(),
                vec![]
            )
        );
        // A reset.
        assert_eq!(
            answer(
                &["{{count:9 buckets:[9]}}", "{{count:6 buckets:[6]}}"],
                Function::Irate
            )
            .0,
            "{{count:0.1 counter_reset_hint:gauge buckets:[0.1]}}"
        );
        assert_eq!(
            answer(
                &["{{count:9 buckets:[9]}}", "{{count:6 buckets:[6]}}"],
                Function::Idelta
            ),
            (
                "{{count:-3 counter_reset_hint:gauge buckets:[-3]}}".to_owned(),
                vec![Note::NotGauge]
            )
        );
        assert_eq!(
            answer(&counters[..1], Function::Irate),
            (String::new(), vec![])
        );
    }

    #[test]
    fn a_start_after_the_sample_before_is_a_reset() {
        let values = ["{{count:3 buckets:[3]}}", "{{count:9 buckets:[9]}}"].map(parsed);
        let mut points = window(&values);
        points[1].start_ms = points[0].time_ms + 1;
        for (function, count) in [(Function::Irate, 0.15), (Function::Idelta, 6.0)] {
            let answer = instant(&points, function);
            assert_eq!(answer.histogram().unwrap().count, count, "{function:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_noted() {
        let gauge = "{{count:2 counter_reset_hint:gauge buckets:[2]}}";
        let custom = "{{schema:-53 count:5 custom_values:[1 2] buckets:[5]}}";
        assert_eq!(
            answer(&[gauge, gauge], Function::Irate).1,
            [Note::NotCounter]
        );
        assert_eq!(
            answer(&[custom, gauge], Function::Idelta).1,
            [Note::NotGauge, Note::MixedExponentialCustom]
        );
        let histogram = parsed(gauge);
        let points = [
            Point::new(0, Sample::Float(1.0)),
            Point::new(1, Sample::Histogram(&histogram)),
        ];
        let mixed = instant(&points, Function::Irate);
        assert_eq!(mixed, Answer::because(Note::MixedFloatsHistograms));
    }
}
