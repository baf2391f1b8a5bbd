//! What can go wrong below the tables, by what the caller should do about it.

use thiserror::Error;

/// The result of an operation on storage.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same call may succeed later: a time-out, a throttled or unreachable store, a full disk.
    Unavailable,
    /// The caller's argument or configuration is wrong.
    Invalid,
    /// An object does not exist.
    NotFound,
    /// An object's bytes are not what was written.
    Corrupt,
    /// A limit of this installation was reached.
    Limit,
}

/// An error of this crate. Every variant names the object or setting that it is about.
#[derive(Debug, Error)]
pub enum Error {
    /// A request to the object store failed.
    #[error("object store: {action} {key}: {source}")]
    Store {
        /// What was attempted: "read", "write", "list", "delete".
        action: &'static str,
        /// The object's key, or the prefix.
        key: String,
        /// Why it failed.
        source: object_store::Error,
    },
    /// A file of a local folder could not be written or synced.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// An object's bytes cannot be read as what they should be.
    #[error("{key} is corrupt: {reason}")]
    Corrupt {
        /// The object's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A limit was reached.
    #[error("{0}")]
    Limit(String),
    /// The writer was closed, or died with an error that was reported before.
    #[error("the WAL writer of shard {shard} is closed")]
    Closed {
        /// Its shard.
        shard: u32,
    },
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store {
                source: object_store::Error::NotFound { .. },
                ..
            } => ErrorKind::NotFound,
            Self::Store { .. } | Self::Io { .. } | Self::Closed { .. } => ErrorKind::Unavailable,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Limit(_) => ErrorKind::Limit,
        }
    }
}
