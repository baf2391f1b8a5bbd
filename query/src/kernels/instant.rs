//! The instant look-back: at each step the newest sample of the window, unless it is a stale marker.

use super::{Samples, StepOutput, WindowGrid};
use varve_storage::columns::NO_START_MS;
use varve_storage::is_stale_nan;

/// What an instant selector gives at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lookback {
    /// The sample's value.
    Value,
    /// The sample's time in seconds, for `timestamp(selector)`.
    Timestamp,
    /// The sample's start timestamp in seconds, 0 where it is not known, for `start_timestamp(selector)`.
    Start,
    /// The time of a float in seconds, and a native histogram as it is: info metrics must not have any.
    FloatTimestamp,
}

/// Evaluates an instant selector at every step. `windows.range_ms` is the look-back.
pub fn evaluate_instant(
    lookback: Lookback,
    samples: Samples<'_>,
    windows: &WindowGrid,
    out: &mut StepOutput<'_>,
) {
    windows.for_each(samples.timestamps, |step, lo, hi| {
        let newest = (lo < hi).then(|| (samples.timestamps[hi - 1], samples.values[hi - 1]));
        let live = newest.filter(|(_, value)| !is_stale_nan(*value));
        out.set(
            step,
            live.map(|(timestamp_ms, value)| match lookback {
                Lookback::Value => value,
                Lookback::Start => NO_START_MS as f64 / 1000.0,
                Lookback::Timestamp | Lookback::FloatTimestamp => timestamp_ms as f64 / 1000.0,
            }),
        );
    });
}
