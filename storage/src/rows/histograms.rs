//! The `histograms` column: native histograms in lists of structs, read and built.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int8Array, Int32Array, ListArray, StructArray,
    new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;

use super::{Reason, range};
use crate::columns;
use crate::error::Error;
use crate::histogram::{CounterResetHint, FloatHistogram, Span};

fn hint(code: i8) -> Option<CounterResetHint> {
    Some(match code {
        0 => CounterResetHint::Unknown,
        1 => CounterResetHint::CounterReset,
        2 => CounterResetHint::NotCounterReset,
        3 => CounterResetHint::Gauge,
        _ => return None,
    })
}

/// The column, borrowed, with its fields by type.
#[derive(Debug)]
pub(super) struct HistogramColumn<'a> {
    lists: &'a ListArray,
    items: &'a StructArray,
    hint: &'a Int8Array,
    schema: &'a Int32Array,
    zero_threshold: &'a Float64Array,
    zero_count: &'a Float64Array,
    count: &'a Float64Array,
    sum: &'a Float64Array,
    positive_spans: SpanLists<'a>,
    positive_buckets: FloatLists<'a>,
    negative_spans: SpanLists<'a>,
    negative_buckets: FloatLists<'a>,
    custom_values: FloatLists<'a>,
}

#[derive(Debug)]
struct SpanLists<'a> {
    offsets: &'a [i32],
    offset: &'a [i32],
    length: &'a [i32],
}

#[derive(Debug)]
struct FloatLists<'a> {
    offsets: &'a [i32],
    values: &'a [f64],
}

impl SpanLists<'_> {
    fn read(&self, item: usize) -> Vec<Span> {
        range(self.offsets, item)
            .map(|i| Span {
                offset: self.offset[i],
                length: u32::try_from(self.length[i]).unwrap_or(0),
            })
            .collect()
    }

    /// The number of buckets, `None` where a length is negative.
    fn buckets(&self, item: usize) -> Option<u64> {
        range(self.offsets, item)
            .map(|i| u64::try_from(self.length[i]).ok())
            .sum()
    }
}

impl FloatLists<'_> {
    fn read(&self, item: usize) -> Vec<f64> {
        self.values[range(self.offsets, item)].to_vec()
    }

    fn len(&self, item: usize) -> usize {
        range(self.offsets, item).len()
    }
}

fn field<'a, T>(
    items: &'a StructArray,
    name: &str,
    as_type: impl Fn(&'a ArrayRef) -> Option<&'a T>,
) -> Result<&'a T, Reason> {
    items
        .column_by_name(name)
        .and_then(as_type)
        .ok_or_else(|| format!("column histograms has no field {name} of the right type"))
}

fn span_lists<'a>(items: &'a StructArray, name: &str) -> Result<SpanLists<'a>, Reason> {
    let lists = field(items, name, |a| a.as_list_opt::<i32>())?;
    let spans = lists
        .values()
        .as_struct_opt()
        .ok_or_else(|| format!("histogram field {name} has the wrong type"))?;
    let offset: &Int32Array = field(spans, "offset", |a| a.as_primitive_opt())?;
    let length: &Int32Array = field(spans, "length", |a| a.as_primitive_opt())?;
    Ok(SpanLists {
        offsets: lists.value_offsets(),
        offset: offset.values(),
        length: length.values(),
    })
}

fn float_lists<'a>(items: &'a StructArray, name: &str) -> Result<FloatLists<'a>, Reason> {
    let lists = field(items, name, |a| a.as_list_opt::<i32>())?;
    let values: &Float64Array = lists
        .values()
        .as_primitive_opt()
        .ok_or_else(|| format!("histogram field {name} has the wrong type"))?;
    Ok(FloatLists {
        offsets: lists.value_offsets(),
        values: values.values(),
    })
}

impl<'a> HistogramColumn<'a> {
    pub(super) fn new(array: &'a ArrayRef) -> Result<Self, Reason> {
        let wrong = || format!("column histograms has the type {}", array.data_type());
        let lists = array.as_list_opt::<i32>().ok_or_else(wrong)?;
        let items = lists.values().as_struct_opt().ok_or_else(wrong)?;
        Ok(Self {
            lists,
            items,
            hint: field(items, "counter_reset_hint", |a| a.as_primitive_opt())?,
            schema: field(items, "schema", |a| a.as_primitive_opt())?,
            zero_threshold: field(items, "zero_threshold", |a| a.as_primitive_opt())?,
            zero_count: field(items, "zero_count", |a| a.as_primitive_opt())?,
            count: field(items, "count", |a| a.as_primitive_opt())?,
            sum: field(items, "sum", |a| a.as_primitive_opt())?,
            positive_spans: span_lists(items, "positive_spans")?,
            positive_buckets: float_lists(items, "positive_buckets")?,
            negative_spans: span_lists(items, "negative_spans")?,
            negative_buckets: float_lists(items, "negative_buckets")?,
            custom_values: float_lists(items, "custom_values")?,
        })
    }

    /// Where a row's histograms lie among the items; `None` where the row has floats only.
    pub(super) fn items(&self, row: usize) -> Option<Range<usize>> {
        (!self.lists.is_null(row)).then(|| range(self.lists.value_offsets(), row))
    }

    /// Whether an item is a histogram.
    pub(super) fn is_set(&self, item: usize) -> bool {
        !self.items.is_null(item)
    }

    pub(super) fn read(&self, item: usize) -> FloatHistogram {
        FloatHistogram {
            counter_reset_hint: hint(self.hint.value(item)).unwrap_or_default(),
            schema: self.schema.value(item),
            zero_threshold: self.zero_threshold.value(item),
            zero_count: self.zero_count.value(item),
            count: self.count.value(item),
            sum: self.sum.value(item),
            positive_spans: self.positive_spans.read(item),
            positive_buckets: self.positive_buckets.read(item),
            negative_spans: self.negative_spans.read(item),
            negative_buckets: self.negative_buckets.read(item),
            custom_values: self.custom_values.read(item),
        }
    }

    /// Why an item is not a histogram that can be read, if so.
    pub(super) fn broken_rule(&self, item: usize) -> Option<Reason> {
        let code = self.hint.value(item);
        if hint(code).is_none() {
            return Some(format!("a histogram has the counter reset hint {code}"));
        }
        let sides = [
            (&self.positive_spans, &self.positive_buckets),
            (&self.negative_spans, &self.negative_buckets),
        ];
        for (spans, buckets) in sides {
            if spans.buckets(item) != Some(buckets.len(item) as u64) {
                return Some("a histogram's spans do not add up to its buckets".to_owned());
            }
        }
        None
    }
}

/// The `histograms` column of a batch whose other columns are read elsewhere.
#[derive(Debug)]
pub struct HistogramLists<'a>(HistogramColumn<'a>);

impl<'a> HistogramLists<'a> {
    /// Borrows the column.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where it has another type.
    pub fn new(array: &'a ArrayRef) -> Result<Self, Error> {
        let column = HistogramColumn::new(array).map_err(|reason| Error::Corrupt {
            key: "a batch of samples".to_owned(),
            reason,
        })?;
        Ok(Self(column))
    }

    /// How many items a row has: one per sample, or `None` where it has floats only.
    pub fn items(&self, row: usize) -> Option<usize> {
        self.0.items(row).map(|items| items.len())
    }

    /// The histogram of the sample at `index` of a row; `None` where that is a float, and past the end.
    pub fn get(&self, row: usize, index: usize) -> Option<FloatHistogram> {
        let items = self.0.items(row)?;
        let item = items.start + index;
        (item < items.end && self.0.is_set(item)).then(|| self.0.read(item))
    }
}

#[derive(Debug, Default)]
struct SpanListsBuilder {
    offsets: Vec<i32>,
    offset: Vec<i32>,
    length: Vec<i32>,
}

#[derive(Debug, Default)]
struct FloatListsBuilder {
    offsets: Vec<i32>,
    values: Vec<f64>,
}

fn element(list: &DataType) -> Arc<Field> {
    match list {
        DataType::List(element) => Arc::clone(element),
        _ => Arc::new(Field::new("element", DataType::Null, true)),
    }
}

impl SpanListsBuilder {
    fn push(&mut self, spans: &[Span]) {
        for span in spans {
            self.offset.push(span.offset);
            self.length
                .push(i32::try_from(span.length).unwrap_or(i32::MAX));
        }
        self.offsets.push(self.offset.len() as i32);
    }

    fn finish(self, list: &DataType) -> Result<ArrayRef, ArrowError> {
        let element = element(list);
        let DataType::Struct(fields) = element.data_type().clone() else {
            return Err(ArrowError::SchemaError("spans are structs".to_owned()));
        };
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(self.offset)),
            Arc::new(Int32Array::from(self.length)),
        ];
        let items = StructArray::try_new(fields, arrays, None)?;
        let list = ListArray::try_new(element, offsets(self.offsets), Arc::new(items), None)?;
        Ok(Arc::new(list))
    }
}

impl FloatListsBuilder {
    fn push(&mut self, values: &[f64]) {
        self.values.extend_from_slice(values);
        self.offsets.push(self.values.len() as i32);
    }

    fn finish(self, list: &DataType) -> Result<ArrayRef, ArrowError> {
        let items = Arc::new(Float64Array::from(self.values));
        let list = ListArray::try_new(element(list), offsets(self.offsets), items, None)?;
        Ok(Arc::new(list))
    }
}

/// Ends of lists as Arrow's offsets, which begin with 0.
pub(super) fn offsets(mut ends: Vec<i32>) -> OffsetBuffer<i32> {
    ends.insert(0, 0);
    OffsetBuffer::new(ScalarBuffer::from(ends))
}

/// Builds the column row by row.
#[derive(Debug, Default)]
pub(super) struct HistogramColumnBuilder {
    ends: Vec<i32>,
    rows_valid: Vec<bool>,
    valid: Vec<bool>,
    hint: Vec<i8>,
    schema: Vec<i32>,
    zero_threshold: Vec<f64>,
    zero_count: Vec<f64>,
    count: Vec<f64>,
    sum: Vec<f64>,
    positive_spans: SpanListsBuilder,
    positive_buckets: FloatListsBuilder,
    negative_spans: SpanListsBuilder,
    negative_buckets: FloatListsBuilder,
    custom_values: FloatListsBuilder,
}

impl HistogramColumnBuilder {
    /// A row of floats only.
    pub(super) fn push_null(&mut self) {
        self.ends.push(self.valid.len() as i32);
        self.rows_valid.push(false);
    }

    /// A row with at least one histogram.
    pub(super) fn push(&mut self, histograms: &[Option<Arc<FloatHistogram>>]) {
        for histogram in histograms {
            self.push_item(histogram.as_deref());
        }
        self.ends.push(self.valid.len() as i32);
        self.rows_valid.push(true);
    }

    fn push_item(&mut self, histogram: Option<&FloatHistogram>) {
        self.valid.push(histogram.is_some());
        let none = FloatHistogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive_spans: Vec::new(),
            positive_buckets: Vec::new(),
            negative_spans: Vec::new(),
            negative_buckets: Vec::new(),
            custom_values: Vec::new(),
        };
        let h = histogram.unwrap_or(&none);
        self.hint.push(h.counter_reset_hint as i8);
        self.schema.push(h.schema);
        self.zero_threshold.push(h.zero_threshold);
        self.zero_count.push(h.zero_count);
        self.count.push(h.count);
        self.sum.push(h.sum);
        self.positive_spans.push(&h.positive_spans);
        self.positive_buckets.push(&h.positive_buckets);
        self.negative_spans.push(&h.negative_spans);
        self.negative_buckets.push(&h.negative_buckets);
        self.custom_values.push(&h.custom_values);
    }

    pub(super) fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        if self.valid.is_empty() {
            return Ok(new_null_array(
                &columns::histograms_type(),
                self.rows_valid.len(),
            ));
        }
        let ends = std::mem::take(&mut self.ends);
        let rows_valid = std::mem::take(&mut self.rows_valid);
        let lists = ListArray::try_new(
            element(&columns::histograms_type()),
            offsets(ends),
            Arc::new(self.into_items()?),
            Some(NullBuffer::from(rows_valid)),
        )?;
        Ok(Arc::new(lists))
    }

    /// The items without the lists.
    fn into_items(self) -> Result<StructArray, ArrowError> {
        let fields = columns::histogram_fields();
        let spans = fields[6].data_type().clone();
        let floats = fields[7].data_type().clone();
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int8Array::from(self.hint)),
            Arc::new(Int32Array::from(self.schema)),
            Arc::new(Float64Array::from(self.zero_threshold)),
            Arc::new(Float64Array::from(self.zero_count)),
            Arc::new(Float64Array::from(self.count)),
            Arc::new(Float64Array::from(self.sum)),
            self.positive_spans.finish(&spans)?,
            self.positive_buckets.finish(&floats)?,
            self.negative_spans.finish(&spans)?,
            self.negative_buckets.finish(&floats)?,
            self.custom_values.finish(&floats)?,
        ];
        StructArray::try_new(fields, arrays, Some(NullBuffer::from(self.valid)))
    }
}

/// One struct of [`columns::histogram_fields`] for each item, null where there is none.
///
/// # Errors
/// Arrow's, for more buckets than one array can hold.
pub fn histogram_structs<'a>(
    histograms: impl IntoIterator<Item = Option<&'a FloatHistogram>>,
) -> Result<StructArray, ArrowError> {
    let mut builder = HistogramColumnBuilder::default();
    for histogram in histograms {
        builder.push_item(histogram);
    }
    builder.into_items()
}
