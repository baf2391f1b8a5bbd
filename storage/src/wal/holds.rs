//! Readers of the WAL that need segments longer than the table does.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long segments are kept for a reader that does not come to them.
pub const HOLD_MAX: Duration = Duration::from_secs(24 * 3600);

/// How far each reader is: what clean-up in the same process leaves alone, for [`HOLD_MAX`] at most.
#[derive(Debug, Default)]
pub struct WalHolds {
    /// By name: the shard, and the last segment that is not needed any more.
    readers: Mutex<HashMap<String, (u32, u64)>>,
}

impl WalHolds {
    fn readers(&self) -> MutexGuard<'_, HashMap<String, (u32, u64)>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a reader needs everything of a shard behind a segment.
    pub fn set(&self, reader: &str, shard: u32, done: u64) {
        self.readers().insert(reader.to_owned(), (shard, done));
    }

    /// Forgets every reader but these.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.readers().retain(|reader, _| keep(reader));
    }

    /// The first segment of a shard that some reader still needs; `None` where nobody reads it.
    pub fn first_needed(&self, shard: u32) -> Option<u64> {
        let readers = self.readers();
        let of_shard = readers.values().filter(|(other, _)| *other == shard);
        of_shard.map(|(_, done)| done.saturating_add(1)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_reader_counts() {
        let holds = WalHolds::default();
        assert_eq!(holds.first_needed(0), None);
        holds.set("a", 0, 7);
        holds.set("b", 0, 3);
        holds.set("c", 1, 0);
        assert_eq!(
            (holds.first_needed(0), holds.first_needed(1)),
            (Some(4), Some(1))
        );
        holds.set("b", 0, 9);
        assert_eq!(holds.first_needed(0), Some(8));
        holds.retain(|reader| reader != "a");
        assert_eq!(holds.first_needed(0), Some(10));
    }
}
