//! How long queries of a day take, beside Prometheus, and how much memory a query over many series takes.
//!
//! `cargo bench -p varve-tests --bench throughput`. It needs Debian's Prometheus, or the one in `VARVE_TEST_PROMETHEUS`; without one, Varve's
//! times are printed alone. Both answer range queries over the same samples through their HTTP API, warm, each the fastest of some runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::path::Path;
use std::time::{Duration, Instant};

use varve_storage::wal::SampleRow;
use varve_storage::{SeriesRef, Store};
use varve_tests::archive::Archive;
use varve_tests::http_api::Grid;
use varve_tests::process::Program;
use varve_tests::prometheus::Prometheus;
use varve_tests::random::Random;
use varve_tests::remote_write;
use varve_tests::samples::{self, INTERVAL_MS};
use varve_tests::server::ServerSetup;

const DAY_MS: i64 = 86_400_000;
/// 2026-11-21T00:00:00Z.
const DAY_START_MS: i64 = 1_795_219_200_000;
/// Series of each metric.
const SERIES: usize = 2_000;
const BOUNDS: [&str; 10] = [
    "0.005", "0.01", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "10.0", "+Inf",
];
/// Scrapes in one segment.
const SCRAPES_PER_SEGMENT: i64 = 20;
const RUNS: usize = 5;

const QUERIES: [&str; 5] = [
    "sum by (job) (rate(m[5m]))",
    "max_over_time(m[1h])",
    "histogram_quantile(0.99, sum by (le) (rate(b[5m])))",
    "topk(5, m)",
    "m / on (instance) n",
];

/// The memory that a query over many series may take.
const MEMORY_BYTES_MAX: u64 = 512 << 20;
const MANY_SERIES: usize = 100_000;
const MANY_STEPS: i64 = 1_000;
/// Samples of each of many series are this far apart; the look-back is five minutes.
const SPARSE_MS: i64 = 240_000;

fn folder_archive(folder: &Path) -> Archive {
    let url = format!("file://{}", folder.display());
    Archive::new(Store::open(&url.parse().unwrap()).unwrap())
}

struct Counter {
    series: SeriesRef,
    total: f64,
    /// The most by which it grows in an interval.
    pace: u64,
    late_ms: i64,
}

fn counters() -> Vec<Counter> {
    let mut all = Vec::new();
    let mut add = |labels: &[(&str, &str)], pace, n: usize| {
        all.push(Counter {
            series: samples::series(labels),
            total: 0.0,
            pace,
            // Targets are spread over the interval, as scrapes are.
            late_ms: (n as i64 % 100) * 149,
        });
    };
    for n in 0..SERIES {
        let (job, instance) = (format!("job-{}", n % 10), format!("host-{n}:9100"));
        for name in ["m", "n"] {
            add(
                &[("__name__", name), ("instance", &instance), ("job", &job)],
                100,
                n,
            );
        }
    }
    for n in 0..SERIES / BOUNDS.len() {
        let (job, instance) = (format!("job-{}", n % 10), format!("host-{n}:9100"));
        for (place, le) in BOUNDS.iter().enumerate() {
            let labels = [
                ("__name__", "b"),
                ("instance", &instance),
                ("job", &job),
                ("le", le),
            ];
            add(&labels, 10 * (place as u64 + 1), n);
        }
    }
    all
}

/// A day of all counters: to the archive, merged, and to the peer.
async fn write_day(archive: &Archive, peer: Option<&Prometheus>) {
    let mut counters = counters();
    let mut random = Random::new(1);
    let scrapes = DAY_MS / INTERVAL_MS;
    for first in (0..scrapes).step_by(SCRAPES_PER_SEGMENT as usize) {
        let mut rows: Vec<SampleRow> = Vec::new();
        for scrape in first..(first + SCRAPES_PER_SEGMENT).min(scrapes) {
            for counter in &mut counters {
                counter.total += random.below(counter.pace) as f64;
                let at = DAY_START_MS + scrape * INTERVAL_MS + counter.late_ms;
                rows.push(samples::float(&counter.series, at, counter.total));
            }
        }
        archive.append(0, &rows, rows.len()).await.unwrap();
        if let Some(peer) = peer {
            remote_write::write(peer.client.base_url(), &rows)
                .await
                .unwrap();
        }
    }
    archive.compact(DAY_START_MS + DAY_MS).await.unwrap();
    archive.compact(DAY_START_MS + 4 * DAY_MS).await.unwrap();
}

/// The answer to a range query, as it comes.
async fn answer(base_url: &str, query: &str, grid: Grid) -> Vec<u8> {
    let seconds = |ms: i64| (ms / 1_000).to_string();
    let parameters = [
        ("query", query),
        ("start", &seconds(grid.start_ms)),
        ("end", &seconds(grid.end_ms)),
        ("step", &seconds(grid.step_ms)),
    ];
    let url = format!("{base_url}/api/v1/query_range");
    let request = reqwest::Client::new().get(url).query(&parameters);
    let answer = request.send().await.unwrap().error_for_status().unwrap();
    answer.bytes().await.unwrap().to_vec()
}

/// A server on an archive that scrapes nothing.
async fn serve(folder: &Path, archive: &str) -> (ServerSetup, Program) {
    let mut setup = ServerSetup::new(folder, "scrape_configs: []\n").unwrap();
    setup.storage_url = format!("file://{}", folder.join(archive).display());
    let program = setup.start().await.unwrap();
    (setup, program)
}

/// The fastest of some runs, and the number of series in the answer.
async fn fastest(base_url: &str, query: &str) -> (Duration, usize) {
    let grid = Grid {
        start_ms: DAY_START_MS,
        end_ms: DAY_START_MS + DAY_MS,
        step_ms: 60_000,
    };
    let (mut best, mut series) = (Duration::MAX, 0);
    for _ in 0..RUNS {
        let started = Instant::now();
        let bytes = answer(base_url, query, grid).await;
        best = best.min(started.elapsed());
        series = bytes.windows(10).filter(|w| *w == b"{\"metric\":").count();
    }
    (best, series)
}

async fn compare(folder: &Path) {
    let archive = folder_archive(&folder.join("varve"));
    let peer = Prometheus::start(folder, "").await.unwrap();
    println!("writing {} series x 1 day at 15 s …", 3 * SERIES);
    write_day(&archive, peer.as_ref()).await;
    let (varve, _program) = serve(folder, "varve").await;
    println!("range queries of one day at 60 s, warm, fastest of {RUNS}:");
    for query in QUERIES {
        let (ours, series) = fastest(&varve.base_url(), query).await;
        let ours_ms = ours.as_secs_f64() * 1e3;
        print!("  {query}: varve {ours_ms:.0} ms, {series} series");
        if let Some(peer) = &peer {
            let (theirs, their_series) = fastest(peer.client.base_url(), query).await;
            assert_eq!(series, their_series, "{query}");
            let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
            let theirs_ms = theirs.as_secs_f64() * 1e3;
            print!("; prometheus {theirs_ms:.0} ms; {ratio:.2} times as fast");
        }
        println!();
    }
}

async fn many_series(folder: &Path) {
    let archive = folder_archive(&folder.join("many"));
    let series: Vec<SeriesRef> = (0..MANY_SERIES)
        .map(|n| {
            let (group, instance) = (format!("group-{}", n % 10), format!("host-{n}:9100"));
            samples::series(&[
                ("__name__", "m"),
                ("group", &group),
                ("instance", &instance),
            ])
        })
        .collect();
    let length_ms = MANY_STEPS * INTERVAL_MS;
    for at in (0..length_ms).step_by(SPARSE_MS as usize) {
        let rows: Vec<SampleRow> = series
            .iter()
            .map(|series| samples::float(series, DAY_START_MS + at, at as f64))
            .collect();
        archive.append(0, &rows, rows.len()).await.unwrap();
    }
    archive.compact(DAY_START_MS + DAY_MS).await.unwrap();
    archive.compact(DAY_START_MS + 4 * DAY_MS).await.unwrap();
    let (varve, program) = serve(folder, "many").await;
    let peak = || program.memory_bytes().map_or(0, |(_, peak)| peak);
    let grid = Grid {
        start_ms: DAY_START_MS,
        end_ms: DAY_START_MS + length_ms - INTERVAL_MS,
        step_ms: INTERVAL_MS,
    };
    let before = peak();
    let started = Instant::now();
    let bytes = answer(&varve.base_url(), "sum by (group) (m)", grid).await;
    let (bytes, peak) = (bytes.len(), peak());
    println!(
        "sum by (group) (m) over {MANY_SERIES} series at {MANY_STEPS} steps: {:.1} s, {bytes} bytes of JSON, peak memory of the process {} MiB ({} MiB before), {}",
        started.elapsed().as_secs_f64(),
        peak >> 20,
        before >> 20,
        match peak <= MEMORY_BYTES_MAX {
            true => "within 512 MiB",
            false => "MORE than 512 MiB",
        }
    );
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let only = std::env::var("VARVE_BENCH_ONLY").unwrap_or_default();
    if only != "memory" {
        compare(folder.path()).await;
    }
    if only != "time" {
        many_series(folder.path()).await;
    }
}
