//! Range-vector functions and the instant look-back on one series: slices in, slices out.
//!
//! Vocabulary:
//! - *samples*: one series' merged samples, timestamps strictly increasing ([`Samples`]);
//! - *step grid*: the times at which a query is evaluated ([`crate::StepGrid`]);
//! - *window*: the left-open range of time (end - range, end] that a step looks at ([`WindowGrid`]); `offset` and `@`
//!   move the window and not the step.
//!
//! Invariants:
//! - every function does the floating-point operations that Prometheus does, in its order, so that results agree
//!   to the last bit (the payload of a NaN aside);
//! - stale markers end a series for the look-back, and are not there for range functions;
//! - a step without a result has `present == false` and value 0;
//! - windows move with two pointers over the samples, so nothing is copied per step;
//! - start timestamps are looked at by kernels of their own, so that series without any are none the slower.
//!
//! Where a sliding update gives the same bits as a walk over the window (counts, resets, extremes), the window slides;
//! where it does not (compensated sums, regression), each step walks its window.

mod extended;
mod extended_mixed;
mod extremes;
mod function;
mod grid;
mod instant;
pub mod kahan;
mod mixed;
mod over_time;
mod quantile;
mod rate;
mod regression;
mod started;
#[cfg(test)]
mod tests;

pub use extended::{Reach, evaluate_extended, evaluate_smoothed, extended_samples};
pub use extended_mixed::{evaluate_extended_mixed, evaluate_smoothed_mixed};
pub use function::{InvalidFactor, RangeFunction, StepArg};
pub use grid::WindowGrid;
pub use instant::{Lookback, evaluate_instant};
pub use mixed::{MixedSamples, evaluate_instant_mixed, evaluate_range_mixed, without_buckets};
pub use quantile::quantile;
pub use started::{
    StartedSamples, evaluate_extended_started, evaluate_instant_started, evaluate_range_started,
};

use varve_storage::is_stale_nan;

/// The samples of one series: two slices of one length, timestamps (ms) strictly increasing.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// Milliseconds since the epoch.
    pub timestamps: &'a [i64],
    /// The values, stale markers included.
    pub values: &'a [f64],
}

/// Where a kernel writes: one slot per step of the grid.
#[derive(Debug)]
pub struct StepOutput<'a> {
    /// The results; 0 where there is none.
    pub values: &'a mut [f64],
    /// Whether a step has a result.
    pub present: &'a mut [bool],
}

impl StepOutput<'_> {
    fn set(&mut self, step: usize, value: Option<f64>) {
        self.values[step] = value.unwrap_or(0.0);
        self.present[step] = value.is_some();
    }
}

/// Memory that kernels reuse from series to series.
#[derive(Debug, Default)]
pub struct Scratch {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    /// Start timestamps.
    starts: Vec<i64>,
    /// Indexes of samples: resets or changes in order, or the candidates of a sliding extreme.
    indexes: Vec<usize>,
    /// Indexes of samples that count again what the one before has counted.
    overlaps: Vec<usize>,
    sorted: Vec<f64>,
}

impl Scratch {
    /// Bytes of heap memory in use.
    pub fn heap_bytes(&self) -> usize {
        (self.timestamps.capacity()
            + self.values.capacity()
            + self.starts.capacity()
            + self.indexes.capacity()
            + self.overlaps.capacity()
            + self.sorted.capacity())
            * 8
    }
}

/// Evaluates a range function at every step.
///
/// `args` are the function's scalar arguments in the order in which PromQL writes them (see [`RangeFunction::scalar_args`]).
/// `out` has `windows.grid.steps` slots.
///
/// Fails if a smoothing factor is out of range at a step whose window has samples, as Prometheus does.
pub fn evaluate_range(
    function: RangeFunction,
    args: &[StepArg],
    samples: Samples<'_>,
    windows: &WindowGrid,
    scratch: &mut Scratch,
    out: &mut StepOutput<'_>,
) -> Result<(), InvalidFactor> {
    live(samples, scratch, |samples, scratch| {
        dispatch(function, args, samples, windows, scratch, out)
    })
}

/// Hands on the samples without stale markers.
fn live<T>(
    samples: Samples<'_>,
    scratch: &mut Scratch,
    f: impl FnOnce(Samples<'_>, &mut Scratch) -> T,
) -> T {
    if !samples.values.iter().any(|v| is_stale_nan(*v)) {
        return f(samples, scratch);
    }
    let mut timestamps = std::mem::take(&mut scratch.timestamps);
    let mut values = std::mem::take(&mut scratch.values);
    timestamps.clear();
    values.clear();
    for (t, v) in samples.timestamps.iter().zip(samples.values) {
        if !is_stale_nan(*v) {
            timestamps.push(*t);
            values.push(*v);
        }
    }
    let samples = Samples {
        timestamps: &timestamps,
        values: &values,
    };
    let result = f(samples, scratch);
    scratch.timestamps = timestamps;
    scratch.values = values;
    result
}

fn dispatch(
    function: RangeFunction,
    args: &[StepArg],
    samples: Samples<'_>,
    windows: &WindowGrid,
    scratch: &mut Scratch,
    out: &mut StepOutput<'_>,
) -> Result<(), InvalidFactor> {
    use RangeFunction as F;
    let arg = |index: usize, step: usize| args.get(index).map_or(f64::NAN, |arg| arg.at(step));
    match function {
        F::Rate => rate::extrapolated(samples, windows, rate::Kind::Rate, scratch, out),
        F::Increase => rate::extrapolated(samples, windows, rate::Kind::Increase, scratch, out),
        F::Delta => rate::extrapolated(samples, windows, rate::Kind::Delta, scratch, out),
        F::Irate => walk(samples, windows, out, |_, t, v| {
            rate::instant(t, v, true, false)
        }),
        F::Idelta => walk(samples, windows, out, |_, t, v| {
            rate::instant(t, v, false, false)
        }),
        F::Changes => over_time::count_pairs(samples, windows, scratch, out, |a, b| {
            a != b && !(a.is_nan() && b.is_nan())
        }),
        F::Resets => over_time::count_pairs(samples, windows, scratch, out, |a, b| b < a),
        F::Deriv => walk(samples, windows, out, |_, t, v| regression::deriv(t, v)),
        F::PredictLinear => walk(samples, windows, out, |step, t, v| {
            regression::predict_linear(t, v, windows.grid.time_ms(step), arg(0, step))
        }),
        F::DoubleExponentialSmoothing => {
            let mut failed = None;
            walk(samples, windows, out, |step, _, v| {
                regression::double_exponential_smoothing(v, arg(0, step), arg(1, step))
                    .unwrap_or_else(|error| {
                        failed.get_or_insert(error);
                        None
                    })
            });
            return failed.map_or(Ok(()), Err);
        }
        F::SumOverTime => walk(samples, windows, out, |_, _, v| Some(over_time::sum(v))),
        F::AvgOverTime => walk(samples, windows, out, |_, _, v| Some(over_time::average(v))),
        F::CountOverTime => walk(samples, windows, out, |_, _, v| Some(v.len() as f64)),
        F::PresentOverTime => walk(samples, windows, out, |_, _, _| Some(1.0)),
        F::FirstOverTime => walk(samples, windows, out, |_, _, v| v.first().copied()),
        F::LastOverTime => walk(samples, windows, out, |_, _, v| v.last().copied()),
        F::StddevOverTime => walk(samples, windows, out, |_, _, v| {
            Some(over_time::variance(v).sqrt())
        }),
        F::StdvarOverTime => walk(samples, windows, out, |_, _, v| {
            Some(over_time::variance(v))
        }),
        F::TsOfFirstOverTime => walk(samples, windows, out, |_, t, _| {
            t.first().map(|t| *t as f64 / 1000.0)
        }),
        F::TsOfLastOverTime => walk(samples, windows, out, |_, t, _| {
            t.last().map(|t| *t as f64 / 1000.0)
        }),
        F::QuantileOverTime => walk(samples, windows, out, |step, _, v| {
            Some(quantile::over_time(arg(0, step), v, &mut scratch.sorted))
        }),
        F::MadOverTime => {
            walk(samples, windows, out, |_, _, v| {
                Some(quantile::median_deviation(v, &mut scratch.sorted))
            });
        }
        F::MinOverTime | F::MaxOverTime | F::TsOfMinOverTime | F::TsOfMaxOverTime => {
            extremes::evaluate(function, samples, windows, scratch, out);
        }
    }
    Ok(())
}

/// Evaluates a function of one window by itself, at every step whose window has samples.
fn walk(
    samples: Samples<'_>,
    windows: &WindowGrid,
    out: &mut StepOutput<'_>,
    mut f: impl FnMut(usize, &[i64], &[f64]) -> Option<f64>,
) {
    windows.for_each(samples.timestamps, |step, lo, hi| {
        let value =
            (lo < hi).then(|| f(step, &samples.timestamps[lo..hi], &samples.values[lo..hi]));
        out.set(step, value.flatten());
    });
}
