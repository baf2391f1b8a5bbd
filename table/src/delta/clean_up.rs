//! Deletes what no reader can need any more: replaced data files, orphans of failed attempts, old log objects.
//!
//! Readers are protected by time, not by counting them: whatever a snapshot refers to stays for a grace period after
//! the commit that made it obsolete, and the grace period is longer than the longest query. The only LISTs of this
//! crate's regular work are here.
//!
//! Order matters twice. The data folder is listed *before* the snapshot is loaded, so that a file that was committed in
//! between is seen as live. Log objects are deleted oldest first, so that a crash leaves a log whose newest part is whole.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::entry::{LogObject, decode_entry, entry_key, log_folder, parse_key};
use super::load::get_many;
use super::table::DeltaTable;
use crate::error::{Error, Result};

/// Deletions in flight.
const DELETES: usize = 16;

/// How long things are kept.
#[derive(Clone, Debug)]
pub struct CleanUpOptions {
    /// A replaced file is kept this long after its replacement; longer than the longest query.
    pub grace: Duration,
    /// A file that no version of the log refers to is kept this long after it was written. No attempt may take
    /// half as long between its first file and its commit.
    pub orphan_age: Duration,
    /// Log entries and checkpoints behind a newer checkpoint are kept this long: at least 24 hours, so that an idle
    /// reader notices that it has to start over.
    pub log_retention: Duration,
}

impl Default for CleanUpOptions {
    fn default() -> Self {
        Self {
            grace: varve_storage::wal::GRACE_DEFAULT,
            orphan_age: Duration::from_secs(24 * 3600),
            log_retention: Duration::from_secs(24 * 3600),
        }
    }
}

/// What a clean-up deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanUp {
    /// Replaced data files.
    pub replaced_files: u64,
    /// Files of attempts that never committed.
    pub orphans: u64,
    /// Log entries and checkpoints.
    pub log_objects: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl DeltaTable {
    /// Deletes replaced files, orphans and old log objects.
    pub async fn clean_up(&self, options: &CleanUpOptions, now_ms: i64) -> Result<CleanUp> {
        let log = log_folder(self.root());
        let objects = self.list(self.root()).await?;
        let snapshot = self.refresh().await?;
        let mut report = CleanUp::default();
        if !snapshot.exists() {
            return Ok(report);
        }
        let (log_objects, data): (Vec<_>, Vec<_>) = objects
            .into_iter()
            .partition(|object| object.location.prefix_matches(&log));
        let mut doomed = Vec::new();
        for object in data {
            let Some(path) = relative(self.root(), &object.location) else {
                continue;
            };
            if snapshot.files.contains_key(&path) {
                continue;
            }
            let written_ms = object.last_modified.timestamp_millis();
            let due = match snapshot.removed.get(&path) {
                Some(removed) => {
                    let due = removed.deleted_ms.saturating_add(millis(options.grace)) <= now_ms;
                    report.replaced_files += u64::from(due);
                    due
                }
                None => {
                    let due = written_ms.saturating_add(millis(options.orphan_age)) <= now_ms;
                    report.orphans += u64::from(due);
                    due
                }
            };
            if due {
                report.bytes += object.size;
                doomed.push(object.location);
            }
        }
        self.delete_all(doomed).await?;
        let old = expired_log(
            log_objects,
            now_ms.saturating_sub(millis(options.log_retention)),
        );
        for object in old {
            self.delete(&object.location).await?;
            report.log_objects += 1;
            report.bytes += object.size;
        }
        Ok(report)
    }

    /// The WAL marks that held at `before_ms`: every snapshot that was loaded since then has at least these, so segments
    /// up to them are needed by no query that began since then. Empty where the log does not reach back.
    pub async fn wal_marks_at(&self, before_ms: i64) -> Result<BTreeMap<u32, u64>> {
        let snapshot = self.refresh().await?;
        if snapshot.committed_ms.is_some_and(|ms| ms <= before_ms) {
            return Ok(snapshot.wal_marks());
        }
        // Steps back in growing strides: the marks of any older version are safe too, only less fresh.
        let mut stride = 1;
        let mut version = snapshot.version;
        while version > 0 {
            version = (version - stride).max(0);
            stride *= 2;
            let key = entry_key(self.root(), version);
            let found = get_many(self.store().as_ref(), std::slice::from_ref(&key)).await?;
            let Some(Some(bytes)) = found.into_iter().next() else {
                break;
            };
            let info = decode_entry(&key, &bytes)?
                .into_iter()
                .find_map(|action| action.commit_info);
            let Some(info) = info else { continue };
            if info.timestamp.is_some_and(|ms| ms <= before_ms) {
                let marks = info.marks.unwrap_or_default();
                let parse = |(shard, mark): (String, u64)| Some((shard.parse().ok()?, mark));
                return Ok(marks.into_iter().filter_map(parse).collect());
            }
        }
        Ok(BTreeMap::new())
    }

    async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>> {
        self.store()
            .list(Some(folder))
            .try_collect()
            .await
            .map_err(|e| Error::store("list", folder, e))
    }

    async fn delete(&self, key: &Path) -> Result<()> {
        match self.store().delete(key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(Error::store("delete", key, source)),
        }
    }

    async fn delete_all(&self, keys: Vec<Path>) -> Result<()> {
        stream::iter(keys)
            .map(|key| async move { self.delete(&key).await })
            .buffer_unordered(DELETES)
            .try_collect()
            .await
    }

    /// Deletes files of this table that a failed attempt wrote and that no commit refers to. Only for attempts whose
    /// outcome is known; failures are left to the clean-up.
    pub async fn discard(&self, paths: impl IntoIterator<Item = String>) {
        for path in paths {
            let key = super::snapshot::join(self.root(), &path);
            if let Err(error) = self.delete(&key).await {
                tracing::debug!(%key, %error, "could not discard a file, the clean-up will");
            }
        }
    }
}

fn relative(root: &Path, key: &Path) -> Option<String> {
    let parts: Vec<_> = key.prefix_match(root)?.collect();
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    Some(parts.join("/"))
}

/// Log objects, oldest version first, behind the newest checkpoint that is itself older than the cut-off.
fn expired_log(objects: Vec<ObjectMeta>, cut_off_ms: i64) -> Vec<ObjectMeta> {
    let mut known: Vec<(LogObject, ObjectMeta)> = objects
        .into_iter()
        .filter_map(|object| Some((parse_key(&object.location)?, object)))
        .filter(|(_, object)| object.last_modified.timestamp_millis() <= cut_off_ms)
        .collect();
    let newest = known
        .iter()
        .filter_map(|(kind, _)| match kind {
            LogObject::Checkpoint(version) => Some(*version),
            LogObject::Entry(_) => None,
        })
        .max();
    let version = |kind: &LogObject| match kind {
        LogObject::Entry(version) | LogObject::Checkpoint(version) => *version,
    };
    known.retain(|(kind, _)| newest.is_some_and(|newest| version(kind) < newest));
    known.sort_by_key(|(kind, _)| version(kind));
    known.into_iter().map(|(_, object)| object).collect()
}
