//! Range functions over the results of a subquery.
//!
//! The inner expression was evaluated once, on a grid of its own that covers all windows of the outer steps. Its vector is
//! one series' samples: those are handed to the same kernels that read a selector's samples.

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use varve_storage::histogram::CounterResetHint;
use varve_storage::{FloatHistogram, SampleValue};

use super::label::Texts;
use super::operand::Operand;
use crate::Error;
use crate::annotations::NotesAt;
use crate::grid::StepGrid;
use crate::kernels::{
    InvalidFactor, MixedSamples, RangeFunction, Samples, Scratch, StepArg, StepOutput, WindowGrid,
    evaluate_range, evaluate_range_mixed,
};
use crate::vector::{Item, VectorsBuilder, decode};

/// A range function, the grid of the samples it reads and the windows in which it reads them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubqueryWindow {
    /// The function.
    pub function: RangeFunction,
    /// Its scalar arguments.
    pub args: Vec<StepArg>,
    /// The grid of the argument.
    pub inner: StepGrid,
    /// The outer steps and their windows.
    pub windows: WindowGrid,
    /// Where to report what is odd about native histograms.
    pub notes: NotesAt,
}

/// Memory that is used for one row after the other.
#[derive(Default)]
struct Buffers {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    results: Vec<f64>,
    present: Vec<bool>,
    scratch: Scratch,
}

/// What a sample knows of the one before it says nothing about the step before it.
fn unhinted(mut histogram: FloatHistogram) -> FloatHistogram {
    if histogram.counter_reset_hint != CounterResetHint::Gauge {
        histogram.counter_reset_hint = CounterResetHint::Unknown;
    }
    histogram
}

fn execution(error: InvalidFactor) -> Error {
    Error::Execution(error.to_string())
}

impl SubqueryWindow {
    /// One vector per row of the first argument.
    pub(super) fn evaluate(&self, args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
        let missing =
            || datafusion::error::DataFusionError::Internal("an argument is missing".to_owned());
        let argument = Operand::try_new(args.first().ok_or_else(missing)?)?;
        let steps = self.windows.grid.steps;
        let mixed = argument.is_mixed() && self.function.gives_histograms();
        let mut out = VectorsBuilder::of(mixed, steps, rows);
        let mut buffers = Buffers::default();
        if !argument.is_mixed() {
            for row in 0..rows {
                self.floats(&argument, row, &mut buffers, &mut out)?;
            }
            return out.finish();
        }
        let names = args.get(1).map(|names| names.to_array(rows)).transpose()?;
        let names = Texts::try_new(names.as_ref())?;
        for row in 0..rows {
            self.samples(&argument, (row, names.get(row)), &mut buffers, &mut out)?;
        }
        out.finish()
    }

    fn floats(
        &self,
        argument: &Operand,
        row: usize,
        buffers: &mut Buffers,
        out: &mut VectorsBuilder,
    ) -> Result<()> {
        let Buffers {
            timestamps,
            values,
            results,
            present,
            scratch,
        } = buffers;
        timestamps.clear();
        values.clear();
        for (step, time_ms) in self.inner.times_ms().enumerate() {
            if let Some(value) = argument.get(row, step) {
                timestamps.push(time_ms);
                values.push(value);
            }
        }
        let series = Samples { timestamps, values };
        let steps = self.windows.grid.steps;
        results.resize(steps, 0.0);
        present.resize(steps, false);
        let mut output = StepOutput {
            values: results,
            present,
        };
        let (function, windows) = (self.function, &self.windows);
        evaluate_range(function, &self.args, series, windows, scratch, &mut output)
            .map_err(execution)?;
        let results = results.iter().zip(present);
        out.extend(results.map(|(value, present)| present.then_some(*value)));
        Ok(())
    }

    fn samples(
        &self,
        argument: &Operand,
        (row, name): (usize, &str),
        buffers: &mut Buffers,
        out: &mut VectorsBuilder,
    ) -> Result<()> {
        let Buffers {
            timestamps,
            values,
            scratch,
            ..
        } = buffers;
        timestamps.clear();
        values.clear();
        let mut histograms = Vec::new();
        for (step, time_ms) in self.inner.times_ms().enumerate() {
            let (value, histogram) = match argument.item(row, step) {
                None => continue,
                Some(Item::Float(value)) => (value, None),
                Some(Item::Histogram(bytes)) => (0.0, Some(Arc::new(unhinted(decode(bytes)?)))),
            };
            timestamps.push(time_ms);
            values.push(value);
            histograms.push(histogram);
        }
        let samples = MixedSamples {
            floats: Samples { timestamps, values },
            histograms: &histograms,
            // A subquery's samples have been counted by nobody.
            starts: &[],
        };
        let mut items: Vec<Option<SampleValue>> = Vec::new();
        evaluate_range_mixed(
            self.function,
            &self.args,
            samples,
            &self.windows,
            scratch,
            &mut |note| self.notes.note(note, name),
            &mut items,
        )
        .map_err(execution)?;
        items.iter().for_each(|item| out.push_sample(item.as_ref()));
        Ok(())
    }
}

impl fmt::Display for SubqueryWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let windows = &self.windows;
        write!(f, "{}", self.function)?;
        for arg in &self.args {
            write!(f, " {arg}")?;
        }
        write!(
            f,
            " over {} range={} offset={}",
            self.inner, windows.range_ms, windows.offset_ms
        )?;
        match windows.at_ms {
            Some(at_ms) => write!(f, " at={at_ms}"),
            None => Ok(()),
        }
    }
}
