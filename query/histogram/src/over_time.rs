//! Windows as a whole: `sum_over_time`, `avg_over_time`, `resets` and `changes`.

use varve_storage::FloatHistogram;
use varve_storage::histogram::{Compensation, CounterResetHint, HistogramError};

use crate::note::{Note, Operation};
use crate::sample::{Answer, Point, Sample, note_once, only_histograms};

/// What the counter reset hints of histograms that are summed up say together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hints {
    reset: bool,
    not_reset: bool,
}

impl Hints {
    pub(crate) fn see(&mut self, histogram: &FloatHistogram) {
        match histogram.counter_reset_hint {
            CounterResetHint::CounterReset => self.reset = true,
            CounterResetHint::NotCounterReset => self.not_reset = true,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
    }

    pub(crate) fn collide(self) -> bool {
        self.reset && self.not_reset
    }
}

/// The mean of histograms: their sum divided at the end, or the mean so far from when the sum is too large for a float.
#[derive(Clone, Debug)]
pub(crate) struct Mean {
    /// The sum; from its overflow on the mean.
    value: FloatHistogram,
    compensation: Option<Compensation>,
    count: f64,
    incremental: bool,
}

impl Mean {
    pub(crate) fn new(first: &FloatHistogram) -> Self {
        Self {
            value: first.clone(),
            compensation: None,
            count: 1.0,
            incremental: false,
        }
    }

    /// Adds a histogram, the `count`th of all samples. Returns whether custom bounds were reconciled.
    pub(crate) fn push(
        &mut self,
        histogram: &FloatHistogram,
        count: f64,
    ) -> Result<bool, HistogramError> {
        self.count = count;
        let mut reconciled = false;
        if !self.incremental {
            let mut sum = self.value.clone();
            let mut compensation = self.compensation.clone();
            reconciled = add(&mut sum, histogram, &mut compensation)?;
            if !sum.has_overflow() {
                (self.value, self.compensation) = (sum, compensation);
                return Ok(reconciled);
            }
            self.incremental = true;
            self.value.div(count - 1.0);
            if let Some(compensation) = &mut self.compensation {
                compensation.div(count - 1.0);
            }
        }
        let share = (count - 1.0) / count;
        if let Some(compensation) = &mut self.compensation {
            compensation.mul(share);
        }
        let mut part = histogram.clone();
        part.div(count);
        self.value.mul(share);
        Ok(add(&mut self.value, &part, &mut self.compensation)? || reconciled)
    }

    /// The mean, not compacted.
    pub(crate) fn finish(mut self) -> FloatHistogram {
        if !self.incremental {
            self.value.div(self.count);
            if let Some(compensation) = &mut self.compensation {
                compensation.div(self.count);
            }
        }
        if let Some(compensation) = &self.compensation {
            self.value.add_compensation(compensation);
        }
        self.value
    }
}

/// Adds with Kahan's summation. Returns whether custom bounds were reconciled.
pub(crate) fn add(
    sum: &mut FloatHistogram,
    histogram: &FloatHistogram,
    compensation: &mut Option<Compensation>,
) -> Result<bool, HistogramError> {
    let compensation = compensation.get_or_insert_with(|| Compensation::of(sum));
    let combined = sum.add_compensated(histogram, compensation)?;
    Ok(combined.bounds_reconciled)
}

/// `sum_over_time` of a window with histograms. Its result is not compacted.
pub fn sum_over_time(points: &[Point<'_>]) -> Answer {
    fold(points, |first, rest, reconciled| {
        let (mut sum, mut compensation) = (first.clone(), None);
        for histogram in rest {
            *reconciled |= add(&mut sum, histogram, &mut compensation)?;
        }
        if let Some(compensation) = &compensation {
            sum.add_compensation(compensation);
        }
        Ok(sum)
    })
}

/// `avg_over_time` of a window with histograms. Its result is not compacted.
pub fn avg_over_time(points: &[Point<'_>]) -> Answer {
    fold(points, |first, rest, reconciled| {
        let (mut mean, mut count) = (Mean::new(first), 1.0);
        for histogram in rest {
            count += 1.0;
            *reconciled |= mean.push(histogram, count)?;
        }
        Ok(mean.finish())
    })
}

type Rest<'a, 'b> = &'a mut dyn Iterator<Item = &'b FloatHistogram>;

fn fold(
    points: &[Point<'_>],
    fold: impl for<'a, 'b> FnOnce(
        &FloatHistogram,
        Rest<'a, 'b>,
        &mut bool,
    ) -> Result<FloatHistogram, HistogramError>,
) -> Answer {
    let histograms = match only_histograms(points) {
        Ok(histograms) => histograms,
        Err(answer) => return answer,
    };
    let mut all = histograms.iter().map(|(_, histogram)| *histogram);
    let Some(first) = all.next() else {
        return Answer::nothing();
    };
    let (mut hints, mut reconciled) = (Hints::default(), false);
    hints.see(first);
    let mut rest = all.inspect(|histogram| hints.see(histogram));
    let Ok(value) = fold(first, &mut rest, &mut reconciled) else {
        return Answer::because(Note::MixedExponentialCustom);
    };
    let mut notes = Vec::new();
    if hints.collide() {
        note_once(
            &mut notes,
            Note::CounterResetCollision(Operation::Aggregation),
        );
    }
    if reconciled {
        note_once(
            &mut notes,
            Note::MismatchedCustomBuckets(Operation::Aggregation),
        );
    }
    Answer::of(value, notes)
}

/// `resets` of a window of samples of either kind: how often the counter was reset, by values or by start timestamps. A change between
/// floats and histograms is a reset.
/// `None` for an empty window.
pub fn resets(points: &[Point<'_>]) -> Option<f64> {
    count_pairs(points, |before, after| {
        after.counted().begins_anew(before.counted())
            || match (before.sample, after.sample) {
                (Sample::Float(before), Sample::Float(after)) => after < before,
                (Sample::Histogram(before), Sample::Histogram(after)) => after.detect_reset(before),
                _ => true,
            }
    })
}

/// `changes` of a window of samples of either kind: how often the value changed. `None` for an empty window.
pub fn changes(points: &[Point<'_>]) -> Option<f64> {
    count_pairs(points, |before, after| {
        match (before.sample, after.sample) {
            (Sample::Float(previous), Sample::Float(current)) => {
                current != previous && !(current.is_nan() && previous.is_nan())
            }
            (Sample::Histogram(previous), Sample::Histogram(current)) => {
                !current.same_data(previous)
            }
            _ => true,
        }
    })
}

fn count_pairs(
    points: &[Point<'_>],
    counts: impl Fn(&Point<'_>, &Point<'_>) -> bool,
) -> Option<f64> {
    let pairs = points.iter().zip(points.iter().skip(1));
    let number = pairs
        .filter(|(previous, current)| counts(previous, current))
        .count();
    (!points.is_empty()).then_some(number as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::arbitrary::{parsed, window};
    use crate::text::test_expression;

    fn histograms(texts: &[&str]) -> Vec<FloatHistogram> {
        texts.iter().map(|text| parsed(text)).collect()
    }

    #[test]
    fn windows_are_summed_and_averaged() {
        let values = histograms(&[
            "{{schema:1 count:3 sum:6 buckets:[1 2]}}",
            "{{count:5 sum:7 buckets:[5]}}",
            "{{count:4 sum:1 offset:2 buckets:[4]}}",
        ]);
        let points = window(&values);
        let text = |answer: Answer| {
            assert_eq!(answer.notes, []);
            test_expression(answer.histogram().unwrap())
        };
        assert_eq!(
            text(sum_over_time(&points)),
            "{{count:12 sum:14 buckets:[6 2 4]}}"
        );
        assert_eq!(
            text(avg_over_time(&points[..2])),
            "{{count:4 sum:6.5 buckets:[3 1]}}"
        );
        assert_eq!(
            text(avg_over_time(&points[..1])),
            "{{schema:1 count:3 sum:6 buckets:[1 2]}}"
        );
    }

    #[test]
    fn a_mean_exists_where_the_sum_is_too_large() {
        let values = histograms(&[
            "{{count:1e308 sum:1e308 buckets:[1e308]}}",
            "{{count:1e308 sum:1e308 buckets:[1e308]}}",
        ]);
        let mean = avg_over_time(&window(&values));
        assert_eq!(mean.histogram(), values.first());
        let sum = sum_over_time(&window(&values));
        assert_eq!(sum.histogram().unwrap().count, f64::INFINITY);
    }

    #[test]
    fn what_does_not_fit_is_noted() {
        let values = histograms(&[
            "{{schema:-53 count:1 custom_values:[1 2] buckets:[1] counter_reset_hint:reset}}",
            "{{schema:-53 count:1 custom_values:[2] buckets:[1] counter_reset_hint:not_reset}}",
            "{{count:1 buckets:[1]}}",
        ]);
        let points = window(&values);
        let sum = sum_over_time(&points[..2]);
        assert_eq!(
            sum.notes,
            [
                Note::CounterResetCollision(Operation::Aggregation),
                Note::MismatchedCustomBuckets(Operation::Aggregation)
            ]
        );
        assert_eq!(
            test_expression(sum.histogram().unwrap()),
            "{{schema:-53 count:2 custom_values:[2] buckets:[2]}}"
        );
        assert_eq!(
            avg_over_time(&points),
            Answer::because(Note::MixedExponentialCustom)
        );
        let mut mixed = points.clone();
        mixed[1].sample = Sample::Float(1.0);
        assert_eq!(
            sum_over_time(&mixed),
            Answer::because(Note::MixedFloatsHistograms)
        );
        assert_eq!(sum_over_time(&mixed[1..2]), Answer::nothing());
    }

    #[test]
    fn resets_and_changes_look_at_both_kinds() {
        let values = histograms(&[
            "{{count:1 buckets:[1]}}",
            "{{count:1 buckets:[1]}}",
            "{{count:2 buckets:[2]}}",
            "{{count:1 buckets:[1]}}",
        ]);
        let mut points = window(&values);
        assert_eq!((resets(&points), changes(&points)), (Some(1.0), Some(2.0)));
        points[1].sample = Sample::Float(5.0);
        points[2].sample = Sample::Float(5.0);
        assert_eq!((resets(&points), changes(&points)), (Some(2.0), Some(2.0)));
        assert_eq!((resets(&[]), changes(&points[..1])), (None, Some(0.0)));
    }

    #[test]
    fn start_timestamps_show_resets_that_values_hide() {
        let values = histograms(&["{{count:1 buckets:[1]}}", "{{count:2 buckets:[2]}}"]);
        let mut points = window(&values);
        assert_eq!(resets(&points), Some(0.0));
        points[1].start_ms = points[1].time_ms - 1;
        assert_eq!((resets(&points), changes(&points)), (Some(1.0), Some(1.0)));
        let floats = [1.0, 2.0];
        for (point, value) in points.iter_mut().zip(floats) {
            point.sample = Sample::Float(value);
        }
        assert_eq!(resets(&points), Some(1.0));
    }
}
