//! Reads WAL segments above the table's marks, a bounded number of them, and quarantines what cannot be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use varve_storage::keys::TenantKeys;
use varve_storage::wal::{Segment, decode_segment};
use varve_storage::{Error as StorageError, ErrorKind};

use crate::error::Result;

/// Segments in flight. A probe behind the end of a shard is a request for nothing, so it starts small.
const WINDOW_MIN: usize = 4;
const WINDOW_MAX: usize = 32;

/// What a pass consumes.
#[derive(Debug, Default)]
pub(crate) struct Consumed {
    pub(crate) segments: Vec<Segment>,
    /// Segments that went into quarantine.
    pub(crate) quarantined: Vec<Path>,
    /// Shard to (mark before, last segment consumed), for shards with progress.
    pub(crate) advance: BTreeMap<u32, (u64, u64)>,
    /// Whether a limit ended the reading, so that there may be more.
    pub(crate) more: bool,
}

/// How much a pass may read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PassLimit {
    pub(crate) segments_max: usize,
    pub(crate) bytes_max: usize,
}

/// Reads one tenant's WAL.
#[derive(Debug)]
pub(crate) struct WalReader<'a> {
    pub(crate) store: &'a Arc<dyn ObjectStore>,
    pub(crate) keys: &'a TenantKeys,
}

impl WalReader<'_> {
    /// Segments above `marks` until the end of each shard or the limit. Shards are numbered without gaps, so a shard that
    /// the table has never seen is found by asking for its first segment.
    pub(crate) async fn read(
        &self,
        marks: &BTreeMap<u32, u64>,
        limit: PassLimit,
    ) -> Result<Consumed> {
        let mut consumed = Consumed::default();
        let mut bytes = 0;
        let known = marks.keys().last().map_or(0, |last| last.saturating_add(1));
        let mut shard = 0;
        loop {
            let mark = marks.get(&shard).copied().unwrap_or(0);
            let last = self
                .read_shard(shard, mark, limit, &mut bytes, &mut consumed)
                .await?;
            if last > mark {
                consumed.advance.insert(shard, (mark, last));
            }
            shard += 1;
            if consumed.more || (shard > known && last == 0) {
                return Ok(consumed);
            }
        }
    }

    async fn read_shard(
        &self,
        shard: u32,
        mark: u64,
        limit: PassLimit,
        bytes: &mut usize,
        consumed: &mut Consumed,
    ) -> Result<u64> {
        let mut last = mark;
        let mut window = if mark == 0 { 1 } else { WINDOW_MIN };
        loop {
            let fetched = join_all(
                (last + 1..=last + window as u64).map(|sequence| self.fetch(shard, sequence)),
            )
            .await;
            for object in fetched {
                let Some((key, object)) = object? else {
                    return Ok(last);
                };
                // At least one segment, or a large one would stop everything for ever.
                let segments = consumed.segments.len() + consumed.quarantined.len();
                if segments >= limit.segments_max.max(1)
                    || (segments > 0 && *bytes >= limit.bytes_max)
                {
                    consumed.more = true;
                    return Ok(last);
                }
                *bytes += self.take(shard, key, object, consumed).await?;
                last += 1;
            }
            // What lies beyond the limit would be read for nothing, and again in the next pass.
            let average = *bytes / consumed.segments.len().max(1);
            let room = limit.bytes_max.saturating_sub(*bytes) / average.max(1);
            window = (window * 2).min(WINDOW_MAX).min(room + 1);
        }
    }

    /// Exactly the segments in (from, to] of every shard: what another compactor has consumed for `series` already.
    pub(crate) async fn read_exactly(
        &self,
        ranges: &BTreeMap<u32, (u64, u64)>,
    ) -> Result<Consumed> {
        let mut consumed = Consumed {
            advance: ranges.clone(),
            more: true,
            ..Consumed::default()
        };
        for (shard, (from, to)) in ranges {
            let mut next = from + 1;
            while next <= *to {
                let end = (next + WINDOW_MAX as u64 - 1).min(*to);
                let fetched =
                    join_all((next..=end).map(|sequence| self.fetch(*shard, sequence))).await;
                for (sequence, object) in (next..=end).zip(fetched) {
                    let Some((key, object)) = object? else {
                        return Err(StorageError::Corrupt {
                            key: self.keys.wal_segment(*shard, sequence).to_string(),
                            reason: "the segment is missing although it was not consumed yet"
                                .to_owned(),
                        }
                        .into());
                    };
                    self.take(*shard, key, object, &mut consumed).await?;
                }
                next = end + 1;
            }
        }
        Ok(consumed)
    }

    async fn fetch(&self, shard: u32, sequence: u64) -> Result<Option<(Path, Bytes)>> {
        let key = self.keys.wal_segment(shard, sequence);
        let failed = |source| StorageError::Store {
            action: "read",
            key: key.to_string(),
            source,
        };
        match self.store.get(&key).await {
            Ok(object) => {
                let bytes = object.bytes().await.map_err(failed)?;
                Ok(Some((key, bytes)))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source).into()),
        }
    }

    /// Decodes a segment, or puts a copy of it into quarantine; returns its size in memory. It is passed over only after the
    /// copy is durable, because the clean-up will delete the original.
    async fn take(
        &self,
        shard: u32,
        key: Path,
        bytes: Bytes,
        consumed: &mut Consumed,
    ) -> Result<usize> {
        let error = match decode_segment(&key, bytes.clone()) {
            Ok(mut segment) => {
                let size = segment.decoded_bytes;
                // A pass reads names and labels in `samples`, and needs them in no other form.
                segment.series = Vec::new();
                consumed.segments.push(segment);
                return Ok(size);
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => error,
            Err(error) => return Err(error.into()),
        };
        let sequence = TenantKeys::segment_sequence(&key).unwrap_or(0);
        let copy = self.keys.quarantined_segment(shard, sequence);
        self.store
            .put(&copy, PutPayload::from(bytes))
            .await
            .map_err(|source| StorageError::Store {
                action: "write",
                key: copy.to_string(),
                source,
            })?;
        tracing::error!(segment = %key, copy = %copy, %error, "a WAL segment cannot be read; its samples are not in the table");
        consumed.quarantined.push(key);
        Ok(0)
    }
}
