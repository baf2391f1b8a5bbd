//! A commit: what it wants, whether a snapshot allows it, and its PUT with every outcome told apart.
//!
//! The guard ([`Commit::check`]) is evaluated on the snapshot whose successor the commit will be. Because the entry
//! is put only if that version does not exist yet, nothing can change between guard and commit: if it succeeds, the
//! guard held on the table's newest version.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions, PutPayload};
use serde_json::Value;
use uuid::Uuid;

use super::actions::{Action, Add, CommitInfo, MetaData, Txn};
use super::entry::{decode_entry, encode_entry, entry_key};
use super::load::get;
use super::snapshot::{TableFile, TableSnapshot};
use crate::error::{Error, Result};
use crate::kind::TableKind;

/// The `txn` application that every rewriting commit advances by one. An engine that checks conflicts by
/// the protocol's own rules then refuses to let two rewrites overlap.
pub const REWRITE_APP: &str = "rewrite";

/// PUTs of one entry before its outcome is reported as unknown.
const PUT_ATTEMPTS: u32 = 4;
const PUT_BACKOFF: Duration = Duration::from_millis(50);

/// The `txn` application of a WAL shard; its version is the last sequence that the table holds.
pub fn wal_app(shard: u32) -> String {
    format!("wal/{shard}")
}

/// What a commit is to change.
#[derive(Clone, Debug)]
pub struct Commit {
    operation: &'static str,
    adds: Vec<Add>,
    removes: Vec<Arc<TableFile>>,
    marks: BTreeMap<u32, (u64, u64)>,
    rewrite: bool,
}

/// How a commit ended, when its end is known.
#[derive(Clone, Debug)]
pub enum CommitOutcome {
    /// It is the newest version of this snapshot.
    Committed(Arc<TableSnapshot>),
    /// Another commit took the version: load the table again and check again.
    Conflict,
    /// The table no longer allows it: somebody else has done the work, or other work. Its files are to be discarded.
    Superseded(String),
}

impl Commit {
    /// New rows.
    pub fn append(operation: &'static str) -> Self {
        Self {
            operation,
            adds: Vec::new(),
            removes: Vec::new(),
            marks: BTreeMap::new(),
            rewrite: false,
        }
    }

    /// The same rows in other files.
    pub fn rewrite(operation: &'static str) -> Self {
        Self {
            rewrite: true,
            ..Self::append(operation)
        }
    }

    /// Adds a file.
    #[must_use]
    pub fn add_file(mut self, add: Add) -> Self {
        self.adds.push(add);
        self
    }

    /// Removes a file, which must be live.
    #[must_use]
    pub fn remove_file(mut self, file: Arc<TableFile>) -> Self {
        self.removes.push(file);
        self
    }

    /// Advances a WAL mark, which must stand at `from` (0 for a shard that the table has never seen).
    #[must_use]
    pub fn advance(mut self, shard: u32, from: u64, to: u64) -> Self {
        self.marks.insert(shard, (from, to));
        self
    }

    /// The guard: whether `base` allows this commit; else why not.
    pub fn check(&self, base: &TableSnapshot) -> Result<(), String> {
        for file in &self.removes {
            match base.files.get(&file.path) {
                Some(live) if live.add == file.add => {}
                _ => return Err(format!("{} is no longer live", file.path)),
            }
        }
        for add in &self.adds {
            if base.files.contains_key(&add.path) {
                return Err(format!("{} is already live", add.path));
            }
        }
        let marks = base.wal_marks();
        for (shard, (from, to)) in &self.marks {
            let mark = marks.get(shard).copied().unwrap_or(0);
            if mark != *from || to <= from {
                return Err(format!(
                    "the mark of WAL shard {shard} is {mark} and not {from}"
                ));
            }
        }
        Ok(())
    }

    fn encode(
        &self,
        base: &TableSnapshot,
        kind: TableKind,
        txn_id: &str,
        now_ms: i64,
    ) -> Result<Vec<u8>> {
        let txn = |app_id: String, version: i64| Action {
            txn: Some(Txn {
                app_id,
                version,
                last_updated: Some(now_ms),
            }),
            ..Action::default()
        };
        let mut actions = Vec::new();
        // A table that an older Varve made gets the columns that it lacks before a file may have them.
        if let Some(meta_data) = base.meta_data.as_deref()
            && let Some(schema_string) = kind.with_new_columns(&meta_data.schema_string)
        {
            actions.push(Action {
                meta_data: Some(MetaData {
                    schema_string,
                    ..meta_data.clone()
                }),
                ..Action::default()
            });
        }
        let mut marks = base.wal_marks();
        for (shard, (_, to)) in &self.marks {
            let version = i64::try_from(*to).map_err(|e| Error::encode("a WAL mark", e))?;
            actions.push(txn(wal_app(*shard), version));
            marks.insert(*shard, *to);
        }
        if self.rewrite {
            let last = base.txns.get(REWRITE_APP).copied().unwrap_or(0);
            actions.push(txn(REWRITE_APP.to_owned(), last + 1));
        }
        for file in &self.removes {
            actions.push(TableSnapshot::remove_action(file, now_ms, !self.rewrite));
        }
        for add in &self.adds {
            actions.push(Action {
                add: Some(Add {
                    data_change: !self.rewrite,
                    ..add.clone()
                }),
                ..Action::default()
            });
        }
        let parameters = [("added", self.adds.len()), ("removed", self.removes.len())];
        let info = CommitInfo {
            timestamp: Some(now_ms),
            operation: Some(self.operation.to_owned()),
            operation_parameters: Some(
                parameters
                    .into_iter()
                    .map(|(name, count)| (name.to_owned(), Value::from(count.to_string())))
                    .collect(),
            ),
            engine_info: Some(engine_info()),
            txn_id: Some(txn_id.to_owned()),
            is_blind_append: Some(!self.rewrite),
            marks: Some(
                marks
                    .into_iter()
                    .map(|(shard, mark)| (shard.to_string(), mark))
                    .collect(),
            ),
            crc32: None,
        };
        encode_entry(info, &actions)
    }

    /// Tries to make this commit the successor of `base`.
    pub(super) async fn put(
        &self,
        store: &dyn ObjectStore,
        base: &TableSnapshot,
        kind: TableKind,
        now_ms: i64,
    ) -> Result<CommitOutcome> {
        if let Err(reason) = self.check(base) {
            return Ok(CommitOutcome::Superseded(reason));
        }
        let txn_id = Uuid::new_v4().to_string();
        let bytes = Bytes::from(self.encode(base, kind, &txn_id, now_ms)?);
        let key = entry_key(&base.root, base.version + 1);
        if !put_entry(store, &key, &bytes, &txn_id).await? {
            return Ok(CommitOutcome::Conflict);
        }
        let mut next = base.clone();
        for action in decode_entry(&key, &bytes)? {
            next.apply(action)?;
        }
        next.version += 1;
        Ok(CommitOutcome::Committed(Arc::new(next)))
    }
}

/// What this writer calls itself in `commitInfo`.
pub(super) fn engine_info() -> String {
    concat!("Varve/", env!("CARGO_PKG_VERSION")).to_owned()
}

/// Creates a log entry: true if it is ours, false if the version belongs to somebody else.
///
/// "Already exists" may be our own earlier PUT whose response was lost, and any other error may hide a PUT that took
/// effect, so both are settled by reading back. Only where nothing can be read back is the outcome unknown.
pub(super) async fn put_entry(
    store: &dyn ObjectStore,
    key: &Path,
    bytes: &Bytes,
    txn_id: &str,
) -> Result<bool> {
    let mut reason = String::new();
    for attempt in 0..PUT_ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(PUT_BACKOFF * 2u32.pow(attempt - 1)).await;
        }
        let options = PutOptions::from(PutMode::Create);
        match store
            .put_opts(key, PutPayload::from(bytes.clone()), options)
            .await
        {
            Ok(_) => return Ok(true),
            Err(
                source @ (object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. }
                | object_store::Error::NotImplemented { .. }
                | object_store::Error::NotSupported { .. }
                | object_store::Error::InvalidPath { .. }),
            ) => return Err(Error::store("write", key, source)),
            Err(source) => {
                tracing::debug!(%key, error = %source, "log entry not confirmed, reading it back");
                reason = source.to_string();
            }
        }
        match get(store, key).await {
            Ok(Some(found)) => return is_ours(key, &found, txn_id),
            // Refused, yet not there: a rival's conditional PUT is still under way, or ours was lost.
            Ok(None) => {}
            Err(error) => reason = error.to_string(),
        }
    }
    Err(Error::CommitUnknown {
        key: key.to_string(),
        reason,
    })
}

fn is_ours(key: &Path, found: &[u8], txn_id: &str) -> Result<bool> {
    let actions = decode_entry(key, found)?;
    Ok(actions
        .iter()
        .filter_map(|action| action.commit_info.as_ref()?.txn_id.as_deref())
        .any(|id| id == txn_id))
}
