//! Counters about one receiver.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one receiver.
#[derive(Debug, Default)]
pub struct ForwardMetrics {
    /// Samples that were taken, histograms among them.
    pub samples: AtomicU64,
    /// Exemplars that were taken.
    pub exemplars: AtomicU64,
    /// Entries of metadata that were taken.
    pub metadata: AtomicU64,
    /// Samples of requests that the receiver refused for good.
    pub samples_failed: AtomicU64,
    /// Samples that were not sent because of their age, their labels, or because they are native histograms.
    pub samples_dropped: AtomicU64,
    /// Requests that were repeated.
    pub retries: AtomicU64,
    /// Bytes of bodies that were sent, compressed.
    pub bytes: AtomicU64,
    /// Segments that were deleted before they were sent.
    pub segments_missed: AtomicU64,
    /// Segments that are written and not sent yet.
    pub segments_pending: AtomicU64,
    /// The newest sample that was taken, in milliseconds.
    pub highest_sent_timestamp_ms: AtomicU64,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(u64::try_from(amount).unwrap_or(u64::MAX), Ordering::Relaxed);
}
