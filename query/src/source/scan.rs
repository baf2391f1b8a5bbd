//! The scan of `samples` for some series and some time, as a table of DataFusion.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal, in_list};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr, conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use object_store::ObjectStore;
use varve_promql::Matcher;
use varve_storage::columns;

use super::archive::{ArchiveFile, ArchiveParts, ArchiveSource, WalRows};
use super::cache::SourceCaches;
use super::file_scan::NamedFileScan;
use super::id_filter::SeriesIdFilter;
use super::matcher::NameFilter;
use super::reader::ArchiveReaderFactory;
use super::series::wal_rows;
use super::series_set::SeriesSet;

/// Ids up to this number are literals of the plan, so that pages can be skipped by them.
const LITERAL_IDS_MAX: usize = 20;
/// Slices of one batch: 2-hour slices at 15 s have 480 samples, so that a batch stays below some MB.
pub(crate) const BATCH_SLICES: usize = 512;

/// The slices of some series that may have samples in a closed range of time.
///
/// Columns: `__name__` (only where the series have several names), `series_id`, `min_time`, `timestamps`, `values`, and
/// `histograms` and `start_timestamps` if they are to be read; every partition is ordered by the first ones, up to `min_time`.
#[derive(Clone)]
pub struct SamplesScan {
    name: String,
    series: Arc<SeriesSet>,
    range_ms: Option<(i64, i64)>,
    /// Whether native histograms are read.
    histograms: bool,
    /// Whether all series of a name are wanted, so that ids need not be looked at.
    whole_names: bool,
    parts: Arc<ArchiveParts>,
    objects: Arc<dyn ObjectStore>,
    caches: Arc<SourceCaches>,
    schema: SchemaRef,
    /// The columns of `schema` in a file.
    projection: Vec<usize>,
}

impl fmt::Debug for SamplesScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SamplesScan")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl SamplesScan {
    pub(super) fn new(
        source: &ArchiveSource,
        matchers: &[Matcher],
        series: Arc<SeriesSet>,
        range_ms: Option<(i64, i64)>,
        whole_names: bool,
        (histograms, starts): (bool, bool),
    ) -> Self {
        let selector: Vec<String> = matchers
            .iter()
            .map(|m| format!("{}{}{:?}", m.name, m.op.as_str(), m.value))
            .collect();
        let range = range_ms.map_or_else(String::new, |(min, max)| format!("{min}..={max}"));
        let file_schema = columns::samples_schema();
        let mut wanted = vec![
            columns::SERIES_ID,
            columns::MIN_TIME,
            columns::TIMESTAMPS,
            columns::VALUES,
        ];
        if histograms {
            wanted.push(columns::HISTOGRAMS);
        }
        if starts {
            wanted.push(columns::START_TIMESTAMPS);
        }
        if series.names().len() > 1 {
            wanted.insert(0, columns::NAME);
        }
        let index = |name: &&str| file_schema.column_with_name(name).map(|(index, _)| index);
        let projection: Vec<usize> = wanted.iter().filter_map(index).collect();
        let fields: Vec<_> = projection
            .iter()
            .map(|index| Arc::clone(&file_schema.fields()[*index]))
            .collect();
        Self {
            // The whole identity: DataFusion takes scans of one name for one table.
            name: format!(
                "samples{{{}}}[{range}]{}",
                selector.join(", "),
                if starts { " with start timestamps" } else { "" }
            ),
            series,
            range_ms,
            histograms,
            whole_names,
            parts: Arc::clone(&source.parts),
            objects: Arc::clone(&source.objects),
            caches: Arc::clone(&source.caches),
            schema: Arc::new(arrow::datatypes::Schema::new(fields)),
            projection,
        }
    }

    /// The table's name in plans.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The series that are read.
    pub fn series(&self) -> &Arc<SeriesSet> {
        &self.series
    }

    /// Whether native histograms are read.
    pub fn reads_histograms(&self) -> bool {
        self.histograms
    }

    /// The closed range of time.
    pub(super) fn range_ms(&self) -> Option<(i64, i64)> {
        self.range_ms
    }

    fn files(&self, min_ms: i64, max_ms: i64) -> Vec<&Arc<ArchiveFile>> {
        let names = self.series.names();
        let holds_name = |file: &ArchiveFile| {
            let from =
                names.partition_point(|n| file.min_name.as_deref().is_some_and(|min| *n < min));
            names
                .get(from)
                .is_some_and(|n| file.max_name.as_deref().is_none_or(|max| *n <= max))
        };
        self.parts
            .samples
            .iter()
            .filter(|file| file.min_time_ms <= max_ms && file.max_time_ms >= min_ms)
            .filter(|file| holds_name(file))
            .collect()
    }

    /// What a row must fulfil: name, id, time.
    fn predicate(&self, min_ms: i64, max_ms: i64) -> Result<Arc<dyn PhysicalExpr>> {
        let schema = columns::samples_schema();
        let column = |name: &str| -> Result<Arc<dyn PhysicalExpr>> {
            Ok(Arc::new(Column::new_with_schema(name, &schema)?))
        };
        let compare = |name: &str, op, value| -> Result<Arc<dyn PhysicalExpr>> {
            let literal = Arc::new(Literal::new(value));
            Ok(Arc::new(BinaryExpr::new(column(name)?, op, literal)))
        };
        let text = |name: &str| ScalarValue::Utf8(Some(name.to_owned()));
        let mut all = Vec::new();
        match self.series.names().as_slice() {
            [name] => all.push(compare(columns::NAME, Operator::Eq, text(name))?),
            [first, .., last] => {
                all.push(compare(columns::NAME, Operator::GtEq, text(first))?);
                all.push(compare(columns::NAME, Operator::LtEq, text(last))?);
            }
            [] => {}
        }
        if !self.whole_names || self.series.names().len() > 1 {
            let ids: HashSet<[u8; 16]> = self.series.series().iter().map(|s| s.id.0).collect();
            let id = column(columns::SERIES_ID)?;
            if ids.len() <= LITERAL_IDS_MAX {
                let mut ids: Vec<_> = ids.into_iter().collect();
                ids.sort_unstable();
                let literals = ids.into_iter().map(|id| {
                    let literal = Literal::new(ScalarValue::Binary(Some(id.to_vec())));
                    Arc::new(literal) as Arc<dyn PhysicalExpr>
                });
                all.push(in_list(id, literals.collect(), &false, &schema)?);
            } else {
                all.push(Arc::new(SeriesIdFilter::new(id, ids)));
            }
        }
        let time = |ms| ScalarValue::Int64(Some(ms));
        all.push(compare(columns::MIN_TIME, Operator::LtEq, time(max_ms))?);
        all.push(compare(columns::MAX_TIME, Operator::GtEq, time(min_ms))?);
        Ok(conjunction(all))
    }

    fn file_scan(
        &self,
        min_ms: i64,
        max_ms: i64,
        projection: &[usize],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let files = self.files(min_ms, max_ms);
        if files.is_empty() {
            return Ok(None);
        }
        let groups = files
            .into_iter()
            .map(|file| {
                let file = PartitionedFile::new(file.key.to_string(), file.size_bytes);
                FileGroup::new(vec![file])
            })
            .collect();
        let file_schema = columns::samples_schema();
        let source = ParquetSource::new(TableSchema::from(Arc::clone(&file_schema)))
            .with_predicate(self.predicate(min_ms, max_ms)?)
            .with_pushdown_filters(true)
            .with_enable_page_index(true)
            .with_parquet_file_reader_factory(Arc::new(ArchiveReaderFactory {
                objects: Arc::clone(&self.objects),
                caches: Arc::clone(&self.caches),
            }));
        let ordering = self.ordering_in(&file_schema);
        let source: Arc<dyn FileSource> = Arc::new(source);
        let config = FileScanConfigBuilder::new(ArchiveSource::object_store_url(), source)
            .with_file_groups(groups)
            .with_projection_indices(Some(projection.to_vec()))?
            .with_output_ordering(ordering.into_iter().collect())
            .with_batch_size(Some(BATCH_SLICES))
            .build();
        Ok(Some(DataSourceExec::from_data_source(NamedFileScan::new(
            config,
        ))))
    }

    /// The order of slices by the columns of another schema.
    fn ordering_in(&self, schema: &SchemaRef) -> Option<LexOrdering> {
        let sorts = slice_ordering(&self.schema)?
            .into_iter()
            .filter_map(|sort| {
                let name = sort.expr.downcast_ref::<Column>()?.name().to_owned();
                let column = Column::new_with_schema(&name, schema).ok()?;
                Some(PhysicalSortExpr::new_default(Arc::new(column)))
            });
        LexOrdering::new(sorts)
    }

    /// The rows of the tail, in order, in one partition.
    fn tail_scan(
        &self,
        min_ms: i64,
        max_ms: i64,
        projection: &[usize],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let names = self.series.names().into_iter().map(str::to_owned).collect();
        let names = NameFilter::OneOf(names);
        // (name, id, segment, row): segments are in the order of their times more often than not, but need not be.
        let mut rows = Vec::new();
        for (number, segment) in self.parts.wal.iter().enumerate() {
            for row in wal_rows(segment, &names, min_ms, max_ms) {
                let series = &segment.series[row];
                if self.series.index_of(&series.id.0).is_some() {
                    let first_ms = segment.min_time_ms(row);
                    rows.push((series, first_ms, (number, row)));
                }
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        rows.sort_by(|(a, a_ms, _), (b, b_ms, _)| {
            if a.id == b.id {
                return a_ms.cmp(b_ms);
            }
            let names = a.labels.metric_name().cmp(b.labels.metric_name());
            names.then_with(|| a.id.cmp(&b.id))
        });
        let places: Vec<(usize, usize)> = rows.into_iter().map(|(_, _, place)| place).collect();
        let column = |index: &usize| -> Result<ArrayRef> {
            let name = columns::samples_schema().field(*index).name().clone();
            let piece = |segment: &WalRows| match segment.samples.column_by_name(&name) {
                Some(column) => Ok(Arc::clone(column)),
                None => exec_err!("a WAL segment has no column {name}"),
            };
            let pieces = self.parts.wal.iter().map(piece);
            let pieces: Vec<ArrayRef> = pieces.collect::<Result<_>>()?;
            let pieces: Vec<&dyn Array> = pieces.iter().map(|piece| piece.as_ref()).collect();
            Ok(interleave(&pieces, &places)?)
        };
        let arrays = projection.iter().map(column).collect::<Result<Vec<_>>>()?;
        let schema = Arc::new(columns::samples_schema().project(projection)?);
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
        let batches = (0..batch.num_rows())
            .step_by(BATCH_SLICES)
            .map(|start| batch.slice(start, BATCH_SLICES.min(batch.num_rows() - start)))
            .collect();
        let mut source = MemorySourceConfig::try_new(&[batches], Arc::clone(&schema), None)?;
        if let Some(ordering) = slice_ordering(&schema) {
            source = source.try_with_sort_information(vec![ordering])?;
        }
        Ok(Some(DataSourceExec::from_data_source(source)))
    }

    /// The physical scan of some of the table's columns: a partition per file, and one for the tail.
    pub(super) fn physical(
        &self,
        projection: Option<&Vec<usize>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection: Vec<usize> = match projection {
            Some(wanted) => wanted
                .iter()
                .filter_map(|i| self.projection.get(*i).copied())
                .collect(),
            None => self.projection.clone(),
        };
        let mut inputs = Vec::new();
        if let Some((min_ms, max_ms)) = self.range_ms
            && !self.series.series().is_empty()
        {
            inputs.extend(self.file_scan(min_ms, max_ms, &projection)?);
            inputs.extend(self.tail_scan(min_ms, max_ms, &projection)?);
        }
        match inputs.len() {
            0 => {
                let schema = columns::samples_schema().project(&projection)?;
                Ok(Arc::new(EmptyExec::new(Arc::new(schema))))
            }
            1 => Ok(inputs.swap_remove(0)),
            _ => UnionExec::try_new(inputs),
        }
    }
}

/// The order of slices: by name (where the scan has more than one), series and time.
pub(crate) fn slice_ordering(schema: &SchemaRef) -> Option<LexOrdering> {
    let column = |name: &str| {
        let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new_with_schema(name, schema).ok()?);
        Some(PhysicalSortExpr::new_default(expr))
    };
    let key = [column(columns::SERIES_ID)?, column(columns::MIN_TIME)?];
    LexOrdering::new(column(columns::NAME).into_iter().chain(key))
}

#[async_trait]
impl TableProvider for SamplesScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.physical(projection)
    }
}
