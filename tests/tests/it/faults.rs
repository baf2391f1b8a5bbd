//! A compaction of which every request fails once, before or after it took effect.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use varve_storage::Store;
use varve_storage::store::fault::{Fault as StoreFault, FaultStore};
use varve_tests::archive::{Archive, Samples, count, expected};
use varve_tests::s3::{Fault, FaultRule, RequestClass, S3Double};
use varve_tests::samples::{self, START_MS};
use varve_tests::stores::{self, BUCKET, PREFIX, TestStore};

const SCRAPES: i64 = 30;
/// Long after the samples, so that a compaction merges and cleans up too.
const NOW_MS: i64 = START_MS + 100 * 3_600_000;

/// An archive with some samples in the table and some in the WAL.
async fn prepare(archive: &Archive) -> Samples {
    let rows = samples::invented(5, SCRAPES);
    let (first, second) = rows.split_at(rows.len() / 2);
    archive.append(0, first, 200).await.unwrap();
    archive.compact(START_MS).await.unwrap();
    archive.append(0, second, 200).await.unwrap();
    archive.append(1, &second[..50], 20).await.unwrap();
    expected(&rows)
}

async fn assert_whole(archive: &Archive, wanted: &Samples, when: &str) {
    let contents = archive.contents().await;
    let contents = contents.unwrap_or_else(|error| panic!("{when}: {error}"));
    assert!(contents.samples == *wanted, "{when}: other samples");
    assert_eq!(contents.warnings, [""; 0], "{when}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_survives_the_failure_of_each_of_its_requests() {
    let origin: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let wanted = prepare(&Archive::new(Store::from_object_store(Arc::clone(&origin)))).await;

    // How many requests there are when none fails.
    let counted = FaultStore::new(stores::copy(&origin).await.unwrap());
    let archive = Archive::new(Store::from_object_store(Arc::new(counted.clone())));
    archive.compact(NOW_MS).await.unwrap();
    let requests = counted.log().len();
    assert!(requests > 30, "a compaction of only {requests} requests");

    for number in 0..requests {
        for fault in [StoreFault::Before, StoreFault::LostResponse] {
            let when = format!("request {number} {fault:?}");
            let store = stores::copy(&origin).await.unwrap();
            let healthy = Archive::new(Store::from_object_store(store.clone()));
            let faulty = FaultStore::new(store);
            faulty.fail_request(number, fault);
            let archive = Archive::new(Store::from_object_store(Arc::new(faulty.clone())));
            // It may fail or get over it. Whatever it does, everything can be read at once …
            let _ = archive.compact(NOW_MS).await;
            assert_whole(&healthy, &wanted, &when).await;
            // … and the next run ends the work.
            healthy.compact(NOW_MS).await.unwrap();
            healthy.compact(NOW_MS).await.unwrap();
            assert_whole(&healthy, &wanted, &format!("after {when}")).await;
            let contents = healthy.contents().await.unwrap();
            assert_eq!(contents.in_files, contents.stored, "{when}");
            assert_eq!(contents.stored, count(&wanted), "{when}: stored once");
        }
    }
}

/// The same over HTTP, where the client retries on its own: the answers of writes are lost or turn into errors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_on_s3_survives_lost_answers() {
    let origin = TestStore::s3().await.unwrap();
    let wanted = prepare(&origin.archive).await;
    let origin = origin.double.unwrap();
    let copy_of_origin = || async {
        let double = S3Double::with_bucket(BUCKET).await.unwrap();
        for key in origin.keys(BUCKET) {
            let bytes = origin.read(BUCKET, &key).unwrap();
            double.overwrite(BUCKET, &key, bytes).unwrap();
        }
        let archive = Archive::new(stores::s3_store(&double.endpoint()).unwrap());
        (double, archive)
    };
    let (counted, archive) = copy_of_origin().await;
    archive.compact(NOW_MS).await.unwrap();
    let puts = counted.counts()[&RequestClass::Put];
    assert!(puts > 5, "a compaction of only {puts} writes");

    for put in 0..puts {
        for fault in [
            Fault::ResponseLost,
            Fault::ErrorAfterEffect,
            Fault::Conflict,
        ] {
            let (double, archive) = copy_of_origin().await;
            let rule = FaultRule::new(fault).class(RequestClass::Put);
            double.inject(rule.key_part(PREFIX).skip(put));
            let _ = archive.compact(NOW_MS).await;
            double.heal();
            let when = format!("PUT {put} {fault:?}");
            assert_whole(&archive, &wanted, &when).await;
            archive.compact(NOW_MS).await.unwrap();
            let contents = archive.contents().await.unwrap();
            assert_eq!(contents.stored, count(&wanted), "{when}: stored once");
        }
    }
}

/// A writer whose PUTs meet every fault in turn acknowledges everything, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_on_s3_survives_every_fault() {
    let store = TestStore::s3().await.unwrap();
    let double = store.double.as_ref().unwrap();
    for (n, fault) in [
        Fault::SlowDown,
        Fault::InternalError,
        Fault::Conflict,
        Fault::ConnectionLost,
        Fault::ResponseLost,
        Fault::ErrorAfterEffect,
    ]
    .into_iter()
    .enumerate()
    {
        let rule = FaultRule::new(fault).class(RequestClass::Put);
        double.inject(rule.skip(2 + 7 * n as u64));
    }
    let rows = samples::invented(5, SCRAPES);
    store.archive.append(0, &rows, 40).await.unwrap();
    let struck = double.take_log();
    let struck = struck.iter().filter(|request| request.fault.is_some());
    assert_eq!(struck.count(), 6, "every fault struck");
    let contents = store.archive.contents().await.unwrap();
    let wanted = expected(&rows);
    assert!(contents.samples == wanted);
    assert_eq!(contents.stored, count(&wanted));
}
