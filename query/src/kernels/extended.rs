//! Windows that look beyond their edges: the modifiers `anchored` and `smoothed`.
//!
//! An *anchored* window begins with the newest sample at or before its start, which lies up to the look-back before it. A *smoothed*
//! one has values at both of its edges, interpolated between the samples around them. Either way a rate is the difference of
//! the values at the edges, without extrapolation.

use varve_storage::is_stale_nan;

use super::rate::seconds;
use super::{RangeFunction, Samples, Scratch, StepOutput, WindowGrid, live, walk};

/// How far a window reaches beyond the range that is written. The [`WindowGrid`] has the whole reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reach {
    /// Before the start, in milliseconds: the look-back.
    pub before_ms: i64,
    /// After the end: the look-back for `smoothed`, else 0.
    pub after_ms: i64,
    /// Whether values at the edges are interpolated.
    pub smoothed: bool,
}

/// A sample.
type Point = (i64, f64);

/// The value between two samples. A counter that was reset between them began again at 0.
fn interpolated((t1, v1): Point, (t2, v2): Point, at_ms: i64, counter: bool) -> f64 {
    let v1 = if counter && v2 < v1 { 0.0 } else { v1 };
    v1 + (v2 - v1) * (at_ms - t1) as f64 / (t2 - t1) as f64
}

/// The samples of a window with what lies around it.
struct Extended<'a> {
    timestamps: &'a [i64],
    values: &'a [f64],
    start_ms: i64,
    end_ms: i64,
    smoothed: bool,
}

/// The samples at or next to the edges of a window, and the values at the edges.
struct Edges {
    /// Index of the sample at or before the start, or of the first one.
    first: usize,
    /// Index of the sample at or after the end, or of the last one.
    last: usize,
    left: f64,
    right: f64,
}

impl Extended<'_> {
    fn point(&self, index: usize) -> Point {
        (self.timestamps[index], self.values[index])
    }

    /// `None` where nothing lies after the window's start.
    fn edges(&self, counter: bool) -> Option<Edges> {
        let mut last = self.timestamps.len().checked_sub(1)?;
        let before = &self.timestamps[..last];
        let first = before
            .partition_point(|t| *t <= self.start_ms)
            .saturating_sub(1);
        if self.smoothed {
            last = before.partition_point(|t| *t < self.end_ms);
        }
        if self.timestamps[last] <= self.start_ms {
            return None;
        }
        let mut left = self.values[first];
        if self.smoothed && self.timestamps[first] < self.start_ms {
            left = interpolated(
                self.point(first),
                self.point(first + 1),
                self.start_ms,
                counter,
            );
        }
        let mut right = self.values[last];
        if self.smoothed && last > 0 && self.timestamps[last] > self.end_ms {
            right = interpolated(self.point(last - 1), self.point(last), self.end_ms, counter);
        }
        Some(Edges {
            first,
            last,
            left,
            right,
        })
    }

    /// The samples strictly within the window, between those at the edges.
    fn inside(&self, edges: &Edges) -> std::ops::Range<usize> {
        let from = edges.first + usize::from(self.timestamps[edges.first] <= self.start_ms);
        let to = edges.last + usize::from(self.timestamps[edges.last] < self.end_ms);
        from..to.max(from)
    }

    fn increase(&self, counter: bool) -> Option<f64> {
        let edges = self.edges(counter)?;
        if self.smoothed && self.timestamps[edges.first] > self.end_ms {
            return None;
        }
        let mut increase = edges.right - edges.left;
        if counter {
            let (mut before, mut lost) = (edges.left, 0.0);
            for &value in &self.values[self.inside(&edges)] {
                if value < before {
                    lost += before;
                }
                before = value;
            }
            if edges.right < before {
                lost += before;
            }
            increase += lost;
        }
        Some(increase)
    }

    /// How often a property holds of neighbours, from the anchor on.
    fn pairs(&self, property: impl Fn(f64, f64) -> bool) -> Option<f64> {
        let after = self.timestamps.partition_point(|t| *t <= self.start_ms);
        if after == self.timestamps.len() {
            return None;
        }
        let values = &self.values[after.saturating_sub(1)..];
        let pairs = values.iter().zip(&values[1..]);
        Some(pairs.filter(|(a, b)| property(**a, **b)).count() as f64)
    }
}

/// Evaluates a range function over extended windows.
pub fn evaluate_extended(
    function: RangeFunction,
    reach: Reach,
    samples: Samples<'_>,
    windows: &WindowGrid,
    scratch: &mut Scratch,
    out: &mut StepOutput<'_>,
) {
    live(samples, scratch, |samples, _| {
        walk(samples, windows, out, |step, timestamps, values| {
            let window = Extended {
                timestamps,
                values,
                start_ms: windows.start_ms(step).saturating_add(reach.before_ms),
                end_ms: windows.end_ms(step).saturating_sub(reach.after_ms),
                smoothed: reach.smoothed,
            };
            match function {
                RangeFunction::Delta => window.increase(false),
                RangeFunction::Increase => window.increase(true),
                RangeFunction::Rate => {
                    let range_ms = windows.range_ms - reach.before_ms - reach.after_ms;
                    let increase = window.increase(true)?;
                    Some(increase / seconds(range_ms))
                }
                RangeFunction::Changes => {
                    window.pairs(|a, b| a != b && !(a.is_nan() && b.is_nan()))
                }
                RangeFunction::Resets => window.pairs(|a, b| b < a),
                _ => None,
            }
        });
    });
}

/// Evaluates a smoothed instant selector: the value at the step, between the samples around it. The windows reach the look-back to
/// both sides.
pub fn evaluate_smoothed(
    lookback_ms: i64,
    samples: Samples<'_>,
    windows: &WindowGrid,
    scratch: &mut Scratch,
    out: &mut StepOutput<'_>,
) {
    live(samples, scratch, |samples, _| {
        walk(samples, windows, out, |step, timestamps, values| {
            let at_ms = windows.end_ms(step).saturating_sub(lookback_ms);
            let next = timestamps.partition_point(|t| *t < at_ms);
            let after = timestamps.get(next).zip(values.get(next));
            let after = after.map(|(t, v)| (*t, *v));
            let before = next.checked_sub(1).map(|i| (timestamps[i], values[i]));
            match (before, after) {
                (_, Some((time_ms, value))) if time_ms == at_ms => Some(value),
                (Some(before), Some(after)) => Some(interpolated(before, after, at_ms, false)),
                (Some((_, value)), None) => Some(value),
                (None, _) => None,
            }
        });
    });
}

/// The samples of an extended window as an instant query for a range vector shows them: those inside, and the values at both edges.
/// `samples` are those of the whole reach.
pub fn extended_samples(
    samples: &[Point],
    range_ms: i64,
    end_ms: i64,
    smoothed: bool,
) -> Vec<Point> {
    let samples = samples.iter().filter(|(_, value)| !is_stale_nan(*value));
    let (timestamps, values): (Vec<i64>, Vec<f64>) = samples.copied().unzip();
    let window = Extended {
        timestamps: &timestamps,
        values: &values,
        start_ms: end_ms.saturating_sub(range_ms),
        end_ms,
        smoothed,
    };
    let Some(edges) = window.edges(false) else {
        return Vec::new();
    };
    let inside = window.inside(&edges).map(|index| window.point(index));
    let mut points = vec![(window.start_ms, edges.left)];
    points.extend(inside);
    points.push((end_ms, edges.right));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window<'a>(timestamps: &'a [i64], values: &'a [f64], smoothed: bool) -> Extended<'a> {
        Extended {
            timestamps,
            values,
            start_ms: 1_000,
            end_ms: 2_000,
            smoothed,
        }
    }

    #[test]
    fn an_anchored_increase_begins_before_the_window() {
        let of = |t: &[i64], v: &[f64]| window(t, v, false).increase(true);
        assert_eq!(of(&[500, 1_500, 1_900], &[1.0, 2.0, 4.0]), Some(3.0));
        assert_eq!(of(&[100, 500, 1_500], &[9.0, 1.0, 2.0]), Some(1.0));
        // Without a sample before, it begins with the first one inside; a reset is added.
        assert_eq!(of(&[1_200, 1_500, 1_900], &[5.0, 2.0, 3.0]), Some(3.0));
        assert_eq!(of(&[400, 500], &[1.0, 2.0]), None);
        assert_eq!(of(&[], &[]), None);
        assert_eq!(
            window(&[500, 1_500], &[1.0, 2.0], false).pairs(|a, b| a != b),
            Some(1.0)
        );
        assert_eq!(window(&[500], &[1.0], false).pairs(|a, b| a != b), None);
    }

    #[test]
    fn a_smoothed_increase_lies_between_interpolated_edges() {
        let of = |t: &[i64], v: &[f64]| window(t, v, true).increase(true);
        assert_eq!(of(&[500, 1_500, 2_500], &[0.0, 10.0, 20.0]), Some(10.0));
        // A reset between the samples around the start: the counter began at 0.
        assert_eq!(of(&[500, 1_500, 2_500], &[99.0, 10.0, 20.0]), Some(10.0));
        assert_eq!(of(&[2_500, 3_000], &[1.0, 2.0]), None);
    }

    #[test]
    fn a_range_vector_shows_the_values_at_the_edges() {
        let samples = [(500, 0.0), (1_500, 10.0), (2_500, 20.0)];
        let want = [(1_000, 5.0), (1_500, 10.0), (2_000, 15.0)];
        assert_eq!(extended_samples(&samples, 1_000, 2_000, true), want);
        let anchored = [(1_000, 0.0), (1_500, 10.0), (2_000, 10.0)];
        assert_eq!(
            extended_samples(&samples[..2], 1_000, 2_000, false),
            anchored
        );
        assert_eq!(extended_samples(&[], 1_000, 2_000, true), []);
    }
}
