//! How far a receiver is, in the bucket.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::json;
use varve_storage::keys::TenantKeys;

/// Where a receiver's position is stored.
#[derive(Debug)]
pub(super) struct PositionStore {
    store: Arc<dyn ObjectStore>,
    key: Path,
    shard: u32,
}

impl PositionStore {
    /// The position of the receiver with an id, in one shard.
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        keys: &TenantKeys,
        id: &str,
        shard: u32,
    ) -> Self {
        Self {
            store,
            key: keys.forward_position(id),
            shard,
        }
    }

    /// The last segment that the receiver has got; `None` where nothing is stored, or nothing that can be read.
    pub(super) async fn load(&self) -> Result<Option<u64>, object_store::Error> {
        let bytes = match self.store.get(&self.key).await {
            Ok(object) => object.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stored: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        let position = stored.and_then(|stored| stored["shards"][self.shard.to_string()].as_u64());
        if position.is_none() {
            tracing::error!(key = %self.key, "the position of a receiver cannot be read; it gets what is new");
        }
        Ok(position)
    }

    /// Stores it.
    pub(super) async fn save(&self, label: &str, done: u64) -> Result<(), object_store::Error> {
        let shards = json!({ (self.shard.to_string()): done });
        let text = json!({ "receiver": label, "shards": shards }).to_string();
        self.store.put(&self.key, text.into()).await.map(drop)
    }
}
