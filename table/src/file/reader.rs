//! Reads a whole data file in its sort order, for merging. Queries read parts of files by ways of their own.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::async_reader::ParquetRecordBatchStream;

use super::object::ObjectReader;
use crate::delta::TableFile;
use crate::error::{Error, Result};
use crate::kind::TableKind;

/// A file up to this size is fetched with one request and its checksum verified; a larger one row group by row group.
const WHOLE_BYTES_MAX: u64 = 8 << 20;

enum Source {
    Whole(ParquetRecordBatchReader),
    Streamed(Box<ParquetRecordBatchStream<ObjectReader>>),
}

/// The rows of one file, batch by batch.
pub struct SortedRows {
    key: Path,
    source: Source,
}

impl std::fmt::Debug for SortedRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SortedRows")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl SortedRows {
    /// Opens a live file; batches have up to `batch_rows` rows.
    pub async fn open(
        store: &Arc<dyn ObjectStore>,
        root: &Path,
        kind: TableKind,
        file: &TableFile,
        batch_rows: usize,
    ) -> Result<Self> {
        let key = file.key(root);
        let source = if file.size_bytes <= WHOLE_BYTES_MAX {
            let failed = |e| Error::store("read", &key, e);
            let object = store.get(&key).await.map_err(failed)?;
            let bytes = object.bytes().await.map_err(failed)?;
            if bytes.len() as u64 != file.size_bytes {
                let reason = format!(
                    "it has {} bytes instead of {}",
                    bytes.len(),
                    file.size_bytes
                );
                return Err(Error::corrupt(&key, reason));
            }
            if file.crc32.is_some_and(|crc| crc != crc32fast::hash(&bytes)) {
                return Err(Error::corrupt(&key, "its checksum does not match"));
            }
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)
                .map_err(|e| Error::corrupt(&key, e))?;
            check_schema(&key, kind, builder.schema())?;
            let reader = builder.with_batch_size(batch_rows).build();
            Source::Whole(reader.map_err(|e| Error::corrupt(&key, e))?)
        } else {
            let reader = ObjectReader {
                store: Arc::clone(store),
                key: key.clone(),
                size_bytes: file.size_bytes,
            };
            let builder = ParquetRecordBatchStreamBuilder::new(reader)
                .await
                .map_err(|e| parquet_error(&key, e))?;
            check_schema(&key, kind, builder.schema())?;
            let stream = builder.with_batch_size(batch_rows).build();
            Source::Streamed(Box::new(stream.map_err(|e| parquet_error(&key, e))?))
        };
        Ok(Self { key, source })
    }

    /// The file's key.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// The next rows; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let batch = match &mut self.source {
            Source::Whole(reader) => match reader.next() {
                None => return Ok(None),
                Some(batch) => batch.map_err(|e| Error::corrupt(&self.key, e))?,
            },
            Source::Streamed(stream) => match stream.next().await {
                None => return Ok(None),
                Some(batch) => batch.map_err(|e| parquet_error(&self.key, e))?,
            },
        };
        Ok(Some(batch))
    }
}

/// The error of a streamed read: the store's, where it was the store that failed.
fn parquet_error(key: &Path, error: parquet::errors::ParquetError) -> Error {
    if let parquet::errors::ParquetError::External(source) = error {
        return match source.downcast::<object_store::Error>() {
            Ok(source) => Error::store("read", key, *source),
            Err(other) => Error::corrupt(key, other),
        };
    }
    Error::corrupt(key, error)
}

/// Nullable columns at the end may be missing: the file is older than they are, or has nothing in them. Columns that are not known
/// are an error, because a merge would lose them.
fn check_schema(key: &Path, kind: TableKind, found: &Schema) -> Result<()> {
    let expected = kind.file_schema();
    let (expected, found) = (expected.fields(), found.fields());
    let pairs = || expected.iter().zip(found);
    let same = expected.len() >= found.len()
        && pairs()
            .all(|(a, b)| a.name() == b.name() && a.data_type().equals_datatype(b.data_type()))
        && expected.iter().skip(found.len()).all(|f| f.is_nullable());
    if same {
        Ok(())
    } else {
        let reason = format!("its columns are not those of table {}", kind.name());
        Err(Error::corrupt(key, reason))
    }
}
