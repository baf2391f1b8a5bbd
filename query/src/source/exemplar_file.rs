//! Finds exemplars in files and tail.
//!
//! Files are chosen by their day, their times and their names, row groups by statistics, rows by name and time before labels are decoded.
//! `series` and `samples` are not looked at. Files are read newest first, a few at once and batch by batch, so that what is held is
//! bounded by [`NewestExemplars`]; files that are older than all that it will keep are left alone.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use chrono::NaiveTime;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, RowFilter,
};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use varve_storage::exemplar::decode_exemplars;
use varve_storage::wal::Segment;
use varve_storage::{Exemplar, SeriesRef, columns};
use varve_table::{TableFile, TableSnapshot};

use super::cache::SourceCaches;
use super::error_context::{corrupt, read_error};
use super::matcher::CompiledMatchers;
use super::reader::ArchiveFileReader;
use super::series_file::name_bounds;
use crate::error::Result;
use crate::exemplars::{ExemplarQuery, NewestExemplars};

/// Files that are read at the same time.
const FILES_AT_ONCE: usize = 8;
/// Rows that are decoded at once.
const BATCH_ROWS: usize = 1_024;
/// A file up to this size is fetched with one request.
const WHOLE_FILE_BYTES_MAX: u64 = 256 << 10;

const DAY_MS: i64 = 24 * 3_600_000;

/// What the exemplars of one query have in common.
#[derive(Debug)]
struct Wanted {
    selectors: Vec<CompiledMatchers>,
    min_ms: i64,
    max_ms: i64,
}

impl Wanted {
    fn admits_names(&self, (min, max): (Option<&str>, Option<&str>)) -> bool {
        let mut selectors = self.selectors.iter();
        selectors.any(|selector| selector.names().admits_range(min, max))
    }

    /// Whether some time of a closed range is wanted.
    fn admits_times(&self, (min_ms, max_ms): (i64, i64)) -> bool {
        min_ms <= self.max_ms && max_ms >= self.min_ms
    }

    fn admits_group(&self, group: &RowGroupMetaData) -> bool {
        self.admits_names(name_bounds(group)) && self.admits_times(time_bounds(group))
    }

    /// May let through more than the matchers do.
    fn admits(&self, name: &str, time_ms: i64) -> bool {
        let mut selectors = self.selectors.iter();
        self.admits_times((time_ms, time_ms))
            && selectors.any(|selector| selector.names().admits(name))
    }

    fn matches(&self, series: &SeriesRef) -> bool {
        let mut selectors = self.selectors.iter();
        selectors.any(|selector| selector.matches(&series.labels))
    }

    /// Adds those of some exemplars that are wanted. Those of one series follow each other and share it, so that it is matched once.
    fn take(
        &self,
        exemplars: impl Iterator<Item = Exemplar>,
        found: &Mutex<NewestExemplars>,
    ) -> Result<()> {
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last: Option<(SeriesRef, bool)> = None;
        for exemplar in exemplars {
            let matches = match &last {
                Some((series, matches)) if Arc::ptr_eq(series, &exemplar.series) => *matches,
                _ => {
                    let matches = self.matches(&exemplar.series);
                    last = Some((Arc::clone(&exemplar.series), matches));
                    matches
                }
            };
            if matches {
                found.add(exemplar)?;
            }
        }
        Ok(())
    }
}

/// Adds what a query asks for: exemplars of a table, and of segments that it may not hold yet; what is in both counts once.
pub(crate) async fn find(
    objects: &Arc<dyn ObjectStore>,
    caches: &Arc<SourceCaches>,
    table: &TableSnapshot,
    tail: &[Arc<Segment>],
    query: &ExemplarQuery,
    found: NewestExemplars,
) -> Result<NewestExemplars> {
    let selectors = query.matchers.iter().map(|m| CompiledMatchers::new(m));
    let wanted = Wanted {
        selectors: selectors.collect::<Result<_>>()?,
        min_ms: query.start_ms,
        max_ms: query.end_ms,
    };
    let found = Mutex::new(found);
    for segment in tail {
        let near = |e: &&Exemplar| wanted.admits(e.series.labels.metric_name(), e.timestamp_ms);
        wanted.take(segment.exemplars.iter().filter(near).cloned(), &found)?;
    }
    let mut files: Vec<(i64, &Arc<TableFile>)> = Vec::new();
    for file in table.files.values() {
        let times = times_of(file);
        let names = (file.min_name.as_deref(), file.max_name.as_deref());
        if wanted.admits_names(names) && wanted.admits_times(times) {
            files.push((times.1, file));
        }
    }
    files.sort_by_key(|(newest_ms, _)| std::cmp::Reverse(*newest_ms));
    let reads = files.into_iter().map(|(newest_ms, file)| {
        let reader = ArchiveFileReader::new(
            Arc::clone(objects),
            Arc::clone(caches),
            file.key(&table.root),
            file.size_bytes,
        );
        Ok((newest_ms, file.key(&table.root), file.size_bytes, reader))
    });
    let (wanted, into) = (Arc::new(wanted), &found);
    stream::iter(reads)
        .try_for_each_concurrent(FILES_AT_ONCE, |(newest_ms, key, size_bytes, reader)| {
            let wanted = Arc::clone(&wanted);
            async move {
                let oldest_ms = || {
                    let found = into.lock().unwrap_or_else(PoisonError::into_inner);
                    found.oldest_ms()
                };
                if newest_ms < oldest_ms() {
                    return Ok(());
                }
                read(&wanted, &key, size_bytes, reader, into).await
            }
        })
        .await?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The closed range of times of a file; that of its day where the log says no more.
fn times_of(file: &TableFile) -> (i64, i64) {
    let midnight = file.date.and_time(NaiveTime::MIN).and_utc();
    let start_ms = midnight.timestamp_millis();
    let end_ms = start_ms.saturating_add(DAY_MS - 1);
    (file.min_time_ms.max(start_ms), file.max_time_ms.min(end_ms))
}

fn time_bounds(group: &RowGroupMetaData) -> (i64, i64) {
    let mut columns = group.columns().iter();
    let column = columns.find(|column| column.column_path().string() == columns::TIMESTAMP);
    match column.and_then(|column| column.statistics()) {
        Some(Statistics::Int64(times)) => (
            times.min_opt().copied().unwrap_or(i64::MIN),
            times.max_opt().copied().unwrap_or(i64::MAX),
        ),
        _ => (i64::MIN, i64::MAX),
    }
}

async fn read(
    wanted: &Arc<Wanted>,
    key: &Path,
    size_bytes: u64,
    mut reader: ArchiveFileReader,
    found: &Mutex<NewestExemplars>,
) -> Result<()> {
    let failed = |error| read_error(key, error);
    if size_bytes <= WHOLE_FILE_BYTES_MAX {
        reader.hold_all().await.map_err(failed)?;
    }
    let footer = reader.footer().await.map_err(failed)?;
    let groups = footer.row_groups().iter().enumerate();
    let groups = groups
        .filter(|(_, group)| wanted.admits_group(group))
        .map(|(index, _)| index)
        .collect();
    let metadata =
        ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::new()).map_err(failed)?;
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
    let near = {
        let wanted = Arc::clone(wanted);
        let projection = ProjectionMask::columns(
            builder.parquet_schema(),
            [columns::NAME, columns::TIMESTAMP],
        );
        ArrowPredicateFn::new(projection, move |batch| admitted(&wanted, &batch))
    };
    let mut batches = builder
        .with_row_filter(RowFilter::new(vec![Box::new(near)]))
        .with_row_groups(groups)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(failed)?;
    while let Some(batch) = batches.next().await {
        let exemplars = decode_exemplars(&batch.map_err(failed)?);
        let exemplars = exemplars.map_err(|reason| corrupt(key, reason))?;
        wanted.take(exemplars.into_iter(), found)?;
    }
    Ok(())
}

fn admitted(wanted: &Wanted, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
    let column = |name| batch.column_by_name(name);
    let names = column(columns::NAME).and_then(|column| column.as_string_opt::<i32>());
    let times =
        column(columns::TIMESTAMP).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let (Some(names), Some(times)) = (names, times) else {
        let wrong = "exemplars without names or times".to_owned();
        return Err(ArrowError::SchemaError(wrong));
    };
    let rows = names.iter().zip(times.iter());
    // A null is an error of the row that has it, which is read therefore.
    Ok(rows
        .map(|row| match row {
            (Some(name), Some(time_ms)) => Some(wanted.admits(name, time_ms)),
            _ => Some(true),
        })
        .collect())
}
