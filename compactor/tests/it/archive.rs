//! An archive in memory, what was written to it, and what can be read from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use uuid::Uuid;
use varve_compactor::{Compactor, CompactorOptions, RunOptions};
use varve_storage::exemplar::decode_exemplars;
use varve_storage::keys::TenantKeys;
use varve_storage::rows::{SampleRows, SampleSet};
use varve_storage::store::Store;
use varve_storage::store::fault::{Fault, FaultStore, RequestClass};
use varve_storage::wal::{Segment, SegmentContent, encode_segment};
use varve_storage::{
    Exemplar, Labels, MetricMetadata, MetricType, SampleValue, Series, SeriesRef,
    sample::compare_duplicates,
};
use varve_table::rows::{decode_metadata, decode_series};
use varve_table::{
    ArchiveReader, ArchiveSnapshot, DeltaTable, SortedRows, TableKind, TableSnapshot,
};

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

/// The exemplar of a sample, of the same time and value; only series of even numbers have any.
pub(crate) fn exemplar((number, time, value): Sample) -> Option<Exemplar> {
    let trace = format!("{number}/{time}");
    (number % 2 == 0).then(|| Exemplar {
        series: series(number),
        labels: Labels::from_pairs([("trace_id", trace.as_str())]),
        timestamp_ms: time,
        value,
    })
}

/// An exemplar as text: everything that can be told apart.
fn text(exemplar: &Exemplar) -> String {
    let (series, labels) = (&exemplar.series.labels, &exemplar.labels);
    let (time, bits) = (exemplar.timestamp_ms, exemplar.value.to_bits());
    format!("{series} {labels} {time} {bits:x}")
}

pub(crate) struct Archive {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) keys: TenantKeys,
    /// What was acknowledged, duplicates resolved.
    pub(crate) expected: Samples,
    /// Samples per segment, duplicates within one segment resolved.
    pub(crate) sent: u64,
    /// Exemplars that were acknowledged, as texts.
    pub(crate) exemplars: BTreeSet<String>,
    next: BTreeMap<u32, u64>,
}

impl Archive {
    pub(crate) fn new() -> Self {
        Self {
            objects: Arc::new(InMemory::new()),
            keys: TenantKeys::default(),
            expected: Samples::new(),
            sent: 0,
            exemplars: BTreeSet::new(),
            next: BTreeMap::new(),
        }
    }

    /// Runs a compactor that dies right after it has written an object whose key ends so.
    pub(crate) async fn compactor_dies_after(&self, key_end: &str) {
        let probe = self.copy().await;
        let store = FaultStore::new(Arc::clone(&probe.objects));
        let compactor = probe.compactor_on(Arc::new(store.clone()), options());
        compactor.run_once(&at(NOON_MS)).await.unwrap();
        let log = store.log();
        let last = log
            .iter()
            .position(|r| r.class == RequestClass::Put && r.key.ends_with(key_end))
            .unwrap();
        let store = FaultStore::new(Arc::clone(&self.objects));
        for number in last + 1..log.len() + 100 {
            store.fail_request(number, Fault::Before);
        }
        let compactor = self.compactor_on(Arc::new(store), options());
        compactor.run_once(&at(NOON_MS)).await.unwrap_err();
    }

    /// The same archive in a store of its own.
    pub(crate) async fn copy(&self) -> Self {
        let copy = Self {
            objects: Arc::new(InMemory::new()),
            keys: self.keys.clone(),
            expected: self.expected.clone(),
            sent: self.sent,
            exemplars: self.exemplars.clone(),
            next: self.next.clone(),
        };
        let objects: Vec<_> = self.objects.list(None).try_collect().await.unwrap();
        for object in objects {
            let object = self.objects.get(&object.location).await.unwrap();
            let key = object.meta.location.clone();
            let bytes = object.bytes().await.unwrap();
            copy.objects.put(&key, bytes.into()).await.unwrap();
        }
        copy
    }

    /// Puts one segment: samples with their exemplars.
    pub(crate) async fn segment(&mut self, shard: u32, samples: &[Sample]) {
        let mut set = SampleSet::default();
        for (number, time, value) in samples {
            let series = series(*number);
            set.push(&series, *time, &SampleValue::Float(*value))
                .unwrap();
            stand(
                &mut self.expected,
                (series.labels.to_string(), *time),
                *value,
            );
        }
        let rows = set.into_rows();
        self.sent += rows.iter().map(|row| row.len() as u64).sum::<u64>();
        let mut exemplars: Vec<Exemplar> = samples.iter().copied().filter_map(exemplar).collect();
        exemplars.sort_by(Exemplar::total_cmp);
        exemplars.dedup_by(|a, b| a.total_cmp(b).is_eq());
        self.exemplars.extend(exemplars.iter().map(text));
        let content = SegmentContent {
            rows,
            metadata: vec![MetricMetadata {
                family: "metric_0".to_owned(),
                kind: MetricType::Gauge,
                unit: String::new(),
                help: format!("help of shard {shard}"),
            }],
            exemplars,
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
                .flat_map(|s| {
                    (0..3).map(move |k| {
                        (
                            s,
                            NOON_MS + (i * 3 + k) * 15_000,
                            (s as i64 * 100 + i * 3 + k) as f64,
                        )
                    })
                })
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

    /// The table of exemplars.
    pub(crate) async fn exemplars_table(&self) -> Arc<TableSnapshot> {
        let (root, kind) = (self.keys.table("exemplars"), TableKind::Exemplars);
        let table = DeltaTable::new(Arc::clone(&self.objects), root, kind);
        table.refresh().await.unwrap()
    }

    /// Exemplars in table files, and in segments above the table's marks; checks bounds and order.
    async fn stored_exemplars(&self, wal: &[Arc<Segment>]) -> Vec<String> {
        let table = self.exemplars_table().await;
        let mut found = Vec::new();
        let mut last: Option<(String, Exemplar)> = None;
        for (file, batch) in self.batches(TableKind::Exemplars, &table).await {
            for exemplar in decode_exemplars(&batch).unwrap() {
                let (time, name) = (exemplar.timestamp_ms, exemplar.series.labels.metric_name());
                assert!(file.min_time_ms <= time && time <= file.max_time_ms);
                let day = chrono::DateTime::from_timestamp_millis(time).unwrap();
                assert_eq!(day.date_naive(), file.date);
                assert!(file.min_name.as_deref().unwrap() <= name);
                assert!(file.max_name.as_deref().unwrap() >= name);
                if let Some((path, last)) = &last {
                    assert!(*path != file.path || last.total_cmp(&exemplar).is_lt());
                }
                found.push(text(&exemplar));
                last = Some((file.path.clone(), exemplar));
            }
        }
        let marks = table.wal_marks();
        let mark = |shard| marks.get(&shard).copied().unwrap_or(0);
        for segment in wal.iter().filter(|s| s.sequence > mark(s.shard)) {
            found.extend(segment.exemplars.iter().map(text));
        }
        found
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

    /// Reads table and WAL and checks every invariant: each sample and exemplar exactly once, bounds, order, series rows, metadata.
    pub(crate) async fn check_exactly_once(&self) {
        let snapshot = self.check_values().await;
        let in_table: u64 = snapshot.samples.files.values().map(|f| f.samples).sum();
        assert_eq!(
            in_table as usize + wal_samples(&snapshot),
            self.expected.len(),
            "samples lie in two places"
        );
        let exemplars = self.stored_exemplars(&snapshot.wal).await;
        assert_eq!(
            exemplars.len(),
            self.exemplars.len(),
            "exemplars lie in two places"
        );
        if !snapshot.wal.is_empty() {
            return;
        }
        let mut counted = 0;
        for (_, batch) in self.batches(TableKind::Series, &snapshot.series).await {
            let rows = decode_series("series", &batch).unwrap();
            counted += rows.iter().map(|row| row.samples).sum::<i64>();
        }
        assert_eq!(counted as u64, self.sent, "series count samples wrongly");
    }

    /// As [`Self::check_exactly_once`], but a sample may be in several files, as after a repeated delivery.
    pub(crate) async fn check_values(&self) -> Arc<ArchiveSnapshot> {
        let snapshot = self.snapshot().await;
        let mut found = Samples::new();
        let mut take = |samples: &arrow::array::RecordBatch| {
            let rows = SampleRows::new(samples).unwrap();
            for row in rows.iter() {
                let labels = row.labels().unwrap().to_string();
                for (time, value) in row.timestamps().iter().zip(row.values()) {
                    stand(&mut found, (labels.clone(), *time), *value);
                }
            }
        };
        for (file, batch) in self.batches(TableKind::Samples, &snapshot.samples).await {
            let rows = SampleRows::new(&batch).unwrap();
            for row in rows.iter() {
                let times = row.timestamps();
                let (min, max) = (times[0], times[times.len() - 1]);
                assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
                assert!(file.min_time_ms <= min && max <= file.max_time_ms);
                assert_eq!(min.div_euclid(2 * HOUR_MS), max.div_euclid(2 * HOUR_MS));
                let day = chrono::DateTime::from_timestamp_millis(min).unwrap();
                assert_eq!(day.date_naive(), file.date);
                assert!(file.min_name.as_deref().unwrap() <= row.name());
                assert!(file.max_name.as_deref().unwrap() >= row.name());
            }
            take(&batch);
        }
        for segment in &snapshot.wal {
            take(&segment.samples);
        }
        assert!(found == self.expected, "other samples than were written");
        let exemplars = self.stored_exemplars(&snapshot.wal).await;
        assert!(
            exemplars.into_iter().collect::<BTreeSet<_>>() == self.exemplars,
            "other exemplars than were written"
        );
        let mut known = BTreeSet::new();
        for (_, batch) in self.batches(TableKind::Series, &snapshot.series).await {
            for row in decode_series("series", &batch).unwrap() {
                known.insert(row.series.labels.to_string());
            }
        }
        for segment in &snapshot.wal {
            known.extend(
                segment
                    .series
                    .iter()
                    .map(|series| series.labels.to_string()),
            );
        }
        assert!(found.keys().all(|(labels, _)| known.contains(labels)));
        let mut metadata = BTreeSet::new();
        for (_, batch) in self.batches(TableKind::Metadata, &snapshot.metadata).await {
            metadata.extend(decode_metadata("metadata", &batch).unwrap());
        }
        for segment in &snapshot.wal {
            metadata.extend(segment.metadata.iter().cloned());
        }
        assert_eq!(metadata.len(), self.next.len());
        snapshot
    }
}

/// Adds a sample; of two at one time the one that stands stays.
fn stand(samples: &mut Samples, key: (String, i64), value: f64) {
    let slot = samples.entry(key).or_insert(value.to_bits());
    if compare_duplicates(value, f64::from_bits(*slot)).is_gt() {
        *slot = value.to_bits();
    }
}

fn wal_samples(snapshot: &ArchiveSnapshot) -> usize {
    snapshot
        .wal
        .iter()
        .map(|segment| segment.sample_count)
        .sum()
}

/// The options that most tests use.
pub(crate) fn options() -> CompactorOptions {
    CompactorOptions::default()
}

pub(crate) fn at(now_ms: i64) -> RunOptions {
    RunOptions {
        now_ms: Some(now_ms),
        ..RunOptions::default()
    }
}
