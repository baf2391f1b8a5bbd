//! What can go wrong with a query, by whose fault it is.

use std::time::Duration;

use datafusion::error::DataFusionError;
use thiserror::Error;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of an [`Error`]; the HTTP status and Prometheus's `errorType` follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The query or a parameter is wrong (`bad_data`).
    BadData,
    /// The query is well-formed, but its evaluation fails: duplicate series, a limit reached, not supported (`execution`).
    Execution,
    /// The query took longer than it was allowed to (`timeout`).
    Timeout,
    /// The caller went away (`canceled`).
    Canceled,
    /// The object store does not answer; the same query may succeed later (`unavailable`).
    Unavailable,
    /// The archive holds something unreadable, or Varve has a fault (`internal`).
    Internal,
}

/// An error of a query. Where Prometheus has words for a failure, these are its words.
#[derive(Debug, Error)]
pub enum Error {
    /// The text is not a valid PromQL expression: `LINE:COLUMN: parse error: …`.
    #[error(transparent)]
    Parse(#[from] varve_promql::ParseError),
    /// A parameter is wrong.
    #[error("{0}")]
    BadData(String),
    /// The evaluation failed in a way that the query's author can mend.
    #[error("{0}")]
    Execution(String),
    /// Two series of the "one" side of a vector operation are in one match group.
    #[error("{0}")]
    DuplicateSeries(String),
    /// Part of PromQL that Varve does not have yet.
    #[error("not supported yet: {0}")]
    NotSupported(String),
    /// More samples at once than the limit allows.
    #[error("query processing would load too many samples into memory in {0}")]
    TooManySamples(&'static str),
    /// More memory than the limit allows.
    #[error("query needs more memory than its limit allows: {0}")]
    Memory(String),
    /// The time limit passed.
    #[error("query timed out in {stage}")]
    Timeout {
        /// What was under way: "query preparation", "query execution".
        stage: &'static str,
        /// The limit that passed.
        after: Duration,
    },
    /// A selector that was planned for floats has native histograms of this metric. The engine plans the query anew.
    #[error("metric {0:?} has native histograms")]
    HistogramsFound(String),
    /// The caller went away.
    #[error("query was canceled in {0}")]
    Canceled(&'static str),
    /// The object store or a format below the tables failed.
    #[error(transparent)]
    Storage(#[from] varve_storage::Error),
    /// A table of the archive could not be read.
    #[error(transparent)]
    Table(#[from] varve_table::Error),
    /// Something that no query and no archive should be able to cause.
    #[error("{0}")]
    Internal(String),
    /// DataFusion failed in a way that no other variant describes.
    #[error("query execution: {0}")]
    DataFusion(DataFusionError),
}

impl Error {
    /// Whether an object that a snapshot names is gone, so that a fresh snapshot may help.
    pub(crate) fn is_missing_object(&self) -> bool {
        let kind = match self {
            Self::Storage(error) => error.kind(),
            Self::Table(error) => error.kind(),
            _ => return false,
        };
        kind == varve_storage::ErrorKind::NotFound
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(_) | Self::BadData(_) => ErrorKind::BadData,
            Self::Execution(_)
            | Self::DuplicateSeries(_)
            | Self::NotSupported(_)
            | Self::TooManySamples(_)
            | Self::Memory(_) => ErrorKind::Execution,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Canceled(_) => ErrorKind::Canceled,
            Self::Storage(error) => storage_kind(error.kind()),
            Self::Table(error) => storage_kind(error.kind()),
            Self::HistogramsFound(_) | Self::Internal(_) | Self::DataFusion(_) => {
                ErrorKind::Internal
            }
        }
    }
}

fn storage_kind(kind: varve_storage::ErrorKind) -> ErrorKind {
    match kind {
        varve_storage::ErrorKind::Unavailable => ErrorKind::Unavailable,
        varve_storage::ErrorKind::Invalid => ErrorKind::BadData,
        varve_storage::ErrorKind::Limit => ErrorKind::Execution,
        varve_storage::ErrorKind::NotFound | varve_storage::ErrorKind::Corrupt => {
            ErrorKind::Internal
        }
    }
}

/// Errors of this crate travel through DataFusion as external errors and come out as they went in.
impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        match error {
            Error::DataFusion(error) => error,
            other => DataFusionError::External(Box::new(other)),
        }
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(source) => match source.downcast::<Error>() {
                Ok(error) => *error,
                Err(source) => match source.downcast::<DataFusionError>() {
                    Ok(error) => Error::from(*error),
                    Err(source) => Error::DataFusion(DataFusionError::External(source)),
                },
            },
            DataFusionError::Context(_, source) | DataFusionError::Diagnostic(_, source) => {
                Error::from(*source)
            }
            DataFusionError::Shared(source) => match std::sync::Arc::try_unwrap(source) {
                Ok(error) => Error::from(error),
                Err(shared) => from_shared(&shared),
            },
            DataFusionError::ResourcesExhausted(message) => Error::Memory(message),
            DataFusionError::ArrowError(source, trace) => match *source {
                arrow::error::ArrowError::ExternalError(inner) => {
                    Error::from(DataFusionError::External(inner))
                }
                other => Error::DataFusion(DataFusionError::ArrowError(Box::new(other), trace)),
            },
            other => Error::DataFusion(other),
        }
    }
}

/// An error that several partitions report at once cannot be taken apart; its text is kept.
fn from_shared(shared: &DataFusionError) -> Error {
    match shared.find_root() {
        DataFusionError::ResourcesExhausted(message) => Error::Memory(message.clone()),
        DataFusionError::External(source) => match source.downcast_ref::<Error>() {
            Some(Error::NotSupported(what)) => Error::NotSupported(what.clone()),
            Some(Error::HistogramsFound(name)) => Error::HistogramsFound(name.clone()),
            Some(Error::DuplicateSeries(text)) => Error::DuplicateSeries(text.clone()),
            Some(Error::TooManySamples(stage)) => Error::TooManySamples(stage),
            Some(Error::Canceled(stage)) => Error::Canceled(stage),
            Some(other) if other.kind() == ErrorKind::Execution => {
                Error::Execution(other.to_string())
            }
            _ => Error::DataFusion(DataFusionError::Execution(source.to_string())),
        },
        other => Error::DataFusion(DataFusionError::Execution(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn errors_survive_the_way_through_datafusion() {
        let execution = || Error::Execution("many-to-many".to_owned());
        let wrapped = DataFusionError::from(execution()).context("while joining");
        let back = Error::from(wrapped);
        assert_eq!(back.kind(), ErrorKind::Execution);
        assert_eq!(back.to_string(), "many-to-many");

        let shared = Arc::new(DataFusionError::from(execution()));
        let other = Arc::clone(&shared);
        let back = Error::from(DataFusionError::Shared(shared));
        assert_eq!(back.to_string(), "many-to-many");
        drop(other);

        let memory = DataFusionError::ResourcesExhausted("pool".to_owned());
        assert_eq!(Error::from(memory).kind(), ErrorKind::Execution);
    }
}
