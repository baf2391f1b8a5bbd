//! Counters about what was pushed.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a receiver, over all protocols.
#[derive(Debug, Default)]
pub struct PushMetrics {
    /// Requests begun.
    pub requests: AtomicU64,
    /// Requests that were refused as a whole, or of which a part was rejected.
    pub requests_invalid: AtomicU64,
    /// Requests that could not be stored and may be sent again.
    pub requests_not_stored: AtomicU64,
    /// Bytes of bodies after decompression.
    pub body_bytes: AtomicU64,
    /// Float samples stored.
    pub samples: AtomicU64,
    /// Histograms stored.
    pub histograms: AtomicU64,
    /// Exemplars stored.
    pub exemplars: AtomicU64,
    /// Samples and histograms rejected.
    pub rejected: AtomicU64,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
