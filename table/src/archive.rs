//! One tenant's archive as a query sees it: the tables at one version each, and the WAL behind them.
//!
//! # Consistency
//! A query must see every acknowledged sample exactly once, and the series of every sample that it sees.
//! 1. `samples` is loaded first. Its marks say which segments its files hold.
//! 2. Then `series` and `metadata`, which a compactor commits before `samples`, so that they are never older; and, side by
//!    side, the WAL's segments above the marks.
//! 3. Where segments above the marks have been deleted, the marks were too old: begin again.
//! 4. `exemplars`, which few queries need, is loaded afterwards by those ([`ArchiveReader::exemplars_with`]): it is committed before
//!    `samples`, so that what neither it nor the segments hold is nowhere. It may hold what the segments hold too.
//!
//! # Cost
//! A warm snapshot without news is four GETs for names that do not exist and one more per WAL shard, in two rounds. No LIST.
//! Callers that arrive while others wait share one refresh.

use std::sync::Arc;
use std::time::Instant;

use object_store::ObjectStore;
use tokio::sync::Mutex;
use varve_storage::ErrorKind;
use varve_storage::keys::TenantKeys;
use varve_storage::store::Store;
use varve_storage::wal::{Segment, WalTail};

use crate::delta::{DeltaTable, TableSnapshot};
use crate::error::Result;
use crate::kind::TableKind;

/// Fresh starts after which a WAL that keeps vanishing is reported as an error.
const ATTEMPTS: u32 = 4;

/// What one query reads. Immutable; it stays readable for the grace period.
#[derive(Clone, Debug)]
pub struct ArchiveSnapshot {
    /// The table of samples.
    pub samples: Arc<TableSnapshot>,
    /// The table of series, never older than `samples`.
    pub series: Arc<TableSnapshot>,
    /// The table of metric metadata, never older than `samples`.
    pub metadata: Arc<TableSnapshot>,
    /// Segments that `samples` does not hold yet, by shard and sequence.
    pub wal: Vec<Arc<Segment>>,
    /// What a user should know, such as a segment that cannot be read.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
struct State {
    tail: WalTail,
    /// When the last refresh began, and what it found.
    latest: Option<(Instant, Arc<ArchiveSnapshot>)>,
}

/// Reads one tenant's archive. Share one per process: it holds the snapshots and the decoded end of the WAL.
#[derive(Debug)]
pub struct ArchiveReader {
    store: Store,
    samples: DeltaTable,
    series: DeltaTable,
    metadata: DeltaTable,
    exemplars: DeltaTable,
    state: Mutex<State>,
}

impl ArchiveReader {
    /// A reader that knows nothing yet; does no request.
    pub fn new(store: Store, keys: TenantKeys) -> Self {
        let table =
            |kind: TableKind| DeltaTable::new(store.objects(), keys.table(kind.name()), kind);
        Self {
            samples: table(TableKind::Samples),
            series: table(TableKind::Series),
            metadata: table(TableKind::Metadata),
            exemplars: table(TableKind::Exemplars),
            state: Mutex::new(State {
                tail: WalTail::new(keys),
                latest: None,
            }),
            store,
        }
    }

    /// The archive as it is now, on the store's own counters. Tables that do not exist yet are empty.
    pub async fn snapshot(&self) -> Result<Arc<ArchiveSnapshot>> {
        self.snapshot_with(&self.store.objects()).await
    }

    /// The table of exemplars for a query that has taken a snapshot before: each acknowledged exemplar is in the table or in the
    /// snapshot's segments, and may be in both. Empty where there is no such table. One GET when nothing is new, two without a table.
    pub async fn exemplars_with(
        &self,
        objects: &Arc<dyn ObjectStore>,
    ) -> Result<Arc<TableSnapshot>> {
        self.exemplars.refresh_with(objects).await
    }

    /// As [`Self::snapshot`], through a handle with counters of its own.
    pub async fn snapshot_with(
        &self,
        objects: &Arc<dyn ObjectStore>,
    ) -> Result<Arc<ArchiveSnapshot>> {
        let arrived = Instant::now();
        let mut state = self.state.lock().await;
        if let Some((began, snapshot)) = &state.latest
            && *began >= arrived
        {
            return Ok(Arc::clone(snapshot));
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            let began = Instant::now();
            let samples = self.samples.refresh_with(objects).await?;
            let marks = samples.wal_marks();
            let (series, metadata, tail) = futures::join!(
                self.series.refresh_with(objects),
                self.metadata.refresh_with(objects),
                state.tail.refresh(objects, &marks),
            );
            let tail = match tail {
                Ok(tail) => tail,
                Err(error) if error.kind() == ErrorKind::NotFound && attempt < ATTEMPTS => {
                    tracing::debug!(%error, "segments were consumed and deleted meanwhile, loading the table again");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let snapshot = Arc::new(ArchiveSnapshot {
                samples,
                series: series?,
                metadata: metadata?,
                wal: tail.segments,
                warnings: tail.warnings,
            });
            state.latest = Some((began, Arc::clone(&snapshot)));
            return Ok(snapshot);
        }
    }
}
