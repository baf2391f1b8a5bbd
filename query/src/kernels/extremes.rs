//! `min_over_time`, `max_over_time` and the times of the extremes: a sliding window with a queue of candidates.
//!
//! The queue holds the indexes of the samples that are, or may become, the extreme of a window that still slides: each is
//! better than all that come after it. Every sample enters and leaves once, so a step costs O(1) on average, whatever the range.
//! NaN is no candidate; a window of nothing but NaN gives its last one. Of equal values the plain extremes
//! take the earliest (0 and -0 are equal but print differently) and the `ts_of_` ones the latest.

use super::{RangeFunction, Samples, Scratch, StepOutput, WindowGrid};

pub(super) fn evaluate(
    function: RangeFunction,
    samples: Samples<'_>,
    windows: &WindowGrid,
    scratch: &mut Scratch,
    out: &mut StepOutput<'_>,
) {
    match function {
        RangeFunction::MinOverTime => slide(samples, windows, scratch, out, |a, b| a < b, false),
        RangeFunction::TsOfMinOverTime => {
            slide(samples, windows, scratch, out, |a, b| a <= b, true);
        }
        RangeFunction::TsOfMaxOverTime => {
            slide(samples, windows, scratch, out, |a, b| a >= b, true);
        }
        _ => slide(samples, windows, scratch, out, |a, b| a > b, false),
    }
}

/// `beats(new, old)`: whether a later sample replaces an earlier one.
fn slide(
    samples: Samples<'_>,
    windows: &WindowGrid,
    scratch: &mut Scratch,
    out: &mut StepOutput<'_>,
    beats: impl Fn(f64, f64) -> bool,
    time_of: bool,
) {
    let Samples {
        timestamps: ts,
        values: vs,
    } = samples;
    // A vector with a moving head is the queue: entries before `head` have left.
    let queue = &mut scratch.indexes;
    queue.clear();
    let (mut head, mut entered) = (0, 0);
    windows.for_each(ts, |step, lo, hi| {
        if entered < lo {
            // Everything up to the window's start was jumped over.
            entered = lo;
            queue.clear();
            head = 0;
        }
        for (i, &value) in vs.iter().enumerate().take(hi).skip(entered) {
            if value.is_nan() {
                continue;
            }
            while queue.len() > head && queue.last().is_some_and(|&j| beats(value, vs[j])) {
                queue.pop();
            }
            queue.push(i);
        }
        entered = entered.max(hi);
        while queue.get(head).is_some_and(|&i| i < lo) {
            head += 1;
        }
        if head > 64 && head * 2 > queue.len() {
            queue.drain(..head);
            head = 0;
        }
        let best = (lo < hi).then(|| queue.get(head).copied().unwrap_or(hi - 1));
        out.set(
            step,
            best.map(|i| {
                if time_of {
                    ts[i] as f64 / 1000.0
                } else {
                    vs[i]
                }
            }),
        );
    });
}
