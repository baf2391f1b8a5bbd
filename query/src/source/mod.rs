//! The archive as the source of series and samples.
//!
//! Vocabulary:
//! - *file*: one immutable Parquet file of a table ([`ArchiveFile`]); its ranges are closed;
//! - *tail*: rows of WAL segments that no file holds yet ([`WalRows`]);
//! - *slice*: a row of `samples`.
//!
//! Flow of a selector:
//! 1. matchers are compiled ([`matcher`]) and series read from files of `series`, pruned by time and name, and from the tail
//!    ([`series`]); decoded rows of a file are cached across queries;
//! 2. a scan of `samples` for exactly those series and the window's time becomes a table of DataFusion ([`SamplesScan`]): one file group
//!    per file with pushed-down predicates, and the tail in memory, each ordered;
//! 3. files are read through the query's own counters, footers once per process ([`reader`]).
//!
//! Exemplars are found on a way of their own ([`exemplar_file`]), and metadata too ([`metadata`]).
//!
//! Two label sets with one id are an error that names both, wherever they meet.

mod archive;
mod cache;
mod error_context;
mod exemplar_file;
mod file_scan;
#[cfg(test)]
mod fixture;
mod id_filter;
mod matcher;
mod metadata;
mod raw;
mod reader;
mod regex;
mod scan;
mod series;
mod series_file;
mod series_set;
mod slices;
#[cfg(test)]
mod start_tests;
#[cfg(test)]
mod tests;

pub use archive::{ArchiveFile, ArchiveParts, ArchiveSource, WalRows};
pub use cache::SourceCaches;

pub use scan::SamplesScan;
pub use series_set::SeriesSet;

pub(crate) use exemplar_file::find as find_exemplars;
pub(crate) use matcher::CompiledMatchers;
pub(crate) use metadata::MetadataCache;
pub(crate) use scan::{BATCH_SLICES, slice_ordering};
pub(crate) use slices::{Found, Slices};
