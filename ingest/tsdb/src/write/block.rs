//! A block that is being written.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use varve_storage::{FloatHistogram, Labels, SampleValue, is_stale_nan};

use super::chunk_files::{ChunkFiles, sync_folder};
use super::cut::encode_chunks;
use super::index::IndexWriter;
use crate::block::ChunkMeta;
use crate::block::layout::{CHUNKS_FOLDER, INDEX_FILE};
use crate::chunk::Sample;
use crate::error::{Error, Result};
use crate::meta::{self, BlockMeta, BlockStats, Compaction, Ulid};
use crate::tombstones::{self, Tombstones};

/// Bytes of a chunks file, as Prometheus has them.
const CHUNKS_FILE_BYTES_MAX: u64 = 512 << 20;

/// What a folder is called until the block is whole; Prometheus removes such folders when it starts.
const UNFINISHED: &str = "tmp-for-creation";

/// How a block is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockOptions {
    /// Whether start timestamps are written, where there are any, in encodings that Prometheus reads from version 3.14 on.
    /// Otherwise they are left out, and every Prometheus from 2.40 on reads the block.
    pub start_timestamps: bool,
    /// The size of a chunks file.
    pub chunks_file_bytes_max: u64,
}

impl Default for BlockOptions {
    fn default() -> Self {
        Self {
            start_timestamps: false,
            chunks_file_bytes_max: CHUNKS_FILE_BYTES_MAX,
        }
    }
}

/// Writes one block. Calls block. Dropped before [`BlockWriter::finish`], it removes what it wrote.
#[derive(Debug)]
pub struct BlockWriter {
    parent: PathBuf,
    folder: PathBuf,
    ulid: Ulid,
    range: (i64, i64),
    options: BlockOptions,
    chunks: Option<ChunkFiles>,
    index: Option<IndexWriter>,
    last: Option<Labels>,
    stats: BlockStats,
}

impl BlockWriter {
    /// Begins a block in a data folder, which is made if it is missing. `range` is [start, end) in milliseconds; Prometheus
    /// wants it to be aligned to two hours, or to larger multiples of them that it merges blocks to.
    ///
    /// # Errors
    /// [`Error::Io`] if files cannot be made; [`Error::Invalid`] for an empty range.
    pub fn create(parent: &Path, range: (i64, i64), options: BlockOptions) -> Result<Self> {
        if range.0 >= range.1 {
            return Err(Error::Invalid(format!(
                "a block cannot begin at {} and end at {}",
                range.0, range.1
            )));
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ulid = Ulid::new(now.map_or(0, |now| now.as_millis() as u64));
        let folder = parent.join(format!("{ulid}.{UNFINISHED}"));
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let mut writer = Self {
            parent: parent.to_owned(),
            chunks: None,
            index: None,
            folder,
            ulid,
            range,
            options,
            last: None,
            stats: BlockStats::default(),
        };
        let chunks_folder = writer.folder.join(CHUNKS_FOLDER);
        let file_bytes_max = writer.options.chunks_file_bytes_max;
        writer.chunks = Some(ChunkFiles::create(chunks_folder, file_bytes_max)?);
        writer.index = Some(IndexWriter::create(writer.folder.join("series.notes"))?);
        Ok(writer)
    }

    /// Appends a series with its samples, which ascend in time and lie in the block's range. Series come in the order of their
    /// labels, each once. A series without samples is left out.
    ///
    /// # Errors
    /// [`Error::Invalid`] if one of that is not so, with the series; [`Error::Io`]. The block is of no use then.
    pub fn append(&mut self, labels: &Labels, samples: Vec<Sample>) -> Result<()> {
        if samples.is_empty() {
            return Ok(());
        }
        self.check(labels, &samples)?;
        let (Some(chunks), Some(index)) = (&mut self.chunks, &mut self.index) else {
            return Ok(());
        };
        let mut metas = Vec::new();
        for sample in &samples {
            match sample.value {
                SampleValue::Float(_) => self.stats.num_float_samples += 1,
                SampleValue::Histogram(_) => self.stats.num_histogram_samples += 1,
            }
        }
        for cut in encode_chunks(samples, self.options.start_timestamps) {
            metas.push(ChunkMeta {
                reference: chunks.append(cut.encoding, &cut.data)?,
                min_time: cut.min_time,
                max_time: cut.max_time,
            });
            self.stats.num_samples += cut.samples as u64;
        }
        index.append(labels, &metas)?;
        self.stats.num_series += 1;
        self.stats.num_chunks += metas.len() as u64;
        self.last = Some(labels.clone());
        Ok(())
    }

    fn check(&self, labels: &Labels, samples: &[Sample]) -> Result<()> {
        let invalid = |reason: String| Err(Error::Invalid(format!("series {labels} {reason}")));
        if labels.is_empty() {
            return invalid("has no labels".to_owned());
        }
        if let Some(last) = self.last.as_ref().filter(|last| *last >= labels) {
            return invalid(format!(
                "comes behind {last}, and not in the order of labels"
            ));
        }
        let mut before = None;
        for sample in samples {
            let time = sample.timestamp_ms;
            if before.is_some_and(|before| before >= time) {
                return invalid(format!("has samples that do not ascend at {time}"));
            }
            if !(self.range.0..self.range.1).contains(&time) {
                return invalid(format!(
                    "has a sample at {time}, outside of the block's range"
                ));
            }
            before = Some(time);
            if let SampleValue::Histogram(histogram) = &sample.value
                && !has_fitting_spans(histogram)
            {
                return invalid(format!("has an invalid histogram at {time}"));
            }
        }
        Ok(())
    }

    /// Makes the block whole and durable, and gives its description; `None` for a block without series, of which nothing is left.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing is left then either.
    pub fn finish(mut self) -> Result<Option<BlockMeta>> {
        let (Some(chunks), Some(index)) = (self.chunks.take(), self.index.take()) else {
            return Ok(None);
        };
        if self.stats.num_series == 0 {
            return Ok(None);
        }
        chunks.finish()?;
        index.finish(&self.folder.join(INDEX_FILE))?;
        let meta = BlockMeta {
            ulid: self.ulid.clone(),
            min_time: self.range.0,
            max_time: self.range.1,
            stats: self.stats,
            compaction: Compaction {
                level: 1,
                sources: vec![self.ulid.clone()],
                ..Compaction::default()
            },
            version: 1,
            thanos: None,
        };
        let text = serde_json::to_vec_pretty(&meta)
            .map_err(|error| Error::Invalid(format!("a block's description: {error}")))?;
        self.write(tombstones::FILE, &Tombstones::default().encode())?;
        self.write(meta::FILE, &text)?;
        sync_folder(&self.folder)?;
        let folder = self.parent.join(self.ulid.as_str());
        std::fs::rename(&self.folder, &folder).map_err(Error::io("rename", &self.folder))?;
        sync_folder(&self.parent)?;
        Ok(Some(meta))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(name);
        std::fs::write(&path, bytes)
            .and_then(|()| std::fs::File::open(&path)?.sync_all())
            .map_err(Error::io("write", &path))
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        self.chunks = None;
        self.index = None;
        // After a rename there is nothing under this name. What cannot be removed, Prometheus removes.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn has_fitting_spans(histogram: &FloatHistogram) -> bool {
    if is_stale_nan(histogram.sum) {
        return true;
    }
    [
        (&histogram.positive_spans, &histogram.positive_buckets),
        (&histogram.negative_spans, &histogram.negative_buckets),
    ]
    .into_iter()
    .all(|(spans, buckets)| {
        let ascending = spans.iter().skip(1).all(|span| span.offset >= 0);
        let length: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
        ascending && length == buckets.len() as u64
    }) && crate::chunk::is_known_schema(histogram.schema)
}
