//! `export prometheus-blocks`.

use std::path::{Path, PathBuf};

use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use varve_storage::Labels;

use crate::chunk::Sample;
use crate::error::{Error, Result};
use crate::meta::{self, BlockMeta, Ulid};
use crate::source::Folder;
use crate::write::{BlockOptions, BlockWriter};

/// The range of the blocks that Prometheus cuts from its head; it merges them to larger ones by itself.
pub const BLOCK_RANGE_MS: i64 = 2 * 60 * 60 * 1000;

/// Series between the source and the writing thread.
const SERIES_AHEAD: usize = 64;

/// The aligned ranges of `range_ms` that cover the times from `min_ms` to `max_ms` (both included), each as [start, end).
pub fn block_ranges(min_ms: i64, max_ms: i64, range_ms: i64) -> impl Iterator<Item = (i64, i64)> {
    let range_ms = range_ms.max(1);
    let first = min_ms.div_euclid(range_ms);
    let last = max_ms.div_euclid(range_ms);
    (first..=last).map(move |number| {
        let start = number.saturating_mul(range_ms);
        (start, start.saturating_add(range_ms))
    })
}

/// The blocks that are in a data folder: a repeated export may leave out their ranges. None if there is no such folder.
///
/// # Errors
/// [`Error::Io`] and [`Error::Corrupt`] with the file.
pub fn blocks_in(data_folder: &Path) -> Result<Vec<BlockMeta>> {
    let entries = match std::fs::read_dir(data_folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", data_folder)(error)),
    };
    let mut blocks = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::io("list", data_folder))?.file_name();
        if Ulid::parse(&name.to_string_lossy()).is_none() {
            continue;
        }
        if let Some(source) = Folder::Local(data_folder.join(name)).open(meta::FILE)? {
            blocks.push(BlockMeta::read(&source)?);
        }
    }
    blocks.sort_unstable_by_key(|meta| meta.min_time);
    Ok(blocks)
}

/// Writes one block of the series that a stream gives: in the order of labels, each once, its samples ascending in time and in
/// `range` ([start, end) in milliseconds). Gives the block's description; `None` if there was no sample, and then no block.
/// Dropped, or after an error, it leaves nothing behind.
///
/// # Errors
/// Those of the stream, and those of [`BlockWriter`].
pub async fn export_block<E: From<Error>>(
    data_folder: PathBuf,
    range: (i64, i64),
    options: BlockOptions,
    series: impl Stream<Item = Result<(Labels, Vec<Sample>), E>>,
) -> Result<Option<BlockMeta>, E> {
    let (send, mut receive) = mpsc::channel::<(Labels, Vec<Sample>)>(SERIES_AHEAD);
    let (whole, is_whole) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::task::spawn_blocking(move || {
        let mut writer = BlockWriter::create(&data_folder, range, options)?;
        while let Some((labels, samples)) = receive.blocking_recv() {
            writer.append(&labels, samples)?;
        }
        // A stream that ended with an error must not leave a block behind.
        match is_whole.blocking_recv() {
            Ok(()) => writer.finish(),
            Err(_) => Ok(None),
        }
    });
    let mut series = std::pin::pin!(series);
    let mut failed = None;
    while let Some(next) = series.next().await {
        match next {
            Ok(next) => {
                // The writer is gone if it has an error to report.
                if send.send(next).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    if failed.is_none() {
        // As above.
        let _ = whole.send(());
    } else {
        drop(whole);
    }
    drop(send);
    let written = writing
        .await
        .map_err(|error| Error::Invalid(format!("writing ended unexpectedly: {error}")));
    match failed {
        Some(error) => Err(error),
        None => Ok(written??),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::stream;
    use varve_storage::SampleValue;

    use super::*;

    fn series(value: &str) -> (Labels, Vec<Sample>) {
        let sample = Sample {
            timestamp_ms: 5,
            start_timestamp_ms: 0,
            value: SampleValue::Float(1.0),
        };
        (Labels::from_pairs([("a", value)]), vec![sample])
    }

    #[test]
    fn ranges_are_aligned() {
        let ranges: Vec<_> = block_ranges(-1, 20, 10).collect();
        assert_eq!(ranges, [(-10, 0), (0, 10), (10, 20), (20, 30)]);
        assert_eq!(block_ranges(5, 5, 10).count(), 1);
        assert_eq!(block_ranges(6, 5, 10).count(), 1);
        assert_eq!(block_ranges(16, 5, 10).count(), 0);
    }

    #[tokio::test]
    async fn a_block_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let export = |all: Vec<Result<_, Error>>| {
            let options = BlockOptions::default();
            export_block(
                folder.path().to_owned(),
                (0, 10),
                options,
                stream::iter(all),
            )
        };
        let cancelled = || Err(Error::Cancelled);
        assert!(export(vec![Ok(series("x")), cancelled()]).await.is_err());
        assert!(
            export(vec![Ok(series("y")), Ok(series("x"))])
                .await
                .is_err()
        );
        assert_eq!(export(vec![]).await.unwrap(), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let meta = export(vec![Ok(series("x")), Ok(series("y"))])
            .await
            .unwrap()
            .unwrap();
        assert_eq!(blocks_in(folder.path()).unwrap(), [meta]);
    }
}
