//! The samples of a pass by series: rows borrowed from the segments' own columns, so that a pass holds little besides those.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::{Datelike, NaiveDate};
use varve_storage::rows::{RowView, SampleRows, SampleRowsBuilder, SeriesSamples};
use varve_storage::{Labels, METRIC_NAME, Series, SeriesId};
use varve_table::rows::SeriesRowsBuilder;

use crate::error::{Error, Result};
use crate::kway::ROW_SAMPLES_MAX;
use crate::windows::{date_of, split};

/// The rows of one series: a range of [`Gathered::places`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    start: u32,
    end: u32,
}

/// What `series` has to know of a series on a day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeriesDay {
    run: Run,
    min_time_ms: i64,
    max_time_ms: i64,
    samples: i64,
}

/// The samples of a pass, in the order of the tables.
#[derive(Debug)]
pub(crate) struct Gathered<'a> {
    segments: Vec<SampleRows<'a>>,
    /// Segment and row, by (`__name__`, `series_id`); those of one series in the order of the WAL.
    places: Vec<(u32, u32)>,
    /// Window to the series that have samples in it, in the order of `samples`.
    pub(crate) windows: BTreeMap<i64, Vec<Run>>,
    /// Day to its series, in the order of `series`.
    pub(crate) days: BTreeMap<NaiveDate, Vec<SeriesDay>>,
    /// Samples, each time of a series counted once.
    pub(crate) samples: u64,
    /// Samples at times that have no date of four-digit years.
    pub(crate) dropped: u64,
}

impl<'a> Gathered<'a> {
    /// Sorts the rows of decoded segments.
    pub(crate) fn new(batches: &'a [RecordBatch]) -> Result<Self> {
        let segments = batches
            .iter()
            .map(SampleRows::new)
            .collect::<Result<Vec<_>, _>>()?;
        let mut out = Self {
            places: sorted_places(&segments),
            segments,
            windows: BTreeMap::new(),
            days: BTreeMap::new(),
            samples: 0,
            dropped: 0,
        };
        let mut times = Vec::new();
        let mut start = 0;
        while start < out.places.len() {
            let run = out.run_at(start)?;
            out.count(run, &mut times);
            start = run.end as usize;
        }
        let mut days = std::mem::take(&mut out.days);
        for day in days.values_mut() {
            out.sort_by_labels(day);
        }
        out.days = days;
        Ok(out)
    }

    fn row(&self, place: (u32, u32)) -> Option<RowView<'_>> {
        let segment = self.segments.get(place.0 as usize)?;
        Some(segment.row(place.1 as usize))
    }

    fn rows(&self, run: Run) -> impl ExactSizeIterator<Item = RowView<'_>> {
        let places = self.places.get(run.start as usize..run.end as usize);
        let places = places.unwrap_or_default();
        places
            .iter()
            .map(|place| self.segments[place.0 as usize].row(place.1 as usize))
    }

    /// The rows from `start` on that are of one series.
    fn run_at(&self, start: usize) -> Result<Run> {
        let mut end = start + 1;
        let first = self.places.get(start).and_then(|place| self.row(*place));
        if let Some(first) = first {
            while let Some(next) = self.places.get(end).and_then(|place| self.row(*place)) {
                if next.series_id() != first.series_id() || next.name() != first.name() {
                    break;
                }
                if !first.label_pairs().eq(next.label_pairs()) {
                    return Err(Error::Collision(format!(
                        "series {} has the id of series {}",
                        shown(next),
                        shown(first)
                    )));
                }
                end += 1;
            }
        }
        Ok(Run {
            // Segments have fewer rows than 2^32 together: their columns would not fit in memory.
            start: start as u32,
            end: end as u32,
        })
    }

    /// Counts the samples of a series by window and day.
    fn count(&mut self, run: Run, times: &mut Vec<i64>) {
        times.clear();
        for row in self.rows(run) {
            times.extend_from_slice(row.timestamps());
        }
        if !times.is_sorted_by(|a, b| a < b) {
            times.sort_unstable();
            times.dedup();
        }
        for (window, range) in split(times) {
            let part = times.get(range).unwrap_or_default();
            let (Some(min), Some(max)) = (part.first(), part.last()) else {
                continue;
            };
            let Some(date) = date_of(window).filter(|date| (1..=9_999).contains(&date.year()))
            else {
                self.dropped += part.len() as u64;
                continue;
            };
            self.samples += part.len() as u64;
            self.windows.entry(window).or_default().push(run);
            let day = self.days.entry(date).or_default();
            let samples = part.len() as i64;
            match day.last_mut().filter(|last| last.run == run) {
                Some(last) => {
                    last.max_time_ms = *max;
                    last.samples += samples;
                }
                None => day.push(SeriesDay {
                    run,
                    min_time_ms: *min,
                    max_time_ms: *max,
                    samples,
                }),
            }
        }
    }

    /// From the order by (`__name__`, `series_id`) into that of `series`: within a name, by all labels.
    fn sort_by_labels(&self, day: &mut [SeriesDay]) {
        let name = |one: &SeriesDay| self.rows(one.run).next().map(|row| row.name());
        let mut keys = LabelKeys::default();
        for same_name in day.chunk_by_mut(|a, b| name(a) == name(b)) {
            keys.clear();
            for one in &*same_name {
                keys.push(self.rows(one.run).next());
            }
            keys.sort(same_name);
        }
    }

    /// A batch of `series`.
    pub(crate) fn series_batch(&self, part: &[SeriesDay]) -> Result<RecordBatch> {
        let mut builder = SeriesRowsBuilder::with_capacity(part.len());
        for day in part {
            if let Some(row) = self.rows(day.run).next() {
                builder.push(
                    (row.name(), row.series_id()),
                    row.label_pairs(),
                    (day.min_time_ms, day.max_time_ms),
                    day.samples,
                )?;
            }
        }
        Ok(builder.finish()?)
    }

    /// Adds the samples of a series in a window to a batch of `samples`, as several rows where they are many.
    pub(crate) fn push(
        &self,
        builder: &mut SampleRowsBuilder,
        run: Run,
        window: i64,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let mut rows = self.rows(run);
        let Some(first) = rows.next() else {
            return Ok(());
        };
        let in_window = |times: &[i64]| split(times).find(|(w, _)| *w == window);
        if rows.len() == 0 && !first.has_histograms() {
            let Some((_, range)) = in_window(first.timestamps()) else {
                return Ok(());
            };
            let lists = (first.timestamps(), first.values(), first.start_timestamps());
            return push_parts(builder, first, lists, &[], range);
        }
        let samples = scratch.merge(self.rows(run));
        let Some((_, range)) = in_window(&samples.timestamps) else {
            return Ok(());
        };
        let lists = (
            samples.timestamps.as_slice(),
            samples.values.as_slice(),
            samples.start_timestamps.as_slice(),
        );
        push_parts(builder, first, lists, &samples.histograms, range)
    }
}

fn push_parts(
    builder: &mut SampleRowsBuilder,
    series: RowView<'_>,
    (timestamps, values, starts): (&[i64], &[f64], &[i64]),
    histograms: &[Option<Arc<varve_storage::FloatHistogram>>],
    range: Range<usize>,
) -> Result<()> {
    let mut start = range.start;
    while start < range.end {
        let part = start..range.end.min(start + ROW_SAMPLES_MAX);
        start = part.end;
        builder.push_row(
            series,
            timestamps.get(part.clone()).unwrap_or_default(),
            values.get(part.clone()).unwrap_or_default(),
            histograms.get(part.clone()).unwrap_or_default(),
            starts.get(part).unwrap_or_default(),
        )?;
    }
    Ok(())
}

/// Where the samples of several rows become those of one, one series after the other.
#[derive(Debug)]
pub(crate) struct Scratch(SeriesSamples);

impl Default for Scratch {
    fn default() -> Self {
        // Whose samples they are is known where they are used.
        Self(SeriesSamples::new(Arc::new(Series::new(Labels::empty()))))
    }
}

impl Scratch {
    fn merge<'r>(&mut self, rows: impl Iterator<Item = RowView<'r>>) -> &SeriesSamples {
        self.0.clear();
        for row in rows {
            self.0.extend(row);
        }
        self.0.normalize();
        &self.0
    }
}

/// The rows of all segments by (`__name__`, `series_id`), then by segment.
fn sorted_places(segments: &[SampleRows<'_>]) -> Vec<(u32, u32)> {
    // Segments are sorted by name, so there are few changes of it, and names are compared once instead of at every step of the sort.
    let mut ranks: BTreeMap<&str, u32> = BTreeMap::new();
    for segment in segments {
        let mut last = None;
        for row in segment.iter() {
            if last != Some(row.name()) {
                last = Some(row.name());
                ranks.insert(row.name(), 0);
            }
        }
    }
    for (rank, place) in (0..).zip(ranks.values_mut()) {
        *place = rank;
    }
    let ranks: HashMap<&str, u32> = ranks.into_iter().collect();
    let count = segments.iter().map(SampleRows::len).sum();
    let mut keys: Vec<(u32, SeriesId, u32, u32)> = Vec::with_capacity(count);
    for (segment, rows) in (0..).zip(segments) {
        let (mut last, mut rank) = (None, 0);
        for (index, row) in (0..).zip(rows.iter()) {
            if last != Some(row.name()) {
                last = Some(row.name());
                rank = ranks.get(row.name()).copied().unwrap_or(0);
            }
            keys.push((rank, row.series_id(), segment, index));
        }
    }
    // Stable sorts find the runs that segments are.
    keys.sort();
    keys.into_iter()
        .map(|(_, _, segment, row)| (segment, row))
        .collect()
}

fn shown(row: RowView<'_>) -> String {
    match row.labels() {
        Some(labels) => labels.to_string(),
        None => format!("{:?}", row.series_id()),
    }
}

/// Sort keys of label sets: bytes that compare as the sets do, pair by pair.
#[derive(Debug, Default)]
struct LabelKeys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl LabelKeys {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds the key of a row's labels, the metric name in its place among them.
    fn push(&mut self, row: Option<RowView<'_>>) {
        if let Some(row) = row {
            let mut name = Some(row.name()).filter(|name| !name.is_empty());
            for (label, value) in row.label_pairs() {
                if label > METRIC_NAME
                    && let Some(name) = name.take()
                {
                    self.text(METRIC_NAME);
                    self.text(name);
                }
                self.text(label);
                self.text(value);
            }
            if let Some(name) = name {
                self.text(METRIC_NAME);
                self.text(name);
            }
        }
        self.ends.push(self.bytes.len());
    }

    /// A text, and two bytes that are less than any with which a longer one could go on.
    fn text(&mut self, text: &str) {
        for part in text.split_inclusive('\0') {
            self.bytes.extend_from_slice(part.as_bytes());
            if part.ends_with('\0') {
                self.bytes.push(1);
            }
        }
        self.bytes.extend_from_slice(&[0, 0]);
    }

    fn key(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).and_then(|last| self.ends.get(last));
        let end = self.ends.get(index).copied().unwrap_or(0);
        let range = start.copied().unwrap_or(0)..end;
        self.bytes.get(range).unwrap_or_default()
    }

    /// Puts what the keys belong to, in the order in which they were added, into the order of the keys.
    fn sort<T: Copy>(&self, items: &mut [T]) {
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_unstable_by(|a, b| self.key(*a).cmp(self.key(*b)));
        let sorted: Vec<T> = order
            .into_iter()
            .filter_map(|index| items.get(index).copied())
            .collect();
        items.copy_from_slice(&sorted);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use varve_storage::rows::samples_batch;

    fn batch(rows: &[(Labels, Vec<i64>)]) -> RecordBatch {
        let mut set = varve_storage::rows::SampleSet::default();
        for (labels, times) in rows {
            let series = Arc::new(Series::new(labels.clone()));
            for time in times {
                let value = varve_storage::SampleValue::Float(*time as f64);
                set.push(&series, *time, &value).unwrap();
            }
        }
        samples_batch(&set.into_rows()).unwrap()
    }

    fn labels() -> impl Strategy<Value = Labels> {
        let text = prop::sample::select(vec!["", "A", "a", "a\0", "a\0b", "\u{1}", "b", "z"]);
        let name = prop::sample::select(vec!["A", "Z", "__name__", "a", "a\0", "b"]);
        prop::collection::vec((name, text), 0..5).prop_map(Labels::from_pairs)
    }

    proptest! {
        #[test]
        fn days_are_in_the_order_of_names_and_labels(sets in prop::collection::vec(labels(), 1..30)) {
            let rows: Vec<_> = sets.iter().map(|labels| (labels.clone(), vec![5])).collect();
            let batches: Vec<_> = rows.chunks(7).map(batch).collect();
            let gathered = Gathered::new(&batches).unwrap();
            let day = gathered.days.values().next().unwrap();
            let got: Vec<Labels> = day
                .iter()
                .map(|one| gathered.rows(one.run).next().unwrap().labels().unwrap())
                .collect();
            let mut expected = sets.clone();
            expected.sort_by(|a, b| a.metric_name().cmp(b.metric_name()).then_with(|| a.cmp(b)));
            expected.dedup();
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn times_that_came_twice_count_once() {
        let up = Labels::from_pairs([("__name__", "up")]);
        let batches = [
            batch(&[(up.clone(), vec![10, 20])]),
            batch(&[(up.clone(), vec![5, 20, 30])]),
        ];
        let gathered = Gathered::new(&batches).unwrap();
        assert_eq!((gathered.samples, gathered.dropped), (4, 0));
        let mut builder = SampleRowsBuilder::with_capacity(0, 0);
        let mut scratch = Scratch::default();
        for (window, runs) in &gathered.windows {
            for run in runs {
                let pushed = gathered.push(&mut builder, *run, *window, &mut scratch);
                pushed.unwrap();
            }
        }
        let merged = builder.finish().unwrap();
        let rows = SampleRows::new(&merged).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows.row(0).timestamps(), [5, 10, 20, 30]);
        let day = gathered.days.values().next().unwrap()[0];
        assert_eq!((day.min_time_ms, day.max_time_ms, day.samples), (5, 30, 4));
    }
}
