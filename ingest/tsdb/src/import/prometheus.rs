//! `import prometheus`: a data folder, of a Prometheus that runs or does not.

use std::path::{Path, PathBuf};

use super::batch::Batches;
use super::run::Run;
use super::{ImportEvent, ImportOptions, ImportSummary, ImportTarget};
use crate::error::{Error, Result};
use crate::head::{Head, HeadItem};
use crate::merge::groups;
use crate::meta::{self, BlockMeta, Ulid};
use crate::source::Folder;

/// How often files may go away under the reader, which happens every two hours at most, before it gives up.
const ATTEMPTS_MAX: u32 = 5;

/// Imports a data folder of Prometheus: its blocks in the order of time, then its head.
///
/// Prometheus may run meanwhile. Its lock file does not matter, for nothing is written. Blocks that appear while the head is
/// read are imported behind it, so that nothing is missed that moves from the head into a block. Nor does a second import do
/// the first one's work again, unless the head changed: then it is read as a whole.
///
/// # Errors
/// [`Error::Invalid`] if the folder is no data folder; [`Error::Corrupt`], [`Error::Unsupported`] and [`Error::Io`] with the
/// file; [`Error::Storage`] if the archive cannot be written. What is done by then is recorded.
pub async fn import_prometheus(
    data_folder: &Path,
    target: &ImportTarget<'_>,
    options: &ImportOptions,
) -> Result<ImportSummary> {
    let mut run = Run::begin(target, options).await?;
    let result = import(data_folder, &mut run).await;
    run.end(result)
}

async fn import(data_folder: &Path, run: &mut Run<'_>) -> Result<()> {
    let mut attempts = 0;
    let mut first = true;
    loop {
        match import_once(data_folder, run, first).await {
            Err(error @ Error::Vanished { .. }) if attempts < ATTEMPTS_MAX => {
                attempts += 1;
                run.tell(ImportEvent::Warning(format!(
                    "{error} (attempt {attempts})"
                )));
            }
            // With the head there may have come new blocks.
            Ok(true) => {}
            ended => return ended.map(drop),
        }
        first = false;
    }
}

/// Imports what is not done yet; whether to look again.
async fn import_once(data_folder: &Path, run: &mut Run<'_>, first: bool) -> Result<bool> {
    let path = data_folder.to_owned();
    let (blocks, skipped) = blocking(move || list_blocks(&path)).await?;
    if first {
        for (block, reason) in skipped {
            run.skip(block, reason);
        }
    }
    // As in Prometheus: what is in blocks that were cut from the head is not taken from the head.
    let min_valid_time = blocks
        .iter()
        .filter(|(_, meta)| meta.ends_head())
        .map(|(_, meta)| meta.max_time)
        .max()
        .unwrap_or(i64::MIN);
    let all = blocks.len();
    let todo: Vec<_> = blocks
        .into_iter()
        .filter(|(_, meta)| run.wants(meta) && !run.record.has(meta))
        .collect();
    if first {
        run.summary.blocks_before = all - todo.len();
    }
    if first || !todo.is_empty() {
        run.found(
            &todo.iter().map(|(_, meta)| meta).collect::<Vec<_>>(),
            all - todo.len(),
        );
    }
    for group in groups(todo, |(_, meta)| meta) {
        let group = group
            .into_iter()
            .map(|(folder, meta)| (Folder::Local(folder), meta))
            .collect();
        run.blocks(group, &varve_storage::Labels::empty()).await?;
    }
    if !run.options.head {
        return Ok(false);
    }
    let path = data_folder.to_owned();
    let head = blocking(move || Head::open(&path)).await?;
    let fingerprint = head.fingerprint(min_valid_time);
    // A running Prometheus logs without end; what came while the head was read is for the next import.
    if run.record.has_head(&fingerprint) || run.head_done {
        return Ok(false);
    }
    run.tell(ImportEvent::Reading { blocks: Vec::new() });
    let done = run.record.done_of(&fingerprint);
    let labels = run.options.labels.clone();
    run.unit(&fingerprint, labels, move |batches| {
        read_head(&head, min_valid_time, done, batches)
    })
    .await?;
    run.record.set_head(&fingerprint);
    run.write_record().await?;
    run.head_done = true;
    run.tell(ImportEvent::Done { blocks: Vec::new() });
    Ok(true)
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Error::Invalid(format!("reading ended unexpectedly: {error}")))?
}

/// Blocks of a data folder, and those that are left out with the reason.
type Listed = (Vec<(PathBuf, BlockMeta)>, Vec<(String, String)>);

fn list_blocks(data_folder: &Path) -> Result<Listed> {
    let io = || Error::io("list", data_folder);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(data_folder).map_err(io())? {
        names.push(
            entry
                .map_err(io())?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    let is_block = |name: &&String| Ulid::parse(name).is_some();
    if !names.iter().any(|name| is_block(&name) || name == "wal") {
        return Err(Error::Invalid(format!(
            "{} is no data folder of Prometheus: it has neither blocks nor wal/; name the folder that --storage.tsdb.path named",
            data_folder.display()
        )));
    }
    names.sort_unstable();
    let (mut blocks, mut skipped) = (Vec::new(), Vec::new());
    for name in names.iter().filter(is_block) {
        let folder = data_folder.join(name);
        // Without a description it is a block that is being made or deleted; Prometheus does not serve it either.
        let Some(source) = Folder::Local(folder.clone()).open(meta::FILE)? else {
            skipped.push((name.clone(), "it has no meta.json".to_owned()));
            continue;
        };
        let meta = BlockMeta::read(&source)?;
        if meta.compaction.deletable {
            skipped.push((
                name.clone(),
                "it is empty and about to be deleted".to_owned(),
            ));
        } else {
            blocks.push((folder, meta));
        }
    }
    Ok((blocks, skipped))
}

/// Reads the head; the first batches were done before.
fn read_head(head: &Head, min_valid_time: i64, done: u64, batches: &mut Batches) -> Result<()> {
    let mut number = 0;
    let mut last: Option<(varve_storage::SeriesRef, varve_storage::SeriesRef)> = None;
    head.read(min_valid_time, &mut |item| {
        match item {
            HeadItem::Sample(series, sample) => {
                // The same series mostly comes in runs, and in the log not at all.
                let known = last.take_if(|(own, _)| std::sync::Arc::ptr_eq(own, &series));
                let (own, labelled) =
                    known.unwrap_or_else(|| (series.clone(), batches.head_series(series)));
                batches.sample(&labelled, sample);
                last = Some((own, labelled));
            }
            HeadItem::Exemplar(mut exemplar) => {
                exemplar.series = batches.head_series(exemplar.series);
                batches.exemplar(exemplar);
            }
            HeadItem::Metadata(metadata) => batches.metadata(metadata),
            HeadItem::Warning(text) => batches.warn(text)?,
        }
        if batches.is_full() {
            number += 1;
            if number <= done {
                batches.discard();
            } else {
                batches.flush(number)?;
            }
        }
        Ok(())
    })?;
    batches.flush(number + 1)
}
