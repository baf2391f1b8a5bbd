//! Measures a whole archive and prints the figures: what a query of a day costs, and the bytes of a sample beside Prometheus's.
//!
//! `cargo bench -p varve-tests --bench archive`. For the bytes of a sample it needs half an hour of recorded scrapes
//! (`scripts/record-scrapes`), in the folder that `VARVE_BENCH_RECORDING` names, and Debian's Prometheus.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use varve_query::{Engine, QueryOptions, QueryStats, QueryValue};
use varve_storage::wal::SampleRow;
use varve_storage::{SeriesRef, Store};
use varve_tests::answers;
use varve_tests::archive::Archive;
use varve_tests::prometheus::Prometheus;
use varve_tests::random::Random;
use varve_tests::remote_write;
use varve_tests::samples::{self, INTERVAL_MS};

const DAY_MS: i64 = 86_400_000;
/// 2026-11-21T00:00:00Z.
const DAY_START_MS: i64 = 1_795_219_200_000;
const SERIES: usize = 1_000;
/// Scrapes in one segment.
const SCRAPES_PER_SEGMENT: i64 = 60;
/// The recorded scrapes that are used: 30 minutes at the usual interval.
const RECORDED_SCRAPES: usize = 120;

fn folder_archive(folder: &Path) -> Archive {
    let url = format!("file://{}", folder.display());
    Archive::new(Store::open(&url.parse().unwrap()).unwrap())
}

/// 1,000 counters of 10 jobs over one day, in merged files.
async fn write_day(archive: &Archive) -> u64 {
    let series = |n: usize| {
        let (job, instance) = (format!("job-{}", n % 10), format!("host-{n}:9100"));
        samples::series(&[("__name__", "m"), ("instance", &instance), ("job", &job)])
    };
    let mut counters: Vec<(SeriesRef, f64)> = (0..SERIES).map(|n| (series(n), 0.0)).collect();
    let mut random = Random::new(1);
    let scrapes = DAY_MS / INTERVAL_MS;
    for first in (0..scrapes).step_by(SCRAPES_PER_SEGMENT as usize) {
        let mut rows = Vec::new();
        for scrape in first..(first + SCRAPES_PER_SEGMENT).min(scrapes) {
            for (n, (series, total)) in counters.iter_mut().enumerate() {
                *total += random.below(100) as f64;
                // Targets are spread over the interval, as scrapes are.
                let at = DAY_START_MS + scrape * INTERVAL_MS + (n as i64 % 100) * 149;
                rows.push(samples::float(series, at, *total));
            }
        }
        archive.append(0, &rows, rows.len()).await.unwrap();
    }
    let started = Instant::now();
    let report = archive.compact(DAY_START_MS + DAY_MS).await.unwrap();
    archive.compact(DAY_START_MS + 4 * DAY_MS).await.unwrap();
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "compacted and merged: {} samples in {seconds:.1} s, {:.0} samples/s",
        report.samples,
        report.samples as f64 / seconds
    );
    report.samples
}

async fn query_day(engine: &Engine) -> (Duration, QueryStats) {
    let query = "sum by (job) (rate(m[5m]))";
    let started = Instant::now();
    let options = QueryOptions::default();
    let (start_ms, end_ms) = (DAY_START_MS, DAY_START_MS + DAY_MS);
    let result = engine
        .range(query, start_ms, end_ms, 60_000, &options)
        .await;
    let result = result.unwrap();
    let QueryValue::Matrix(matrix) = &result.value else {
        panic!("a range query gave {:?}", result.value);
    };
    assert_eq!(matrix.len(), 10, "one series per job");
    (started.elapsed(), result.stats)
}

fn print_query(what: &str, (elapsed, stats): &(Duration, QueryStats)) {
    println!(
        "{what}: {:.0} ms, {} GETs, {} LISTs, {:.2} MB read, {} samples, {:.1} MB in operators at the peak",
        elapsed.as_secs_f64() * 1e3,
        stats.get_requests,
        stats.list_requests,
        stats.bytes_read as f64 / 1e6,
        stats.samples_read,
        stats.memory_peak_bytes as f64 / 1e6
    );
}

fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

async fn measure_day() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder_archive(folder.path());
    let written = write_day(&archive).await;
    println!(
        "sum by (job) (rate(m[5m])) over {SERIES} series x 1 day at 15 s, every minute ({written} samples):"
    );
    let engine = answers::engine_of(&archive);
    print_query("  cold", &query_day(&engine).await);
    for _ in 0..3 {
        print_query("  warm", &query_day(&engine).await);
    }
    println!(
        "  peak memory of this process, writing included: {:.0} MB",
        peak_memory_mb()
    );
}

fn bytes_below(folder: &Path, counts: &dyn Fn(&Path) -> bool) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            bytes += bytes_below(&entry.path(), counts);
        } else if counts(&entry.path()) {
            bytes += entry.metadata().unwrap().len();
        }
    }
    bytes
}

/// Recorded scrapes of a job that are a scrape interval apart: (milliseconds, text).
fn recorded_scrapes(job: &Path) -> Vec<(i64, Vec<u8>)> {
    let time = |path: &PathBuf| -> Option<i64> {
        let name = path.file_name()?.to_str()?;
        name.strip_suffix(".txt.gz")?.parse().ok()
    };
    let files = std::fs::read_dir(job).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<_> = files.filter_map(|p| Some((time(&p)?, p))).collect();
    files.sort();
    let mut scrapes: Vec<(i64, Vec<u8>)> = Vec::new();
    for (at, path) in files {
        let last = scrapes.last().map_or(i64::MIN, |(last, _)| *last);
        // Recordings tick in steps of their own: the nearest to the interval is good enough.
        if at >= last.saturating_add(INTERVAL_MS - 1_000) && scrapes.len() < RECORDED_SCRAPES {
            let mut text = Vec::new();
            let file = std::fs::File::open(&path).unwrap();
            let mut unzip = flate2::read::GzDecoder::new(file);
            if unzip.read_to_end(&mut text).is_ok() {
                scrapes.push((at, text));
            }
        }
    }
    scrapes
}

fn recorded_rows(recording: &Path) -> Vec<SampleRow> {
    let mut rows = Vec::new();
    for job in std::fs::read_dir(recording).unwrap() {
        let job = job.unwrap();
        let name = job.file_name().to_string_lossy().into_owned();
        if !job.path().is_dir() {
            continue;
        }
        let mut known = BTreeMap::new();
        for (at, text) in recorded_scrapes(&job.path()) {
            // A scrape that was cut off is left out, as one that failed is.
            let instance = format!("{name}:80");
            rows.extend(
                samples::recorded(&text, at, &name, &instance, &mut known).unwrap_or_default(),
            );
        }
    }
    rows.sort_by_key(|row| row.timestamp_ms);
    rows
}

async fn measure_bytes(recording: &Path) {
    let rows = recorded_rows(recording);
    let folder = tempfile::tempdir().unwrap();
    let archive = folder_archive(&folder.path().join("varve"));
    archive.append(0, &rows, 50_000).await.unwrap();
    let end_ms = rows.last().map_or(0, |row| row.timestamp_ms);
    archive.compact(end_ms).await.unwrap();
    archive.compact(end_ms + 3 * DAY_MS).await.unwrap();
    let contents = archive.contents().await.unwrap();
    let snapshot = archive.snapshot().await.unwrap();
    let ours = (snapshot.samples.live_bytes() + snapshot.series.live_bytes()) as f64;
    let samples = contents.in_files as f64;
    let series = contents.samples.len();
    println!("bytes per sample, {series} series, {samples} samples:");
    println!("  varve (samples and series): {:.3}", ours / samples);

    let Some(peer) = Prometheus::start(folder.path(), "").await.unwrap() else {
        return;
    };
    remote_write::write(peer.client.base_url(), &rows)
        .await
        .unwrap();
    let snapshot = format!("{}/api/v1/admin/tsdb/snapshot", peer.client.base_url());
    let answer = reqwest::Client::new().post(snapshot).send().await.unwrap();
    answer.error_for_status().unwrap();
    let blocks = folder.path().join("peer/snapshots");
    let is_block = |path: &Path| {
        let in_chunks = path
            .parent()
            .is_some_and(|folder| folder.ends_with("chunks"));
        in_chunks || path.ends_with("index")
    };
    let theirs = bytes_below(&blocks, &is_block) as f64;
    println!("  prometheus (chunks and index): {:.3}", theirs / samples);
    println!("  ratio: {:.3}", ours / theirs);
}

#[tokio::main]
async fn main() {
    measure_day().await;
    match std::env::var_os("VARVE_BENCH_RECORDING") {
        Some(recording) => measure_bytes(Path::new(&recording)).await,
        None => {
            println!("bytes per sample: VARVE_BENCH_RECORDING is not set (scripts/record-scrapes)")
        }
    }
}
