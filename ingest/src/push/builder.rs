//! One request on its way to the WAL: series checked, hints of histograms found, metadata that is new.

use std::sync::Arc;

use thiserror::Error;
use varve_storage::columns::NO_START_MS;
use varve_storage::exemplar::Exemplar;
use varve_storage::histogram::{FloatHistogram, HistogramError};
use varve_storage::limits::{LABEL_BYTES_PER_SERIES_MAX, LABELS_PER_SERIES_MAX};
use varve_storage::wal::{Append, SampleRow};
use varve_storage::{
    Labels, METRIC_NAME, MetricMetadata, SampleValue, Series, SeriesId, SeriesRef,
};

use super::PushReceiver;

/// How far ahead of this machine's clock a sample may be, in milliseconds.
const AHEAD_MS_MAX: i64 = 10 * 60 * 1000;

/// Samples of one request: far more than fit into its bytes, if they say anything.
const SAMPLES_MAX: usize = 2_000_000;

/// Exemplars, and entries of metadata, of one request.
const EXTRAS_MAX: usize = 200_000;

/// Bytes of the labels of new series in one request: it holds them until it is stored. A request may repeat a long text by mentioning it only.
const NEW_LABEL_BYTES_MAX: usize = 256 << 20;

/// Bytes of all labels in one request, for the same reason: each byte takes time.
const LABEL_BYTES_MAX: u64 = 4 << 30;

/// What an entry of the cache of series takes besides its texts: keys, pointers, counts.
const SERIES_ENTRY_BYTES: usize = 200;

/// Why a sample or a series of a request is not stored, in Prometheus's words where it has some.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Rejected {
    /// No metric name, or a name or value that is no UTF-8, or an empty label name.
    #[error("invalid metric name or labels, got {0}")]
    Labels(String),
    /// A label that is there twice.
    #[error("invalid labels for series, labels {labels}, duplicated label {label}")]
    DuplicateLabel {
        /// All labels.
        labels: String,
        /// The name that is there twice.
        label: String,
    },
    /// More labels than a series can have.
    #[error(
        "the series of metric {metric:?} has {labels} labels of {bytes} bytes; at most {LABELS_PER_SERIES_MAX} labels of {LABEL_BYTES_PER_SERIES_MAX} bytes can be stored"
    )]
    TooManyLabels {
        /// The metric name.
        metric: String,
        /// The number of labels.
        labels: usize,
        /// Their names and values.
        bytes: usize,
    },
    /// A time too far ahead.
    #[error("out of bounds: timestamp is too far in the future for series {0}")]
    TooFarAhead(Labels),
    /// More than one request may hold.
    #[error("the request has more than {0}; send less at once")]
    TooMany(&'static str),
    /// A histogram that contradicts itself.
    #[error("{error} for series {series}")]
    Histogram {
        /// What is wrong.
        error: HistogramError,
        /// The series.
        series: Labels,
    },
}

/// Collects one request.
#[derive(Debug)]
pub struct RequestBuilder<'a> {
    receiver: &'a PushReceiver,
    max_time_ms: i64,
    append: Append,
    /// The key of the series at hand; its memory is used again.
    key: Vec<u8>,
    /// Bytes of labels so far, and of those of new series.
    label_bytes: u64,
    new_label_bytes: usize,
}

impl<'a> RequestBuilder<'a> {
    pub(super) fn new(receiver: &'a PushReceiver, now_ms: i64) -> Self {
        Self {
            receiver,
            max_time_ms: now_ms.saturating_add(AHEAD_MS_MAX),
            append: Append::default(),
            key: Vec::new(),
            label_bytes: 0,
            new_label_bytes: 0,
        }
    }

    /// The series with these labels, names and values as bytes in any order. Labels with an empty value count as absent.
    pub fn series(&mut self, labels: &[(&[u8], &[u8])]) -> Result<SeriesRef, Rejected> {
        self.key.clear();
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            self.key.extend_from_slice(&text.len().to_le_bytes());
            self.key.extend_from_slice(text);
        }
        self.label_bytes = self.label_bytes.saturating_add(self.key.len() as u64);
        if self.label_bytes > LABEL_BYTES_MAX || self.new_label_bytes > NEW_LABEL_BYTES_MAX {
            return Err(Rejected::TooMany("256 MiB of labels"));
        }
        if let Some(series) = self.receiver.known().series.get(self.key.as_slice()) {
            return Ok(SeriesRef::clone(series));
        }
        let series = SeriesRef::new(Series::new(checked(labels)?));
        let bytes = self.key.len() + series.labels.heap_bytes() + SERIES_ENTRY_BYTES;
        self.new_label_bytes += bytes;
        let key = self.key.as_slice().into();
        let mut known = self.receiver.known();
        known.series.insert(key, SeriesRef::clone(&series), bytes);
        Ok(series)
    }

    fn check_time(&self, series: &SeriesRef, timestamp_ms: i64) -> Result<(), Rejected> {
        match timestamp_ms > self.max_time_ms {
            true => Err(Rejected::TooFarAhead(series.labels.clone())),
            false => Ok(()),
        }
    }

    fn check_sample(&self, series: &SeriesRef, timestamp_ms: i64) -> Result<(), Rejected> {
        if self.append.samples.len() >= SAMPLES_MAX {
            return Err(Rejected::TooMany("2000000 samples"));
        }
        self.check_time(series, timestamp_ms)
    }

    /// Adds a float sample.
    pub fn float(
        &mut self,
        series: &SeriesRef,
        timestamp_ms: i64,
        start_timestamp_ms: i64,
        value: f64,
    ) -> Result<(), Rejected> {
        self.check_sample(series, timestamp_ms)?;
        self.append.samples.push(SampleRow {
            series: SeriesRef::clone(series),
            timestamp_ms,
            start_timestamp_ms,
            value: SampleValue::Float(value),
        });
        Ok(())
    }

    /// Adds a histogram, or says that it is invalid.
    pub fn histogram(
        &mut self,
        series: &SeriesRef,
        timestamp_ms: i64,
        start_timestamp_ms: i64,
        histogram: Result<FloatHistogram, HistogramError>,
    ) -> Result<(), Rejected> {
        self.check_sample(series, timestamp_ms)?;
        let mut histogram = histogram.map_err(|error| Rejected::Histogram {
            error,
            series: series.labels.clone(),
        })?;
        let mut known = self.receiver.known();
        let newest = known.histograms.get(&series.id);
        let newest_ms = newest.map(|(time_ms, _)| *time_ms);
        let previous = newest.filter(|(time_ms, _)| *time_ms < timestamp_ms);
        let previous = previous.map(|(_, histogram)| histogram.as_ref());
        histogram.counter_reset_hint = histogram.stored_hint(previous);
        let histogram = Arc::new(histogram);
        if newest_ms.is_none_or(|newest_ms| newest_ms < timestamp_ms) {
            let bytes = size_of::<FloatHistogram>() + 8 * histogram.heap_items() + 100;
            let value = (timestamp_ms, Arc::clone(&histogram));
            known.histograms.insert(series.id, value, bytes);
        }
        drop(known);
        self.append.samples.push(SampleRow {
            series: SeriesRef::clone(series),
            timestamp_ms,
            start_timestamp_ms,
            value: SampleValue::Histogram(histogram),
        });
        Ok(())
    }

    /// Adds an exemplar. Labels are as for [`Self::series`], but need no name.
    pub fn exemplar(
        &mut self,
        series: &SeriesRef,
        labels: &[(&[u8], &[u8])],
        timestamp_ms: i64,
        value: f64,
    ) -> Result<(), Rejected> {
        if self.append.exemplars.len() >= EXTRAS_MAX {
            return Err(Rejected::TooMany("200000 exemplars"));
        }
        self.check_time(series, timestamp_ms)?;
        let labels = texts(labels)?;
        self.append.exemplars.push(Exemplar {
            series: SeriesRef::clone(series),
            labels: Labels::from_pairs(labels),
            timestamp_ms,
            value,
        });
        Ok(())
    }

    /// Adds what is said about a metric family, unless that is stored already.
    pub fn metadata(&mut self, metadata: MetricMetadata) {
        if metadata.family.is_empty() || self.append.metadata.len() >= EXTRAS_MAX {
            return;
        }
        let mut known = self.receiver.known();
        if known.metadata.get(metadata.family.as_str()) == Some(&metadata) {
            return;
        }
        drop(known);
        self.append.metadata.push(metadata);
    }

    /// Gives the request up: nothing of it will be stored.
    pub fn abandon(self) {
        let series = histogram_series(&self.append);
        self.receiver.forget_histograms(&series);
    }

    /// What is to be stored.
    pub fn finish(self) -> Append {
        self.append
    }

    /// Whether a start timestamp is known: 0 and whatever is not before the sample says nothing.
    pub fn start_ms(start_timestamp_ms: i64, timestamp_ms: i64) -> i64 {
        match start_timestamp_ms < timestamp_ms {
            true => start_timestamp_ms,
            false => NO_START_MS,
        }
    }
}

/// The series that have histograms.
pub(super) fn histogram_series(append: &Append) -> Vec<SeriesId> {
    let rows = append.samples.iter();
    let native = rows.filter(|row| matches!(row.value, SampleValue::Histogram(_)));
    native.map(|row| row.series.id).collect()
}

/// Pairs as texts.
fn texts<'a>(labels: &[(&'a [u8], &'a [u8])]) -> Result<Vec<(&'a str, &'a str)>, Rejected> {
    let pairs = labels.iter().map(|(name, value)| {
        let name = std::str::from_utf8(name).ok()?;
        Some((name, std::str::from_utf8(value).ok()?))
    });
    let pairs: Option<Vec<_>> = pairs.collect();
    pairs.ok_or_else(|| Rejected::Labels(shown(labels)))
}

/// Labels as Prometheus accepts them from outside.
fn checked(labels: &[(&[u8], &[u8])]) -> Result<Labels, Rejected> {
    let bytes: usize = labels.iter().map(|(n, v)| n.len() + v.len()).sum();
    // As much as they will take as `Labels`.
    let heap_bytes = bytes + 8 * labels.len() + 32;
    if labels.len() > LABELS_PER_SERIES_MAX || heap_bytes > LABEL_BYTES_PER_SERIES_MAX {
        let metric = labels
            .iter()
            .find(|(name, _)| *name == METRIC_NAME.as_bytes());
        let metric = metric.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        return Err(Rejected::TooManyLabels {
            metric: shortened(metric.unwrap_or_default()),
            labels: labels.len(),
            bytes,
        });
    }
    let mut pairs = texts(labels)?;
    pairs.sort_unstable();
    let twice = pairs.windows(2).find(|pair| match pair {
        [(a, _), (b, _)] => a == b,
        _ => false,
    });
    if let Some([(label, _), ..]) = twice {
        return Err(Rejected::DuplicateLabel {
            labels: shown(labels),
            label: (*label).to_owned(),
        });
    }
    let named = pairs.first().is_none_or(|(name, _)| !name.is_empty());
    let present = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    let canonical = Labels::from_canonical(present);
    canonical
        .filter(|labels| named && !labels.metric_name().is_empty())
        .ok_or_else(|| Rejected::Labels(shown(labels)))
}

/// Labels for a message; what is not UTF-8 is replaced.
fn shown(labels: &[(&[u8], &[u8])]) -> String {
    let pairs = labels.iter().map(|(name, value)| {
        let (name, value) = (
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(value),
        );
        format!("{name}={value:?}")
    });
    shortened(format!("{{{}}}", pairs.collect::<Vec<_>>().join(", ")))
}

/// The beginning of a text that is too long for a message.
fn shortened(mut text: String) -> String {
    const SHOWN_BYTES_MAX: usize = 1000;
    if text.len() > SHOWN_BYTES_MAX {
        text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX));
        text.push_str("...");
    }
    text
}
