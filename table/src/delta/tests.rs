#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::entry::{checkpoint_key, entry_key, last_checkpoint_key};
use super::*;
use crate::kind::TableKind;
use crate::stats::{Bounds, FileStats};

fn add(path: &str) -> Add {
    let mut stats = FileStats::new(10);
    stats.column("__name__", &Bounds::Text("a".into(), "up".into()));
    stats.column("min_time", &Bounds::Long(1_000, 2_000));
    stats.column("max_time", &Bounds::Long(1_500, 2_500));
    Add {
        path: path.to_owned(),
        partition_values: [("date".to_owned(), Some("1970-01-01".to_owned()))].into(),
        size: 100,
        modification_time: 5,
        data_change: true,
        stats: Some(serde_json::to_string(&stats).unwrap()),
        tags: Some([("varve.level".to_owned(), Some("1".to_owned()))].into()),
    }
}

fn store() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

async fn table(store: &Arc<dyn ObjectStore>) -> DeltaTable {
    DeltaTable::open_or_create(
        Arc::clone(store),
        Path::from("t/samples"),
        TableKind::Samples,
        1_000,
    )
    .await
    .unwrap()
}

async fn committed(table: &DeltaTable, commit: Commit) -> Arc<TableSnapshot> {
    match table.commit(&commit, 2_000).await.unwrap() {
        CommitOutcome::Committed(snapshot) => snapshot,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_missing_table_is_empty_and_created_once() {
    let store = store();
    let reader = DeltaTable::new(
        Arc::clone(&store),
        Path::from("t/samples"),
        TableKind::Samples,
    );
    assert!(!reader.refresh().await.unwrap().exists());
    let one = table(&store).await.refresh().await.unwrap();
    let two = table(&store).await.refresh().await.unwrap();
    assert_eq!((one.version, two.version), (0, 0));
    assert_eq!(one.table_id(), two.table_id());
    assert_eq!(reader.refresh().await.unwrap().table_id(), one.table_id());
}

#[tokio::test]
async fn a_commit_is_seen_with_statistics_and_marks() {
    let store = store();
    let table = table(&store).await;
    let commit = Commit::append("WAL")
        .add_file(add("date=1970-01-01/a.parquet"))
        .advance(0, 0, 7);
    let ours = committed(&table, commit).await;
    let reader = DeltaTable::new(store, Path::from("t/samples"), TableKind::Samples);
    let theirs = reader.refresh().await.unwrap();
    for snapshot in [ours, theirs] {
        assert_eq!(snapshot.version, 1);
        assert_eq!(snapshot.wal_marks(), [(0, 7)].into());
        let file = &snapshot.files["date=1970-01-01/a.parquet"];
        assert_eq!((file.level, file.rows, file.size_bytes), (1, 10, 100));
        assert_eq!((file.min_time_ms, file.max_time_ms), (1_000, 2_500));
        assert_eq!(file.min_name.as_deref(), Some("a"));
        assert_eq!(snapshot.files_between(2_501, 9_000).count(), 0);
        assert_eq!(snapshot.files_between(0, 1_000).count(), 1);
    }
}

#[tokio::test]
async fn the_guard_refuses_stale_marks_and_dead_files() {
    let store = store();
    let table = table(&store).await;
    let first = committed(
        &table,
        Commit::append("WAL")
            .add_file(add("date=1970-01-01/a.parquet"))
            .advance(0, 0, 7),
    )
    .await;
    let again = Commit::append("WAL").advance(0, 0, 9);
    assert!(matches!(
        table.commit(&again, 0).await.unwrap(),
        CommitOutcome::Superseded(_)
    ));
    let file = Arc::clone(&first.files["date=1970-01-01/a.parquet"]);
    let rewrite = |path| {
        Commit::rewrite("MERGE")
            .remove_file(Arc::clone(&file))
            .add_file(add(path))
    };
    let second = committed(&table, rewrite("date=1970-01-01/b.parquet")).await;
    assert_eq!(second.txns[REWRITE_APP], 1);
    assert_eq!(
        second.files.keys().collect::<Vec<_>>(),
        ["date=1970-01-01/b.parquet"]
    );
    let outcome = table
        .commit(&rewrite("date=1970-01-01/c.parquet"), 0)
        .await
        .unwrap();
    assert!(
        matches!(outcome, CommitOutcome::Superseded(_)),
        "{outcome:?}"
    );
    assert_eq!(table.refresh().await.unwrap().version, 2);
}

#[tokio::test]
async fn writers_on_an_old_snapshot_conflict_and_then_both_succeed() {
    let store = store();
    let one = table(&store).await;
    let two = table(&store).await;
    let base = two.refresh().await.unwrap();
    committed(&one, Commit::append("WAL").advance(0, 0, 1)).await;
    let other = Commit::append("WAL").advance(1, 0, 1);
    assert!(matches!(
        two.try_commit(&base, &other, 0).await.unwrap(),
        CommitOutcome::Conflict
    ));
    let snapshot = committed(&two, other).await;
    assert_eq!(snapshot.wal_marks(), [(0, 1), (1, 1)].into());
}

#[tokio::test]
async fn a_checkpoint_gives_the_same_state_and_lets_old_entries_go() {
    let store = store();
    let table = table(&store).await;
    for i in 0..12u64 {
        let commit = Commit::append("WAL")
            .add_file(add(&format!("date=1970-01-01/{i}.parquet")))
            .advance(0, i, i + 1);
        let snapshot = committed(&table, commit).await;
        if i == 8 {
            let file = Arc::clone(&snapshot.files["date=1970-01-01/0.parquet"]);
            committed(&table, Commit::rewrite("MERGE").remove_file(file)).await;
        }
    }
    let before = table.refresh().await.unwrap();
    table.checkpoint(&before).await.unwrap();
    committed(&table, Commit::append("WAL").advance(0, 12, 13)).await;
    // Nothing before the checkpoint is needed any more.
    for version in 0..=before.version {
        store
            .delete(&entry_key(&Path::from("t/samples"), version))
            .await
            .unwrap();
    }
    let reader = DeltaTable::new(store, Path::from("t/samples"), TableKind::Samples);
    let after = reader.refresh().await.unwrap();
    assert_eq!(after.version, before.version + 1);
    assert_eq!(after.files, before.files);
    assert_eq!(after.removed, before.removed);
    assert_eq!(after.wal_marks(), [(0, 13)].into());
    assert_eq!(after.txns[REWRITE_APP], 1);
    assert_eq!(after.table_id(), before.table_id());
    assert_eq!(after.checkpoint_version(), Some(before.version));
}

#[tokio::test]
async fn a_log_without_its_beginning_is_not_started_again() {
    let store = store();
    let table = table(&store).await;
    committed(&table, Commit::append("WAL").advance(0, 0, 1)).await;
    store.delete(&entry_key(table.root(), 0)).await.unwrap();
    let other = DeltaTable::new(Arc::clone(&store), table.root().clone(), TableKind::Samples);
    let error = other.create_if_missing(0).await.unwrap_err();
    assert!(error.to_string().contains("_last_checkpoint"), "{error}");
}

#[tokio::test]
async fn a_broken_checkpoint_is_an_error_that_names_it() {
    let store = store();
    let table = table(&store).await;
    let snapshot = committed(
        &table,
        Commit::append("WAL").add_file(add("date=1970-01-01/a.parquet")),
    )
    .await;
    table.checkpoint(&snapshot).await.unwrap();
    let key = checkpoint_key(table.root(), 1);
    let bytes = store.get(&key).await.unwrap().bytes().await.unwrap();
    let cold = || {
        DeltaTable::new(
            Arc::clone(&store),
            Path::from("t/samples"),
            TableKind::Samples,
        )
    };
    for byte in (0..bytes.len()).step_by(7) {
        let mut broken = bytes.to_vec();
        broken[byte] ^= 0x10;
        store.put(&key, broken.into()).await.unwrap();
        // Some bits of a Parquet file mean nothing; all others must be noticed.
        match cold().refresh().await {
            Ok(read) => assert_eq!((&read.files, &read.txns), (&snapshot.files, &snapshot.txns)),
            Err(error) => assert!(
                error.to_string().contains("00001.checkpoint.parquet"),
                "{error}"
            ),
        }
    }
    store
        .put(&key, bytes.slice(..bytes.len() / 2).into())
        .await
        .unwrap();
    let error = cold().refresh().await.unwrap_err();
    assert!(
        error.to_string().contains("00001.checkpoint.parquet"),
        "{error}"
    );
    store
        .put(&last_checkpoint_key(table.root()), "{".into())
        .await
        .unwrap();
    let error = cold().refresh().await.unwrap_err();
    assert!(error.to_string().contains("_last_checkpoint"), "{error}");
}

#[tokio::test]
async fn clean_up_keeps_what_is_live_young_or_needed() {
    let store = store();
    let table = table(&store).await;
    let put = |path: &str| {
        let key = Path::from("t/samples").join("date=1970-01-01").join(path);
        let store = Arc::clone(&store);
        async move { store.put(&key, "x".into()).await.unwrap() }
    };
    for name in ["a.parquet", "b.parquet", "orphan.parquet"] {
        put(name).await;
    }
    let now_ms = chrono::Utc::now().timestamp_millis();
    let snapshot = committed(
        &table,
        Commit::append("WAL").add_file(add("date=1970-01-01/a.parquet")),
    )
    .await;
    let file = Arc::clone(&snapshot.files["date=1970-01-01/a.parquet"]);
    let merge = Commit::rewrite("MERGE")
        .remove_file(file)
        .add_file(add("date=1970-01-01/b.parquet"));
    let CommitOutcome::Committed(merged) = table.commit(&merge, now_ms).await.unwrap() else {
        panic!("not committed");
    };
    table.checkpoint(&merged).await.unwrap();
    let options = CleanUpOptions::default();
    let clean = |at_ms| table.clean_up(&options, at_ms);
    assert_eq!(clean(now_ms + 1_000).await.unwrap(), CleanUp::default());
    let later = clean(now_ms + 900_000).await.unwrap();
    assert_eq!(
        (later.replaced_files, later.orphans, later.log_objects),
        (1, 0, 0)
    );
    let much_later = clean(now_ms + 25 * 3_600_000).await.unwrap();
    assert_eq!(
        (
            much_later.replaced_files,
            much_later.orphans,
            much_later.log_objects
        ),
        (0, 1, 2)
    );
    let cold = DeltaTable::new(
        Arc::clone(&store),
        Path::from("t/samples"),
        TableKind::Samples,
    );
    let read = cold.refresh().await.unwrap();
    assert_eq!(read.files, merged.files);
    store
        .head(&read.files["date=1970-01-01/b.parquet"].key(&read.root))
        .await
        .unwrap();
}

#[tokio::test]
async fn marks_of_the_past_are_found() {
    let store = store();
    let table = table(&store).await;
    for i in 0..20u64 {
        let commit = Commit::append("WAL").advance(0, i, i + 1);
        table
            .commit(&commit, 10_000 + i as i64 * 1_000)
            .await
            .unwrap();
    }
    assert_eq!(table.wal_marks_at(60_000).await.unwrap(), [(0, 20)].into());
    let past = table.wal_marks_at(20_000).await.unwrap()[&0];
    assert!((1..=11).contains(&past), "{past}");
    assert_eq!(table.wal_marks_at(10).await.unwrap(), [].into());
}

#[tokio::test]
async fn a_commit_of_a_sleeper_does_not_land_where_the_log_was_cleaned_up() {
    let store = store();
    let one = table(&store).await;
    let sleeper = table(&store).await;
    let base = committed(&one, Commit::append("WAL").advance(0, 0, 1)).await;
    for i in 1..4 {
        committed(&one, Commit::append("WAL").advance(0, i, i + 1)).await;
    }
    let newest = one.refresh().await.unwrap();
    one.checkpoint(&newest).await.unwrap();
    for version in 0..newest.version {
        let key = entry_key(one.root(), version);
        store.delete(&key).await.unwrap();
    }
    // Its own snapshot is of another version than `base`, so the age of `base` is unknown.
    let commit = Commit::append("WAL").advance(0, 1, 2);
    let error = sleeper.try_commit(&base, &commit, 0).await.unwrap_err();
    assert!(
        matches!(error, crate::Error::CommitUnknown { .. }),
        "{error}"
    );
    assert!(store.head(&entry_key(one.root(), 2)).await.is_err());
    assert_eq!(
        sleeper.refresh().await.unwrap().wal_marks(),
        [(0, 4)].into()
    );
}
