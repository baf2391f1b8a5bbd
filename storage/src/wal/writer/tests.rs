#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutMode};

use super::*;
use crate::error::ErrorKind;
use crate::rows::SampleRows;
use crate::store::Store;
use crate::store::fault::{Fault, FaultStore, RequestClass};
use crate::wal::fixtures::{append, counter, float};
use crate::wal::{Segment, WalTail};

fn options() -> WalOptions {
    WalOptions {
        flush_interval: Duration::from_millis(20),
        ..WalOptions::default()
    }
}

async fn open(store: &Arc<dyn ObjectStore>) -> WalWriter {
    let keys = TenantKeys::default();
    WalWriter::open(Arc::clone(store), keys, 0, options())
        .await
        .unwrap()
}

/// A writer to which any pause is too long: it is late at every append.
async fn open_late(store: &Arc<dyn ObjectStore>) -> WalWriter {
    let late = WalOptions {
        grace: Duration::ZERO,
        ..options()
    };
    WalWriter::open(Arc::clone(store), TenantKeys::default(), 0, late)
        .await
        .unwrap()
}

async fn segments(store: &Arc<dyn ObjectStore>) -> Vec<Arc<Segment>> {
    let mut tail = WalTail::new(TenantKeys::default());
    let view = tail.refresh(store, &BTreeMap::new()).await.unwrap();
    assert!(view.corrupt.is_empty(), "{:?}", view.corrupt);
    view.segments
}

/// The values of all counters in the WAL, sorted, duplicates kept.
async fn values(store: &Arc<dyn ObjectStore>) -> Vec<u64> {
    let mut values = Vec::new();
    for segment in segments(store).await {
        let rows = SampleRows::new(&segment.samples).unwrap();
        for row in rows.iter() {
            values.extend(row.values().iter().map(|value| *value as u64));
        }
    }
    values.sort_unstable();
    values
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

fn faulty() -> (FaultStore, Arc<dyn ObjectStore>) {
    let faults = FaultStore::new(memory());
    (faults.clone(), Arc::new(faults))
}

#[tokio::test]
async fn appends_within_the_interval_share_a_segment_and_tickets_wait_for_it() {
    let store = memory();
    let writer = open(&store).await;
    let tickets = [
        writer.append(append(1)).await.unwrap(),
        writer.append(append(2)).await.unwrap(),
    ];
    assert!(segments(&store).await.is_empty());
    for ticket in tickets {
        assert_eq!(ticket.durable().await.unwrap(), 1);
    }
    assert_eq!(values(&store).await, [1, 2]);

    let third = writer.append(append(3)).await.unwrap();
    writer.flush().await.unwrap();
    assert_eq!(third.durable().await.unwrap(), 2);
    let counts = writer.metrics().snapshot();
    assert_eq!(
        (counts.segments, counts.samples, counts.buffered_bytes),
        (2, 3, 0)
    );
    assert_eq!(counts.last_sequence, 2);
}

#[tokio::test]
async fn one_row_per_series_sorted_and_duplicates_resolved_by_value() {
    let store = memory();
    let writer = open(&store).await;
    let (a, b) = (counter(1), counter(2));
    let samples = vec![
        float(&a, 3_000, 3.0),
        float(&b, 1_000, 1.0),
        float(&a, 1_000, 1.0),
        float(&a, 3_000, 5.0),
        float(&a, 2_000, 2.0),
    ];
    let second = Append {
        samples: vec![float(&a, 3_000, 4.0)],
        ..Append::default()
    };
    let first = Append {
        samples,
        ..Append::default()
    };
    writer.append(first).await.unwrap();
    writer.append(second).await.unwrap();
    writer.close().await.unwrap();
    let segments = segments(&store).await;
    assert_eq!(segments.len(), 1);
    let rows = SampleRows::new(&segments[0].samples).unwrap();
    assert_eq!(rows.len(), 2);
    let row = rows.iter().find(|row| row.series_id() == a.id).unwrap();
    assert_eq!(row.timestamps(), [1_000, 2_000, 3_000]);
    assert_eq!(row.values(), [1.0, 2.0, 5.0]);
}

#[tokio::test]
async fn a_full_segment_does_not_wait_for_the_interval() {
    let store = memory();
    let keys = TenantKeys::default();
    let small = WalOptions {
        flush_interval: Duration::from_secs(3_600),
        segment_bytes_max: 1,
        ..options()
    };
    let writer = WalWriter::open(Arc::clone(&store), keys, 0, small)
        .await
        .unwrap();
    for number in 1..=3 {
        let ticket = writer.append(append(number)).await.unwrap();
        assert_eq!(ticket.durable().await.unwrap(), number as u64);
    }
}

#[tokio::test]
async fn who_cannot_wait_does_not_and_takes_others_along() {
    let store = memory();
    let slow = WalOptions {
        flush_interval: Duration::from_secs(3_600),
        ..options()
    };
    let writer = WalWriter::open(Arc::clone(&store), TenantKeys::default(), 0, slow)
        .await
        .unwrap();
    let patient = writer.append(append(1)).await.unwrap();
    let wait = Duration::from_millis(1);
    let hasty = writer.append_within(append(2), wait).await.unwrap();
    assert_eq!(hasty.durable().await.unwrap(), 1);
    assert_eq!(patient.durable().await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_buffer_holds_appends_back_until_the_store_answers() {
    let (faults, store) = faulty();
    let keys = TenantKeys::default();
    let small = WalOptions {
        segment_bytes_max: 1,
        buffer_bytes_max: 2_000,
        ..options()
    };
    let writer = WalWriter::open(Arc::clone(&store), keys, 0, small)
        .await
        .unwrap();
    faults.fail_class(RequestClass::Put, Fault::Before);
    let first = writer.append(append(1)).await.unwrap();
    // The buffer has one permit, and the first append holds it.
    let second = writer.append(append(2));
    tokio::pin!(second);
    while writer.metrics().snapshot().put_retries < 3 {
        let pause = Duration::from_millis(1);
        assert!(tokio::time::timeout(pause, &mut second).await.is_err());
    }
    faults.heal();
    first.durable().await.unwrap();
    second.await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(values(&store).await, [1, 2]);
}

#[tokio::test]
async fn every_request_of_a_writers_life_may_fail_in_turn() {
    /// A life: open, three segments, close. Gives what was acknowledged.
    async fn live(store: &Arc<dyn ObjectStore>) -> Vec<u64> {
        let keys = TenantKeys::default();
        let mut acknowledged = Vec::new();
        let Ok(writer) = WalWriter::open(Arc::clone(store), keys, 0, options()).await else {
            return acknowledged;
        };
        for number in 1..=3_usize {
            let ticket = writer.append(append(number)).await.unwrap();
            writer.flush().await.unwrap();
            ticket.durable().await.unwrap();
            acknowledged.push(number as u64);
        }
        writer.close().await.unwrap();
        acknowledged
    }

    let (faults, store) = faulty();
    assert_eq!(live(&store).await, [1, 2, 3]);
    let requests = faults.log().len();
    assert_eq!(requests, 4, "one LIST and three PUTs: {:?}", faults.log());
    for fault in [Fault::Before, Fault::LostResponse] {
        for number in 0..requests {
            // A retry has further requests; they fail as well in a second pass.
            for also in [None, Some(number + 1)] {
                let (faults, store) = faulty();
                faults.fail_request(number, fault);
                if let Some(also) = also {
                    faults.fail_request(also, fault);
                }
                let acknowledged = live(&store).await;
                faults.heal();
                assert_eq!(
                    values(&store).await,
                    acknowledged,
                    "{fault:?} at request {number} and {also:?}: {:?}",
                    faults.log()
                );
            }
        }
    }
}

#[tokio::test]
async fn two_writers_on_one_shard_lose_and_double_nothing() {
    two_writers(memory()).await;
}

#[tokio::test]
async fn two_writers_on_one_shard_of_a_folder_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let url = StorageUrl::local(folder.path());
    two_writers(Store::open(&url).unwrap().objects()).await;
}

async fn two_writers(store: Arc<dyn ObjectStore>) {
    let writers = [Arc::new(open(&store).await), Arc::new(open(&store).await)];
    let tasks: Vec<_> = writers
        .iter()
        .enumerate()
        .map(|(number, writer)| {
            let writer = Arc::clone(writer);
            tokio::spawn(async move {
                let mut sequences = Vec::new();
                for round in 0..20 {
                    let ticket = writer.append(append(2 * round + number)).await.unwrap();
                    writer.flush().await.unwrap();
                    sequences.push(ticket.durable().await.unwrap());
                }
                sequences
            })
        })
        .collect();
    let mut sequences = BTreeSet::new();
    for task in tasks {
        sequences.extend(task.await.unwrap());
    }
    assert_eq!(sequences, (1..=40).collect::<BTreeSet<u64>>());
    assert_eq!(values(&store).await, (0..40).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_killed_writer_loses_only_what_was_not_acknowledged() {
    let store = memory();
    let writer = open(&store).await;
    let first = writer.append(append(1)).await.unwrap();
    writer.flush().await.unwrap();
    first.durable().await.unwrap();
    let second = writer.append(append(2)).await.unwrap();
    drop(writer);
    let error = second.durable().await.unwrap_err();
    assert!(matches!(error, Error::Closed { shard: 0 }), "{error}");
    assert_eq!(values(&store).await, [1]);

    let next = open(&store).await;
    let ticket = next.append(append(3)).await.unwrap();
    next.close().await.unwrap();
    assert_eq!(ticket.durable().await.unwrap(), 2);
}

/// Puts foreign segments under the given names, as a busy rival would.
async fn rival(store: &Arc<dyn ObjectStore>, sequences: impl IntoIterator<Item = u64>) {
    let keys = TenantKeys::default();
    for sequence in sequences {
        let content = crate::wal::SegmentContent::default();
        let bytes = crate::wal::encode_segment(Uuid::new_v4(), 0, sequence, &content).unwrap();
        let key = keys.wal_segment(0, sequence);
        store
            .put_opts(&key, bytes.into(), PutMode::Create.into())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_late_writer_finds_the_end_behind_consumed_segments() {
    let store = memory();
    let keys = TenantKeys::default();
    let writer = open_late(&store).await;
    writer.append(append(1)).await.unwrap();
    writer.flush().await.unwrap();
    // While it sleeps, others go on, the compactor consumes up to 9, and clean-up keeps only that one and what follows.
    rival(&store, 2..=11).await;
    for sequence in 1..=8 {
        store.delete(&keys.wal_segment(0, sequence)).await.unwrap();
    }
    let ticket = writer.append(append(2)).await.unwrap();
    writer.flush().await.unwrap();
    assert_eq!(ticket.durable().await.unwrap(), 12);
    assert_eq!(writer.metrics().snapshot().late_moves, 1);
    // The orphan under the freed name is gone.
    assert!(store.head(&keys.wal_segment(0, 2)).await.is_err());
    let marks = BTreeMap::from([(0, 9)]);
    let mut tail = WalTail::new(keys);
    let view = tail.refresh(&store, &marks).await.unwrap();
    assert_eq!(view.heads, BTreeMap::from([(0, 12)]));
}

#[tokio::test]
async fn a_late_writer_in_front_of_rivals_appends_twice_rather_than_never() {
    let store = memory();
    let writer = open_late(&store).await;
    // It never wrote; the shard's first segments were consumed and deleted meanwhile.
    rival(&store, [2, 3]).await;
    let ticket = writer.append(append(1)).await.unwrap();
    writer.flush().await.unwrap();
    assert_eq!(ticket.durable().await.unwrap(), 4);
}

#[tokio::test]
async fn many_taken_names_are_skipped_by_one_listing() {
    let (faults, store) = faulty();
    let writer = open(&store).await;
    rival(&store, 1..=50).await;
    let before = faults.log().len();
    let ticket = writer.append(append(1)).await.unwrap();
    writer.flush().await.unwrap();
    assert_eq!(ticket.durable().await.unwrap(), 51);
    assert!(faults.log().len() - before < 12);
}

#[tokio::test]
async fn a_closed_writer_refuses_appends() {
    let store = memory();
    let writer = open(&store).await;
    let last = writer.append(append(1)).await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(last.durable().await.unwrap(), 1);
    let error = writer.append(append(2)).await.unwrap_err();
    assert!(matches!(error, Error::Closed { shard: 0 }));
    assert!(writer.flush().await.is_err());
}

#[tokio::test]
async fn an_empty_append_is_durable_at_once_and_writes_nothing() {
    let store = memory();
    let writer = open(&store).await;
    let ticket = writer.append(Append::default()).await.unwrap();
    assert_eq!(ticket.durable().await.unwrap(), 0);
    writer.close().await.unwrap();
    assert!(segments(&store).await.is_empty());
}

#[tokio::test]
async fn a_series_with_too_many_labels_is_refused_and_nothing_else() {
    let store = memory();
    let writer = open(&store).await;
    let pairs = (0..2_000).map(|i| (format!("l{i}"), "v"));
    let wide = Arc::new(crate::labels::Series::new(
        crate::labels::Labels::from_pairs(pairs),
    ));
    let refused = Append {
        samples: vec![float(&wide, 1, 1.0)],
        ..Append::default()
    };
    let good = writer.append(append(1)).await.unwrap();
    let error = writer.append(refused).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    writer.close().await.unwrap();
    good.durable().await.unwrap();
    assert_eq!(values(&store).await, [1]);
}

#[tokio::test]
async fn an_id_collision_refuses_one_append_and_keeps_the_rest() {
    let store = memory();
    let writer = open(&store).await;
    let good = writer.append(append(1)).await.unwrap();
    let forged = Arc::new(crate::labels::Series {
        id: counter(1).id,
        labels: counter(2).labels.clone(),
    });
    let bad = Append {
        samples: vec![float(&counter(3), 1, 3.0), float(&forged, 1, 2.0)],
        ..Append::default()
    };
    let bad = writer.append(bad).await.unwrap();
    writer.close().await.unwrap();
    good.durable().await.unwrap();
    let error = bad.durable().await.unwrap_err();
    assert!(error.to_string().contains("has the id of"), "{error}");
    assert_eq!(values(&store).await, [1]);
}
