//! The columns of a vector relation: label columns and the vector of steps.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, LargeBinaryBuilder};
use arrow::array::{RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use varve_storage::{Labels, SampleValue};

use crate::kernels::StepOutput;
use crate::vector::{VALUE, is_mixed, label_column, vector_type_of, vectors};

/// Bytes of values in one batch of vectors: 8,192 rows of 11,000 steps would be 720 MB.
const BATCH_VALUE_BYTES: usize = 8 << 20;
/// Rows of one batch, however short its vectors.
const BATCH_ROWS_MAX: usize = 8192;

/// The type of label columns. No other place names it.
pub fn label_type() -> DataType {
    DataType::Utf8
}

/// The schema of a vector relation: nullable label columns in the given order, then [`VALUE`], mixed or not.
pub fn vector_schema(labels: &[String], steps: usize, mixed: bool) -> SchemaRef {
    let label = |name: &String| Field::new(label_column(name), label_type(), true);
    let mut fields: Vec<Field> = labels.iter().map(label).collect();
    fields.push(Field::new(VALUE, vector_type_of(mixed, steps), true));
    Arc::new(Schema::new(Fields::from(fields)))
}

/// How many rows a batch of vectors has at most: 8 MiB of values, at least one row.
pub fn batch_rows(steps: usize) -> usize {
    (BATCH_VALUE_BYTES / (steps.max(1) * 8)).clamp(1, BATCH_ROWS_MAX)
}

/// Collects rows of a vector relation.
#[derive(Debug)]
pub(crate) struct VectorBuilder {
    schema: SchemaRef,
    label_names: Arc<[String]>,
    labels: Vec<StringBuilder>,
    steps: usize,
    values: Vec<f64>,
    present: BooleanBufferBuilder,
    /// An item per value, if native histograms are wanted.
    histograms: Option<LargeBinaryBuilder>,
    step_present: Vec<bool>,
    rows: usize,
    label_bytes: usize,
}

impl VectorBuilder {
    pub(crate) fn new(schema: SchemaRef, label_names: Arc<[String]>, steps: usize) -> Self {
        Self {
            labels: label_names.iter().map(|_| StringBuilder::new()).collect(),
            histograms: schema
                .column_with_name(VALUE)
                .filter(|(_, field)| is_mixed(field.data_type()))
                .map(|_| LargeBinaryBuilder::new()),
            schema,
            label_names,
            steps,
            values: Vec::new(),
            present: BooleanBufferBuilder::new(0),
            step_present: vec![false; steps],
            rows: 0,
            label_bytes: 0,
        }
    }

    /// Rows that were added since the last [`Self::finish`].
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let histograms = self.histograms.as_ref();
        let encoded =
            histograms.map_or(0, |h| h.values_slice().len() + 8 * h.offsets_slice().len());
        self.values.capacity() * 8
            + self.present.capacity() / 8
            + self.steps
            + self.label_bytes
            + encoded
    }

    /// Adds the row of a series unless `fill` leaves every step without a sample.
    pub(crate) fn push<E>(
        &mut self,
        labels: &Labels,
        fill: impl FnOnce(&mut StepOutput<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.values.len();
        self.values.resize(start + self.steps, 0.0);
        fill(&mut StepOutput {
            values: &mut self.values[start..],
            present: &mut self.step_present,
        })?;
        if !self.step_present.contains(&true) {
            self.values.truncate(start);
            return Ok(());
        }
        self.present.append_slice(&self.step_present);
        if let Some(histograms) = &mut self.histograms {
            histograms.append_nulls(self.steps);
        }
        self.push_labels(labels);
        Ok(())
    }

    /// Adds the row of a series with samples of both kinds, an item per step, unless there is none at any step.
    pub(crate) fn push_samples(&mut self, labels: &Labels, items: &[Option<SampleValue>]) {
        if items.iter().all(Option::is_none) {
            return;
        }
        for item in items {
            let float = item.as_ref().and_then(SampleValue::float);
            self.values.push(float.unwrap_or(0.0));
            self.present.append(float.is_some());
            if let Some(histograms) = &mut self.histograms {
                match item {
                    Some(SampleValue::Histogram(histogram)) => {
                        histograms.append_value(histogram.encode());
                    }
                    _ => histograms.append_null(),
                }
            }
        }
        self.push_labels(labels);
    }

    fn push_labels(&mut self, labels: &Labels) {
        for (name, column) in self.label_names.iter().zip(&mut self.labels) {
            let value = labels.get(name);
            self.label_bytes += 16 + value.map_or(0, str::len);
            column.append_option(value);
        }
        self.rows += 1;
    }

    /// Makes a batch of the rows and starts anew.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let values = std::mem::take(&mut self.values);
        let histograms = self.histograms.as_mut().map(LargeBinaryBuilder::finish);
        let vectors = vectors(values, self.present.finish().into(), histograms, self.steps)?;
        let mut columns: Vec<ArrayRef> = self
            .labels
            .iter_mut()
            .map(|column| Arc::new(column.finish()) as ArrayRef)
            .collect();
        columns.push(vectors);
        self.rows = 0;
        self.label_bytes = 0;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_eight_mebibytes() {
        assert_eq!(batch_rows(1), 8192);
        assert_eq!(batch_rows(1024), 1024);
        assert_eq!(batch_rows(11_000), 95);
        assert_eq!(batch_rows(2_000_000), 1);
    }
}
