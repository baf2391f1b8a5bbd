//! The stores that every end-to-end test runs on.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreExt as _, RetryConfig};
use tempfile::TempDir;
use varve_storage::{StorageUrl, Store};

use crate::archive::{Archive, Failure};
use crate::process::{self, Program};
use crate::s3::{ACCESS_KEY, REGION, S3Double, SECRET_KEY};

/// The bucket of every S3 test.
pub const BUCKET: &str = "varve";
/// The prefix in it.
pub const PREFIX: &str = "archive";

/// One kind of store with an empty archive in it, and what must live as long.
#[derive(Debug)]
pub struct TestStore {
    /// The store's name, for messages.
    pub name: &'static str,
    /// An archive in it.
    pub archive: Archive,
    /// The folder of `file://`.
    pub folder: Option<TempDir>,
    /// The endpoint of `s3://`.
    pub double: Option<S3Double>,
    /// The server of a second opinion.
    pub moto: Option<Program>,
}

impl TestStore {
    fn new(name: &'static str, store: Store) -> Self {
        Self {
            name,
            archive: Archive::new(store),
            folder: None,
            double: None,
            moto: None,
        }
    }

    /// A local folder.
    pub fn file() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let url: StorageUrl = format!("file://{}", folder.path().display()).parse()?;
        Ok(Self {
            folder: Some(folder),
            ..Self::new("file", Store::open(&url)?)
        })
    }

    /// This process's memory.
    pub fn memory() -> Result<Self, Failure> {
        Ok(Self::new("memory", Store::open(&"memory://".parse()?)?))
    }

    /// The S3 double, over HTTP.
    pub async fn s3() -> Result<Self, Failure> {
        let double = S3Double::with_bucket(BUCKET).await?;
        let store = s3_store(&double.endpoint())?;
        Ok(Self {
            double: Some(double),
            ..Self::new("s3", store)
        })
    }

    /// moto's S3, where it is installed. Its conditional writes are not atomic, so nothing may race there.
    pub async fn moto() -> Result<Option<Self>, Failure> {
        let Some(python) = process::python(&["moto.server"]) else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let port = process::free_port()?.to_string();
        let arguments = ["-m", "moto.server", "-p", &port];
        let mut moto = Program::start("moto", &python, arguments, &[], folder.path())?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let page = format!("{endpoint}/moto-api/");
        moto.ready(&page, Duration::from_secs(120)).await?;
        let bucket = format!("{endpoint}/{BUCKET}");
        let client = reqwest::Client::new();
        client.put(bucket).send().await?.error_for_status()?;
        let store = s3_store(&endpoint)?;
        Ok(Some(Self {
            folder: Some(folder),
            moto: Some(moto),
            ..Self::new("moto", store)
        }))
    }
}

/// A client of an S3 endpoint, below [`PREFIX`] of [`BUCKET`], that retries as Varve's own does but without long pauses.
pub fn s3_store(endpoint: &str) -> Result<Store, Failure> {
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(2),
            max_backoff: Duration::from_millis(20),
            ..BackoffConfig::default()
        },
        ..RetryConfig::default()
    };
    let s3 = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_region(REGION)
        .with_bucket_name(BUCKET)
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .with_retry(retry)
        .build()?;
    Ok(Store::from_object_store(Arc::new(PrefixStore::new(
        s3, PREFIX,
    ))))
}

/// A copy of a memory store that goes its own way.
pub async fn copy(from: &Arc<dyn ObjectStore>) -> Result<Arc<InMemory>, Failure> {
    use futures::TryStreamExt as _;
    let copy = InMemory::new();
    let mut objects = from.list(None);
    while let Some(object) = objects.try_next().await? {
        let bytes = from.get(&object.location).await?.bytes().await?;
        copy.put(&object.location, bytes.into()).await?;
    }
    Ok(Arc::new(copy))
}

/// Changes the bytes of an object behind Varve's back.
pub async fn damage(
    store: &Arc<dyn ObjectStore>,
    key: &Path,
    change: impl FnOnce(&mut Vec<u8>),
) -> Result<(), Failure> {
    let mut bytes = store.get(key).await?.bytes().await?.to_vec();
    change(&mut bytes);
    store.put(key, bytes.into()).await?;
    Ok(())
}
