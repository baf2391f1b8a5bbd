//! A batch of slices, with its columns at hand.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, ListArray, RecordBatch,
};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::{Result, exec_err};
use varve_storage::rows::{HistogramLists, StartLists};
use varve_storage::{FloatHistogram, columns, is_stale_nan, stale_nan};

use crate::error::Error;

/// Rows of `samples`: ids, timestamps, values, and native histograms and start timestamps if the scan was to read them.
#[derive(Debug)]
pub(crate) struct Slices {
    ids: BinaryArray,
    timestamp_lists: ListArray,
    timestamps: Int64Array,
    value_lists: ListArray,
    values: Float64Array,
    histograms: Option<ArrayRef>,
    starts: Option<ArrayRef>,
}

/// Samples of one slice in a range of time.
#[derive(Debug)]
pub(crate) struct SlicePart<'a> {
    /// Times, strictly ascending.
    pub(crate) timestamps: &'a [i64],
    /// As many values; those of histograms mean nothing.
    pub(crate) values: &'a [f64],
    /// As many items, of which those of floats are `None`; empty if all are floats.
    pub(crate) histograms: Vec<Option<Arc<FloatHistogram>>>,
    /// As many start timestamps in milliseconds; empty if none is known, or none was read.
    pub(crate) starts: &'a [i64],
    /// The values anew where histograms were stale markers: those are the same for both kinds of samples.
    marked: Vec<f64>,
}

impl SlicePart<'_> {
    /// The values, with the stale marker where a histogram was one.
    pub(crate) fn values(&self) -> &[f64] {
        match self.marked.is_empty() {
            true => self.values,
            false => &self.marked,
        }
    }
}

/// What a slice has in a range of time.
pub(crate) enum Found<'a> {
    /// Samples.
    Samples(SlicePart<'a>),
    /// Native histograms, which the scan was not to read.
    Histograms,
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
            histograms: column(columns::HISTOGRAMS).cloned(),
            starts: column(columns::START_TIMESTAMPS)
                .filter(|starts| starts.null_count() < starts.len())
                .cloned(),
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn series_id(&self, row: usize) -> &[u8] {
        self.ids.value(row)
    }

    /// The samples of a row within a closed range of time.
    pub(crate) fn between(&self, row: usize, min_ms: i64, max_ms: i64) -> Result<Found<'_>> {
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
        let mut part = SlicePart {
            timestamps: &timestamps[from..to],
            values: &self.values.values()[start + from..start + to],
            histograms: Vec::new(),
            starts: &[],
            marked: Vec::new(),
        };
        if let Some(starts) = &self.starts {
            let lists = StartLists::new(starts).map_err(Error::from)?;
            if let Some(starts) = lists.get(row) {
                if starts.len() != timestamps.len() {
                    return exec_err!(
                        "a slice has {} timestamps and {} start timestamps",
                        timestamps.len(),
                        starts.len()
                    );
                }
                part.starts = &starts[from..to];
            }
        }
        // A value is null where the sample is a histogram.
        if let Some(nulls) = self.values.nulls()
            && nulls.slice(start + from, to - from).null_count() > 0
        {
            let Some(histograms) = &self.histograms else {
                return Ok(Found::Histograms);
            };
            let lists = HistogramLists::new(histograms).map_err(Error::from)?;
            read_histograms(&lists, row, from..to, &mut part);
        }
        Ok(Found::Samples(part))
    }
}

fn read_histograms(
    lists: &HistogramLists<'_>,
    row: usize,
    range: Range<usize>,
    part: &mut SlicePart<'_>,
) {
    let mut any = false;
    part.histograms.reserve(range.len());
    for (place, index) in range.enumerate() {
        let mut histogram = lists.get(row, index);
        if histogram.as_ref().is_some_and(|h| is_stale_nan(h.sum)) {
            histogram = None;
            if part.marked.is_empty() {
                part.marked = part.values.to_vec();
            }
            part.marked[place] = stale_nan();
        }
        any |= histogram.is_some();
        part.histograms.push(histogram.map(Arc::new));
    }
    if !any {
        part.histograms.clear();
    }
}
