//! One Delta table: its current snapshot, and the ways to change it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::actions::{Action, CommitInfo, Format, MetaData, Protocol};
use super::checkpoint;
use super::commit::{Commit, CommitOutcome, engine_info, put_entry};
use super::entry::{checkpoint_key, encode_entry, entry_key, last_checkpoint_key, log_folder};
use super::load;
use super::snapshot::{READER_VERSION, TableSnapshot, WRITER_VERSION};
use crate::error::{Error, Result};
use crate::kind::TableKind;
use varve_storage::columns;

/// A reader that has been idle for longer loads from the checkpoint again: the entry that it would ask for next may
/// have been cleaned up, and "not found" would then look like "nothing new". The clean-up keeps entries at least
/// four times as long (see [`super::CleanUpOptions`]).
const IDLE_MAX: Duration = Duration::from_secs(6 * 3600);
/// A commit on a snapshot that was loaded longer ago is verified after its PUT.
const LATE: Duration = Duration::from_secs(3600);
/// Rounds of reload and retry before a commit gives up: each lost round is another writer's progress.
const CONFLICT_ROUNDS: u32 = 100;

#[derive(Debug)]
struct State {
    snapshot: Arc<TableSnapshot>,
    /// When the refresh that produced the snapshot began.
    started: Instant,
    /// The same by the wall clock, which goes on while a function is frozen.
    started_at: SystemTime,
}

/// A Delta table under a root in an object store. Cheap to create; the first refresh does the first request.
#[derive(Debug)]
pub struct DeltaTable {
    store: Arc<dyn ObjectStore>,
    root: Path,
    kind: TableKind,
    state: Mutex<Option<State>>,
}

impl DeltaTable {
    /// A table that may or may not exist yet.
    pub fn new(store: Arc<dyn ObjectStore>, root: Path, kind: TableKind) -> Self {
        Self {
            store,
            root,
            kind,
            state: Mutex::new(None),
        }
    }

    /// Opens a table and creates it where it does not exist.
    pub async fn open_or_create(
        store: Arc<dyn ObjectStore>,
        root: Path,
        kind: TableKind,
        now_ms: i64,
    ) -> Result<Self> {
        let table = Self::new(store, root, kind);
        table.create_if_missing(now_ms).await?;
        Ok(table)
    }

    /// The table's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which table it is.
    pub fn kind(&self) -> TableKind {
        self.kind
    }

    /// The object store that writes go to.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The newest version. One GET when nothing is new; a table that does not exist has an empty snapshot.
    pub async fn refresh(&self) -> Result<Arc<TableSnapshot>> {
        self.refresh_with(&self.store).await
    }

    /// As [`Self::refresh`], through another handle on the same store (which may meter differently). Callers that
    /// arrive while a refresh waits for its turn share it.
    pub async fn refresh_with(&self, store: &Arc<dyn ObjectStore>) -> Result<Arc<TableSnapshot>> {
        let arrived = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(state) = state.as_ref().filter(|state| state.started >= arrived) {
            return Ok(Arc::clone(&state.snapshot));
        }
        let started = Instant::now();
        let started_at = SystemTime::now();
        let warm = state.as_ref().filter(|state| {
            state.snapshot.exists()
                && started_at
                    .duration_since(state.started_at)
                    .is_ok_and(|idle| idle < IDLE_MAX)
        });
        let snapshot = match warm {
            None => Arc::new(load::load(store, &self.root).await?),
            Some(warm) => match load::advance(store, &warm.snapshot).await? {
                None => Arc::clone(&warm.snapshot),
                Some(next) => Arc::new(next),
            },
        };
        *state = Some(State {
            snapshot: Arc::clone(&snapshot),
            started,
            started_at,
        });
        Ok(snapshot)
    }

    /// Creates the table where it does not exist; another writer may do so at the same time.
    pub async fn create_if_missing(&self, now_ms: i64) -> Result<Arc<TableSnapshot>> {
        let snapshot = self.refresh().await?;
        if snapshot.exists() {
            return Ok(snapshot);
        }
        // A log without its beginning must not be started a second time. This LIST happens once in a table's life.
        let folder = log_folder(&self.root);
        let mut listed = self.store.list(Some(&folder));
        let found = listed
            .try_next()
            .await
            .map_err(|e| Error::store("list", &folder, e))?;
        drop(listed);
        if found.is_some() {
            let snapshot = self.refresh().await?;
            if snapshot.exists() {
                return Ok(snapshot);
            }
            return Err(Error::LogIncomplete {
                table: self.root.to_string(),
                key: last_checkpoint_key(&self.root).to_string(),
            });
        }
        let txn_id = Uuid::new_v4().to_string();
        let bytes = Bytes::from(self.first_entry(&txn_id, now_ms)?);
        let key = entry_key(&self.root, 0);
        if put_entry(self.store.as_ref(), &key, &bytes, &txn_id).await? {
            tracing::info!(table = %self.root, "created table");
        }
        self.refresh().await
    }

    fn first_entry(&self, txn_id: &str, now_ms: i64) -> Result<Vec<u8>> {
        let meta_data = MetaData {
            id: Uuid::new_v4().to_string(),
            name: Some(self.kind.name().to_owned()),
            description: None,
            format: Format {
                provider: "parquet".to_owned(),
                options: BTreeMap::new(),
            },
            schema_string: self.kind.schema_string(),
            partition_columns: vec![columns::DATE.to_owned()],
            created_time: Some(now_ms),
            configuration: BTreeMap::new(),
        };
        let protocol = Protocol {
            min_reader_version: READER_VERSION,
            min_writer_version: WRITER_VERSION,
        };
        let info = CommitInfo {
            timestamp: Some(now_ms),
            operation: Some("CREATE TABLE".to_owned()),
            operation_parameters: Some(BTreeMap::new()),
            engine_info: Some(engine_info()),
            txn_id: Some(txn_id.to_owned()),
            is_blind_append: Some(true),
            ..CommitInfo::default()
        };
        let actions = [
            Action {
                protocol: Some(protocol),
                ..Action::default()
            },
            Action {
                meta_data: Some(meta_data),
                ..Action::default()
            },
        ];
        encode_entry(info, &actions)
    }

    /// Tries once to make `commit` the successor of `base`. The guard is checked on `base`.
    pub async fn try_commit(
        &self,
        base: &TableSnapshot,
        commit: &Commit,
        now_ms: i64,
    ) -> Result<CommitOutcome> {
        if !base.exists() {
            return Err(Error::NoTable {
                table: self.root.to_string(),
            });
        }
        if let Some(protocol) = &base.protocol
            && protocol.min_writer_version > WRITER_VERSION
        {
            return Err(Error::Unsupported {
                table: self.root.to_string(),
                feature: format!("Delta writer version {}", protocol.min_writer_version),
            });
        }
        let loaded_at = {
            let state = self.state.lock().await;
            let current = state
                .as_ref()
                .filter(|s| s.snapshot.version == base.version);
            current.map_or(SystemTime::UNIX_EPOCH, |state| state.started_at)
        };
        let store = self.store.as_ref();
        let outcome = commit.put(store, base, self.kind, now_ms).await?;
        let late = SystemTime::now()
            .duration_since(loaded_at)
            .is_ok_and(|age| age >= LATE);
        if late && matches!(outcome, CommitOutcome::Committed(_)) {
            self.check_not_late(base).await?;
        }
        if let CommitOutcome::Committed(next) = &outcome
            && let Some(state) = self.state.lock().await.as_mut()
            && state.snapshot.version < next.version
        {
            state.snapshot = Arc::clone(next);
        }
        Ok(outcome)
    }

    /// Undoes a commit that a sleeper put where the clean-up had made room.
    ///
    /// Entries are deleted in ascending order and behind a checkpoint. So if the entry of `base` is gone, ours may be one that had been
    /// taken, and deleted: nobody will read it, and its name is given back.
    async fn check_not_late(&self, base: &TableSnapshot) -> Result<()> {
        let before = entry_key(&self.root, base.version);
        if load::get(self.store.as_ref(), &before).await?.is_some() {
            return Ok(());
        }
        let ours = entry_key(&self.root, base.version + 1);
        self.store
            .delete(&ours)
            .await
            .map_err(|e| Error::store("delete", &ours, e))?;
        *self.state.lock().await = None;
        Err(Error::CommitUnknown {
            key: ours.to_string(),
            reason: "this process slept for so long that the log was cleaned up meanwhile"
                .to_owned(),
        })
    }

    /// Commits on the newest version: after a conflict the table is loaded again and the guard decides anew whether
    /// the commit still makes sense. Never returns [`CommitOutcome::Conflict`].
    pub async fn commit(&self, commit: &Commit, now_ms: i64) -> Result<CommitOutcome> {
        for _ in 0..CONFLICT_ROUNDS {
            let base = self.refresh().await?;
            match self.try_commit(&base, commit, now_ms).await? {
                CommitOutcome::Conflict => {
                    tracing::debug!(table = %self.root, version = base.version + 1, "lost a version to another writer");
                }
                decided => return Ok(decided),
            }
        }
        Ok(CommitOutcome::Superseded(format!(
            "{CONFLICT_ROUNDS} versions in a row went to other writers"
        )))
    }

    /// Writes the checkpoint of a snapshot, then the pointer to it unless that already names a newer one.
    pub async fn checkpoint(&self, snapshot: &TableSnapshot) -> Result<()> {
        if !snapshot.exists() {
            return Ok(());
        }
        let encoded = checkpoint::encode(snapshot)?;
        let key = checkpoint_key(&self.root, snapshot.version);
        self.store
            .put(&key, PutPayload::from(encoded.checkpoint))
            .await
            .map_err(|e| Error::store("write", &key, e))?;
        let key = last_checkpoint_key(&self.root);
        if let Some(bytes) = load::get(self.store.as_ref(), &key).await?
            && checkpoint::decode_pointer(&key, &bytes).is_ok_and(|v| v >= snapshot.version)
        {
            return Ok(());
        }
        self.store
            .put(&key, PutPayload::from(encoded.pointer))
            .await
            .map_err(|e| Error::store("write", &key, e))?;
        if let Some(state) = self.state.lock().await.as_mut() {
            let mut newer = TableSnapshot::clone(&state.snapshot);
            newer.checkpoint = newer.checkpoint.max(Some(snapshot.version));
            state.snapshot = Arc::new(newer);
        }
        tracing::debug!(table = %self.root, version = snapshot.version, files = snapshot.files.len(), "wrote checkpoint");
        Ok(())
    }
}
