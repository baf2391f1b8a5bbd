//! `rate`, `increase` and `delta` of extended windows.

use varve_storage::FloatHistogram;
use varve_storage::histogram::CounterResetHint;

use super::smoothed::interpolated;
use super::{Timed, combine, is_gauge};
use crate::note::{Note, Operation};
use crate::rate::{Function, Range, seconds};
use crate::sample::{Answer, Point, note_once, only_histograms};

/// The histograms of an extended window's reach.
struct Window<'a> {
    histograms: &'a [Timed<'a>],
    range: Range,
    smoothed: bool,
    is_counter: bool,
}

/// The samples at or next to the edges of a window, by their index, and the values at the edges.
struct Edges<'a> {
    /// The sample at or before the start, else the first one.
    first: usize,
    /// The sample at or after the end, else the last one.
    last: usize,
    /// The sample behind the first one if the value at the start lies between the two and the counter was reset there.
    behind_reset: Option<&'a FloatHistogram>,
    left: FloatHistogram,
    right: FloatHistogram,
}

impl<'a> Window<'a> {
    /// The indexes of the samples at the edges. `None` where nothing lies after the window's start, or all of it after its end.
    fn bounds(&self) -> Option<(usize, usize)> {
        let mut last = self.histograms.len().checked_sub(1)?;
        let (_, before) = self.histograms.split_last()?;
        let first = before
            .partition_point(|(time_ms, _)| *time_ms <= self.range.start_ms)
            .saturating_sub(1);
        if self.smoothed {
            last = before.partition_point(|(time_ms, _)| *time_ms < self.range.end_ms);
        }
        let (first_ms, _) = self.histograms.get(first)?;
        let (last_ms, _) = self.histograms.get(last)?;
        let is_outside = *last_ms <= self.range.start_ms
            || (self.smoothed && *first_ms > self.range.end_ms)
            || first > last;
        (!is_outside).then_some((first, last))
    }

    /// Notes what the samples from one edge to the other have to say. `None` if they have no difference.
    fn check(&self, first: usize, last: usize, notes: &mut Vec<Note>) -> Option<()> {
        let samples = self.histograms.get(first..=last)?;
        let (_, anchor) = samples.first()?;
        for (_, sample) in samples {
            if sample.uses_custom_buckets() != anchor.uses_custom_buckets() {
                note_once(notes, Note::MixedExponentialCustom);
                return None;
            }
            if self.is_counter && is_gauge(sample) {
                note_once(notes, Note::NotCounter);
            }
        }
        Some(())
    }

    fn edges(&self, notes: &mut Vec<Note>) -> Option<Edges<'a>> {
        let (first, last) = self.bounds()?;
        self.check(first, last, notes)?;
        let at = |index: usize| self.histograms.get(index).copied();
        let between = |from: Timed<'_>, to: Timed<'_>, at_ms: i64, notes: &mut Vec<Note>| {
            interpolated(from, to, at_ms, self.is_counter, notes)
        };

        let (first_ms, anchor) = at(first)?;
        let mut behind_reset = None;
        let left = if self.smoothed && first_ms < self.range.start_ms {
            let next = at(first + 1)?;
            let is_reset = self.is_counter && next.1.detect_reset(anchor);
            behind_reset = is_reset.then_some(next.1);
            between((first_ms, anchor), next, self.range.start_ms, notes)?
        } else {
            anchor.clone()
        };
        let (last_ms, newest) = at(last)?;
        let right = match last.checked_sub(1) {
            Some(previous) if self.smoothed && last_ms > self.range.end_ms => {
                between(at(previous)?, (last_ms, newest), self.range.end_ms, notes)?
            }
            _ => newest.clone(),
        };
        Some(Edges {
            first,
            last,
            behind_reset,
            left,
            right,
        })
    }

    /// What the counter lost in resets. `Some(None)` if there was none, `None` if it cannot be summed up.
    fn lost(&self, edges: &Edges<'_>, notes: &mut Vec<Note>) -> Option<Option<FloatHistogram>> {
        // The value at the start is one behind the reset already, so that this reset has cost nothing.
        let (from, mut previous) = match edges.behind_reset {
            Some(next) => (edges.first + 2, next),
            None => (edges.first + 1, &edges.left),
        };
        // Between the edges there is nothing but that reset.
        if from > edges.last {
            return Some(None);
        }
        // The value at the end has the hint of the last sample: to look at both would find one reset twice.
        let inside = self.histograms.get(from..edges.last)?;
        let values = inside.iter().map(|(_, value)| *value);
        let mut lost: Option<FloatHistogram> = None;
        for value in values.chain(std::iter::once(&edges.right)) {
            if value.detect_reset(previous) {
                match &mut lost {
                    Some(sum) => combine(sum, previous, Operation::Addition, notes)?,
                    None => lost = Some(previous.clone()),
                }
            }
            previous = value;
        }
        Some(lost)
    }

    /// The difference between the values at the edges, plus what the counter lost in resets.
    fn increase(&self, notes: &mut Vec<Note>) -> Option<FloatHistogram> {
        let edges = self.edges(notes)?;
        let are_gauges = is_gauge(&edges.left) && is_gauge(&edges.right);
        if !self.is_counter && !are_gauges {
            note_once(notes, Note::NotGauge);
        }
        let mut increase = edges.right.clone();
        combine(&mut increase, &edges.left, Operation::Subtraction, notes)?;
        if self.is_counter
            && let Some(lost) = self.lost(&edges, notes)?
        {
            combine(&mut increase, &lost, Operation::Addition, notes)?;
        }
        Some(increase)
    }
}

/// `rate`, `increase` or `delta` of an extended window whose `points` are those of its reach. Reaches without a histogram are the
/// caller's business. A float anywhere in the reach is one too many.
///
/// One sample is enough: its increase is a histogram of zeros.
pub fn increase(points: &[Point<'_>], range: Range, smoothed: bool, function: Function) -> Answer {
    let histograms = match only_histograms(points) {
        Ok(histograms) => histograms,
        Err(answer) => return answer,
    };
    let window = Window {
        histograms: &histograms,
        range,
        smoothed,
        is_counter: function != Function::Delta,
    };
    let mut notes = Vec::new();
    let Some(mut value) = window.increase(&mut notes) else {
        return Answer { value: None, notes };
    };
    if function == Function::Rate {
        value.div(seconds(range.end_ms.saturating_sub(range.start_ms)));
    }
    value.counter_reset_hint = CounterResetHint::Gauge;
    value.compact(0);
    Answer::of(value, notes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::tests::{counts, minutes};
    use super::super::{resets, smoothed_at};
    use super::*;
    use crate::Sample;
    use crate::arbitrary::{any_histogram, parsed, window};
    use crate::text::test_expression;

    /// The increase of the observations. The samples are a minute apart, from minute 1 on.
    fn increase_of(values: &[(f64, &str)], range: Range, smoothed: bool) -> Option<f64> {
        let values = counts(values);
        let answer = increase(&window(&values), range, smoothed, Function::Increase);
        assert_eq!(answer.notes, []);
        answer.histogram().map(|histogram| histogram.count)
    }

    #[test]
    fn an_anchored_increase_begins_at_the_anchor() {
        let of =
            |values: &[(f64, &str)], start, end| increase_of(values, minutes(start, end), false);
        let plain = [(2.0, ""), (7.0, ""), (15.0, "")];
        assert_eq!(of(&plain, 1.5, 3.0), Some(13.0));
        assert_eq!(of(&plain, 2.0, 3.5), Some(8.0));
        // Without an anchor, the first sample inside.
        assert_eq!(of(&plain, 0.0, 9.0), Some(13.0));
        assert_eq!(of(&plain[..1], 0.0, 9.0), Some(0.0));
        assert_eq!(of(&plain, 3.0, 9.0), None);

        let reset = [(6.0, ""), (9.0, ""), (4.0, ""), (5.0, "")];
        assert_eq!(of(&reset, 1.0, 4.0), Some(8.0));
        // Resets that only the hint tells of count once, at the end too.
        assert_eq!(of(&[(6.0, ""), (8.0, "reset")], 1.0, 2.0), Some(8.0));
        assert_eq!(
            of(&[(6.0, ""), (7.0, "reset"), (8.0, "reset")], 1.0, 9.0),
            Some(15.0)
        );
    }

    #[test]
    fn a_smoothed_increase_lies_between_interpolated_edges() {
        let of =
            |values: &[(f64, &str)], start, end| increase_of(values, minutes(start, end), true);
        let plain = [(2.0, ""), (10.0, ""), (14.0, "")];
        // From 4 to 12.
        assert_eq!(of(&plain, 1.25, 2.5), Some(8.0));
        // From 4 to 8, between the same two samples.
        assert_eq!(of(&plain, 1.25, 1.75), Some(4.0));
        assert_eq!(of(&plain, 0.5, 2.0), Some(8.0));
        assert_eq!(of(&plain, 2.5, 9.0), Some(2.0));
        assert_eq!(of(&plain, 0.25, 0.75), None);
        assert_eq!(of(&plain, 3.0, 4.0), None);

        // A reset around the start: from 2 (of 8) to 10, and the 8 is no loss.
        let at_start = [(40.0, ""), (8.0, "reset"), (10.0, "")];
        assert_eq!(of(&at_start, 1.25, 3.0), Some(8.0));
        assert_eq!(of(&at_start, 1.25, 1.75), Some(4.0));
        // Another one behind it.
        let twice = [(40.0, ""), (8.0, "reset"), (4.0, "reset"), (5.0, "")];
        assert_eq!(of(&twice, 1.25, 4.0), Some(11.0));
        // One around the end: from 5 to 9, and then half of 6.
        let at_end = [(1.0, ""), (9.0, ""), (6.0, "")];
        assert_eq!(of(&at_end, 1.5, 2.5), Some(7.0));
    }

    #[test]
    fn rates_and_deltas_are_gauges() {
        let values = [
            parsed("{{schema:1 count:3 sum:4 buckets:[1 2]}}"),
            parsed("{{count:9 sum:10 buckets:[3 2 4]}}"),
        ];
        let answer = |function| increase(&window(&values), minutes(1.0, 3.0), false, function);
        let text = |answer: &Answer| test_expression(answer.histogram().unwrap());
        let rate = answer(Function::Rate);
        assert_eq!(
            text(&rate),
            "{{count:0.05 sum:0.05 counter_reset_hint:gauge buckets:[0.016666666666666666 0 0.03333333333333333]}}"
        );
        assert_eq!(rate.notes, []);
        let delta = answer(Function::Delta);
        assert_eq!(
            text(&delta),
            "{{count:6 sum:6 counter_reset_hint:gauge buckets:[2 0 4]}}"
        );
        assert_eq!(delta.notes, [Note::NotGauge]);
    }

    #[test]
    fn what_does_not_fit_is_noted() {
        let gauge = "{{count:2 counter_reset_hint:gauge buckets:[2]}}";
        let counter = "{{count:4 buckets:[4]}}";
        let custom = "{{schema:-53 count:5 custom_values:[1 2] buckets:[5]}}";
        let other = "{{schema:-53 count:6 custom_values:[2 3] buckets:[6]}}";
        let common = "{{schema:-53 count:7 custom_values:[2] buckets:[7]}}";
        let mixed = vec![Note::MixedExponentialCustom];
        let reconciled = |operation| Note::MismatchedCustomBuckets(operation);
        for (texts, range, smoothed, function, has_value, notes) in [
            // Only samples from edge to edge matter.
            (
                vec![custom, counter, counter],
                minutes(2.5, 3.0),
                false,
                Function::Rate,
                true,
                vec![],
            ),
            (
                vec![custom, counter, counter],
                minutes(1.5, 3.0),
                false,
                Function::Rate,
                false,
                mixed.clone(),
            ),
            (
                vec![counter, counter, custom],
                minutes(1.0, 2.0),
                true,
                Function::Delta,
                true,
                vec![Note::NotGauge],
            ),
            (
                vec![counter, counter, custom],
                minutes(1.0, 2.5),
                true,
                Function::Delta,
                false,
                mixed,
            ),
            (
                vec![counter, gauge, counter, counter],
                minutes(1.0, 4.0),
                false,
                Function::Rate,
                true,
                vec![Note::NotCounter],
            ),
            (
                vec![gauge, counter, gauge],
                minutes(1.0, 3.0),
                false,
                Function::Delta,
                true,
                vec![],
            ),
            (
                vec![gauge, counter, gauge],
                minutes(1.5, 3.0),
                true,
                Function::Delta,
                true,
                vec![],
            ),
            // Gauges are noted up to where the layout changes.
            (
                vec![gauge, custom, gauge],
                minutes(1.0, 3.0),
                false,
                Function::Increase,
                false,
                vec![Note::NotCounter, Note::MixedExponentialCustom],
            ),
            (
                vec![custom, other],
                minutes(1.0, 2.0),
                false,
                Function::Increase,
                true,
                vec![reconciled(Operation::Subtraction)],
            ),
            (
                vec![custom, other],
                minutes(1.5, 2.0),
                true,
                Function::Increase,
                true,
                vec![
                    reconciled(Operation::Subtraction),
                    reconciled(Operation::Addition),
                ],
            ),
            (
                vec![common, common, custom, other],
                minutes(1.0, 4.0),
                false,
                Function::Increase,
                true,
                vec![reconciled(Operation::Subtraction)],
            ),
            (
                vec![common, custom, other],
                minutes(1.5, 3.0),
                true,
                Function::Increase,
                true,
                vec![reconciled(Operation::Subtraction)],
            ),
        ] {
            let values: Vec<_> = texts.iter().map(|text| parsed(text)).collect();
            let answer = increase(&window(&values), range, smoothed, function);
            assert_eq!(
                (answer.value.is_some(), answer.notes),
                (has_value, notes),
                "{texts:?} {range:?}"
            );
        }
    }

    #[test]
    fn a_float_anywhere_in_the_reach_is_a_mix() {
        let values = counts(&[(1.0, ""), (2.0, ""), (3.0, ""), (4.0, "")]);
        let mut points = window(&values);
        points[0].sample = Sample::Float(1.0);
        let mixed = Answer::because(Note::MixedFloatsHistograms);
        let range = minutes(3.0, 4.0);
        assert_eq!(increase(&points, range, false, Function::Rate), mixed);
        assert_eq!(
            increase(&points[..1], range, false, Function::Rate),
            Answer::nothing()
        );
    }

    proptest! {
        #[test]
        fn any_window_has_an_increase_or_none(
            values in prop::collection::vec(any_histogram(), 0..5),
            times in prop::collection::vec(prop_oneof![0..9i64, any::<i64>()], 5),
            start_ms in prop_oneof![0..9i64, any::<i64>()],
            end_ms in prop_oneof![0..9i64, any::<i64>()],
        ) {
            let mut points = window(&values);
            for (point, time_ms) in points.iter_mut().zip(times) {
                point.time_ms = time_ms;
            }
            let range = Range { start_ms, end_ms };
            for function in [Function::Rate, Function::Delta] {
                increase(&points, range, false, function);
                increase(&points, range, true, function);
            }
            smoothed_at(&points, end_ms);
            resets(&points, range);
        }
    }
}
