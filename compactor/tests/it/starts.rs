//! Start timestamps through every level, and into a table that was made before there were any.

use std::collections::BTreeMap;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use uuid::Uuid;
use varve_compactor::CompactorOptions;
use varve_storage::SampleValue;
use varve_storage::columns::{NO_START_MS, START_TIMESTAMPS};
use varve_storage::rows::{SampleRows, SampleSet};
use varve_storage::wal::{SegmentContent, encode_segment};
use varve_table::{DeltaTable, TableKind};

use crate::archive::{Archive, HOUR_MS, NOON_MS, at, options, series};

/// Of sample `i` of a series; the first of three series has none.
fn start_ms(number: usize, i: i64) -> i64 {
    match (number, i % 3) {
        (0, _) | (_, 0) => NO_START_MS,
        _ => NOON_MS + i * 600_000 - 1,
    }
}

/// Segment `sequence` with five samples of each of three series; `starts`: whether with start timestamps.
async fn put(archive: &Archive, sequence: u64, starts: bool) {
    let mut set = SampleSet::default();
    let first = (sequence as i64 - 1) * 5;
    for number in 0..3 {
        let place = set.place(&series(number)).unwrap();
        for i in first..first + 5 {
            let start = if starts {
                start_ms(number, i)
            } else {
                NO_START_MS
            };
            let value = SampleValue::Float(i as f64);
            set.push_at(place, NOON_MS + i * 600_000, start, &value);
        }
    }
    let content = SegmentContent {
        rows: set.into_rows(),
        ..SegmentContent::default()
    };
    let bytes = encode_segment(Uuid::nil(), 0, sequence, &content).unwrap();
    let key = archive.keys.wal_segment(0, sequence);
    archive.objects.put(&key, bytes.into()).await.unwrap();
}

/// Start timestamps by series and number of the sample.
async fn found(archive: &Archive) -> BTreeMap<(usize, i64), i64> {
    let snapshot = archive.snapshot().await;
    let mut found = BTreeMap::new();
    for (_, batch) in archive.batches(TableKind::Samples, &snapshot.samples).await {
        for row in SampleRows::new(&batch).unwrap().iter() {
            let number = (0..3).find(|n| series(*n).id == row.series_id()).unwrap();
            for (index, time_ms) in row.timestamps().iter().enumerate() {
                let start = row.start_timestamps().get(index).copied();
                let key = (number, (time_ms - NOON_MS) / 600_000);
                found.insert(key, start.unwrap_or(NO_START_MS));
            }
        }
    }
    found
}

fn expected(known: impl Fn(i64) -> bool) -> BTreeMap<(usize, i64), i64> {
    let all = (0..3).flat_map(|number| (0..20).map(move |i| (number, i)));
    all.map(|(number, i)| {
        let start = if known(i) {
            start_ms(number, i)
        } else {
            NO_START_MS
        };
        ((number, i), start)
    })
    .collect()
}

fn merging() -> CompactorOptions {
    CompactorOptions {
        small_files_max: 2,
        ..options()
    }
}

#[tokio::test]
async fn start_timestamps_come_back_from_every_level() {
    let archive = Archive::new();
    let compactor = archive.compactor(merging());
    for sequence in 1..=4 {
        // Files with and without the column are merged.
        put(&archive, sequence, sequence % 2 == 0).await;
        compactor.run_once(&at(NOON_MS)).await.unwrap();
    }
    for hours in [0, 5, 30] {
        compactor
            .run_once(&at(NOON_MS + hours * HOUR_MS))
            .await
            .unwrap();
        assert_eq!(found(&archive).await, expected(|i| (i / 5) % 2 == 1));
    }
}

/// The first log entry of `samples` as it was before the table had the column; without its checksum.
fn without_the_column(entry: &str) -> Bytes {
    let column = format!(
        r#",{{\"metadata\":{{}},\"name\":\"{START_TIMESTAMPS}\",\"nullable\":true,\"type\":{{\"containsNull\":false,\"elementType\":\"long\",\"type\":\"array\"}}}}"#
    );
    let (_, actions) = entry.split_once('\n').unwrap();
    assert!(actions.contains(&column), "{actions}");
    actions.replace(&column, "").into()
}

async fn entry(archive: &Archive, key: &Path) -> Option<String> {
    let object = archive.objects.get(key).await.ok()?;
    Some(String::from_utf8(object.bytes().await.unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn a_table_from_before_the_column_gets_it_with_the_next_commit() {
    let archive = Archive::new();
    let root = archive.keys.table(TableKind::Samples.name());
    let log = |version: u64| {
        root.clone()
            .join("_delta_log")
            .join(format!("{version:020}.json"))
    };
    let table = || DeltaTable::new(archive.objects.clone(), root.clone(), TableKind::Samples);
    table().create_if_missing(NOON_MS).await.unwrap();
    let old = without_the_column(&entry(&archive, &log(0)).await.unwrap());
    archive.objects.put(&log(0), old.into()).await.unwrap();
    assert!(
        !entry(&archive, &log(0))
            .await
            .unwrap()
            .contains(START_TIMESTAMPS)
    );

    let compactor = archive.compactor(merging());
    let id = table()
        .refresh()
        .await
        .unwrap()
        .table_id()
        .unwrap()
        .to_owned();
    for sequence in 1..=4 {
        put(&archive, sequence, sequence > 2).await;
        compactor.run_once(&at(NOON_MS)).await.unwrap();
    }
    compactor
        .run_once(&at(NOON_MS + 30 * HOUR_MS))
        .await
        .unwrap();
    assert_eq!(found(&archive).await, expected(|i| i >= 10));

    let mut evolved = Vec::new();
    let mut version = 1;
    while let Some(entry) = entry(&archive, &log(version)).await {
        if entry.contains("\"metaData\"") {
            assert!(
                entry.contains(START_TIMESTAMPS) && entry.contains(&id),
                "{entry}"
            );
            evolved.push(version);
        }
        version += 1;
    }
    // Once, with the first commit.
    assert_eq!(evolved, [1]);
}
