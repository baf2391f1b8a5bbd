//! WAL segments into level-0 files.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use object_store::ObjectStoreExt;
use varve_compactor::{CompactorOptions, Progress, RunOptions, WINDOW_MS};
use varve_storage::stale_nan;

use crate::archive::{Archive, HOUR_MS, NOON_MS, at, options};

#[tokio::test]
async fn everything_moves_from_the_wal_into_the_tables() {
    let mut archive = Archive::new();
    archive.fill(20).await;
    archive.check_exactly_once().await;
    let report = archive
        .compactor(options())
        .run_once(&at(NOON_MS))
        .await
        .unwrap();
    assert_eq!((report.segments, report.samples), (4, 240));
    let snapshot = archive.snapshot().await;
    assert!(snapshot.wal.is_empty());
    assert_eq!(snapshot.samples.wal_marks(), [(0, 2), (1, 2)].into());
    assert_eq!(snapshot.series.wal_marks(), snapshot.samples.wal_marks());
    archive.check_exactly_once().await;
    let again = archive
        .compactor(options())
        .run_once(&at(NOON_MS))
        .await
        .unwrap();
    assert_eq!((again.segments, again.files_written), (0, 0));
    archive.check_exactly_once().await;
}

#[tokio::test]
async fn a_pass_is_bounded_and_the_next_one_goes_on() {
    let mut archive = Archive::new();
    for i in 0..10 {
        archive
            .segment(0, &[(0, NOON_MS + i * 1_000, i as f64)])
            .await;
    }
    let options = CompactorOptions {
        pass_segments_max: 3,
        small_files_max: 100,
        ..options()
    };
    let report = archive
        .compactor(options)
        .run_once(&at(NOON_MS))
        .await
        .unwrap();
    assert_eq!(report.segments, 10);
    assert_eq!(archive.snapshot().await.samples.version, 4);
    archive.check_exactly_once().await;
}

#[tokio::test]
async fn late_and_early_samples_go_to_their_day_and_window() {
    let mut archive = Archive::new();
    let times = [
        NOON_MS - 36 * HOUR_MS,
        NOON_MS - 12 * HOUR_MS - 1,
        NOON_MS - 12 * HOUR_MS,
        NOON_MS - 1,
        NOON_MS,
        NOON_MS + WINDOW_MS - 1,
        NOON_MS + WINDOW_MS,
        -5,
    ];
    let samples: Vec<_> = times.iter().map(|time| (1, *time, 1.0)).collect();
    archive.segment(0, &samples).await;
    archive
        .compactor(options())
        .run_once(&at(NOON_MS))
        .await
        .unwrap();
    archive.check_exactly_once().await;
    let snapshot = archive.snapshot().await;
    let mut dates: Vec<String> = snapshot
        .samples
        .files
        .values()
        .map(|f| f.date.to_string())
        .collect();
    dates.dedup();
    assert_eq!(dates, ["1969-12-31", "2026-11-22", "2026-11-23"]);
}

#[tokio::test]
async fn of_duplicates_the_one_that_stands_is_kept_whatever_the_order() {
    for flip in [false, true] {
        let mut archive = Archive::new();
        let mut values = [stale_nan(), 2.0, 1.0, f64::NEG_INFINITY];
        if flip {
            values.reverse();
        }
        for value in values {
            archive
                .segment(0, &[(0, NOON_MS, value), (1, NOON_MS, stale_nan())])
                .await;
        }
        archive
            .compactor(options())
            .run_once(&at(NOON_MS))
            .await
            .unwrap();
        let snapshot = archive.snapshot().await;
        assert_eq!(
            snapshot
                .samples
                .files
                .values()
                .map(|f| f.samples)
                .sum::<u64>(),
            2
        );
        archive.sent = 2;
        archive.check_exactly_once().await;
    }
}

#[tokio::test]
async fn a_corrupt_segment_goes_into_quarantine_and_nothing_else_is_lost() {
    let mut archive = Archive::new();
    archive.segment(0, &[(0, NOON_MS, 1.0)]).await;
    let before = (archive.expected.clone(), archive.sent);
    archive.segment(0, &[(1, NOON_MS, 1.0)]).await;
    (archive.expected, archive.sent) = before;
    archive.segment(0, &[(2, NOON_MS, 1.0)]).await;
    let key = archive.keys.wal_segment(0, 2);
    let bytes = archive
        .objects
        .get(&key)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let broken = bytes.slice(..bytes.len() - 3);
    archive
        .objects
        .put(&key, broken.clone().into())
        .await
        .unwrap();
    let snapshot = archive.snapshot().await;
    assert_eq!(snapshot.warnings.len(), 1);
    assert!(
        snapshot.warnings[0].contains(key.as_ref()),
        "{:?}",
        snapshot.warnings
    );
    let report = archive
        .compactor(options())
        .run_once(&at(NOON_MS))
        .await
        .unwrap();
    assert_eq!(report.quarantined, [key.to_string()]);
    assert_eq!(report.segments, 2);
    let copy = archive
        .objects
        .get(&archive.keys.quarantined_segment(0, 2))
        .await
        .unwrap();
    assert_eq!(copy.bytes().await.unwrap(), broken);
    archive.check_exactly_once().await;
}

#[tokio::test]
async fn clean_up_deletes_consumed_segments_but_the_last_and_nothing_live() {
    let mut archive = Archive::new();
    archive.fill(5).await;
    let now_ms = chrono::Utc::now().timestamp_millis();
    let compactor = archive.compactor(options());
    compactor.run_once(&at(now_ms)).await.unwrap();
    let (objects, keys) = (Arc::clone(&archive.objects), archive.keys.clone());
    let exists = async |shard, sequence| {
        let key = keys.wal_segment(shard, sequence);
        objects.head(&key).await.is_ok()
    };
    assert!(exists(0, 1).await && exists(0, 2).await);
    let later = compactor.run_once(&at(now_ms + HOUR_MS)).await.unwrap();
    assert_eq!(later.deleted_segments, 2);
    assert!(!exists(0, 1).await && exists(0, 2).await && !exists(1, 1).await && exists(1, 2).await);
    archive.check_exactly_once().await;
    // A compactor that was away for long must not take new segments with the old ones.
    archive.segment(0, &[(0, NOON_MS + HOUR_MS, 5.0)]).await;
    let report = compactor.run_once(&at(now_ms + 2 * HOUR_MS)).await.unwrap();
    assert_eq!((report.segments, report.deleted_segments), (1, 0));
    assert!(exists(0, 2).await && exists(0, 3).await);
    archive.check_exactly_once().await;
}

#[tokio::test]
async fn progress_and_counters_tell_what_was_done() {
    let mut archive = Archive::new();
    archive.fill(5).await;
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&seen);
    let run = RunOptions {
        progress: Some(Arc::new(move |progress: &Progress| {
            told.lock().unwrap().push(format!("{progress:?}"));
        })),
        ..at(NOON_MS)
    };
    let compactor = archive.compactor(options());
    compactor.run_once(&run).await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        ["Pass { segments: 4, samples: 60 }", "CleanUp"]
    );
    let metrics = compactor.metrics();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!(count(&metrics.samples), 60);
    assert_eq!(count(&metrics.segments), 4);
    assert_eq!((count(&metrics.runs), count(&metrics.failures)), (1, 0));
    assert!(count(&metrics.bytes_written) > 0);
}

#[tokio::test]
async fn cancelling_leaves_everything_in_place() {
    let mut archive = Archive::new();
    archive.fill(5).await;
    let run = at(NOON_MS);
    run.cancel.cancel();
    let error = archive
        .compactor(options())
        .run_once(&run)
        .await
        .unwrap_err();
    assert!(matches!(error, varve_compactor::Error::Cancelled));
    archive.check_exactly_once().await;
}
