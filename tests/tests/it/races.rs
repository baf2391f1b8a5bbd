//! Several writers on one shard, several compactors on one archive.

use varve_compactor::RunOptions;
use varve_storage::wal::Append;
use varve_tests::archive::{Archive, at, count, expected};
use varve_tests::random::Random;
use varve_tests::samples::{self, START_MS};
use varve_tests::stores::TestStore;

const SCRAPES: i64 = 80;

/// Writes every n-th append, each of them a few samples, as one of several writers of shard 0.
async fn write_share(archive: Archive, share: usize, of: usize) -> u64 {
    let rows = samples::invented(3, SCRAPES);
    let writer = archive.writer(0).await.unwrap();
    let mut segments = 0;
    for rows in rows.chunks(61).skip(share).step_by(of) {
        let append = Append {
            samples: rows.to_vec(),
            ..Append::default()
        };
        let ticket = writer.append(append).await.unwrap();
        writer.flush().await.unwrap();
        ticket.durable().await.unwrap();
        segments += 1;
    }
    writer.close().await.unwrap();
    segments
}

async fn race_writers(store: TestStore, writers: usize) {
    let archive = &store.archive;
    let shares = (0..writers).map(|share| {
        let archive = archive.clone();
        tokio::spawn(write_share(archive, share, writers))
    });
    let mut segments = 0;
    for share in futures::future::join_all(shares).await {
        segments += share.unwrap();
    }
    let wanted = expected(&samples::invented(3, SCRAPES));
    let contents = archive.contents().await.unwrap();
    assert!(contents.samples == wanted, "{}", store.name);
    assert_eq!(contents.stored, count(&wanted), "{}", store.name);
    let report = archive.compact(START_MS).await.unwrap();
    assert_eq!(report.segments, segments, "{}: no gap", store.name);
    let contents = archive.contents().await.unwrap();
    assert!(contents.samples == wanted, "{}", store.name);
    assert_eq!(contents.in_files, count(&wanted), "{}", store.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_shard_lose_and_double_nothing() {
    race_writers(TestStore::file().unwrap(), 2).await;
    race_writers(TestStore::memory().unwrap(), 4).await;
    race_writers(TestStore::s3().await.unwrap(), 3).await;
}

/// Compacts again and again until told to stop, each time as a new process would, or as one that knows the tables.
async fn compact_repeatedly(
    archive: Archive,
    mut random: Random,
    mut stop: tokio::sync::watch::Receiver<bool>,
) {
    let mut compactor = archive.compactor();
    let mut last = false;
    while !last {
        last = *stop.borrow_and_update();
        if random.one_in(2) {
            compactor = archive.compactor();
        }
        // Long after the samples, so that merges race too. Nothing is deleted: for a clock that is days ahead every
        // grace period is over, and files would go that another compactor is reading.
        let run = RunOptions {
            clean_up: false,
            ..at(START_MS + 100 * 3_600_000)
        };
        compactor.run_once(&run).await.unwrap();
    }
}

async fn race_compactors(store: TestStore) {
    let archive = &store.archive;
    let random = Random::printed("race_compactors");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let compactors = (0..2).map(|n| {
        let mut random = random.clone();
        let _skipped: Vec<_> = (0..=n).map(|_| random.bits()).collect();
        tokio::spawn(compact_repeatedly(archive.clone(), random, stopped.clone()))
    });
    let compactors: Vec<_> = compactors.collect();
    let segments = write_share(archive.clone(), 0, 1).await;
    assert!(segments > 20, "enough to race for");
    stop.send(true).unwrap();
    for compactor in compactors {
        compactor.await.unwrap();
    }
    let wanted = expected(&samples::invented(3, SCRAPES));
    let contents = archive.contents().await.unwrap();
    assert!(contents.samples == wanted, "{}", store.name);
    assert_eq!(contents.in_files, count(&wanted), "{}", store.name);
    assert_eq!(contents.stored, count(&wanted), "{}", store.name);
    let counted = contents.counted_by_series;
    assert_eq!(counted, count(&wanted), "{}: by series", store.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compactors_that_race_count_every_sample_once() {
    race_compactors(TestStore::memory().unwrap()).await;
    race_compactors(TestStore::file().unwrap()).await;
    race_compactors(TestStore::s3().await.unwrap()).await;
}
