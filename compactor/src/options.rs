//! What a compactor may use and how long it keeps things.

use std::sync::Arc;
use std::time::Duration;

use varve_storage::wal::WalHolds;
use varve_table::CleanUpOptions;

/// Settings of a [`crate::Compactor`].
#[derive(Clone, Debug)]
pub struct CompactorOptions {
    /// Time between the beginnings of two runs of the loop.
    pub interval: Duration,
    /// Segments that one pass takes at most.
    pub pass_segments_max: usize,
    /// Bytes of decoded segments that one pass takes at most (and at least one segment); it holds little besides.
    pub pass_bytes_max: usize,
    /// Size at which a merge begins its next output file.
    pub target_file_bytes: usize,
    /// Bytes of decoded rows that a merge holds, over all its inputs.
    pub merge_bytes_max: usize,
    /// Files that one merge reads at most, except for the one of a closed day.
    pub merge_files_max: usize,
    /// Small files of one window that are worth a merge before the window is closed.
    pub small_files_max: usize,
    /// How long after its end a window, or a day, is taken to be complete.
    pub close_delay: Duration,
    /// Late files wait this long at most before the file that they belong to is rewritten.
    pub late_delay: Duration,
    /// Commits of a table from one checkpoint to the next.
    pub checkpoint_every: i64,
    /// Time between two clean-ups in the loop.
    pub clean_up_interval: Duration,
    /// How long replaced files, orphans and old log objects are kept. Consumed segments are kept for `grace` too.
    pub clean_up: CleanUpOptions,
    /// Readers of the WAL in this process, for whom consumed segments are kept longer.
    pub wal_holds: Arc<WalHolds>,
}

impl Default for CompactorOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            pass_segments_max: 2_048,
            pass_bytes_max: 64 << 20,
            target_file_bytes: 64 << 20,
            merge_bytes_max: 32 << 20,
            merge_files_max: 64,
            small_files_max: 8,
            close_delay: Duration::from_secs(600),
            late_delay: Duration::from_secs(6 * 3600),
            checkpoint_every: 20,
            clean_up_interval: Duration::from_secs(300),
            clean_up: CleanUpOptions::default(),
            wal_holds: Arc::default(),
        }
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
