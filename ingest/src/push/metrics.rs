//! Counters about what was pushed.

use std::sync::atomic::{AtomicU64, Ordering};

use super::otlp::Warning;

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
    /// Warnings about OTLP metrics without data points.
    pub otlp_empty_data_points: AtomicU64,
    /// Warnings about OTLP attributes that became one label.
    pub otlp_label_name_collisions: AtomicU64,
    /// Warnings about OTLP histograms with a sum and no observations.
    pub otlp_zero_counts: AtomicU64,
}

impl PushMetrics {
    /// Counts a warning.
    pub(super) fn warn(&self, warning: Warning) {
        let counter = match warning {
            Warning::EmptyDataPoints => &self.otlp_empty_data_points,
            Warning::LabelNameCollision => &self.otlp_label_name_collisions,
            Warning::ZeroCountNonZeroSum => &self.otlp_zero_counts,
        };
        add(counter, 1);
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
