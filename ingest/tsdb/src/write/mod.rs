//! Writing blocks.
//!
//! [`BlockWriter`] takes series in the order of their labels, cuts their samples into chunks (`cut`), appends those to the chunks
//! files at once (`chunk_files`), and notes series and chunks in a file of its own. [`BlockWriter::finish`] makes the index of
//! the notes (`index`), describes the block, and gives the folder its name. Until then the folder is called
//! `<name>.tmp-for-creation`, which Prometheus removes when it starts.

mod block;
mod chunk_files;
mod cut;
mod index;

#[cfg(test)]
mod tests;

pub use self::block::{BlockOptions, BlockWriter};
pub use self::cut::{EncodedChunk, encode_chunks};
