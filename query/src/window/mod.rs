//! Selectors as plans: from slices of samples to a row per series with a vector of steps.
//!
//! Vocabulary:
//! - *slice*: a row of `samples`: one series over some time;
//! - *run*: all samples of one series in the selector's range of time, merged from its slices;
//! - *vector relation*: label columns `l:<name>` and `value`, a vector of steps (see [`vector_schema`]).
//!
//! Flow:
//! 1. [`crate::source::ArchiveSource`] finds the series of a selector in the archive, so that label names are known;
//! 2. [`SeriesWindow::plan`] puts the node over a scan of `samples`, restricted to those series and that time;
//! 3. [`SeriesWindowPlanner`] makes the physical node, which takes slices ordered by series and time, merges each series'
//!    slices into a run and lets the kernel walk it once.
//!
//! Memory: one series' run and one batch of output, both reserved in DataFusion's pool. Cut a long grid into slices of
//! steps to bound the run.

mod columns;
mod kernel;
mod logical;
mod merge;
mod physical;

pub use columns::{batch_rows, label_type, vector_schema};
pub use kernel::WindowKernel;
pub use logical::SeriesWindow;
pub use physical::{SAMPLES_READ, SeriesWindowExec, SeriesWindowPlanner};

pub(crate) use merge::SampleRun;
