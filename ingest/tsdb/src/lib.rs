//! Prometheus's TSDB.
mod chunk;
mod crc;
mod error;
mod fields;
pub use chunk::{ChunkSamples, Encoding, Sample};
pub use error::{DecodeError, Error, Result};
