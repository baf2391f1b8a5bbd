//! The columns of a vector relation: label columns and the vector of steps.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, FixedSizeListArray, Float64Array};
use arrow::array::{RecordBatch, StringBuilder};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use varve_storage::Labels;

use crate::kernels::StepOutput;
use crate::vector::{VALUE, label_column, vector_type};

/// Bytes of values in one batch of vectors: 8,192 rows of 11,000 steps would be 720 MB.
const BATCH_VALUE_BYTES: usize = 8 << 20;
/// Rows of one batch, however short its vectors.
const BATCH_ROWS_MAX: usize = 8192;

/// The type of label columns. No other place names it.
pub fn label_type() -> DataType {
    DataType::Utf8
}

/// The schema of a vector relation: nullable label columns in the given order, then [`VALUE`].
pub fn vector_schema(labels: &[String], steps: usize) -> SchemaRef {
    let label = |name: &String| Field::new(label_column(name), label_type(), true);
    let mut fields: Vec<Field> = labels.iter().map(label).collect();
    fields.push(Field::new(VALUE, vector_type(steps), true));
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
    step_present: Vec<bool>,
    rows: usize,
    label_bytes: usize,
}

impl VectorBuilder {
    pub(crate) fn new(schema: SchemaRef, label_names: Arc<[String]>, steps: usize) -> Self {
        Self {
            labels: label_names.iter().map(|_| StringBuilder::new()).collect(),
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
        self.values.capacity() * 8 + self.present.capacity() / 8 + self.steps + self.label_bytes
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
        for (name, column) in self.label_names.iter().zip(&mut self.labels) {
            let value = labels.get(name);
            self.label_bytes += 16 + value.map_or(0, str::len);
            column.append_option(value);
        }
        self.rows += 1;
        Ok(())
    }

    /// Makes a batch of the rows and starts anew.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let values = std::mem::take(&mut self.values);
        let vectors = vectors(values, self.present.finish().into(), self.steps)?;
        let mut columns: Vec<ArrayRef> = self
            .labels
            .iter_mut()
            .map(|column| Arc::new(column.finish()) as ArrayRef)
            .collect();
        columns.push(Arc::new(vectors));
        self.rows = 0;
        self.label_bytes = 0;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

/// A column of vectors from its flat items; `present` has a bit per item.
fn vectors(
    values: Vec<f64>,
    present: NullBuffer,
    steps: usize,
) -> Result<FixedSizeListArray, ArrowError> {
    let DataType::FixedSizeList(item, size) = vector_type(steps) else {
        return Err(ArrowError::SchemaError(
            "vectors are fixed-size lists".to_owned(),
        ));
    };
    let nulls = (present.null_count() > 0).then_some(present);
    let items = Float64Array::try_new(values.into(), nulls)?;
    FixedSizeListArray::try_new(item, size, Arc::new(items), None)
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
