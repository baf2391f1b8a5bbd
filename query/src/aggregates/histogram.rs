//! Quantiles and fractions of classic histograms: cumulative counts of buckets with upper bounds.

use varve_promql::format::{parse_go_float, quote};

use super::rows::Notes;
use crate::annotations::Monotonicity;

/// Relative differences between counts of neighbouring buckets up to this are rounding errors of float arithmetic.
const SMALL_DELTA: f64 = 1e-12;

/// A cumulative bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    pub(super) upper: f64,
    pub(super) count: f64,
}

/// What stands between the label `le` and the metric name in the text that comes with a bucket.
pub const BUCKET_SEPARATOR: char = '\0';

/// The bound that a label `le` stands for; reports one that is no number.
pub(super) fn bound(bucket: &str, notes: &Notes) -> Option<f64> {
    let (label, name) = bucket.split_once(BUCKET_SEPARATOR).unwrap_or((bucket, ""));
    let bound = parse_go_float(label).ok();
    if bound.is_none() {
        let mut text = format!(
            "bucket label \"le\" is missing or has a malformed value of {}",
            quote(label)
        );
        if !name.is_empty() {
            text.push_str(&format!(" for metric name {}", quote(name)));
        }
        notes.at.annotations.warn(&text, notes.at.span);
    }
    bound
}

/// The metric name that comes with a bucket.
pub(super) fn metric_name(bucket: &str) -> &str {
    bucket
        .split_once(BUCKET_SEPARATOR)
        .map_or("", |(_, name)| name)
}

/// Sorts buckets by bound and adds up those that share one; `None` unless the last bound is +Inf.
fn arrange(mut buckets: Vec<Bucket>) -> Option<Vec<Bucket>> {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last()?.upper != f64::INFINITY {
        return None;
    }
    let mut merged: Vec<Bucket> = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        match merged.last_mut() {
            Some(last) if last.upper == bucket.upper => last.count += bucket.count,
            _ => merged.push(bucket),
        }
    }
    Some(merged)
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

/// Counts that fell were lifted to the count before them.
struct Repair {
    from: f64,
    to: f64,
    difference: f64,
}

impl Repair {
    fn at(&self, time_ms: i64) -> Monotonicity {
        Monotonicity {
            times_ms: (time_ms, time_ms),
            buckets: (self.from, self.to),
            difference: self.difference,
            samples: 1,
        }
    }
}

fn repair(buckets: &mut [Bucket]) -> Option<Repair> {
    let mut found: Option<Repair> = None;
    let mut previous = buckets.first()?.count;
    for bucket in buckets.iter_mut().skip(1) {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if almost_equal(previous, count) {
            bucket.count = previous;
        } else if count < previous {
            bucket.count = previous;
            let repair = found.get_or_insert(Repair {
                from: bucket.upper,
                to: bucket.upper,
                difference: 0.0,
            });
            repair.from = repair.from.min(bucket.upper);
            repair.to = repair.to.max(bucket.upper);
            repair.difference = repair.difference.max(previous - count);
        } else {
            previous = count;
        }
    }
    found
}

/// The φ-quantile of a metric at one step; `None` where there are no buckets. Reports counts that had to be repaired.
pub(super) fn quantile_at(
    phi: f64,
    buckets: Vec<Bucket>,
    step: usize,
    metric: &str,
    notes: &Notes,
) -> Option<f64> {
    if buckets.is_empty() {
        return None;
    }
    if phi.is_nan() {
        return Some(f64::NAN);
    }
    if phi < 0.0 {
        return Some(f64::NEG_INFINITY);
    }
    if phi > 1.0 {
        return Some(f64::INFINITY);
    }
    let Some(mut buckets) = arrange(buckets) else {
        return Some(f64::NAN);
    };
    if let Some(found) = repair(&mut buckets) {
        let at = &notes.at;
        at.annotations
            .repaired(metric, at.span, found.at(notes.grid.time_ms(step)));
    }
    let [.., last_but_one, last] = buckets[..] else {
        return Some(f64::NAN);
    };
    if last.count == 0.0 {
        return Some(f64::NAN);
    }
    let rank = phi * last.count;
    let finite = buckets.len() - 1;
    let found = buckets[..finite].partition_point(|bucket| bucket.count < rank || rank.is_nan());
    let Some(bucket) = buckets[..finite].get(found) else {
        return Some(last_but_one.upper);
    };
    let (start, below) = match found.checked_sub(1).and_then(|i| buckets.get(i)) {
        None if bucket.upper <= 0.0 => return Some(bucket.upper),
        None => (0.0, 0.0),
        Some(previous) => (previous.upper, previous.count),
    };
    Some(start + (bucket.upper - start) * ((rank - below) / (bucket.count - below)))
}

/// The share of observations between two bounds at one step; `None` where there are no buckets.
pub(super) fn fraction(lower: f64, upper: f64, buckets: Vec<Bucket>) -> Option<f64> {
    if buckets.is_empty() {
        return None;
    }
    let Some(buckets) = arrange(buckets) else {
        return Some(f64::NAN);
    };
    let total = buckets.last()?.count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return Some(f64::NAN);
    }
    if lower >= upper {
        return Some(0.0);
    }
    let rank = |bound: f64| rank_of(bound, &buckets).map_or(total, |rank| rank.min(total));
    Some((rank(upper) - rank(lower)) / total)
}

/// How many observations lie below a bound, interpolated within its bucket.
fn rank_of(bound: f64, buckets: &[Bucket]) -> Option<f64> {
    let mut start = match buckets.first()?.upper {
        first if first <= 0.0 => f64::NEG_INFINITY,
        _ => 0.0,
    };
    let mut below = 0.0;
    for bucket in buckets {
        if start >= bound {
            return Some(below);
        }
        if bucket.upper > bound {
            if start == f64::NEG_INFINITY {
                return Some(bucket.count);
            }
            let share = (bound - start) / (bucket.upper - start);
            return Some(below + (bucket.count - below) * share);
        }
        (start, below) = (bucket.upper, bucket.count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotations::{Annotations, NotesAt};
    use varve_promql::Span;

    fn buckets(items: &[(f64, f64)]) -> Vec<Bucket> {
        let bucket = |(upper, count): &(f64, f64)| Bucket {
            upper: *upper,
            count: *count,
        };
        items.iter().map(bucket).collect()
    }

    #[test]
    fn quantiles_interpolate_within_a_bucket() {
        let notes = Notes {
            at: NotesAt {
                annotations: Annotations::new("x"),
                span: Span::new(0, 1),
            },
            grid: crate::StepGrid::instant(0),
        };
        let good = buckets(&[(1.0, 2.0), (2.0, 6.0), (f64::INFINITY, 8.0)]);
        assert_eq!(quantile_at(0.5, good.clone(), 0, "m", &notes), Some(1.5));
        assert_eq!(quantile_at(0.99, good.clone(), 0, "m", &notes), Some(2.0));
        assert_eq!(quantile_at(1.5, good, 0, "m", &notes), Some(f64::INFINITY));
        assert_eq!(quantile_at(0.5, Vec::new(), 0, "m", &notes), None);
        assert!(notes.at.annotations.lists().1.is_empty());
        let falling = buckets(&[(1.0, 4.0), (2.0, 2.0), (f64::INFINITY, 8.0)]);
        assert_eq!(quantile_at(0.25, falling, 0, "m", &notes), Some(0.5));
        assert!(notes.at.annotations.lists().1[0].contains(
            "for metric name \"m\", from buckets 2 to 2, with a max diff of 2, over 1 samples"
        ));
    }

    #[test]
    fn fractions_count_observations_between_bounds() {
        let good = || buckets(&[(1.0, 2.0), (2.0, 6.0), (f64::INFINITY, 8.0)]);
        assert_eq!(fraction(0.0, 1.0, good()), Some(0.25));
        assert_eq!(fraction(1.0, 1.5, good()), Some(0.25));
        assert_eq!(fraction(2.0, 1.0, good()), Some(0.0));
        assert_eq!(
            fraction(f64::NEG_INFINITY, f64::INFINITY, good()),
            Some(1.0)
        );
    }
}
