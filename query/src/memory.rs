//! An archive in memory, for test scripts and for tests of the planner: series with their samples, no storage below.
//!
//! Its leaves are evaluated while the plan is made, by the same kernels that evaluate an archive's; plans above them are the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::logical_expr::LogicalPlan;
use regex::Regex;
use varve_promql::regex::anchored_regex;
use varve_promql::{MatchOp, Matcher};
use varve_storage::{Labels, Series, SeriesRef, is_stale_nan};

use crate::kernels::{Samples, Scratch, StepOutput, WindowGrid};
use crate::plan::relation::in_memory;
use crate::selector::{Evaluation, ResolvedSelector, SelectorSource, SelectorSpec};
use crate::vector::VectorsBuilder;
use crate::{Archive, Error, Result, Snapshot};

#[derive(Clone, Debug, Default)]
struct Column {
    timestamps: Vec<i64>,
    values: Vec<f64>,
}

/// Series in memory, by labels.
#[derive(Clone, Debug, Default)]
pub struct MemoryArchive {
    series: Arc<BTreeMap<Labels, Column>>,
    histograms: Arc<[Labels]>,
}

impl MemoryArchive {
    /// An archive of these series. Samples are (milliseconds, value) in any order; of two at one time the last stands.
    pub fn new(series: impl IntoIterator<Item = (Labels, Vec<(i64, f64)>)>) -> Self {
        let mut all: BTreeMap<Labels, BTreeMap<i64, f64>> = BTreeMap::new();
        for (labels, samples) in series {
            all.entry(labels).or_default().extend(samples);
        }
        let column = |samples: BTreeMap<i64, f64>| {
            let (timestamps, values) = samples.into_iter().unzip();
            Column { timestamps, values }
        };
        let series = all.into_iter().map(|(l, s)| (l, column(s))).collect();
        Self {
            series: Arc::new(series),
            histograms: Arc::default(),
        }
    }

    /// The archive with series that have native histograms, of which nothing is known but the labels: queries that select them
    /// are not supported.
    pub fn with_histograms(self, histograms: impl IntoIterator<Item = Labels>) -> Self {
        Self {
            histograms: histograms.into_iter().collect(),
            ..self
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
        if self.histograms.iter().any(matches) {
            return Err(Error::NotSupported("native histograms".to_owned()));
        }
        let mut found: Vec<SeriesRef> = Vec::new();
        for (labels, column) in self.series.iter() {
            let first = column.timestamps.partition_point(|t| *t < spec.min_ms);
            let next = column.timestamps.get(first);
            if next.is_some_and(|t| *t <= spec.max_ms) && matches(labels) {
                found.push(Arc::new(Series::new(labels.clone())));
            }
        }
        Ok(ResolvedSelector {
            spec: spec.clone(),
            series: found.into(),
        })
    }

    fn plan(
        &self,
        selector: &ResolvedSelector,
        labels: &[String],
        evaluation: &Evaluation,
        windows: &WindowGrid,
    ) -> Result<LogicalPlan> {
        let steps = windows.grid.steps;
        let mut vectors = VectorsBuilder::new(steps, selector.series.len());
        let mut scratch = Scratch::default();
        for series in selector.series.iter() {
            let column = self.series.get(&series.labels);
            let samples = Samples {
                timestamps: column.map_or(&[], |column| &column.timestamps),
                values: column.map_or(&[], |column| &column.values),
            };
            let (mut values, mut present) = (vec![0.0; steps], vec![false; steps]);
            let mut out = StepOutput {
                values: &mut values,
                present: &mut present,
            };
            evaluation.evaluate(samples, windows, &mut scratch, &mut out)?;
            let items = values.iter().zip(&present);
            vectors.extend(items.map(|(value, present)| present.then_some(*value)));
        }
        let name = format!(
            "{evaluation} {}",
            selector
                .spec
                .matchers
                .iter()
                .map(|m| format!("{}{}{:?}", m.name, m.op.as_str(), m.value))
                .collect::<Vec<_>>()
                .join(",")
        );
        let label_sets = selector.series.iter().map(|series| &series.labels);
        in_memory(&name, labels, label_sets, vectors.finish()?, steps)
    }

    async fn samples(
        &self,
        selector: &ResolvedSelector,
        min_ms: i64,
        max_ms: i64,
    ) -> Result<Vec<(SeriesRef, Vec<(i64, f64)>)>> {
        let mut all = Vec::new();
        for series in selector.series.iter() {
            let Some(column) = self.series.get(&series.labels) else {
                continue;
            };
            let samples: Vec<(i64, f64)> = column
                .timestamps
                .iter()
                .copied()
                .zip(column.values.iter().copied())
                .filter(|(t, v)| (min_ms..=max_ms).contains(t) && !is_stale_nan(*v))
                .collect();
            if !samples.is_empty() {
                all.push((Arc::clone(series), samples));
            }
        }
        Ok(all)
    }
}
