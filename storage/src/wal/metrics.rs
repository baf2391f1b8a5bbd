//! What a WAL writer has done, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters and gauges of one writer. All but `buffered_bytes` only grow.
#[derive(Debug, Default)]
pub struct WalMetrics {
    segments: AtomicU64,
    samples: AtomicU64,
    encoded_bytes: AtomicU64,
    put_retries: AtomicU64,
    names_taken: AtomicU64,
    late_moves: AtomicU64,
    buffered_bytes: AtomicU64,
    flush_micros: AtomicU64,
    flush_micros_max: AtomicU64,
    last_sequence: AtomicU64,
}

/// [`WalMetrics`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalCounts {
    /// Segments that are durable.
    pub segments: u64,
    /// Samples in them, duplicates within one segment resolved.
    pub samples: u64,
    /// Their size.
    pub encoded_bytes: u64,
    /// Requests of the writer that failed and were tried again.
    pub put_retries: u64,
    /// Names found taken by another writer.
    pub names_taken: u64,
    /// Segments appended again, because the writer had slept and landed below the mark.
    pub late_moves: u64,
    /// Bytes accepted and not yet durable.
    pub buffered_bytes: u64,
    /// The time from the start of encoding to "durable", summed over all segments.
    pub flush_time: Duration,
    /// The longest of these times.
    pub flush_time_max: Duration,
    /// The last segment that is durable, 0 for none.
    pub last_sequence: u64,
}

impl WalMetrics {
    /// The values now.
    pub fn snapshot(&self) -> WalCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WalCounts {
            segments: read(&self.segments),
            samples: read(&self.samples),
            encoded_bytes: read(&self.encoded_bytes),
            put_retries: read(&self.put_retries),
            names_taken: read(&self.names_taken),
            late_moves: read(&self.late_moves),
            buffered_bytes: read(&self.buffered_bytes),
            flush_time: Duration::from_micros(read(&self.flush_micros)),
            flush_time_max: Duration::from_micros(read(&self.flush_micros_max)),
            last_sequence: read(&self.last_sequence),
        }
    }

    pub(super) fn flushed(&self, sequence: u64, samples: usize, bytes: usize, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.segments.fetch_add(1, Ordering::Relaxed);
        self.samples.fetch_add(samples as u64, Ordering::Relaxed);
        self.encoded_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
        self.flush_micros.fetch_add(micros, Ordering::Relaxed);
        self.flush_micros_max.fetch_max(micros, Ordering::Relaxed);
        self.last_sequence.store(sequence, Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.put_retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn name_taken(&self) {
        self.names_taken.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn moved(&self) {
        self.late_moves.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn buffered(&self, bytes: usize) {
        self.buffered_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn unbuffered(&self, bytes: usize) {
        self.buffered_bytes
            .fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}
