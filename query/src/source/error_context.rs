//! Errors of reading, with the object that they are about.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use object_store::path::Path;
use parquet::errors::ParquetError;
use varve_storage::{Labels, SeriesId};

use crate::error::Error;

/// An object's bytes are not what was written.
pub(super) fn corrupt(key: &Path, reason: impl ToString) -> Error {
    Error::Storage(varve_storage::Error::Corrupt {
        key: key.to_string(),
        reason: reason.to_string(),
    })
}

/// The error of a read of an object: the store's, where it was the store that failed.
pub(super) fn read_error(key: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<Error>() {
            Ok(error) => *error,
            Err(source) => match source.downcast::<object_store::Error>() {
                Ok(source) => store_error(key, *source),
                Err(source) => corrupt(key, source),
            },
        },
        other => corrupt(key, other),
    }
}

/// A request failed.
pub(super) fn store_error(key: &Path, source: object_store::Error) -> Error {
    Error::Storage(varve_storage::Error::Store {
        action: "read",
        key: key.to_string(),
        source,
    })
}

/// Two label sets have one id.
pub(super) fn collision(id: SeriesId, one: &Labels, other: &Labels) -> Error {
    Error::Execution(format!(
        "series id {id:?} belongs to two label sets, {one} and {other}; they cannot be queried together"
    ))
}

/// The error of a scan of a file: as it is, if it says what it is about; else the file is corrupt.
pub(super) fn named_error(key: &Path, error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::ParquetError(inner) => match *inner {
            ParquetError::External(source) => match source.downcast::<Error>() {
                Ok(own) => DataFusionError::from(*own),
                Err(source) => DataFusionError::from(corrupt(key, source)),
            },
            other => DataFusionError::from(corrupt(key, other)),
        },
        DataFusionError::ArrowError(inner, _) => match *inner {
            ArrowError::ExternalError(source) => match source.downcast::<ParquetError>() {
                Ok(error) => DataFusionError::from(read_error(key, *error)),
                Err(source) => DataFusionError::from(corrupt(key, source)),
            },
            other => DataFusionError::from(corrupt(key, other)),
        },
        other => other,
    }
}
