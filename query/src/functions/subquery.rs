//! Range functions over the results of a subquery.
//!
//! The inner expression was evaluated once, on a grid of its own that covers all windows of the outer steps. Its vector is
//! one series' samples: those are handed to the same kernels that read a selector's samples.

use std::fmt;

use datafusion::error::Result;

use super::operand::Operand;
use crate::Error;
use crate::grid::StepGrid;
use crate::kernels::{
    RangeFunction, Samples, Scratch, StepArg, StepOutput, WindowGrid, evaluate_range,
};
use crate::vector::VectorsBuilder;

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
}

impl SubqueryWindow {
    /// Appends one vector per row of the argument.
    pub(super) fn evaluate(
        &self,
        argument: &Operand,
        rows: usize,
        out: &mut VectorsBuilder,
    ) -> Result<()> {
        let steps = self.windows.grid.steps;
        let (mut timestamps, mut samples) = (Vec::new(), Vec::new());
        let (mut values, mut present) = (vec![0.0; steps], vec![false; steps]);
        let mut scratch = Scratch::default();
        for row in 0..rows {
            timestamps.clear();
            samples.clear();
            for (step, time_ms) in self.inner.times_ms().enumerate() {
                if let Some(value) = argument.get(row, step) {
                    timestamps.push(time_ms);
                    samples.push(value);
                }
            }
            let series = Samples {
                timestamps: &timestamps,
                values: &samples,
            };
            let mut output = StepOutput {
                values: &mut values,
                present: &mut present,
            };
            evaluate_range(
                self.function,
                &self.args,
                series,
                &self.windows,
                &mut scratch,
                &mut output,
            )
            .map_err(|error| Error::Execution(error.to_string()))?;
            out.extend(
                values
                    .iter()
                    .zip(&present)
                    .map(|(value, present)| present.then_some(*value)),
            );
        }
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
