//! [`super::extended`] for series that have native histograms.

use varve_histogram::extended::{changes, increase, resets, smoothed_at};
use varve_histogram::rate::{Function, Range};
use varve_histogram::{Answer, Note, Value};
use varve_storage::SampleValue;

use super::mixed::{Window, value};
use super::{
    MixedSamples, RangeFunction, Reach, Samples, Scratch, StartedSamples, StepOutput, WindowGrid,
    evaluate_extended_started,
};
use crate::grid::StepGrid;

/// Evaluates a range function over extended windows of samples of both kinds.
pub fn evaluate_extended_mixed(
    function: RangeFunction,
    reach: Reach,
    samples: MixedSamples<'_>,
    windows: &WindowGrid,
    scratch: &mut Scratch,
    note: &mut dyn FnMut(Note),
    out: &mut Vec<Option<SampleValue>>,
) {
    let mut window = Window::default();
    windows.for_each(samples.floats.timestamps, |step, lo, hi| {
        window.fill(samples, lo, hi);
        if !window.has_histograms() {
            let floats = StartedSamples {
                samples: Samples {
                    timestamps: samples.floats.timestamps.get(lo..hi).unwrap_or(&[]),
                    values: samples.floats.values.get(lo..hi).unwrap_or(&[]),
                },
                starts: samples.starts.get(lo..hi).unwrap_or(&[]),
            };
            let one = WindowGrid {
                grid: StepGrid::instant(windows.grid.time_ms(step)),
                ..*windows
            };
            let (mut values, mut present) = ([0.0], [false]);
            let mut result = StepOutput {
                values: &mut values,
                present: &mut present,
            };
            evaluate_extended_started(function, reach, floats, &one, scratch, &mut result);
            out.push(present[0].then_some(SampleValue::Float(values[0])));
            return;
        }
        let range = Range {
            start_ms: windows.start_ms(step).saturating_add(reach.before_ms),
            end_ms: windows.end_ms(step).saturating_sub(reach.after_ms),
        };
        let points = window.points();
        let float = |number: Option<f64>| Answer {
            value: number.map(Value::Float),
            notes: Vec::new(),
        };
        let answer = match function {
            RangeFunction::Rate => increase(points, range, reach.smoothed, Function::Rate),
            RangeFunction::Increase => increase(points, range, reach.smoothed, Function::Increase),
            RangeFunction::Delta => increase(points, range, reach.smoothed, Function::Delta),
            RangeFunction::Changes => float(changes(points, range)),
            RangeFunction::Resets => float(resets(points, range)),
            _ => Answer::nothing(),
        };
        out.push(value(answer, note));
    });
}

/// Evaluates a smoothed instant selector over samples of both kinds; see [`super::evaluate_smoothed`].
pub fn evaluate_smoothed_mixed(
    lookback_ms: i64,
    samples: MixedSamples<'_>,
    windows: &WindowGrid,
    note: &mut dyn FnMut(Note),
    out: &mut Vec<Option<SampleValue>>,
) {
    let mut window = Window::default();
    windows.for_each(samples.floats.timestamps, |step, lo, hi| {
        window.fill(samples, lo, hi);
        let at_ms = windows.end_ms(step).saturating_sub(lookback_ms);
        out.push(value(smoothed_at(window.points(), at_ms), note));
    });
}
