//! The k best samples of a step, chosen as Prometheus chooses them.
//!
//! Which of several equal samples stay is visible in results: `topk(3, up)`. Prometheus offers the samples one after the other to a
//! binary heap with the worst at its root, and replaces the root by whatever is better. So which of its equals goes first follows from
//! where sifting has put it. This is that heap, with the sifting of Go's `container/heap`.

/// The best samples so far, as (row, value), the worst first.
#[derive(Debug)]
pub(super) struct Best {
    heap: Vec<(usize, f64)>,
    /// Whether greater values are better, or smaller ones.
    greatest: bool,
}

impl Best {
    /// Nothing chosen yet.
    pub(super) fn new(greatest: bool) -> Self {
        Self {
            heap: Vec::new(),
            greatest,
        }
    }

    /// Offers a sample, of which the best `k` stay. Rows come in the order of their labels.
    pub(super) fn offer(&mut self, k: usize, row: usize, value: f64) {
        if self.heap.len() < k {
            self.heap.push((row, value));
            self.sift_up();
            return;
        }
        let Some(root) = self.heap.first_mut() else {
            return;
        };
        let worse = if self.greatest {
            root.1 < value
        } else {
            root.1 > value
        };
        if worse || (root.1.is_nan() && !value.is_nan()) {
            *root = (row, value);
            self.sift_down();
        }
    }

    /// Takes all that was chosen.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.heap.drain(..)
    }

    /// Whether the item at `i` belongs nearer to the root than that at `j`. NaN is worst.
    fn less(&self, i: usize, j: usize) -> bool {
        match (self.heap.get(i), self.heap.get(j)) {
            (Some((_, a)), Some(_)) if a.is_nan() => true,
            (Some((_, a)), Some((_, b))) if self.greatest => a < b,
            (Some((_, a)), Some((_, b))) => a > b,
            _ => false,
        }
    }

    fn sift_up(&mut self) {
        let mut at = self.heap.len().saturating_sub(1);
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.less(at, parent) {
                break;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    fn sift_down(&mut self) {
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child = if self.less(right, left) { right } else { left };
            if !self.less(child, at) {
                break;
            }
            self.heap.swap(child, at);
            at = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(greatest: bool, k: usize, values: &[f64]) -> Vec<usize> {
        let mut best = Best::new(greatest);
        for (row, value) in values.iter().enumerate() {
            best.offer(k, row, *value);
        }
        let mut rows: Vec<usize> = best.drain().map(|(row, _)| row).collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn the_best_stay() {
        let values = [3.0, f64::NAN, 1.0, 5.0, 4.0];
        assert_eq!(chosen(true, 2, &values), [3, 4]);
        assert_eq!(chosen(false, 2, &values), [0, 2]);
        assert_eq!(chosen(true, 5, &values), [0, 1, 2, 3, 4]);
        assert_eq!(chosen(true, 0, &values), [0_usize; 0]);
        assert_eq!(chosen(true, 1, &[f64::NAN, f64::NAN, 1.0]), [2]);
    }

    /// Worked out by hand from the sifting of `container/heap`.
    #[test]
    fn of_equal_samples_the_heap_decides_which_go() {
        assert_eq!(chosen(true, 3, &[1.0; 5]), [0, 1, 2]);
        // The root, the first of the ones, goes; the last is sifted up.
        assert_eq!(chosen(true, 2, &[1.0, 1.0, 2.0]), [1, 2]);
        // Roots: 0, then 1 (the left child of equals comes up), then 2.
        assert_eq!(chosen(true, 3, &[1.0, 1.0, 1.0, 2.0]), [1, 2, 3]);
        assert_eq!(chosen(true, 3, &[1.0, 1.0, 1.0, 2.0, 2.0]), [2, 3, 4]);
        assert_eq!(chosen(false, 2, &[2.0, 2.0, 1.0]), [1, 2]);
    }
}
