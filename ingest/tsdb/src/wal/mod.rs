//! Prometheus's write-ahead logs: `wal/` with its checkpoints, and `wbl/` for samples out of order.
//!
//! A log is a run of numbered segments; a segment is pages of 32 KiB; a record lies in one or more fragments, none of which
//! crosses a page. `segment` gives the records, [`record`] says what is in them, and [`files`] which segments there are.
//!
//! Invariant: no bytes make a reader panic, or take more memory than the longest record that makes sense.

pub(crate) mod files;
mod histograms;
pub(crate) mod record;
mod segment;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::files::{LogFile, log_files};
pub(crate) use self::record::Record;
pub(crate) use self::segment::SegmentReader;
