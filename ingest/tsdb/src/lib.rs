//! Prometheus's TSDB.
mod block;
mod chunk;
mod crc;
mod error;
mod fields;
mod meta;
mod source;
mod tombstones;
mod write;
pub use block::{Block, BlockSamples, BlockSeries, ChunkMeta, SeriesCursor};
pub use chunk::{ChunkSamples, Encoding, Sample};
pub use error::{DecodeError, Error, Result};
pub use meta::*;
pub use source::Folder;
pub use tombstones::Tombstones;
pub use write::{BlockOptions, BlockWriter};
