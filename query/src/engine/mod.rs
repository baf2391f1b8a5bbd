//! Running queries: parse, resolve, plan, execute slice by slice, collect.
//!
//! 1. The text is parsed; durations that depend on the step are resolved.
//! 2. The archive is opened: one snapshot, and a bill of its own for the query's requests.
//! 3. All selectors are resolved against it. Series x steps beyond the limit end the query here.
//! 4. The grid is cut into slices, so that no slice has more cells than the engine holds at once. Each slice is planned (after inputs
//!    on which its plan depends were evaluated), optimized and executed by DataFusion, in a memory pool of the query's own.
//! 5. Rows become series; slices are appended by label set.
//!
//! All of that happens on a thread of the query's own ([`thread`]), because plans of deep expressions are deep. Dropping a query's future cancels it: DataFusion's tasks end with their streams.

mod backend;
mod collect;
mod explain;
mod order;
mod planning;
mod pool;
mod raw;
mod session;
mod stats;
mod thread;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use varve_histogram::extended::RangeVectorError;
use varve_promql::{DurationContext, Expr, ParseOptions, ValueType, parse_with};
use varve_storage::MetricMetadata;

use crate::annotations::Annotations;
use crate::api::backend::Listed;
use crate::exemplars::{ExemplarQuery, SeriesExemplars};
use crate::grid::StepGrid;
use crate::kernels::extended_samples;
use crate::plan::Settings;
use crate::plan::selectors::{Resolved, reach};
use crate::result::{
    MatrixSeries, QueryOptions, QueryResult, QueryStats, QueryValue, VectorSample,
};
use crate::selector::SelectorSource;
use crate::{Error, Result};
use collect::SeriesSet;
use session::QuerySession;
use thread::on_large_stack;

pub use raw::RawStream;

/// What an archive has counted for one query.
pub trait Bill: Send + Sync + fmt::Debug {
    /// Adds requests and bytes so far to the stats.
    fn fill(&self, stats: &mut QueryStats);
}

/// One snapshot of an archive, opened for one query.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Gives series and samples.
    pub source: Arc<dyn SelectorSource>,
    /// What was wrong when the snapshot was taken, such as segments that could not be read.
    pub warnings: Vec<String>,
    /// What reading costs; `None` where nothing is read from an object store.
    pub bill: Option<Arc<dyn Bill>>,
}

/// Where queries get their samples from.
#[async_trait]
pub trait Archive: Send + Sync + fmt::Debug {
    /// Takes a snapshot for one query.
    async fn open(&self) -> Result<Snapshot>;

    /// Exemplars by series, in the order of label sets, and warnings: what could not be read, and whether only the newest are given.
    /// An archive of samples alone has none.
    async fn exemplars(&self, _query: &ExemplarQuery) -> Listed<SeriesExemplars> {
        Ok((Vec::new(), Vec::new()))
    }

    /// What is known about a metric family, or about all of them where the name is "", and warnings. Each entry once; of one family the
    /// newest first, as far as that is known. An archive of samples alone knows nothing.
    async fn metadata(&self, _family: &str) -> Listed<MetricMetadata> {
        Ok((Vec::new(), Vec::new()))
    }
}

/// Settings of an engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// How far an instant selector looks back, in milliseconds.
    pub lookback_ms: i64,
    /// The step of a subquery that has none, in milliseconds, until [`Engine::set_subquery_step_ms`].
    pub subquery_step_ms: i64,
    /// How long a query may take.
    pub timeout: Duration,
    /// Bytes that the operators of one query may hold at once.
    pub memory_bytes_max: usize,
    /// Series x steps of a result, and of the input of one slice.
    pub cells_max: usize,
    /// Series x steps of the input from which the grid is cut into slices.
    pub slice_cells: usize,
    /// Partitions that DataFusion spreads a plan over. With more than one, sums of many series may differ in
    /// their last bit from run to run, because they are added in another order.
    pub partitions: usize,
    /// Rows per batch; `None`: as many as make 8 MiB of values.
    pub batch_rows: Option<usize>,
    /// Whether metric names are removed at the end of a query, and not by each operation
    /// (Prometheus: `--enable-feature=promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// What the parser accepts.
    pub parse: ParseOptions,
    /// Whether `rate`, `increase`, `irate`, `resets` and `start_timestamp` look at the start timestamps of samples
    /// (Prometheus's feature `use-start-timestamps`).
    pub use_start_timestamps: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: 5 * 60 * 1000,
            subquery_step_ms: 60 * 1000,
            timeout: Duration::from_secs(120),
            memory_bytes_max: 1 << 30,
            cells_max: 50_000_000,
            slice_cells: 8_000_000,
            partitions: 1,
            batch_rows: None,
            delayed_name_removal: false,
            parse: ParseOptions::default(),
            use_start_timestamps: false,
        }
    }
}

/// The fewest steps of a slice: each slice reads its windows anew.
const SLICE_STEPS_MIN: usize = 16;
/// The depth of expressions up to which duplicates are looked at twice: each vector operation doubles what is computed below it.
const LENIENT_DEPTH_MAX: usize = 10;
/// Snapshots on which a query is tried before a missing object is an error.
const SNAPSHOTS_MAX: usize = 3;

/// Answers PromQL queries from an archive. Clones share it.
#[derive(Clone, Debug)]
pub struct Engine {
    archive: Arc<dyn Archive>,
    options: EngineOptions,
    subquery_step_ms: Arc<AtomicI64>,
}

/// Where and in which pieces a query is executed.
struct Execution {
    session: QuerySession,
    slices: Vec<StepGrid>,
}

/// A parsed query with its snapshot and its resolved selectors.
struct Prepared {
    expr: Expr,
    grid: StepGrid,
    settings: Settings,
    snapshot: Snapshot,
    resolved: Resolved,
    annotations: Annotations,
    /// See [`Planner::lenient`](crate::plan::Planner::lenient).
    lenient: bool,
}

impl Prepared {
    /// Changes how the query is planned if that helps against an error; each change is made once.
    fn can_begin_again(&mut self, error: &Error) -> bool {
        match error {
            Error::DuplicateSeries(_) => {
                let may = !self.lenient && self.expr.depth() <= LENIENT_DEPTH_MAX;
                self.lenient |= may;
                may
            }
            Error::HistogramsFound(metric) => {
                self.snapshot.source.remember_histograms(metric);
                self.resolved.read_histograms(metric)
            }
            _ => false,
        }
    }
}

impl Engine {
    /// An engine over an archive.
    pub fn new(archive: Arc<dyn Archive>, options: EngineOptions) -> Self {
        Self {
            archive,
            options,
            subquery_step_ms: Arc::new(AtomicI64::new(options.subquery_step_ms)),
        }
    }

    /// Sets the step of subqueries that have none for queries from now on: Prometheus's global evaluation interval, which a new
    /// configuration may change.
    pub fn set_subquery_step_ms(&self, step_ms: i64) {
        self.subquery_step_ms.store(step_ms, Ordering::Relaxed);
    }

    /// The engine's settings.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Evaluates a query at one time.
    pub async fn instant(
        &self,
        query: &str,
        time_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult> {
        let grid = StepGrid::instant(time_ms);
        self.run(query, grid, true, options).await
    }

    /// Evaluates a query at every step from `start_ms` up to and including `end_ms`.
    pub async fn range(
        &self,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult> {
        let grid = StepGrid::range(start_ms, end_ms, step_ms);
        self.run(query, grid, false, options).await
    }

    async fn limited<T>(
        &self,
        options: &QueryOptions,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let after = options.timeout.unwrap_or(self.options.timeout);
        match tokio::time::timeout(after, work).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout {
                stage: "query execution",
                after,
            }),
        }
    }

    async fn run(
        &self,
        query: &str,
        grid: StepGrid,
        instant: bool,
        options: &QueryOptions,
    ) -> Result<QueryResult> {
        let (engine, query, by) = (self.clone(), query.to_owned(), options.clone());
        let work =
            on_large_stack(
                move || async move { engine.attempts(&query, grid, instant, &by).await },
            );
        self.limited(options, work).await
    }

    async fn attempts(
        &self,
        query: &str,
        grid: StepGrid,
        instant: bool,
        options: &QueryOptions,
    ) -> Result<QueryResult> {
        on_fresh_snapshots(|| self.attempt(query, grid, instant, options)).await
    }

    async fn attempt(
        &self,
        query: &str,
        grid: StepGrid,
        instant: bool,
        options: &QueryOptions,
    ) -> Result<QueryResult> {
        let started = Instant::now();
        let mut prepared = self.prepare(query, grid, instant, options).await?;
        let slices = self.slices(&prepared)?;
        let steps = slices.first().map_or(1, |slice| slice.steps);
        let session = QuerySession::new(&self.options, &prepared, steps)?;
        let mut execution = Execution { slices, session };
        let mut stats = QueryStats {
            series_selected: prepared.resolved.series() as u64,
            ..QueryStats::default()
        };
        let value = loop {
            match self.value(&prepared, instant, &execution, &mut stats).await {
                Err(error) if prepared.can_begin_again(&error) => {
                    prepared.annotations.restart();
                    execution.session = QuerySession::new(&self.options, &prepared, steps)?;
                }
                result => break result?,
            }
        };
        let value = truncated(value, options.limit);
        if let Some(bill) = &prepared.snapshot.bill {
            bill.fill(&mut stats);
        }
        stats.series_returned = match &value {
            QueryValue::Scalar { .. } | QueryValue::String { .. } => 1,
            QueryValue::Vector(samples) => samples.len() as u64,
            QueryValue::Matrix(series) => series.len() as u64,
        };
        stats.memory_peak_bytes = execution.session.memory_peak_bytes();
        stats.elapsed = started.elapsed();
        let (warnings, infos) = prepared.annotations.lists();
        Ok(QueryResult {
            value,
            warnings,
            infos,
            stats,
        })
    }

    async fn value(
        &self,
        prepared: &Prepared,
        instant: bool,
        execution: &Execution,
        stats: &mut QueryStats,
    ) -> Result<QueryValue> {
        Ok(match instant {
            true => self.instant_value(prepared, execution, stats).await?,
            false => QueryValue::Matrix(self.matrix(prepared, execution, stats).await?),
        })
    }

    async fn prepare(
        &self,
        query: &str,
        grid: StepGrid,
        instant: bool,
        options: &QueryOptions,
    ) -> Result<Prepared> {
        let mut expr = parse_with(query, &self.options.parse)?;
        let context = DurationContext {
            step_ms: if instant { 0 } else { grid.step_ms },
            range_ms: grid.end_ms() - grid.start_ms,
        };
        expr.resolve_durations(context)
            .map_err(|error| Error::BadData(error.to_string()))?;
        let value_type = expr.value_type();
        if !instant && !matches!(value_type, ValueType::Scalar | ValueType::Vector) {
            return Err(Error::BadData(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                value_type.documented()
            )));
        }
        if grid.steps == 0 {
            return Err(Error::BadData(
                "end timestamp must not be before start time".to_owned(),
            ));
        }
        let settings = Settings {
            lookback_ms: options.lookback_ms.unwrap_or(self.options.lookback_ms),
            subquery_step_ms: self.subquery_step_ms.load(Ordering::Relaxed),
            use_start_timestamps: self.options.use_start_timestamps,
            delayed_name_removal: self.options.delayed_name_removal,
        };
        let snapshot = self.archive.open().await?;
        let annotations = Annotations::new(query);
        for warning in &snapshot.warnings {
            annotations.warn_plain(warning.clone());
        }
        let source = snapshot.source.as_ref();
        let resolved = Resolved::of(&expr, grid, settings, source).await?;
        Ok(Prepared {
            expr,
            grid,
            settings,
            snapshot,
            resolved,
            annotations,
            lenient: false,
        })
    }

    /// The grid in slices whose input fits.
    fn slices(&self, prepared: &Prepared) -> Result<Vec<StepGrid>> {
        let series = prepared.resolved.series().max(1);
        let steps = (self.options.slice_cells / series).max(SLICE_STEPS_MIN);
        if series.saturating_mul(steps.min(prepared.grid.steps)) > self.options.cells_max {
            return Err(Error::TooManySamples("query execution"));
        }
        Ok(prepared.grid.slices(steps).collect())
    }

    async fn matrix(
        &self,
        prepared: &Prepared,
        execution: &Execution,
        stats: &mut QueryStats,
    ) -> Result<Vec<MatrixSeries>> {
        let mut series = SeriesSet::new(self.options.cells_max);
        for slice in execution.slices.iter().copied() {
            let session = &execution.session;
            let (plan, labels) = prepared.plan(slice, session, stats).await?;
            session
                .collect(plan, &labels, slice, &mut series, stats)
                .await?;
        }
        Ok(series.into_matrix())
    }

    async fn instant_value(
        &self,
        prepared: &Prepared,
        execution: &Execution,
        stats: &mut QueryStats,
    ) -> Result<QueryValue> {
        let time_ms = prepared.grid.start_ms;
        match (prepared.expr.value_type(), prepared.expr.without_parens()) {
            (_, Expr::StringLiteral(literal)) => Ok(QueryValue::String {
                time_ms,
                value: literal.value.clone(),
            }),
            (ValueType::Matrix, expr) => Ok(QueryValue::Matrix(
                self.range_vector(prepared, expr, execution, stats).await?,
            )),
            (ValueType::Scalar, _) => {
                let matrix = self.matrix(prepared, execution, stats).await?;
                let sample = matrix.first().and_then(|series| series.samples.first());
                Ok(QueryValue::Scalar {
                    time_ms,
                    value: sample.map_or(f64::NAN, |(_, value)| *value),
                })
            }
            _ => {
                let matrix = self.matrix(prepared, execution, stats).await?;
                let sample = |series: MatrixSeries| {
                    Some(VectorSample {
                        value: series.at(time_ms)?,
                        labels: series.labels,
                        time_ms,
                    })
                };
                let mut samples: Vec<VectorSample> =
                    matrix.into_iter().filter_map(sample).collect();
                order::sort(&prepared.expr, &mut samples);
                Ok(QueryValue::Vector(samples))
            }
        }
    }

    /// An instant query for a range vector: samples as they are, or a subquery's steps.
    async fn range_vector(
        &self,
        prepared: &Prepared,
        expr: &Expr,
        execution: &Execution,
        stats: &mut QueryStats,
    ) -> Result<Vec<MatrixSeries>> {
        let mut series = SeriesSet::new(self.options.cells_max);
        match expr {
            Expr::MatrixSelector(matrix) => {
                let resolved = prepared.resolved.get(matrix.selector.span)?;
                let (min_ms, max_ms) = (resolved.spec.min_ms, resolved.spec.max_ms);
                let source = &prepared.snapshot.source;
                let reach = reach(&matrix.selector, prepared.settings.lookback_ms);
                for mut found in source.samples(resolved, min_ms, max_ms).await? {
                    stats.samples_read += found.len() as u64;
                    if let Some(reach) = reach {
                        let end_ms = max_ms.saturating_sub(reach.after_ms);
                        let start_ms = min_ms.saturating_sub(1).saturating_add(reach.before_ms);
                        let range_ms = end_ms.saturating_sub(start_ms);
                        if !found.histograms.is_empty() {
                            let error = match reach.smoothed {
                                true => RangeVectorError::Smoothed,
                                false => RangeVectorError::Anchored,
                            };
                            return Err(Error::Execution(error.to_string()));
                        }
                        let samples = &found.samples;
                        found.samples = extended_samples(samples, range_ms, end_ms, reach.smoothed);
                    }
                    series.extend(found)?;
                }
            }
            Expr::Subquery(_) => {
                let session = &execution.session;
                let (plan, labels, grid) = prepared.subquery(session, stats).await?;
                if grid.steps > 0 {
                    session
                        .collect(plan, &labels, grid, &mut series, stats)
                        .await?;
                }
            }
            _ => return Err(Error::NotSupported("this range vector".to_owned())),
        }
        Ok(series.into_matrix())
    }
}

/// Compaction replaces files, and deletes what it replaced after a grace period. Work that is slower than that
/// begins again on a fresh snapshot.
async fn on_fresh_snapshots<T, F>(mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for _ in 1..SNAPSHOTS_MAX {
        match attempt().await {
            Err(error) if error.is_missing_object() => {
                tracing::info!(%error, "an object was replaced and deleted under a query, which begins again");
            }
            result => return result,
        }
    }
    attempt().await
}

/// The first series of a value.
fn truncated(mut value: QueryValue, limit: Option<usize>) -> QueryValue {
    let limit = limit.unwrap_or(usize::MAX);
    match &mut value {
        QueryValue::Vector(samples) => samples.truncate(limit),
        QueryValue::Matrix(series) => series.truncate(limit),
        QueryValue::Scalar { .. } | QueryValue::String { .. } => {}
    }
    value
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::memory::MemoryArchive;

    /// An archive whose first snapshots name a file that is gone.
    #[derive(Debug)]
    struct Vanishing {
        lost: AtomicUsize,
        archive: MemoryArchive,
    }

    #[async_trait]
    impl Archive for Vanishing {
        async fn open(&self) -> Result<Snapshot> {
            let lost = |left: usize| left.checked_sub(1);
            if self
                .lost
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, lost)
                .is_err()
            {
                return self.archive.open().await;
            }
            Err(Error::Storage(varve_storage::Error::Store {
                action: "read",
                key: "default/samples/date=2026-11-23/gone.parquet".to_owned(),
                source: object_store::Error::NotFound {
                    path: "gone.parquet".to_owned(),
                    source: "404".into(),
                },
            }))
        }
    }

    async fn answer(lost: usize) -> Result<QueryResult> {
        let archive = Vanishing {
            lost: AtomicUsize::new(lost),
            archive: MemoryArchive::default(),
        };
        let engine = Engine::new(Arc::new(archive), EngineOptions::default());
        engine
            .instant("vector(1)", 0, &QueryOptions::default())
            .await
    }

    #[tokio::test]
    async fn a_query_that_loses_a_file_begins_again_but_not_for_ever() {
        assert!(matches!(answer(2).await.unwrap().value, QueryValue::Vector(v) if v.len() == 1));
        let error = answer(3).await.unwrap_err();
        assert!(error.to_string().contains("gone.parquet"), "{error}");
    }
}
