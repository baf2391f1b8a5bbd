//! What can go wrong with a TSDB's files, by what the caller should do about it.

use std::borrow::Cow;
use std::path::Path;

use thiserror::Error;
use varve_storage::ErrorKind;

/// The result of an operation on a TSDB.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Every variant names the file, object or option that it is about.
#[derive(Debug, Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was attempted: "read", "write", "list", …
        action: &'static str,
        /// The file or folder.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file's bytes are not what Prometheus writes.
    #[error(
        "{path} is corrupt at byte {offset}: {reason}; restore the file from a backup, or move it (for a file of a block: the whole block) out of the data folder to do without it"
    )]
    Corrupt {
        /// The file.
        path: String,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A file is of a format that this version does not know.
    #[error("{path}: {reason}; a newer version of Varve may read it")]
    Unsupported {
        /// The file.
        path: String,
        /// What it is.
        reason: String,
    },
    /// An argument or an option is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A file that Prometheus removed while it was being read; the data lie in another file now, so the same call succeeds.
    #[error(
        "{path} went away while it was being read, as files of a running Prometheus do; try again"
    )]
    Vanished {
        /// The file.
        path: String,
    },
    /// Reading was cancelled by the caller.
    #[error("cancelled")]
    Cancelled,
    /// The archive or a bucket could not be read or written.
    #[error(transparent)]
    Storage(#[from] varve_storage::Error),
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            Self::Io { .. } | Self::Vanished { .. } | Self::Cancelled => ErrorKind::Unavailable,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Unsupported { .. } | Self::Invalid(_) => ErrorKind::Invalid,
            Self::Storage(error) => error.kind(),
        }
    }

    /// A function that turns an error of the operating system into one that names a file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Something wrong at a place in a file.
    pub(crate) fn corrupt(path: &str, offset: u64, reason: impl ToString) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            offset,
            reason: reason.to_string(),
        }
    }
}

/// Why some bytes cannot be decoded. The caller knows the file they come from, and makes an [`Error::Corrupt`] of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct DecodeError(pub(crate) Cow<'static, str>);

impl DecodeError {
    /// An error with a fixed text.
    pub(crate) const fn new(reason: &'static str) -> Self {
        Self(Cow::Borrowed(reason))
    }
}

impl From<String> for DecodeError {
    fn from(reason: String) -> Self {
        Self(Cow::Owned(reason))
    }
}

/// The bytes end before what they announce.
pub(crate) const TRUNCATED: DecodeError = DecodeError::new("the data end too early");
