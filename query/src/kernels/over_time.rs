//! Sums, means, variance, and counts of pairs.

use super::{Samples, Scratch, StepOutput, WindowGrid, kahan};

/// The compensated sum.
pub(super) fn sum(values: &[f64]) -> f64 {
    let (mut sum, mut c) = (0.0, 0.0);
    for value in values {
        (sum, c) = kahan::add(*value, sum, c);
    }
    if sum.is_infinite() { sum } else { sum + c }
}

/// The mean: the compensated sum by the count, or, from where that sum would overflow, a running mean. `values` is not empty.
pub(super) fn average(values: &[f64]) -> f64 {
    let Some((&first, rest)) = values.split_first() else {
        return f64::NAN;
    };
    let (mut sum, mut c) = (first, 0.0);
    let mut count = 1.0;
    let mut running: Option<f64> = None;
    for (i, &value) in rest.iter().enumerate() {
        count = (i + 2) as f64;
        let mean = match running {
            Some(mean) => mean,
            None => {
                let (next_sum, next_c) = kahan::add(value, sum, c);
                if !next_sum.is_infinite() {
                    (sum, c) = (next_sum, next_c);
                    continue;
                }
                c /= count - 1.0;
                sum / (count - 1.0)
            }
        };
        let q = (count - 1.0) / count;
        let (next_mean, next_c) = kahan::add(value / count, q * mean, q * c);
        running = Some(next_mean);
        c = next_c;
    }
    match running {
        Some(mean) => mean + c,
        None => sum / count + c / count,
    }
}

/// The population variance, by Welford's method with compensation.
pub(super) fn variance(values: &[f64]) -> f64 {
    let mut count = 0.0;
    let (mut mean, mut mean_c) = (0.0, 0.0);
    let (mut aux, mut aux_c) = (0.0, 0.0);
    for &value in values {
        count += 1.0;
        let delta = value - (mean + mean_c);
        (mean, mean_c) = kahan::add(delta / count, mean, mean_c);
        (aux, aux_c) = kahan::add(delta * (value - (mean + mean_c)), aux, aux_c);
    }
    (aux + aux_c) / count
}

/// Counts the neighbours (earlier, later) within a window for which `counts` holds: `changes`, `resets`.
pub(super) fn count_pairs(
    samples: Samples<'_>,
    windows: &WindowGrid,
    scratch: &mut Scratch,
    out: &mut StepOutput<'_>,
    counts: impl Fn(f64, f64) -> bool,
) {
    let vs = samples.values;
    let found = &mut scratch.indexes;
    found.clear();
    found.extend((1..vs.len()).filter(|&i| counts(vs[i - 1], vs[i])));
    count_found(samples.timestamps, windows, found, out);
}

/// Counts the indexes within each window, its first sample's left out. `found` ascend.
pub(super) fn count_found(
    timestamps: &[i64],
    windows: &WindowGrid,
    found: &[usize],
    out: &mut StepOutput<'_>,
) {
    let (mut from, mut to) = (0, 0);
    windows.for_each(timestamps, |step, lo, hi| {
        while found.get(to).is_some_and(|i| *i < hi) {
            to += 1;
        }
        while found.get(from).is_some_and(|i| *i <= lo) {
            from += 1;
        }
        let count = to.saturating_sub(from) as f64;
        out.set(step, (lo < hi).then_some(count));
    });
}
