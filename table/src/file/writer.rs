//! Writes one data file in memory, then puts it in one request.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use chrono::NaiveDate;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::basic::Encoding;
use uuid::Uuid;
use varve_storage::columns;

use super::properties::{self, HELD_VALUES_MAX};
use crate::delta::Add;
use crate::error::{Error, Result};
use crate::kind::TableKind;
use crate::stats::{Bounds, CRC_TAG, FileStats, LEVEL_TAG, SAMPLES_TAG};

/// A data file that is complete but not yet part of a table.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Its path relative to the table's root.
    pub path: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// The action that adds it to the table.
    pub add: Add,
    /// Its rows.
    pub rows: u64,
    /// Its samples; 0 in tables other than `samples`.
    pub samples: u64,
}

impl NewFile {
    /// Writes the object. The name is unique, so that a repeated PUT writes the same bytes.
    pub async fn put(&self, store: &dyn ObjectStore, root: &Path) -> Result<()> {
        let key = crate::delta::join(root, &self.path);
        store
            .put(&key, PutPayload::from(self.bytes.clone()))
            .await
            .map_err(|e| Error::store("write", &key, e))?;
        Ok(())
    }
}

/// Encodes sorted rows of one day.
pub struct TableFileWriter {
    kind: TableKind,
    date: NaiveDate,
    level: u8,
    /// Rows held back until there are enough to choose an encoding, and to know whether there are start timestamps.
    held: Vec<RecordBatch>,
    held_values: usize,
    writer: Option<ArrowWriter<Vec<u8>>>,
    rows: u64,
    samples: u64,
    names: Option<(String, String)>,
    min_time: Option<(i64, i64)>,
    max_time: Option<(i64, i64)>,
}

impl std::fmt::Debug for TableFileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableFileWriter")
            .field("kind", &self.kind)
            .field("date", &self.date)
            .field("level", &self.level)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl TableFileWriter {
    /// Begins a file for one day of a table.
    pub fn new(kind: TableKind, date: NaiveDate, level: u8) -> Self {
        Self {
            kind,
            date,
            level,
            held: Vec::new(),
            held_values: 0,
            writer: None,
            rows: 0,
            samples: 0,
            names: None,
            min_time: None,
            max_time: None,
        }
    }

    fn failed(&self, error: impl ToString) -> Error {
        Error::encode(format!("a file of table {}", self.kind.name()), error)
    }

    /// Appends rows, which follow those before in the table's sort order.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.observe(batch)?;
        if let Some(writer) = &mut self.writer {
            return writer
                .write(batch)
                .map_err(|e| Error::encode(format!("a file of table {}", self.kind.name()), e));
        }
        self.held_values += values_len(batch);
        self.held.push(batch.clone());
        let samples = self.kind == TableKind::Samples;
        let tries = samples && self.level > 0 && self.held_values < HELD_VALUES_MAX;
        // Most files of level 0 have one batch only.
        if tries || (samples && self.held.len() == 1) {
            return Ok(());
        }
        self.start(false)
    }

    /// Begins to encode. The column of start timestamps is left out where all rows of the file are there (`complete`) and none has any:
    /// then the file has the bytes that it would have if there was no such column.
    fn start(&mut self, complete: bool) -> Result<()> {
        let tries = self.kind == TableKind::Samples && self.level > 0;
        let encoding = match tries {
            true => properties::values_encoding(&self.held, self.level)?,
            false => Encoding::PLAIN,
        };
        let options = properties::options(self.kind, self.level, encoding)?;
        let without_starts = self.kind == TableKind::Samples
            && complete
            && !self.held.iter().any(has_start_timestamps);
        let schema = match without_starts {
            true => columns::samples_schema_without_starts(),
            false => self.kind.file_schema(),
        };
        let kept: Vec<usize> = (0..schema.fields().len()).collect();
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options)
            .map_err(|e| self.failed(e))?;
        for batch in std::mem::take(&mut self.held) {
            let batch = batch.project(&kept).map_err(|e| self.failed(e))?;
            writer.write(&batch).map_err(|e| self.failed(e))?;
        }
        self.writer = Some(writer);
        Ok(())
    }

    /// Bytes that the file has by now; those of rows that are not yet encoded are estimated.
    pub fn encoded_bytes(&self) -> usize {
        let written = self.writer.as_ref().map_or(0, |writer| {
            writer.bytes_written() + writer.in_progress_size()
        });
        written + self.held_values
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn observe(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        let name = self.kind.name_column();
        let names = column(batch, name)?
            .as_string_opt::<i32>()
            .ok_or_else(|| self.failed(format!("column {name} is not text")))?;
        let (first, last) = (names.value(0), names.value(names.len() - 1));
        match &mut self.names {
            Some((_, max)) => last.clone_into(max),
            None => self.names = Some((first.to_owned(), last.to_owned())),
        }
        let Some((first, last)) = self.kind.time_columns() else {
            return Ok(());
        };
        widen(&mut self.min_time, column(batch, first)?);
        widen(&mut self.max_time, column(batch, last)?);
        if self.kind == TableKind::Samples {
            let timestamps = column(batch, columns::TIMESTAMPS)?
                .as_list_opt::<i32>()
                .ok_or_else(|| self.failed("column timestamps is not a list"))?;
            let offsets = timestamps.value_offsets();
            let ends = offsets.first().zip(offsets.last());
            self.samples += ends.map_or(0, |(first, last)| (last - first).unsigned_abs()) as u64;
        }
        Ok(())
    }

    /// Completes the file; `None` if no row was written.
    pub fn finish(mut self, now_ms: i64) -> Result<Option<NewFile>> {
        if self.rows == 0 {
            return Ok(None);
        }
        if self.writer.is_none() {
            self.start(true)?;
        }
        let Some(writer) = self.writer.take() else {
            return Ok(None);
        };
        let bytes = Bytes::from(writer.into_inner().map_err(|e| self.failed(e))?);
        let path = format!(
            "date={}/l{}-{}.parquet",
            self.date,
            self.level,
            Uuid::new_v4()
        );
        let mut stats = FileStats::new(self.rows);
        if let Some((min, max)) = self.names.take() {
            stats.column(self.kind.name_column(), &Bounds::Text(min, max));
        }
        if let Some((first, last)) = self.kind.time_columns() {
            for (name, bounds) in [(first, self.min_time), (last, self.max_time)] {
                if let Some((min, max)) = bounds {
                    stats.column(name, &Bounds::Long(min, max));
                }
            }
        }
        let mut tags = vec![
            (LEVEL_TAG, self.level.to_string()),
            (CRC_TAG, crc32fast::hash(&bytes).to_string()),
        ];
        if self.kind == TableKind::Samples {
            tags.push((SAMPLES_TAG, self.samples.to_string()));
        }
        let date = (columns::DATE.to_owned(), Some(self.date.to_string()));
        let add = Add {
            path: crate::delta::encode_path(&path),
            partition_values: [date].into(),
            size: i64::try_from(bytes.len()).map_err(|e| self.failed(e))?,
            modification_time: now_ms,
            data_change: true,
            stats: Some(serde_json::to_string(&stats).map_err(|e| self.failed(e))?),
            tags: Some(
                tags.into_iter()
                    .map(|(name, value)| (name.to_owned(), Some(value)))
                    .collect(),
            ),
        };
        Ok(Some(NewFile {
            path,
            bytes,
            add,
            rows: self.rows,
            samples: self.samples,
        }))
    }
}

fn has_start_timestamps(batch: &RecordBatch) -> bool {
    let column = batch.column_by_name(columns::START_TIMESTAMPS);
    column.is_some_and(|column| column.null_count() < column.len())
}

fn values_len(batch: &RecordBatch) -> usize {
    batch
        .column_by_name(columns::VALUES)
        .and_then(|column| column.as_list_opt::<i32>())
        .map_or(0, |list| list.values().len())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Arc<dyn Array>> {
    batch
        .column_by_name(name)
        .ok_or_else(|| Error::encode("a table file", format!("column {name} is missing")))
}

fn widen(bounds: &mut Option<(i64, i64)>, column: &Arc<dyn Array>) {
    let Some(values) = column.as_primitive_opt::<Int64Type>() else {
        return;
    };
    for value in values.values() {
        *bounds = Some(match *bounds {
            None => (*value, *value),
            Some((min, max)) => (min.min(*value), max.max(*value)),
        });
    }
}
