//! The Delta Lake log: what a table consists of, version by version.
//!
//! A *log entry* `_delta_log/<version>.json` holds *actions*; replaying the entries 0..=v gives the table's state at
//! version v, a [`TableSnapshot`]. A *checkpoint* is the state at one version in one Parquet file, so that old
//! entries need not be read; `_last_checkpoint` names the newest. Entries are created with put-if-absent, which makes
//! a commit atomic and versions contiguous. `FORMAT.md` beside this crate says which part of the protocol Varve uses.
//!
//! Invariants:
//! - Nothing here uses LIST to read a table. Entries are found by GETs of the next names.
//! - A commit is only attempted as the successor of the snapshot that it was checked against.
//! - A snapshot is immutable; readers share it.
//!
//! Flow: [`DeltaTable::refresh`] (`load`) brings the snapshot up to date; [`Commit`] collects actions, is checked
//! against the snapshot (`commit`) and put as the next entry; `checkpoint` and `clean_up` keep the log short.

mod actions;
mod checkpoint;
mod clean_up;
mod commit;
mod entry;
mod load;
mod snapshot;
mod table;

pub use actions::{Add, CommitInfo};
pub use clean_up::{CleanUp, CleanUpOptions};
pub use commit::{Commit, CommitOutcome, REWRITE_APP, wal_app};
pub(crate) use entry::encode_path;
pub(crate) use snapshot::join;
pub use snapshot::{Removed, TableFile, TableSnapshot};
pub use table::DeltaTable;

#[cfg(test)]
mod tests;
