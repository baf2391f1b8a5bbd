//! Rows into a batch of [`crate::columns::samples_schema`].

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Float64Array, Int64Array, ListArray, MapBuilder, MapFieldNames,
    RecordBatch, StringBuilder,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;

use super::histograms::{HistogramColumnBuilder, offsets};
use super::starts::StartListsBuilder;
use super::{RowView, SeriesSamples};
use crate::columns;
use crate::error::{Error, Result};
use crate::histogram::FloatHistogram;
use crate::labels::{METRIC_NAME, Series, SeriesId};

/// Builds a batch of samples row by row. Rows come out in the order in which they were pushed.
#[derive(Debug)]
pub struct SampleRowsBuilder {
    names: StringBuilder,
    ids: BinaryBuilder,
    labels: MapBuilder<StringBuilder, StringBuilder>,
    min_times: Vec<i64>,
    max_times: Vec<i64>,
    /// Ends of the lists of timestamps and of values: they are the same.
    ends: Vec<i32>,
    timestamps: Vec<i64>,
    values: Vec<f64>,
    /// Which values are floats; empty as long as all are.
    value_valid: Vec<bool>,
    histograms: HistogramColumnBuilder,
    starts: StartListsBuilder,
    /// An upper bound on the bytes or items of every other variable-size column.
    text_bytes: usize,
}

/// A `map<string,string>` builder with the field names of [`columns::labels_type`].
pub fn label_map_builder() -> MapBuilder<StringBuilder, StringBuilder> {
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
}

fn element(list: DataType) -> Result<FieldRef, ArrowError> {
    match list {
        DataType::List(element) => Ok(element),
        other => Err(ArrowError::SchemaError(format!("{other} is not a list"))),
    }
}

impl SampleRowsBuilder {
    /// A builder with room for so many rows and samples.
    pub fn with_capacity(rows: usize, samples: usize) -> Self {
        Self {
            names: StringBuilder::with_capacity(rows, rows * 32),
            ids: BinaryBuilder::with_capacity(rows, rows * 16),
            labels: label_map_builder(),
            min_times: Vec::with_capacity(rows),
            max_times: Vec::with_capacity(rows),
            ends: Vec::with_capacity(rows + 1),
            timestamps: Vec::with_capacity(samples),
            values: Vec::with_capacity(samples),
            value_valid: Vec::new(),
            histograms: HistogramColumnBuilder::default(),
            starts: StartListsBuilder::default(),
            text_bytes: 0,
        }
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Samples so far.
    pub fn samples(&self) -> usize {
        self.timestamps.len()
    }

    /// Adds a row. `timestamps` ascend strictly; `values` is as long; `histograms` is as long too or, for a row of floats only,
    /// empty. Where a histogram stands, the value is ignored. `starts` (milliseconds) is as long or, where none is known, empty.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a row that breaks these rules, [`Error::Limit`] where the batch would outgrow Arrow's 32-bit
    /// offsets. The builder is unchanged then.
    pub fn push(
        &mut self,
        series: &Series,
        timestamps: &[i64],
        values: &[f64],
        histograms: &[Option<Arc<FloatHistogram>>],
        starts: &[i64],
    ) -> Result<()> {
        let labels = series.labels.iter().filter(|(n, _)| *n != METRIC_NAME);
        self.push_labelled(
            (series.labels.metric_name(), series.id),
            labels,
            (timestamps, values, starts),
            histograms,
        )
    }

    /// [`Self::push`] of samples of the series that a row of another batch belongs to; its labels are copied as they stand there, and must have
    /// been read.
    ///
    /// # Errors
    /// As for [`Self::push`].
    pub fn push_row(
        &mut self,
        series: RowView<'_>,
        timestamps: &[i64],
        values: &[f64],
        histograms: &[Option<Arc<FloatHistogram>>],
        starts: &[i64],
    ) -> Result<()> {
        self.push_labelled(
            (series.name(), series.series_id()),
            series.label_pairs(),
            (timestamps, values, starts),
            histograms,
        )
    }

    fn push_labelled<'l>(
        &mut self,
        (name, id): (&str, SeriesId),
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
        (timestamps, values, starts): (&[i64], &[f64], &[i64]),
        histograms: &[Option<Arc<FloatHistogram>>],
    ) -> Result<()> {
        let (Some(min), Some(max)) = (timestamps.first(), timestamps.last()) else {
            return Err(Error::Invalid(format!(
                "series {id:?} of {name:?} has no samples"
            )));
        };
        let lengths_differ = values.len() != timestamps.len()
            || !(histograms.is_empty() || histograms.len() == timestamps.len())
            || !(starts.is_empty() || starts.len() == timestamps.len());
        if lengths_differ || timestamps.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(Error::Invalid(format!(
                "samples of series {id:?} of {name:?} are not in strict order of time, or lists differ in length"
            )));
        }
        let buckets: usize = histograms.iter().flatten().map(|h| h.heap_items()).sum();
        let label_bytes: usize = labels.clone().map(|(n, v)| n.len() + v.len() + 2).sum();
        let text_bytes = self.text_bytes + name.len() + 16 + label_bytes + buckets;
        let samples = self.timestamps.len() + timestamps.len();
        let (Ok(end), true) = (i32::try_from(samples), text_bytes < i32::MAX as usize) else {
            return Err(Error::Limit(
                "a batch of samples is too large: write smaller ones".to_owned(),
            ));
        };
        self.text_bytes = text_bytes;
        self.names.append_value(name);
        self.ids.append_value(id.0);
        for (label, value) in labels {
            self.labels.keys().append_value(label);
            self.labels.values().append_value(value);
        }
        self.labels.append(true).map_err(unbuildable)?;
        self.min_times.push(*min);
        self.max_times.push(*max);
        self.ends.push(end);
        self.timestamps.extend_from_slice(timestamps);
        self.push_values(values, histograms);
        self.starts.push(starts);
        Ok(())
    }

    fn push_values(&mut self, values: &[f64], histograms: &[Option<Arc<FloatHistogram>>]) {
        let before = self.values.len();
        self.values.extend_from_slice(values);
        if histograms.iter().all(Option::is_none) {
            self.histograms.push_null();
            if !self.value_valid.is_empty() {
                self.value_valid.resize(self.values.len(), true);
            }
            return;
        }
        self.value_valid.resize(before, true);
        self.value_valid
            .extend(histograms.iter().map(Option::is_none));
        for (value, histogram) in self.values[before..].iter_mut().zip(histograms) {
            if histogram.is_some() {
                // What lies under a null is written too; a constant keeps equal batches equal, byte for byte.
                *value = 0.0;
            }
        }
        self.histograms.push(histograms);
    }

    /// The batch.
    pub fn finish(mut self) -> Result<RecordBatch> {
        let mut build = || -> Result<RecordBatch, ArrowError> {
            let lists = offsets(std::mem::take(&mut self.ends));
            let timestamps = Arc::new(Int64Array::from(std::mem::take(&mut self.timestamps)));
            let valid = std::mem::take(&mut self.value_valid);
            let valid = (!valid.is_empty()).then(|| NullBuffer::from(valid));
            let values = std::mem::take(&mut self.values);
            let values = Arc::new(Float64Array::try_new(values.into(), valid)?);
            let timestamps = ListArray::try_new(
                element(columns::timestamps_type())?,
                lists.clone(),
                timestamps,
                None,
            )?;
            let values = ListArray::try_new(element(columns::values_type())?, lists, values, None)?;
            let arrays: Vec<ArrayRef> = vec![
                Arc::new(self.names.finish()),
                Arc::new(self.ids.finish()),
                Arc::new(self.labels.finish()),
                Arc::new(Int64Array::from(std::mem::take(&mut self.min_times))),
                Arc::new(Int64Array::from(std::mem::take(&mut self.max_times))),
                Arc::new(timestamps),
                Arc::new(values),
                std::mem::take(&mut self.histograms).finish()?,
                std::mem::take(&mut self.starts).finish()?,
            ];
            RecordBatch::try_new(columns::samples_schema(), arrays)
        };
        build().map_err(unbuildable)
    }
}

fn unbuildable(error: ArrowError) -> Error {
    Error::Invalid(format!("a batch of samples cannot be built: {error}"))
}

/// A batch of the given rows, in their order.
pub fn samples_batch(rows: &[SeriesSamples]) -> Result<RecordBatch> {
    let samples = rows.iter().map(|row| row.timestamps.len()).sum();
    let mut builder = SampleRowsBuilder::with_capacity(rows.len(), samples);
    for row in rows {
        builder.push(
            &row.series,
            &row.timestamps,
            &row.values,
            &row.histograms,
            &row.start_timestamps,
        )?;
    }
    builder.finish()
}
