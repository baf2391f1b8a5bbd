//! What a reader of the archive sees while compactors work, and what it costs.

use std::sync::Arc;

use object_store::ObjectStoreExt;
use varve_compactor::CompactorOptions;
use varve_storage::store::Store;
use varve_table::{ArchiveReader, TableKind};

use crate::archive::{Archive, HOUR_MS, NOON_MS, Sample, at, options};

fn reader(archive: &Archive) -> (ArchiveReader, Store) {
    let store = Store::from_object_store(Arc::clone(&archive.objects));
    (
        ArchiveReader::new(store.clone(), archive.keys.clone()),
        store,
    )
}

#[tokio::test]
async fn a_warm_snapshot_costs_a_few_gets_and_no_snapshot_ever_lists() {
    let mut archive = Archive::new();
    archive.fill(3).await;
    let checkpoints = CompactorOptions {
        checkpoint_every: 2,
        small_files_max: 100,
        ..options()
    };
    for i in 0..30i64 {
        archive.segment(0, &[(0, NOON_MS + HOUR_MS + i, 1.0)]).await;
        archive
            .compactor(checkpoints.clone())
            .run_once(&at(NOON_MS))
            .await
            .unwrap();
    }
    let (reader, store) = reader(&archive);
    let cold = reader.snapshot().await.unwrap();
    let after_cold = store.counters().snapshot();
    assert!(after_cold.get < 60, "{}", after_cold.get);
    let warm = reader.snapshot().await.unwrap();
    let after_warm = store.counters().snapshot();
    assert_eq!(cold.samples.version, warm.samples.version);
    // Three tables, two shards, and the first segment of a third.
    assert_eq!(after_warm.get - after_cold.get, 6);
    assert_eq!(after_warm.list, 0);
    // What a scope reads is on its own bill too.
    let (scope, bill) = store.scoped();
    reader.snapshot_with(&scope).await.unwrap();
    assert_eq!(bill.snapshot().get, 6);
}

#[tokio::test]
async fn a_reader_follows_passes_merges_and_deletions() {
    let mut archive = Archive::new();
    let (reader, _) = reader(&archive);
    assert!(!reader.snapshot().await.unwrap().samples.exists());
    let now_ms = chrono::Utc::now().timestamp_millis();
    let compactor = archive.compactor(CompactorOptions {
        small_files_max: 3,
        ..options()
    });
    for i in 0..12i64 {
        let samples: Vec<Sample> = (0..4)
            .map(|s| (s, NOON_MS + i * 15_000, i as f64))
            .collect();
        archive.segment(0, &samples).await;
        if i % 2 == 1 {
            // Each run is an hour later, so that segments and files of earlier runs are deleted.
            compactor.run_once(&at(now_ms + i * HOUR_MS)).await.unwrap();
        }
        let snapshot = reader.snapshot().await.unwrap();
        let in_table: u64 = snapshot.samples.files.values().map(|f| f.samples).sum();
        let in_wal: usize = snapshot
            .wal
            .iter()
            .map(|segment| segment.sample_count)
            .sum();
        assert_eq!(in_table as usize + in_wal, archive.expected.len());
        assert!(snapshot.series.wal_marks() >= snapshot.samples.wal_marks());
        for file in snapshot.samples.files.values() {
            archive
                .objects
                .head(&file.key(&snapshot.samples.root))
                .await
                .unwrap();
        }
    }
    archive.check_exactly_once().await;
}

#[tokio::test]
async fn a_broken_log_entry_is_named_and_does_no_harm_to_who_does_not_need_it() {
    let mut archive = Archive::new();
    archive.fill(3).await;
    archive
        .compactor(options())
        .run_once(&at(NOON_MS))
        .await
        .unwrap();
    let (warm, _) = reader(&archive);
    warm.snapshot().await.unwrap();
    let key = archive
        .keys
        .table(TableKind::Samples.name())
        .join("_delta_log")
        .join("00000000000000000001.json");
    let bytes = archive
        .objects
        .get(&key)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let mut broken = bytes.to_vec();
    let last = broken.len() - 20;
    broken[last] ^= 1;
    archive.objects.put(&key, broken.into()).await.unwrap();
    let (cold, _) = reader(&archive);
    let error = cold.snapshot().await.unwrap_err();
    assert_eq!(error.kind(), varve_storage::ErrorKind::Corrupt);
    assert!(error.to_string().contains(key.as_ref()), "{error}");
    let error = archive
        .compactor(options())
        .run_once(&at(NOON_MS))
        .await
        .unwrap_err();
    assert!(error.to_string().contains(key.as_ref()), "{error}");
    warm.snapshot().await.unwrap();
    archive.objects.put(&key, bytes.into()).await.unwrap();
    archive.check_exactly_once().await;
}
