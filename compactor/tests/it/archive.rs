//! An archive in memory, what was written to it, and what can be read from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use uuid::Uuid;
use varve_compactor::{Compactor, CompactorOptions, RunOptions};
use varve_storage::keys::TenantKeys;
use varve_storage::rows::{SampleRows, SampleSet};
use varve_storage::store::Store;
use varve_storage::wal::{SegmentContent, encode_segment};
use varve_storage::{
    Labels, MetricMetadata, MetricType, SampleValue, Series, SeriesRef, sample::compare_duplicates,
};
use varve_table::rows::{decode_metadata, decode_series};
use varve_table::{ArchiveReader, ArchiveSnapshot, SortedRows, TableKind, TableSnapshot};

/// 2026-11-23 12:00 UTC, the beginning of a window.
pub(crate) const NOON_MS: i64 = 1_795_435_200_000;
pub(crate) const HOUR_MS: i64 = 3_600_000;

/// Series by number, time, bits of the value: everything that can be told apart.
pub(crate) type Samples = BTreeMap<(String, i64), u64>;

pub(crate) fn series(number: usize) -> SeriesRef {
    let metric = format!("metric_{}", number % 3);
    let instance = number.to_string();
    Arc::new(Series::new(Labels::from_pairs([
        ("__name__", metric.as_str()),
        ("instance", instance.as_str()),
        ("Job", "test"),
    ])))
}

/// One sample: series number, time, value.
pub(crate) type Sample = (usize, i64, f64);

pub(crate) struct Archive {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) keys: TenantKeys,
    /// What was acknowledged, duplicates resolved.
    pub(crate) expected: Samples,
    /// Samples per segment, duplicates within one segment resolved.
    pub(crate) sent: u64,
    next: BTreeMap<u32, u64>,
}

impl Archive {
    pub(crate) fn new() -> Self {
        Self {
            objects: Arc::new(InMemory::new()),
            keys: TenantKeys::default(),
            expected: Samples::new(),
            sent: 0,
            next: BTreeMap::new(),
        }
    }

    /// Puts one segment.
    pub(crate) async fn segment(&mut self, shard: u32, samples: &[Sample]) {
        let mut set = SampleSet::default();
        for (number, time, value) in samples {
            let series = series(*number);
            set.push(&series, *time, &SampleValue::Float(*value)).unwrap();
            let slot = self.expected.entry((series.labels.to_string(), *time));
            slot.and_modify(|bits| {
                if compare_duplicates(*value, f64::from_bits(*bits)).is_gt() {
                    *bits = value.to_bits();
                }
            })
            .or_insert(value.to_bits());
        }
        let rows = set.into_rows();
        self.sent += rows.iter().map(|row| row.len() as u64).sum::<u64>();
        let content = SegmentContent {
            rows,
            metadata: vec![MetricMetadata {
                family: "metric_0".to_owned(),
                kind: MetricType::Gauge,
                unit: String::new(),
                help: format!("help of shard {shard}"),
            }],
            exemplars: Vec::new(),
        };
        let sequence = self.next.entry(shard).or_insert(1);
        let bytes = encode_segment(Uuid::from_u128(7), shard, *sequence, &content).unwrap();
        let key = self.keys.wal_segment(shard, *sequence);
        self.objects.put(&key, bytes.into()).await.unwrap();
        *sequence += 1;
    }

    /// Four segments on two shards with `series` series, in the window that begins at noon.
    pub(crate) async fn fill(&mut self, series: usize) {
        for i in 0..4i64 {
            let samples: Vec<Sample> = (0..series)
                .flat_map(|s| (0..3).map(move |k| (s, NOON_MS + (i * 3 + k) * 15_000, (s as i64 * 100 + i * 3 + k) as f64)))
                .collect();
            self.segment((i % 2) as u32, &samples).await;
        }
    }

    pub(crate) fn compactor(&self, options: CompactorOptions) -> Compactor {
        self.compactor_on(Arc::clone(&self.objects), options)
    }

    pub(crate) fn compactor_on(
        &self,
        objects: Arc<dyn ObjectStore>,
        options: CompactorOptions,
    ) -> Compactor {
        Compactor::new(
            Store::from_object_store(objects),
            self.keys.clone(),
            options,
        )
    }

    pub(crate) async fn snapshot(&self) -> Arc<ArchiveSnapshot> {
        let store = Store::from_object_store(Arc::clone(&self.objects));
        ArchiveReader::new(store, self.keys.clone())
            .snapshot()
            .await
            .unwrap()
    }

    /// Every batch of a table's live files.
    pub(crate) async fn batches(
        &self,
        kind: TableKind,
        snapshot: &TableSnapshot,
    ) -> Vec<(Arc<varve_table::TableFile>, arrow::array::RecordBatch)> {
        let mut out = Vec::new();
        for file in snapshot.files.values() {
            let mut rows = SortedRows::open(&self.objects, &snapshot.root, kind, file, 64)
                .await
                .unwrap();
            while let Some(batch) = rows.next().await.unwrap() {
                out.push((Arc::clone(file), batch));
            }
        }
        out
    }

    /// Reads table and WAL and checks every invariant: each sample exactly once, bounds, order, series rows, metadata.
    pub(crate) async fn check(&self) {
        let snapshot = self.snapshot().await;
        let mut found = Samples::new();
        let mut count = |samples: &arrow::array::RecordBatch, once: bool| {
            let rows = SampleRows::new(samples).unwrap();
            for row in rows.iter() {
                let labels = row.labels().unwrap().to_string();
                for (time, value) in row.timestamps().iter().zip(row.values()) {
                    let old = found.insert((labels.clone(), *time), value.to_bits());
                    assert!(old.is_none() || !once, "{labels} {time} is there twice");
                }
            }
        };
        let mut in_table = 0u64;
        for (file, batch) in self.batches(TableKind::Samples, &snapshot.samples).await {
            let rows = SampleRows::new(&batch).unwrap();
            in_table += rows.samples() as u64;
            for row in rows.iter() {
                let times = row.timestamps();
                let (min, max) = (times[0], times[times.len() - 1]);
                assert!(file.min_time_ms <= min && max <= file.max_time_ms);
                assert_eq!(min.div_euclid(2 * HOUR_MS), max.div_euclid(2 * HOUR_MS));
                let day = chrono::DateTime::from_timestamp_millis(min).unwrap().date_naive();
                assert_eq!(day, file.date);
                assert!(file.min_name.as_deref().unwrap() <= row.name());
                assert!(file.max_name.as_deref().unwrap() >= row.name());
            }
            count(&batch, false);
        }
        for segment in &snapshot.wal {
            count(&segment.samples, false);
        }
        assert_eq!(found.len(), self.expected.len());
        let mut wrong = 0;
        for (key, bits) in &found {
            wrong += usize::from(self.expected.get(key) != Some(bits));
        }
        // Duplicates between files are the reader's to resolve; without any, every value must be right.
        if in_table as usize + wal_samples(&snapshot) == self.expected.len() {
            assert_eq!(wrong, 0);
        }
        let mut counted = 0;
        let mut known = std::collections::BTreeSet::new();
        for (_, batch) in self.batches(TableKind::Series, &snapshot.series).await {
            for row in decode_series("series", &batch).unwrap() {
                counted += row.samples;
                known.insert(row.series.labels.to_string());
            }
        }
        for ((labels, _), _) in found.iter().take(50) {
            let in_wal = snapshot
                .wal
                .iter()
                .any(|s| s.series.iter().any(|series| series.labels.to_string() == *labels));
            assert!(in_wal || known.contains(labels), "{labels} is not in series");
        }
        if snapshot.wal.is_empty() {
            assert_eq!(counted as u64, self.sent, "series count samples wrongly");
        }
        let mut metadata = Vec::new();
        for (_, batch) in self.batches(TableKind::Metadata, &snapshot.metadata).await {
            metadata.extend(decode_metadata("metadata", &batch).unwrap());
        }
        let shards = self.next.len();
        metadata.sort();
        metadata.dedup();
        if snapshot.wal.is_empty() {
            assert_eq!(metadata.len(), shards);
        }
    }

    /// As [`Self::check`], and no sample may lie in two places.
    pub(crate) async fn check_exactly_once(&self) {
        self.check().await;
        let snapshot = self.snapshot().await;
        let in_table: u64 = snapshot.samples.files.values().map(|f| f.samples).sum();
        assert_eq!(in_table as usize + wal_samples(&snapshot), self.expected.len());
    }
}

fn wal_samples(snapshot: &ArchiveSnapshot) -> usize {
    snapshot.wal.iter().map(|segment| segment.sample_count).sum()
}

/// Options without waiting: everything may be deleted at once.
pub(crate) fn eager() -> CompactorOptions {
    CompactorOptions::default()
}

pub(crate) fn at(now_ms: i64) -> RunOptions {
    RunOptions {
        now_ms: Some(now_ms),
        ..RunOptions::default()
    }
}
