//! The write-ahead log: samples per second in and out, and bytes per sample.
//!
//! The samples are like a scrape of a node exporter: 1,500 series, of which most are counters and gauges with whole
//! numbers, a few decimals, and many that do not move.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use object_store::memory::InMemory;
use uuid::Uuid;
use varve_storage::columns::NO_START_MS;
use varve_storage::keys::TenantKeys;
use varve_storage::rows::{SampleRows, SampleSet};
use varve_storage::wal::{
    Append, SampleRow, SegmentContent, WalOptions, WalWriter, decode_segment, encode_segment,
};
use varve_storage::{Labels, SampleValue, Series, SeriesRef};

const SERIES: usize = 1_500;

fn series() -> Vec<SeriesRef> {
    (0..SERIES)
        .map(|i| {
            let labels = [
                (
                    "__name__",
                    format!("node_subsystem{}_events_total", i % 150),
                ),
                ("cpu", (i / 150).to_string()),
                ("device", format!("nvme{}n1", i % 7)),
                (
                    "mode",
                    ["idle", "user", "system", "iowait"][i % 4].to_owned(),
                ),
                ("instance", "host-17.example.org:9100".to_owned()),
                ("job", "node".to_owned()),
            ];
            Arc::new(Series::new(Labels::from_pairs(labels)))
        })
        .collect()
}

/// The value of a series at a scrape: of ten series six stand still, three count, one wanders.
fn value(series: usize, scrape: usize) -> f64 {
    match series % 10 {
        0..6 => (series * 37) as f64,
        6..9 => (series * 1_000 + scrape * (series % 17 + 1)) as f64,
        _ => 0.25 + ((series * 31 + scrape * 7_919) % 10_007) as f64 / 1_000.0,
    }
}

fn scrape(series: &[SeriesRef], scrape: usize) -> Append {
    let samples = series.iter().enumerate().map(|(i, series)| SampleRow {
        series: Arc::clone(series),
        timestamp_ms: 1_795_000_000_000 + scrape as i64 * 15_000,
        start_timestamp_ms: NO_START_MS,
        value: SampleValue::Float(value(i, scrape)),
    });
    Append {
        samples: samples.collect(),
        ..Append::default()
    }
}

fn content(series: &[SeriesRef], scrapes: usize) -> SegmentContent {
    let mut set = SampleSet::default();
    for number in 0..scrapes {
        for row in scrape(series, number).samples {
            set.push(&row.series, row.timestamp_ms, &row.value).unwrap();
        }
    }
    SegmentContent {
        rows: set.into_rows(),
        ..SegmentContent::default()
    }
}

fn wal(criterion: &mut Criterion) {
    let series = series();
    let key = TenantKeys::default().wal_segment(0, 1);
    for scrapes in [1, 10, 60] {
        let bytes = encode_segment(Uuid::nil(), 0, 1, &content(&series, scrapes)).unwrap();
        let samples = SERIES * scrapes;
        println!(
            "{samples} samples in a segment ({scrapes} per series): {} bytes, {:.2} bytes per sample",
            bytes.len(),
            bytes.len() as f64 / samples as f64
        );
    }

    let mut group = criterion.benchmark_group("wal");
    for scrapes in [1, 10] {
        let content = content(&series, scrapes);
        group.throughput(Throughput::Elements((SERIES * scrapes) as u64));
        group.bench_function(format!("encode/{scrapes}_per_series"), |bencher| {
            bencher.iter(|| encode_segment(Uuid::nil(), 0, 1, black_box(&content)).unwrap());
        });
        let bytes = encode_segment(Uuid::nil(), 0, 1, &content).unwrap();
        group.bench_function(format!("decode/{scrapes}_per_series"), |bencher| {
            bencher.iter(|| decode_segment(black_box(&key), bytes.clone()).unwrap());
        });
        let segment = decode_segment(&key, bytes).unwrap();
        group.bench_function(format!("iterate_rows/{scrapes}_per_series"), |bencher| {
            bencher.iter(|| sum(&segment.samples));
        });
    }

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let options = WalOptions {
        flush_interval: Duration::from_secs(3_600),
        ..WalOptions::default()
    };
    let open = WalWriter::open(Arc::new(InMemory::new()), TenantKeys::default(), 0, options);
    let writer = runtime.block_on(open).unwrap();
    group.throughput(Throughput::Elements((SERIES * 10) as u64));
    group.bench_function("append_10_scrapes_and_flush", |bencher| {
        let scrapes: Vec<Append> = (0..10).map(|number| scrape(&series, number)).collect();
        bencher.iter(|| {
            runtime.block_on(async {
                for append in &scrapes {
                    writer.append(append.clone()).await.unwrap();
                }
                writer.flush().await.unwrap();
            });
        });
    });
    group.finish();
}

fn sum(batch: &arrow::array::RecordBatch) -> f64 {
    let rows = SampleRows::new(batch).unwrap();
    rows.iter()
        .map(|row| row.values().iter().sum::<f64>())
        .sum()
}

criterion_group!(benches, wal);
criterion_main!(benches);
