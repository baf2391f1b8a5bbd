//! Start timestamps: what they say about resets.
//!
//! A sample may know since when it has been counted. A counter that was reset then shows it, even where its value has grown beyond the one
//! before; and a sample of a delta series, which starts anew each time, is one reset after the other.

use varve_storage::columns::NO_START_MS;

/// The time over which a sample was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Since when, in milliseconds; [`NO_START_MS`] where it is not known.
    pub start_ms: i64,
    /// The sample's own time in milliseconds.
    pub time_ms: i64,
}

impl Counted {
    /// Whether the count began anew after the sample before.
    ///
    /// A start at the sample before is one of a delta, if that sample has a start of its own that makes sense. Otherwise it is a
    /// counter whose start nobody knows, which is written as the time of its first sample.
    pub fn begins_anew(self, previous: Self) -> bool {
        if self.start_ms == NO_START_MS || self.start_ms >= self.time_ms {
            return false;
        }
        let delta = previous.start_ms != NO_START_MS && previous.start_ms < previous.time_ms;
        self.start_ms > previous.time_ms || (self.start_ms == previous.time_ms && delta)
    }

    /// Whether it counts again what the sample before has counted, and not just the same since the same start.
    pub fn overlaps(self, previous: Self) -> bool {
        self.start_ms != NO_START_MS
            && self.start_ms < previous.time_ms
            && self.start_ms != previous.start_ms
    }

    /// The start, if it lies within a window that begins at `window_ms` (exclusive) and before the sample: there the counter was 0.
    pub fn start_after(self, window_ms: i64) -> Option<i64> {
        let inside = window_ms < self.start_ms && self.start_ms < self.time_ms;
        (inside && self.start_ms != NO_START_MS).then_some(self.start_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(start_ms: i64, time_ms: i64) -> Counted {
        Counted { start_ms, time_ms }
    }

    #[test]
    fn a_count_begins_anew_after_the_sample_before_or_with_it_in_a_delta() {
        let previous = counted(50, 100);
        for (start_ms, anew) in [
            (0, false),
            (50, false),
            (99, false),
            (100, true),
            (101, true),
            (199, true),
            // A start that is not before the sample means nothing.
            (200, false),
            (300, false),
        ] {
            assert_eq!(
                counted(start_ms, 200).begins_anew(previous),
                anew,
                "{start_ms}"
            );
        }
        for unknown in [0, 100, 150] {
            let previous = counted(unknown, 100);
            assert!(!counted(100, 200).begins_anew(previous), "{unknown}");
            assert!(counted(101, 200).begins_anew(previous), "{unknown}");
        }
    }

    #[test]
    fn counts_overlap_unless_they_have_one_start() {
        let previous = counted(50, 100);
        for (start_ms, overlaps) in [
            (0, false),
            (50, false),
            (60, true),
            (40, true),
            (100, false),
        ] {
            assert_eq!(
                counted(start_ms, 200).overlaps(previous),
                overlaps,
                "{start_ms}"
            );
        }
    }

    #[test]
    fn only_a_start_inside_the_window_is_of_use() {
        for (start_ms, window_ms, found) in [
            (50, 49, Some(50)),
            (50, 50, None),
            (100, 50, None),
            (0, -50, None),
            (-5, -50, Some(-5)),
        ] {
            assert_eq!(counted(start_ms, 100).start_after(window_ms), found);
        }
    }
}
