//! How fast segments become table files and small files become large ones.
//!
//!     cargo bench -p varve-compactor

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use uuid::Uuid;
use varve_compactor::{Compactor, CompactorOptions, RunOptions};
use varve_storage::keys::TenantKeys;
use varve_storage::rows::{SampleSet, samples_batch};
use varve_storage::store::Store;
use varve_storage::wal::{SegmentContent, encode_segment};
use varve_storage::{Labels, SampleValue, Series, SeriesRef};
use varve_table::{TableFileWriter, TableKind};

const SERIES: usize = 2_000;
const SCRAPES_PER_SEGMENT: i64 = 4;
const SEGMENTS: i64 = 30;
/// 2026-11-23 12:00 UTC.
const START_MS: i64 = 1_795_435_200_000;

fn series() -> Vec<SeriesRef> {
    (0..SERIES)
        .map(|i| {
            let name = format!("node_metric_{}_total", i / 50);
            let instance = format!("host-{}:9100", i % 50);
            let labels = [
                ("__name__", name.as_str()),
                ("instance", instance.as_str()),
                ("job", "node"),
                ("mode", "idle"),
            ];
            Arc::new(Series::new(Labels::from_pairs(labels)))
        })
        .collect()
}

/// Counters, gauges with decimals, and constants, as exporters have them.
fn value(series: usize, step: i64) -> f64 {
    let noise = (series as i64 * 7_919 + step * 104_729) % 997;
    match series % 4 {
        0 => (series as i64 * 1_000 + step * 17 + noise) as f64,
        1 => (series as f64 * 3.0 + noise as f64) / 100.0,
        _ => series as f64,
    }
}

fn samples(series: &[SeriesRef], steps: std::ops::Range<i64>) -> SampleSet {
    let mut set = SampleSet::default();
    for step in steps {
        for (number, series) in series.iter().enumerate() {
            let time_ms = START_MS + step * 15_000;
            set.push(series, time_ms, &SampleValue::Float(value(number, step)))
                .unwrap();
        }
    }
    set
}

async fn archive(segments: &[(object_store::path::Path, bytes::Bytes)]) -> Compactor {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for (key, bytes) in segments {
        objects.put(key, bytes.clone().into()).await.unwrap();
    }
    let store = Store::from_object_store(objects);
    Compactor::new(store, TenantKeys::default(), CompactorOptions::default())
}

fn run_at(now_ms: i64) -> RunOptions {
    RunOptions {
        now_ms: Some(now_ms),
        clean_up: false,
        ..RunOptions::default()
    }
}

fn compaction(c: &mut Criterion) {
    let series = series();
    let keys = TenantKeys::default();
    let segments: Vec<_> = (0..SEGMENTS)
        .map(|i| {
            let steps = i * SCRAPES_PER_SEGMENT..(i + 1) * SCRAPES_PER_SEGMENT;
            let content = SegmentContent {
                rows: samples(&series, steps).into_rows(),
                ..SegmentContent::default()
            };
            let sequence = i as u64 + 1;
            let bytes = encode_segment(Uuid::nil(), 0, sequence, &content).unwrap();
            (keys.wal_segment(0, sequence), bytes)
        })
        .collect();
    let count = SERIES as u64 * (SEGMENTS * SCRAPES_PER_SEGMENT) as u64;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut group = c.benchmark_group("compaction");
    group
        .throughput(Throughput::Elements(count))
        .sample_size(10);
    group.bench_function("wal to level 0, samples", |b| {
        b.to_async(&runtime).iter_custom(async |rounds| {
            let mut time = Duration::ZERO;
            for _ in 0..rounds {
                let compactor = archive(&segments).await;
                let began = Instant::now();
                black_box(compactor.run_once(&run_at(START_MS)).await.unwrap());
                time += began.elapsed();
            }
            time
        });
    });
    group.bench_function("level 0 to a window, samples", |b| {
        b.to_async(&runtime).iter_custom(async |rounds| {
            let mut time = Duration::ZERO;
            for _ in 0..rounds {
                // Ten files of level 0, as ten runs in an hour leave them.
                let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
                let store = Store::from_object_store(Arc::clone(&objects));
                let options = CompactorOptions {
                    small_files_max: 100,
                    ..CompactorOptions::default()
                };
                let compactor = Compactor::new(store, keys.clone(), options);
                for chunk in segments.chunks(3) {
                    for (key, bytes) in chunk {
                        objects.put(key, bytes.clone().into()).await.unwrap();
                    }
                    compactor.run_once(&run_at(START_MS)).await.unwrap();
                }
                let began = Instant::now();
                let report = compactor
                    .run_once(&run_at(START_MS + 3 * 3_600_000))
                    .await
                    .unwrap();
                assert!(report.merges >= 1);
                time += began.elapsed();
            }
            time
        });
    });
    group.finish();

    let rows = samples(&series, 0..480).into_rows();
    let batch = samples_batch(&rows).unwrap();
    let date = NaiveDate::from_ymd_opt(2026, 11, 23).unwrap();
    let bytes = SERIES as u64 * 480 * 16;
    let mut group = c.benchmark_group("file writer");
    group.throughput(Throughput::Bytes(bytes)).sample_size(10);
    for level in [0, 1] {
        group.bench_function(format!("level {level}, bytes of times and values"), |b| {
            b.iter(|| {
                let mut writer = TableFileWriter::new(TableKind::Samples, date, level);
                writer.write(&batch).unwrap();
                black_box(writer.finish(0).unwrap())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, compaction);
criterion_main!(benches);
