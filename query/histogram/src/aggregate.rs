//! `sum` and `avg` over the series of a group, which may have floats and histograms.
//!
//! An accumulator belongs to one group at one step. Samples come in the order of the series, which is part of the result.

use varve_storage::FloatHistogram;
use varve_storage::histogram::{Compensation, kahan_add};

use crate::note::{Note, Operation};
use crate::over_time::{Hints, Mean, add};
use crate::sample::{Answer, Sample, Value, note_once};

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
}

/// The state of one group.
#[derive(Clone, Debug)]
pub struct Accumulator {
    function: Function,
    /// Samples of either kind.
    count: f64,
    floats: Option<Floats>,
    histograms: Histograms,
    hints: Hints,
    notes: Vec<Note>,
}

#[derive(Clone, Debug)]
enum Histograms {
    /// There was none.
    None,
    /// There was one, but a float came first, so that there is no result anyway.
    Mixed,
    /// Exponential and custom buckets met.
    Incompatible,
    Sum(Box<FloatHistogram>, Option<Compensation>),
    Mean(Box<Mean>),
}

/// The sum, or from its overflow on the mean.
#[derive(Clone, Copy, Debug, Default)]
struct Floats {
    value: f64,
    lost: f64,
    incremental: bool,
}

impl Accumulator {
    /// The state before the first sample.
    pub fn new(function: Function) -> Self {
        Self {
            function,
            count: 0.0,
            floats: None,
            histograms: Histograms::None,
            hints: Hints::default(),
            notes: Vec::new(),
        }
    }

    /// Takes the next sample. Returns a note about it that needs the metric name of its series; there is at most one in the life of an
    /// accumulator.
    pub fn push(&mut self, sample: Sample<'_>) -> Option<Note> {
        if matches!(self.histograms, Histograms::Incompatible) {
            return None;
        }
        self.count += 1.0;
        match sample {
            Sample::Float(value) => {
                self.push_float(value);
                None
            }
            Sample::Histogram(histogram) => self.push_histogram(histogram),
        }
    }

    fn push_float(&mut self, value: f64) {
        let Some(floats) = &mut self.floats else {
            // Where histograms came first there is no result, and the number does not matter.
            self.floats = Some(Floats {
                value,
                ..Floats::default()
            });
            return;
        };
        if !floats.incremental {
            let (sum, lost) = kahan_add(value, floats.value, floats.lost);
            if self.function == Function::Sum || !sum.is_infinite() {
                (floats.value, floats.lost) = (sum, lost);
                return;
            }
            floats.incremental = true;
            floats.value /= self.count - 1.0;
            floats.lost /= self.count - 1.0;
        }
        let share = (self.count - 1.0) / self.count;
        (floats.value, floats.lost) = kahan_add(
            value / self.count,
            share * floats.value,
            share * floats.lost,
        );
    }

    fn push_histogram(&mut self, histogram: &FloatHistogram) -> Option<Note> {
        let reconciled = match &mut self.histograms {
            Histograms::None if self.floats.is_some() => {
                self.histograms = Histograms::Mixed;
                return None;
            }
            Histograms::None => {
                self.hints.see(histogram);
                self.histograms = match self.function {
                    Function::Sum => Histograms::Sum(Box::new(histogram.clone()), None),
                    Function::Avg => Histograms::Mean(Box::new(Mean::new(histogram))),
                };
                return None;
            }
            Histograms::Mixed | Histograms::Incompatible => return None,
            Histograms::Sum(sum, compensation) => add(sum, histogram, compensation),
            Histograms::Mean(mean) => mean.push(histogram, self.count),
        };
        self.hints.see(histogram);
        match reconciled {
            Ok(false) => None,
            Ok(true) => {
                let note = Note::MismatchedCustomBuckets(Operation::Aggregation);
                note_once(&mut self.notes, note);
                None
            }
            Err(_) => {
                self.histograms = Histograms::Incompatible;
                Some(Note::MixedExponentialCustom)
            }
        }
    }

    /// The result; nothing without samples, with samples of both kinds, and with exponential and custom buckets.
    pub fn finish(self) -> Answer {
        let mut notes = self.notes;
        let value = match (self.histograms, self.floats) {
            (Histograms::None, None) | (Histograms::Incompatible, None) => None,
            (Histograms::None, Some(floats)) => {
                Some(Value::Float(floats.finish(self.function, self.count)))
            }
            (Histograms::Sum(mut sum, compensation), None) => {
                if let Some(compensation) = &compensation {
                    sum.add_compensation(compensation);
                }
                sum.compact(0);
                Some(Value::Histogram(sum))
            }
            (Histograms::Mean(mean), None) => {
                let mut mean = mean.finish();
                mean.compact(0);
                Some(mean.into())
            }
            (_, _) => {
                note_once(&mut notes, Note::MixedFloatsHistogramsInAggregation);
                None
            }
        };
        if value.is_some() && self.hints.collide() {
            note_once(
                &mut notes,
                Note::CounterResetCollision(Operation::Aggregation),
            );
        }
        Answer { value, notes }
    }
}

impl Floats {
    fn finish(self, function: Function, count: f64) -> f64 {
        if function == Function::Sum || self.incremental {
            self.value + self.lost
        } else {
            self.value / count + self.lost / count
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{any_histogram, parsed, window};
    use crate::over_time::{avg_over_time, sum_over_time};
    use crate::text::test_expression;

    #[test]
    fn floats_and_histograms_do_not_mix() {
        let histogram = parsed("{{count:3 buckets:[3]}}");
        for function in [Function::Sum, Function::Avg] {
            for order in [[true, false], [false, true]] {
                let mut accumulator = Accumulator::new(function);
                for is_float in order {
                    let sample = if is_float {
                        Sample::Float(1.0)
                    } else {
                        Sample::Histogram(&histogram)
                    };
                    assert_eq!(accumulator.push(sample), None);
                }
                let expected = Answer::because(Note::MixedFloatsHistogramsInAggregation);
                assert_eq!(accumulator.finish(), expected);
            }
        }
        assert_eq!(Accumulator::new(Function::Sum).finish(), Answer::nothing());
    }

    #[test]
    fn exponential_and_custom_buckets_do_not_mix() {
        let exponential = parsed("{{count:3 buckets:[3]}}");
        let custom = parsed("{{schema:-53 count:3 custom_values:[1] buckets:[3]}}");
        let mut accumulator = Accumulator::new(Function::Avg);
        assert_eq!(accumulator.push(Sample::Histogram(&exponential)), None);
        let note = accumulator.push(Sample::Histogram(&custom));
        assert_eq!(note, Some(Note::MixedExponentialCustom));
        assert_eq!(accumulator.push(Sample::Float(1.0)), None);
        assert_eq!(accumulator.finish(), Answer::nothing());
    }

    #[test]
    fn floats_are_summed_and_averaged_beyond_their_range() {
        for (function, values, expected) in [
            (Function::Sum, [1.0, 1e100, 1.0, -1e100], 2.0),
            (Function::Avg, [1.0, 1e100, 1.0, -1e100], 0.5),
            (Function::Avg, [1e308, 1e308, 1e308, 1e308], 1e308),
        ] {
            let mut accumulator = Accumulator::new(function);
            for value in values {
                accumulator.push(Sample::Float(value));
            }
            assert_eq!(accumulator.finish().value, Some(Value::Float(expected)));
        }
    }

    #[test]
    fn contradicting_hints_are_noted_beside_the_result() {
        let mut accumulator = Accumulator::new(Function::Sum);
        for text in [
            "{{count:1 buckets:[1] counter_reset_hint:reset}}",
            "{{count:2 offset:1 buckets:[2] counter_reset_hint:not_reset}}",
        ] {
            accumulator.push(Sample::Histogram(&parsed(text)));
        }
        let answer = accumulator.finish();
        assert_eq!(
            answer.notes,
            [Note::CounterResetCollision(Operation::Aggregation)]
        );
        assert_eq!(
            test_expression(answer.histogram().unwrap()),
            "{{count:3 buckets:[1 2]}}"
        );
    }

    proptest! {
        #[test]
        fn series_aggregate_as_samples_of_one_do(values in prop::collection::vec(any_histogram(), 1..5)) {
            for (function, over_time) in [
                (Function::Sum, sum_over_time as fn(&[crate::Point<'_>]) -> Answer),
                (Function::Avg, avg_over_time),
            ] {
                let mut accumulator = Accumulator::new(function);
                for value in &values {
                    accumulator.push(Sample::Histogram(value));
                }
                let mut expected = over_time(&window(&values));
                if let Some(Value::Histogram(histogram)) = &mut expected.value {
                    histogram.compact(0);
                }
                let same = match (accumulator.finish().histogram(), expected.histogram()) {
                    (Some(a), Some(b)) => a.total_cmp(b).is_eq() || !a.count.is_finite() || !a.sum.is_finite(),
                    (a, b) => a.is_none() && b.is_none(),
                };
                prop_assert!(same);
            }
        }
    }
}
