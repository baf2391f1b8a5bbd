//! Does the store keep the one promise that everything rests on?
//!
//! Varve's writers and compactors are coordinated by put-if-absent alone. A store that ignores the condition (some
//! S3-compatible ones do) would let two of them overwrite each other without a word.

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

use crate::error::{Error, Result};

/// Writes a new key twice with put-if-absent, and fails unless the second attempt is refused. The key, under `probe/`, is deleted
/// again. Four requests.
pub async fn probe_conditional_put(objects: &dyn ObjectStore) -> Result<()> {
    let key = Path::from_iter(["probe", &uuid::Uuid::new_v4().to_string()]);
    let failed = |action, source| Error::Store {
        action,
        key: key.to_string(),
        source,
    };
    let create = |bytes: &'static str| objects.put_opts(&key, bytes.into(), PutMode::Create.into());
    match create("first").await {
        // "Already exists" for a name nobody can have taken: the answer to a first attempt was lost.
        Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
        Err(source) => return Err(failed("write", source)),
    }
    let second = create("second").await;
    let kept = match objects.get(&key).await {
        Ok(object) => object.bytes().await.map_err(|e| failed("read", e))?,
        Err(source) => return Err(failed("read", source)),
    };
    if let Err(error) = objects.delete(&key).await {
        tracing::warn!(%key, %error, "the probe object could not be deleted; it is safe to delete");
    }
    let refused = match second {
        Err(object_store::Error::AlreadyExists { .. }) => true,
        Err(source) => return Err(failed("write", source)),
        Ok(_) => false,
    };
    if !refused || kept != "first" {
        return Err(Error::Invalid(format!(
            "{objects} does not honour conditional writes (If-None-Match: *): two writers would overwrite each other; use a store that does"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use futures::TryStreamExt;
    use object_store::ObjectMeta;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn a_store_with_conditional_writes_passes_and_nothing_stays() {
        let store = InMemory::new();
        probe_conditional_put(&store).await.unwrap();
        let listed: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
        assert!(listed.is_empty());
    }
}
