//! Collecting samples by series, in any order and with duplicates.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use super::RowView;
use crate::columns::NO_START_MS;
use crate::error::{Error, Result};
use crate::histogram::FloatHistogram;
use crate::labels::{SeriesId, SeriesRef};
use crate::sample::{SampleValue, compare_duplicate_samples};

/// The samples of one series.
#[derive(Clone, Debug)]
pub struct SeriesSamples {
    /// The series.
    pub series: SeriesRef,
    /// Times in milliseconds.
    pub timestamps: Vec<i64>,
    /// Values, as many as times; 0 where a histogram stands.
    pub values: Vec<f64>,
    /// Empty where all samples are floats; else as many as times, `None` where a float stands.
    pub histograms: Vec<Option<Arc<FloatHistogram>>>,
    /// Start timestamps in milliseconds. Empty where none is known; else as many as times, [`NO_START_MS`] where one is not.
    pub start_timestamps: Vec<i64>,
}

impl SeriesSamples {
    /// No samples yet.
    pub fn new(series: SeriesRef) -> Self {
        Self {
            series,
            timestamps: Vec::new(),
            values: Vec::new(),
            histograms: Vec::new(),
            start_timestamps: Vec::new(),
        }
    }

    /// Takes all samples out, and keeps the memory for others.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
        self.start_timestamps.clear();
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// The sample at `index`; `None` past the end.
    pub fn value(&self, index: usize) -> Option<SampleValue> {
        let float = *self.values.get(index)?;
        Some(match self.histograms.get(index) {
            Some(Some(histogram)) => SampleValue::Histogram(Arc::clone(histogram)),
            _ => SampleValue::Float(float),
        })
    }

    /// The start timestamp of the sample at `index` in milliseconds; [`NO_START_MS`] where it is not known, and past the end.
    pub fn start_ms(&self, index: usize) -> i64 {
        let known = self.start_timestamps.get(index).copied();
        known.unwrap_or(NO_START_MS)
    }

    /// Adds a sample of which no start timestamp is known at the end, whatever its time; see [`SeriesSamples::normalize`].
    pub fn push(&mut self, timestamp_ms: i64, value: &SampleValue) {
        self.push_started(timestamp_ms, NO_START_MS, value);
    }

    /// [`Self::push`] of a sample with its start timestamp.
    pub fn push_started(&mut self, timestamp_ms: i64, start_ms: i64, value: &SampleValue) {
        let (float, histogram) = match value {
            SampleValue::Float(float) => (*float, None),
            SampleValue::Histogram(histogram) => (0.0, Some(Arc::clone(histogram))),
        };
        if histogram.is_some() || !self.histograms.is_empty() {
            self.histograms.resize(self.timestamps.len(), None);
            self.histograms.push(histogram);
        }
        if start_ms != NO_START_MS || !self.start_timestamps.is_empty() {
            self.start_timestamps
                .resize(self.timestamps.len(), NO_START_MS);
            self.start_timestamps.push(start_ms);
        }
        self.timestamps.push(timestamp_ms);
        self.values.push(float);
    }

    /// Adds the samples of a row at the end.
    pub fn extend(&mut self, row: RowView<'_>) {
        let starts = row.start_timestamps();
        if row.has_histograms() {
            for (index, timestamp_ms) in row.timestamps().iter().enumerate() {
                if let Some(value) = row.value(index) {
                    let start_ms = starts.get(index).copied().unwrap_or(NO_START_MS);
                    self.push_started(*timestamp_ms, start_ms, &value);
                }
            }
            return;
        }
        self.extend_starts(starts, row.len());
        self.timestamps.extend_from_slice(row.timestamps());
        self.values.extend_from_slice(row.values());
        if !self.histograms.is_empty() {
            self.histograms.resize(self.timestamps.len(), None);
        }
    }

    /// Adds all samples of other rows of the series at the end.
    pub fn append(&mut self, other: &Self) {
        if !self.histograms.is_empty() || !other.histograms.is_empty() {
            self.histograms.resize(self.timestamps.len(), None);
            self.histograms.extend_from_slice(&other.histograms);
            self.histograms.resize(self.len() + other.len(), None);
        }
        self.extend_starts(&other.start_timestamps, other.len());
        self.timestamps.extend_from_slice(&other.timestamps);
        self.values.extend_from_slice(&other.values);
    }

    /// Makes room in `start_timestamps` for as many samples more, before they are added.
    fn extend_starts(&mut self, starts: &[i64], samples: usize) {
        if !self.start_timestamps.is_empty() || !starts.is_empty() {
            self.start_timestamps
                .resize(self.timestamps.len(), NO_START_MS);
            self.start_timestamps.extend_from_slice(starts);
            self.start_timestamps
                .resize(self.timestamps.len() + samples, NO_START_MS);
        }
    }

    /// Sorts by time and keeps, of samples at one time, the one that stands. Costs nothing but a look where samples are in
    /// strict order already.
    pub fn normalize(&mut self) {
        if self.timestamps.windows(2).all(|pair| pair[0] < pair[1]) {
            return;
        }
        let mut samples: Vec<(i64, SampleValue, i64)> = (0..self.len())
            .filter_map(|i| Some((*self.timestamps.get(i)?, self.value(i)?, self.start_ms(i))))
            .collect();
        samples.sort_by(|a, b| {
            a.0.cmp(&b.0)
                .then_with(|| compare_duplicate_samples((&b.1, b.2), (&a.1, a.2)))
        });
        // The one that stands comes first among equals.
        samples.dedup_by_key(|sample| sample.0);
        self.clear();
        for (timestamp_ms, value, start_ms) in &samples {
            self.push_started(*timestamp_ms, *start_ms, value);
        }
    }
}

/// A map by series id. Ids are parts of SHA-256 sums already: hashing them again is lost time.
pub type SeriesIdMap<V> = HashMap<SeriesId, V, IdBuildHasher>;

/// Makes the hashers of [`SeriesIdMap`].
#[derive(Clone, Copy, Debug, Default)]
pub struct IdBuildHasher;

/// Takes an id's own bits for its hash.
#[derive(Debug, Default)]
pub struct IdHasher(u64);

impl BuildHasher for IdBuildHasher {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher::default()
    }
}

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = self.0.rotate_left(5) ^ u64::from_le_bytes(word);
        }
    }
}

/// Samples of many series, collected in any order.
#[derive(Debug, Default)]
pub struct SampleSet {
    places: SeriesIdMap<usize>,
    rows: Vec<SeriesSamples>,
    samples: usize,
}

impl SampleSet {
    /// Samples so far, duplicates counted.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Series so far.
    pub fn series(&self) -> usize {
        self.rows.len()
    }

    /// The place of a series, for [`SampleSet::push_at`].
    ///
    /// # Errors
    /// [`Error::Invalid`] where another label set has the same id; it is an error and never a merge.
    pub fn place(&mut self, series: &SeriesRef) -> Result<usize> {
        match self.places.entry(series.id) {
            Entry::Vacant(entry) => {
                let place = self.rows.len();
                entry.insert(place);
                self.rows.push(SeriesSamples::new(Arc::clone(series)));
                Ok(place)
            }
            Entry::Occupied(entry) => {
                let place = *entry.get();
                match self.rows.get(place) {
                    Some(row) if row.series.labels == series.labels => Ok(place),
                    known => Err(Error::Invalid(format!(
                        "series {} has the id of series {}",
                        series.labels,
                        known
                            .map(|row| row.series.labels.to_string())
                            .unwrap_or_default()
                    ))),
                }
            }
        }
    }

    /// Adds a sample with its start timestamp in milliseconds to the series at a place.
    pub fn push_at(&mut self, place: usize, timestamp_ms: i64, start_ms: i64, value: &SampleValue) {
        if let Some(row) = self.rows.get_mut(place) {
            row.push_started(timestamp_ms, start_ms, value);
            self.samples += 1;
        }
    }

    /// Adds a sample of which no start timestamp is known.
    pub fn push(
        &mut self,
        series: &SeriesRef,
        timestamp_ms: i64,
        value: &SampleValue,
    ) -> Result<()> {
        let place = self.place(series)?;
        self.push_at(place, timestamp_ms, NO_START_MS, value);
        Ok(())
    }

    /// Adds the samples of a row.
    pub fn extend(&mut self, series: &SeriesRef, row: RowView<'_>) -> Result<()> {
        let place = self.place(series)?;
        if let Some(known) = self.rows.get_mut(place) {
            known.extend(row);
            self.samples += row.len();
        }
        Ok(())
    }

    /// One row per series that has samples, sorted by (`__name__`, `series_id`); times ascend strictly and duplicates are
    /// resolved. The result does not depend on the order in which samples were added.
    pub fn into_rows(self) -> Vec<SeriesSamples> {
        let mut rows = self.rows;
        rows.retain(|row| !row.is_empty());
        rows.iter_mut().for_each(SeriesSamples::normalize);
        sorted(rows)
    }
}

/// Sorts rows by (`__name__`, `series_id`). The keys are gathered first: names are few, and looking each up in its labels at every
/// comparison cost the compactor a tenth of its time where series have one sample each.
fn sorted(rows: Vec<SeriesSamples>) -> Vec<SeriesSamples> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut keys: Vec<(usize, SeriesId, usize)> = rows
        .iter()
        .enumerate()
        .map(|(index, row)| {
            let next = numbers.len();
            let number = numbers.entry(row.series.labels.metric_name());
            (*number.or_insert(next), row.series.id, index)
        })
        .collect();
    let mut names: Vec<(&str, usize)> = numbers.into_iter().collect();
    names.sort_unstable();
    let mut ranks = vec![0; names.len()];
    for (rank, (_, number)) in names.into_iter().enumerate() {
        ranks[number] = rank;
    }
    for (number, _, _) in &mut keys {
        *number = ranks[*number];
    }
    keys.sort_unstable();
    let mut rows: Vec<Option<SeriesSamples>> = rows.into_iter().map(Some).collect();
    let in_order = keys.into_iter();
    in_order
        .filter_map(|(_, _, index)| rows.get_mut(index)?.take())
        .collect()
}
