//! An archive in memory, and what is in its WAL.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use varve_storage::keys::TenantKeys;
use varve_storage::rows::SampleRows;
use varve_storage::sample::compare_duplicate_values;
use varve_storage::wal::{Segment, WalOptions, WalWriter, decode_segment};
use varve_storage::{Labels, SampleValue};
use varve_tsdb::ImportTarget;

/// Samples by series and time.
pub(crate) type Samples = BTreeMap<Labels, BTreeMap<i64, SampleValue>>;

pub(crate) struct Archive {
    pub(crate) objects: Arc<dyn ObjectStore>,
    writer: WalWriter,
}

impl Archive {
    pub(crate) async fn new() -> Self {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let options = WalOptions::default();
        let writer = WalWriter::open(Arc::clone(&objects), TenantKeys::default(), 0, options);
        Self {
            writer: writer.await.unwrap(),
            objects,
        }
    }

    pub(crate) fn target(&self) -> ImportTarget<'_> {
        ImportTarget {
            objects: Arc::clone(&self.objects),
            keys: TenantKeys::default(),
            writer: &self.writer,
        }
    }

    pub(crate) fn samples_written(&self) -> u64 {
        self.writer.metrics().snapshot().samples
    }

    pub(crate) fn bytes_written(&self) -> u64 {
        self.writer.metrics().snapshot().encoded_bytes
    }

    pub(crate) async fn segments(&self) -> Vec<Segment> {
        let folder = TenantKeys::default().wal_shard(0);
        let listed = self.objects.list(Some(&folder));
        let listed: Vec<_> = listed.try_collect().await.unwrap();
        let mut segments = Vec::new();
        for meta in listed {
            let bytes = self.objects.get(&meta.location).await.unwrap();
            let bytes = bytes.bytes().await.unwrap();
            segments.push(decode_segment(&meta.location, bytes).unwrap());
        }
        segments
    }

    /// Everything, of duplicates the one that stands.
    pub(crate) async fn samples(&self) -> Samples {
        let mut samples = Samples::new();
        for segment in self.segments().await {
            let rows = SampleRows::new(&segment.samples).unwrap();
            for (row, series) in rows.iter().zip(&segment.series) {
                let own = samples.entry(series.labels.clone()).or_default();
                for (index, time) in row.timestamps().iter().enumerate() {
                    let value = row.value(index).unwrap();
                    let stands = own
                        .get(time)
                        .is_none_or(|known| compare_duplicate_values(known, &value).is_lt());
                    if stands {
                        own.insert(*time, value);
                    }
                }
            }
        }
        samples
    }
}
