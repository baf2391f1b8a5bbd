//! Prometheus's TSDB: reading and writing its files, import into an archive and export out of it.
//!
//! The formats are those of Prometheus 3.14 and of all versions before it since 2.0. Nothing here talks to a Prometheus: its
//! files are read as they lie in a folder or in a bucket, and a running one does not notice.
//!
//! # Vocabulary
//! - A **data folder** is what `--storage.tsdb.path` names: blocks, and the head's files.
//! - A **block** ([`Block`]) is an immutable folder with all samples of a range of time; its name is a [`Ulid`].
//! - The **head** ([`Head`]) is what is in no block yet: full chunks in `chunks_head/`, the logs `wal/` and `wbl/`.
//! - A **chunk** ([`ChunkSamples`]) is a compressed run of samples of one series.
//! - A **tombstone** ([`Tombstones`]) is a deleted range of a series.
//! - An **import** ([`import_prometheus`], [`import_thanos`]) appends samples to the WAL of an archive; its **record**
//!   ([`ImportRecord`]) says how far it is.
//!
//! # Invariants
//! - What is read is what Prometheus's querier would give: of duplicates in blocks the sample that it would return, without deleted
//!   ranges, stale markers bit by bit, counter-reset hints of histograms as PromQL sees them. Histograms with whole counts
//!   become such with float counts.
//! - Files are read at positions and in windows; no block and no log is ever in memory as a whole.
//! - No bytes panic, or take more memory than a limit says. What is damaged is an error with the file's name and the place in it.
//! - Nothing but the folder of an export is written to, and a block appears there only when it is whole and durable.
//!
//! # Flow
//! Reading: `source` (a file of a folder or a bucket) → `block`, `wal`, `head` → `merge` (blocks that overlap) →
//! [`import_prometheus`] and [`import_thanos`], which cut samples into appends and keep the record.
//!
//! Writing: [`export_block`] or [`BlockWriter`] → `write` (chunks, then the index, then the description). [`OpenMetricsWriter`]
//! writes text. [`encode_chunks`] makes chunks for others than blocks.
//!
//! # Functions that block
//! [`Block`], [`Head`] and [`BlockWriter`] do; imports and [`export_block`] are asynchronous and put that work on threads of
//! its own.

mod block;
mod chunk;
mod crc;
mod error;
mod export;
mod fields;
#[cfg(feature = "testing")]
pub mod fuzzing;
mod head;
mod import;
mod merge;
mod meta;
mod source;
mod tombstones;
mod wal;
mod write;

pub use block::{Block, BlockSamples, BlockSeries, ChunkMeta, SeriesCursor};
pub use chunk::{ChunkSamples, Encoding, Sample};
pub use crc::crc32c;
pub use error::{DecodeError, Error, Result};
pub use export::{
    BLOCK_RANGE_MS, OpenMetricsCounts, OpenMetricsWriter, StaleMarkers, block_ranges, blocks_in,
    export_block,
};
pub use head::{Head, HeadItem};
pub use import::{
    ImportCounts, ImportEvent, ImportOptions, ImportRecord, ImportSummary, ImportTarget,
    default_folder_id, default_import_id, import_prometheus, import_thanos,
};
pub use meta::{BlockDescription, BlockMeta, BlockStats, Compaction, Downsample, Thanos, Ulid};
pub use source::Folder;
pub use tombstones::Tombstones;
pub use write::{BlockOptions, BlockWriter, EncodedChunk, encode_chunks};
