//! The second and third section of a segment: metric metadata and exemplars.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Float64Array, Int64Array, RecordBatch, StringArray,
    StringBuilder,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::columns;
use crate::exemplar::Exemplar;
use crate::labels::{Labels, METRIC_NAME, Series, SeriesId};
use crate::metadata::{MetricMetadata, MetricType};
use crate::rows::label_map_builder;

const TYPES: [MetricType; 8] = [
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
    MetricType::Unknown,
];

/// The columns of the metadata section.
pub(super) fn metadata_schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let fields = ["family", "type", "unit", "help"].map(text).to_vec();
    Arc::new(Schema::new(fields))
}

/// The columns of the exemplar section.
pub(super) fn exemplar_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(columns::NAME, DataType::Utf8, false),
        Field::new(columns::SERIES_ID, DataType::Binary, false),
        Field::new(columns::LABELS, columns::labels_type(), false),
        Field::new("exemplar_labels", columns::labels_type(), false),
        Field::new("timestamp", DataType::Int64, false),
        Field::new("value", DataType::Float64, false),
    ]))
}

pub(super) fn metadata_batch(metadata: &[MetricMetadata]) -> Result<RecordBatch, ArrowError> {
    let text = |of: fn(&MetricMetadata) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(metadata.iter().map(of)))
    };
    let columns = vec![
        text(|m| &m.family),
        text(|m| m.kind.as_str()),
        text(|m| &m.unit),
        text(|m| &m.help),
    ];
    RecordBatch::try_new(metadata_schema(), columns)
}

pub(super) fn read_metadata(batch: &RecordBatch) -> Result<Vec<MetricMetadata>, String> {
    let text = |column: usize| {
        batch
            .column(column)
            .as_string_opt::<i32>()
            .ok_or("metadata is not text")
    };
    let (families, types, units, helps) = (text(0)?, text(1)?, text(2)?, text(3)?);
    (0..batch.num_rows())
        .map(|row| {
            let name = types.value(row);
            let kind = TYPES
                .into_iter()
                .find(|kind| kind.as_str() == name)
                .ok_or_else(|| format!("there is no metric type {name:?}"))?;
            Ok(MetricMetadata {
                family: families.value(row).to_owned(),
                kind,
                unit: units.value(row).to_owned(),
                help: helps.value(row).to_owned(),
            })
        })
        .collect()
}

fn label_maps<'a>(sets: impl Iterator<Item = &'a Labels>) -> Result<ArrayRef, ArrowError> {
    let mut maps = label_map_builder();
    for labels in sets {
        for (name, value) in labels.iter() {
            maps.keys().append_value(name);
            maps.values().append_value(value);
        }
        maps.append(true)?;
    }
    Ok(Arc::new(maps.finish()))
}

pub(super) fn exemplar_batch(exemplars: &[Exemplar]) -> Result<RecordBatch, ArrowError> {
    let mut names = StringBuilder::new();
    let mut ids = BinaryBuilder::new();
    let mut series_labels = label_map_builder();
    for exemplar in exemplars {
        let labels = &exemplar.series.labels;
        names.append_value(labels.metric_name());
        ids.append_value(exemplar.series.id.0);
        for (name, value) in labels.iter().filter(|(n, _)| *n != METRIC_NAME) {
            series_labels.keys().append_value(name);
            series_labels.values().append_value(value);
        }
        series_labels.append(true)?;
    }
    let times = exemplars.iter().map(|e| e.timestamp_ms);
    let values = exemplars.iter().map(|e| e.value);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(names.finish()),
        Arc::new(ids.finish()),
        Arc::new(series_labels.finish()),
        label_maps(exemplars.iter().map(|e| &e.labels))?,
        Arc::new(Int64Array::from_iter_values(times)),
        Arc::new(Float64Array::from_iter_values(values)),
    ];
    RecordBatch::try_new(exemplar_schema(), columns)
}

/// The labels of one row of a map column; `None` unless they are canonical.
fn read_labels(column: &ArrayRef, row: usize, name: &str) -> Option<Labels> {
    let map = column.as_map_opt()?;
    let keys = map.keys().as_string_opt::<i32>()?;
    let values = map.values().as_string_opt::<i32>()?;
    let offsets = map.value_offsets();
    let items = *offsets.get(row)? as usize..*offsets.get(row + 1)? as usize;
    if values.null_count() > 0 {
        return None;
    }
    let mut pairs: Vec<(&str, &str)> = items
        .map(|item| (keys.value(item), values.value(item)))
        .collect();
    if pairs.iter().any(|(label, _)| *label == METRIC_NAME) {
        return None;
    }
    if !name.is_empty() {
        let place = pairs.partition_point(|(label, _)| *label < METRIC_NAME);
        pairs.insert(place, (METRIC_NAME, name));
    }
    Labels::from_canonical(pairs)
}

pub(super) fn read_exemplars(batch: &RecordBatch) -> Result<Vec<Exemplar>, String> {
    let names = batch.column(0).as_string_opt::<i32>();
    let ids = batch.column(1).as_binary_opt::<i32>();
    let times = batch.column(4).as_primitive_opt::<Int64Type>();
    let values = batch.column(5).as_primitive_opt::<Float64Type>();
    let (Some(names), Some(ids), Some(times), Some(values)) = (names, ids, times, values) else {
        return Err("exemplars have the wrong types".to_owned());
    };
    (0..batch.num_rows())
        .map(|row| {
            let canonical = || format!("exemplar {row}: labels are not canonical");
            let labels =
                read_labels(batch.column(2), row, names.value(row)).ok_or_else(canonical)?;
            let own = read_labels(batch.column(3), row, "").ok_or_else(canonical)?;
            let id = SeriesId::of(&labels);
            if ids.value(row) != id.0 {
                return Err(format!("exemplar {row}: its id is not that of {labels}"));
            }
            Ok(Exemplar {
                series: Arc::new(Series { id, labels }),
                labels: own,
                timestamp_ms: times.value(row),
                value: values.value(row),
            })
        })
        .collect()
}
