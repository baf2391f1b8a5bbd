//! The Delta tables of one tenant: `series`, `samples`, `metadata` and `exemplars`.
//!
//! Formats and the commit protocol are specified in `FORMAT.md` beside this crate.
//!
//! Reading order: [`kind`] says what the tables hold, [`delta`] is the log that says which files a table consists of,
//! [`file`] writes and reads one data file, [`rows`] is what the small tables hold,
//! and [`archive`] is what a query sees of all of them. [`flat`] is no part of a table: samples in a file for others.

pub mod archive;
pub mod delta;
pub mod error;
pub mod file;
pub mod flat;
pub mod kind;
pub mod rows;
mod stats;

pub use archive::{ArchiveReader, ArchiveSnapshot};
pub use delta::{
    Add, CleanUp, CleanUpOptions, Commit, CommitInfo, CommitOutcome, DeltaTable, REWRITE_APP,
    Removed, TableFile, TableSnapshot, wal_app,
};
pub use error::{Error, Result};
pub use file::{NewFile, SortedRows, TableFileWriter};
pub use flat::FlatFileWriter;
pub use kind::TableKind;
pub use rows::SeriesRow;
