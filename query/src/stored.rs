//! A tenant's archive as the engine opens it: one snapshot and one bill per query. Exemplars and metadata are asked for apart from
//! queries, and have no bill.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use varve_storage::store::RequestCounters;
use varve_storage::{MetricMetadata, Store};
use varve_table::{ArchiveReader, ArchiveSnapshot};

use crate::api::backend::Listed;
use crate::engine::{Archive, Bill, Snapshot};
use crate::error::Result;
use crate::exemplars::{
    EXEMPLAR_BYTES_MAX, EXEMPLARS_MAX, ExemplarQuery, NewestExemplars, SeriesExemplars,
    truncation_warning,
};
use crate::result::QueryStats;
use crate::source::{ArchiveParts, ArchiveSource, MetadataCache, SourceCaches, find_exemplars};

/// Tables and WAL in an object store. Share one per process: it holds what queries have in common.
pub struct StoredArchive {
    reader: Arc<ArchiveReader>,
    store: Store,
    caches: Arc<SourceCaches>,
    /// The parts of the latest snapshot; queries between two changes of the archive share them.
    latest: Mutex<Option<(Arc<ArchiveSnapshot>, Arc<ArchiveParts>)>>,
    metadata: MetadataCache,
}

impl fmt::Debug for StoredArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredArchive").finish_non_exhaustive()
    }
}

impl StoredArchive {
    /// The archive that `reader` reads in `store`; does no request.
    pub fn new(reader: Arc<ArchiveReader>, store: Store, caches: Arc<SourceCaches>) -> Self {
        Self {
            reader,
            store,
            caches,
            latest: Mutex::default(),
            metadata: MetadataCache::default(),
        }
    }

    fn parts(&self, snapshot: &Arc<ArchiveSnapshot>) -> Arc<ArchiveParts> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, parts)) = &*latest
            && same(known, snapshot)
        {
            return Arc::clone(parts);
        }
        let parts = Arc::new(ArchiveParts::of(snapshot));
        *latest = Some((Arc::clone(snapshot), Arc::clone(&parts)));
        parts
    }
}

/// Whether two snapshots hold the same files and segments; what did not change is shared between snapshots.
fn same(a: &ArchiveSnapshot, b: &ArchiveSnapshot) -> bool {
    let same_tail = || a.wal.iter().zip(&b.wal).all(|(a, b)| Arc::ptr_eq(a, b));
    Arc::ptr_eq(&a.samples, &b.samples)
        && Arc::ptr_eq(&a.series, &b.series)
        && a.wal.len() == b.wal.len()
        && same_tail()
}

#[async_trait]
impl Archive for StoredArchive {
    async fn open(&self) -> Result<Snapshot> {
        let (objects, counters) = self.store.scoped();
        let snapshot = self.reader.snapshot_with(&objects).await?;
        let source = ArchiveSource::new(self.parts(&snapshot), objects, Arc::clone(&self.caches));
        Ok(Snapshot {
            source: Arc::new(source),
            warnings: snapshot.warnings.clone(),
            bill: Some(Arc::new(RequestBill(counters))),
        })
    }

    async fn exemplars(&self, query: &ExemplarQuery) -> Listed<SeriesExemplars> {
        let objects = self.store.objects();
        let snapshot = self.reader.snapshot().await?;
        let table = self.reader.exemplars_with(&objects).await?;
        let newest = NewestExemplars::new(EXEMPLARS_MAX, EXEMPLAR_BYTES_MAX);
        let (caches, tail) = (&self.caches, &snapshot.wal);
        let newest = find_exemplars(&objects, caches, &table, tail, query, newest).await?;
        let (found, truncated) = newest.into_series();
        let mut warnings = snapshot.warnings.clone();
        warnings.extend(truncated.then(truncation_warning));
        Ok((found, warnings))
    }

    async fn metadata(&self, family: &str) -> Listed<MetricMetadata> {
        let objects = self.store.objects();
        let snapshot = self.reader.snapshot().await?;
        let table = self.metadata.read(&objects, &snapshot.metadata).await?;
        let mut warnings = snapshot.warnings.clone();
        warnings.extend(table.warnings().map(str::to_owned));
        Ok((table.with_tail(&snapshot.wal, family), warnings))
    }
}

/// The requests of one query.
#[derive(Debug)]
struct RequestBill(Arc<RequestCounters>);

impl Bill for RequestBill {
    fn fill(&self, stats: &mut QueryStats) {
        let counts = self.0.snapshot();
        stats.get_requests = counts.get;
        stats.head_requests = counts.head;
        stats.list_requests = counts.list;
        stats.bytes_read = counts.bytes_read;
    }
}

#[cfg(test)]
mod tests;
