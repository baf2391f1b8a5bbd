//! The object store under an archive: one URL, one prefix, one set of counters.
//!
//! # Vocabulary
//! - A **storage URL** says where an archive lies ([`StorageUrl`]).
//! - A [`Store`] is that place, opened. Keys are relative to the URL's prefix; [`crate::keys`] builds them.
//! - A **scope** is a view of a store with counters of its own, for the bill of one query.
//!
//! # Invariants
//! - `PutMode::Create` is atomic on every store, and is the only means of coordination ([`probe_conditional_put`]).
//! - On a local folder a put that returned survives a power cut (`local`).
//! - A missing bucket is a failure, never "no such object" (`s3`).
//!
//! # Flow
//! Every request passes the layers in this order; [`Store::open`] is the one place that stacks them:
//!
//! 1. the scope's counters, if the caller has a scope;
//! 2. the store's counters;
//! 3. the prefix (S3 only; a folder is its own prefix);
//! 4. the backend: `s3` (retries within it), `local`, or memory.

#[cfg(any(test, feature = "testing"))]
pub mod fault;
mod local;
mod metered;
mod probe;
mod s3;
mod url;

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;

use crate::error::{Error, Result};

pub use self::metered::{RequestCounters, RequestCounts};
pub use self::probe::probe_conditional_put;
pub use self::url::{StorageKind, StorageUrl};

#[cfg(feature = "admin")]
pub(crate) use self::local::create_local_folder;
#[cfg(feature = "admin")]
pub(crate) use self::s3::S3Settings;

/// An opened archive: objects under one prefix, every request counted. Clones share everything.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    counters: Arc<RequestCounters>,
}

impl Store {
    /// Opens the place a URL names; a local folder is made if it is missing. No request is made to S3.
    ///
    /// S3's settings come from the environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
    /// `AWS_REGION` (or `AWS_DEFAULT_REGION`), and `AWS_ENDPOINT_URL_S3` (or `AWS_ENDPOINT_URL`) for another provider.
    /// Every opening of `memory://` is a new, empty store.
    pub fn open(url: &StorageUrl) -> Result<Self> {
        Self::open_with(url, true)
    }

    /// As [`Store::open`], but a missing local folder is an error: for commands that only read.
    pub fn open_existing(url: &StorageUrl) -> Result<Self> {
        Self::open_with(url, false)
    }

    fn open_with(url: &StorageUrl, create: bool) -> Result<Self> {
        let backend: Arc<dyn ObjectStore> = match url.kind() {
            StorageKind::Local(folder) => Arc::new(local::LocalFolder::open(folder, create)?),
            StorageKind::Memory => Arc::new(InMemory::new()),
            StorageKind::S3 { bucket, prefix } => {
                let prefix = Path::parse(prefix)
                    .map_err(|e| Error::Invalid(format!("storage URL {url}: {e}")))?;
                let bucket = s3::connect(bucket)?;
                if prefix.as_ref().is_empty() {
                    Arc::new(bucket)
                } else {
                    Arc::new(PrefixStore::new(bucket, prefix))
                }
            }
        };
        Ok(Self::from_object_store(backend))
    }

    /// A store over any object store, for tests and fault injection.
    pub fn from_object_store(inner: Arc<dyn ObjectStore>) -> Self {
        let counters = Arc::new(RequestCounters::default());
        Self {
            objects: Arc::new(metered::Metered::new(inner, Arc::clone(&counters))),
            counters,
        }
    }

    /// The objects; requests count into the store's counters.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    /// The objects, with counters of their own beside the store's: the bill of one query.
    pub fn scoped(&self) -> (Arc<dyn ObjectStore>, Arc<RequestCounters>) {
        let counters = Arc::new(RequestCounters::default());
        let scoped = metered::Metered::new(self.objects(), Arc::clone(&counters));
        (Arc::new(scoped), counters)
    }

    /// Counts of everything since the store was opened.
    pub fn counters(&self) -> &Arc<RequestCounters> {
        &self.counters
    }
}
