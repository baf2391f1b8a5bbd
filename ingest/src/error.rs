//! What can go wrong between a configuration file and a stored sample, by what to do about it.

use thiserror::Error;

use crate::config::ConfigError;
use crate::exposition::ExpositionError;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The configuration, or a file that it names, is wrong.
    Invalid,
    /// A target or the store did not answer in time or not as expected; the next attempt may succeed.
    Unavailable,
    /// What a target exposes cannot be taken as it is.
    Rejected,
    /// A limit of the configuration was exceeded.
    Limit,
}

/// An error of this crate. The texts of failed scrapes are those that `/api/v1/targets` shows as `lastError`.
#[derive(Debug, Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    ReadFile {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A log could not be opened.
    #[error("can't create json log file: open {path}: {source}")]
    OpenLog {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// An HTTP client could not be made.
    #[error("error creating HTTP client for {owner}: {reason}")]
    Client {
        /// Whose client: a job, for one.
        owner: String,
        /// What is wrong with its TLS or authentication settings.
        reason: String,
    },
    /// A service discovery of a job could not be made.
    #[error("cannot create {kind} service discovery of job {job:?}: {reason}")]
    Discovery {
        /// The job.
        job: String,
        /// The kind of discovery.
        kind: &'static str,
        /// What is wrong with its settings.
        reason: String,
    },
    /// There is no pool, that is no job, of a name.
    #[error("scrape pool {0:?} not found")]
    UnknownPool(String),
    /// The request to a target or another server failed.
    #[error("Get {url:?}: {reason}")]
    Request {
        /// The URL.
        url: String,
        /// Why it failed.
        reason: String,
    },
    /// A server answered with something else than 200.
    #[error("server returned HTTP status {0}")]
    Status(String),
    /// A response body could not be read or decompressed.
    #[error("{0}")]
    Body(String),
    /// A response's Content-Type is missing or unknown, and the job has no fallback.
    #[error("{0}")]
    ContentType(String),
    /// An exposition breaks its grammar.
    #[error(transparent)]
    Exposition(#[from] ExpositionError),
    /// An exposition is well-formed, but one of its series cannot be stored.
    #[error("{0}")]
    Series(String),
    /// A limit was exceeded.
    #[error("{0}")]
    Limit(String),
    /// The store refused the samples.
    #[error("cannot store samples: {0}")]
    Store(#[from] varve_storage::Error),
}

impl Error {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_)
            | Self::ReadFile { .. }
            | Self::OpenLog { .. }
            | Self::Client { .. }
            | Self::Discovery { .. }
            | Self::UnknownPool(_) => ErrorKind::Invalid,
            Self::Request { .. } | Self::Status(_) | Self::Body(_) | Self::Store(_) => {
                ErrorKind::Unavailable
            }
            Self::ContentType(_) | Self::Exposition(_) | Self::Series(_) => ErrorKind::Rejected,
            Self::Limit(_) => ErrorKind::Limit,
        }
    }
}
