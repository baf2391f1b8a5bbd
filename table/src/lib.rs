//! The Delta tables of one tenant: `series`, `samples` and `metadata`.
//!
//! Formats and the commit protocol are specified in `FORMAT.md` beside this crate.
//!
//! Reading order: [`kind`] says what the tables hold, [`delta`] is the log that says which files a table consists of.

pub mod delta;
pub mod error;
pub mod kind;
mod stats;

pub use delta::{
    Add, CleanUp, CleanUpOptions, Commit, CommitInfo, CommitOutcome, DeltaTable, REWRITE_APP,
    Removed, TableFile, TableSnapshot, wal_app,
};
pub use error::{Error, Result};
pub use kind::TableKind;
