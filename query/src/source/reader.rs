//! Reads parts of immutable Parquet files with few requests.
//!
//! - Footers, with their page indexes, come from one request for the file's end and are kept across queries.
//! - The first time a row group is touched, the columns that predicates look at come along: small, and wanted in several
//!   rounds otherwise.
//! - Ranges that lie close together are one request.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, coalesce_ranges};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use varve_storage::columns;

use super::cache::SourceCaches;
use super::error_context::{corrupt, store_error};

/// A gap up to this size is read along: at 100 MB/s it costs less than a millisecond, a request tens of them.
const GAP_BYTES: u64 = 64 << 10;
/// The end of a file that is asked for first: a small part of the file, and enough for most footers.
const FOOTER_BYTES: std::ops::RangeInclusive<u64> = (8 << 10)..=(256 << 10);
/// The part of a file that its footer is expected to need.
const FOOTER_SHARE: u64 = 64;
/// A row group's filter columns up to this size in total are read at once.
const FILTER_COLUMNS_BYTES_MAX: u64 = 512 << 10;
/// The columns that predicates look at.
const FILTER_COLUMNS: [&str; 5] = [
    columns::NAME,
    columns::SERIES_ID,
    columns::MIN_TIME,
    columns::MAX_TIME,
    columns::TIMESTAMP,
];

/// Makes readers for DataFusion's Parquet scan that share footers and count for one query.
#[derive(Debug)]
pub(super) struct ArchiveReaderFactory {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) caches: Arc<SourceCaches>,
}

impl ParquetFileReaderFactory for ArchiveReaderFactory {
    fn create_reader(
        &self,
        _partition: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> datafusion::common::Result<Box<dyn AsyncFileReader + Send>> {
        Ok(Box::new(ArchiveFileReader {
            objects: Arc::clone(&self.objects),
            caches: Arc::clone(&self.caches),
            key: file.object_meta.location,
            size_bytes: file.object_meta.size,
            footer: None,
            held: Vec::new(),
        }))
    }
}

/// Reads one file.
#[derive(Debug)]
pub(super) struct ArchiveFileReader {
    objects: Arc<dyn ObjectStore>,
    caches: Arc<SourceCaches>,
    key: Path,
    size_bytes: u64,
    footer: Option<Arc<ParquetMetaData>>,
    /// The filter columns of the row group that was touched last.
    held: Vec<(Range<u64>, Bytes)>,
}

impl ArchiveFileReader {
    pub(super) fn new(
        objects: Arc<dyn ObjectStore>,
        caches: Arc<SourceCaches>,
        key: Path,
        size_bytes: u64,
    ) -> Self {
        Self {
            objects,
            caches,
            key,
            size_bytes,
            footer: None,
            held: Vec::new(),
        }
    }

    /// The footer with its page indexes.
    pub(super) async fn footer(&mut self) -> Result<Arc<ParquetMetaData>> {
        if let Some(footer) = &self.footer {
            return Ok(Arc::clone(footer));
        }
        let footer = match self.caches.footers.get(&self.key) {
            Some(footer) => footer,
            None => self.fetch_footer().await?,
        };
        self.footer = Some(Arc::clone(&footer));
        Ok(footer)
    }

    async fn fetch_footer(&mut self) -> Result<Arc<ParquetMetaData>> {
        let hint =
            (self.size_bytes / FOOTER_SHARE).clamp(*FOOTER_BYTES.start(), *FOOTER_BYTES.end());
        let size_bytes = self.size_bytes;
        let footer = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Optional)
            .with_prefetch_hint(usize::try_from(hint).ok())
            .load_and_finish(&mut *self, size_bytes)
            .await
            .map_err(|error| match error {
                own @ ParquetError::External(_) => own,
                other => ParquetError::External(Box::new(corrupt(&self.key, other))),
            })?;
        let footer = Arc::new(footer);
        let bytes = footer.memory_size();
        self.caches
            .footers
            .insert(self.key.clone(), Arc::clone(&footer), bytes);
        Ok(footer)
    }

    /// Fetches the whole file at once; whatever is read later comes from memory.
    pub(super) async fn hold_all(&mut self) -> Result<()> {
        let all = 0..self.size_bytes;
        let bytes = self.get_bytes(all.clone()).await?;
        self.held = vec![(all, bytes)];
        Ok(())
    }

    /// The filter columns of the row group that a range lies in, unless they are held already or large.
    fn filter_columns(&mut self, range: &Range<u64>) -> Vec<Range<u64>> {
        if self.footer.is_none() {
            // DataFusion reads the footer and the rows through readers of their own.
            self.footer = self.caches.footers.get(&self.key);
        }
        let Some(footer) = &self.footer else {
            return Vec::new();
        };
        let extent = |column: &parquet::file::metadata::ColumnChunkMetaData| {
            let (start, length) = column.byte_range();
            start..start + length
        };
        let group = footer.row_groups().iter().find(|group| {
            let holds = |column| extent(column).contains(&range.start);
            group.columns().iter().any(holds)
        });
        let Some(group) = group else {
            return Vec::new();
        };
        let of_filters: Vec<Range<u64>> = group
            .columns()
            .iter()
            .filter(|column| FILTER_COLUMNS.contains(&column.column_path().string().as_str()))
            .map(extent)
            .collect();
        let bytes: u64 = of_filters.iter().map(|range| range.end - range.start).sum();
        let held = of_filters
            .iter()
            .all(|range| self.in_memory(range).is_some());
        if bytes > FILTER_COLUMNS_BYTES_MAX || held {
            return Vec::new();
        }
        of_filters
    }

    fn failed(&self, error: object_store::Error) -> ParquetError {
        ParquetError::External(Box::new(store_error(&self.key, error)))
    }

    fn in_memory(&self, range: &Range<u64>) -> Option<Bytes> {
        let holds =
            |held: &&(Range<u64>, Bytes)| held.0.start <= range.start && range.end <= held.0.end;
        let (held, bytes) = self.held.iter().find(holds)?;
        let start = usize::try_from(range.start - held.start).ok()?;
        let length = usize::try_from(range.end - range.start).ok()?;
        (start + length <= bytes.len()).then(|| bytes.slice(start..start + length))
    }

    async fn fetch(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        coalesce_ranges(
            ranges,
            |range| self.objects.get_range(&self.key, range),
            GAP_BYTES,
        )
        .await
        .map_err(|error| self.failed(error))
    }

    async fn read(&mut self, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>> {
        let is_missing = |range: &&Range<u64>| self.in_memory(range).is_none();
        let mut missing: Vec<Range<u64>> = ranges.iter().filter(is_missing).cloned().collect();
        let mut fetched = Vec::new();
        if let Some(first) = missing.first().cloned() {
            let wanted = missing.len();
            missing.extend(self.filter_columns(&first));
            fetched = self.fetch(&missing).await?;
            if missing.len() > wanted {
                let filter_bytes = fetched.split_off(wanted);
                self.held = missing.drain(wanted..).zip(filter_bytes).collect();
            }
        }
        let mut fetched = missing.into_iter().zip(fetched).peekable();
        let mut out = Vec::with_capacity(ranges.len());
        for range in ranges {
            let bytes = match fetched.next_if(|(of, _)| *of == range) {
                Some((_, bytes)) => Some(bytes),
                None => self.in_memory(&range),
            };
            // Held bytes are replaced only when a row group is touched for the first time; what was held of another one
            // is read again.
            match bytes {
                Some(bytes) => out.push(bytes),
                None => out.extend(self.fetch(&[range]).await?),
            }
        }
        Ok(out)
    }
}

impl AsyncFileReader for ArchiveFileReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            match self.in_memory(&range) {
                Some(bytes) => Ok(bytes),
                None => self
                    .objects
                    .get_range(&self.key, range)
                    .await
                    .map_err(|error| self.failed(error)),
            }
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        self.read(ranges).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        self.footer().boxed()
    }
}
