//! Import: blocks and heads of Prometheus and Thanos into the WAL of an archive.
//!
//! # Vocabulary
//! - An **import** has a name; its **record** ([`ImportRecord`]) is an object in the archive that says what it has done.
//! - A **unit** is what is done as a whole: a block, several that overlap, or the head.
//! - A **batch** is one append: a bounded part of a unit.
//!
//! # Flow
//! A thread that may block reads units from front to back and cuts them into batches; an asynchronous task appends those to a
//! [`WalWriter`]. After some of them, and after each unit, it waits until all are durable and then writes the record.
//!
//! # Invariants
//! - The record never says that something was done that is not durable. So an import that was killed goes on where the record
//!   says, and a few batches are appended twice; the archive's rule about duplicates makes that harmless.
//! - A repeated import does nothing but look, unless there is something new.
//! - Memory: a few batches, and what reading needs ([`crate::Block`], [`crate::Head`]).
//! - A block whose contents came in as other blocks (before Prometheus or Thanos merged them) is done.

mod batch;
mod prometheus;
mod record;
mod run;
mod thanos;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use tokio_util::sync::CancellationToken;
use varve_storage::Labels;
use varve_storage::keys::TenantKeys;
use varve_storage::wal::WalWriter;

use crate::error::{Error, Result};
use crate::meta::Ulid;

pub use self::prometheus::import_prometheus;
pub use self::record::ImportRecord;
pub use self::thanos::import_thanos;

/// Where an import goes.
#[derive(Clone, Debug)]
pub struct ImportTarget<'a> {
    /// The archive.
    pub objects: Arc<dyn ObjectStore>,
    /// The tenant.
    pub keys: TenantKeys,
    /// A writer of the tenant's WAL. Larger segments than usual (16 MiB is the default) are good for imports.
    pub writer: &'a WalWriter,
}

/// How an import is made.
#[derive(Clone)]
pub struct ImportOptions {
    /// The import's name: 1 to 64 of `[A-Za-z0-9_-]`; see [`default_import_id`].
    pub id: String,
    /// Labels that all series get beside those that Thanos says; they win over labels of the same name.
    pub labels: Labels,
    /// The range to import, both ends included, in milliseconds; samples outside are left out.
    pub range: (i64, i64),
    /// Whether the head is imported, too (`import prometheus`).
    pub head: bool,
    /// Ends the import soon. What is done is recorded.
    pub cancel: CancellationToken,
    /// Is told of everything that happens, on the threads of the import; must be quick.
    pub on_event: Arc<dyn Fn(ImportEvent) + Send + Sync>,
}

impl ImportOptions {
    /// Everything, under a name.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            labels: Labels::empty(),
            range: (i64::MIN, i64::MAX),
            head: true,
            cancel: CancellationToken::new(),
            on_event: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for ImportOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportOptions")
            .field("id", &self.id)
            .field("labels", &self.labels)
            .field("range", &self.range)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// What an import tells of its progress.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ImportEvent {
    /// What there is to do.
    Found {
        /// Blocks to read.
        blocks: usize,
        /// Blocks that were done before.
        done: usize,
        /// Samples in the blocks to read, as their descriptions say.
        samples: u64,
    },
    /// A block is left out.
    Skipped {
        /// The block's folder.
        block: String,
        /// Why.
        reason: String,
    },
    /// A unit is being read.
    Reading {
        /// Its blocks; empty for the head.
        blocks: Vec<Ulid>,
    },
    /// What was appended since the import began, durable or not.
    Appended(ImportCounts),
    /// All of a unit is durable, and recorded.
    Done {
        /// Its blocks; empty for the head.
        blocks: Vec<Ulid>,
    },
    /// Something that the user should know, such as a torn end of a log.
    Warning(String),
}

/// What an import appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// Series, counted once for each unit that has them.
    pub series: u64,
    /// Samples.
    pub samples: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Appends.
    pub batches: u64,
}

/// How an import ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportSummary {
    /// Whether everything is done; if not, the import was cancelled, and the same call goes on with it.
    pub finished: bool,
    /// What this run appended.
    pub appended: ImportCounts,
    /// Blocks that this run did.
    pub blocks: usize,
    /// Blocks that were done before.
    pub blocks_before: usize,
    /// Blocks that were left out; [`ImportEvent::Skipped`] said why.
    pub blocks_skipped: usize,
}

/// A name for an import that is the same at every run: the kind and a hash of where the data lie.
pub fn default_import_id(kind: &str, location: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(location.as_bytes());
    let hash: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{kind}-{hash}")
}

/// The same for a folder, by its absolute path.
///
/// # Errors
/// [`Error::Io`] if the folder does not exist.
pub fn default_folder_id(kind: &str, folder: &Path) -> Result<String> {
    let path = folder.canonicalize().map_err(Error::io("read", folder))?;
    Ok(default_import_id(kind, &path.to_string_lossy()))
}
