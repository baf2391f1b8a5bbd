//! Exemplars on their way into their table: when there is one, its marks, and what crashes leave.

use varve_compactor::CompactorOptions;
use varve_table::TableKind;

use crate::archive::{Archive, HOUR_MS, NOON_MS, at, options};

#[tokio::test]
async fn the_table_appears_with_the_first_exemplar_and_its_marks_follow_them() {
    let mut archive = Archive::new();
    let compactor = archive.compactor(CompactorOptions {
        small_files_max: 100,
        ..options()
    });
    // Series of odd numbers have no exemplars.
    for i in 0..3 {
        archive.segment(0, &[(1, NOON_MS + i, 1.0)]).await;
        let report = compactor.run_once(&at(NOON_MS)).await.unwrap();
        assert_eq!(report.exemplars, 0);
    }
    assert!(!archive.exemplars_table().await.exists());
    let folder = archive.keys.table("exemplars");
    let mut listed = archive.objects.list(Some(&folder));
    assert!(futures::StreamExt::next(&mut listed).await.is_none());
    drop(listed);

    archive
        .segment(0, &[(0, NOON_MS, 1.0), (2, NOON_MS - 13 * HOUR_MS, 1.0)])
        .await;
    archive.segment(1, &[(1, NOON_MS + 9, 1.0)]).await;
    let report = compactor.run_once(&at(NOON_MS)).await.unwrap();
    assert_eq!(report.exemplars, 2);
    let table = archive.exemplars_table().await;
    assert_eq!(table.wal_marks(), [(0, 4), (1, 1)].into());
    assert_eq!(table.files.len(), 2);
    archive.check_exactly_once().await;

    // A pass without exemplars leaves the table alone.
    archive.segment(0, &[(1, NOON_MS + 10, 1.0)]).await;
    compactor.run_once(&at(NOON_MS)).await.unwrap();
    assert_eq!(archive.exemplars_table().await.version, table.version);
    archive.segment(0, &[(0, NOON_MS + 11, 1.0)]).await;
    compactor.run_once(&at(NOON_MS)).await.unwrap();
    let table = archive.exemplars_table().await;
    assert_eq!(table.wal_marks(), [(0, 6), (1, 1)].into());
    archive.check_exactly_once().await;
}

#[tokio::test]
async fn files_of_a_closed_day_become_one_and_the_replaced_are_deleted() {
    let mut archive = Archive::new();
    // Objects in memory are as old as the clock says, so the day must be closed by the clock as well as by the samples.
    let closed_ms = chrono::Utc::now()
        .timestamp_millis()
        .max(NOON_MS + 48 * HOUR_MS);
    let compactor = archive.compactor(options());
    for i in 0..5 {
        archive
            .segment(0, &[(0, NOON_MS + i * HOUR_MS, 1.0), (4, NOON_MS + i, 1.0)])
            .await;
        compactor.run_once(&at(NOON_MS)).await.unwrap();
    }
    let before = archive.exemplars_table().await;
    assert_eq!(before.files.len(), 5);
    compactor.run_once(&at(closed_ms)).await.unwrap();
    let after = archive.exemplars_table().await;
    let levels: Vec<u8> = after.files.values().map(|file| file.level).collect();
    assert_eq!(levels, [2]);
    archive.check_exactly_once().await;
    let later_ms = closed_ms + 2 * HOUR_MS;
    compactor.run_once(&at(later_ms)).await.unwrap();
    for file in before.files.values() {
        let key = file.key(&before.root);
        assert!(
            object_store::ObjectStoreExt::head(&archive.objects, &key)
                .await
                .is_err()
        );
    }
    archive.check_exactly_once().await;
}

/// A compactor dies right after it has committed exemplars, and more segments arrive before the next one comes: it writes those of the new
/// segments alone.
#[tokio::test]
async fn a_compactor_that_dies_behind_its_exemplars_is_finished_by_the_next() {
    let mut archive = Archive::new();
    archive.fill(3).await;
    archive
        .compactor_dies_after("exemplars/_delta_log/00000000000000000001.json")
        .await;
    let snapshot = archive.snapshot().await;
    assert_eq!(snapshot.series.wal_marks(), [].into());
    assert_eq!(
        archive.exemplars_table().await.wal_marks(),
        [(0, 2), (1, 2)].into()
    );
    archive.check_exactly_once().await;
    archive.segment(0, &[(2, NOON_MS + HOUR_MS, 1.0)]).await;
    archive.segment(1, &[(1, NOON_MS + HOUR_MS, 1.0)]).await;
    let report = archive
        .compactor(options())
        .run_once(&at(NOON_MS))
        .await
        .unwrap();
    assert_eq!((report.segments, report.exemplars), (6, 1));
    let table = archive.exemplars_table().await;
    assert_eq!(table.wal_marks(), [(0, 3), (1, 3)].into());
    let rows: usize = archive
        .batches(TableKind::Exemplars, &table)
        .await
        .iter()
        .map(|(_, batch)| batch.num_rows())
        .sum();
    assert_eq!(rows, archive.exemplars.len());
    archive.check_exactly_once().await;
}
