//! A batch of slices, with its columns at hand.

use arrow::array::{Array, AsArray, BinaryArray, Float64Array, Int64Array, ListArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::{Result, exec_err};
use varve_storage::columns;

use crate::error::Error;

/// Rows of `samples`: ids, timestamps, values.
#[derive(Debug)]
pub(crate) struct Slices {
    ids: BinaryArray,
    timestamp_lists: ListArray,
    timestamps: Int64Array,
    value_lists: ListArray,
    values: Float64Array,
}

impl Slices {
    pub(crate) fn try_new(batch: &RecordBatch) -> Result<Self> {
        let column = |name| batch.column_by_name(name);
        let ids = column(columns::SERIES_ID).and_then(|c| c.as_binary_opt::<i32>());
        let timestamp_lists = column(columns::TIMESTAMPS).and_then(|c| c.as_list_opt::<i32>());
        let value_lists = column(columns::VALUES).and_then(|c| c.as_list_opt::<i32>());
        let (Some(ids), Some(timestamp_lists), Some(value_lists)) =
            (ids, timestamp_lists, value_lists)
        else {
            return exec_err!("slices lack a column or have one of another type");
        };
        let timestamps = timestamp_lists.values().as_primitive_opt::<Int64Type>();
        let values = value_lists.values().as_primitive_opt::<Float64Type>();
        let (Some(timestamps), Some(values)) = (timestamps, values) else {
            return exec_err!("slices have lists of another type");
        };
        Ok(Self {
            ids: ids.clone(),
            timestamps: timestamps.clone(),
            timestamp_lists: timestamp_lists.clone(),
            values: values.clone(),
            value_lists: value_lists.clone(),
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn series_id(&self, row: usize) -> &[u8] {
        self.ids.value(row)
    }

    /// The samples of a row within a closed range of time. Fails where one of them is a native histogram.
    pub(crate) fn floats_between(
        &self,
        row: usize,
        min_ms: i64,
        max_ms: i64,
    ) -> Result<(&[i64], &[f64])> {
        let extent = |lists: &ListArray| {
            let offsets = lists.value_offsets();
            offsets[row] as usize..offsets[row + 1] as usize
        };
        let (of_timestamps, of_values) = (extent(&self.timestamp_lists), extent(&self.value_lists));
        if of_timestamps.len() != of_values.len() {
            return exec_err!(
                "a slice has {} timestamps and {} values",
                of_timestamps.len(),
                of_values.len()
            );
        }
        let timestamps = &self.timestamps.values()[of_timestamps];
        let from = timestamps.partition_point(|t| *t < min_ms);
        let to = timestamps.partition_point(|t| *t <= max_ms).max(from);
        let start = of_values.start;
        // A value is null where the sample is a histogram.
        if let Some(nulls) = self.values.nulls()
            && nulls.slice(start + from, to - from).null_count() > 0
        {
            return Err(Error::NotSupported("native histograms in queries".to_owned()).into());
        }
        let values = &self.values.values()[start + from..start + to];
        Ok((&timestamps[from..to], values))
    }
}
