#![allow(clippy::unwrap_used)]

use super::*;
use bytes::Bytes;
use object_store::memory::InMemory;
use uuid::Uuid;

use crate::error::ErrorKind;
use crate::store::Store;
use crate::store::fault::{Fault, FaultStore, RequestClass};
use crate::wal::fixtures::everything;
use crate::wal::{delete_consumed, encode_segment};

fn keys() -> TenantKeys {
    TenantKeys::default()
}

async fn write(store: &Arc<dyn ObjectStore>, shard: u32, sequences: impl IntoIterator<Item = u64>) {
    for sequence in sequences {
        let bytes = encode_segment(Uuid::new_v4(), shard, sequence, &everything()).unwrap();
        let key = keys().wal_segment(shard, sequence);
        store.put(&key, bytes.into()).await.unwrap();
    }
}

async fn clean_up(store: &Arc<dyn ObjectStore>, shard: u32, mark: u64, grace: Duration) -> u64 {
    let now = chrono::Utc::now();
    delete_consumed(store, &keys(), shard, mark, grace, now)
        .await
        .unwrap()
        .segments
}

fn places(view: &TailView) -> Vec<(u32, u64)> {
    view.segments
        .iter()
        .map(|s| (s.shard, s.sequence))
        .collect()
}

fn marks(pairs: &[(u32, u64)]) -> BTreeMap<u32, u64> {
    pairs.iter().copied().collect()
}

#[tokio::test]
async fn shards_and_segments_are_found_without_a_listing() {
    let store = Store::from_object_store(Arc::new(InMemory::new()));
    let objects = store.objects();
    write(&objects, 0, 1..=9).await;
    write(&objects, 1, 1..=2).await;
    let mut tail = WalTail::new(keys());
    let view = tail.refresh(&objects, &marks(&[])).await.unwrap();
    let want: Vec<_> = (1..=9).map(|s| (0, s)).chain([(1, 1), (1, 2)]).collect();
    assert_eq!(places(&view), want);
    assert_eq!(view.heads, marks(&[(0, 9), (1, 2)]));
    let shared = |s: &Arc<Segment>| Arc::as_ptr(&s.series[0]);
    assert_eq!(shared(&view.segments[0]), shared(&view.segments[8]));

    // Warm: one question per shard, and one for the shard that might be new.
    let before = store.counters().snapshot();
    let view = tail.refresh(&objects, &marks(&[])).await.unwrap();
    assert_eq!(view.segments.len(), 11);
    let asked = store.counters().snapshot().since(&before);
    assert_eq!((asked.get, asked.requests()), (3, 3));

    write(&objects, 1, [3]).await;
    let before = store.counters().snapshot();
    let view = tail.refresh(&objects, &marks(&[(0, 8)])).await.unwrap();
    assert_eq!(places(&view), [(0, 9), (1, 1), (1, 2), (1, 3)]);
    let asked = store.counters().snapshot().since(&before);
    assert_eq!((asked.requests(), asked.list), (5, 0));
}

#[tokio::test]
async fn an_empty_archive_costs_one_request() {
    let store = Store::from_object_store(Arc::new(InMemory::new()));
    let mut tail = WalTail::new(keys());
    let view = tail.refresh(&store.objects(), &marks(&[])).await.unwrap();
    assert!(view.segments.is_empty() && view.heads.is_empty());
    assert_eq!(store.counters().snapshot().requests(), 1);
}

#[tokio::test]
async fn what_lies_below_the_marks_is_let_go() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    write(&store, 0, 1..=4).await;
    let mut tail = WalTail::new(keys());
    let first = tail.refresh(&store, &marks(&[])).await.unwrap();
    let dropped = Arc::downgrade(&first.segments[0]);
    drop(first);
    let view = tail.refresh(&store, &marks(&[(0, 3)])).await.unwrap();
    assert_eq!(places(&view), [(0, 4)]);
    assert!(dropped.upgrade().is_none());
    // An older snapshot may ask again.
    let view = tail.refresh(&store, &marks(&[(0, 1)])).await.unwrap();
    assert_eq!(places(&view), [(0, 2), (0, 3), (0, 4)]);
}

#[tokio::test]
async fn a_corrupt_segment_is_passed_over_with_a_warning_that_names_it() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    write(&store, 0, 1..=3).await;
    let key = keys().wal_segment(0, 2);
    store
        .put(&key, Bytes::from_static(b"rubbish").into())
        .await
        .unwrap();
    let mut tail = WalTail::new(keys());
    for _ in 0..2 {
        let view = tail.refresh(&store, &marks(&[])).await.unwrap();
        assert_eq!(places(&view), [(0, 1), (0, 3)]);
        assert_eq!(view.corrupt.len(), 1);
        assert_eq!(view.corrupt[0].sequence, 2);
        assert!(
            view.warnings[0].contains(key.as_ref()),
            "{:?}",
            view.warnings
        );
    }
}

#[tokio::test]
async fn marks_that_are_too_old_are_an_error_and_not_an_empty_answer() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    write(&store, 0, 1..=20).await;
    assert_eq!(clean_up(&store, 0, 15, Duration::ZERO).await, 14);
    // Cold, with the marks of an old snapshot.
    let mut tail = WalTail::new(keys());
    let error = tail.refresh(&store, &marks(&[(0, 4)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("00004.arrow"), "{error}");
    // With the gap in sight of one window.
    let error = tail.refresh(&store, &marks(&[(0, 13)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // The next snapshot is fine, with the same tail.
    let view = tail.refresh(&store, &marks(&[(0, 15)])).await.unwrap();
    assert_eq!(view.segments.len(), 5);
}

#[tokio::test]
async fn a_reader_that_slept_notices_that_its_chain_is_gone() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    write(&store, 0, 1..=3).await;
    let mut tail = WalTail::new(keys()).with_grace(Duration::ZERO);
    tail.refresh(&store, &marks(&[])).await.unwrap();
    write(&store, 0, 4..=9).await;
    clean_up(&store, 0, 8, Duration::ZERO).await;
    let error = tail.refresh(&store, &marks(&[])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let view = tail.refresh(&store, &marks(&[(0, 8)])).await.unwrap();
    assert_eq!(places(&view), [(0, 9)]);
}

#[tokio::test]
async fn a_failure_of_the_store_is_an_error_and_the_next_refresh_goes_on() {
    let faults = FaultStore::new(Arc::new(InMemory::new()));
    let store: Arc<dyn ObjectStore> = Arc::new(faults.clone());
    write(&store, 0, 1..=5).await;
    let puts = faults.log().len();
    for number in 0..8 {
        let mut tail = WalTail::new(keys());
        faults.fail_request(puts + number, Fault::Before);
        let failed = tail.refresh(&store, &marks(&[])).await;
        faults.heal();
        if let Err(error) = failed {
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        }
        let view = tail.refresh(&store, &marks(&[])).await.unwrap();
        assert_eq!(view.segments.len(), 5, "request {number}");
    }
    faults.fail_class(RequestClass::Get, Fault::Before);
    let mut tail = WalTail::new(keys());
    assert!(tail.refresh(&store, &marks(&[])).await.is_err());
}

#[tokio::test]
async fn marks_of_far_too_many_shards_are_refused() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut tail = WalTail::new(keys());
    let error = tail
        .refresh(&store, &marks(&[(u32::MAX, 1)]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[tokio::test]
async fn clean_up_keeps_the_mark_the_young_and_one_unbroken_run() {
    let faults = FaultStore::new(Arc::new(InMemory::new()));
    let store: Arc<dyn ObjectStore> = Arc::new(faults.clone());
    write(&store, 0, 1..=6).await;
    assert_eq!(clean_up(&store, 0, 4, Duration::from_secs(60)).await, 0);
    faults.fail_next(RequestClass::Delete, 1, Fault::Before);
    let now = chrono::Utc::now();
    let failed = delete_consumed(&store, &keys(), 0, 4, Duration::ZERO, now).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
    let exists = async |sequence| store.head(&keys().wal_segment(0, sequence)).await.is_ok();
    assert!(
        exists(1).await,
        "a segment that cannot be deleted ends the work"
    );
    faults.heal();
    assert_eq!(clean_up(&store, 0, 4, Duration::ZERO).await, 3);
    assert!(!exists(3).await && exists(4).await && exists(6).await);
    assert_eq!(clean_up(&store, 0, 4, Duration::ZERO).await, 0);
}
