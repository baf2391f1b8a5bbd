//! Samples as one Parquet file of their own, one row per sample, for tools that want neither Delta nor lists.
//!
//! Columns: `__name__` (string), `labels` (map of all other labels), `timestamp` (milliseconds, UTC), `value` (double, null at native
//! histograms), `histogram` (the struct of [`columns::histogram_fields`], null at floats). Rows are in the order in which series are
//! given, by time within a series.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringBuilder, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use varve_storage::labels::METRIC_NAME;
use varve_storage::rows::{histogram_structs, label_map_builder};
use varve_storage::{Labels, SampleValue, columns};

use crate::error::{Error, Result};
use crate::file::flat_options;

/// The name of the column of native histograms.
const HISTOGRAM: &str = "histogram";
/// Rows that are encoded together.
const BATCH_ROWS: usize = 8_192;

fn flat_schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new(columns::NAME, DataType::Utf8, false),
        Field::new(columns::LABELS, columns::labels_type(), false),
        Field::new(columns::TIMESTAMP, time, false),
        Field::new(columns::VALUE, DataType::Float64, true),
        Field::new(
            HISTOGRAM,
            DataType::Struct(columns::histogram_fields()),
            true,
        ),
    ]))
}

/// Writes such a file. What is held is one row group, encoded.
pub struct FlatFileWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    rows: u64,
}

impl<W: Write + Send> std::fmt::Debug for FlatFileWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("FlatFileWriter");
        debug.field("rows", &self.rows).finish_non_exhaustive()
    }
}

fn failed(error: impl ToString) -> Error {
    Error::encode("a Parquet file of samples", error)
}

impl<W: Write + Send> FlatFileWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Where its beginning cannot be written.
    pub fn new(out: W) -> Result<Self> {
        let writer = ArrowWriter::try_new_with_options(out, flat_schema(), flat_options()?);
        Ok(Self {
            writer: writer.map_err(failed)?,
            rows: 0,
        })
    }

    /// Appends samples of one series, ascending by time.
    ///
    /// # Errors
    /// Where they cannot be encoded or written.
    pub fn series(
        &mut self,
        labels: &Labels,
        samples: impl Iterator<Item = (i64, SampleValue)>,
    ) -> Result<()> {
        let mut samples = samples.peekable();
        while samples.peek().is_some() {
            let chunk: Vec<(i64, SampleValue)> = samples.by_ref().take(BATCH_ROWS).collect();
            let batch = batch(labels, &chunk).map_err(failed)?;
            self.writer.write(&batch).map_err(failed)?;
            self.rows += chunk.len() as u64;
        }
        Ok(())
    }

    /// Writes the footer, without which nothing can read the file, and gives back how many samples there are and the writer.
    ///
    /// # Errors
    /// Where the rest cannot be written.
    pub fn finish(self) -> Result<(u64, W)> {
        let out = self.writer.into_inner().map_err(failed)?;
        Ok((self.rows, out))
    }
}

fn batch(
    labels: &Labels,
    samples: &[(i64, SampleValue)],
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mut names = StringBuilder::new();
    let mut maps = label_map_builder();
    for _ in samples {
        names.append_value(labels.metric_name());
        for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
            maps.keys().append_value(name);
            maps.values().append_value(value);
        }
        maps.append(true)?;
    }
    let times = samples.iter().map(|(time_ms, _)| *time_ms);
    let floats = samples.iter().map(|(_, value)| match value {
        SampleValue::Float(value) => Some(*value),
        SampleValue::Histogram(_) => None,
    });
    let histograms = samples.iter().map(|(_, value)| match value {
        SampleValue::Float(_) => None,
        SampleValue::Histogram(histogram) => Some(histogram.as_ref()),
    });
    let columns: Vec<ArrayRef> = vec![
        Arc::new(names.finish()),
        Arc::new(maps.finish()),
        Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(Float64Array::from_iter(floats)),
        Arc::new(histogram_structs(histograms)?),
    ];
    RecordBatch::try_new(flat_schema(), columns)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float64Type, TimestampMillisecondType};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use varve_storage::FloatHistogram;
    use varve_storage::histogram::CounterResetHint;

    use super::*;

    #[test]
    fn a_file_has_one_row_for_each_sample() {
        let labels = Labels::from_pairs([("__name__", "x"), ("job", "a"), ("le", "+Inf")]);
        let histogram = FloatHistogram {
            counter_reset_hint: CounterResetHint::Gauge,
            schema: 3,
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 5.0,
            sum: 7.5,
            positive_spans: Vec::new(),
            positive_buckets: Vec::new(),
            negative_spans: Vec::new(),
            negative_buckets: Vec::new(),
            custom_values: Vec::new(),
        };
        let mut writer = FlatFileWriter::new(Vec::new()).unwrap();
        let long = (0..BATCH_ROWS as i64 + 3).map(|t| (t, SampleValue::Float(t as f64)));
        writer.series(&Labels::empty(), long).unwrap();
        let mixed = [
            (-5, SampleValue::Float(f64::NAN)),
            (9, SampleValue::Histogram(Arc::new(histogram))),
        ];
        writer.series(&labels, mixed.into_iter()).unwrap();
        writer.series(&labels, std::iter::empty()).unwrap();
        let (rows, bytes) = writer.finish().unwrap();
        assert_eq!(rows, BATCH_ROWS as u64 + 5);

        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(
            reader.schema().as_ref().clone(),
            flat_schema().as_ref().clone()
        );
        let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let all = arrow::compute::concat_batches(&flat_schema(), &batches).unwrap();
        assert_eq!(all.num_rows() as u64, rows);
        let times = all.column(2).as_primitive::<TimestampMillisecondType>();
        let values = all.column(3).as_primitive::<Float64Type>();
        let histograms = all.column(4).as_struct();
        let floats = BATCH_ROWS + 3;
        for row in 0..floats {
            assert_eq!(
                (times.value(row), values.value(row)),
                (row as i64, row as f64)
            );
            assert!(histograms.is_null(row) && values.is_valid(row));
        }
        assert_eq!((times.value(floats), times.value(floats + 1)), (-5, 9));
        assert!(values.value(floats).is_nan() && histograms.is_null(floats));
        assert!(values.is_null(floats + 1) && histograms.is_valid(floats + 1));
        let sums = histograms.column_by_name("sum").unwrap();
        assert_eq!(sums.as_primitive::<Float64Type>().value(floats + 1), 7.5);
        let names = all.column(0).as_string::<i32>();
        assert_eq!((names.value(0), names.value(floats)), ("", "x"));
        let pairs = all.column(1).as_map().value(floats + 1);
        let (keys, texts) = (
            pairs.column(0).as_string::<i32>(),
            pairs.column(1).as_string::<i32>(),
        );
        let pairs: Vec<_> = keys.iter().flatten().zip(texts.iter().flatten()).collect();
        assert_eq!(pairs, [("job", "a"), ("le", "+Inf")]);
    }
}
