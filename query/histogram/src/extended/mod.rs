//! Windows that look beyond their edges: the modifiers `anchored` and `smoothed`.
//!
//! An *anchored* window begins with the newest sample at or before its start, which lies up to the look-back before it. A *smoothed*
//! one has values at both of its edges, interpolated between the samples around them. Either way an increase is the difference of the
//! values at the edges, without extrapolation.
//!
//! The points of such a window are those of its whole *reach*, without stale markers: (start − look-back, end] of an anchored window, and
//! (start − look-back, end + look-back] of a smoothed one.

mod increase;
mod smoothed;

use thiserror::Error;
use varve_storage::histogram::CounterResetHint;
use varve_storage::{FloatHistogram, is_stale_nan};

pub use increase::increase;
pub use smoothed::smoothed_at;

use crate::note::{Note, Operation};
use crate::over_time;
use crate::rate::Range;
use crate::sample::{Point, Sample, note_once};

/// A histogram and its time.
type Timed<'a> = (i64, &'a FloatHistogram);

fn is_gauge(histogram: &FloatHistogram) -> bool {
    histogram.counter_reset_hint == CounterResetHint::Gauge
}

/// Adds or subtracts, and notes what does not fit. `None` if it is impossible.
fn combine(
    value: &mut FloatHistogram,
    other: &FloatHistogram,
    operation: Operation,
    notes: &mut Vec<Note>,
) -> Option<()> {
    let combined = match operation {
        Operation::Subtraction => value.sub(other),
        Operation::Addition | Operation::Aggregation => value.add(other),
    };
    match combined {
        Ok(combined) if combined.bounds_reconciled => {
            note_once(notes, Note::MismatchedCustomBuckets(operation));
        }
        Ok(_) => {}
        Err(_) => {
            note_once(notes, Note::MixedExponentialCustom);
            return None;
        }
    }
    Some(())
}

/// `resets` of an anchored window, as [`over_time::resets`] counts them from the anchor on. `None` if nothing lies after the start.
pub fn resets(points: &[Point<'_>], range: Range) -> Option<f64> {
    over_time::resets(from_anchor(points, range)?)
}

/// `changes` of an anchored window, as [`over_time::changes`] counts them from the anchor on. `None` if nothing lies after the start.
pub fn changes(points: &[Point<'_>], range: Range) -> Option<f64> {
    over_time::changes(from_anchor(points, range)?)
}

/// The anchor, of whichever kind it is, and all after it.
fn from_anchor<'a, 'b>(points: &'a [Point<'b>], range: Range) -> Option<&'a [Point<'b>]> {
    let after = points.partition_point(|point| point.time_ms <= range.start_ms);
    if after == points.len() {
        return None;
    }
    points.get(after.saturating_sub(1)..)
}

/// Why an instant query for an extended range vector fails. The message is Prometheus's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RangeVectorError {
    /// A histogram in the reach of an anchored window.
    #[error("anchored modifier is not supported with histograms")]
    Anchored,
    /// A histogram in the reach of a smoothed window.
    #[error("smoothed modifier is not supported with histograms")]
    Smoothed,
}

/// What an instant query for an extended range vector makes its points of: the floats of the reach with their times, without stale markers.
/// A histogram anywhere in the reach fails it, even one that is a stale marker.
pub fn window_floats(
    points: &[Point<'_>],
    smoothed: bool,
) -> Result<Vec<(i64, f64)>, RangeVectorError> {
    let mut floats = Vec::with_capacity(points.len());
    for point in points {
        match point.sample {
            Sample::Histogram(_) if smoothed => return Err(RangeVectorError::Smoothed),
            Sample::Histogram(_) => return Err(RangeVectorError::Anchored),
            Sample::Float(value) if is_stale_nan(value) => {}
            Sample::Float(value) => floats.push((point.time_ms, value)),
        }
    }
    Ok(floats)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::arbitrary::{parsed, window};

    /// Histograms with one bucket, from their counts and counter reset hints.
    pub(super) fn counts(counts: &[(f64, &str)]) -> Vec<FloatHistogram> {
        let text = |(count, hint): &(f64, &str)| {
            let hint = match *hint {
                "" => String::new(),
                hint => format!("counter_reset_hint:{hint}"),
            };
            parsed(&format!("{{{{count:{count} buckets:[{count}] {hint}}}}}"))
        };
        counts.iter().map(text).collect()
    }

    pub(super) fn minutes(start: f64, end: f64) -> Range {
        let ms = |minutes: f64| (minutes * 60_000.0) as i64;
        Range {
            start_ms: ms(start),
            end_ms: ms(end),
        }
    }

    #[test]
    fn resets_and_changes_are_counted_from_the_anchor_on() {
        let values = counts(&[(5.0, ""), (3.0, ""), (3.0, ""), (1.0, "")]);
        let mut points = window(&values);
        let of = |points: &[Point<'_>], range| (resets(points, range), changes(points, range));
        assert_eq!(of(&points, minutes(0.0, 4.0)), (Some(2.0), Some(2.0)));
        assert_eq!(of(&points, minutes(2.0, 4.0)), (Some(1.0), Some(1.0)));
        assert_eq!(of(&points[..3], minutes(2.5, 3.5)), (Some(0.0), Some(0.0)));
        assert_eq!(of(&points, minutes(4.0, 5.0)), (None, None));
        assert_eq!(of(&[], minutes(0.0, 1.0)), (None, None));
        // The newest sample is the anchor, of whichever kind.
        points[1].sample = Sample::Float(9.0);
        points[2].sample = Sample::Float(9.0);
        assert_eq!(of(&points[..3], minutes(2.0, 3.0)), (Some(0.0), Some(0.0)));
        assert_eq!(of(&points, minutes(3.0, 4.0)), (Some(1.0), Some(1.0)));
    }

    #[test]
    fn a_range_vector_has_no_histograms() {
        let float = |time_ms, value| Point::new(time_ms, Sample::Float(value));
        let mut points = vec![float(1, 2.0), float(2, varve_storage::stale_nan())];
        assert_eq!(window_floats(&points, true), Ok(vec![(1, 2.0)]));
        let histogram = parsed("{{}}");
        points.push(Point::new(3, Sample::Histogram(&histogram)));
        for (smoothed, text) in [
            (false, "anchored modifier is not supported with histograms"),
            (true, "smoothed modifier is not supported with histograms"),
        ] {
            let error = window_floats(&points, smoothed).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
    }
}
