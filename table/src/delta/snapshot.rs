//! A table's state at one version.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use object_store::path::Path;
use serde_json::Value;
use varve_storage::columns;

use super::actions::{Action, Add, MetaData, Protocol, Remove};
use super::entry::{decode_path, encode_path};
use crate::error::{Error, Result};
use crate::stats::{CRC_TAG, FileStats, LEVEL_TAG, SAMPLES_TAG};

/// Versions of the Delta protocol that this crate implements.
pub(super) const READER_VERSION: i32 = 1;
pub(super) const WRITER_VERSION: i32 = 2;

/// How long the log remembers removed files: the protocol's default.
const REMOVED_RETENTION_MS: i64 = 7 * 24 * 3_600_000;

/// A live data file.
///
/// Bounds are closed and safe: where the log has no statistics they are unbounded.
#[derive(Clone, Debug, PartialEq)]
pub struct TableFile {
    /// The path relative to the table's root, as the object is named.
    pub path: String,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// The partition: the UTC day of every row.
    pub date: NaiveDate,
    /// 0 from the WAL, 1 one 2-hour window, 2 a day.
    pub level: u8,
    /// Rows of the file; 0 where unknown.
    pub rows: u64,
    /// Samples of all rows (in `samples`; else, or where unknown, 0).
    pub samples: u64,
    /// The least `__name__`; `None` where unknown.
    pub min_name: Option<String>,
    /// The greatest `__name__`; `None` where unknown.
    pub max_name: Option<String>,
    /// The least `min_time`, or `timestamp`.
    pub min_time_ms: i64,
    /// The greatest `max_time`, or `timestamp`.
    pub max_time_ms: i64,
    /// When the file was made, by the writer's clock.
    pub modified_ms: i64,
    /// CRC-32 of the whole file, where the log has it.
    pub crc32: Option<u32>,
    /// The action that added it, for checkpoints.
    pub(crate) add: Add,
}

impl TableFile {
    pub(crate) fn from_add(root: &Path, mut add: Add) -> Result<Self> {
        let broken = |reason: &str| Error::corrupt(format!("{root}/{}", add.path), reason);
        let path = decode_path(&add.path)
            .filter(|path| !path.contains("://") && !path.starts_with('/'))
            .ok_or_else(|| broken("its path in the log is not relative to the table"))?;
        let date = add
            .partition_values
            .get(columns::DATE)
            .and_then(|value| value.as_deref()?.parse().ok())
            .ok_or_else(|| broken("its partition value `date` in the log is not a date"))?;
        let stats: FileStats = match add.stats.as_deref().filter(|text| !text.is_empty()) {
            None => FileStats::default(),
            Some(text) => serde_json::from_str(text)
                .map_err(|e| broken(&format!("its statistics in the log cannot be read: {e}")))?,
        };
        let size_bytes = u64::try_from(add.size).map_err(|_| broken("its size is negative"))?;
        let tag = |name: &str| -> Option<&str> { add.tags.as_ref()?.get(name)?.as_deref() };
        let text = |values: &BTreeMap<String, Value>| {
            Some(values.get(columns::NAME)?.as_str()?.to_owned())
        };
        // Rows of `exemplars` have one time each.
        let time = |values: &BTreeMap<String, Value>, name| {
            let value = values
                .get(name)
                .or_else(|| values.get(columns::TIMESTAMP))?;
            value.as_i64()
        };
        let level = tag(LEVEL_TAG).and_then(|t| t.parse().ok()).unwrap_or(0);
        let samples = tag(SAMPLES_TAG).and_then(|t| t.parse().ok()).unwrap_or(0);
        let crc32 = tag(CRC_TAG).and_then(|t| t.parse().ok());
        add.data_change = false;
        Ok(Self {
            path,
            size_bytes,
            date,
            level,
            rows: stats.num_records.unwrap_or(0),
            samples,
            min_name: text(&stats.min_values),
            max_name: text(&stats.max_values),
            min_time_ms: time(&stats.min_values, columns::MIN_TIME).unwrap_or(i64::MIN),
            max_time_ms: time(&stats.max_values, columns::MAX_TIME).unwrap_or(i64::MAX),
            modified_ms: add.modification_time,
            crc32,
            add,
        })
    }

    /// The object's key, given the table's root.
    pub fn key(&self, root: &Path) -> Path {
        join(root, &self.path)
    }
}

/// Appends a relative path, whose parts stay separate.
pub(crate) fn join(root: &Path, relative: &str) -> Path {
    relative
        .split('/')
        .fold(root.clone(), |path, part| path.join(part))
}

/// A file that was live once and whose object may still be needed by readers of older versions.
#[derive(Clone, Debug, PartialEq)]
pub struct Removed {
    /// The path relative to the table's root.
    pub path: String,
    /// When it was removed, in milliseconds.
    pub deleted_ms: i64,
    pub(crate) remove: Remove,
}

/// A table's state at one version; immutable and shared.
#[derive(Clone, Debug)]
pub struct TableSnapshot {
    /// The table's root.
    pub root: Path,
    /// The version of the newest log entry that is part of it; -1 for a table that does not exist (yet).
    pub version: i64,
    /// Live files by their path relative to the root.
    pub files: BTreeMap<String, Arc<TableFile>>,
    /// Files whose removal the log still remembers.
    pub removed: BTreeMap<String, Arc<Removed>>,
    /// Application id to version, from `txn` actions.
    pub txns: BTreeMap<String, i64>,
    pub(crate) txn_times: BTreeMap<String, Option<i64>>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) meta_data: Option<Arc<MetaData>>,
    /// The newest checkpoint that is known, if any.
    pub(crate) checkpoint: Option<i64>,
    /// The time in the newest entry's `commitInfo`.
    pub(crate) committed_ms: Option<i64>,
}

impl TableSnapshot {
    /// The state before the first commit: no files, version -1.
    pub fn empty(root: Path) -> Self {
        Self {
            root,
            version: -1,
            files: BTreeMap::new(),
            removed: BTreeMap::new(),
            txns: BTreeMap::new(),
            txn_times: BTreeMap::new(),
            protocol: None,
            meta_data: None,
            checkpoint: None,
            committed_ms: None,
        }
    }

    /// Whether the table has been created.
    pub fn exists(&self) -> bool {
        self.version >= 0
    }

    /// The id that the table got when it was created.
    pub fn table_id(&self) -> Option<&str> {
        self.meta_data.as_ref().map(|meta| meta.id.as_str())
    }

    /// The version of the newest checkpoint that this snapshot was loaded from or has written.
    pub fn checkpoint_version(&self) -> Option<i64> {
        self.checkpoint
    }

    /// Per WAL shard the last sequence that the table holds.
    pub fn wal_marks(&self) -> BTreeMap<u32, u64> {
        let mark = |(app, version): (&String, &i64)| {
            let shard = app.strip_prefix("wal/")?.parse().ok()?;
            Some((shard, u64::try_from(*version).ok()?))
        };
        self.txns.iter().filter_map(mark).collect()
    }

    /// Live files whose closed range of time meets [`min_ms`, `max_ms`], by path.
    pub fn files_between(&self, min_ms: i64, max_ms: i64) -> impl Iterator<Item = &Arc<TableFile>> {
        self.files
            .values()
            .filter(move |file| file.min_time_ms <= max_ms && file.max_time_ms >= min_ms)
    }

    /// Bytes of all live files.
    pub fn live_bytes(&self) -> u64 {
        self.files.values().map(|file| file.size_bytes).sum()
    }

    /// Applies one action. The order of actions within one version does not matter for valid logs, because a path is
    /// added or removed at most once there.
    pub(super) fn apply(&mut self, action: Action) -> Result<()> {
        if let Some(protocol) = action.protocol {
            if protocol.min_reader_version > READER_VERSION {
                return Err(Error::Unsupported {
                    table: self.root.to_string(),
                    feature: format!("Delta reader version {}", protocol.min_reader_version),
                });
            }
            self.protocol = Some(protocol);
        }
        if let Some(meta_data) = action.meta_data {
            self.meta_data = Some(Arc::new(meta_data));
        }
        if let Some(txn) = action.txn {
            self.txn_times.insert(txn.app_id.clone(), txn.last_updated);
            self.txns.insert(txn.app_id, txn.version);
        }
        if let Some(add) = action.add {
            let file = TableFile::from_add(&self.root, add)?;
            self.removed.remove(&file.path);
            self.files.insert(file.path.clone(), Arc::new(file));
        }
        if let Some(mut remove) = action.remove {
            let path = decode_path(&remove.path).ok_or_else(|| {
                Error::corrupt(
                    format!("{}/{}", self.root, remove.path),
                    "its path in the log is not valid",
                )
            })?;
            self.files.remove(&path);
            remove.data_change = false;
            let removed = Removed {
                path: path.clone(),
                deleted_ms: remove.deletion_timestamp.unwrap_or(0),
                remove,
            };
            self.removed.insert(path, Arc::new(removed));
        }
        if let Some(info) = action.commit_info {
            self.committed_ms = info.timestamp.or(self.committed_ms);
        }
        Ok(())
    }

    /// The least deletion time that a checkpoint of this version remembers. Relative to the commit's own time and not to a
    /// clock, so that all writers of one checkpoint agree.
    pub(super) fn oldest_removal_ms(&self) -> i64 {
        self.committed_ms
            .map_or(i64::MIN, |ms| ms.saturating_sub(REMOVED_RETENTION_MS))
    }

    /// Drops what the next checkpoint would drop: a process that follows the log for months must not grow.
    pub(super) fn forget_old_removals(&mut self) {
        let oldest_ms = self.oldest_removal_ms();
        self.removed
            .retain(|_, removed| removed.deleted_ms >= oldest_ms);
    }

    /// The action that removes a live file.
    pub(super) fn remove_action(file: &TableFile, now_ms: i64, data_change: bool) -> Action {
        Action {
            remove: Some(Remove {
                path: encode_path(&file.path),
                deletion_timestamp: Some(now_ms),
                data_change,
                extended_file_metadata: Some(true),
                partition_values: Some(file.add.partition_values.clone()),
                size: Some(file.add.size),
            }),
            ..Action::default()
        }
    }
}
