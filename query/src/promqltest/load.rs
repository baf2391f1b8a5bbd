//! What scripts load.

use std::collections::BTreeMap;
use std::sync::Arc;

use varve_promql::format::parse_go_float;
use varve_storage::columns::NO_START_MS;
use varve_storage::histogram::ClassicHistogram;
use varve_storage::{FloatHistogram, Labels, LabelsBuilder, METRIC_NAME, SampleValue};

use super::series::{Item, SeriesLine};
use crate::memory::MemoryArchive;

/// The label with a bucket's upper bound.
const BUCKET_LABEL: &str = "le";

/// What a script has loaded.
#[derive(Debug, Default)]
pub struct Loaded {
    /// As written, stale markers included.
    written: BTreeMap<Labels, BTreeMap<i64, Written>>,
}

/// A start timestamp in milliseconds, and a value.
type Written = (i64, SampleValue);

/// A sample that a script has loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedSample {
    /// Its time in milliseconds.
    pub timestamp_ms: i64,
    /// Its start timestamp in milliseconds; [`NO_START_MS`] where none is written.
    pub start_timestamp_ms: i64,
    /// Its value.
    pub value: SampleValue,
}

/// Classic histograms that are gathered, by series and time.
type Classic = BTreeMap<Labels, BTreeMap<i64, ClassicHistogram>>;

impl Loaded {
    /// Adds what a `load` command has, one item per interval from time 0 on.
    pub(super) fn add(
        &mut self,
        interval_ms: i64,
        lines: Vec<SeriesLine>,
        with_nhcb: bool,
    ) -> Result<(), String> {
        let mut classic = Classic::new();
        for line in lines {
            let mut time_ms = 0;
            for (place, item) in line.items.into_iter().enumerate() {
                let start = line.starts.get(place).copied().flatten();
                let start_ms = start.map_or(NO_START_MS, |start| time_ms + start);
                let value = match item {
                    Item::Float(value) => {
                        if with_nhcb {
                            gather(&mut classic, &line.labels, time_ms, value);
                        }
                        Some(SampleValue::Float(value))
                    }
                    Item::Histogram(written) => {
                        Some(SampleValue::Histogram(Arc::new(written.histogram.clone())))
                    }
                    Item::Omitted => None,
                };
                if let Some(value) = value {
                    let samples = self.written.entry(line.labels.clone()).or_default();
                    samples.insert(time_ms, (start_ms, value));
                }
                time_ms += interval_ms;
            }
        }
        for (labels, samples) in classic {
            let mut native = BTreeMap::new();
            for (time_ms, histogram) in samples {
                let histogram = histogram.to_native().map_err(|error| error.to_string())?;
                let value = SampleValue::Histogram(Arc::new(histogram));
                native.insert(time_ms, (NO_START_MS, value));
            }
            self.written.entry(labels).or_default().extend(native);
        }
        Ok(())
    }

    /// Each series with its samples, stale markers included. Native histograms have the hints of counter resets with which Prometheus
    /// stores them.
    pub fn series(&self) -> impl Iterator<Item = (&Labels, Vec<LoadedSample>)> {
        self.written
            .iter()
            .map(|(labels, samples)| (labels, stored(samples)))
    }

    /// An archive in memory.
    pub fn archive(&self) -> MemoryArchive {
        MemoryArchive::with_starts(self.series().map(|(labels, samples)| {
            let samples = samples.into_iter();
            let samples = samples.map(|s| (s.timestamp_ms, (s.start_timestamp_ms, s.value)));
            (labels.clone(), samples)
        }))
    }
}

fn stored(samples: &BTreeMap<i64, Written>) -> Vec<LoadedSample> {
    let mut previous: Option<&FloatHistogram> = None;
    let stored = samples.iter().map(|(time_ms, (start_ms, value))| {
        let value = match value {
            SampleValue::Float(value) => {
                previous = None;
                SampleValue::Float(*value)
            }
            SampleValue::Histogram(histogram) => {
                let hint = histogram.stored_hint(previous);
                previous = Some(histogram);
                let mut histogram = FloatHistogram::clone(histogram);
                histogram.counter_reset_hint = hint;
                SampleValue::Histogram(Arc::new(histogram))
            }
        };
        LoadedSample {
            timestamp_ms: *time_ms,
            start_timestamp_ms: *start_ms,
            value,
        }
    });
    stored.collect()
}

/// Adds a sample to the classic histogram that it is part of, if it is part of one.
fn gather(classic: &mut Classic, labels: &Labels, time_ms: i64, value: f64) {
    let name = labels.metric_name();
    let suffix = ["_bucket", "_count", "_sum"]
        .into_iter()
        .find(|suffix| name.ends_with(suffix));
    let Some((suffix, base)) = suffix.and_then(|s| Some((s, name.strip_suffix(s)?))) else {
        return;
    };
    let bound = labels
        .get(BUCKET_LABEL)
        .and_then(|le| parse_go_float(le).ok());
    let bound = bound.filter(|bound| !bound.is_nan());
    if suffix == "_bucket" && bound.is_none() {
        return;
    }
    let mut target = LabelsBuilder::from(labels);
    target.set(METRIC_NAME, base).remove(BUCKET_LABEL);
    let series = classic.entry(target.build()).or_default();
    let histogram = series.entry(time_ms).or_default();
    // What is wrong is said when the histogram is made.
    let _ = match (suffix, bound) {
        ("_bucket", Some(bound)) => histogram.set_bucket(bound, value),
        ("_count", _) => histogram.set_count(value),
        _ => {
            histogram.set_sum(value);
            Ok(())
        }
    };
}
