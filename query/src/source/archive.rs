//! What a query reads: files of both tables, the tail, and the way to the object store.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_planner::ExtensionPlanner;
use object_store::ObjectStore;
use object_store::path::Path;
use varve_storage::wal::Segment;
use varve_storage::{SeriesRef, columns};
use varve_table::{ArchiveSnapshot, TableFile, TableSnapshot};

use super::cache::SourceCaches;
use super::matcher::CompiledMatchers;
use super::scan::SamplesScan;
use super::series_set::SeriesSet;
use super::{raw, series};
use crate::annotations::NotesAt;
use crate::error::Result;
use crate::kernels::WindowGrid;
use crate::result::MatrixSeries;
use crate::selector::{Evaluation, RawPart, ResolvedSelector, SelectorSource, SelectorSpec};
use crate::window::{SeriesWindow, SeriesWindowPlanner, WindowKernel};

/// A live file of a table. All ranges are closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArchiveFile {
    /// The object's key.
    pub key: Path,
    /// The object's size.
    pub size_bytes: u64,
    /// The least metric name; `None` is unknown.
    pub min_name: Option<String>,
    /// The greatest metric name; `None` is unknown.
    pub max_name: Option<String>,
    /// The first sample's time.
    pub min_time_ms: i64,
    /// The last sample's time.
    pub max_time_ms: i64,
}

/// Rows of one WAL segment.
#[derive(Clone, Debug)]
pub struct WalRows {
    /// Rows of `samples`, sorted by name and id, one per series.
    pub samples: RecordBatch,
    /// The series of each row.
    pub series: Vec<SeriesRef>,
}

impl WalRows {
    /// The time of a row's first sample.
    pub(super) fn min_time_ms(&self, row: usize) -> i64 {
        let column = self.samples.column_by_name(columns::MIN_TIME);
        column
            .and_then(|column| column.as_primitive_opt::<Int64Type>())
            .map_or(i64::MIN, |times| times.value(row))
    }
}

/// One snapshot of an archive: every sample is in a file or in the tail.
#[derive(Clone, Debug, Default)]
pub struct ArchiveParts {
    /// Files of `samples`.
    pub samples: Vec<Arc<ArchiveFile>>,
    /// Files of `series`.
    pub series: Vec<Arc<ArchiveFile>>,
    /// The tail.
    pub wal: Vec<WalRows>,
}

impl ArchiveParts {
    /// The parts of a snapshot. Costs no request; make it once per snapshot and share it.
    pub fn of(snapshot: &ArchiveSnapshot) -> Self {
        let files = |table: &TableSnapshot| {
            let file = |file: &Arc<TableFile>| {
                Arc::new(ArchiveFile {
                    key: file.key(&table.root),
                    size_bytes: file.size_bytes,
                    min_name: file.min_name.clone(),
                    max_name: file.max_name.clone(),
                    min_time_ms: file.min_time_ms,
                    max_time_ms: file.max_time_ms,
                })
            };
            table.files.values().map(file).collect()
        };
        let tail = |segment: &Arc<Segment>| WalRows {
            samples: segment.samples.clone(),
            series: segment.series.clone(),
        };
        Self {
            samples: files(&snapshot.samples),
            series: files(&snapshot.series),
            wal: snapshot.wal.iter().map(tail).collect(),
        }
    }
}

/// The source of one query's selectors.
#[derive(Clone, Debug)]
pub struct ArchiveSource {
    pub(super) parts: Arc<ArchiveParts>,
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) caches: Arc<SourceCaches>,
}

impl ArchiveSource {
    /// A source that reads through `objects`, which counts for one query, with caches that queries share.
    pub fn new(
        parts: Arc<ArchiveParts>,
        objects: Arc<dyn ObjectStore>,
        caches: Arc<SourceCaches>,
    ) -> Self {
        Self {
            parts,
            objects,
            caches,
        }
    }

    /// The URL by which plans name the object store.
    pub fn object_store_url() -> ObjectStoreUrl {
        // The only part that can fail is parsing a constant; the fallback is a valid URL as well.
        ObjectStoreUrl::parse("varve://archive")
            .unwrap_or_else(|_| ObjectStoreUrl::local_filesystem())
    }

    /// Makes the store known to the runtime that executes this query's plans.
    pub fn register(&self, runtime: &RuntimeEnv) {
        let url = Self::object_store_url();
        runtime.register_object_store(url.as_ref(), Arc::clone(&self.objects));
    }

    /// The scan of the samples of some series in a closed range of time; `None` is no time at all.
    pub(super) fn scan(
        &self,
        selector: &ResolvedSelector,
        range_ms: Option<(i64, i64)>,
    ) -> Result<Arc<SamplesScan>> {
        self.scan_part(selector, &selector.series, range_ms)
    }

    /// [`ArchiveSource::scan`] for some of the selector's series.
    fn scan_part(
        &self,
        selector: &ResolvedSelector,
        series: &[SeriesRef],
        range_ms: Option<(i64, i64)>,
    ) -> Result<Arc<SamplesScan>> {
        let matchers = CompiledMatchers::new(&selector.spec.matchers)?;
        let whole_names = matchers.only_names() && series.len() == selector.series.len();
        Ok(Arc::new(SamplesScan::new(
            self,
            &selector.spec.matchers,
            Arc::new(SeriesSet::new(series)),
            range_ms,
            whole_names,
            (selector.histograms, selector.start_timestamps),
        )))
    }
}

#[async_trait]
impl SelectorSource for ArchiveSource {
    async fn resolve(&self, spec: &SelectorSpec) -> Result<ResolvedSelector> {
        let matchers = CompiledMatchers::new(&spec.matchers)?;
        let found = series::find(self, &matchers, spec.min_ms, spec.max_ms).await?;
        let names = found.iter().map(|series| series.labels.metric_name());
        Ok(ResolvedSelector {
            spec: spec.clone(),
            histograms: self.caches.know_histograms(names),
            series: found.into(),
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
        let scan = self.scan(selector, windows.fetch_range_ms())?;
        let kernel = WindowKernel::new(selector, evaluation, windows, notes);
        Ok(SeriesWindow::plan(scan, kernel, labels)?)
    }

    async fn samples(
        &self,
        selector: &ResolvedSelector,
        min_ms: i64,
        max_ms: i64,
    ) -> Result<Vec<MatrixSeries>> {
        let range_ms = (min_ms <= max_ms).then_some((min_ms, max_ms));
        raw::samples(self.scan(selector, range_ms)?, self).await
    }

    async fn raw(
        &self,
        selector: &ResolvedSelector,
        part: Range<usize>,
        bytes_max: usize,
    ) -> Result<RawPart> {
        let (min_ms, max_ms) = (selector.spec.min_ms, selector.spec.max_ms);
        let range_ms = (min_ms <= max_ms).then_some((min_ms, max_ms));
        let series = selector.series.get(part).unwrap_or_default();
        raw::part(self.scan_part(selector, series, range_ms)?, self, bytes_max).await
    }

    fn remember_histograms(&self, metric: &str) {
        self.caches.remember_histograms(metric);
    }

    fn register(&self, runtime: &RuntimeEnv) {
        Self::register(self, runtime);
    }

    fn extension_planners(&self) -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
        vec![Arc::new(SeriesWindowPlanner)]
    }
}
