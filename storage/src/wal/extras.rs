//! The second section of a segment: metric metadata. The third, exemplars, is in [`crate::exemplar`].

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::metadata::{MetricMetadata, MetricType};

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
