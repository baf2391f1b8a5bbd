//! The rows of the small tables, `series` and `metadata`, in memory and in Arrow. Those of `samples` are
//! [`varve_storage::rows`], those of `exemplars` [`varve_storage::exemplar`].

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Int64Array, MapBuilder, RecordBatch, StringArray,
    StringBuilder,
};
use arrow::datatypes::Int64Type;
use varve_storage::rows::label_map_builder;
use varve_storage::{
    Labels, METRIC_NAME, MetricMetadata, MetricType, Series, SeriesId, SeriesRef, columns,
};

use crate::error::{Error, Result};
use crate::kind::{FAMILY, HELP, TYPE, TableKind, UNIT};

/// What `series` says about one series on one day; several rows of one series and day add up.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesRow {
    /// The series.
    pub series: SeriesRef,
    /// The first sample in milliseconds.
    pub min_time_ms: i64,
    /// The last sample in milliseconds.
    pub max_time_ms: i64,
    /// Samples written; a sample that came in twice, minutes apart, counts twice.
    pub samples: i64,
}

impl SeriesRow {
    /// The sort order of the table: by metric name, then by all labels.
    pub fn order(&self, other: &Self) -> Ordering {
        let (one, two) = (&self.series.labels, &other.series.labels);
        one.metric_name()
            .cmp(two.metric_name())
            .then_with(|| one.cmp(two))
    }

    /// Adds the counts of another row of the same series and day.
    pub fn absorb(&mut self, other: &Self) {
        self.min_time_ms = self.min_time_ms.min(other.min_time_ms);
        self.max_time_ms = self.max_time_ms.max(other.max_time_ms);
        self.samples = self.samples.saturating_add(other.samples);
    }
}

/// Builds a batch of `series`; rows come out in the order in which they were pushed.
#[derive(Debug)]
pub struct SeriesRowsBuilder {
    names: StringBuilder,
    labels: MapBuilder<StringBuilder, StringBuilder>,
    ids: BinaryBuilder,
    min_times: Vec<i64>,
    max_times: Vec<i64>,
    samples: Vec<i64>,
}

impl SeriesRowsBuilder {
    /// A builder with room for so many rows.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            names: StringBuilder::with_capacity(rows, rows * 32),
            labels: label_map_builder(),
            ids: BinaryBuilder::with_capacity(rows, rows * 16),
            min_times: Vec::with_capacity(rows),
            max_times: Vec::with_capacity(rows),
            samples: Vec::with_capacity(rows),
        }
    }

    /// Adds a row: metric name and id, the other labels, the times of the first and last sample in milliseconds, the number of samples.
    pub fn push<'l>(
        &mut self,
        (name, id): (&str, SeriesId),
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        (min_time_ms, max_time_ms): (i64, i64),
        samples: i64,
    ) -> Result<()> {
        for (name, value) in labels {
            self.labels.keys().append_value(name);
            self.labels.values().append_value(value);
        }
        let appended = self.labels.append(true);
        appended.map_err(|e| Error::encode("rows of series", e))?;
        self.names.append_value(name);
        self.ids.append_value(id.0);
        self.min_times.push(min_time_ms);
        self.max_times.push(max_time_ms);
        self.samples.push(samples);
        Ok(())
    }

    /// The batch.
    pub fn finish(mut self) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.names.finish()),
            Arc::new(self.labels.finish()),
            Arc::new(self.ids.finish()),
            Arc::new(Int64Array::from(self.min_times)),
            Arc::new(Int64Array::from(self.max_times)),
            Arc::new(Int64Array::from(self.samples)),
        ];
        RecordBatch::try_new(TableKind::Series.file_schema(), columns)
            .map_err(|e| Error::encode("rows of series", e))
    }
}

/// Builds a batch of `series`, rows in the given order.
pub fn encode_series(rows: &[SeriesRow]) -> Result<RecordBatch> {
    let mut builder = SeriesRowsBuilder::with_capacity(rows.len());
    for row in rows {
        let labels = &row.series.labels;
        builder.push(
            (labels.metric_name(), row.series.id),
            labels.iter().filter(|(n, _)| *n != METRIC_NAME),
            (row.min_time_ms, row.max_time_ms),
            row.samples,
        )?;
    }
    builder.finish()
}

/// Reads a batch of `series`; `key` names the file in errors. The column `samples` may be left out of a projection (then 0).
pub fn decode_series(key: &str, batch: &RecordBatch) -> Result<Vec<SeriesRow>> {
    let missing =
        |name: &str| Error::corrupt(key, format!("column {name} is missing or not of its type"));
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .filter(|array| array.null_count() == 0)
            .ok_or_else(|| missing(name))
    };
    let text = |array: &ArrayRef, name: &str| -> Result<StringArray> {
        array.as_string_opt().cloned().ok_or_else(|| missing(name))
    };
    let longs = |name: &str| -> Result<Int64Array> {
        let array = column(name)?.as_primitive_opt::<Int64Type>();
        array.cloned().ok_or_else(|| missing(name))
    };
    let names = text(column(columns::NAME)?, columns::NAME)?;
    let labels = column(columns::LABELS)?
        .as_map_opt()
        .ok_or_else(|| missing(columns::LABELS))?;
    let label_names = text(labels.keys(), columns::LABELS)?;
    let label_values = text(labels.values(), columns::LABELS)?;
    let ids = column(columns::SERIES_ID)?
        .as_binary_opt::<i32>()
        .ok_or_else(|| missing(columns::SERIES_ID))?;
    let min_times = longs(columns::MIN_TIME)?;
    let max_times = longs(columns::MAX_TIME)?;
    let counts = match batch.column_by_name(columns::SAMPLES) {
        Some(_) => Some(longs(columns::SAMPLES)?),
        None => None,
    };
    let mut rows = Vec::with_capacity(batch.num_rows());
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for (row, ends) in labels.value_offsets().windows(2).enumerate() {
        let broken = |reason: &str| Error::corrupt(key, format!("row {row}: {reason}"));
        let &[start, end] = ends else { continue };
        pairs.clear();
        for item in start..end {
            let item = usize::try_from(item).map_err(|_| broken("negative offset"))?;
            pairs.push((label_names.value(item), label_values.value(item)));
        }
        let name = names.value(row);
        if !name.is_empty() {
            let place = pairs.partition_point(|(label, _)| *label < METRIC_NAME);
            pairs.insert(place, (METRIC_NAME, name));
        }
        let labels = Labels::from_canonical(pairs.iter().copied())
            .ok_or_else(|| broken("its labels are not in canonical order"))?;
        let id: [u8; 16] = ids
            .value(row)
            .try_into()
            .map_err(|_| broken("its series_id has not 16 bytes"))?;
        rows.push(SeriesRow {
            series: Arc::new(Series {
                id: SeriesId(id),
                labels,
            }),
            min_time_ms: min_times.value(row),
            max_time_ms: max_times.value(row),
            samples: counts.as_ref().map_or(0, |counts| counts.value(row)),
        });
    }
    Ok(rows)
}

/// Builds a batch of `metadata`, rows in the given order.
pub fn encode_metadata(rows: &[MetricMetadata]) -> Result<RecordBatch> {
    let texts = |get: fn(&MetricMetadata) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(get)))
    };
    let columns = vec![
        texts(|row| &row.family),
        texts(|row| row.kind.as_str()),
        texts(|row| &row.unit),
        texts(|row| &row.help),
    ];
    RecordBatch::try_new(TableKind::Metadata.file_schema(), columns)
        .map_err(|e| Error::encode("rows of metadata", e))
}

/// Reads a batch of `metadata`; `key` names the file in errors. A type that this version does not know is read as unknown.
pub fn decode_metadata(key: &str, batch: &RecordBatch) -> Result<Vec<MetricMetadata>> {
    let text = |name: &str| -> Result<&StringArray> {
        batch
            .column_by_name(name)
            .and_then(|array| array.as_string_opt())
            .ok_or_else(|| Error::corrupt(key, format!("column {name} is missing or not text")))
    };
    let (families, kinds, units, helps) = (text(FAMILY)?, text(TYPE)?, text(UNIT)?, text(HELP)?);
    let rows = (0..batch.num_rows()).map(|row| MetricMetadata {
        family: families.value(row).to_owned(),
        kind: metric_type(kinds.value(row)),
        unit: units.value(row).to_owned(),
        help: helps.value(row).to_owned(),
    });
    Ok(rows.collect())
}

fn metric_type(name: &str) -> MetricType {
    [
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
        MetricType::Summary,
        MetricType::Info,
        MetricType::StateSet,
    ]
    .into_iter()
    .find(|kind| kind.as_str() == name)
    .unwrap_or(MetricType::Unknown)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn series_rows_come_back() {
        let row = |pairs: &[(&str, &str)], min_time_ms| SeriesRow {
            series: Arc::new(Series::new(Labels::from_pairs(pairs.iter().copied()))),
            min_time_ms,
            max_time_ms: min_time_ms + 5,
            samples: 3,
        };
        let rows = [
            row(&[("a", "1"), ("b", "ü")], 0),
            row(&[("__name__", "up"), ("Zone", "x"), ("job", "node")], -7),
            row(&[("__name__", "up")], 9),
        ];
        let batch = encode_series(&rows).unwrap();
        assert_eq!(decode_series("f", &batch).unwrap(), rows);
    }

    #[test]
    fn metadata_rows_come_back() {
        let rows = [
            MetricType::Counter,
            MetricType::Unknown,
            MetricType::StateSet,
        ]
        .map(|kind| MetricMetadata {
            family: "up".to_owned(),
            kind,
            unit: String::new(),
            help: "a \"b\"".to_owned(),
        });
        let batch = encode_metadata(&rows).unwrap();
        assert_eq!(decode_metadata("f", &batch).unwrap(), rows);
    }
}
