//! Counters of a compactor, for `/metrics`.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Totals since the process started, over all runs. Plain atomics: whoever serves `/metrics` reads them.
#[derive(Debug, Default)]
pub struct CompactorMetrics {
    /// Runs that ended without an error.
    pub runs: AtomicU64,
    /// Runs that ended with an error.
    pub failures: AtomicU64,
    /// Segments whose samples are in the table.
    pub segments: AtomicU64,
    /// Segments that could not be read and went into quarantine.
    pub quarantined_segments: AtomicU64,
    /// Samples committed from the WAL.
    pub samples: AtomicU64,
    /// Files committed, by passes and merges.
    pub files_written: AtomicU64,
    /// Bytes of these files.
    pub bytes_written: AtomicU64,
    /// Merges committed.
    pub merges: AtomicU64,
    /// Attempts that another compactor won.
    pub lost_races: AtomicU64,
    /// Objects deleted by clean-ups.
    pub deleted_objects: AtomicU64,
    /// When the last run ended without an error, in milliseconds; 0 before the first.
    pub last_success_ms: AtomicI64,
}

impl CompactorMetrics {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}
