//! Deleting segments that the table holds already.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::error::{Error, Result};
use crate::keys::TenantKeys;

/// What a clean-up did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanedUp {
    /// Segments deleted.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Deletes a shard's segments below `mark`, the last one consumed, that are older than `grace` at `now`. The one at the mark stays: a
/// writer finds the end of the shard by it, and a reader that its marks are current.
///
/// Segments go strictly one after the other in ascending order, and a young or undeletable one ends the work. So the
/// segments that exist are always one unbroken run, on which the checks of late writers and readers rest.
pub async fn delete_consumed(
    store: &Arc<dyn ObjectStore>,
    keys: &TenantKeys,
    shard: u32,
    mark: u64,
    grace: Duration,
    now: DateTime<Utc>,
) -> Result<CleanedUp> {
    let folder = keys.wal_shard(shard);
    let failed = |action, key: &object_store::path::Path, source| Error::Store {
        action,
        key: key.to_string(),
        source,
    };
    let mut consumed: Vec<(u64, ObjectMeta)> = store
        .list(Some(&folder))
        .try_filter_map(|object| {
            let sequence =
                TenantKeys::segment_sequence(&object.location).filter(|sequence| *sequence < mark);
            futures::future::ready(Ok(sequence.map(|sequence| (sequence, object))))
        })
        .try_collect()
        .await
        .map_err(|source| failed("list", &folder, source))?;
    consumed.sort_by_key(|(sequence, _)| *sequence);
    let mut cleaned = CleanedUp::default();
    for (_, object) in consumed {
        let age = now.signed_duration_since(object.last_modified);
        if age.to_std().unwrap_or(Duration::ZERO) < grace {
            break;
        }
        match store.delete(&object.location).await {
            // Another clean-up was faster.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(source) => return Err(failed("delete", &object.location, source)),
        }
        cleaned.segments += 1;
        cleaned.bytes += object.size;
    }
    Ok(cleaned)
}
