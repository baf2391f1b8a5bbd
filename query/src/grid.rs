//! The times at which an expression is evaluated.

use std::fmt;

/// Equally spaced times: `start_ms + i * step_ms` for i in 0..steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepGrid {
    /// The first step, in milliseconds since the epoch.
    pub start_ms: i64,
    /// The distance of two steps, in milliseconds; at least 1.
    pub step_ms: i64,
    /// The number of steps; 0 is a grid without any.
    pub steps: usize,
}

impl StepGrid {
    /// The grid of an instant query.
    pub fn instant(time_ms: i64) -> Self {
        Self {
            start_ms: time_ms,
            step_ms: 1,
            steps: 1,
        }
    }

    /// The grid of a range query: from `start_ms` in steps of `step_ms` (at least 1) up to and including `end_ms`.
    pub fn range(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let step_ms = step_ms.max(1);
        let steps = match end_ms.saturating_sub(start_ms) {
            negative if negative < 0 => 0,
            length => usize::try_from(length / step_ms).unwrap_or(usize::MAX - 1) + 1,
        };
        Self {
            start_ms,
            step_ms,
            steps,
        }
    }

    /// The time of a step, in milliseconds.
    pub fn time_ms(&self, step: usize) -> i64 {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        self.start_ms
            .saturating_add(self.step_ms.saturating_mul(step))
    }

    /// The time of the last step; `start_ms` for a grid without steps.
    pub fn end_ms(&self) -> i64 {
        self.time_ms(self.steps.saturating_sub(1))
    }

    /// All times, ascending.
    pub fn times_ms(&self) -> impl ExactSizeIterator<Item = i64> + use<> {
        let grid = *self;
        (0..grid.steps).map(move |step| grid.time_ms(step))
    }

    /// The grid cut into pieces of at most `steps_max` steps, in order.
    pub fn slices(&self, steps_max: usize) -> impl Iterator<Item = Self> + use<> {
        let grid = *self;
        let steps_max = steps_max.max(1);
        (0..grid.steps).step_by(steps_max).map(move |first| Self {
            start_ms: grid.time_ms(first),
            steps: steps_max.min(grid.steps - first),
            ..grid
        })
    }
}

/// `start..end/step` in milliseconds, or the one time, for EXPLAIN.
impl fmt::Display for StepGrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.steps {
            1 => write!(f, "{}", self.start_ms),
            _ => write!(f, "{}..{}/{}", self.start_ms, self.end_ms(), self.step_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_includes_its_end_only_on_a_step() {
        assert_eq!(StepGrid::range(0, 30, 10).steps, 4);
        assert_eq!(StepGrid::range(0, 29, 10).steps, 3);
        assert_eq!(StepGrid::range(0, 0, 10).steps, 1);
        assert_eq!(StepGrid::range(1, 0, 10).steps, 0);
        let times: Vec<_> = StepGrid::range(5, 26, 10).times_ms().collect();
        assert_eq!(times, [5, 15, 25]);
    }

    #[test]
    fn slices_cover_the_grid_once() {
        let grid = StepGrid::range(0, 1_000, 7);
        for steps_max in [1, 2, 10, 142, 143, 1_000] {
            let joined: Vec<i64> = grid.slices(steps_max).flat_map(|s| s.times_ms()).collect();
            assert_eq!(joined, grid.times_ms().collect::<Vec<_>>(), "{steps_max}");
        }
    }
}
