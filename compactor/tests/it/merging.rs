//! Small files into large ones.

use object_store::ObjectStoreExt;
use proptest::prelude::*;
use varve_compactor::{CompactorOptions, WINDOW_MS};
use varve_storage::stale_nan;

use crate::archive::{Archive, HOUR_MS, NOON_MS, Sample, at, options};

fn levels(snapshot: &varve_table::TableSnapshot) -> Vec<u8> {
    let mut levels: Vec<u8> = snapshot.files.values().map(|f| f.level).collect();
    levels.sort_unstable();
    levels
}

#[tokio::test]
async fn windows_then_days_are_merged_when_they_are_closed() {
    let mut archive = Archive::new();
    let compactor = archive.compactor(options());
    for window in 0..2i64 {
        for i in 0..3i64 {
            let time = NOON_MS + window * WINDOW_MS + i * 60_000;
            let samples: Vec<Sample> = (0..10).map(|s| (s, time, s as f64)).collect();
            archive.segment(0, &samples).await;
            compactor.run_once(&at(time)).await.unwrap();
        }
    }
    let snapshot = archive.snapshot().await;
    assert_eq!(levels(&snapshot.samples), [0; 6]);
    archive.check_exactly_once().await;
    compactor
        .run_once(&at(NOON_MS + 5 * HOUR_MS))
        .await
        .unwrap();
    assert_eq!(levels(&archive.snapshot().await.samples), [1, 1]);
    archive.check_exactly_once().await;
    let next_day = NOON_MS + 12 * HOUR_MS + 600_000;
    compactor.run_once(&at(next_day)).await.unwrap();
    let snapshot = archive.snapshot().await;
    assert_eq!(levels(&snapshot.samples), [2]);
    assert_eq!(levels(&snapshot.series), [2]);
    archive.check_exactly_once().await;
    // One late sample does not rewrite the day at once, but after a while it does.
    archive.segment(0, &[(0, NOON_MS + 1, 1.0)]).await;
    for _ in 0..2 {
        let options = CompactorOptions {
            target_file_bytes: 1,
            ..options()
        };
        archive
            .compactor(options)
            .run_once(&at(next_day + 1))
            .await
            .unwrap();
        archive.check_exactly_once().await;
    }
    compactor
        .run_once(&at(next_day + 7 * HOUR_MS))
        .await
        .unwrap();
    let snapshot = archive.snapshot().await;
    assert!(levels(&snapshot.samples).iter().all(|level| *level == 2));
    archive.check_exactly_once().await;
}

#[tokio::test]
async fn many_small_files_of_an_open_window_become_few() {
    let mut archive = Archive::new();
    let compactor = archive.compactor(CompactorOptions {
        small_files_max: 4,
        ..options()
    });
    for i in 0..9i64 {
        archive
            .segment(
                0,
                &[
                    (0, NOON_MS + i * 15_000, 1.0),
                    (1, NOON_MS + i * 15_000, 2.0),
                ],
            )
            .await;
        compactor.run_once(&at(NOON_MS + i * 15_000)).await.unwrap();
    }
    let snapshot = archive.snapshot().await;
    assert!(
        snapshot.samples.files.len() <= 4,
        "{}",
        snapshot.samples.files.len()
    );
    assert!(snapshot.series.files.len() <= 4);
    assert_eq!(snapshot.metadata.files.len(), 1);
    archive.check_exactly_once().await;
}

#[tokio::test]
async fn large_outputs_are_split_between_series() {
    let mut archive = Archive::new();
    let compactor = archive.compactor(CompactorOptions {
        target_file_bytes: 20_000,
        ..options()
    });
    for i in 0..3i64 {
        let samples: Vec<Sample> = (0..60)
            .flat_map(|s| {
                (0..200).map(move |k| {
                    let noise = ((s * 7_919 + k * 104_729 + i as usize) % 9_973) as f64;
                    (s, NOON_MS + (i * 200 + k as i64) * 1_000, noise.sqrt())
                })
            })
            .collect();
        archive.segment(0, &samples).await;
        compactor.run_once(&at(NOON_MS)).await.unwrap();
    }
    compactor
        .run_once(&at(NOON_MS + 3 * HOUR_MS))
        .await
        .unwrap();
    let snapshot = archive.snapshot().await;
    assert!(
        snapshot.samples.files.len() > 1,
        "{}",
        snapshot.samples.files.len()
    );
    assert!(levels(&snapshot.samples).iter().all(|level| *level == 1));
    let rows: u64 = snapshot.samples.files.values().map(|f| f.rows).sum();
    assert_eq!(rows, 60, "one row per series and window");
    archive.check_exactly_once().await;
}

#[tokio::test]
async fn a_broken_file_is_named_and_other_windows_are_merged_all_the_same() {
    let mut archive = Archive::new();
    let compactor = archive.compactor(options());
    for window in 0..2i64 {
        archive
            .segment(0, &[(0, NOON_MS + window * WINDOW_MS, 1.0)])
            .await;
        compactor.run_once(&at(NOON_MS)).await.unwrap();
    }
    let snapshot = archive.snapshot().await;
    let file = snapshot
        .samples
        .files
        .values()
        .find(|f| f.min_time_ms == NOON_MS)
        .unwrap();
    let key = file.key(&snapshot.samples.root);
    let bytes = archive
        .objects
        .get(&key)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let mut broken = bytes.to_vec();
    broken[40] ^= 1;
    archive.objects.put(&key, broken.into()).await.unwrap();
    let report = compactor
        .run_once(&at(NOON_MS + 6 * HOUR_MS))
        .await
        .unwrap();
    assert_eq!(report.failed_merges.len(), 1);
    assert!(
        report.failed_merges[0].contains(key.as_ref()),
        "{:?}",
        report.failed_merges
    );
    let after = archive.snapshot().await;
    assert_eq!(levels(&after.samples), [0, 1]);
    archive.objects.put(&key, bytes.into()).await.unwrap();
    compactor
        .run_once(&at(NOON_MS + 6 * HOUR_MS))
        .await
        .unwrap();
    assert_eq!(levels(&archive.snapshot().await.samples), [1, 1]);
    archive.check_exactly_once().await;
}

fn sample() -> impl Strategy<Value = Sample> {
    let value = prop_oneof![
        Just(stale_nan()),
        Just(f64::from_bits(0x7ff8_0000_dead_beef)),
        Just(-0.0),
        Just(f64::INFINITY),
        (0..5i64).prop_map(|v| v as f64),
        any::<f64>(),
    ];
    // Few series and times, so that duplicates and window ends are common.
    (0..4usize, 0..40i64, value).prop_map(|(series, slot, value)| {
        (series, NOON_MS - 13 * HOUR_MS + slot * 40 * 60_000, value)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However samples are spread over segments, passes and merges: the same rows in the end.
    #[test]
    fn any_split_gives_the_same_rows(
        segments in prop::collection::vec(prop::collection::vec(sample(), 1..12), 1..8),
        run_after in prop::collection::vec(any::<bool>(), 8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut archive = Archive::new();
            let compactor = archive.compactor(CompactorOptions { small_files_max: 2, ..options() });
            for (segment, run) in segments.iter().zip(run_after) {
                archive.segment(0, segment).await;
                if run {
                    compactor.run_once(&at(NOON_MS)).await.unwrap();
                }
            }
            // Far in the future everything is closed and each day is one file, without a duplicate.
            for _ in 0..2 {
                compactor.run_once(&at(NOON_MS + 100 * HOUR_MS)).await.unwrap();
            }
            let snapshot = archive.snapshot().await;
            let days: std::collections::BTreeSet<_> = snapshot.samples.files.values().map(|f| f.date).collect();
            prop_assert_eq!(days.len(), snapshot.samples.files.len());
            let in_table: u64 = snapshot.samples.files.values().map(|f| f.samples).sum();
            prop_assert_eq!(in_table as usize, archive.expected.len());
            // Nor is there an exemplar twice, which may have come in several segments.
            let exemplars = archive.exemplars_table().await;
            let in_table: u64 = exemplars.files.values().map(|f| f.rows).sum();
            prop_assert_eq!(in_table as usize, archive.exemplars.len());
            // Samples that came twice in different passes count twice in `series`; only their presence is checked here.
            archive.check_values().await;
            Ok(())
        })?;
    }
}
