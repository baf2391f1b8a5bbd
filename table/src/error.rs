//! What can go wrong in a table, by what the caller should do about it.

use thiserror::Error;
use varve_storage::ErrorKind;

/// The result of an operation on a table.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Every variant names the object or table that it is about.
#[derive(Debug, Error)]
pub enum Error {
    /// A request to the object store failed, or an object is corrupt.
    #[error(transparent)]
    Storage(#[from] varve_storage::Error),
    /// A PUT of a log entry was neither confirmed nor refused, and could not be read back.
    ///
    /// The commit may be there or may still appear: nothing that it refers to may be deleted, and what to do next
    /// is decided on a freshly loaded snapshot.
    #[error("the outcome of commit {key} is unknown, load the table again: {reason}")]
    CommitUnknown {
        /// The log entry.
        key: String,
        /// The last error of the store.
        reason: String,
    },
    /// The table uses a feature of the Delta protocol that Varve does not know.
    #[error("table {table} needs {feature}, which this version of Varve does not support")]
    Unsupported {
        /// The table's root.
        table: String,
        /// What is missing.
        feature: String,
    },
    /// A table does not exist.
    #[error("there is no table at {table}")]
    NoTable {
        /// The table's root.
        table: String,
    },
    /// A table's log is there, but not its beginning.
    #[error(
        "the log of table {table} cannot be read from its beginning: {key} is missing; restore it from a backup"
    )]
    LogIncomplete {
        /// The table's root.
        table: String,
        /// The missing object.
        key: String,
    },
    /// Two label sets have one series id.
    #[error("series id {id} belongs to two label sets, {one} and {other}; none of them was merged")]
    SeriesCollision {
        /// The id in hexadecimal.
        id: String,
        /// The first label set.
        one: String,
        /// The second label set.
        other: String,
    },
    /// Rows could not be encoded.
    #[error("{what} cannot be encoded: {reason}")]
    Encode {
        /// What was to be encoded.
        what: String,
        /// Why it failed.
        reason: String,
    },
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(error) => error.kind(),
            Self::CommitUnknown { .. } => ErrorKind::Unavailable,
            Self::Unsupported { .. } | Self::Encode { .. } => ErrorKind::Invalid,
            Self::NoTable { .. } => ErrorKind::NotFound,
            Self::LogIncomplete { .. } | Self::SeriesCollision { .. } => ErrorKind::Corrupt,
        }
    }

    /// An object's bytes are not what was written.
    pub fn corrupt(key: impl ToString, reason: impl ToString) -> Self {
        Self::Storage(varve_storage::Error::Corrupt {
            key: key.to_string(),
            reason: reason.to_string(),
        })
    }

    /// A request to the object store failed.
    pub fn store(action: &'static str, key: impl ToString, source: object_store::Error) -> Self {
        Self::Storage(varve_storage::Error::Store {
            action,
            key: key.to_string(),
            source,
        })
    }

    pub(crate) fn encode(what: impl ToString, reason: impl ToString) -> Self {
        Self::Encode {
            what: what.to_string(),
            reason: reason.to_string(),
        }
    }
}
