//! Vectors of steps as Arrow arrays.
//!
//! A column of vectors is a `FixedSizeList<Float64, steps>`, one list per series. A null item is "no sample at this step";
//! NaN is a value. A null list (the missing side of an outer join) reads as a vector without samples.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::error::DataFusionError;
use datafusion::scalar::ScalarValue;

type Result<T, E = DataFusionError> = std::result::Result<T, E>;

/// The column that holds the vectors of a relation.
pub const VALUE: &str = "value";

/// The column of a label. The prefix keeps any label name apart from the other columns.
pub fn label_column(label: &str) -> String {
    format!("l:{label}")
}

/// The type of a vector of `steps` steps. Steps beyond 2^31 are cut off; the engine's limits lie far below.
pub fn vector_type(steps: usize) -> DataType {
    let size = i32::try_from(steps).unwrap_or(i32::MAX);
    DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float64, true)), size)
}

/// A column of vectors, to read.
#[derive(Clone, Debug)]
pub struct Vectors {
    values: ScalarBuffer<f64>,
    valid: Option<NullBuffer>,
    rows: Option<NullBuffer>,
    steps: usize,
}

impl Vectors {
    /// Reads a column; fails if it holds no vectors.
    pub fn try_new(array: &dyn Array) -> Result<Self> {
        let Some(lists) = array.as_fixed_size_list_opt() else {
            let message = format!("expected vectors, got {}", array.data_type());
            return Err(DataFusionError::Internal(message));
        };
        let Some(values) = lists.values().as_primitive_opt::<Float64Type>() else {
            let message = format!("expected vectors of floats, got {}", array.data_type());
            return Err(DataFusionError::Internal(message));
        };
        Ok(Self {
            values: values.values().clone(),
            valid: values.nulls().cloned(),
            rows: lists.nulls().cloned(),
            steps: usize::try_from(lists.value_length()).unwrap_or(0),
        })
    }

    /// The number of steps of each vector.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The sample of a row at a step.
    #[inline]
    pub fn get(&self, row: usize, step: usize) -> Option<f64> {
        let index = row * self.steps + step;
        let present = self.rows.as_ref().is_none_or(|rows| rows.is_valid(row))
            && self
                .valid
                .as_ref()
                .is_none_or(|valid| valid.is_valid(index));
        present.then(|| self.values[index])
    }

    /// The samples of a row, step by step.
    #[inline]
    pub fn row(&self, row: usize) -> impl ExactSizeIterator<Item = Option<f64>> + '_ {
        (0..self.steps).map(move |step| self.get(row, step))
    }
}

/// Builds a column of vectors, item by item.
#[derive(Debug)]
pub struct VectorsBuilder {
    values: Vec<f64>,
    valid: Vec<bool>,
    steps: usize,
}

impl VectorsBuilder {
    /// A builder with room for `rows` vectors.
    pub fn new(steps: usize, rows: usize) -> Self {
        Self {
            values: Vec::with_capacity(steps * rows),
            valid: Vec::with_capacity(steps * rows),
            steps,
        }
    }

    /// Appends the next item: steps first, then rows.
    #[inline]
    pub fn push(&mut self, item: Option<f64>) {
        self.values.push(item.unwrap_or(0.0));
        self.valid.push(item.is_some());
    }

    /// Appends a run of items.
    pub fn extend(&mut self, items: impl IntoIterator<Item = Option<f64>>) {
        for item in items {
            self.push(item);
        }
    }

    /// The column; fails if items are missing to a whole number of rows.
    pub fn finish(self) -> Result<ArrayRef> {
        let nulls = self
            .valid
            .contains(&false)
            .then(|| NullBuffer::new(BooleanBuffer::from(self.valid)));
        let items = Float64Array::new(self.values.into(), nulls);
        let DataType::FixedSizeList(field, size) = vector_type(self.steps) else {
            return Err(DataFusionError::Internal("not a vector type".to_owned()));
        };
        let lists = FixedSizeListArray::try_new(field, size, Arc::new(items), None)?;
        Ok(Arc::new(lists))
    }
}

/// One vector as a literal.
pub fn literal(items: impl IntoIterator<Item = Option<f64>>) -> Result<ScalarValue> {
    let items: Vec<Option<f64>> = items.into_iter().collect();
    let mut builder = VectorsBuilder::new(items.len(), 1);
    builder.extend(items);
    let array = builder.finish()?;
    Ok(ScalarValue::FixedSizeList(Arc::new(
        array.as_fixed_size_list().clone(),
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn vectors_read_as_they_were_built() {
        let items = [Some(1.0), None, Some(f64::NAN), Some(2.0), None, None];
        let mut builder = VectorsBuilder::new(3, 2);
        builder.extend(items);
        let array = builder.finish().unwrap();
        assert_eq!(array.data_type(), &vector_type(3));
        let vectors = Vectors::try_new(&array.slice(1, 1)).unwrap();
        assert_eq!(vectors.row(0).collect::<Vec<_>>(), [Some(2.0), None, None]);
        let all = Vectors::try_new(&array).unwrap();
        assert!(all.get(0, 2).unwrap().is_nan());
        assert_eq!(all.get(0, 1), None);
    }
}
