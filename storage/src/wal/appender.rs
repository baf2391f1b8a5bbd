//! Putting one segment after another into a shard: the names, lost answers, rivals and sleep.
//!
//! One call of [`Appender::append`] ends only when the segment is durable at a place where readers will find it:
//!
//! 1. PUT the segment as `<next>` with put-if-absent. A failure is retried for ever, for nothing that was accepted may be dropped.
//! 2. "Already exists": read the object back. Our bytes (they hold our writer id and the sequence) mean that an earlier
//!    answer was lost: durable. Another's bytes: the next name. Nothing there (S3 answers two PUTs at once with a conflict): again.
//! 3. If the last confirmed PUT is older than half the grace period, clean-up may have deleted the name just taken, and the
//!    segment may lie below the mark. One listing tells: the segment at the mark is never deleted, so if ours is the last of the shard
//!    it lies above the mark. If it is not the last, it may be either a rival's predecessor or an orphan; the segment is appended
//!    again at the real head, which is safe because duplicates are resolved by their values. An orphan for certain, one
//!    whose predecessor is gone, is deleted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{GetResult, ObjectStore, ObjectStoreExt, PutMode};
use tokio::time::Instant;
use uuid::Uuid;

use super::metrics::WalMetrics;
use super::segment::{SegmentBody, payload};
use crate::error::{Error, Result};
use crate::keys::TenantKeys;

/// The pause after the first failure; it doubles up to [`PAUSE_MAX`]. Tests of faults need not wait.
const PAUSE_MIN: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 100 });
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long one request may take before it is given up and asked again.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(120);
/// After so many names in a row that others took, the head is looked up by a listing.
const TAKEN_IN_A_ROW_MAX: u32 = 4;

/// The end of one shard, as one writer sees it.
#[derive(Debug)]
pub(super) struct Appender {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) keys: TenantKeys,
    pub(super) shard: u32,
    pub(super) writer: Uuid,
    pub(super) grace: Duration,
    pub(super) metrics: Arc<WalMetrics>,
    next: u64,
    confirmed: Confirmed,
}

/// When the end of the shard was last known to be where we think it is.
///
/// The monotonic clock stands still while a machine is suspended, and the wall clock may be set back: the greater
/// of both distances counts.
#[derive(Clone, Copy, Debug)]
struct Confirmed {
    monotonic: Instant,
    wall: SystemTime,
}

impl Confirmed {
    fn now() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    fn age(&self) -> Duration {
        let wall = self.wall.elapsed().unwrap_or(Duration::ZERO);
        self.monotonic.elapsed().max(wall)
    }
}

/// Pauses between attempts: doubling, and different in each writer.
struct Backoff {
    pause: Duration,
    seed: u64,
}

impl Backoff {
    fn new(writer: Uuid) -> Self {
        Self {
            pause: PAUSE_MIN,
            seed: writer.as_u64_pair().0 | 1,
        }
    }

    fn next(&mut self) -> Duration {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let spread = (self.seed >> 40) as f64 / (1_u64 << 24) as f64;
        let pause = self.pause.mul_f64(0.5 + spread / 2.0);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        pause
    }
}

enum Outcome {
    Durable,
    /// The name belongs to another segment.
    Taken,
}

impl Appender {
    pub(super) async fn open(
        store: Arc<dyn ObjectStore>,
        keys: TenantKeys,
        shard: u32,
        grace: Duration,
        metrics: Arc<WalMetrics>,
    ) -> Result<Self> {
        let confirmed = Confirmed::now();
        let mut appender = Self {
            store,
            keys,
            shard,
            writer: Uuid::new_v4(),
            grace,
            metrics,
            next: 1,
            confirmed,
        };
        appender.next = appender
            .sequences()
            .await?
            .last()
            .map_or(1, |last| last + 1);
        Ok(appender)
    }

    /// Every sequence in the shard. A LIST, which only writers and clean-up make.
    async fn sequences(&self) -> Result<BTreeSet<u64>> {
        let folder = self.keys.wal_shard(self.shard);
        self.store
            .list(Some(&folder))
            .try_filter_map(|object| {
                let sequence = TenantKeys::segment_sequence(&object.location);
                futures::future::ready(Ok(sequence))
            })
            .try_collect()
            .await
            .map_err(|source| Error::Store {
                action: "list",
                key: folder.to_string(),
                source,
            })
    }

    /// The last sequence that this writer knows to be taken.
    pub(super) fn last(&self) -> u64 {
        self.next - 1
    }

    /// Appends a segment; gives its sequence. Waits while the store is down.
    pub(super) async fn append(&mut self, body: SegmentBody) -> u64 {
        let mut taken_in_a_row = 0;
        loop {
            let sequence = self.next;
            let pieces = body.seal(self.writer, self.shard, sequence);
            match self.put(pieces, sequence).await {
                Outcome::Taken => {
                    self.metrics.name_taken();
                    self.next += 1;
                    taken_in_a_row += 1;
                    if taken_in_a_row >= TAKEN_IN_A_ROW_MAX {
                        taken_in_a_row = 0;
                        let sequences = self.sequences_until_known().await;
                        self.go_to_the_end(&sequences);
                    }
                }
                Outcome::Durable => {
                    self.next += 1;
                    if self.confirmed.age() < self.grace / 2 || self.will_be_read(sequence).await {
                        self.confirmed = Confirmed::now();
                        return sequence;
                    }
                }
            }
        }
    }

    /// Step 1 and 2: until the name is certainly ours, or certainly another's.
    async fn put(&self, pieces: [Bytes; 2], sequence: u64) -> Outcome {
        let key = self.keys.wal_segment(self.shard, sequence);
        let mut backoff = Backoff::new(self.writer);
        loop {
            let put = self
                .store
                .put_opts(&key, payload(&pieces), PutMode::Create.into());
            let source = match tokio::time::timeout(REQUEST_TIME_MAX, put).await {
                Ok(Ok(_)) => return Outcome::Durable,
                Ok(Err(object_store::Error::AlreadyExists { .. })) => {
                    match self.read_back(&key, &pieces).await {
                        Ok(Some(true)) => return Outcome::Durable,
                        Ok(Some(false)) => return Outcome::Taken,
                        Ok(None) => None,
                        Err(source) => Some(source),
                    }
                }
                Ok(Err(source)) => Some(source),
                Err(_) => Some(timed_out()),
            };
            let pause = backoff.next();
            self.metrics.retried();
            if let Some(error) = source {
                tracing::warn!(%key, %error, retry_in = ?pause, "a WAL segment could not be written; samples wait in memory");
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether the object under a taken name is ours; `None` if there is none after all.
    async fn read_back(
        &self,
        key: &object_store::path::Path,
        pieces: &[Bytes; 2],
    ) -> object_store::Result<Option<bool>> {
        let read = async {
            let found: GetResult = match self.store.get(key).await {
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                found => found?,
            };
            // A rival's segment is told by its size nearly always, without reading it.
            let [body, trailer] = pieces;
            if found.meta.size != (body.len() + trailer.len()) as u64 {
                return Ok(Some(false));
            }
            let bytes = found.bytes().await?;
            let equal = bytes.strip_prefix(body.as_ref()) == Some(trailer.as_ref());
            Ok(Some(equal))
        };
        match tokio::time::timeout(REQUEST_TIME_MAX, read).await {
            Ok(result) => result,
            Err(_) => Err(timed_out()),
        }
    }

    fn go_to_the_end(&mut self, sequences: &BTreeSet<u64>) {
        let head = sequences.last().copied().unwrap_or(0);
        self.next = self.next.max(head + 1);
    }

    /// Step 3: whether a segment that was just written certainly lies above the mark. If not, `next` is the real head.
    async fn will_be_read(&mut self, sequence: u64) -> bool {
        let sequences = self.sequences_until_known().await;
        self.confirmed = Confirmed::now();
        if sequences.last().is_none_or(|last| *last <= sequence) {
            return true;
        }
        self.go_to_the_end(&sequences);
        self.metrics.moved();
        let key = self.keys.wal_segment(self.shard, sequence);
        tracing::warn!(%key, "this writer slept longer than half the grace period; its segment may lie among consumed ones and is appended again");
        let orphan = sequence > 1 && !sequences.contains(&(sequence - 1));
        if orphan && let Err(error) = self.store.delete(&key).await {
            tracing::warn!(%key, %error, "a segment below the mark could not be deleted; clean-up will do it");
        }
        false
    }

    /// Asks until there is an answer.
    async fn sequences_until_known(&self) -> BTreeSet<u64> {
        let mut backoff = Backoff::new(self.writer);
        loop {
            let error = match tokio::time::timeout(REQUEST_TIME_MAX, self.sequences()).await {
                Ok(Ok(sequences)) => return sequences,
                Ok(Err(error)) => error.to_string(),
                Err(_) => timed_out().to_string(),
            };
            let pause = backoff.next();
            self.metrics.retried();
            tracing::warn!(shard = self.shard, %error, retry_in = ?pause, "the end of the WAL could not be found; samples wait in memory");
            tokio::time::sleep(pause).await;
        }
    }
}

fn timed_out() -> object_store::Error {
    object_store::Error::Generic {
        store: "WAL",
        source: format!("no answer within {} s", REQUEST_TIME_MAX.as_secs()).into(),
    }
}
