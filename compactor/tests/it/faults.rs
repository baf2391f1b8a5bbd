//! Each request of a compaction fails in turn, before and after it took effect.

use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt};
use varve_compactor::CompactorOptions;
use varve_storage::store::fault::{Fault, FaultStore};

use crate::archive::{Archive, HOUR_MS, NOON_MS, Sample, at, options};

/// Every live file must exist: a clean-up after a failed attempt may not take one.
async fn live_files_exist(archive: &Archive) {
    let snapshot = archive.snapshot().await;
    let exemplars = archive.exemplars_table().await;
    for table in [
        &snapshot.samples,
        &snapshot.series,
        &snapshot.metadata,
        &exemplars,
    ] {
        for file in table.files.values() {
            archive.objects.head(&file.key(&table.root)).await.unwrap();
        }
    }
}

async fn each_request_fails(archive: Archive, options: CompactorOptions, now_ms: i64) {
    let clean = archive.copy().await;
    let store = FaultStore::new(Arc::clone(&clean.objects));
    clean
        .compactor_on(Arc::new(store.clone()), options.clone())
        .run_once(&at(now_ms))
        .await
        .unwrap();
    clean.check_exactly_once().await;
    let requests = store.log().len();
    assert!(requests > 10, "{requests}");
    let mut failed_runs = 0;
    for number in 0..requests {
        for fault in [Fault::Before, Fault::LostResponse] {
            let archive = archive.copy().await;
            let store = FaultStore::new(Arc::clone(&archive.objects));
            store.fail_request(number, fault);
            let faulty: Arc<dyn ObjectStore> = Arc::new(store);
            let compactor = archive.compactor_on(faulty, options.clone());
            let first = compactor.run_once(&at(now_ms)).await;
            failed_runs += usize::from(first.is_err());
            archive.check_exactly_once().await;
            live_files_exist(&archive).await;
            // The same process goes on, and so does another one.
            compactor.run_once(&at(now_ms)).await.unwrap();
            archive
                .compactor(options.clone())
                .run_once(&at(now_ms))
                .await
                .unwrap();
            let snapshot = archive.snapshot().await;
            assert!(snapshot.wal.is_empty(), "request {number}, {fault:?}");
            archive.check_exactly_once().await;
            live_files_exist(&archive).await;
        }
    }
    assert!(failed_runs > 0);
}

#[tokio::test]
async fn of_a_first_pass() {
    let mut archive = Archive::new();
    archive.fill(3).await;
    each_request_fails(archive, options(), NOON_MS).await;
}

#[tokio::test]
async fn of_a_merge_a_checkpoint_and_a_clean_up() {
    let mut archive = Archive::new();
    let quiet = CompactorOptions {
        small_files_max: 100,
        ..options()
    };
    for i in 0..4i64 {
        let samples: Vec<Sample> = (0..4)
            .map(|s| (s, NOON_MS + i * 15_000, i as f64))
            .collect();
        archive.segment(0, &samples).await;
        archive
            .compactor(quiet.clone())
            .run_once(&at(NOON_MS))
            .await
            .unwrap();
    }
    archive.segment(0, &[(0, NOON_MS + HOUR_MS, 5.0)]).await;
    let options = CompactorOptions {
        checkpoint_every: 1,
        ..options()
    };
    each_request_fails(archive, options, NOON_MS + 3 * HOUR_MS).await;
}

#[tokio::test]
async fn a_compactor_that_dies_between_series_and_samples_is_finished_by_the_next() {
    let mut archive = Archive::new();
    archive.fill(3).await;
    // Everything from the first write below samples/ on fails, except what created the table.
    archive
        .compactor(options())
        .run_once(&at(NOON_MS))
        .await
        .unwrap();
    archive
        .segment(
            0,
            &[(0, NOON_MS + HOUR_MS, 1.0), (7, NOON_MS + HOUR_MS, 1.0)],
        )
        .await;
    archive.segment(1, &[(1, NOON_MS + HOUR_MS, 1.0)]).await;
    archive
        .compactor_dies_after("series/_delta_log/00000000000000000002.json")
        .await;
    let snapshot = archive.snapshot().await;
    assert_eq!(snapshot.series.wal_marks(), [(0, 3), (1, 3)].into());
    assert_eq!(snapshot.samples.wal_marks(), [(0, 2), (1, 2)].into());
    archive.check_exactly_once().await;
    // More segments arrive before the next compactor comes.
    archive.segment(0, &[(2, NOON_MS + HOUR_MS, 1.0)]).await;
    archive
        .compactor(options())
        .run_once(&at(NOON_MS))
        .await
        .unwrap();
    let snapshot = archive.snapshot().await;
    assert_eq!(snapshot.samples.wal_marks(), [(0, 4), (1, 3)].into());
    archive.check_exactly_once().await;
}
