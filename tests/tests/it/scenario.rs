//! The life of an archive, on every kind of store: samples go through the WAL into the tables, late ones and duplicates too, and
//! at each stage exactly what was appended can be read.

use varve_storage::wal::SampleRow;
use varve_tests::answers;
use varve_tests::archive::{Archive, Samples, count, expected};
use varve_tests::http_api::Grid;
use varve_tests::query_list;
use varve_tests::samples::{self, START_MS};
use varve_tests::stores::TestStore;

const HOUR_MS: i64 = 3_600_000;
const SCRAPES: i64 = 720;

/// Samples in the order in which they arrive.
struct Arrivals {
    on_time: Vec<SampleRow>,
    /// The second half, with late ones from the first half and samples that were there before.
    later: Vec<SampleRow>,
    /// Other values for times that have one.
    conflicting: Vec<SampleRow>,
}

fn arrivals() -> Arrivals {
    let all = samples::invented(7, SCRAPES);
    let half = all.len() / 2;
    let (mut on_time, mut later) = (Vec::new(), Vec::new());
    for (n, row) in all.iter().enumerate() {
        match n {
            // Every 13th comes late.
            _ if n >= half || n % 13 == 0 => later.push(row.clone()),
            _ => on_time.push(row.clone()),
        }
    }
    later.extend(on_time.iter().step_by(29).cloned());
    let conflicting = on_time.iter().step_by(31).enumerate();
    let conflicting = conflicting.map(|(n, row)| {
        let value = if n % 2 == 0 { -1e9 } else { 1e9 };
        samples::float(&row.series, row.timestamp_ms, value)
    });
    Arrivals {
        conflicting: conflicting.collect(),
        on_time,
        later,
    }
}

async fn assert_holds(archive: &Archive, stage: &str, wanted: &Samples) {
    let contents = archive.contents().await.unwrap();
    assert_eq!(contents.warnings, [""; 0], "{stage}");
    let found = &contents.samples;
    assert_eq!(count(found), count(wanted), "{stage}: number of samples");
    assert!(found == wanted, "{stage}: other samples than appended");
    assert_answers(archive, stage, wanted).await;
}

/// Every fourth query of the list gives from the archive what it gives from the samples themselves.
async fn assert_answers(archive: &Archive, stage: &str, wanted: &Samples) {
    let queries = query_list::parse(include_str!("../../queries/invented.txt")).unwrap();
    let queries: Vec<_> = queries.into_iter().step_by(4).collect();
    assert!(queries.len() >= 25);
    // Two hours that cross midnight, and so a border between partitions.
    let grid = Grid {
        start_ms: START_MS + HOUR_MS,
        end_ms: START_MS + 3 * HOUR_MS,
        step_ms: 300_000,
    };
    let (stored, plain) = (answers::engine_of(archive), answers::engine_on(wanted));
    let (found, points) = answers::differences(&stored, &plain, &queries, grid).await;
    assert!(found.is_empty(), "{stage}:\n{}", found.join("\n"));
    assert!(points > 1_000, "{stage}: only {points} points");
}

async fn run(store: TestStore) {
    let archive = &store.archive;
    let name = store.name;
    let stage = |what: &str| format!("{name}, {what}");
    let arrivals = arrivals();
    let end_ms = START_MS + SCRAPES * samples::INTERVAL_MS;

    archive.append(0, &arrivals.on_time, 3_000).await.unwrap();
    let mut all = arrivals.on_time.clone();
    let wanted = expected(&all);
    assert_holds(archive, &stage("in the WAL"), &wanted).await;

    let report = archive.compact(end_ms).await.unwrap();
    assert_eq!(report.samples, count(&wanted), "{name}");
    assert_holds(archive, &stage("in the table"), &wanted).await;
    let contents = archive.contents().await.unwrap();
    assert_eq!(contents.stored, count(&wanted), "{name}: stored once");
    assert_eq!(contents.in_files, contents.stored, "{name}: all in files");
    assert_eq!(contents.counted_by_series, contents.stored, "{name}");
    let again = archive.compact(end_ms).await.unwrap();
    assert_eq!(again.segments, 0, "{name}: nothing is consumed twice");

    // A second shard for the later ones: two writers never meet there.
    archive.append(1, &arrivals.later, 4_000).await.unwrap();
    all.extend(arrivals.later.iter().cloned());
    let wanted = expected(&all);
    assert_holds(archive, &stage("late ones in the WAL"), &wanted).await;
    archive.compact(end_ms).await.unwrap();
    assert_holds(archive, &stage("late ones in the table"), &wanted).await;

    archive.append(0, &arrivals.conflicting, 500).await.unwrap();
    all.extend(arrivals.conflicting.iter().cloned());
    let wanted = expected(&all);
    assert_holds(archive, &stage("conflicts in the WAL"), &wanted).await;
    archive.compact(end_ms + HOUR_MS).await.unwrap();
    assert_holds(archive, &stage("conflicts in the table"), &wanted).await;

    // Long after: windows and days are closed, files merged, what they replaced deleted.
    for hours in [12, 48, 96] {
        archive.compact(end_ms + hours * HOUR_MS).await.unwrap();
        assert_holds(archive, &stage("merged"), &wanted).await;
    }
    let contents = archive.contents().await.unwrap();
    let levels: Vec<_> = contents.files.keys().copied().collect();
    assert_eq!(levels, [2], "{name}: one level of day files");
    assert_eq!(
        contents.stored,
        count(&wanted),
        "{name}: merged to one each"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_lives_on_a_folder() {
    run(TestStore::file().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_lives_in_memory() {
    run(TestStore::memory().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_lives_on_s3() {
    run(TestStore::s3().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_lives_on_moto() {
    if let Some(store) = TestStore::moto().await.unwrap() {
        run(store).await;
    }
}
