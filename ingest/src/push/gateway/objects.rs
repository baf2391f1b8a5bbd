//! Groups in the archive, one object each.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use varve_storage::keys::TenantKeys;
use varve_storage::{Error, Result};

use super::path::GroupKey;

/// Where groups are kept.
#[derive(Clone, Debug)]
pub(super) struct GroupObjects {
    objects: Arc<dyn ObjectStore>,
    keys: TenantKeys,
}

impl GroupObjects {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, keys: TenantKeys) -> Self {
        Self { objects, keys }
    }

    /// Writes or replaces a group: one PUT.
    pub(super) async fn put(&self, key: &GroupKey, json: Vec<u8>) -> Result<()> {
        let path = self.keys.push_group(&key.hash());
        let written = self.objects.put(&path, PutPayload::from(json)).await;
        written.map(drop).map_err(|source| Error::Store {
            action: "write",
            key: path.to_string(),
            source,
        })
    }

    /// Deletes a group; one that is not there is fine.
    pub(super) async fn delete(&self, key: &GroupKey) -> Result<()> {
        let path = self.keys.push_group(&key.hash());
        match self.objects.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(Error::Store {
                action: "delete",
                key: path.to_string(),
                source,
            }),
        }
    }

    /// All groups, each with its key in the store: one LIST, and one GET for each. Of those beyond `groups_max` or `bytes_max` nothing is read.
    pub(super) async fn load(
        &self,
        groups_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let folder = self.keys.push_groups();
        let failed = |action, key: String| {
            move |source| Error::Store {
                action,
                key,
                source,
            }
        };
        let listed: Vec<_> = self
            .objects
            .list(Some(&folder))
            .try_collect()
            .await
            .map_err(failed("list", folder.to_string()))?;
        let mut bytes_left = bytes_max;
        let mut loaded = Vec::new();
        for object in listed {
            let key = object.location.to_string();
            let size = usize::try_from(object.size).unwrap_or(usize::MAX);
            let Some(left) = bytes_left
                .checked_sub(size)
                .filter(|_| loaded.len() < groups_max)
            else {
                tracing::error!(key, "too many pushed groups; this one is not read");
                continue;
            };
            bytes_left = left;
            let read = async { self.objects.get(&object.location).await?.bytes().await };
            match read.await {
                Ok(bytes) => loaded.push((key, bytes.to_vec())),
                // Deleted meanwhile.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(failed("read", key)(source)),
            }
        }
        Ok(loaded)
    }
}
