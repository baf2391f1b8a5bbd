//! Blocks: immutable folders with all samples of a range of time.
//!
//! A block is `meta.json`, `index`, `chunks/000001`, … and `tombstones`. [`Block::open`] reads the description, the symbols and
//! the tombstones; [`SeriesCursor`] then goes through its series, and [`Block::samples`] through the samples of one. Reading in
//! that order goes through each file once, from front to back.

mod chunks;
mod index;
mod symbols;

use varve_storage::Labels;

use self::chunks::Chunks;
use self::index::{Index, SeriesReader};
use crate::chunk::Sample;
use crate::error::Result;
use crate::meta::{self, BlockMeta};
use crate::source::Folder;
use crate::tombstones::{Tombstones, is_deleted};

pub(crate) use self::chunks::ReadChunk;
pub use self::index::{BlockSeries, ChunkMeta};

#[cfg(any(test, feature = "testing"))]
pub(crate) use self::index::read_index;

/// How a written file begins; for the writer.
pub(crate) mod layout {
    pub(crate) use super::chunks::{
        FOLDER as CHUNKS_FOLDER, HEADER_BYTES as CHUNKS_HEADER_BYTES, MAGIC as CHUNKS_MAGIC,
        VERSION as CHUNKS_VERSION,
    };
    pub(crate) use super::index::{FILE as INDEX_FILE, MAGIC as INDEX_MAGIC, SERIES_ALIGNMENT};
}

/// An opened block. Calls block.
#[derive(Debug)]
pub struct Block {
    meta: BlockMeta,
    index_path: String,
    index: Index,
    chunks: Chunks,
    tombstones: Tombstones,
}

impl Block {
    /// Opens the block in a folder.
    ///
    /// # Errors
    /// [`Error::Vanished`](crate::Error::Vanished) if a file is missing, as when Prometheus has just deleted the block;
    /// [`Error::Corrupt`](crate::Error::Corrupt) and [`Error::Unsupported`](crate::Error::Unsupported) with the file's name.
    pub fn open(folder: &Folder) -> Result<Self> {
        let meta = BlockMeta::read(&folder.open_required(meta::FILE)?)?;
        Ok(Self {
            meta,
            index_path: folder.name_of(index::FILE),
            index: Index::open(folder.open_required(index::FILE)?)?,
            chunks: Chunks::open(folder)?,
            tombstones: Tombstones::read(folder)?,
        })
    }

    /// Its description.
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Its series, from the first one on.
    pub fn series(&self) -> SeriesCursor {
        SeriesCursor {
            reader: self.index.series(),
        }
    }

    /// The samples of one of its series, without deleted ones.
    pub fn samples(&mut self, series: BlockSeries) -> BlockSamples<'_> {
        BlockSamples {
            deleted: self.tombstones.of(series.reference),
            index_path: &self.index_path,
            chunks: &mut self.chunks,
            metas: series.chunks.into_iter(),
            current: None,
        }
    }
}

/// Goes through the series of a block, in the order of their labels.
#[derive(Debug)]
pub struct SeriesCursor {
    reader: SeriesReader,
}

impl SeriesCursor {
    /// The next series, `None` behind the last. Independent of the [`Block`], whose chunks can be read meanwhile.
    ///
    /// # Errors
    /// As [`Block::open`].
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's item would be turned inside out at every call"
    )]
    pub fn next(&mut self) -> Result<Option<BlockSeries>> {
        self.reader.next()
    }
}

/// The samples of one series of a block, ascending in time.
#[derive(Debug)]
pub struct BlockSamples<'a> {
    deleted: &'a [(i64, i64)],
    index_path: &'a str,
    chunks: &'a mut Chunks,
    metas: std::vec::IntoIter<ChunkMeta>,
    current: Option<ReadChunk>,
}

impl BlockSamples<'_> {
    /// The next sample, `None` behind the last.
    ///
    /// # Errors
    /// As [`Block::open`].
    #[expect(clippy::should_implement_trait, reason = "as for the cursor")]
    pub fn next(&mut self) -> Result<Option<Sample>> {
        loop {
            if let Some(chunk) = &mut self.current {
                match chunk.next()? {
                    Some(sample) if is_deleted(self.deleted, sample.timestamp_ms) => {}
                    Some(sample) => return Ok(Some(sample)),
                    None => self.current = None,
                }
                continue;
            }
            let Some(meta) = self.metas.next() else {
                return Ok(None);
            };
            // A chunk that was deleted as a whole need not be read.
            let whole = |range: &(i64, i64)| range.0 <= meta.min_time && meta.max_time <= range.1;
            if !self.deleted.iter().any(whole) {
                self.current = Some(self.chunks.read(&meta, self.index_path)?);
            }
        }
    }
}

impl BlockSeries {
    /// Its labels and others, which win over labels of the same name, as Thanos's external labels do.
    pub fn labels_with(&self, others: &Labels) -> Labels {
        if others.is_empty() {
            return self.labels.clone();
        }
        Labels::from_pairs(self.labels.iter().chain(others.iter()))
    }
}
