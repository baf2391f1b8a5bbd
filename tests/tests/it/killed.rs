//! Varve as a process that is killed at any moment: what a query has shown once is there for ever, and nothing is there twice.
//!
//! The exporter's samples carry the number of their scrape, so the test knows what may be stored: numbers that were
//! served, each at one time, each on all series. And what must be: every number that a query had shown before
//! the kill, and every one that was served long enough before it to be flushed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use varve_tests::archive::{Archive, Contents};
use varve_tests::exporter::{self, Exporter};
use varve_tests::http_api::ApiClient;
use varve_tests::process::Program;
use varve_tests::random::Random;
use varve_tests::s3::S3Double;
use varve_tests::server::{ServerSetup, now_ms, scrape_config};
use varve_tests::stores;

/// Served this long before a kill and not stored is a loss: the flush interval, and what a busy machine adds.
const FLUSHED_AFTER: Duration = Duration::from_secs(5);

const SETTINGS: [&str; 3] = [
    "--storage.flush-interval=300ms",
    "--compactor.interval=1s",
    "--log.level=info",
];

/// Numbers of the scrapes that a query shows.
async fn visible(client: &ApiClient) -> BTreeSet<u64> {
    let query = format!("{}[30m]", exporter::COUNTER);
    let answer = client.instant(&query, now_ms()).await.unwrap();
    let samples = answer.series.iter().flat_map(|(_, samples)| samples);
    samples.map(|s| s.value().unwrap() as u64).collect()
}

/// The numbers in an archive, after a check that each is stored once, at one time, and whole.
fn stored_numbers(contents: &Contents) -> BTreeSet<u64> {
    let mut counter: BTreeMap<u64, i64> = BTreeMap::new();
    let mut beside: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    for (labels, samples) in &contents.samples {
        for (time, bits) in samples {
            let value = f64::from_bits(*bits);
            if varve_storage::is_stale_nan(value) {
                continue;
            }
            match labels.metric_name() {
                exporter::COUNTER => {
                    let other = counter.insert(value as u64, *time);
                    assert_eq!(other, None, "number {value} is stored at two times");
                }
                exporter::GAUGE => beside.entry(value as u64).or_default().push(*time),
                _ => {}
            }
        }
    }
    for (number, time) in &counter {
        let times = beside.get(number).map_or(&[][..], Vec::as_slice);
        assert_eq!(times, [*time; exporter::SERIES], "scrape {number} is torn");
    }
    assert_eq!(counter.len(), beside.len(), "numbers without the counter");
    counter.into_keys().collect()
}

async fn check(archive: &Archive, exporter: &Exporter, must: &BTreeSet<u64>) {
    let contents = archive.contents().await.unwrap();
    let stored = stored_numbers(&contents);
    let served = exporter.served().len() as u64;
    let invented: Vec<_> = stored.range(served + 1..).collect();
    assert!(invented.is_empty(), "never served: {invented:?}");
    let lost: Vec<_> = must.difference(&stored).collect();
    assert!(lost.is_empty(), "lost: {lost:?} of {served}");
    let unique: u64 = contents.samples.values().map(|s| s.len() as u64).sum();
    assert_eq!(contents.stored, unique, "samples stored twice");
}

/// Kills a server so many times; what it must have kept grows with every cycle.
async fn kill_repeatedly(
    setup: &ServerSetup,
    archive: &Archive,
    exporter: &Exporter,
    cycles: usize,
) -> Program {
    let mut random = Random::printed("kill_repeatedly");
    let client = setup.client();
    let mut must = BTreeSet::new();
    for cycle in 0..cycles {
        let mut varve = setup.start().await.unwrap();
        let started = Instant::now();
        let since = exporter.served().len() as u64;
        let life = Duration::from_millis(200 + random.below(4_000));
        while started.elapsed() < life {
            if random.one_in(2) {
                must.extend(visible(&client).await);
            }
            tokio::time::sleep(Duration::from_millis(random.below(300))).await;
        }
        let killed = Instant::now();
        varve.kill().unwrap();
        let served = exporter.served();
        for (number, at) in (1..).zip(&served) {
            if number > since && killed.duration_since(*at) > FLUSHED_AFTER {
                must.insert(number);
            }
        }
        check(archive, exporter, &must).await;
        eprintln!(
            "cycle {cycle}: {} served, {} must be stored",
            served.len(),
            must.len()
        );
    }
    let varve = setup.start().await.unwrap();
    let shown = visible(&client).await;
    let missing: Vec<_> = must.difference(&shown).collect();
    assert!(missing.is_empty(), "stored and not shown: {missing:?}");
    assert!(must.len() > cycles, "enough was at stake");
    varve
}

/// PromQL's own count agrees with the samples themselves; then SIGTERM, after which every scrape that was served is stored.
async fn stop_and_check(
    mut varve: Program,
    setup: &ServerSetup,
    archive: &Archive,
    exporter: &Exporter,
) {
    let since = exporter.served().len() as u64 + 1;
    tokio::time::sleep(Duration::from_secs(2)).await;
    varve.signal("TERM").unwrap();
    let status = varve.ended(Duration::from_secs(60)).await.unwrap();
    assert!(status.success(), "{status}:\n{}", varve.log());
    let served = exporter.served().len() as u64;
    assert!(served > since, "nothing was scraped");
    // The last scrape may have been on its way when the signal came; it was not acknowledged to anybody.
    let must: BTreeSet<u64> = (since..served).collect();
    check(archive, exporter, &must).await;

    let contents = archive.contents().await.unwrap();
    let stored = stored_numbers(&contents);
    let _varve = setup.start().await.unwrap();
    let query = format!("sum(count_over_time({}[1h]))", exporter::COUNTER);
    let counted = setup.client().number(&query, now_ms()).await.unwrap();
    assert_eq!(counted, stored.len() as f64, "PromQL counts otherwise");
    let query = format!("sum(sum_over_time({}[1h]))", exporter::COUNTER);
    let sum = setup.client().number(&query, now_ms()).await.unwrap();
    assert_eq!(
        sum,
        stored.iter().sum::<u64>() as f64,
        "PromQL sums otherwise"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: .ci/run end_to_end"]
async fn nothing_is_lost_or_doubled_on_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let exporter = Exporter::start().await.unwrap();
    let config = scrape_config("100ms", &[("proof", &exporter.target())]);
    let setup = ServerSetup::new(folder.path(), &config).unwrap();
    let setup = setup.arguments(&SETTINGS);
    let url = format!("file://{}/data", folder.path().display());
    let store = varve_storage::Store::open(&url.parse().unwrap()).unwrap();
    let archive = Archive::new(store);
    let varve = kill_repeatedly(&setup, &archive, &exporter, 30).await;
    stop_and_check(varve, &setup, &archive, &exporter).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: .ci/run end_to_end"]
async fn nothing_is_lost_or_doubled_on_s3() {
    let folder = tempfile::tempdir().unwrap();
    let exporter = Exporter::start().await.unwrap();
    let double = S3Double::with_bucket(stores::BUCKET).await.unwrap();
    let config = scrape_config("100ms", &[("proof", &exporter.target())]);
    let setup = ServerSetup::new(folder.path(), &config).unwrap();
    let mut setup = setup.arguments(&SETTINGS);
    setup.storage_url = format!("s3://{}/{}", stores::BUCKET, stores::PREFIX);
    setup.environment = double.environment();
    let archive = Archive::new(stores::s3_store(&double.endpoint()).unwrap());
    let varve = kill_repeatedly(&setup, &archive, &exporter, 15).await;
    stop_and_check(varve, &setup, &archive, &exporter).await;
}

/// The counter without the series beside it.
#[tokio::test]
async fn the_check_notices_a_torn_scrape() {
    let store = stores::TestStore::memory().unwrap();
    let series = varve_tests::samples::series(&[("__name__", exporter::COUNTER)]);
    let row = varve_tests::samples::float(&series, 1_000, 1.0);
    store.archive.append(0, &[row], 1).await.unwrap();
    let contents = store.archive.contents().await.unwrap();
    let torn = std::panic::catch_unwind(|| stored_numbers(&contents));
    assert!(torn.is_err());
}
