//! The end of the WAL for readers: every segment above the marks, kept up to date without a listing.
//!
//! # How the end is found
//! Segments of a shard are contiguous, so a reader asks for `<last known + 1>` and on, several at once, until one is absent.
//! Shards are numbered without gaps: segment 1 of the next shard number is asked for too. A warm refresh thus costs
//! one request per shard, plus one, plus one for each new segment, whose bytes are wanted anyway.
//!
//! # When marks are too old
//! Segments that were consumed long ago are deleted, and a reader that slept would mistake the gap for the end. So whenever the chain was
//! not extended for half the grace period, or was never looked at, the segment in front of the end is looked for: clean-up
//! deletes in ascending order and keeps the last consumed segment, hence it exists if and only if the end is the end.
//! If it is gone, the caller must take a newer snapshot of the table, with newer marks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::time::Instant;

use super::segment::{Segment, SeriesCache, decode_segment_sharing};
use crate::error::{Error, Result};
use crate::keys::TenantKeys;

/// Segments asked for at once when nothing is known yet, and at most.
const COLD_WINDOW: usize = 4;
const WINDOW_MAX: usize = 32;
/// Shards per tenant; a store full of objects that look like first segments must not keep a reader busy for ever.
const SHARDS_MAX: u32 = 1_024;

/// A segment that cannot be read; readers pass over it.
#[derive(Clone, Debug)]
pub struct CorruptSegment {
    /// Its shard.
    pub shard: u32,
    /// Its sequence.
    pub sequence: u64,
    /// Its key.
    pub key: Path,
    /// What is wrong, naming the key.
    pub reason: String,
}

/// The segments above the marks at one moment.
#[derive(Clone, Debug, Default)]
pub struct TailView {
    /// Readable segments, by shard and sequence.
    pub segments: Vec<Arc<Segment>>,
    /// Segments that cannot be read.
    pub corrupt: Vec<CorruptSegment>,
    /// For each known shard its last sequence; equal to the mark where nothing lies above it.
    pub heads: BTreeMap<u32, u64>,
    /// One warning for each unreadable segment, for the user of a query.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug)]
enum Cached {
    Segment(Arc<Segment>),
    Corrupt(CorruptSegment),
}

#[derive(Debug, Default)]
struct ShardTail {
    /// Segments above the last marks seen, without gaps.
    cached: BTreeMap<u64, Cached>,
    /// When the chain was last known to be whole.
    verified: Option<(Instant, SystemTime)>,
}

/// Reads the end of the WAL of one tenant. It holds the decoded segments above the marks, and nothing below.
#[derive(Debug)]
pub struct WalTail {
    keys: TenantKeys,
    grace: Duration,
    shards: BTreeMap<u32, ShardTail>,
    series: Arc<SeriesCache>,
}

impl WalTail {
    /// A reader that knows nothing yet, with the default grace period.
    pub fn new(keys: TenantKeys) -> Self {
        Self {
            keys,
            grace: super::GRACE_DEFAULT,
            shards: BTreeMap::new(),
            series: Arc::default(),
        }
    }

    /// Sets the grace period of this archive's clean-up.
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Brings the tail up to date: all segments above `marks`, the last consumed sequence of each shard (0 or absent: none).
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] where segments above a mark were deleted already: the marks are too old, take
    /// a newer snapshot and call again. A shard of which the marks say nothing and nothing was ever seen cannot be checked so; marks
    /// should not be older than half the grace period. Any other error: the store failed, the tail is as before.
    pub async fn refresh(
        &mut self,
        store: &Arc<dyn ObjectStore>,
        marks: &BTreeMap<u32, u64>,
    ) -> Result<TailView> {
        let known: BTreeSet<u32> = marks.keys().chain(self.shards.keys()).copied().collect();
        let mut next_shard = known.last().map_or(0, |last| last.saturating_add(1));
        if next_shard > SHARDS_MAX {
            return Err(Error::Limit(format!(
                "tenant {} has marks for {next_shard} WAL shards; at most {SHARDS_MAX} can be read",
                self.keys.tenant()
            )));
        }
        // Numbers below the greatest are shards too, even where nothing was consumed of them yet.
        let tails: Vec<(u32, ShardTail)> = (0..next_shard)
            .map(|shard| (shard, self.shards.remove(&shard).unwrap_or_default()))
            .collect();
        let refreshes = tails.into_iter().map(|(shard, tail)| {
            let mark = marks.get(&shard).copied().unwrap_or(0);
            self.refresh_shard(store, shard, mark, tail)
        });
        let (refreshed, mut probe) = futures::join!(
            join_all(refreshes),
            self.refresh_shard(store, next_shard, 0, ShardTail::default())
        );
        let mut failed = None;
        for (shard, tail, result) in refreshed {
            self.shards.insert(shard, tail);
            if let Err(error) = result {
                failed.get_or_insert(error);
            }
        }
        loop {
            let (shard, tail, result) = probe;
            result?;
            if tail.cached.is_empty() || next_shard >= SHARDS_MAX {
                break;
            }
            self.shards.insert(shard, tail);
            next_shard += 1;
            probe = self
                .refresh_shard(store, next_shard, 0, ShardTail::default())
                .await;
        }
        self.series.prune();
        match failed {
            Some(error) => Err(error),
            None => Ok(self.view(marks)),
        }
    }

    /// Extends one shard's chain. The tail is given back in any case, with whatever was read.
    async fn refresh_shard(
        &self,
        store: &Arc<dyn ObjectStore>,
        shard: u32,
        mark: u64,
        mut tail: ShardTail,
    ) -> (u32, ShardTail, Result<()>) {
        let result = self.extend(store, shard, mark, &mut tail).await;
        (shard, tail, result)
    }

    async fn extend(
        &self,
        store: &Arc<dyn ObjectStore>,
        shard: u32,
        mark: u64,
        tail: &mut ShardTail,
    ) -> Result<()> {
        tail.cached = tail.cached.split_off(&mark.saturating_add(1));
        let cold = tail.verified.is_none();
        let mut window = if cold && mark > 0 { COLD_WINDOW } else { 1 };
        let started = (Instant::now(), SystemTime::now());
        let mut at = mark.saturating_add(1);
        let mut gap = None;
        let end = loop {
            let wanted: Vec<u64> = (at..)
                .filter(|sequence| !tail.cached.contains_key(sequence))
                .take(window)
                .collect();
            let fetched = join_all(wanted.iter().map(|s| self.fetch(store, shard, *s))).await;
            let mut absent = None;
            let mut beyond = false;
            for (sequence, found) in wanted.iter().zip(fetched) {
                match found? {
                    Some(segment) if absent.is_none() => {
                        tail.cached.insert(*sequence, segment);
                    }
                    Some(_) => beyond = true,
                    None => {
                        absent.get_or_insert(*sequence);
                    }
                }
            }
            let Some(end) = absent else {
                at = wanted.last().map_or(at, |last| last + 1);
                window = (window * 2).min(WINDOW_MAX);
                continue;
            };
            if !beyond && tail.cached.range(end..).next().is_none() {
                break end;
            }
            if gap == Some(end) {
                return Err(self.deleted(shard, end));
            }
            // The one that follows may have been written between the two questions; then this one exists by now.
            gap = Some(end);
            at = end;
        };
        let fresh = tail.verified.is_some_and(|(monotonic, wall)| {
            let wall = wall.elapsed().unwrap_or(Duration::MAX);
            monotonic.elapsed().max(wall) < self.grace / 2
        });
        if !fresh && end > 1 {
            self.check_exists(store, shard, end - 1).await?;
        }
        tail.verified = Some(started);
        Ok(())
    }

    /// One segment; `None` where there is none.
    async fn fetch(
        &self,
        store: &Arc<dyn ObjectStore>,
        shard: u32,
        sequence: u64,
    ) -> Result<Option<Cached>> {
        let key = self.keys.wal_segment(shard, sequence);
        let read = async { store.get(&key).await?.bytes().await };
        let bytes = match read.await {
            Ok(bytes) => bytes,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => {
                return Err(Error::Store {
                    action: "read",
                    key: key.to_string(),
                    source,
                });
            }
        };
        let (series, name) = (Arc::clone(&self.series), key.clone());
        let decode = move || decode_segment_sharing(&name, bytes, &series);
        // Segments are decoded side by side, off the threads that wait for the store.
        let decoded = tokio::task::spawn_blocking(decode).await;
        let decoded = decoded.map_err(|error| Error::Store {
            action: "decode",
            key: key.to_string(),
            source: error.into(),
        })?;
        match decoded {
            Ok(segment) => Ok(Some(Cached::Segment(Arc::new(segment)))),
            Err(error @ Error::Corrupt { .. }) => {
                tracing::warn!(%key, %error, "a WAL segment cannot be read and is passed over");
                Ok(Some(Cached::Corrupt(CorruptSegment {
                    shard,
                    sequence,
                    key,
                    reason: error.to_string(),
                })))
            }
            Err(error) => Err(error),
        }
    }

    async fn check_exists(
        &self,
        store: &Arc<dyn ObjectStore>,
        shard: u32,
        sequence: u64,
    ) -> Result<()> {
        let key = self.keys.wal_segment(shard, sequence);
        match store.head(&key).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::NotFound { .. }) => Err(self.deleted(shard, sequence)),
            Err(source) => Err(Error::Store {
                action: "read",
                key: key.to_string(),
                source,
            }),
        }
    }

    /// A segment that must exist if the marks are current does not.
    fn deleted(&self, shard: u32, sequence: u64) -> Error {
        let key = self.keys.wal_segment(shard, sequence).to_string();
        Error::Store {
            action: "read",
            source: object_store::Error::NotFound {
                path: key.clone(),
                source: "it was consumed and deleted: the snapshot in use is too old".into(),
            },
            key,
        }
    }

    fn view(&self, marks: &BTreeMap<u32, u64>) -> TailView {
        let mut view = TailView::default();
        for (shard, tail) in &self.shards {
            let mark = marks.get(shard).copied().unwrap_or(0);
            let head = tail.cached.keys().next_back().copied().unwrap_or(mark);
            view.heads.insert(*shard, head);
            for cached in tail.cached.values() {
                match cached {
                    Cached::Segment(segment) => view.segments.push(Arc::clone(segment)),
                    Cached::Corrupt(corrupt) => {
                        view.warnings.push(format!(
                            "samples are missing: {} (a WAL segment that was skipped)",
                            corrupt.reason
                        ));
                        view.corrupt.push(corrupt.clone());
                    }
                }
            }
        }
        view
    }
}

#[cfg(test)]
mod tests;
