//! The Arrow form of series, samples and exemplars, shared by WAL segments and table files.
//!
//! One row is one series over one slice of time. `timestamps` is strictly increasing; `values` and `timestamps` have
//! one length. Where a row holds native histograms, `histograms` has that length too, with a null at each
//! float, and `values` a null at each histogram; a row of floats only has a null list in `histograms`.
//! Where a start timestamp is known of some sample of a row, `start_timestamps` has that length too, with
//! [`NO_START_MS`] at the others; a row without any has a null list.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};

/// The name of the column with the metric name.
pub const NAME: &str = "__name__";
/// All labels but the metric name.
pub const LABELS: &str = "labels";
/// The 16 bytes of a [`crate::SeriesId`].
pub const SERIES_ID: &str = "series_id";
/// The first sample's time in milliseconds.
pub const MIN_TIME: &str = "min_time";
/// The last sample's time in milliseconds.
pub const MAX_TIME: &str = "max_time";
/// Sample times in milliseconds.
pub const TIMESTAMPS: &str = "timestamps";
/// Sample values.
pub const VALUES: &str = "values";
/// Native histograms.
pub const HISTOGRAMS: &str = "histograms";
/// Start timestamps in milliseconds: since when each sample's counter has counted.
pub const START_TIMESTAMPS: &str = "start_timestamps";
/// The partition column of every table: the UTC day of a sample.
pub const DATE: &str = "date";
/// In `series`: how many samples of the series the day has.
pub const SAMPLES: &str = "samples";

/// In `exemplars`: the labels of the exemplar itself, such as `trace_id`.
pub const EXEMPLAR_LABELS: &str = "exemplar_labels";
/// In `exemplars`: its time in milliseconds.
pub const TIMESTAMP: &str = "timestamp";
/// In `exemplars`: the observed value.
pub const VALUE: &str = "value";

/// The start timestamp of a sample of which none is known. Prometheus writes it so, too.
pub const NO_START_MS: i64 = 0;

fn list(item: DataType, nullable: bool) -> DataType {
    DataType::List(Arc::new(Field::new("element", item, nullable)))
}

/// `list<long>`, items never null.
pub fn timestamps_type() -> DataType {
    list(DataType::Int64, false)
}

/// `list<double>`, an item is null where the sample is a native histogram.
pub fn values_type() -> DataType {
    list(DataType::Float64, true)
}

/// `map<string,string>`, keys ascending, values never null.
pub fn labels_type() -> DataType {
    let entry = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ]);
    DataType::Map(
        Arc::new(Field::new("key_value", DataType::Struct(entry), false)),
        false,
    )
}

/// The fields of one native histogram (see [`crate::FloatHistogram`]).
pub fn histogram_fields() -> Fields {
    let spans = || {
        let span = Fields::from(vec![
            Field::new("offset", DataType::Int32, false),
            Field::new("length", DataType::Int32, false),
        ]);
        list(DataType::Struct(span), false)
    };
    Fields::from(vec![
        Field::new("counter_reset_hint", DataType::Int8, false),
        Field::new("schema", DataType::Int32, false),
        Field::new("zero_threshold", DataType::Float64, false),
        Field::new("zero_count", DataType::Float64, false),
        Field::new("count", DataType::Float64, false),
        Field::new("sum", DataType::Float64, false),
        Field::new("positive_spans", spans(), false),
        Field::new("positive_buckets", list(DataType::Float64, false), false),
        Field::new("negative_spans", spans(), false),
        Field::new("negative_buckets", list(DataType::Float64, false), false),
        Field::new("custom_values", list(DataType::Float64, false), false),
    ])
}

/// `list<struct>`, an item is null where the sample is a float; null where the row has floats only.
pub fn histograms_type() -> DataType {
    list(DataType::Struct(histogram_fields()), true)
}

fn sample_fields() -> Vec<FieldRef> {
    [
        Field::new(NAME, DataType::Utf8, false),
        Field::new(SERIES_ID, DataType::Binary, false),
        Field::new(LABELS, labels_type(), false),
        Field::new(MIN_TIME, DataType::Int64, false),
        Field::new(MAX_TIME, DataType::Int64, false),
        Field::new(TIMESTAMPS, timestamps_type(), false),
        Field::new(VALUES, values_type(), false),
        Field::new(HISTOGRAMS, histograms_type(), true),
        Field::new(START_TIMESTAMPS, timestamps_type(), true),
    ]
    .map(Arc::new)
    .to_vec()
}

/// The columns of a `samples` file, without the partition column: `__name__`, `series_id`, `labels`, `min_time`,
/// `max_time`, `timestamps`, `values`, `histograms`, `start_timestamps`. A series without a name has "" in `__name__`.
/// Rows are sorted by (`__name__`, `series_id`, `min_time`).
pub fn samples_schema() -> SchemaRef {
    Arc::new(Schema::new(sample_fields()))
}

/// The columns of rows none of which has start timestamps: [`samples_schema`] without its last one. So are written all files
/// and segments that can do without, which are then the same as those of a Varve that does not know the column.
pub fn samples_schema_without_starts() -> SchemaRef {
    let mut fields = sample_fields();
    fields.retain(|field| field.name() != START_TIMESTAMPS);
    Arc::new(Schema::new(fields))
}

/// The columns of a `series` file, without the partition column: `__name__`, `labels`, `series_id`, `min_time`,
/// `max_time`, `samples`.
pub fn series_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(NAME, DataType::Utf8, false),
        Field::new(LABELS, labels_type(), false),
        Field::new(SERIES_ID, DataType::Binary, false),
        Field::new(MIN_TIME, DataType::Int64, false),
        Field::new(MAX_TIME, DataType::Int64, false),
        Field::new(SAMPLES, DataType::Int64, false),
    ]))
}

/// The columns of exemplars, in a WAL segment and in a file of `exemplars` (there without the partition column): `__name__`, `series_id`,
/// `labels`, `exemplar_labels`, `timestamp`, `value`. Rows are sorted by [`crate::Exemplar::total_cmp`].
pub fn exemplars_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(NAME, DataType::Utf8, false),
        Field::new(SERIES_ID, DataType::Binary, false),
        Field::new(LABELS, labels_type(), false),
        Field::new(EXEMPLAR_LABELS, labels_type(), false),
        Field::new(TIMESTAMP, DataType::Int64, false),
        Field::new(VALUE, DataType::Float64, false),
    ]))
}
