//! The compactor: WAL segments into table files, small files into large ones, and clean-up.
//!
//! # Vocabulary
//! - A **pass** takes WAL segments above the table's marks and commits their rows as level-0 files.
//! - A **window** is two hours of UTC time, beginning at an even hour. No row of `samples` crosses its end.
//! - A **merge** rewrites live files into fewer: level 0 into one file per window (level 1), those into one per day
//!   (level 2). Only the bytes move: the set of samples stays the same.
//! - An **attempt** is a pass or a merge until its commit; whatever it wrote before is invisible.
//!
//! # Invariants
//! - Every sample of an acknowledged segment is in the table at most once, and exactly once when its pass has
//!   committed: the rows and the WAL marks are one commit.
//! - `series` is committed before `samples`, with the same marks. If a compactor dies in between, the next one consumes
//!   exactly the segments that `series` counts already, without counting them again.
//! - `exemplars` is committed before both, with marks of its own: a retry writes the exemplars of segments above them, and no others.
//! - Any number of compactors may run. The guard in [`varve_table::Commit`] lets one of them win; others discard.
//! - Memory is bounded by the options, not by the amount of work.
//!
//! # Flow of [`Compactor::run_once`]
//! 1. Passes until the WAL is drained (`pass`).
//! 2. Merges until the plan is empty (`plan`, `merge`).
//! 3. Checkpoints of tables with many commits since the last one.
//! 4. Clean-up: replaced files, orphans, consumed segments, old log objects.

mod compactor;
mod error;
mod exemplars;
mod gather;
mod kway;
mod merge;
mod metrics;
mod options;
mod pass;
mod plan;
mod segments;
mod windows;

pub use compactor::{CompactionReport, Compactor};
pub use error::{Error, Result};
pub use metrics::CompactorMetrics;
pub use options::CompactorOptions;
pub use pass::{Progress, ProgressFn, RunOptions};
pub use windows::WINDOW_MS;
