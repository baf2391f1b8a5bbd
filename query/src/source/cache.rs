//! What queries share: footers of files, and decoded rows of `series`.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::path::Path;
use parquet::file::metadata::ParquetMetaData;

use super::series_file::SeriesRows;

/// Bytes of footers to keep, unless configured otherwise: some thousands of files.
const FOOTER_BYTES_MAX: usize = 64 << 20;
/// Bytes of decoded series to keep, unless configured otherwise: some hundred thousand series.
const SERIES_BYTES_MAX: usize = 128 << 20;

/// Metrics with native histograms to remember: of any more, each query finds out itself.
const HISTOGRAM_NAMES_MAX: usize = 100_000;

/// Caches of immutable files, shared by all queries of a process. Entries leave in the order of their last use.
#[derive(Debug)]
pub struct SourceCaches {
    pub(super) footers: ByteBoundedCache<Path, ParquetMetaData>,
    pub(super) series: ByteBoundedCache<(Path, Option<String>), SeriesRows>,
    /// Metrics that are known to have native histograms.
    histograms: Mutex<HashSet<String>>,
}

impl SourceCaches {
    /// Caches of at most so many bytes.
    pub fn new(footer_bytes_max: usize, series_bytes_max: usize) -> Self {
        Self {
            footers: ByteBoundedCache::new(footer_bytes_max),
            series: ByteBoundedCache::new(series_bytes_max),
            histograms: Mutex::default(),
        }
    }

    /// Remembers that a metric has native histograms.
    pub(super) fn remember_histograms(&self, metric: &str) {
        let mut names = self
            .histograms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if names.len() < HISTOGRAM_NAMES_MAX {
            names.insert(metric.to_owned());
        }
    }

    /// Whether one of some metrics is known to have native histograms.
    pub(super) fn know_histograms<'a>(&self, mut metrics: impl Iterator<Item = &'a str>) -> bool {
        let names = self
            .histograms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // The series of one metric follow each other: its name is looked up once.
        let mut last = None;
        let mut is_known = |metric| last.replace(metric) != Some(metric) && names.contains(metric);
        !names.is_empty() && metrics.any(&mut is_known)
    }
}

impl Default for SourceCaches {
    fn default() -> Self {
        Self::new(FOOTER_BYTES_MAX, SERIES_BYTES_MAX)
    }
}

struct Entry<V> {
    value: Arc<V>,
    bytes: usize,
    last_use: u64,
}

struct Entries<K, V> {
    map: HashMap<K, Entry<V>>,
    bytes: usize,
    clock: u64,
}

/// A map that drops the entries used longest ago when it holds more than so many bytes.
pub(super) struct ByteBoundedCache<K, V> {
    entries: Mutex<Entries<K, V>>,
    bytes_max: usize,
}

impl<K: Clone + Eq + Hash, V> ByteBoundedCache<K, V> {
    fn new(bytes_max: usize) -> Self {
        Self {
            entries: Mutex::new(Entries {
                map: HashMap::new(),
                bytes: 0,
                clock: 0,
            }),
            bytes_max,
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.clock += 1;
        let now = entries.clock;
        let entry = entries.map.get_mut(key)?;
        entry.last_use = now;
        Some(Arc::clone(&entry.value))
    }

    /// Adds a value of about `bytes` bytes; one that is larger than the whole cache is not kept.
    pub(super) fn insert(&self, key: K, value: Arc<V>, bytes: usize) {
        if bytes > self.bytes_max {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.clock += 1;
        let entry = Entry {
            value,
            bytes,
            last_use: entries.clock,
        };
        entries.bytes += bytes;
        if let Some(replaced) = entries.map.insert(key, entry) {
            entries.bytes -= replaced.bytes;
        }
        if entries.bytes > self.bytes_max {
            entries.shrink(self.bytes_max / 4 * 3);
        }
    }
}

impl<K: Clone + Eq + Hash, V> Entries<K, V> {
    /// Drops entries until `bytes_max` are left. Sorting all of them is rare: a quarter of the cache goes at once.
    fn shrink(&mut self, bytes_max: usize) {
        let mut by_use: Vec<(u64, K)> = self
            .map
            .iter()
            .map(|(key, entry)| (entry.last_use, key.clone()))
            .collect();
        by_use.sort_unstable_by_key(|(last_use, _)| *last_use);
        for (_, key) in by_use {
            if self.bytes <= bytes_max {
                return;
            }
            if let Some(entry) = self.map.remove(&key) {
                self.bytes -= entry.bytes;
            }
        }
    }
}

impl<K, V> fmt::Debug for ByteBoundedCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("ByteBoundedCache")
            .field("entries", &entries.map.len())
            .field("bytes", &entries.bytes)
            .field("bytes_max", &self.bytes_max)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_leaves_first() {
        let cache = ByteBoundedCache::new(100);
        for key in 0..4 {
            cache.insert(key, Arc::new(key), 25);
        }
        assert_eq!(cache.get(&0).as_deref(), Some(&0));
        cache.insert(4, Arc::new(4), 25);
        let kept: Vec<_> = (0..5).filter(|key| cache.get(key).is_some()).collect();
        assert_eq!(kept, [0, 3, 4]);
        cache.insert(9, Arc::new(9), 101);
        assert!(cache.get(&9).is_none());
    }
}
