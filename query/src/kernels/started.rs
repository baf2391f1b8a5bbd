//! Functions of samples whose start timestamps are known and looked at.
//!
//! They are those of [`super::rate`] and [`super::over_time`] with two differences: a reset may show in the start timestamps alone, and a
//! counter that began within the window was 0 there, so that nothing has to be guessed before its first sample.

use varve_histogram::{Counted, Note};
use varve_storage::columns::NO_START_MS;
use varve_storage::is_stale_nan;

use super::over_time::count_found;
use super::rate::{self, seconds};
use super::{
    InvalidFactor, Lookback, RangeFunction, Reach, Samples, Scratch, StepArg, StepOutput,
    WindowGrid, evaluate_extended, evaluate_instant, evaluate_range,
};

/// The samples of one series with their start timestamps.
#[derive(Clone, Copy, Debug)]
pub struct StartedSamples<'a> {
    /// The samples.
    pub samples: Samples<'a>,
    /// As many start timestamps, in milliseconds; [`NO_START_MS`] where one is not known.
    pub starts: &'a [i64],
}

impl StartedSamples<'_> {
    fn counted(&self, index: usize) -> Counted {
        Counted {
            start_ms: self.starts.get(index).copied().unwrap_or(NO_START_MS),
            time_ms: self.samples.timestamps[index],
        }
    }

    /// Whether the sample at an index, which is not the first, began anew.
    fn began_anew(&self, index: usize) -> bool {
        self.counted(index).begins_anew(self.counted(index - 1))
    }

    fn was_reset(&self, index: usize) -> bool {
        let values = self.samples.values;
        values[index] < values[index - 1] || self.began_anew(index)
    }
}

/// [`evaluate_range`] of samples with start timestamps. Functions that do not look at them give what they give without. `note` is told
/// once for each window in which samples overlap.
pub fn evaluate_range_started(
    function: RangeFunction,
    args: &[StepArg],
    series: StartedSamples<'_>,
    windows: &WindowGrid,
    scratch: &mut Scratch,
    note: &mut dyn FnMut(Note),
    out: &mut StepOutput<'_>,
) -> Result<(), InvalidFactor> {
    if !function.reads_starts() {
        return evaluate_range(function, args, series.samples, windows, scratch, out);
    }
    live(series, scratch, |series, scratch| match function {
        RangeFunction::Rate => increase(series, windows, true, scratch, note, out),
        RangeFunction::Increase => increase(series, windows, false, scratch, note, out),
        RangeFunction::Irate => windows.for_each(series.samples.timestamps, |step, lo, hi| {
            let anew = hi > lo + 1 && series.began_anew(hi - 1);
            let Samples { timestamps, values } = series.samples;
            let value = rate::instant(&timestamps[lo..hi], &values[lo..hi], true, anew);
            out.set(step, value);
        }),
        _ => {
            let Samples { timestamps, values } = series.samples;
            let found = &mut scratch.indexes;
            found.clear();
            found.extend((1..values.len()).filter(|&i| series.was_reset(i)));
            count_found(timestamps, windows, found, out);
        }
    });
    Ok(())
}

/// Hands on the samples without stale markers.
fn live(
    series: StartedSamples<'_>,
    scratch: &mut Scratch,
    f: impl FnOnce(StartedSamples<'_>, &mut Scratch),
) {
    let Samples { timestamps, values } = series.samples;
    if !values.iter().any(|v| is_stale_nan(*v)) {
        return f(series, scratch);
    }
    let mut live_timestamps = std::mem::take(&mut scratch.timestamps);
    let mut live_values = std::mem::take(&mut scratch.values);
    let mut live_starts = std::mem::take(&mut scratch.starts);
    live_timestamps.clear();
    live_values.clear();
    live_starts.clear();
    for (index, value) in values.iter().enumerate() {
        if !is_stale_nan(*value) {
            live_timestamps.push(timestamps[index]);
            live_values.push(*value);
            live_starts.push(series.counted(index).start_ms);
        }
    }
    let samples = Samples {
        timestamps: &live_timestamps,
        values: &live_values,
    };
    let starts = &live_starts;
    f(StartedSamples { samples, starts }, scratch);
    scratch.timestamps = live_timestamps;
    scratch.values = live_values;
    scratch.starts = live_starts;
}

/// `rate` and `increase`; see [`rate::extrapolated`].
fn increase(
    series: StartedSamples<'_>,
    windows: &WindowGrid,
    per_second: bool,
    scratch: &mut Scratch,
    note: &mut dyn FnMut(Note),
    out: &mut StepOutput<'_>,
) {
    let Samples {
        timestamps: ts,
        values: vs,
    } = series.samples;
    let (resets, overlaps) = (&mut scratch.indexes, &mut scratch.overlaps);
    resets.clear();
    resets.extend((1..vs.len()).filter(|&i| series.was_reset(i)));
    overlaps.clear();
    let overlap = |i: &usize| series.counted(*i).overlaps(series.counted(i - 1));
    overlaps.extend((1..vs.len()).filter(overlap));
    let (mut first_reset, mut first_overlap) = (0, 0);
    let range_seconds = seconds(windows.range_ms);
    windows.for_each(ts, |step, lo, hi| {
        if lo == hi {
            return out.set(step, None);
        }
        while resets.get(first_reset).is_some_and(|i| *i <= lo) {
            first_reset += 1;
        }
        while overlaps.get(first_overlap).is_some_and(|i| *i <= lo) {
            first_overlap += 1;
        }
        if overlaps.get(first_overlap).is_some_and(|i| *i < hi) {
            note(Note::StartTimeOverlap);
        }
        let since_ms = series.counted(lo).start_after(windows.start_ms(step));
        if since_ms.is_none() && hi - lo < 2 {
            return out.set(step, None);
        }
        let mut increase = vs[hi - 1] - vs[lo];
        for &i in resets[first_reset..].iter().take_while(|i| **i < hi) {
            increase += vs[i - 1];
        }
        let window = rate::Window::of(windows, step, &ts[lo..hi]);
        let mut factor = match since_ms {
            Some(since_ms) => {
                increase += vs[lo];
                window.extrapolation_since(since_ms)
            }
            None => window.extrapolation(increase, Some(vs[lo])),
        };
        if per_second {
            factor /= range_seconds;
        }
        out.set(step, Some(increase * factor));
    });
}

/// [`evaluate_instant`] of samples with start timestamps.
pub fn evaluate_instant_started(
    lookback: Lookback,
    series: StartedSamples<'_>,
    windows: &WindowGrid,
    out: &mut StepOutput<'_>,
) {
    if lookback != Lookback::Start {
        return evaluate_instant(lookback, series.samples, windows, out);
    }
    let Samples { timestamps, values } = series.samples;
    windows.for_each(timestamps, |step, lo, hi| {
        let newest = (lo < hi).then(|| hi - 1);
        let live = newest.filter(|index| !is_stale_nan(values[*index]));
        let start = live.map(|index| series.counted(index).start_ms as f64 / 1000.0);
        out.set(step, start);
    });
}

/// [`evaluate_extended`] of samples with start timestamps: only `resets` looks at them.
pub fn evaluate_extended_started(
    function: RangeFunction,
    reach: Reach,
    series: StartedSamples<'_>,
    windows: &WindowGrid,
    scratch: &mut Scratch,
    out: &mut StepOutput<'_>,
) {
    if function != RangeFunction::Resets {
        return evaluate_extended(function, reach, series.samples, windows, scratch, out);
    }
    live(series, scratch, |series, _| {
        let timestamps = series.samples.timestamps;
        windows.for_each(timestamps, |step, lo, hi| {
            let start_ms = windows.start_ms(step).saturating_add(reach.before_ms);
            let after = lo + timestamps[lo..hi].partition_point(|t| *t <= start_ms);
            // The anchor is the newest sample at or before the start.
            let anchor = after.saturating_sub(1).max(lo);
            let resets = (anchor + 1..hi).filter(|&i| series.was_reset(i));
            out.set(step, (after < hi).then(|| resets.count() as f64));
        });
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::tests::{any_samples, any_windows, bits};
    use super::*;

    type Steps = Vec<Option<f64>>;

    fn steps(windows: &WindowGrid, fill: impl FnOnce(&mut Scratch, &mut StepOutput<'_>)) -> Steps {
        let steps = windows.grid.steps;
        let (mut values, mut present) = (vec![7.0; steps], vec![true; steps]);
        let mut out = StepOutput {
            values: &mut values,
            present: &mut present,
        };
        fill(&mut Scratch::default(), &mut out);
        let results = values.into_iter().zip(present);
        results
            .map(|(value, present)| present.then_some(value))
            .collect()
    }

    fn started<'a>(samples: &'a (Vec<i64>, Vec<f64>), starts: &'a [i64]) -> StartedSamples<'a> {
        StartedSamples {
            samples: Samples {
                timestamps: &samples.0,
                values: &samples.1,
            },
            starts,
        }
    }

    const FUNCTIONS: [RangeFunction; 5] = [
        RangeFunction::Rate,
        RangeFunction::Increase,
        RangeFunction::Irate,
        RangeFunction::Resets,
        RangeFunction::Delta,
    ];

    /// One window by itself, step by step; samples are (time, value, start).
    fn naive(
        function: RangeFunction,
        window: &[(i64, f64, i64)],
        (start_ms, end_ms): (i64, i64),
        range_ms: i64,
    ) -> Option<f64> {
        let reset = |a: &(i64, f64, i64), b: &(i64, f64, i64)| {
            let delta = b.2 == a.0 && a.2 != 0 && a.2 < a.0;
            b.1 < a.1 || (b.2 != 0 && b.2 < b.0 && (b.2 > a.0 || delta))
        };
        let pairs = || window.iter().zip(window.iter().skip(1));
        let (first, last) = (window.first()?, window.last()?);
        match function {
            RangeFunction::Resets => Some(pairs().filter(|(a, b)| reset(a, b)).count() as f64),
            RangeFunction::Irate => {
                let [.., a, b] = window else { return None };
                let value = if reset(a, b) { b.1 } else { b.1 - a.1 };
                Some(value / ((b.0 - a.0) as f64 / 1000.0))
            }
            _ => {
                let known = first.2 != 0 && first.2 > start_ms && first.2 < first.0;
                if window.len() < 2 && !known {
                    return None;
                }
                let mut increase = last.1 - first.1;
                for (a, _) in pairs().filter(|(a, b)| reset(a, b)) {
                    increase += a.1;
                }
                let mut sampled = (last.0 - first.0) as f64 / 1000.0;
                let mean = match window.len() - 1 {
                    0 => 0.0,
                    intervals => sampled / intervals as f64,
                };
                let mut to_start = (first.0 - start_ms) as f64 / 1000.0;
                let mut to_end = (end_ms - last.0) as f64 / 1000.0;
                if known {
                    to_start = 0.0;
                    sampled = (last.0 - first.2) as f64 / 1000.0;
                    increase += first.1;
                } else {
                    if to_start >= mean * 1.1 {
                        to_start = mean / 2.0;
                    }
                    if increase > 0.0 && first.1 >= 0.0 {
                        to_start = to_start.min(sampled * (first.1 / increase));
                    }
                }
                if to_end >= mean * 1.1 {
                    to_end = mean / 2.0;
                }
                let mut factor = (sampled + to_start + to_end) / sampled;
                if function == RangeFunction::Rate {
                    factor /= seconds(range_ms);
                }
                Some(increase * factor)
            }
        }
    }

    proptest! {
        #[test]
        fn without_a_start_everything_is_as_without_start_timestamps(
            samples in any_samples(), windows in any_windows(), before_ms in 0..300i64
        ) {
            let starts = vec![NO_START_MS; samples.len()];
            let samples: (Vec<i64>, Vec<f64>) = samples.into_iter().unzip();
            let series = started(&samples, &starts);
            let as_bits = |steps: Steps| steps.into_iter().map(bits).collect::<Vec<_>>();
            for function in FUNCTIONS {
                let plain = steps(&windows, |scratch, out| {
                    evaluate_range(function, &[], series.samples, &windows, scratch, out).unwrap();
                });
                let got = steps(&windows, |scratch, out| {
                    let note = &mut |_| unreachable!();
                    evaluate_range_started(function, &[], series, &windows, scratch, note, out).unwrap();
                });
                prop_assert_eq!(as_bits(got), as_bits(plain), "{}", function);
                let reach = Reach { before_ms, after_ms: 0, smoothed: false };
                let plain = steps(&windows, |scratch, out| {
                    evaluate_extended(function, reach, series.samples, &windows, scratch, out);
                });
                let got = steps(&windows, |scratch, out| {
                    evaluate_extended_started(function, reach, series, &windows, scratch, out);
                });
                prop_assert_eq!(as_bits(got), as_bits(plain), "anchored {}", function);
            }
        }

        #[test]
        fn functions_agree_with_each_window_by_itself(
            samples in any_samples(), ages in proptest::collection::vec(-3..60i64, 120), windows in any_windows()
        ) {
            // Starts at, just after and long before the sample before, one in the future, and some unknown.
            let starts: Vec<i64> = samples.iter().zip(&ages).enumerate().map(|(i, ((time_ms, _), age))| match age {
                0..10 => NO_START_MS,
                10..20 if i > 0 => samples[i - 1].0,
                age => time_ms - age,
            }).collect();
            let all: Vec<(i64, f64, i64)> = samples.iter().zip(&starts)
                .map(|((time_ms, value), start_ms)| (*time_ms, *value, *start_ms))
                .filter(|(_, value, _)| !is_stale_nan(*value))
                .collect();
            let samples: (Vec<i64>, Vec<f64>) = samples.into_iter().unzip();
            let series = started(&samples, &starts);
            for function in &FUNCTIONS[..4] {
                let mut noted = 0;
                let got = steps(&windows, |scratch, out| {
                    let note = &mut |note| noted += usize::from(note == Note::StartTimeOverlap);
                    evaluate_range_started(*function, &[], series, &windows, scratch, note, out).unwrap();
                });
                let mut overlapping = 0;
                for (step, got) in got.into_iter().enumerate() {
                    let (start, end) = (windows.start_ms(step), windows.end_ms(step));
                    let window: Vec<_> = all.iter().copied().filter(|s| s.0 > start && s.0 <= end).collect();
                    let want = naive(*function, &window, (start, end), windows.range_ms);
                    prop_assert_eq!(bits(got), bits(want), "{} at step {}: {:?} {:?}", function, step, got, want);
                    let mut pairs = window.windows(2);
                    overlapping += usize::from(pairs.any(|w| w[1].2 != 0 && w[1].2 < w[0].0 && w[1].2 != w[0].2));
                }
                if matches!(function, RangeFunction::Rate | RangeFunction::Increase) {
                    prop_assert_eq!(noted, overlapping);
                } else {
                    prop_assert_eq!(noted, 0);
                }
            }
        }
    }

    #[test]
    fn the_look_back_gives_the_start_of_the_newest_sample() {
        let samples = (vec![10, 20, 30], vec![1.0, varve_storage::stale_nan(), 3.0]);
        let series = started(&samples, &[5_000, 0, -7_000]);
        let windows = WindowGrid {
            grid: crate::grid::StepGrid::range(0, 40, 10),
            range_ms: 10,
            offset_ms: 0,
            at_ms: None,
        };
        let of = |lookback| {
            steps(&windows, |_, out| {
                evaluate_instant_started(lookback, series, &windows, out)
            })
        };
        assert_eq!(
            of(Lookback::Start),
            [None, Some(5.0), None, Some(-7.0), None]
        );
        assert_eq!(
            of(Lookback::Value),
            [None, Some(1.0), None, Some(3.0), None]
        );
    }
}
