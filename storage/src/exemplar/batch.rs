//! Exemplars as rows of Arrow, in segments and in files.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Float64Array, Int64Array, MapArray, RecordBatch,
    StringArray, StringBuilder,
};
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::error::ArrowError;

use super::Exemplar;
use crate::columns;
use crate::labels::{Labels, METRIC_NAME, Series, SeriesId, SeriesRef};
use crate::rows::label_map_builder;

/// Builds a batch of [`columns::exemplars_schema`], rows in the given order.
///
/// # Errors
/// Arrow's, for more bytes of labels than one batch can hold.
pub fn exemplars_batch(exemplars: &[Exemplar]) -> Result<RecordBatch, ArrowError> {
    let mut names = StringBuilder::new();
    let mut ids = BinaryBuilder::new();
    let mut series_labels = label_map_builder();
    let mut own_labels = label_map_builder();
    for exemplar in exemplars {
        let labels = &exemplar.series.labels;
        names.append_value(labels.metric_name());
        ids.append_value(exemplar.series.id.0);
        for (name, value) in labels.iter().filter(|(n, _)| *n != METRIC_NAME) {
            series_labels.keys().append_value(name);
            series_labels.values().append_value(value);
        }
        series_labels.append(true)?;
        for (name, value) in exemplar.labels.iter() {
            own_labels.keys().append_value(name);
            own_labels.values().append_value(value);
        }
        own_labels.append(true)?;
    }
    let times = exemplars.iter().map(|e| e.timestamp_ms);
    let values = exemplars.iter().map(|e| e.value);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(names.finish()),
        Arc::new(ids.finish()),
        Arc::new(series_labels.finish()),
        Arc::new(own_labels.finish()),
        Arc::new(Int64Array::from_iter_values(times)),
        Arc::new(Float64Array::from_iter_values(values)),
    ];
    RecordBatch::try_new(columns::exemplars_schema(), columns)
}

/// A map column of labels, with its texts at hand.
struct LabelMaps<'a> {
    maps: &'a MapArray,
    names: &'a StringArray,
    values: &'a StringArray,
}

impl<'a> LabelMaps<'a> {
    fn new(column: &'a ArrayRef) -> Option<Self> {
        let maps = column.as_map_opt()?;
        let names = maps.keys().as_string_opt::<i32>()?;
        let values = maps.values().as_string_opt::<i32>()?;
        let nulls = maps.null_count() + names.null_count() + values.null_count();
        (nulls == 0).then_some(Self {
            maps,
            names,
            values,
        })
    }

    /// The labels of one row, with the metric name unless that is ""; `None` unless they are canonical.
    fn labels(&self, row: usize, metric: &str) -> Option<Labels> {
        let offsets = self.maps.value_offsets();
        let items = *offsets.get(row)? as usize..*offsets.get(row + 1)? as usize;
        let mut pairs: Vec<(&str, &str)> = items
            .map(|item| (self.names.value(item), self.values.value(item)))
            .collect();
        if pairs.iter().any(|(label, _)| *label == METRIC_NAME) {
            return None;
        }
        if !metric.is_empty() {
            let place = pairs.partition_point(|(label, _)| *label < METRIC_NAME);
            pairs.insert(place, (METRIC_NAME, metric));
        }
        Labels::from_canonical(pairs)
    }
}

/// Reads a batch that has the columns of [`columns::exemplars_schema`], in any order and in the order of its rows. Exemplars of one
/// series that follow each other share it.
///
/// # Errors
/// What is wrong, as text: a column that is missing or not of its type, a null, labels that are not canonical, an id that is
/// not that of its labels.
pub fn decode_exemplars(batch: &RecordBatch) -> Result<Vec<Exemplar>, String> {
    let missing = |name: &str| format!("exemplars have no column {name}, or one of another type");
    let column = |name: &str| {
        let column = batch.column_by_name(name);
        let column = column.filter(|column| column.null_count() == 0);
        column.ok_or_else(|| missing(name))
    };
    let maps = |name| LabelMaps::new(column(name)?).ok_or_else(|| missing(name));
    let names = column(columns::NAME)?.as_string_opt::<i32>();
    let names = names.ok_or_else(|| missing(columns::NAME))?;
    let ids = column(columns::SERIES_ID)?.as_binary_opt::<i32>();
    let ids = ids.ok_or_else(|| missing(columns::SERIES_ID))?;
    let times = column(columns::TIMESTAMP)?.as_primitive_opt::<Int64Type>();
    let times = times.ok_or_else(|| missing(columns::TIMESTAMP))?;
    let values = column(columns::VALUE)?.as_primitive_opt::<Float64Type>();
    let values = values.ok_or_else(|| missing(columns::VALUE))?;
    let (of_series, own) = (maps(columns::LABELS)?, maps(columns::EXEMPLAR_LABELS)?);
    let mut exemplars: Vec<Exemplar> = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let canonical = || format!("exemplar {row}: labels are not canonical");
        let labels = of_series
            .labels(row, names.value(row))
            .ok_or_else(canonical)?;
        let last = exemplars.last().map(|exemplar| &exemplar.series);
        let series = match last.filter(|last| last.labels == labels) {
            Some(last) => SeriesRef::clone(last),
            None => {
                let id = SeriesId::of(&labels);
                Arc::new(Series { id, labels })
            }
        };
        if ids.value(row) != series.id.0 {
            return Err(format!(
                "exemplar {row}: its id is not that of {}",
                series.labels
            ));
        }
        exemplars.push(Exemplar {
            series,
            labels: own.labels(row, "").ok_or_else(canonical)?,
            timestamp_ms: times.value(row),
            value: values.value(row),
        });
    }
    Ok(exemplars)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn exemplar(pairs: &[(&str, &str)], timestamp_ms: i64, value: f64) -> Exemplar {
        Exemplar {
            series: Arc::new(Series::new(Labels::from_pairs(pairs.iter().copied()))),
            labels: Labels::from_pairs([("trace_id", "ü"), ("Z", "1")]),
            timestamp_ms,
            value,
        }
    }

    #[test]
    fn exemplars_come_back_bit_by_bit_and_share_their_series() {
        let nan = f64::from_bits(0x7ff8_0000_dead_beef);
        let exemplars = [
            exemplar(&[("a", "1")], i64::MIN, nan),
            exemplar(&[("__name__", "x"), ("Zone", "z"), ("job", "n")], -7, -0.0),
            exemplar(&[("__name__", "x"), ("Zone", "z"), ("job", "n")], 9, 6.0),
        ];
        let batch = exemplars_batch(&exemplars).unwrap();
        let read = decode_exemplars(&batch).unwrap();
        assert_eq!(read.len(), exemplars.len());
        for (a, b) in read.iter().zip(&exemplars) {
            assert!(a.total_cmp(b).is_eq());
            assert_eq!(a.series.labels, b.series.labels);
        }
        assert!(Arc::ptr_eq(&read[1].series, &read[2].series));
        assert!(!Arc::ptr_eq(&read[0].series, &read[1].series));
    }

    #[test]
    fn what_is_wrong_with_a_batch_is_said() {
        let batch = exemplars_batch(&[exemplar(&[("a", "1")], 1, 1.0)]).unwrap();
        let without = batch.project(&[0, 1, 2, 3, 5]).unwrap();
        let error = decode_exemplars(&without).unwrap_err();
        assert!(error.contains("no column timestamp"), "{error}");
        let other = exemplars_batch(&[exemplar(&[("a", "2")], 1, 1.0)]).unwrap();
        let mut columns = batch.columns().to_vec();
        columns[1] = Arc::clone(other.column(1));
        let mixed = RecordBatch::try_new(batch.schema(), columns).unwrap();
        let error = decode_exemplars(&mixed).unwrap_err();
        assert!(error.contains("its id is not that of"), "{error}");
    }
}
