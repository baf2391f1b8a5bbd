//! Cutting what is read into appends of a bounded size.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use varve_storage::wal::{Append, SampleRow};
use varve_storage::{Exemplar, Labels, MetricMetadata, SampleValue, Series, SeriesRef};

use crate::chunk::Sample;
use crate::error::{Error, Result};

/// Bytes in memory of an append's samples.
const BATCH_BYTES: usize = 2 << 20;

/// Batches between the reading thread and the appending task.
pub(super) const BATCHES_AHEAD: usize = 4;

/// From the reading thread.
#[derive(Debug)]
pub(super) enum Message {
    /// An append, and how many items of the unit are done when it is durable.
    Batch {
        append: Append,
        series: u64,
        done: u64,
    },
    /// For the user.
    Warning(String),
}

/// Collects a unit's samples, and sends them on.
#[derive(Debug)]
pub(super) struct Batches {
    send: mpsc::Sender<Message>,
    cancel: CancellationToken,
    labels: Labels,
    range: (i64, i64),
    append: Append,
    bytes: usize,
    series: u64,
}

impl Batches {
    pub(super) fn new(
        send: mpsc::Sender<Message>,
        cancel: CancellationToken,
        labels: Labels,
        range: (i64, i64),
    ) -> Self {
        Self {
            send,
            cancel,
            labels,
            range,
            append: Append::default(),
            bytes: 0,
            series: 0,
        }
    }

    /// A series with the labels that all get; `None` if nothing of it can be in the range.
    pub(super) fn series(&mut self, labels: &Labels) -> SeriesRef {
        self.series += 1;
        Arc::new(Series::new(self.with_labels(labels)))
    }

    fn with_labels(&self, labels: &Labels) -> Labels {
        if self.labels.is_empty() {
            return labels.clone();
        }
        Labels::from_pairs(labels.iter().chain(self.labels.iter()))
    }

    /// The series of a head with the labels that all get.
    pub(super) fn head_series(&self, series: SeriesRef) -> SeriesRef {
        if self.labels.is_empty() {
            return series;
        }
        Arc::new(Series::new(self.with_labels(&series.labels)))
    }

    pub(super) fn in_range(&self, timestamp_ms: i64) -> bool {
        (self.range.0..=self.range.1).contains(&timestamp_ms)
    }

    pub(super) fn sample(&mut self, series: &SeriesRef, sample: Sample) {
        if !self.in_range(sample.timestamp_ms) {
            return;
        }
        let mut bytes = size_of::<SampleRow>();
        if let SampleValue::Histogram(histogram) = &sample.value {
            bytes += size_of_val(histogram.as_ref()) + 8 * histogram.heap_items();
        }
        let same = self.append.samples.last();
        if !same.is_some_and(|row| Arc::ptr_eq(&row.series, series)) {
            bytes += series.labels.heap_bytes();
        }
        self.bytes += bytes;
        self.append.samples.push(SampleRow {
            series: Arc::clone(series),
            timestamp_ms: sample.timestamp_ms,
            start_timestamp_ms: sample.start_timestamp_ms,
            value: sample.value,
        });
    }

    pub(super) fn exemplar(&mut self, exemplar: Exemplar) {
        if self.in_range(exemplar.timestamp_ms) {
            self.bytes += size_of::<Exemplar>() + exemplar.labels.heap_bytes();
            self.append.exemplars.push(exemplar);
        }
    }

    pub(super) fn metadata(&mut self, metadata: MetricMetadata) {
        self.bytes += size_of::<MetricMetadata>() + metadata.help.len();
        self.append.metadata.push(metadata);
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES
    }

    pub(super) fn warn(&self, text: String) -> Result<()> {
        self.send(Message::Warning(text))
    }

    /// Sends what was collected on.
    pub(super) fn flush(&mut self, done: u64) -> Result<()> {
        self.bytes = 0;
        let append = std::mem::take(&mut self.append);
        let series = std::mem::take(&mut self.series);
        self.send(Message::Batch {
            append,
            series,
            done,
        })
    }

    /// Leaves out what was collected: it was done before.
    pub(super) fn discard(&mut self) {
        self.bytes = 0;
        self.series = 0;
        self.append = Append::default();
    }

    fn send(&self, message: Message) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        // If the task is gone, it has an error of its own to report.
        self.send
            .blocking_send(message)
            .map_err(|_| Error::Cancelled)
    }
}
