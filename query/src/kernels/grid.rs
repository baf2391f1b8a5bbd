//! The windows that lie at the steps of a grid.

use crate::grid::StepGrid;

/// The left-open window (end - range, end] of every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowGrid {
    /// The steps.
    pub grid: StepGrid,
    /// The length of a window: a range selector's range, or the look-back; not negative.
    pub range_ms: i64,
    /// How far the window's end lies before its step (or before `at_ms`); negative: after it.
    pub offset_ms: i64,
    /// `@`: every window ends here (less the offset), whatever the step.
    pub at_ms: Option<i64>,
}

impl WindowGrid {
    /// Where a step's window ends (inclusive), in milliseconds.
    pub fn end_ms(&self, step: usize) -> i64 {
        self.at_ms
            .unwrap_or_else(|| self.grid.time_ms(step))
            .saturating_sub(self.offset_ms)
    }

    /// Where a step's window starts (exclusive), in milliseconds.
    pub fn start_ms(&self, step: usize) -> i64 {
        self.end_ms(step).saturating_sub(self.range_ms)
    }

    /// The closed range of time of all samples that some window holds; `None` where no window can hold any.
    pub fn fetch_range_ms(&self) -> Option<(i64, i64)> {
        if self.grid.steps == 0 || self.range_ms <= 0 {
            return None;
        }
        let last = self.grid.steps - 1;
        Some((self.start_ms(0).saturating_add(1), self.end_ms(last)))
    }

    /// Calls `f(step, lo, hi)` for every step in order; `lo..hi` are the indexes of the window's samples in `timestamps`,
    /// which ascend. Neither bound ever moves back.
    pub(super) fn for_each(&self, timestamps: &[i64], mut f: impl FnMut(usize, usize, usize)) {
        let (mut lo, mut hi) = (0, 0);
        for step in 0..self.grid.steps {
            let end = self.end_ms(step);
            let start = end.saturating_sub(self.range_ms);
            hi = advance(timestamps, hi, end);
            lo = advance(timestamps, lo, start);
            f(step, lo, hi.max(lo));
        }
    }
}

/// The first index from `from` on whose timestamp is greater than `bound`.
///
/// Steps usually move by a few samples, so the first ones are looked at one by one before halving the rest.
pub(super) fn advance(timestamps: &[i64], from: usize, bound: i64) -> usize {
    let rest = &timestamps[from..];
    let near = rest.len().min(16);
    if let Some(i) = rest[..near].iter().position(|t| *t > bound) {
        return from + i;
    }
    from + near + rest[near..].partition_point(|t| *t <= bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_left_open_and_move_with_offset_and_at() {
        let grid = StepGrid::range(100, 120, 10);
        let plain = WindowGrid {
            grid,
            range_ms: 20,
            offset_ms: 0,
            at_ms: None,
        };
        assert_eq!(plain.fetch_range_ms(), Some((81, 120)));
        let mut seen = Vec::new();
        plain.for_each(&[80, 81, 100, 101, 110, 120, 121], |step, lo, hi| {
            seen.push((step, lo, hi));
        });
        assert_eq!(seen, [(0, 1, 3), (1, 2, 5), (2, 3, 6)]);
        let back = WindowGrid {
            offset_ms: 50,
            ..plain
        };
        assert_eq!(back.fetch_range_ms(), Some((31, 70)));
        let pinned = WindowGrid {
            at_ms: Some(1000),
            offset_ms: -5,
            ..plain
        };
        assert_eq!(pinned.fetch_range_ms(), Some((986, 1005)));
        assert_eq!(pinned.start_ms(2), 985);
    }

    #[test]
    fn advance_finds_the_first_greater_near_and_far() {
        let ts: Vec<i64> = (0..100).map(|i| i * 10).collect();
        for from in [0, 3, 50] {
            for bound in [-1, 0, 5, 300, 490, 501, 989, 990, 2000] {
                let want = ts.iter().position(|t| *t > bound).unwrap_or(100).max(from);
                assert_eq!(advance(&ts, from, bound), want, "{from} {bound}");
            }
        }
    }
}
