//! An archive in memory, for test scripts and for tests of the planner: series with their samples, no storage below.
//!
//! Its leaves are evaluated while the plan is made, by the same kernels that evaluate an archive's; plans above them are the same.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::logical_expr::LogicalPlan;
use regex::Regex;
use varve_promql::regex::anchored_regex;
use varve_promql::{MatchOp, Matcher};
use varve_storage::columns::NO_START_MS;
use varve_storage::{FloatHistogram, Labels, SampleValue, Series, SeriesRef, is_stale_nan};

use crate::annotations::NotesAt;
use crate::kernels::{MixedSamples, Samples, Scratch, StartedSamples, StepOutput, WindowGrid};
use crate::plan::relation::in_memory;
use crate::result::{MatrixSeries, RawSamples, RawSeries};
use crate::selector::{Evaluation, RawPart, ResolvedSelector, SelectorSource, SelectorSpec};
use crate::vector::VectorsBuilder;
use crate::window::WindowKernel;
use crate::{Archive, Error, Result, Snapshot};

#[derive(Clone, Debug, Default)]
struct Column {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    /// As many items as timestamps, or none at all.
    histograms: Vec<Option<Arc<FloatHistogram>>>,
    /// As many start timestamps in milliseconds, or none at all.
    starts: Vec<i64>,
}

impl Column {
    fn of(samples: BTreeMap<i64, (i64, SampleValue)>) -> Self {
        let mut column = Self::default();
        let mut any = false;
        for (time_ms, (start_ms, sample)) in samples {
            let (value, histogram) = match sample {
                SampleValue::Float(value) => (value, None),
                // A stale marker is the same for both kinds.
                SampleValue::Histogram(h) if is_stale_nan(h.sum) => (h.sum, None),
                SampleValue::Histogram(histogram) => (0.0, Some(histogram)),
            };
            any |= histogram.is_some();
            column.timestamps.push(time_ms);
            column.values.push(value);
            column.histograms.push(histogram);
            column.starts.push(start_ms);
        }
        if !any {
            column.histograms.clear();
        }
        if column.starts.iter().all(|start| *start == NO_START_MS) {
            column.starts.clear();
        }
        column
    }

    /// The samples of a closed range of time.
    fn between(&self, min_ms: i64, max_ms: i64) -> RawSamples {
        let from = self.timestamps.partition_point(|t| *t < min_ms);
        let to = self.timestamps.partition_point(|t| *t <= max_ms).max(from);
        RawSamples {
            timestamps: self.timestamps[from..to].to_vec(),
            values: self.values[from..to].to_vec(),
            histograms: self.histograms.get(from..to).unwrap_or_default().to_vec(),
        }
    }

    /// The samples, with what is known of their starts if that is to be read.
    fn samples(&self, starts: bool) -> MixedSamples<'_> {
        MixedSamples {
            floats: Samples {
                timestamps: &self.timestamps,
                values: &self.values,
            },
            histograms: &self.histograms,
            starts: if starts { &self.starts } else { &[] },
        }
    }
}

/// Series in memory, by labels.
#[derive(Clone, Debug, Default)]
pub struct MemoryArchive {
    series: Arc<BTreeMap<Labels, Column>>,
}

impl MemoryArchive {
    /// An archive of these series. Samples are (milliseconds, value) in any order; of two at one time the last stands.
    pub fn new(series: impl IntoIterator<Item = (Labels, Vec<(i64, f64)>)>) -> Self {
        Self::with_samples(series.into_iter().map(|(labels, samples)| {
            let samples = samples.into_iter();
            (labels, samples.map(|(t, v)| (t, SampleValue::Float(v))))
        }))
    }

    /// [`MemoryArchive::new`] with samples of both kinds.
    pub fn with_samples<I>(series: impl IntoIterator<Item = (Labels, I)>) -> Self
    where
        I: IntoIterator<Item = (i64, SampleValue)>,
    {
        Self::with_starts(series.into_iter().map(|(labels, samples)| {
            let samples = samples.into_iter();
            (labels, samples.map(|(t, v)| (t, (NO_START_MS, v))))
        }))
    }

    /// [`MemoryArchive::with_samples`] with a start timestamp in milliseconds before each value.
    pub fn with_starts<I>(series: impl IntoIterator<Item = (Labels, I)>) -> Self
    where
        I: IntoIterator<Item = (i64, (i64, SampleValue))>,
    {
        let mut all: BTreeMap<Labels, BTreeMap<i64, (i64, SampleValue)>> = BTreeMap::new();
        for (labels, samples) in series {
            all.entry(labels).or_default().extend(samples);
        }
        let series = all.into_iter().map(|(l, s)| (l, Column::of(s))).collect();
        Self {
            series: Arc::new(series),
        }
    }
}

#[async_trait]
impl Archive for MemoryArchive {
    async fn open(&self) -> Result<Snapshot> {
        Ok(Snapshot {
            source: Arc::new(self.clone()),
            warnings: Vec::new(),
            bill: None,
        })
    }
}

/// What a leaf stands for, for EXPLAIN.
fn leaf_name(
    selector: &ResolvedSelector,
    evaluation: &Evaluation,
    windows: &WindowGrid,
    mixed: bool,
) -> String {
    let matchers = selector.spec.matchers.iter();
    let matchers = matchers.map(|m| format!("{}{}{:?}", m.name, m.op.as_str(), m.value));
    let matchers: Vec<String> = matchers.collect();
    let mut name = format!("{evaluation} {}", matchers.join(","));
    if windows.offset_ms != 0 {
        name += &format!(" offset={}", windows.offset_ms);
    }
    if let Some(at_ms) = windows.at_ms {
        name += &format!(" @={at_ms}");
    }
    match (mixed, selector.statistics_only) {
        (false, _) => name,
        (true, false) => name + " mixed",
        (true, true) => name + " mixed without buckets",
    }
}

type Predicate = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// A matcher with its regular expression compiled.
fn compiled(matcher: &Matcher) -> Result<Predicate> {
    let value = matcher.value.clone();
    let regex = || -> Result<Regex> {
        let bad = |error: &dyn std::fmt::Display| Error::BadData(error.to_string());
        let pattern = anchored_regex(&matcher.value).map_err(|error| bad(&error))?;
        Regex::new(&pattern).map_err(|error| bad(&error))
    };
    Ok(match matcher.op {
        MatchOp::Equal => Box::new(move |text| text == value),
        MatchOp::NotEqual => Box::new(move |text| text != value),
        MatchOp::Regex => {
            let regex = regex()?;
            Box::new(move |text| regex.is_match(text))
        }
        MatchOp::NotRegex => {
            let regex = regex()?;
            Box::new(move |text| !regex.is_match(text))
        }
    })
}

#[async_trait]
impl SelectorSource for MemoryArchive {
    async fn resolve(&self, spec: &SelectorSpec) -> Result<ResolvedSelector> {
        let matchers = spec.matchers.iter();
        let matchers: Vec<_> = matchers
            .map(|m| Ok((m.name.as_str(), compiled(m)?)))
            .collect::<Result<_>>()?;
        let matches = |labels: &Labels| {
            let mut all = matchers.iter();
            all.all(|(name, matches)| matches(labels.get(name).unwrap_or("")))
        };
        let mut histograms = false;
        let mut found: Vec<SeriesRef> = Vec::new();
        for (labels, column) in self.series.iter() {
            let first = column.timestamps.partition_point(|t| *t < spec.min_ms);
            let next = column.timestamps.get(first);
            if next.is_some_and(|t| *t <= spec.max_ms) && matches(labels) {
                histograms |= !column.histograms.is_empty();
                found.push(Arc::new(Series::new(labels.clone())));
            }
        }
        Ok(ResolvedSelector {
            spec: spec.clone(),
            series: found.into(),
            histograms,
            statistics_only: false,
            start_timestamps: false,
        })
    }

    fn plan(
        &self,
        selector: &ResolvedSelector,
        labels: &[String],
        evaluation: &Evaluation,
        windows: &WindowGrid,
        notes: &NotesAt,
    ) -> Result<LogicalPlan> {
        let steps = windows.grid.steps;
        let mixed = selector.histograms && evaluation.gives_histograms();
        let kernel = WindowKernel::new(selector, evaluation, windows, notes);
        let mut vectors = VectorsBuilder::of(mixed, steps, selector.series.len());
        let mut scratch = Scratch::default();
        let mut items = Vec::new();
        let none = Column::default();
        for series in selector.series.iter() {
            let column = self.series.get(&series.labels).unwrap_or(&none);
            let samples = column.samples(selector.start_timestamps);
            let labels = &series.labels;
            if !samples.histograms.is_empty() {
                kernel.evaluate_mixed(labels, samples, &mut scratch, &mut items)?;
                items
                    .iter()
                    .for_each(|item| vectors.push_sample(item.as_ref()));
                continue;
            }
            let (mut values, mut present) = (vec![0.0; steps], vec![false; steps]);
            let mut out = StepOutput {
                values: &mut values,
                present: &mut present,
            };
            match samples.starts.is_empty() {
                true => kernel.evaluate(samples.floats, &mut scratch, &mut out)?,
                false => {
                    let started = StartedSamples {
                        samples: samples.floats,
                        starts: samples.starts,
                    };
                    kernel.evaluate_started(labels, started, &mut scratch, &mut out)?;
                }
            }
            let items = values.iter().zip(&present);
            vectors.extend(items.map(|(value, present)| present.then_some(*value)));
        }
        let name = leaf_name(selector, evaluation, windows, mixed);
        let label_sets = selector.series.iter().map(|series| &series.labels);
        in_memory(&name, labels, label_sets, vectors.finish()?)
    }

    async fn samples(
        &self,
        selector: &ResolvedSelector,
        min_ms: i64,
        max_ms: i64,
    ) -> Result<Vec<MatrixSeries>> {
        let mut all = Vec::new();
        for series in selector.series.iter() {
            let Some(column) = self.series.get(&series.labels) else {
                continue;
            };
            let mut found = MatrixSeries::new(series.labels.clone());
            let samples = column.samples(false);
            for (time_ms, value) in samples.iter() {
                if (min_ms..=max_ms).contains(&time_ms) && !value.is_stale() {
                    found.push(time_ms, value);
                }
            }
            if !found.is_empty() {
                all.push(found);
            }
        }
        Ok(all)
    }

    async fn raw(
        &self,
        selector: &ResolvedSelector,
        part: Range<usize>,
        bytes_max: usize,
    ) -> Result<RawPart> {
        let mut found = RawPart::default();
        let mut bytes = 0;
        for series in selector.series.get(part).unwrap_or_default() {
            let Some(column) = self.series.get(&series.labels) else {
                found.complete += 1;
                continue;
            };
            let samples = column.between(selector.spec.min_ms, selector.spec.max_ms);
            bytes += samples.timestamps.len() * 24;
            if bytes > bytes_max && found.complete > 0 {
                break;
            }
            found.complete += 1;
            if !samples.timestamps.is_empty() {
                found.series.push(RawSeries {
                    labels: series.labels.clone(),
                    samples,
                });
            }
        }
        Ok(found)
    }
}
