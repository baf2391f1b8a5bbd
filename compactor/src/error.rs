//! What can go wrong in a compaction.

use thiserror::Error;
use varve_storage::ErrorKind;

/// The result of a compaction.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Whatever failed can be run again: nothing is counted twice.
#[derive(Debug, Error)]
pub enum Error {
    /// A table could not be read or written.
    #[error(transparent)]
    Table(#[from] varve_table::Error),
    /// The WAL could not be read.
    #[error(transparent)]
    Storage(#[from] varve_storage::Error),
    /// Two label sets have one series id.
    #[error("compaction stopped: {0}")]
    Collision(String),
    /// The caller asked to stop.
    #[error("compaction was cancelled")]
    Cancelled,
    /// An attempt took so long that the clean-up of another compactor may have taken its files for orphans.
    #[error(
        "compaction of table {table} took longer than half of the orphan age and was given up; use smaller passes or raise the orphan age"
    )]
    TooSlow {
        /// The table.
        table: &'static str,
    },
    /// A worker thread ended without a result.
    #[error("a compaction worker died: {0}")]
    Worker(String),
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Table(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Collision(_) => ErrorKind::Corrupt,
            Self::Cancelled | Self::Worker(_) => ErrorKind::Unavailable,
            Self::TooSlow { .. } => ErrorKind::Limit,
        }
    }
}
