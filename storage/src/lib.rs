//! What every part of Varve stands on: label sets, samples, WAL segments and the object store.
//!
//! This crate links neither DataFusion nor a Delta Lake library, so that the ingest function stays small
//! and its tests stay quick. Formats are specified in `FORMAT.md` beside this crate.
//!
//! Reading order: [`labels`] and [`sample`] are the data model, [`columns`] is its Arrow form, [`keys`] says where
//! objects lie in the bucket, [`rows`] are samples by series, [`wal`] is the write-ahead log and [`store`] the object store
//! with its metering; [`protobuf`] is how messages of other systems are read and written.

#[cfg(feature = "admin")]
pub mod admin;
pub mod columns;
pub mod error;
pub mod exemplar;
pub mod histogram;
pub mod keys;
pub mod labels;
pub mod limits;
pub mod metadata;
pub mod protobuf;
pub mod rows;
pub mod sample;
pub mod store;
pub mod wal;

pub use error::{Error, ErrorKind, Result};
pub use exemplar::Exemplar;
pub use histogram::FloatHistogram;
pub use labels::{Labels, LabelsBuilder, METRIC_NAME, Series, SeriesId, SeriesRef};
pub use metadata::{MetricMetadata, MetricType};
pub use sample::{STALE_NAN, SampleValue, is_stale_nan, stale_nan};
pub use store::{StorageUrl, Store};
