//! The loop of one receiver: segment after segment.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::watch;
use tokio::time::Instant;
use varve_storage::MetricMetadata;
use varve_storage::keys::TenantKeys;
use varve_storage::wal::{Segment, WalHolds, WalMetrics, decode_segment};

use super::client::{ReceiverClient, Sent};
use super::manager::MetadataSource;
use super::message::{self, Families};
use super::metrics::{ForwardMetrics, add};
use super::outgoing::{Batch, Outgoing};
use super::position::PositionStore;
use crate::config::{RemoteWriteConfig, WriteMessage};

/// How often the end of the WAL is looked at: a number in memory, no request.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How often a position that has changed is stored: after a crash, so much is sent twice at most.
const SAVE_INTERVAL: Duration = Duration::from_secs(15);

/// The pause after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// Families whose metadata is remembered for messages of version 2.
const FAMILIES_MAX: usize = 100_000;

/// Sends what comes into one shard to one receiver.
pub(super) struct Worker {
    pub(super) config: Arc<RemoteWriteConfig>,
    pub(super) id: String,
    pub(super) client: ReceiverClient,
    pub(super) outgoing: Outgoing,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) keys: TenantKeys,
    pub(super) shard: u32,
    pub(super) wal: Arc<WalMetrics>,
    pub(super) holds: Arc<WalHolds>,
    pub(super) position: PositionStore,
    pub(super) metadata: MetadataSource,
    pub(super) metrics: Arc<ForwardMetrics>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) done: u64,
}

impl Worker {
    /// Runs until it is told to stop; then it stores its position.
    pub(super) async fn run(mut self) {
        let mut saved = self.done;
        let mut saved_at = Instant::now();
        let mut metadata_at: Option<Instant> = None;
        let mut at_once = self.config.queue.min_shards;
        let mut families = Families::new();
        while !*self.stop.borrow() {
            if self.config.metadata.send
                && self.config.message == WriteMessage::V1
                && metadata_at.is_none_or(|at| at.elapsed() >= self.config.metadata.send_interval)
            {
                metadata_at = Some(Instant::now());
                self.send_metadata().await;
            }
            let last = self.wal.snapshot().last_sequence;
            let pending = last.saturating_sub(self.done);
            self.metrics
                .segments_pending
                .store(pending, Ordering::Relaxed);
            if pending == 0 {
                self.pause(POLL_INTERVAL).await;
            } else {
                // Who lags behind sends more at a time.
                at_once = match pending {
                    1 => (at_once / 2).max(self.config.queue.min_shards),
                    _ => (2 * at_once).min(self.config.queue.max_shards),
                };
                self.forward_next(at_once, &mut families).await;
            }
            if self.done != saved && saved_at.elapsed() >= SAVE_INTERVAL {
                saved_at = Instant::now();
                if self.save().await {
                    saved = self.done;
                }
            }
        }
        if self.done != saved {
            self.save().await;
        }
    }

    async fn pause(&self, duration: Duration) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn save(&self) -> bool {
        match self.position.save(&self.config.label(), self.done).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, receiver = self.config.label(), "the position of a receiver could not be stored");
                false
            }
        }
    }

    /// Reads the next segment and sends it; on success the position moves.
    async fn forward_next(&mut self, at_once: usize, families: &mut Families) {
        let sequence = self.done + 1;
        let key = self.keys.wal_segment(self.shard, sequence);
        let bytes = match self.store.get(&key).await {
            Ok(object) => object.bytes().await,
            Err(error) => Err(error),
        };
        let segment = match bytes {
            Ok(bytes) => {
                let key = key.clone();
                // Decompressing takes processor time.
                let decoded =
                    tokio::task::spawn_blocking(move || decode_segment(&key, bytes)).await;
                match decoded {
                    Ok(Ok(segment)) => Some(segment),
                    Ok(Err(error)) => {
                        tracing::error!(%error, "a WAL segment cannot be read and is not forwarded");
                        None
                    }
                    // The runtime shuts down.
                    Err(_) => return,
                }
            }
            Err(object_store::Error::NotFound { .. }) => {
                self.skip_missing().await;
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "a WAL segment could not be read; trying again");
                self.pause(STORE_PAUSE).await;
                return;
            }
        };
        if let Some(segment) = segment
            && !self.send_segment(&segment, at_once, families).await
        {
            return;
        }
        self.done = sequence;
        self.holds.set(&self.id, self.shard, self.done);
    }

    /// Goes to the first segment that is there, after others were deleted.
    async fn skip_missing(&mut self) {
        let folder = self.keys.wal_shard(self.shard);
        let sequences = self.store.list(Some(&folder)).try_filter_map(|object| {
            futures::future::ready(Ok(TenantKeys::segment_sequence(&object.location)))
        });
        let sequences: Vec<u64> = match sequences.try_collect().await {
            Ok(sequences) => sequences,
            Err(error) => {
                tracing::warn!(%error, "the WAL could not be listed; trying again");
                self.pause(STORE_PAUSE).await;
                return;
            }
        };
        let first = sequences.into_iter().filter(|s| *s > self.done).min();
        let Some(first) = first else {
            // Written a moment ago, and not to be seen yet.
            self.pause(STORE_PAUSE).await;
            return;
        };
        let missed = first - self.done - 1;
        if missed > 0 {
            tracing::error!(
                receiver = self.config.label(),
                segments = missed,
                "segments were deleted before they were forwarded"
            );
            self.metrics
                .segments_missed
                .fetch_add(missed, Ordering::Relaxed);
        }
        self.done = first - 1;
        self.holds.set(&self.id, self.shard, self.done);
    }

    /// Sends a segment; `false` if it was interrupted.
    async fn send_segment(
        &mut self,
        segment: &Segment,
        at_once: usize,
        families: &mut Families,
    ) -> bool {
        if self.config.message == WriteMessage::V2 {
            self.learn(segment, families);
        }
        let oldest_ms = match self.config.queue.sample_age_limit {
            Duration::ZERO => i64::MIN,
            limit => now_ms().saturating_sub(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX)),
        };
        let runs = match self.outgoing.runs(segment, oldest_ms, &self.metrics) {
            Ok(runs) => runs,
            Err(error) => {
                tracing::error!(%error, "a WAL segment cannot be read and is not forwarded");
                return true;
            }
        };
        let (this, families) = (&*self, &*families);
        let sent = runs
            .into_iter()
            .map(|batches| this.send_run(batches, families));
        let sent = stream::iter(sent).buffer_unordered(at_once.max(1));
        sent.all(std::future::ready).await
    }

    async fn send_run(&self, batches: Vec<Batch>, families: &Families) -> bool {
        for batch in batches {
            let message = match self.config.message {
                WriteMessage::V1 => message::version_1(&batch),
                WriteMessage::V2 => message::version_2(&batch, families),
            };
            match self.client.send(&message).await {
                Sent::Taken => {
                    add(&self.metrics.samples, batch.samples);
                    add(&self.metrics.exemplars, batch.exemplars);
                    let newest = u64::try_from(batch.newest_ms).unwrap_or(0);
                    let highest = &self.metrics.highest_sent_timestamp_ms;
                    highest.fetch_max(newest, Ordering::Relaxed);
                }
                Sent::Refused => add(&self.metrics.samples_failed, batch.samples),
                Sent::Stopped => return false,
            }
        }
        true
    }

    /// Metadata for messages of version 2: of the targets, and of the segment.
    fn learn(&self, segment: &Segment, families: &mut Families) {
        if families.is_empty() {
            let known = (self.metadata)().into_iter();
            families.extend(
                known
                    .take(FAMILIES_MAX)
                    .map(|entry| (entry.family.clone(), entry)),
            );
        }
        for entry in &segment.metadata {
            if families.len() < FAMILIES_MAX || families.contains_key(&entry.family) {
                families.insert(entry.family.clone(), entry.clone());
            }
        }
    }

    /// Sends what the targets say about their metrics, each family once.
    async fn send_metadata(&self) {
        let mut families: HashMap<String, MetricMetadata> = HashMap::new();
        for entry in (self.metadata)() {
            families.entry(entry.family.clone()).or_insert(entry);
        }
        let entries: Vec<MetricMetadata> = families.into_values().collect();
        for entries in entries.chunks(self.config.metadata.max_samples_per_send) {
            match self.client.send(&message::metadata(entries)).await {
                Sent::Taken => add(&self.metrics.metadata, entries.len()),
                Sent::Refused => {}
                Sent::Stopped => return,
            }
        }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
