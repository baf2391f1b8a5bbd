//! Imports that are cancelled, repeated, or come from a bucket.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use varve_storage::{Labels, SampleValue};
use varve_tsdb::{
    BlockMeta, BlockOptions, BlockWriter, ImportEvent, ImportOptions, Sample, import_prometheus,
    import_thanos,
};

use crate::archive::Archive;

const HOUR_2: i64 = 7_200_000;

/// Writes a block of `series` series with samples every 10 s in [start, start + 2 h).
fn block(folder: &Path, start: i64, series: usize, value: f64) -> BlockMeta {
    let mut writer =
        BlockWriter::create(folder, (start, start + HOUR_2), BlockOptions::default()).unwrap();
    for number in 0..series {
        let labels = Labels::from_pairs([("__name__", "m"), ("i", &format!("{number:05}"))]);
        let sample = |step: i64| Sample {
            timestamp_ms: start + 10_000 * step,
            start_timestamp_ms: 0,
            value: SampleValue::Float(value),
        };
        writer
            .append(&labels, (0..720).map(sample).collect())
            .unwrap();
    }
    writer.finish().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_import_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    // Enough for several writings of the record.
    block(folder.path(), 0, 4_000, 1.0);
    block(folder.path(), HOUR_2, 10, 1.0);
    let archive = Archive::new().await;
    let mut options = ImportOptions::new("x");
    let cancel = options.cancel.clone();
    options.on_event = Arc::new(move |event| {
        if let ImportEvent::Appended(counts) = event
            && counts.samples > 2_000_000
        {
            cancel.cancel();
        }
    });
    let first = import_prometheus(folder.path(), &archive.target(), &options)
        .await
        .unwrap();
    assert!(!first.finished && first.blocks == 0, "{first:?}");
    let options = ImportOptions::new("x");
    let second = import_prometheus(folder.path(), &archive.target(), &options)
        .await
        .unwrap();
    assert!(second.finished && second.blocks == 2, "{second:?}");
    let all = 4_010 * 720;
    let twice = first.appended.samples + second.appended.samples - all;
    // The record is at most 32 batches behind, and the queue holds some more.
    assert!(
        twice < 2_200_000 && second.appended.samples < all,
        "{twice} samples twice"
    );
    let samples = archive.samples().await;
    assert_eq!(
        samples.values().map(|own| own.len() as u64).sum::<u64>(),
        all
    );
    let third = import_prometheus(folder.path(), &archive.target(), &options)
        .await
        .unwrap();
    assert_eq!((third.appended.batches, third.blocks_before), (0, 2));

    // Another range under the same name is refused.
    let mut other = ImportOptions::new("x");
    other.range = (0, 10);
    let error = import_prometheus(folder.path(), &archive.target(), &other)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("another name"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_that_overlap_are_merged_and_ranges_cut() {
    let folder = tempfile::tempdir().unwrap();
    block(folder.path(), 0, 2, 1.0);
    block(folder.path(), 3_600_000, 3, 2.0);
    let archive = Archive::new().await;
    let mut options = ImportOptions::new("x");
    options.range = (5_000, HOUR_2);
    options.labels = Labels::from_pairs([("cluster", "a")]);
    let summary = import_prometheus(folder.path(), &archive.target(), &options)
        .await
        .unwrap();
    assert_eq!((summary.appended.series, summary.blocks), (3, 2));
    assert_eq!(archive.samples_written(), 2 * 720 + 361);
    let samples = archive.samples().await;
    let (labels, own) = samples.first_key_value().unwrap();
    assert_eq!(labels.get("cluster"), Some("a"));
    assert_eq!(own.first_key_value().unwrap().0, &10_000);
    // As Prometheus has it, the later block's sample stands where the two meet.
    assert_eq!(own[&3_590_000], SampleValue::Float(1.0));
    assert_eq!(own[&3_610_000], SampleValue::Float(2.0));
}

async fn upload(bucket: &Arc<dyn ObjectStore>, folder: &Path, meta: &BlockMeta, thanos: &str) {
    let name = meta.ulid.as_str();
    for file in ["index", "chunks/000001", "tombstones"] {
        let bytes = std::fs::read(folder.join(name).join(file)).unwrap();
        let key = format!("{name}/{file}");
        bucket
            .put(&key.as_str().into(), bytes.into())
            .await
            .unwrap();
    }
    let text = std::fs::read_to_string(folder.join(name).join("meta.json")).unwrap();
    let text = text.trim_end().strip_suffix('}').unwrap().to_owned();
    let text = format!("{text}, \"thanos\": {thanos}}}");
    let key = format!("{name}/meta.json");
    bucket.put(&key.as_str().into(), text.into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_of_thanos_are_imported() {
    let folder = tempfile::tempdir().unwrap();
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let raw = block(folder.path(), 0, 3, 1.0);
    upload(
        &bucket,
        folder.path(),
        &raw,
        r#"{"labels": {"replica": "a", "i": "external"}, "downsample": {"resolution": 0}}"#,
    )
    .await;
    let other = block(folder.path(), 0, 3, 2.0);
    upload(
        &bucket,
        folder.path(),
        &other,
        r#"{"labels": {"replica": "b"}}"#,
    )
    .await;
    let coarse = block(folder.path(), 0, 3, 3.0);
    upload(
        &bucket,
        folder.path(),
        &coarse,
        r#"{"downsample": {"resolution": 300000}}"#,
    )
    .await;
    let deleted = block(folder.path(), 0, 3, 4.0);
    upload(&bucket, folder.path(), &deleted, r"{}").await;
    let mark = format!("{}/deletion-mark.json", deleted.ulid);
    bucket
        .put(&mark.as_str().into(), "{}".into())
        .await
        .unwrap();
    let partial = format!("{}/index", varve_tsdb::Ulid::new(7));
    bucket
        .put(&partial.as_str().into(), "x".into())
        .await
        .unwrap();
    bucket
        .put(&"debug/metas/x.json".into(), "{}".into())
        .await
        .unwrap();

    let archive = Archive::new().await;
    let mut options = ImportOptions::new("thanos");
    let skipped = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&skipped);
    options.on_event = Arc::new(move |event| {
        if let ImportEvent::Skipped { .. } = event {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let summary = import_thanos(Arc::clone(&bucket), &archive.target(), &options)
        .await
        .unwrap();
    assert!(summary.finished);
    assert_eq!(
        (
            summary.blocks,
            summary.blocks_skipped,
            skipped.load(Ordering::Relaxed)
        ),
        (2, 3, 3)
    );
    let samples = archive.samples().await;
    // External labels win, and make one series of three here.
    assert_eq!(samples.len(), 1 + 3);
    assert!(samples.keys().all(|labels| labels.get("replica").is_some()));
    let again = import_thanos(bucket, &archive.target(), &options)
        .await
        .unwrap();
    assert_eq!((again.appended.batches, again.blocks_before), (0, 2));
}
