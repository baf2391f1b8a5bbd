//! Vectors of steps as Arrow arrays.
//!
//! A column of vectors is a `FixedSizeList<item, steps>`, one list per series. There are two types of it:
//! - *floats*: the item is a `Float64`; null is "no sample at this step", and NaN is a value;
//! - *mixed*: the item is a struct of a `Float64` and an encoded native histogram ([`FloatHistogram::encode`]), of which at most one is
//!   not null. Only what reads native histograms has this type, so that floats never pay for it.
//!
//! A null list (the missing side of an outer join) reads as a vector without samples.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float64Array, LargeBinaryArray,
    LargeBinaryBuilder, StructArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::scalar::ScalarValue;
use varve_storage::{FloatHistogram, SampleValue};

type Result<T, E = DataFusionError> = std::result::Result<T, E>;

/// The column that holds the vectors of a relation.
pub const VALUE: &str = "value";

/// The column of a label. The prefix keeps any label name apart from the other columns.
pub fn label_column(label: &str) -> String {
    format!("l:{label}")
}

fn list_of(item: DataType, steps: usize) -> DataType {
    let size = i32::try_from(steps).unwrap_or(i32::MAX);
    DataType::FixedSizeList(Arc::new(Field::new("item", item, true)), size)
}

/// The type of a vector of `steps` steps with floats. Steps beyond 2^31 are cut off; the engine's limits lie far below.
pub fn vector_type(steps: usize) -> DataType {
    list_of(DataType::Float64, steps)
}

fn mixed_fields() -> Fields {
    Fields::from(vec![
        Field::new("float", DataType::Float64, true),
        Field::new("histogram", DataType::LargeBinary, true),
    ])
}

/// The type of a vector of `steps` steps with floats and native histograms.
pub fn mixed_type(steps: usize) -> DataType {
    list_of(DataType::Struct(mixed_fields()), steps)
}

/// The type of a vector, mixed or not.
pub fn vector_type_of(mixed: bool, steps: usize) -> DataType {
    match mixed {
        true => mixed_type(steps),
        false => vector_type(steps),
    }
}

/// Whether a type is that of vectors that may have native histograms.
pub fn is_mixed(data_type: &DataType) -> bool {
    matches!(data_type, DataType::FixedSizeList(item, _) if matches!(item.data_type(), DataType::Struct(_)))
}

/// A sample of a vector, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// A float.
    Float(f64),
    /// An encoded native histogram.
    Histogram(&'a [u8]),
}

impl Item<'_> {
    /// The sample itself.
    pub fn decode(self) -> Result<SampleValue> {
        match self {
            Self::Float(value) => Ok(SampleValue::Float(value)),
            Self::Histogram(bytes) => Ok(SampleValue::Histogram(Arc::new(decode(bytes)?))),
        }
    }
}

/// The histogram of an item.
pub fn decode(bytes: &[u8]) -> Result<FloatHistogram> {
    FloatHistogram::decode(bytes).map_err(|error| {
        DataFusionError::Internal(format!("a vector holds no native histogram: {error}"))
    })
}

/// A column of vectors, to read.
#[derive(Clone, Debug)]
pub struct Vectors {
    values: ScalarBuffer<f64>,
    valid: Option<NullBuffer>,
    /// The histograms of a mixed vector.
    histograms: Option<LargeBinaryArray>,
    rows: Option<NullBuffer>,
    steps: usize,
}

impl Vectors {
    /// Reads a column; fails if it holds no vectors.
    pub fn try_new(array: &dyn Array) -> Result<Self> {
        let wrong = || {
            let message = format!("expected vectors, got {}", array.data_type());
            DataFusionError::Internal(message)
        };
        let lists = array.as_fixed_size_list_opt().ok_or_else(wrong)?;
        let (values, histograms) = match lists.values().as_struct_opt() {
            None => (lists.values(), None),
            Some(items) => match items.columns() {
                [floats, histograms] => {
                    let histograms = histograms.as_binary_opt::<i64>().ok_or_else(wrong)?;
                    (floats, Some(histograms.clone()))
                }
                _ => return Err(wrong()),
            },
        };
        let values = values.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
        Ok(Self {
            values: values.values().clone(),
            valid: values.nulls().cloned(),
            histograms,
            rows: lists.nulls().cloned(),
            steps: usize::try_from(lists.value_length()).unwrap_or(0),
        })
    }

    /// The number of steps of each vector.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Whether there may be native histograms.
    pub fn is_mixed(&self) -> bool {
        self.histograms.is_some()
    }

    #[inline]
    fn has_row(&self, row: usize) -> bool {
        self.rows.as_ref().is_none_or(|rows| rows.is_valid(row))
    }

    /// The float of a row at a step.
    #[inline]
    pub fn float(&self, row: usize, step: usize) -> Option<f64> {
        let index = row * self.steps + step;
        let present = self.has_row(row)
            && self
                .valid
                .as_ref()
                .is_none_or(|valid| valid.is_valid(index));
        present.then(|| self.values[index])
    }

    /// The encoded histogram of a row at a step.
    pub fn histogram(&self, row: usize, step: usize) -> Option<&[u8]> {
        let histograms = self.histograms.as_ref()?;
        let index = row * self.steps + step;
        (self.has_row(row) && histograms.is_valid(index)).then(|| histograms.value(index))
    }

    /// The sample of a row at a step.
    #[inline]
    pub fn item(&self, row: usize, step: usize) -> Option<Item<'_>> {
        match self.float(row, step) {
            Some(value) => Some(Item::Float(value)),
            None => self.histogram(row, step).map(Item::Histogram),
        }
    }

    /// Whether a row has a sample at a step, of whichever kind.
    #[inline]
    pub fn is_present(&self, row: usize, step: usize) -> bool {
        self.float(row, step).is_some() || self.histogram(row, step).is_some()
    }

    /// The floats of a row, step by step.
    #[inline]
    pub fn floats(&self, row: usize) -> impl ExactSizeIterator<Item = Option<f64>> + '_ {
        (0..self.steps).map(move |step| self.float(row, step))
    }

    /// The samples of a row, step by step.
    pub fn items(&self, row: usize) -> impl ExactSizeIterator<Item = Option<Item<'_>>> + '_ {
        (0..self.steps).map(move |step| self.item(row, step))
    }

    /// Whether a row has any sample.
    pub fn has_samples(&self, row: usize) -> bool {
        (0..self.steps).any(|step| self.is_present(row, step))
    }
}

/// Builds a column of vectors, item by item.
#[derive(Debug)]
pub struct VectorsBuilder {
    values: Vec<f64>,
    valid: Vec<bool>,
    histograms: Option<LargeBinaryBuilder>,
    /// Memory for the histogram that is being encoded.
    encoded: Vec<u8>,
    steps: usize,
}

impl VectorsBuilder {
    /// A builder of floats with room for `rows` vectors.
    pub fn new(steps: usize, rows: usize) -> Self {
        Self::of(false, steps, rows)
    }

    /// A builder with room for `rows` vectors; mixed ones may have native histograms.
    pub fn of(mixed: bool, steps: usize, rows: usize) -> Self {
        let items = steps * rows;
        Self {
            values: Vec::with_capacity(items),
            valid: Vec::with_capacity(items),
            histograms: mixed.then(|| LargeBinaryBuilder::with_capacity(items, 0)),
            encoded: Vec::new(),
            steps,
        }
    }

    /// Appends the next item, which is no histogram: steps first, then rows.
    #[inline]
    pub fn push(&mut self, item: Option<f64>) {
        self.values.push(item.unwrap_or(0.0));
        self.valid.push(item.is_some());
        if let Some(histograms) = &mut self.histograms {
            histograms.append_null();
        }
    }

    /// Appends an item of either kind. A histogram that is pushed to vectors of floats is lost: the types of plans forbid it.
    pub fn push_item(&mut self, item: Option<Item<'_>>) {
        match item {
            None => self.push(None),
            Some(Item::Float(value)) => self.push(Some(value)),
            Some(Item::Histogram(bytes)) => {
                self.values.push(0.0);
                self.valid.push(false);
                if let Some(histograms) = &mut self.histograms {
                    histograms.append_value(bytes);
                }
            }
        }
    }

    /// Appends a histogram.
    pub fn push_histogram(&mut self, histogram: &FloatHistogram) {
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.clear();
        histogram.encode_to(&mut encoded);
        self.push_item(Some(Item::Histogram(&encoded)));
        self.encoded = encoded;
    }

    /// Appends a sample, or that there is none.
    pub fn push_sample(&mut self, sample: Option<&SampleValue>) {
        match sample {
            None => self.push(None),
            Some(SampleValue::Float(value)) => self.push(Some(*value)),
            Some(SampleValue::Histogram(histogram)) => self.push_histogram(histogram),
        }
    }

    /// Appends a run of items without histograms.
    pub fn extend(&mut self, items: impl IntoIterator<Item = Option<f64>>) {
        for item in items {
            self.push(item);
        }
    }

    /// Appends a run of items.
    pub fn extend_items<'a>(&mut self, items: impl IntoIterator<Item = Option<Item<'a>>>) {
        for item in items {
            self.push_item(item);
        }
    }

    /// The column; fails if items are missing to a whole number of rows.
    pub fn finish(self) -> Result<ArrayRef> {
        let present = NullBuffer::new(BooleanBuffer::from(self.valid));
        let histograms = self.histograms.map(|mut histograms| histograms.finish());
        Ok(vectors(self.values, present, histograms, self.steps)?)
    }
}

/// A column of vectors from its flat items; `floats` has a bit per item.
pub(crate) fn vectors(
    values: Vec<f64>,
    floats: NullBuffer,
    histograms: Option<LargeBinaryArray>,
    steps: usize,
) -> Result<ArrayRef, ArrowError> {
    let nulls = (floats.null_count() > 0).then_some(floats);
    let floats: ArrayRef = Arc::new(Float64Array::try_new(values.into(), nulls)?);
    let (mixed, items) = match histograms {
        None => (false, floats),
        Some(histograms) => {
            let columns: Vec<ArrayRef> = vec![floats, Arc::new(histograms)];
            let items = StructArray::try_new(mixed_fields(), columns, None)?;
            (true, Arc::new(items) as ArrayRef)
        }
    };
    let DataType::FixedSizeList(field, size) = vector_type_of(mixed, steps) else {
        return Err(ArrowError::SchemaError(
            "vectors are fixed-size lists".to_owned(),
        ));
    };
    let lists = FixedSizeListArray::try_new(field, size, items, None)?;
    Ok(Arc::new(lists))
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
        assert_eq!(
            vectors.floats(0).collect::<Vec<_>>(),
            [Some(2.0), None, None]
        );
        let all = Vectors::try_new(&array).unwrap();
        assert!(all.float(0, 2).unwrap().is_nan());
        assert_eq!(all.float(0, 1), None);
    }

    #[test]
    fn mixed_vectors_read_as_they_were_built() {
        let histogram = FloatHistogram {
            count: 3.0,
            sum: 4.0,
            ..FloatHistogram::default()
        };
        let mut builder = VectorsBuilder::of(true, 2, 2);
        builder.extend([Some(1.0), None]);
        builder.push_histogram(&histogram);
        builder.push(Some(2.0));
        let array = builder.finish().unwrap();
        assert!(is_mixed(array.data_type()));
        assert_eq!(array.data_type(), &mixed_type(2));
        let vectors = Vectors::try_new(&array.slice(1, 1)).unwrap();
        let read = vectors.item(0, 0).unwrap().decode().unwrap();
        assert_eq!(read, SampleValue::Histogram(Arc::new(histogram)));
        assert_eq!(vectors.item(0, 1), Some(Item::Float(2.0)));
        assert_eq!(vectors.float(0, 0), None);
        let all = Vectors::try_new(&array).unwrap();
        assert!(!all.is_present(0, 1) && all.is_present(1, 0));

        // A row that a join or a take leaves out.
        let indices = arrow::array::Int32Array::from(vec![None, Some(1)]);
        let taken = arrow::compute::take(&array, &indices, None).unwrap();
        let taken = Vectors::try_new(&taken).unwrap();
        assert!(!taken.has_samples(0) && taken.is_present(1, 0));
    }
}
