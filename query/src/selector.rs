//! The border between the algebra of PromQL and the archive: what a plan asks of whoever holds the samples.
//!
//! 1. Before a plan is made, every selector of the query is resolved ([`SelectorSource::resolve`]): which series match,
//!    over the whole time that the query looks at. Label names are known from then on.
//! 2. While the plan is made, each selector becomes a relation for one grid ([`SelectorSource::plan`]): label columns and one
//!    vector of steps per series, already evaluated (instant look-back, or a range function over the windows).

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_planner::ExtensionPlanner;
use varve_histogram::Note;
use varve_promql::Matcher;
use varve_storage::{Labels, METRIC_NAME, SampleValue, SeriesRef};

use crate::annotations::NotesAt;
use crate::kernels::{
    Lookback, MixedSamples, RangeFunction, Reach, Samples, Scratch, StartedSamples, StepArg,
    StepOutput, WindowGrid, evaluate_extended, evaluate_extended_mixed, evaluate_extended_started,
    evaluate_instant, evaluate_instant_mixed, evaluate_instant_started, evaluate_range,
    evaluate_range_mixed, evaluate_range_started, evaluate_smoothed, evaluate_smoothed_mixed,
};
use crate::result::{MatrixSeries, RawSeries};
use crate::{Error, Result};

/// The labels that say which quantity a series is: operations that give another quantity drop them.
pub const METADATA_LABELS: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// A selector to be resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SelectorSpec {
    /// All conditions, the metric name among them.
    pub matchers: Vec<Matcher>,
    /// The first millisecond from which samples may be needed.
    pub min_ms: i64,
    /// The last millisecond from which samples may be needed.
    pub max_ms: i64,
}

/// The series that a selector stands for in one query.
#[derive(Clone, Debug)]
pub struct ResolvedSelector {
    /// What was asked.
    pub spec: SelectorSpec,
    /// Every matching series that may have samples in the range of time, each once, in any order.
    pub series: Arc<[SeriesRef]>,
    /// Whether native histograms are to be read, too. Without it, a plan that meets one fails with
    /// [`Error::HistogramsFound`](crate::Error::HistogramsFound).
    pub histograms: bool,
    /// Whether nothing but counts and sums of native histograms matters, so that buckets need not be kept.
    pub statistics_only: bool,
    /// Whether start timestamps are to be read: the function of the samples looks at them. Without it, none is known.
    pub start_timestamps: bool,
}

impl ResolvedSelector {
    /// The names of all labels that some series has, ascending.
    pub fn label_names(&self) -> Vec<String> {
        let mut names: HashSet<&str> = HashSet::new();
        for series in self.series.iter() {
            names.extend(series.labels.iter().map(|(name, _)| name));
        }
        let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    /// The distinct metric names, ascending.
    pub fn metric_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for series in self.series.iter() {
            let name = series.labels.metric_name();
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether no two series become one without their [`METADATA_LABELS`].
    pub fn unique_without_name(&self) -> bool {
        unique_under(&self.series, |name| !METADATA_LABELS.contains(&name))
    }
}

/// Whether no two series become one when only the given labels are kept.
pub fn unique_under(series: &[SeriesRef], keep: impl Fn(&str) -> bool) -> bool {
    let mut seen: HashSet<Labels> = HashSet::with_capacity(series.len());
    series.iter().all(|series| {
        let kept = series.labels.iter().filter(|(name, _)| keep(name));
        seen.insert(Labels::from_canonical(kept).unwrap_or_else(Labels::empty))
    })
}

/// How the samples of a series become a vector of steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub enum Evaluation {
    /// The newest sample of the look-back.
    Instant(Lookback),
    /// A function of the window's samples.
    Range {
        /// The function.
        function: RangeFunction,
        /// Its scalar arguments, as PromQL orders them.
        args: Vec<StepArg>,
    },
    /// The value at the step, interpolated within this look-back to both sides, in milliseconds.
    Smoothed(i64),
    /// A function of a window that looks beyond its edges.
    Extended {
        /// The function.
        function: RangeFunction,
        /// How far beyond.
        reach: Reach,
    },
}

impl Evaluation {
    /// Evaluates all steps for one series.
    pub(crate) fn evaluate(
        &self,
        samples: Samples<'_>,
        windows: &WindowGrid,
        scratch: &mut Scratch,
        out: &mut StepOutput<'_>,
    ) -> Result<()> {
        match self {
            Self::Instant(lookback) => evaluate_instant(*lookback, samples, windows, out),
            Self::Range { function, args } => {
                evaluate_range(*function, args, samples, windows, scratch, out)
                    .map_err(|error| Error::Execution(error.to_string()))?;
            }
            Self::Smoothed(lookback_ms) => {
                evaluate_smoothed(*lookback_ms, samples, windows, scratch, out);
            }
            Self::Extended { function, reach } => {
                evaluate_extended(*function, *reach, samples, windows, scratch, out);
            }
        }
        Ok(())
    }
}

impl Evaluation {
    /// Evaluates all steps for one series that has start timestamps; `note` is told what there is to be said about them.
    pub(crate) fn evaluate_started(
        &self,
        series: StartedSamples<'_>,
        windows: &WindowGrid,
        scratch: &mut Scratch,
        note: &mut dyn FnMut(Note),
        out: &mut StepOutput<'_>,
    ) -> Result<()> {
        match self {
            Self::Instant(lookback) => evaluate_instant_started(*lookback, series, windows, out),
            Self::Range { function, args } => {
                evaluate_range_started(*function, args, series, windows, scratch, note, out)
                    .map_err(|error| Error::Execution(error.to_string()))?;
            }
            Self::Extended { function, reach } => {
                evaluate_extended_started(*function, *reach, series, windows, scratch, out);
            }
            Self::Smoothed(_) => self.evaluate(series.samples, windows, scratch, out)?,
        }
        Ok(())
    }

    /// Whether results may be native histograms where the samples are.
    pub fn gives_histograms(&self) -> bool {
        match self {
            Self::Instant(lookback) => !matches!(lookback, Lookback::Timestamp | Lookback::Start),
            Self::Range { function, .. } | Self::Extended { function, .. } => {
                function.gives_histograms()
            }
            Self::Smoothed(_) => true,
        }
    }

    /// Evaluates all steps for one series that has native histograms: appends an item per step.
    pub(crate) fn evaluate_mixed(
        &self,
        samples: MixedSamples<'_>,
        windows: &WindowGrid,
        scratch: &mut Scratch,
        note: &mut dyn FnMut(Note),
        out: &mut Vec<Option<SampleValue>>,
    ) -> Result<()> {
        match self {
            Self::Instant(lookback) => evaluate_instant_mixed(*lookback, samples, windows, out),
            Self::Range { function, args } => {
                evaluate_range_mixed(*function, args, samples, windows, scratch, note, out)
                    .map_err(|error| Error::Execution(error.to_string()))?;
            }
            Self::Smoothed(lookback_ms) => {
                evaluate_smoothed_mixed(*lookback_ms, samples, windows, note, out);
            }
            Self::Extended { function, reach } => {
                let (function, reach) = (*function, *reach);
                evaluate_extended_mixed(function, reach, samples, windows, scratch, note, out);
            }
        }
        Ok(())
    }
}

/// `rate`, `quantile_over_time(0.9)`, `instant`, for EXPLAIN.
impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instant(Lookback::Value) => f.write_str("instant"),
            Self::Instant(Lookback::Start) => f.write_str("start_timestamp"),
            Self::Instant(_) => f.write_str("timestamp"),
            Self::Smoothed(_) => f.write_str("smoothed"),
            Self::Extended { function, reach } if reach.smoothed => {
                write!(f, "smoothed {function}")
            }
            Self::Extended { function, .. } => write!(f, "anchored {function}"),
            Self::Range { function, args } if args.is_empty() => write!(f, "{function}"),
            Self::Range { function, args } => {
                let args: Vec<String> = args.iter().map(ToString::to_string).collect();
                write!(f, "{function}({})", args.join(", "))
            }
        }
    }
}

/// Stored samples of some series, as many as there is room for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawPart {
    /// Ascending by labels; those without samples are left out.
    pub series: Vec<RawSeries>,
    /// The number of series, from the first that was asked for, of which nothing is left out.
    pub complete: usize,
}

/// One snapshot of an archive, as the planner sees it.
#[async_trait]
pub trait SelectorSource: Send + Sync + fmt::Debug {
    /// Finds the series of a selector.
    async fn resolve(&self, spec: &SelectorSpec) -> Result<ResolvedSelector>;

    /// The relation of a resolved selector: the columns `l:<name>` for `labels` in that order (nullable Utf8), then
    /// `value` of [`crate::vector::vector_type`] for `windows.grid.steps` steps, or of [`crate::vector::mixed_type`] where the selector
    /// reads native histograms and the evaluation gives some. One row per series; rows without any sample may be left out. `windows` lies
    /// within the times of the selector's spec. What there is to be said about histograms goes to `notes`.
    fn plan(
        &self,
        selector: &ResolvedSelector,
        labels: &[String],
        evaluation: &Evaluation,
        windows: &WindowGrid,
        notes: &NotesAt,
    ) -> Result<LogicalPlan>;

    /// The raw samples of each series in the closed range of times, stale markers left out, for queries whose result is a range
    /// vector. Series without samples are left out.
    async fn samples(
        &self,
        selector: &ResolvedSelector,
        min_ms: i64,
        max_ms: i64,
    ) -> Result<Vec<MatrixSeries>>;

    /// The samples as they are stored of some of the selector's series, which are ascending by labels, in the selector's range of time.
    /// What does not fit in about `bytes_max` is left out from the end; one series is read in any case. `part` lies within the series.
    async fn raw(
        &self,
        selector: &ResolvedSelector,
        part: Range<usize>,
        bytes_max: usize,
    ) -> Result<RawPart>;

    /// Is told that a metric has native histograms, so that later queries read them at once.
    fn remember_histograms(&self, _metric: &str) {}

    /// Makes the object stores that plans refer to known to the runtime that executes them.
    fn register(&self, _runtime: &RuntimeEnv) {}

    /// Planners of the nodes of its own in the plans that it makes.
    fn extension_planners(&self) -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
        Vec::new()
    }
}
