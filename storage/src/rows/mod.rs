//! Samples by series: the rows of [`crate::columns::samples_schema`], borrowed from a batch and built into one.
//!
//! # Vocabulary
//! - A **row** is one series over one slice of time.
//! - [`SampleRows`] borrows the rows of a `RecordBatch`; a [`RowView`] is one of them, as slices into Arrow's buffers.
//! - [`SeriesSamples`] owns the samples of one series; a [`SampleSet`] collects them for many series.
//! - [`SampleRowsBuilder`] turns rows into a `RecordBatch`.
//!
//! # Invariants
//! - [`SampleRows::new`] checks types, nulls and list lengths once, so that reading a row afterwards cannot fail.
//! - A [`SampleSet`] gives the same rows whatever the order in which samples came in: duplicates are resolved by
//!   [`crate::sample::compare_duplicate_samples`].

mod build;
mod histograms;
mod set;
mod starts;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, ListArray, MapArray,
    RecordBatch, StringArray,
};
use std::sync::Arc;

use crate::columns;
use crate::error::{Error, Result};
use crate::histogram::FloatHistogram;
use crate::labels::{Labels, METRIC_NAME, SeriesId};
use crate::sample::SampleValue;

pub use self::build::{SampleRowsBuilder, label_map_builder, samples_batch};
use self::histograms::HistogramColumn;
pub use self::histograms::{HistogramLists, histogram_structs};
pub use self::set::{IdBuildHasher, IdHasher, SampleSet, SeriesIdMap, SeriesSamples};
pub use self::starts::StartLists;

/// The rows of a batch of samples, borrowed.
///
/// The columns `__name__`, `series_id`, `timestamps` and `values` are needed, in any order and among others; `labels`,
/// `histograms` and `start_timestamps` may be left out of a projection.
#[derive(Debug)]
pub struct SampleRows<'a> {
    names: &'a StringArray,
    ids: &'a BinaryArray,
    labels: Option<LabelColumn<'a>>,
    timestamp_offsets: &'a [i32],
    timestamps: &'a [i64],
    value_offsets: &'a [i32],
    values: &'a Float64Array,
    histograms: Option<HistogramColumn<'a>>,
    starts: Option<StartLists<'a>>,
}

#[derive(Debug)]
struct LabelColumn<'a> {
    offsets: &'a [i32],
    keys: &'a StringArray,
    values: &'a StringArray,
}

/// Why a batch does not hold rows of samples; the caller knows the object.
type Reason = String;

fn column<'a, T: Array + 'static>(
    batch: &'a RecordBatch,
    name: &str,
    as_type: impl Fn(&'a ArrayRef) -> Option<&'a T>,
) -> Result<&'a T, Reason> {
    let array = batch
        .column_by_name(name)
        .ok_or_else(|| format!("no column {name}"))?;
    let typed = as_type(array)
        .ok_or_else(|| format!("column {name} has the type {}", array.data_type()))?;
    if typed.null_count() > 0 {
        return Err(format!("column {name} has nulls"));
    }
    Ok(typed)
}

fn items<'a, T: Array + 'static>(
    list: &'a ListArray,
    name: &str,
    as_type: impl Fn(&'a ArrayRef) -> Option<&'a T>,
) -> Result<&'a T, Reason> {
    as_type(list.values()).ok_or_else(|| format!("column {name} has the type {}", list.data_type()))
}

impl<'a> LabelColumn<'a> {
    fn new(map: &'a MapArray) -> Result<Self, Reason> {
        let wrong = || format!("column labels has the type {}", map.data_type());
        let keys = map.keys().as_string_opt::<i32>().ok_or_else(wrong)?;
        let values = map.values().as_string_opt::<i32>().ok_or_else(wrong)?;
        if keys.null_count() > 0 || values.null_count() > 0 {
            return Err("column labels has a null key or value".to_owned());
        }
        Ok(Self {
            offsets: map.value_offsets(),
            keys,
            values,
        })
    }
}

/// The range of a row in a list's items; `OffsetBuffer` guarantees that offsets ascend and fit.
fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

impl<'a> SampleRows<'a> {
    /// Borrows the rows of a batch.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where a column is missing or has another type, a required value is null, an id has not 16 bytes or the
    /// lists of a row differ in length.
    pub fn new(batch: &'a RecordBatch) -> Result<Self> {
        Self::check(batch).map_err(|reason| Error::Corrupt {
            key: "a batch of samples".to_owned(),
            reason,
        })
    }

    pub(crate) fn check(batch: &'a RecordBatch) -> Result<Self, Reason> {
        let names = column(batch, columns::NAME, |a| a.as_string_opt::<i32>())?;
        let ids = column(batch, columns::SERIES_ID, |a| a.as_binary_opt::<i32>())?;
        let timestamp_lists = column(batch, columns::TIMESTAMPS, |a| a.as_list_opt::<i32>())?;
        let timestamps: &Int64Array = items(timestamp_lists, columns::TIMESTAMPS, |a| {
            a.as_primitive_opt()
        })?;
        let value_lists = column(batch, columns::VALUES, |a| a.as_list_opt::<i32>())?;
        let values: &Float64Array = items(value_lists, columns::VALUES, |a| a.as_primitive_opt())?;
        if timestamps.null_count() > 0 {
            return Err("column timestamps has a null item".to_owned());
        }
        let labels = match batch.column_by_name(columns::LABELS) {
            Some(_) => Some(LabelColumn::new(column(batch, columns::LABELS, |a| {
                a.as_map_opt()
            })?)?),
            None => None,
        };
        let histograms = match batch.column_by_name(columns::HISTOGRAMS) {
            // The common case costs nothing: no row has histograms.
            Some(array) if array.null_count() == array.len() => None,
            Some(array) => Some(HistogramColumn::new(array)?),
            None => None,
        };
        let starts = match batch.column_by_name(columns::START_TIMESTAMPS) {
            Some(array) if array.null_count() == array.len() => None,
            Some(array) => Some(StartLists::check(array)?),
            None => None,
        };
        let rows = Self {
            names,
            ids,
            labels,
            timestamp_offsets: timestamp_lists.value_offsets(),
            timestamps: timestamps.values(),
            value_offsets: value_lists.value_offsets(),
            values,
            histograms,
            starts,
        };
        for row in 0..rows.len() {
            rows.check_row(row)
                .map_err(|reason| format!("row {row}: {reason}"))?;
        }
        Ok(rows)
    }

    fn check_row(&self, row: usize) -> Result<(), Reason> {
        let id_bytes = self.ids.value(row).len();
        if id_bytes != 16 {
            return Err(format!("its series_id has {id_bytes} bytes instead of 16"));
        }
        let samples = range(self.timestamp_offsets, row).len();
        let values = range(self.value_offsets, row).len();
        if samples != values {
            return Err(format!("{samples} timestamps and {values} values"));
        }
        if let Some(histograms) = &self.histograms
            && let Some(range) = histograms.items(row)
            && range.len() != samples
        {
            return Err(format!(
                "{samples} timestamps and {} histograms",
                range.len()
            ));
        }
        if let Some(starts) = self.starts.as_ref().and_then(|starts| starts.get(row))
            && starts.len() != samples
        {
            return Err(format!(
                "{samples} timestamps and {} start timestamps",
                starts.len()
            ));
        }
        Ok(())
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples of all rows.
    pub fn samples(&self) -> usize {
        let first = self.timestamp_offsets.first().copied().unwrap_or(0);
        let last = self.timestamp_offsets.last().copied().unwrap_or(0);
        (last - first) as usize
    }

    /// One row. Panics where `row` is not below [`SampleRows::len`], as a slice does.
    pub fn row(&self, row: usize) -> RowView<'_> {
        assert!(row < self.len(), "row {row} of {}", self.len());
        RowView { rows: self, row }
    }

    /// All rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowView<'_>> {
        (0..self.len()).map(|row| RowView { rows: self, row })
    }
}

/// One row: a series and its samples over one slice of time.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    rows: &'a SampleRows<'a>,
    row: usize,
}

impl<'a> RowView<'a> {
    /// The metric name, "" where the series has none.
    pub fn name(&self) -> &'a str {
        self.rows.names.value(self.row)
    }

    /// The series.
    pub fn series_id(&self) -> SeriesId {
        let mut id = [0; 16];
        id.copy_from_slice(self.rows.ids.value(self.row));
        SeriesId(id)
    }

    /// The labels but the metric name, as stored (ascending by name); none where the column was not read.
    pub fn label_pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone + use<'a> {
        let row = self.row;
        self.rows.labels.iter().flat_map(move |labels| {
            range(labels.offsets, row)
                .map(|item| (labels.keys.value(item), labels.values.value(item)))
        })
    }

    /// The whole label set, the metric name included; `None` where the column was not read or is not canonical.
    pub fn labels(&self) -> Option<Labels> {
        self.rows.labels.as_ref()?;
        let name = self.name();
        let mut pairs: Vec<(&str, &str)> = self.label_pairs().collect();
        if !name.is_empty() {
            let place = pairs.partition_point(|(label, _)| *label < METRIC_NAME);
            pairs.insert(place, (METRIC_NAME, name));
        }
        // Without a name, a name among the labels would make two forms of one series.
        else if pairs.iter().any(|(label, _)| *label == METRIC_NAME) {
            return None;
        }
        Labels::from_canonical(pairs)
    }

    /// Whether the row's labels are these; nothing is allocated.
    pub fn has_labels(&self, labels: &Labels) -> bool {
        let others = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
        self.rows.labels.is_some()
            && self.name() == labels.metric_name()
            && others.eq(self.label_pairs())
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        range(self.rows.timestamp_offsets, self.row).len()
    }

    /// Whether the row has no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sample times in milliseconds.
    pub fn timestamps(&self) -> &'a [i64] {
        &self.rows.timestamps[range(self.rows.timestamp_offsets, self.row)]
    }

    /// Sample values. Where [`RowView::is_histogram`] holds the slot means nothing.
    pub fn values(&self) -> &'a [f64] {
        &self.rows.values.values()[range(self.rows.value_offsets, self.row)]
    }

    /// The start timestamps in milliseconds, [`columns::NO_START_MS`] where one is not known; empty where none is, and where the
    /// column was not read.
    pub fn start_timestamps(&self) -> &'a [i64] {
        let starts = self.rows.starts.as_ref();
        starts
            .and_then(|starts| starts.get(self.row))
            .unwrap_or_default()
    }

    /// Whether any sample of the row may be a histogram; `false` for nearly all rows.
    pub fn has_histograms(&self) -> bool {
        match &self.rows.histograms {
            Some(histograms) => histograms.items(self.row).is_some(),
            None => false,
        }
    }

    /// Whether the sample at `index` is a histogram.
    pub fn is_histogram(&self, index: usize) -> bool {
        match &self.rows.histograms {
            Some(histograms) => histograms
                .items(self.row)
                .is_some_and(|items| index < items.len() && histograms.is_set(items.start + index)),
            None => false,
        }
    }

    /// The histogram at `index`; `None` where the sample is a float.
    pub fn histogram(&self, index: usize) -> Option<FloatHistogram> {
        if !self.is_histogram(index) {
            return None;
        }
        let histograms = self.rows.histograms.as_ref()?;
        let items = histograms.items(self.row)?;
        Some(histograms.read(items.start + index))
    }

    /// The value at `index`; `None` past the end.
    pub fn value(&self, index: usize) -> Option<SampleValue> {
        let float = *self.values().get(index)?;
        Some(match self.histogram(index) {
            Some(histogram) => SampleValue::Histogram(Arc::new(histogram)),
            None => SampleValue::Float(float),
        })
    }

    /// Whether the slot of `values` at `index` is null.
    pub(crate) fn value_is_null(&self, index: usize) -> bool {
        let items = range(self.rows.value_offsets, self.row);
        self.rows.values.is_null(items.start + index)
    }

    /// Why the row breaks the rules of the format, if it does: samples ascend strictly, each is either a float or a
    /// histogram, and histograms hold as many buckets as their spans say.
    pub(crate) fn broken_rule(&self) -> Option<Reason> {
        let timestamps = self.timestamps();
        if timestamps.is_empty() {
            return Some("no samples".to_owned());
        }
        if let Some(pair) = timestamps.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Some(format!("time {} after {}", pair[1], pair[0]));
        }
        let no_nulls = self.rows.values.null_count() == 0;
        if no_nulls && !self.has_histograms() {
            return None;
        }
        for index in 0..timestamps.len() {
            let histogram = self.is_histogram(index);
            if histogram != self.value_is_null(index) {
                return Some(format!(
                    "sample {index} must be either a float or a histogram"
                ));
            }
        }
        let histograms = self.rows.histograms.as_ref()?;
        let items = histograms.items(self.row)?;
        items
            .filter(|item| histograms.is_set(*item))
            .find_map(|item| histograms.broken_rule(item))
    }
}

#[cfg(test)]
mod tests;
