//! Objects that were damaged, a disk that is full, a bucket that is not there: each is named, and nothing else is lost.

use std::path::Path as FilePath;
use std::process::Command;
use std::time::Duration;

use object_store::path::Path;
use varve_storage::wal::Append;
use varve_tests::archive::{Archive, Samples, count, expected};
use varve_tests::process;
use varve_tests::samples::{self, START_MS};
use varve_tests::stores::{self, TestStore};

const SCRAPES: i64 = 30;

type Damage = fn(&mut Vec<u8>);

/// The ways in which an object goes bad.
const DAMAGES: [(&str, Damage); 3] = [
    ("a flipped bit", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
    }),
    ("half of it", |bytes| bytes.truncate(bytes.len() / 2)),
    ("nothing", Vec::clear),
];

async fn with_segments() -> (TestStore, Vec<varve_storage::wal::SampleRow>) {
    let store = TestStore::memory().unwrap();
    let rows = samples::invented(5, SCRAPES);
    store.archive.append(0, &rows, 300).await.unwrap();
    (store, rows)
}

/// Every sample but those of one segment, which holds rows 300 to 600.
fn without_second_segment(rows: &[varve_storage::wal::SampleRow]) -> Samples {
    let rest: Vec<_> = rows[..300].iter().chain(&rows[600..]).cloned().collect();
    expected(&rest)
}

#[tokio::test]
async fn a_damaged_segment_is_named_and_passed_over() {
    for (damage, change) in DAMAGES {
        let (store, rows) = with_segments().await;
        let archive = &store.archive;
        let wanted = without_second_segment(&rows);
        let key = archive.keys.wal_segment(0, 2);
        let objects = archive.store.objects();
        stores::damage(&objects, &key, change).await.unwrap();

        let contents = archive.contents().await.unwrap();
        let warnings = contents.warnings.join("; ");
        assert!(warnings.contains(key.as_ref()), "{damage}: {warnings}");
        assert!(contents.samples == wanted, "{damage}: the rest is read");

        let report = archive.compact(START_MS).await.unwrap();
        assert_eq!(report.quarantined, [key.to_string()], "{damage}");
        let contents = archive.contents().await.unwrap();
        assert_eq!(contents.warnings, [""; 0], "{damage}: dealt with");
        assert_eq!(contents.in_files, count(&wanted), "{damage}");
        assert!(contents.samples == wanted, "{damage}: the rest is kept");
        let quarantined = archive.keys.quarantined_segment(0, 2);
        let kept = objects.get_opts(&quarantined, Default::default()).await;
        assert!(kept.is_ok(), "{damage}: a copy is kept for a human");
    }
}

/// The keys of an archive that contain a text.
async fn keys_with(archive: &Archive, part: &str) -> Vec<Path> {
    use futures::TryStreamExt as _;
    let objects: Vec<_> = archive
        .store
        .objects()
        .list(None)
        .try_collect()
        .await
        .unwrap();
    let keys = objects.into_iter().map(|object| object.location);
    let mut keys: Vec<_> = keys.filter(|key| key.as_ref().contains(part)).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn a_damaged_table_file_is_named() {
    for (damage, change) in DAMAGES {
        let (store, _) = with_segments().await;
        let archive = &store.archive;
        archive.compact(START_MS).await.unwrap();
        let keys = keys_with(archive, "/samples/date=").await;
        let objects = archive.store.objects();
        stores::damage(&objects, &keys[0], change).await.unwrap();
        let error = archive.contents().await.unwrap_err().to_string();
        assert!(error.contains(keys[0].as_ref()), "{damage}: {error}");
        // Nobody who does not need the file is held up: writers write, and what they write is compacted.
        let more = samples::invented(6, 2);
        archive.append(0, &more, 1_000).await.unwrap();
        let report = archive.compact(START_MS).await.unwrap();
        assert_eq!(report.segments, 1, "{damage}");
    }
}

#[tokio::test]
async fn a_damaged_log_entry_is_named() {
    for (damage, change) in DAMAGES {
        let (store, _) = with_segments().await;
        let archive = &store.archive;
        archive.compact(START_MS).await.unwrap();
        let keys = keys_with(archive, "/samples/_delta_log/").await;
        let entry = keys.last().unwrap();
        let objects = archive.store.objects();
        // A bit in the middle of JSON may change a value without breaking it; an entry is broken at its start.
        let change: Damage = match damage {
            "a flipped bit" => |bytes| bytes[0] ^= 0x10,
            _ => change,
        };
        stores::damage(&objects, entry, change).await.unwrap();
        let error = archive.contents().await.unwrap_err().to_string();
        assert!(error.contains(entry.as_ref()), "{damage}: {error}");
        // The WAL does not care.
        let more = samples::invented(6, 2);
        archive.append(0, &more, 1_000).await.unwrap();
    }
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let double = varve_tests::s3::S3Double::start().await.unwrap();
    let archive = Archive::new(stores::s3_store(&double.endpoint()).unwrap());
    let error = archive.writer(0).await.unwrap_err().to_string();
    let says = error.contains("NoSuchBucket") || error.contains("bucket does not exist");
    assert!(says && error.contains(stores::BUCKET), "{error}");
    let error = archive.compact(START_MS).await.unwrap_err().to_string();
    let says = error.contains("NoSuchBucket") || error.contains("bucket does not exist");
    assert!(says, "{error}");
}

/// A file system of a few hundred KiB; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]);
        if mount.arg(folder.path()).status().is_ok_and(|s| s.success()) {
            return Some(Self(folder));
        }
        process::skip("only root may mount a small file system");
        None
    }

    fn path(&self) -> &FilePath {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_holds_appends_up_and_loses_none() {
    let Some(disk) = SmallDisk::mount(1 << 20) else {
        return;
    };
    let url = format!("file://{}/data", disk.path().display());
    let store = varve_storage::Store::open(&url.parse().unwrap()).unwrap();
    let archive = Archive::new(store);
    let rows = samples::invented(5, SCRAPES);
    let (first, second) = rows.split_at(rows.len() / 2);
    archive.append(0, first, 300).await.unwrap();

    let filler = disk.path().join("filler");
    let full = std::fs::write(&filler, vec![0; 2 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let writer = archive.writer(0).await.unwrap();
    let append = Append {
        samples: second.to_vec(),
        ..Append::default()
    };
    let ticket = writer.append(append).await.unwrap();
    let mut durable = std::pin::pin!(ticket.durable());
    let early = tokio::time::timeout(Duration::from_secs(1), &mut durable).await;
    assert!(!matches!(early, Ok(Ok(_))), "acknowledged without a disk");
    // Everything from before is still there, and nothing that is half written.
    let contents = archive.contents().await.unwrap();
    assert!(contents.samples == expected(first));
    let error = archive.compact(START_MS).await.unwrap_err().to_string();
    assert!(error.contains("No space left on device"), "{error}");

    std::fs::remove_file(&filler).unwrap();
    let late = tokio::time::timeout(Duration::from_secs(30), durable).await;
    late.unwrap().unwrap();
    writer.close().await.unwrap();
    archive.compact(START_MS).await.unwrap();
    let contents = archive.contents().await.unwrap();
    assert!(contents.samples == expected(&rows));
    assert_eq!(contents.in_files, count(&expected(&rows)));
}
