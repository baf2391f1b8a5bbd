//! `import thanos`: the blocks in a bucket that Thanos's sidecar, receiver or compactor filled.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use varve_storage::Labels;

use super::run::Run;
use super::{ImportOptions, ImportSummary, ImportTarget};
use crate::error::Result;
use crate::merge::groups;
use crate::meta::{self, BlockMeta, Ulid};
use crate::source::{Folder, store_error};

/// The object that says that a block is about to be deleted: what is in it is in another one, or is not wanted any more.
const DELETION_MARK: &str = "deletion-mark.json";

/// Imports the blocks of a bucket, in the order of time; series get the external labels that each block has.
///
/// Left out, each with an [`ImportEvent::Skipped`](super::ImportEvent::Skipped): blocks that are marked for deletion,
/// downsampled ones (their raw samples cannot be restored), and those without a description, which are being uploaded or
/// deleted. Files are read by ranges; nothing is put on the disk, and nothing in the bucket is changed.
///
/// # Errors
/// As [`import_prometheus`](super::import_prometheus).
pub async fn import_thanos(
    bucket: Arc<dyn ObjectStore>,
    target: &ImportTarget<'_>,
    options: &ImportOptions,
) -> Result<ImportSummary> {
    let mut run = Run::begin(target, options).await?;
    let result = import(bucket, &mut run).await;
    run.end(result)
}

async fn import(bucket: Arc<dyn ObjectStore>, run: &mut Run<'_>) -> Result<()> {
    let blocks = list_blocks(&bucket, run).await?;
    let all = blocks.len();
    let todo: Vec<_> = blocks
        .into_iter()
        .filter(|(_, meta)| run.wants(meta) && !run.record.has(meta))
        .collect();
    run.summary.blocks_before = all - todo.len();
    run.found(
        &todo.iter().map(|(_, meta)| meta).collect::<Vec<_>>(),
        all - todo.len(),
    );
    // Only blocks with the same external labels hold the same series.
    let mut by_labels: BTreeMap<BTreeMap<String, String>, Vec<_>> = BTreeMap::new();
    for (folder, meta) in todo {
        let labels = meta.thanos.clone().unwrap_or_default().labels;
        by_labels.entry(labels).or_default().push((folder, meta));
    }
    for (labels, blocks) in by_labels {
        let labels = Labels::from_pairs(labels);
        for group in groups(blocks, |(_, meta)| meta) {
            run.blocks(group, &labels).await?;
        }
    }
    Ok(())
}

async fn list_blocks(
    bucket: &Arc<dyn ObjectStore>,
    run: &mut Run<'_>,
) -> Result<Vec<(Folder, BlockMeta)>> {
    let listed = bucket
        .list_with_delimiter(None)
        .await
        .map_err(|source| store_error("list", String::new(), source))?;
    let mut blocks = Vec::new();
    for prefix in listed.common_prefixes {
        let name = prefix.filename().unwrap_or_default().to_owned();
        if Ulid::parse(&name).is_none() {
            continue;
        }
        let Some(bytes) = get(bucket, &prefix.clone().join(meta::FILE)).await? else {
            run.skip(name, "it has no meta.json: it is being uploaded or deleted");
            continue;
        };
        let path = format!("{prefix}/{}", meta::FILE);
        let meta = BlockMeta::decode(&path, &bytes)?;
        let resolution = meta
            .thanos
            .as_ref()
            .map_or(0, |thanos| thanos.downsample.resolution);
        if resolution > 0 {
            run.skip(
                name,
                format!("it is downsampled to {} s", resolution / 1000),
            );
        } else if get(bucket, &prefix.clone().join(DELETION_MARK))
            .await?
            .is_some()
        {
            run.skip(name, "it is marked for deletion");
        } else {
            let folder = Folder::Objects {
                store: Arc::clone(bucket),
                prefix,
                runtime: Handle::current(),
            };
            blocks.push((folder, meta));
        }
    }
    Ok(blocks)
}

/// A small object; `None` if it does not exist.
async fn get(bucket: &Arc<dyn ObjectStore>, key: &Path) -> Result<Option<bytes::Bytes>> {
    let failed = |source| store_error("read", key.to_string(), source);
    match bucket.get(key).await {
        Ok(found) => found.bytes().await.map(Some).map_err(failed),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(failed(source)),
    }
}
