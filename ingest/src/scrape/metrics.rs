//! Counters about scraping, for Varve's own `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::discovery::DiscoveryMetrics;

/// Counters of all pools. Each goes up only.
#[derive(Debug, Default)]
pub struct ScrapeMetrics {
    /// Scrapes begun.
    pub scrapes: AtomicU64,
    /// Scrapes that failed.
    pub scrapes_failed: AtomicU64,
    /// Samples scraped, before relabelling.
    pub samples_scraped: AtomicU64,
    /// Samples handed to the store, reports and stale markers included.
    pub samples_appended: AtomicU64,
    /// Bytes of responses after decompression.
    pub body_bytes: AtomicU64,
    /// Scrapes that exceeded the limit on samples.
    pub sample_limit_exceeded: AtomicU64,
    /// Scrapes with a histogram that exceeded the limit on buckets.
    pub histogram_bucket_limit_exceeded: AtomicU64,
    /// Scrapes that exceeded the limit on the body.
    pub body_size_limit_exceeded: AtomicU64,
    /// Scrapes that exceeded a limit on labels.
    pub label_limit_exceeded: AtomicU64,
    /// Times that a pool had more targets than allowed.
    pub target_limit_exceeded: AtomicU64,
    /// Samples dropped because their series had one for the time already.
    pub samples_duplicate: AtomicU64,
    /// Samples dropped because their series had a later one.
    pub samples_out_of_order: AtomicU64,
    /// Samples dropped because they are more than ten minutes ahead of time.
    pub samples_out_of_bounds: AtomicU64,
    /// Exemplars dropped because their series had a later one.
    pub exemplars_out_of_order: AtomicU64,
    /// Stale markers written.
    pub stale_markers: AtomicU64,
    /// Appends that the store refused.
    pub appends_failed: AtomicU64,
    /// Milliseconds that loops waited for the store.
    pub append_wait_ms: AtomicU64,
    /// Ticks that loops missed because a scrape or the store took longer than the interval.
    pub ticks_missed: AtomicU64,
    /// Targets whose labels or settings were wrong.
    pub targets_invalid: AtomicU64,
    /// Counters about service discovery.
    pub discovery: Arc<DiscoveryMetrics>,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
