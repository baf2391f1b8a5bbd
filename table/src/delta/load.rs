//! Finds and replays log entries without LIST.
//!
//! 1. Cold: `_last_checkpoint` and entry 0 are fetched together. With a checkpoint, it and the entries behind it are
//!    fetched together; else replay starts at entry 0.
//! 2. Warm: the next entry is fetched. "Not found" means that there is nothing new.
//! 3. Several entries ahead are probed side by side while they exist; versions are contiguous, so the first one
//!    that is missing ends the log.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{join_all, try_join, try_join_all};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::checkpoint;
use super::entry::{checkpoint_key, decode_entry, entry_key, last_checkpoint_key};
use super::snapshot::TableSnapshot;
use crate::error::{Error, Result};

/// Entries that a cold reader asks for at once; a checkpoint is due about every 20.
const COLD_WINDOW: i64 = 8;
/// The most entries in flight.
const WINDOW_MAX: i64 = 32;

/// The bytes of an object, `None` where it does not exist.
pub(super) async fn get(store: &dyn ObjectStore, key: &Path) -> Result<Option<Bytes>> {
    let error = |source| Error::store("read", key, source);
    match store.get(key).await {
        Ok(object) => Ok(Some(object.bytes().await.map_err(error)?)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(error(source)),
    }
}

/// Loads the newest version from nothing. A table that does not exist is [`TableSnapshot::empty`].
pub(super) async fn load(store: &Arc<dyn ObjectStore>, root: &Path) -> Result<TableSnapshot> {
    let store = store.as_ref();
    let pointer_key = last_checkpoint_key(root);
    let first_key = entry_key(root, 0);
    let (mut pointer, first) = try_join(get(store, &pointer_key), get(store, &first_key)).await?;
    let mut tries = 0;
    while let Some(bytes) = pointer {
        let version = checkpoint::decode_pointer(&pointer_key, &bytes)?;
        let key = checkpoint_key(root, version);
        let (object, entries) = try_join(
            get(store, &key),
            get_entries(store, root, version + 1, COLD_WINDOW),
        )
        .await?;
        let Some(object) = object else {
            // The pointer may have been read just before a clean-up; a second look shows the newer one.
            tries += 1;
            if tries > 2 {
                return Err(Error::LogIncomplete {
                    table: root.to_string(),
                    key: key.to_string(),
                });
            }
            pointer = get(store, &pointer_key).await?;
            continue;
        };
        let mut snapshot = checkpoint::decode(root, version, object)?;
        let all_found = apply_entries(&mut snapshot, entries)?;
        if all_found {
            replay(store, &mut snapshot, 2 * COLD_WINDOW).await?;
        }
        return Ok(snapshot);
    }
    let mut snapshot = TableSnapshot::empty(root.clone());
    if first.is_some() {
        apply_entries(&mut snapshot, vec![first])?;
        replay(store, &mut snapshot, COLD_WINDOW).await?;
    }
    check_complete(&snapshot)?;
    Ok(snapshot)
}

/// Brings a snapshot up to date; `None` where nothing is new (one GET).
pub(super) async fn advance(
    store: &Arc<dyn ObjectStore>,
    base: &TableSnapshot,
) -> Result<Option<TableSnapshot>> {
    let first = get_entries(store.as_ref(), &base.root, base.version + 1, 1).await?;
    if first.iter().all(Option::is_none) {
        return Ok(None);
    }
    let mut next = base.clone();
    apply_entries(&mut next, first)?;
    replay(store.as_ref(), &mut next, 2).await?;
    check_complete(&next)?;
    next.forget_old_removals();
    Ok(Some(next))
}

async fn replay(
    store: &dyn ObjectStore,
    snapshot: &mut TableSnapshot,
    mut window: i64,
) -> Result<()> {
    loop {
        let entries = get_entries(store, &snapshot.root, snapshot.version + 1, window).await?;
        if !apply_entries(snapshot, entries)? {
            return Ok(());
        }
        window = (window * 2).min(WINDOW_MAX);
    }
}

async fn get_entries(
    store: &dyn ObjectStore,
    root: &Path,
    first: i64,
    count: i64,
) -> Result<Vec<Option<Bytes>>> {
    let keys: Vec<Path> = (first..first + count).map(|v| entry_key(root, v)).collect();
    // An entry behind the end of the log may fail for a reason of its own; only what is needed counts.
    let mut found = Vec::with_capacity(keys.len());
    if let [key] = keys.as_slice() {
        found.push(get(store, key).await?);
        return Ok(found);
    }
    for result in join_all(keys.iter().map(|key| get(store, key))).await {
        let entry = result?;
        let last = entry.is_none();
        found.push(entry);
        if last {
            break;
        }
    }
    Ok(found)
}

/// Applies consecutive entries up to the first that is missing; whether none was.
fn apply_entries(snapshot: &mut TableSnapshot, entries: Vec<Option<Bytes>>) -> Result<bool> {
    for entry in entries {
        let Some(bytes) = entry else {
            return Ok(false);
        };
        let version = snapshot.version + 1;
        let key = entry_key(&snapshot.root, version);
        for action in decode_entry(&key, &bytes)? {
            snapshot.apply(action)?;
        }
        snapshot.version = version;
    }
    Ok(true)
}

fn check_complete(snapshot: &TableSnapshot) -> Result<()> {
    if snapshot.exists() && (snapshot.protocol.is_none() || snapshot.meta_data.is_none()) {
        let key = entry_key(&snapshot.root, 0);
        return Err(Error::corrupt(
            key,
            "it does not define a protocol and a schema",
        ));
    }
    Ok(())
}

/// Reads single entries, for what only they know (see `clean_up`).
pub(super) async fn get_many(store: &dyn ObjectStore, keys: &[Path]) -> Result<Vec<Option<Bytes>>> {
    try_join_all(keys.iter().map(|key| get(store, key))).await
}
