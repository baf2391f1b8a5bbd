//! What an archive knows about metric families: the table `metadata`, and what the tail says.
//!
//! The table is small, and its files never change: each is read once per process, and their contents are put together once per version of
//! the table. The day of a row is the one on which a combination was first seen, so the newest entry of a family is one of the tail, then one of
//! the latest day; those of one day are in the order of type, unit and help.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use tokio::sync::Mutex;
use varve_storage::wal::Segment;
use varve_storage::{ErrorKind, MetricMetadata};
use varve_table::rows::decode_metadata;
use varve_table::{SortedRows, TableFile, TableKind, TableSnapshot};

use crate::error::Result;

/// Files that are read at the same time.
const FILES_AT_ONCE: usize = 16;
/// Rows that are decoded at once.
const BATCH_ROWS: usize = 8_192;

/// What one file holds, or why it cannot be read.
type FileRows = std::result::Result<Vec<Arc<MetricMetadata>>, String>;

/// One version of the table.
#[derive(Debug, Default)]
pub(crate) struct TableMetadata {
    /// Entries of each family, newest first, each once.
    families: BTreeMap<String, Vec<Arc<MetricMetadata>>>,
    /// Files that cannot be read.
    broken: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    /// By path.
    files: HashMap<String, Arc<FileRows>>,
    latest: Option<(Arc<TableSnapshot>, Arc<TableMetadata>)>,
}

/// The table's contents, kept between requests. Requests that come while files are read wait and share them.
#[derive(Debug, Default)]
pub(crate) struct MetadataCache {
    state: Mutex<State>,
}

impl MetadataCache {
    /// The contents of a version of the table. A file that is corrupt is left out and named among the warnings.
    pub(crate) async fn read(
        &self,
        objects: &Arc<dyn ObjectStore>,
        table: &Arc<TableSnapshot>,
    ) -> Result<Arc<TableMetadata>> {
        let mut state = self.state.lock().await;
        if let Some((known, contents)) = &state.latest
            && Arc::ptr_eq(known, table)
        {
            return Ok(Arc::clone(contents));
        }
        let is_new = |file: &&Arc<TableFile>| !state.files.contains_key(&file.path);
        let new: Vec<_> = table.files.values().filter(is_new).cloned().collect();
        let read: Vec<(String, FileRows)> = stream::iter(new)
            .map(|file| read_file(objects, table, file))
            .buffer_unordered(FILES_AT_ONCE)
            .try_collect()
            .await?;
        let read = read.into_iter().map(|(path, rows)| (path, Arc::new(rows)));
        state.files.extend(read);
        // Another request may have a newer version; what it needs of these files is in both.
        state
            .files
            .retain(|path, _| table.files.contains_key(path.as_str()));
        let contents = Arc::new(TableMetadata::new(table, &state.files));
        state.latest = Some((Arc::clone(table), Arc::clone(&contents)));
        Ok(contents)
    }
}

async fn read_file(
    objects: &Arc<dyn ObjectStore>,
    table: &TableSnapshot,
    file: Arc<TableFile>,
) -> Result<(String, FileRows)> {
    let kind = TableKind::Metadata;
    let read = async {
        let mut rows = SortedRows::open(objects, &table.root, kind, &file, BATCH_ROWS).await?;
        let mut all = Vec::new();
        while let Some(batch) = rows.next().await? {
            let decoded = decode_metadata(rows.key().as_ref(), &batch)?;
            all.extend(decoded.into_iter().map(Arc::new));
        }
        Ok::<_, varve_table::Error>(all)
    };
    let rows = match read.await {
        Ok(rows) => Ok(rows),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tracing::error!(%error, "metadata of a file is missing");
            Err(format!("metadata is missing: {error}"))
        }
        Err(error) => return Err(error.into()),
    };
    Ok((file.path.clone(), rows))
}

/// The order of entries that are equally new.
fn text_of(entry: &MetricMetadata) -> (&str, &str, &str) {
    (entry.kind.as_str(), &entry.unit, &entry.help)
}

impl TableMetadata {
    fn new(table: &TableSnapshot, files: &HashMap<String, Arc<FileRows>>) -> Self {
        let mut days: BTreeMap<_, Vec<&Arc<MetricMetadata>>> = BTreeMap::new();
        let mut contents = Self::default();
        for file in table.files.values() {
            match files.get(&file.path).map(AsRef::as_ref) {
                Some(Ok(rows)) => days.entry(Reverse(file.date)).or_default().extend(rows),
                Some(Err(reason)) => contents.broken.push(reason.clone()),
                None => {}
            }
        }
        let mut known: HashSet<&MetricMetadata> = HashSet::new();
        for rows in days.values_mut() {
            rows.sort_by(|a, b| text_of(a).cmp(&text_of(b)));
            for row in rows.iter().filter(|row| known.insert(row)) {
                let family = contents.families.entry(row.family.clone()).or_default();
                family.push(Arc::clone(row));
            }
        }
        contents
    }

    /// One for each file that cannot be read.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &str> {
        self.broken.iter().map(String::as_str)
    }

    /// What is known of a family, or of all where the name is "": the segments' entries first.
    pub(crate) fn with_tail(&self, tail: &[Arc<Segment>], family: &str) -> Vec<MetricMetadata> {
        let wanted = |name: &str| family.is_empty() || name == family;
        let of_tail = tail.iter().flat_map(|segment| &segment.metadata);
        let mut newest: Vec<&MetricMetadata> = of_tail
            .filter(|entry| wanted(&entry.family))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        newest.sort_by(|a, b| text_of(a).cmp(&text_of(b)));
        let said: HashSet<&MetricMetadata> = newest.iter().copied().collect();
        let of_table: Box<dyn Iterator<Item = &Arc<MetricMetadata>>> = match family {
            "" => Box::new(self.families.values().flatten()),
            name => Box::new(self.families.get(name).into_iter().flatten()),
        };
        let of_table = of_table.map(AsRef::as_ref);
        let rest = of_table.filter(|entry| !said.contains(entry));
        newest.iter().copied().chain(rest).cloned().collect()
    }
}
