//! Small archives in memory, and the evaluation of selectors over them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, Int64Array, MapBuilder, MapFieldNames, RecordBatch,
    StringArray, StringBuilder,
};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use varve_promql::{MatchOp, Matcher, Span};
use varve_storage::rows::{SeriesSamples, samples_batch};
use varve_storage::store::{RequestCounters, Store};
use varve_storage::{Labels, METRIC_NAME, Series, SeriesRef, columns};

use super::{ArchiveFile, ArchiveParts, ArchiveSource, SourceCaches, WalRows};
use crate::annotations::{Annotations, NotesAt};
use crate::kernels::WindowGrid;
use crate::selector::{Evaluation, ResolvedSelector, SelectorSource, SelectorSpec};
use crate::vector::Vectors;
use crate::window::SeriesWindowPlanner;

pub(crate) type Row = (Vec<Option<String>>, Vec<Option<f64>>);

/// An archive under construction.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) parts: ArchiveParts,
    pub(crate) caches: Arc<SourceCaches>,
    pub(crate) row_group_rows: usize,
    /// Whether files have the column of start timestamps.
    pub(crate) start_column: bool,
}

#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        state: &dyn Session,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let planner = Arc::new(SeriesWindowPlanner);
        DefaultPhysicalPlanner::with_extension_planners(vec![planner])
            .create_physical_plan(plan, state)
            .await
    }
}

pub(crate) fn series(pairs: &[(&str, &str)]) -> SeriesRef {
    Arc::new(Series::new(Labels::from_pairs(pairs.iter().copied())))
}

pub(crate) fn slice(series: &SeriesRef, samples: &[(i64, f64)]) -> SeriesSamples {
    let mut slice = SeriesSamples::new(Arc::clone(series));
    for (t, v) in samples {
        slice.timestamps.push(*t);
        slice.values.push(*v);
    }
    slice
}

pub(crate) fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value)
}

pub(crate) fn named(name: &str) -> Vec<Matcher> {
    vec![matcher(METRIC_NAME, MatchOp::Equal, name)]
}

fn sort(rows: &mut [SeriesSamples]) {
    rows.sort_by(|a, b| {
        let key = |r: &SeriesSamples| {
            (
                r.series.labels.metric_name().to_owned(),
                r.series.id,
                r.timestamps.first().copied(),
            )
        };
        key(a).cmp(&key(b))
    });
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self {
            store: Store::from_object_store(Arc::new(InMemory::new())),
            parts: ArchiveParts::default(),
            caches: Arc::new(SourceCaches::default()),
            row_group_rows: 1 << 20,
            start_column: true,
        }
    }

    /// Adds a file of `samples`, and one of `series` with its series.
    pub(crate) async fn add_file(&mut self, mut rows: Vec<SeriesSamples>) {
        if rows.is_empty() {
            return;
        }
        sort(&mut rows);
        let number = self.parts.samples.len();
        let mut batch = samples_batch(&rows).unwrap();
        if !self.start_column {
            let kept: Vec<usize> = (0..batch.num_columns() - 1).collect();
            batch = batch.project(&kept).unwrap();
        }
        let statistics = [
            columns::NAME,
            columns::SERIES_ID,
            columns::MIN_TIME,
            columns::MAX_TIME,
        ];
        let file = self
            .put(
                &format!("samples/{number}.parquet"),
                &batch,
                &statistics,
                &rows,
            )
            .await;
        self.parts.samples.push(file);

        let mut spans: BTreeMap<Labels, (SeriesRef, i64, i64)> = BTreeMap::new();
        for row in &rows {
            let (first, last) = (row.timestamps[0], *row.timestamps.last().unwrap());
            let span = spans.entry(row.series.labels.clone()).or_insert((
                Arc::clone(&row.series),
                first,
                last,
            ));
            span.1 = span.1.min(first);
            span.2 = span.2.max(last);
        }
        let mut spans: Vec<_> = spans.into_values().collect();
        spans.sort_by(|a, b| a.0.labels.metric_name().cmp(b.0.labels.metric_name()));
        let batch = series_batch(&spans);
        let file = self
            .put(
                &format!("series/{number}.parquet"),
                &batch,
                &[columns::NAME],
                &rows,
            )
            .await;
        self.parts.series.push(file);
    }

    async fn put(
        &self,
        key: &str,
        batch: &RecordBatch,
        statistics: &[&str],
        rows: &[SeriesSamples],
    ) -> Arc<ArchiveFile> {
        let mut properties = WriterProperties::builder()
            .set_statistics_enabled(EnabledStatistics::None)
            .set_dictionary_enabled(false)
            .set_max_row_group_row_count(Some(self.row_group_rows))
            .set_data_page_row_count_limit(128)
            .set_write_batch_size(64);
        for name in statistics {
            properties =
                properties.set_column_statistics_enabled((*name).into(), EnabledStatistics::Page);
        }
        let mut writer =
            ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
        writer.write(batch).unwrap();
        let bytes = writer.into_inner().unwrap();
        let size_bytes = bytes.len() as u64;
        self.put_bytes(key, bytes).await;
        let name = |row: &SeriesSamples| row.series.labels.metric_name().to_owned();
        Arc::new(ArchiveFile {
            key: Path::from(key),
            size_bytes,
            min_name: rows.iter().map(name).min(),
            max_name: rows.iter().map(name).max(),
            min_time_ms: rows.iter().map(|r| r.timestamps[0]).min().unwrap(),
            max_time_ms: rows
                .iter()
                .map(|r| *r.timestamps.last().unwrap())
                .max()
                .unwrap(),
        })
    }

    pub(crate) async fn put_bytes(&self, key: &str, bytes: Vec<u8>) {
        let objects = self.store.objects();
        objects
            .put(&Path::from(key), PutPayload::from(bytes))
            .await
            .unwrap();
    }

    /// Adds a WAL segment.
    pub(crate) fn add_wal(&mut self, mut rows: Vec<SeriesSamples>) {
        sort(&mut rows);
        self.parts.wal.push(WalRows {
            samples: samples_batch(&rows).unwrap(),
            series: rows.into_iter().map(|row| row.series).collect(),
        });
    }

    /// A source with counters of its own.
    pub(crate) fn source(&self) -> (ArchiveSource, Arc<RequestCounters>) {
        let (objects, counters): (Arc<dyn ObjectStore>, _) = self.store.scoped();
        let parts = Arc::new(self.parts.clone());
        let source = ArchiveSource::new(parts, objects, Arc::clone(&self.caches));
        (source, counters)
    }

    /// Resolves and evaluates; rows in the order of their labels.
    pub(crate) async fn evaluate(
        &self,
        matchers: &[Matcher],
        labels: &[&str],
        evaluation: Evaluation,
        windows: WindowGrid,
    ) -> crate::Result<Vec<Row>> {
        let (source, _) = self.source();
        let resolved = resolve(&source, matchers, &windows).await?;
        let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
        let plan = source.plan(&resolved, &labels, &evaluation, &windows, &notes())?;
        execute(&source, &plan, usize::MAX >> 1, 2).await
    }
}

pub(crate) async fn resolve(
    source: &ArchiveSource,
    matchers: &[Matcher],
    windows: &WindowGrid,
) -> crate::Result<ResolvedSelector> {
    let (min_ms, max_ms) = windows.fetch_range_ms().unwrap_or((1, 0));
    let spec = SelectorSpec {
        matchers: matchers.to_vec(),
        min_ms,
        max_ms,
    };
    source.resolve(&spec).await
}

pub(crate) fn session(
    source: &ArchiveSource,
    memory_bytes: usize,
    partitions: usize,
) -> SessionState {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory_bytes)))
        .build_arc()
        .unwrap();
    source.register(&runtime);
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_batch_size(8192);
    // More than two partitions: series side by side.
    config.options_mut().optimizer.prefer_existing_sort = partitions > 2;
    SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_query_planner(Arc::new(Planner))
        .build()
}

pub(crate) async fn execute(
    source: &ArchiveSource,
    plan: &LogicalPlan,
    memory_bytes: usize,
    partitions: usize,
) -> crate::Result<Vec<Row>> {
    let state = session(source, memory_bytes, partitions);
    let plan = state.create_physical_plan(&state.optimize(plan)?).await?;
    let batches = collect(plan, state.task_ctx()).await?;
    let mut rows = Vec::new();
    for batch in &batches {
        let (value, labels) = batch.columns().split_last().unwrap();
        let vectors = Vectors::try_new(value).unwrap();
        for row in 0..batch.num_rows() {
            let text = |column: &ArrayRef| {
                let column = column.as_string::<i32>();
                arrow::array::Array::is_valid(column, row).then(|| column.value(row).to_owned())
            };
            rows.push((
                labels.iter().map(text).collect(),
                vectors.floats(row).collect(),
            ));
        }
    }
    rows.sort_by(|a: &Row, b: &Row| a.0.cmp(&b.0));
    Ok(rows)
}

fn series_batch(spans: &[(SeriesRef, i64, i64)]) -> RecordBatch {
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let mut labels = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for (series, _, _) in spans {
        for (name, value) in series.labels.iter().filter(|(n, _)| *n != METRIC_NAME) {
            labels.keys().append_value(name);
            labels.values().append_value(value);
        }
        labels.append(true).unwrap();
    }
    let longs = |get: fn(&(SeriesRef, i64, i64)) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(spans.iter().map(get)))
    };
    let metric_names = spans.iter().map(|s| s.0.labels.metric_name());
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(metric_names)),
        Arc::new(labels.finish()),
        Arc::new(BinaryArray::from_iter_values(
            spans.iter().map(|s| s.0.id.0),
        )),
        longs(|s| s.1),
        longs(|s| s.2),
        longs(|_| 1),
    ];
    RecordBatch::try_new(columns::series_schema(), arrays).unwrap()
}

/// Notes that nobody reads.
pub(super) fn notes() -> NotesAt {
    NotesAt {
        annotations: Annotations::new(""),
        span: Span::new(0, 0),
    }
}
