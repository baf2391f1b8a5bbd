//! Appends on their way into one segment.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::segment::SegmentContent;
use crate::error::{Error, Result};
use crate::exemplar::Exemplar;
use crate::labels::SeriesRef;
use crate::limits::{LABEL_BYTES_PER_SERIES_MAX, LABELS_PER_SERIES_MAX};
use crate::metadata::MetricMetadata;
use crate::rows::SampleSet;
use crate::sample::SampleValue;

/// One sample of one series.
#[derive(Clone, Debug)]
pub struct SampleRow {
    /// The series.
    pub series: SeriesRef,
    /// Its time in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Its start timestamp in milliseconds: since when its counter has counted;
    /// [`NO_START_MS`](crate::columns::NO_START_MS) where that is not known.
    pub start_timestamp_ms: i64,
    /// Its value.
    pub value: SampleValue,
}

/// What is appended together: all of it lands in one segment, or none of it.
#[derive(Clone, Debug, Default)]
pub struct Append {
    /// Samples in any order. Of two for one series and time the value rule keeps one.
    pub samples: Vec<SampleRow>,
    /// Metric metadata.
    pub metadata: Vec<MetricMetadata>,
    /// Exemplars.
    pub exemplars: Vec<Exemplar>,
}

impl Append {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.metadata.is_empty() && self.exemplars.is_empty()
    }

    /// An upper estimate of the memory that the append holds until it is durable. Labels are counted once per run of samples
    /// of one series.
    pub(super) fn heap_bytes(&self) -> usize {
        let mut bytes = self.samples.len() * size_of::<SampleRow>();
        let mut last: Option<&SeriesRef> = None;
        for row in &self.samples {
            if last.is_none_or(|last| !std::sync::Arc::ptr_eq(last, &row.series)) {
                bytes += row.series.labels.heap_bytes();
                last = Some(&row.series);
            }
            if let SampleValue::Histogram(histogram) = &row.value {
                bytes += size_of_val(histogram.as_ref()) + 8 * histogram.heap_items();
            }
        }
        for entry in &self.metadata {
            bytes += size_of_val(entry) + entry.family.len() + entry.unit.len() + entry.help.len();
        }
        for exemplar in &self.exemplars {
            bytes += size_of_val(exemplar)
                + exemplar.series.labels.heap_bytes()
                + exemplar.labels.heap_bytes();
        }
        bytes
    }

    /// Checks the limits that a segment's reader relies on.
    pub(super) fn check(&self) -> Result<()> {
        let mut last: Option<&SeriesRef> = None;
        for row in &self.samples {
            if last.is_some_and(|last| std::sync::Arc::ptr_eq(last, &row.series)) {
                continue;
            }
            last = Some(&row.series);
            let labels = &row.series.labels;
            if labels.len() > LABELS_PER_SERIES_MAX
                || labels.heap_bytes() > LABEL_BYTES_PER_SERIES_MAX
            {
                let name = labels.metric_name();
                return Err(Error::Limit(format!(
                    "a series of metric {name:?} has {} labels of {} bytes; at most {LABELS_PER_SERIES_MAX} labels of {LABEL_BYTES_PER_SERIES_MAX} bytes can be stored: drop some with metric_relabel_configs",
                    labels.len(),
                    labels.heap_bytes(),
                )));
            }
        }
        Ok(())
    }
}

/// Says when an append is durable, and in which segment.
#[derive(Debug)]
pub struct AppendTicket {
    pub(super) shard: u32,
    pub(super) durable: oneshot::Receiver<Result<u64>>,
}

impl AppendTicket {
    /// Waits until the append is durable; gives the sequence of its segment (for an empty append: of the last segment).
    ///
    /// While the store is down this waits. [`Error::Closed`] means that the writer was dropped: the append may or may not
    /// have reached the store.
    pub async fn durable(self) -> Result<u64> {
        let closed = Error::Closed { shard: self.shard };
        self.durable.await.unwrap_or(Err(closed))
    }
}

/// An append with who waits for it and its share of the buffer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) append: Append,
    pub(super) bytes: usize,
    /// How long it may wait for company, if that is less than the writer's interval.
    pub(super) wait: Duration,
    pub(super) reply: oneshot::Sender<Result<u64>>,
    pub(super) permit: OwnedSemaphorePermit,
}

/// Who waits for a segment, and what it holds of the buffer until then.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) reply: oneshot::Sender<Result<u64>>,
    pub(super) bytes: usize,
    pub(super) permit: OwnedSemaphorePermit,
}

/// Appends merged for one segment.
#[derive(Debug, Default)]
pub(super) struct Batch {
    set: SampleSet,
    metadata: BTreeSet<MetricMetadata>,
    exemplars: Vec<Exemplar>,
    pub(super) bytes: usize,
    pub(super) waiters: Vec<Waiter>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Merges an append. If it cannot be merged it is refused as a whole and the rest is untouched. Gives the
    /// bytes to release in that case.
    pub(super) fn add(&mut self, pending: Pending) -> usize {
        let Pending {
            append,
            bytes,
            wait: _,
            reply,
            permit,
        } = pending;
        let places: Result<Vec<usize>> = append
            .samples
            .iter()
            .map(|row| self.set.place(&row.series))
            .collect();
        let places = match places {
            Ok(places) => places,
            Err(error) => {
                // Whoever asked may be gone; nothing was written for them either way.
                let _ = reply.send(Err(error));
                return bytes;
            }
        };
        for (place, row) in places.into_iter().zip(&append.samples) {
            self.set
                .push_at(place, row.timestamp_ms, row.start_timestamp_ms, &row.value);
        }
        self.metadata.extend(append.metadata);
        self.exemplars.extend(append.exemplars);
        self.bytes += bytes;
        self.waiters.push(Waiter {
            reply,
            bytes,
            permit,
        });
        0
    }

    /// What to encode, and who waits for it.
    pub(super) fn finish(self) -> (SegmentContent, Vec<Waiter>) {
        let mut exemplars = self.exemplars;
        exemplars.sort_by(Exemplar::total_cmp);
        exemplars.dedup_by(|a, b| a.total_cmp(b).is_eq());
        let content = SegmentContent {
            rows: self.set.into_rows(),
            metadata: self.metadata.into_iter().collect(),
            exemplars,
        };
        (content, self.waiters)
    }
}
