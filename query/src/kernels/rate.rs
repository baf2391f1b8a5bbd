//! `rate`, `increase`, `delta` with extrapolation to the window's edges; `irate`, `idelta`.

use super::{Samples, Scratch, StepOutput, WindowGrid};

/// Which of the three extrapolating functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rate,
    Increase,
    Delta,
}

/// Seconds as Go's `Duration.Seconds` computes them: whole seconds plus the rest, each as a float.
pub(super) fn seconds(ms: i64) -> f64 {
    (ms / 1000) as f64 + ((ms % 1000) * 1_000_000) as f64 / 1e9
}

/// The extrapolating functions.
///
/// The increase of a counter is last - first plus the value before each reset, added in time order. Resets are rare:
/// they are found once per series, so that a step costs O(resets in its window) and not O(samples), with the same bits.
pub(super) fn extrapolated(
    samples: Samples<'_>,
    windows: &WindowGrid,
    kind: Kind,
    scratch: &mut Scratch,
    out: &mut StepOutput<'_>,
) {
    let Samples {
        timestamps: ts,
        values: vs,
    } = samples;
    let resets = &mut scratch.indexes;
    resets.clear();
    if kind != Kind::Delta {
        resets.extend((1..vs.len()).filter(|&i| vs[i] < vs[i - 1]));
    }
    let mut first_reset = 0;
    let range_seconds = seconds(windows.range_ms);
    windows.for_each(ts, |step, lo, hi| {
        if hi - lo < 2 {
            return out.set(step, None);
        }
        while resets.get(first_reset).is_some_and(|i| *i <= lo) {
            first_reset += 1;
        }
        let mut increase = vs[hi - 1] - vs[lo];
        for &i in resets[first_reset..].iter().take_while(|i| **i < hi) {
            increase += vs[i - 1];
        }
        let window = Window::of(windows, step, &ts[lo..hi]);
        let counter_start = (kind != Kind::Delta).then_some(vs[lo]);
        let mut factor = window.extrapolation(increase, counter_start);
        if kind == Kind::Rate {
            factor /= range_seconds;
        }
        out.set(step, Some(increase * factor));
    });
}

/// Where the samples of one window lie.
pub(super) struct Window {
    start_ms: i64,
    end_ms: i64,
    first_ms: i64,
    last_ms: i64,
    /// Samples less one.
    intervals: f64,
}

impl Window {
    /// The window of a step, whose samples have these times; at least one.
    pub(super) fn of(windows: &WindowGrid, step: usize, timestamps: &[i64]) -> Self {
        let last = timestamps.len() - 1;
        Self {
            start_ms: windows.start_ms(step),
            end_ms: windows.end_ms(step),
            first_ms: timestamps[0],
            last_ms: timestamps[last],
            intervals: last as f64,
        }
    }

    /// By how much the increase between the samples grows when it is extended to the window's edges.
    ///
    /// An edge within 1.1 average intervals of its sample is reached; else the series is taken to start or end half an interval
    /// outside. A counter (`counter_start`: its first value) is never extended to before the point where it was zero. There are at least
    /// two samples.
    pub(super) fn extrapolation(&self, increase: f64, counter_start: Option<f64>) -> f64 {
        let mut to_start = (self.first_ms - self.start_ms) as f64 / 1000.0;
        let mut to_end = (self.end_ms - self.last_ms) as f64 / 1000.0;
        let sampled = (self.last_ms - self.first_ms) as f64 / 1000.0;
        let average = sampled / self.intervals;
        let threshold = average * 1.1;
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        if let Some(first) = counter_start {
            let to_zero = if increase > 0.0 && first >= 0.0 {
                sampled * (first / increase)
            } else {
                to_start
            };
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        if sampled == 0.0 {
            return 1.0;
        }
        (sampled + to_start + to_end) / sampled
    }

    /// The same for an increase since a time before the first sample, at which the counter was zero: nothing is added in front of it.
    /// Behind a single sample nothing is added either, for want of an interval.
    pub(super) fn extrapolation_since(&self, counted_since_ms: i64) -> f64 {
        let mut to_end = (self.end_ms - self.last_ms) as f64 / 1000.0;
        let average = match self.intervals {
            0.0 => 0.0,
            intervals => (self.last_ms - self.first_ms) as f64 / 1000.0 / intervals,
        };
        if to_end >= average * 1.1 {
            to_end = average / 2.0;
        }
        let sampled = (self.last_ms - counted_since_ms) as f64 / 1000.0;
        if sampled == 0.0 {
            return 1.0;
        }
        (sampled + to_end) / sampled
    }
}

/// `irate` (`per_second`) and `idelta`: from the last two samples of the window. `began_anew`: the last one is known to come after a reset.
pub(super) fn instant(
    timestamps: &[i64],
    values: &[f64],
    per_second: bool,
    began_anew: bool,
) -> Option<f64> {
    let [.., t0, t1] = *timestamps else {
        return None;
    };
    let [.., v0, v1] = *values else {
        return None;
    };
    if t1 == t0 {
        return None;
    }
    // A counter that is smaller than before was reset: what it shows is its increase since then.
    let was_reset = per_second && (v1 < v0 || began_anew);
    let difference = if was_reset { v1 } else { v1 - v0 };
    Some(if per_second {
        difference / ((t1 - t0) as f64 / 1000.0)
    } else {
        difference
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_summed_as_go_does() {
        assert_eq!(seconds(300_000), 300.0);
        assert_eq!(seconds(1), 0.001);
        // Not always the nearest float to the quotient.
        for ms in [1_001, 15_300, 123_457, 86_399_999] {
            let want = (ms / 1000) as f64 + (ms % 1000) as f64 * 1e6 / 1e9;
            assert_eq!(seconds(ms), want);
        }
    }
}
