//! How columns are encoded.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use std::sync::Arc;
use varve_storage::columns;

use crate::error::{Error, Result};
use crate::kind::TableKind;

/// Bytes of a page before compression. Below 1 MiB timestamps cost twice as much, above it nothing is gained.
const PAGE_BYTES: usize = 1 << 20;
/// Rows of a page in columns of scalars: what page statistics can tell apart.
const PAGE_ROWS: usize = 4096;
/// Encoded bytes of a row group in files of a level: what a merge fetches and holds of each of its inputs. Those of level 0 are many, and
/// pages, not row groups, are what is compressed.
pub(super) fn row_group_bytes(level: u8) -> usize {
    if level == 0 { 4 << 20 } else { 8 << 20 }
}

/// Rows of a row group, for tables whose rows are small.
const ROW_GROUP_ROWS: usize = 1 << 18;
/// Values that a file holds back before its encodings are tried: metrics differ, and the first ones alone mislead.
pub(super) const HELD_VALUES_MAX: usize = 1 << 20;
/// Values on which encodings are tried, spread over those that were held back.
const TRIAL_VALUES: usize = 1 << 17;
/// Neighbouring values that are tried together, as they will lie in one page.
const TRIAL_RUN: usize = 1 << 13;

/// Leaf columns by their path in Parquet.
fn path(parts: &[&str]) -> ColumnPath {
    ColumnPath::new(parts.iter().map(|part| (*part).to_owned()).collect())
}

fn compression(level: i32) -> Result<Compression> {
    let level = ZstdLevel::try_new(level).map_err(|e| Error::encode("zstd level", e))?;
    Ok(Compression::ZSTD(level))
}

/// zstd 3 for files that live for minutes; 9 saves 8 % more for those that stay.
fn zstd_level(level: u8) -> i32 {
    if level == 0 { 3 } else { 9 }
}

fn base(level: u8) -> Result<WriterPropertiesBuilder> {
    Ok(WriterProperties::builder()
        .set_compression(compression(zstd_level(level))?)
        .set_created_by(concat!("varve ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_max_row_group_bytes(Some(row_group_bytes(level)))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS)))
}

/// The writer's options for a file of a table. Few texts repeat often, so texts have dictionaries; numbers are plain,
/// which zstd compresses best where neighbouring rows repeat each other, as timestamps and most values do.
pub(super) fn options(
    kind: TableKind,
    level: u8,
    values_encoding: Encoding,
) -> Result<ArrowWriterOptions> {
    let mut builder = base(level)?;
    let labels = |leaf| path(&[columns::LABELS, "key_value", leaf]);
    let exemplar_labels = |leaf| path(&[columns::EXEMPLAR_LABELS, "key_value", leaf]);
    let mut statistics: Vec<&str> = kind.sort_columns().to_vec();
    match kind {
        TableKind::Samples | TableKind::Series => {
            for text in [path(&[columns::NAME]), labels("key"), labels("value")] {
                builder = builder.set_column_dictionary_enabled(text, true);
            }
            statistics.extend([columns::SERIES_ID, columns::MIN_TIME, columns::MAX_TIME]);
        }
        // Ids of traces hardly ever repeat: the values of an exemplar's own labels have no dictionary.
        TableKind::Exemplars => {
            let names = [path(&[columns::NAME]), exemplar_labels("key")];
            for text in names.into_iter().chain([labels("key"), labels("value")]) {
                builder = builder.set_column_dictionary_enabled(text, true);
            }
        }
        TableKind::Metadata => builder = builder.set_dictionary_enabled(true),
    }
    for name in statistics {
        builder = builder.set_column_statistics_enabled(path(&[name]), EnabledStatistics::Page);
    }
    if kind == TableKind::Samples {
        let values = path(&[columns::VALUES, "list", "element"]);
        builder = builder.set_column_encoding(values, values_encoding);
    }
    // Leaf columns: each map has two.
    let sorting: Vec<SortingColumn> = match kind {
        TableKind::Samples => vec![0, 1, 4],
        TableKind::Series => vec![0],
        TableKind::Metadata => vec![0, 1, 2, 3],
        TableKind::Exemplars => vec![0, 1, 6],
    }
    .into_iter()
    .map(|column_idx| SortingColumn {
        column_idx,
        descending: false,
        nulls_first: false,
    })
    .collect();
    builder = builder.set_sorting_columns(Some(sorting));
    Ok(ArrowWriterOptions::new()
        .with_properties(builder.build())
        .with_skip_arrow_metadata(true))
}

/// The writer's options for a file of [`crate::flat`]: texts with dictionaries, page statistics of names and times.
pub(crate) fn flat_options() -> Result<ArrowWriterOptions> {
    let mut builder = base(2)?;
    let labels = |leaf| path(&[columns::LABELS, "key_value", leaf]);
    for text in [path(&[columns::NAME]), labels("key"), labels("value")] {
        builder = builder.set_column_dictionary_enabled(text, true);
    }
    for name in [columns::NAME, columns::TIMESTAMP] {
        builder = builder.set_column_statistics_enabled(path(&[name]), EnabledStatistics::Page);
    }
    Ok(ArrowWriterOptions::new()
        .with_properties(builder.build())
        .with_skip_arrow_metadata(true))
}

/// Chooses the encoding of `values` by trying both on some of them: byte-stream-split wins on files of noisy
/// floats or slowly rising integers, plain where rows resemble each other, which is the rule.
pub(super) fn values_encoding(batches: &[RecordBatch], level: u8) -> Result<Encoding> {
    let runs = trial_runs(batches);
    let plain = trial(&runs, Encoding::PLAIN, level)?;
    let split = trial(&runs, Encoding::BYTE_STREAM_SPLIT, level)?;
    // A trial is short of the far repetitions that help plain values.
    Ok(if split + split / 32 < plain {
        Encoding::BYTE_STREAM_SPLIT
    } else {
        Encoding::PLAIN
    })
}

/// Runs of neighbouring values, evenly spread.
fn trial_runs(batches: &[RecordBatch]) -> Vec<ArrayRef> {
    let columns: Vec<&ArrayRef> = batches
        .iter()
        .filter_map(|batch| {
            Some(
                batch
                    .column_by_name(columns::VALUES)?
                    .as_list_opt::<i32>()?
                    .values(),
            )
        })
        .collect();
    let total: usize = columns.iter().map(|values| values.len()).sum();
    let stride = TRIAL_RUN * total.div_ceil(TRIAL_VALUES).max(1);
    let mut runs = Vec::new();
    let mut next = 0;
    for values in columns {
        while next < values.len() {
            runs.push(values.slice(next, TRIAL_RUN.min(values.len() - next)));
            next += stride;
        }
        next -= values.len();
    }
    runs
}

fn trial(runs: &[ArrayRef], encoding: Encoding, level: u8) -> Result<usize> {
    let failed = |e: parquet::errors::ParquetError| Error::encode("a trial of encodings", e);
    let field = Field::new(columns::VALUES, DataType::Float64, true);
    let schema = Arc::new(Schema::new(vec![field]));
    // Pages end by their size here, as those of lists do.
    let properties = base(level)?
        .set_data_page_row_count_limit(usize::MAX)
        .set_encoding(encoding)
        .build();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties)).map_err(failed)?;
    for run in runs {
        let column = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(run)])
            .map_err(|e| Error::encode("a trial of encodings", e))?;
        writer.write(&column).map_err(failed)?;
    }
    Ok(writer.into_inner().map_err(failed)?.len())
}
