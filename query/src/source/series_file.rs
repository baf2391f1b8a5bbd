//! Reads files of `series`.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, RowFilter,
};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use varve_storage::{Labels, METRIC_NAME, Series, SeriesId, SeriesRef, columns};

use super::archive::{ArchiveFile, ArchiveSource};
use super::error_context::{corrupt, read_error};
use super::matcher::NameFilter;
use super::reader::ArchiveFileReader;
use crate::error::Result;

/// A file up to this size is read, and kept, as a whole: one request answers all later questions.
const WHOLE_FILE_BYTES_MAX: u64 = 512 << 10;

/// A series of a file and the closed range of time of its samples.
#[derive(Clone, Debug)]
pub(super) struct SeriesSpan {
    pub(super) series: SeriesRef,
    pub(super) min_time_ms: i64,
    pub(super) max_time_ms: i64,
}

/// Decoded rows of a file.
#[derive(Debug, Default)]
pub(super) struct SeriesRows {
    pub(super) rows: Vec<SeriesSpan>,
}

impl SeriesRows {
    fn heap_bytes(&self) -> usize {
        let row = |row: &SeriesSpan| row.series.labels.heap_bytes() + 96;
        self.rows.iter().map(row).sum::<usize>() + 64
    }
}

/// The rows of a file whose names pass; may give more. Cached per file and name.
pub(super) async fn read(
    source: &ArchiveSource,
    file: &ArchiveFile,
    names: &NameFilter,
) -> Result<Vec<Arc<SeriesRows>>> {
    let cache = &source.caches.series;
    let whole = (file.key.clone(), None);
    if let Some(rows) = cache.get(&whole) {
        return Ok(vec![rows]);
    }
    let wanted = match names {
        NameFilter::OneOf(names) if file.size_bytes > WHOLE_FILE_BYTES_MAX => names,
        _ => {
            let rows = Arc::new(read_filtered(source, file, &NameFilter::Any).await?);
            cache.insert(whole, Arc::clone(&rows), rows.heap_bytes());
            return Ok(vec![rows]);
        }
    };
    let key = |name: &String| (file.key.clone(), Some(name.clone()));
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in wanted {
        match cache.get(&key(name)) {
            Some(rows) => found.push(rows),
            None => missing.push(name.clone()),
        }
    }
    if !missing.is_empty() {
        let read = read_filtered(source, file, &NameFilter::OneOf(missing.clone())).await?;
        for name in missing {
            let of_name = |row: &&SeriesSpan| row.series.labels.metric_name() == name;
            let rows = read.rows.iter().filter(of_name).cloned().collect();
            let rows = Arc::new(SeriesRows { rows });
            cache.insert(key(&name), Arc::clone(&rows), rows.heap_bytes());
            found.push(rows);
        }
    }
    Ok(found)
}

async fn read_filtered(
    source: &ArchiveSource,
    file: &ArchiveFile,
    names: &NameFilter,
) -> Result<SeriesRows> {
    let failed = |error| read_error(&file.key, error);
    let mut reader = ArchiveFileReader::new(
        Arc::clone(&source.objects),
        Arc::clone(&source.caches),
        file.key.clone(),
        file.size_bytes,
    );
    if file.size_bytes <= WHOLE_FILE_BYTES_MAX {
        reader.hold_all().await.map_err(failed)?;
    }
    let footer = reader.footer().await.map_err(failed)?;
    let metadata =
        ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::new()).map_err(failed)?;
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
    let schema = builder.parquet_schema();
    let groups = builder.metadata().row_groups();
    let groups = (0..groups.len())
        .filter(|i| {
            let (min, max) = name_bounds(&groups[*i]);
            names.admits_range(min, max)
        })
        .collect();
    // Labels and ids are not decoded where the name alone rules a row out.
    if *names != NameFilter::Any {
        let names = names.clone();
        let projection = ProjectionMask::columns(schema, [columns::NAME]);
        let predicate = ArrowPredicateFn::new(projection, move |batch| admitted(&names, &batch));
        builder = builder.with_row_filter(RowFilter::new(vec![Box::new(predicate)]));
    }
    let wanted = [
        columns::NAME,
        columns::LABELS,
        columns::SERIES_ID,
        columns::MIN_TIME,
        columns::MAX_TIME,
    ];
    let projection = ProjectionMask::columns(builder.parquet_schema(), wanted);
    let stream = builder
        .with_row_groups(groups)
        .with_projection(projection)
        .build()
        .map_err(failed)?;
    let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(failed)?;
    let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in &batches {
        decode(batch, &mut rows).map_err(|reason| corrupt(&file.key, reason))?;
    }
    Ok(SeriesRows { rows })
}

/// The least and the greatest name of a row group; `None` is unbounded.
pub(super) fn name_bounds(group: &RowGroupMetaData) -> (Option<&str>, Option<&str>) {
    let mut columns = group.columns().iter();
    let column = columns.find(|column| column.column_path().string() == columns::NAME);
    let Some(Statistics::ByteArray(values)) = column.and_then(|column| column.statistics()) else {
        return (None, None);
    };
    let min = values.min_bytes_opt().map(std::str::from_utf8);
    let max = values.max_bytes_opt().map(std::str::from_utf8);
    (min.and_then(Result::ok), max.and_then(Result::ok))
}

fn admitted(names: &NameFilter, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
    let wrong = || ArrowError::SchemaError(format!("{} is not text", columns::NAME));
    let column = batch.column(0).as_string_opt::<i32>().ok_or_else(wrong)?;
    Ok(column
        .iter()
        .map(|name| Some(names.admits(name.unwrap_or(""))))
        .collect())
}

/// Appends the rows of a batch; says what is wrong with it.
fn decode(batch: &RecordBatch, out: &mut Vec<SeriesSpan>) -> Result<(), String> {
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .ok_or_else(|| format!("it has no column {name}"))
    };
    let wrong = |name: &str| format!("its column {name} has an unexpected type");
    let names = column(columns::NAME)?.as_string_opt::<i32>();
    let names = names.ok_or_else(|| wrong(columns::NAME))?;
    let ids = column(columns::SERIES_ID)?.as_binary_opt::<i32>();
    let ids = ids.ok_or_else(|| wrong(columns::SERIES_ID))?;
    let times = |name: &'static str| {
        let column = column(name)?.as_primitive_opt::<Int64Type>();
        column.ok_or_else(|| wrong(name))
    };
    let (min_times, max_times) = (times(columns::MIN_TIME)?, times(columns::MAX_TIME)?);
    let maps = column(columns::LABELS)?.as_map_opt();
    let maps = maps.ok_or_else(|| wrong(columns::LABELS))?;
    let keys = maps.keys().as_string_opt::<i32>();
    let keys = keys.ok_or_else(|| wrong(columns::LABELS))?;
    let values = maps.values().as_string_opt::<i32>();
    let values = values.ok_or_else(|| wrong(columns::LABELS))?;
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for row in 0..batch.num_rows() {
        pairs.clear();
        let range = maps.value_offsets()[row] as usize..maps.value_offsets()[row + 1] as usize;
        pairs.extend(range.map(|i| (keys.value(i), values.value(i))));
        let name = names.value(row);
        if !name.is_empty() {
            let at = pairs.partition_point(|(key, _)| *key < METRIC_NAME);
            pairs.insert(at, (METRIC_NAME, name));
        }
        let labels = Labels::from_canonical(pairs.iter().copied())
            .ok_or_else(|| format!("row {row} has labels that are not in canonical order"))?;
        let id: [u8; 16] = ids
            .value(row)
            .try_into()
            .map_err(|_| format!("row {row} has a series id that is not 16 bytes long"))?;
        out.push(SeriesSpan {
            series: Arc::new(Series {
                id: SeriesId(id),
                labels,
            }),
            min_time_ms: min_times.value(row),
            max_time_ms: max_times.value(row),
        });
    }
    Ok(())
}
