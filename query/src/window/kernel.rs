//! A window function bound to its windows: evaluates one series.

use std::fmt;

use varve_storage::{Labels, SampleValue};

use crate::annotations::NotesAt;
use crate::error::Result;
use crate::kernels::{
    MixedSamples, Samples, Scratch, StartedSamples, StepArg, StepOutput, WindowGrid,
    without_buckets,
};
use crate::selector::{Evaluation, ResolvedSelector};

/// What is made of one series' samples, with every parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowKernel {
    /// The windows of all steps.
    pub windows: WindowGrid,
    /// What is made of the samples in them.
    pub evaluation: Evaluation,
    /// Whether nothing but counts and sums of native histograms matters.
    pub statistics_only: bool,
    /// Where to report what is odd about native histograms.
    pub notes: NotesAt,
}

impl WindowKernel {
    /// What is made of the samples of a selector.
    pub fn new(
        selector: &ResolvedSelector,
        evaluation: &Evaluation,
        windows: &WindowGrid,
        notes: &NotesAt,
    ) -> Self {
        Self {
            windows: *windows,
            evaluation: evaluation.clone(),
            statistics_only: selector.statistics_only,
            notes: notes.clone(),
        }
    }

    /// Whether one evaluation serves all steps: `@` pins the window, and nothing else differs from step to step.
    fn repeats(&self) -> bool {
        self.windows.at_ms.is_some()
            && match &self.evaluation {
                Evaluation::Instant(_) | Evaluation::Smoothed(_) | Evaluation::Extended { .. } => {
                    true
                }
                Evaluation::Range { function, args } => {
                    function.depends_on_window_only()
                        && args.iter().all(|arg| matches!(arg, StepArg::Constant(_)))
                }
            }
    }

    /// Evaluates all steps for one series. `out` has a slot per step.
    pub(crate) fn evaluate(
        &self,
        samples: Samples<'_>,
        scratch: &mut Scratch,
        out: &mut StepOutput<'_>,
    ) -> Result<()> {
        self.once_or_each(out, |windows, out| {
            self.evaluation.evaluate(samples, windows, scratch, out)
        })
    }

    /// Has all steps evaluated, or one of them if it serves all.
    fn once_or_each(
        &self,
        out: &mut StepOutput<'_>,
        mut evaluate: impl FnMut(&WindowGrid, &mut StepOutput<'_>) -> Result<()>,
    ) -> Result<()> {
        if self.windows.grid.steps > 1 && self.repeats() {
            let (mut value, mut present) = ([0.0], [false]);
            let mut windows = self.windows;
            windows.grid.steps = 1;
            let mut once = StepOutput {
                values: &mut value,
                present: &mut present,
            };
            evaluate(&windows, &mut once)?;
            out.values.fill(value[0]);
            out.present.fill(present[0]);
            return Ok(());
        }
        evaluate(&self.windows, out)
    }

    /// [`Self::evaluate`] for one series that has start timestamps.
    pub(crate) fn evaluate_started(
        &self,
        labels: &Labels,
        series: StartedSamples<'_>,
        scratch: &mut Scratch,
        out: &mut StepOutput<'_>,
    ) -> Result<()> {
        let mut note = |note| self.notes.note(note, labels.metric_name());
        self.once_or_each(out, |windows, out| {
            self.evaluation
                .evaluate_started(series, windows, scratch, &mut note, out)
        })
    }

    /// Evaluates all steps for one series that has native histograms: fills `out` with an item per step.
    pub(crate) fn evaluate_mixed(
        &self,
        labels: &Labels,
        samples: MixedSamples<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<Option<SampleValue>>,
    ) -> Result<()> {
        out.clear();
        let steps = self.windows.grid.steps;
        let mut windows = self.windows;
        if steps > 1 && self.repeats() {
            windows.grid.steps = 1;
        }
        let histograms;
        let mut samples = samples;
        if self.statistics_only {
            histograms = without_buckets(samples, &windows);
            samples.histograms = &histograms;
        }
        let name = labels.metric_name();
        let mut note = |note| self.notes.note(note, name);
        self.evaluation
            .evaluate_mixed(samples, &windows, scratch, &mut note, out)?;
        let last = out.last().cloned().flatten();
        out.resize(steps, last);
        Ok(())
    }
}

/// For EXPLAIN: every parameter.
impl fmt::Display for WindowKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WindowGrid {
            grid,
            range_ms,
            offset_ms,
            at_ms,
        } = &self.windows;
        write!(
            f,
            "{}, window={range_ms}ms, offset={offset_ms}ms",
            self.evaluation
        )?;
        if let Some(at_ms) = at_ms {
            write!(f, ", @={at_ms}")?;
        }
        write!(f, ", steps={grid}")?;
        match self.statistics_only {
            true => f.write_str(", without buckets"),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use varve_promql::Span;

    use crate::annotations::Annotations;
    use crate::grid::StepGrid;
    use crate::kernels::RangeFunction;

    #[test]
    fn a_pinned_window_gives_one_value_for_all_steps() {
        let range = |function, args| Evaluation::Range { function, args };
        for (evaluation, want) in [
            (range(RangeFunction::SumOverTime, vec![]), [6.0, 6.0, 6.0]),
            (
                range(RangeFunction::PredictLinear, vec![StepArg::Constant(0.0)]),
                [10.0, 11.0, 12.0],
            ),
            (
                range(
                    RangeFunction::QuantileOverTime,
                    vec![StepArg::PerStep([0.0, 0.5, 1.0].into())],
                ),
                [1.0, 2.0, 3.0],
            ),
        ] {
            let kernel = WindowKernel {
                windows: WindowGrid {
                    grid: StepGrid::range(10_000, 12_000, 1_000),
                    range_ms: 10_000,
                    offset_ms: 0,
                    at_ms: Some(5_000),
                },
                evaluation,
                statistics_only: false,
                notes: NotesAt {
                    annotations: Annotations::new(""),
                    span: Span::new(0, 0),
                },
            };
            let (mut values, mut present) = ([0.0; 3], [false; 3]);
            kernel
                .evaluate(
                    Samples {
                        timestamps: &[1_000, 2_000, 3_000, 6_000],
                        values: &[1.0, 2.0, 3.0, 99.0],
                    },
                    &mut Scratch::default(),
                    &mut StepOutput {
                        values: &mut values,
                        present: &mut present,
                    },
                )
                .unwrap();
            assert_eq!(values, want, "{kernel}");
            assert_eq!(present, [true; 3]);
        }
    }
}
