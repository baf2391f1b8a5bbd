//! What an import has done, as an object in the archive.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use varve_storage::keys::TenantKeys;

use crate::error::{Error, Result};
use crate::meta::{BlockMeta, Ulid};
use crate::source::store_error;

/// The version of the record's form.
const VERSION: u32 = 1;

/// How far a unit was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The unit: the names of its blocks, or the files of the head.
    pub(super) unit: String,
    /// How many items from the front are done: series of blocks, batches of the head.
    pub(super) done: u64,
}

/// What an import has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRecord {
    version: u32,
    /// What decides which samples are imported; another one under the same name is an error.
    scope: String,
    blocks: BTreeSet<Ulid>,
    /// The blocks of level 1 in them.
    sources: BTreeSet<Ulid>,
    /// The files of the head that was imported last.
    head: Option<String>,
    position: Option<Position>,
}

impl ImportRecord {
    /// Reads the record of an import; an empty one if there is none.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, and if the import was begun with other labels or another range; [`Error::Storage`];
    /// [`Error::Corrupt`].
    pub(super) async fn read(
        objects: &Arc<dyn ObjectStore>,
        keys: &TenantKeys,
        id: &str,
        scope: &str,
    ) -> Result<Self> {
        let key = key(keys, id)?;
        let bytes = match objects.get(&key).await {
            Ok(found) => found.bytes().await,
            Err(object_store::Error::NotFound { .. }) => {
                return Ok(Self {
                    version: VERSION,
                    scope: scope.to_owned(),
                    ..Self::default()
                });
            }
            Err(error) => Err(error),
        };
        let bytes = bytes.map_err(|source| store_error("read", key.to_string(), source))?;
        let record: Self = serde_json::from_slice(&bytes).map_err(|error| {
            Error::corrupt(key.as_ref(), 0, format!("no record of an import: {error}"))
        })?;
        if record.version != VERSION {
            return Err(Error::Unsupported {
                path: key.to_string(),
                reason: format!("version {} of the record of an import", record.version),
            });
        }
        if record.scope != scope {
            return Err(Error::Invalid(format!(
                "import {id:?} was begun with other labels or another range ({}, now {scope}); choose another name for this one",
                record.scope
            )));
        }
        Ok(record)
    }

    /// Writes the record.
    pub(super) async fn write(
        &self,
        objects: &Arc<dyn ObjectStore>,
        keys: &TenantKeys,
        id: &str,
    ) -> Result<()> {
        let key = key(keys, id)?;
        let bytes = serde_json::to_vec(self)
            .map_err(|error| Error::Invalid(format!("record of an import: {error}")))?;
        objects
            .put(&key, bytes.into())
            .await
            .map(drop)
            .map_err(|source| store_error("write", key.to_string(), source))
    }

    /// Whether a block's samples are all in the archive: it was done, or all that it was made of.
    pub fn has(&self, meta: &BlockMeta) -> bool {
        let all = |names: &mut dyn Iterator<Item = &Ulid>, of: &BTreeSet<Ulid>| {
            let mut names = names.peekable();
            names.peek().is_some() && names.all(|name| of.contains(name))
        };
        let compaction = &meta.compaction;
        self.blocks.contains(&meta.ulid)
            || all(
                &mut compaction.parents.iter().map(|parent| &parent.ulid),
                &self.blocks,
            )
            || all(&mut compaction.sources.iter(), &self.sources)
    }

    /// How many items of a unit are done.
    pub(super) fn done_of(&self, unit: &str) -> u64 {
        let position = self.position.as_ref();
        position
            .filter(|position| position.unit == unit)
            .map_or(0, |position| position.done)
    }

    pub(super) fn set_position(&mut self, unit: &str, done: u64) {
        self.position = Some(Position {
            unit: unit.to_owned(),
            done,
        });
    }

    pub(super) fn add_blocks(&mut self, metas: &[BlockMeta]) {
        for meta in metas {
            self.blocks.insert(meta.ulid.clone());
            self.sources.extend(meta.compaction.sources.iter().cloned());
        }
        self.position = None;
    }

    pub(super) fn set_head(&mut self, fingerprint: &str) {
        self.head = Some(fingerprint.to_owned());
        self.position = None;
    }

    pub(super) fn has_head(&self, fingerprint: &str) -> bool {
        self.head.as_deref() == Some(fingerprint)
    }
}

fn key(keys: &TenantKeys, id: &str) -> Result<object_store::path::Path> {
    keys.import_record(id).ok_or_else(|| {
        Error::Invalid(format!(
            "{id:?} cannot name an import: 1 to 64 letters, digits, hyphens and underscores"
        ))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use object_store::memory::InMemory;

    use super::*;
    use crate::meta::{BlockDescription, Compaction};

    fn ulid(number: u64) -> Ulid {
        Ulid::parse(&format!("{number:026}")).unwrap()
    }

    fn meta(name: u64, sources: &[u64], parents: &[u64]) -> BlockMeta {
        BlockMeta {
            ulid: ulid(name),
            min_time: 0,
            max_time: 1,
            stats: Default::default(),
            compaction: Compaction {
                sources: sources.iter().copied().map(ulid).collect(),
                parents: parents
                    .iter()
                    .map(|name| BlockDescription {
                        ulid: ulid(*name),
                        min_time: 0,
                        max_time: 1,
                    })
                    .collect(),
                ..Compaction::default()
            },
            version: 1,
            thanos: None,
        }
    }

    #[test]
    fn what_was_merged_of_done_blocks_is_done() {
        let mut record = ImportRecord::default();
        record.add_blocks(&[meta(1, &[1], &[]), meta(5, &[3, 4], &[3, 4])]);
        assert!(record.has(&meta(1, &[], &[])));
        assert!(record.has(&meta(9, &[1, 3], &[])));
        // Rewritten without deleted samples.
        assert!(record.has(&meta(8, &[8], &[5])));
        assert!(!record.has(&meta(9, &[1, 2], &[])));
        assert!(!record.has(&meta(9, &[], &[])));
    }

    #[tokio::test]
    async fn records_read_back_and_other_scopes_are_refused() {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let keys = TenantKeys::default();
        let mut record = ImportRecord::read(&objects, &keys, "a", "all")
            .await
            .unwrap();
        record.set_position("u", 7);
        record.write(&objects, &keys, "a").await.unwrap();
        let read = ImportRecord::read(&objects, &keys, "a", "all")
            .await
            .unwrap();
        assert_eq!((read.done_of("u"), read.done_of("v")), (7, 0));
        let error = ImportRecord::read(&objects, &keys, "a", "some")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("choose another name"), "{error}");
        assert!(
            ImportRecord::read(&objects, &keys, "../a", "all")
                .await
                .is_err()
        );
    }
}
