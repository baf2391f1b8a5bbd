//! Values worked by hand, and every function against a naive evaluation of each window by itself.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;
use varve_storage::{is_stale_nan, stale_nan};

use super::*;
use crate::grid::StepGrid;

fn windows(start: i64, end: i64, step: i64, range_ms: i64) -> WindowGrid {
    WindowGrid {
        grid: StepGrid::range(start, end, step),
        range_ms,
        offset_ms: 0,
        at_ms: None,
    }
}

fn run(
    function: RangeFunction,
    args: &[f64],
    samples: &[(i64, f64)],
    windows: &WindowGrid,
) -> Result<Vec<Option<f64>>, InvalidFactor> {
    let timestamps: Vec<i64> = samples.iter().map(|s| s.0).collect();
    let values: Vec<f64> = samples.iter().map(|s| s.1).collect();
    let args: Vec<StepArg> = args.iter().map(|a| StepArg::Constant(*a)).collect();
    let mut out = vec![7.0; windows.grid.steps];
    let mut present = vec![true; windows.grid.steps];
    evaluate_range(
        function,
        &args,
        Samples {
            timestamps: &timestamps,
            values: &values,
        },
        windows,
        &mut Scratch::default(),
        &mut StepOutput {
            values: &mut out,
            present: &mut present,
        },
    )?;
    Ok(out
        .into_iter()
        .zip(present)
        .map(|(v, p)| {
            assert!(p || v.to_bits() == 0, "garbage under an absent step");
            p.then_some(v)
        })
        .collect())
}

fn at(
    function: RangeFunction,
    args: &[f64],
    samples: &[(i64, f64)],
    end: i64,
    range: i64,
) -> Option<f64> {
    run(function, args, samples, &windows(end, end, 1, range)).unwrap()[0]
}

#[test]
fn a_rate_is_extrapolated_to_edges_that_are_near() {
    // 10, 20, 30 at 10 s distance: the increase of 20 over 20 s grows to 30 s, because both edges are within 11 s.
    let samples = [(10_000, 10.0), (20_000, 20.0), (30_000, 30.0)];
    use RangeFunction as F;
    assert_eq!(at(F::Increase, &[], &samples, 30_000, 30_000), Some(30.0));
    assert_eq!(at(F::Rate, &[], &samples, 30_000, 30_000), Some(1.0));
    assert_eq!(at(F::Delta, &[], &samples, 30_000, 30_000), Some(30.0));
    // 60 s window: the start is 40 s away, so 5 s are added, and the counter's zero point (10 s before) is farther.
    assert_eq!(at(F::Increase, &[], &samples, 30_000, 60_000), Some(25.0));
    // The window is left-open: the sample at its start is not in it.
    assert_eq!(at(F::Increase, &[], &samples, 30_000, 20_000), Some(20.0));
    assert_eq!(at(F::Increase, &[], &samples, 30_000, 10_000), None);
}

#[test]
fn a_counter_is_not_extended_below_zero_but_a_gauge_is() {
    // Zero point 2 s before the first sample; the edge would be 5 s away.
    let samples = [(10_000, 2.0), (20_000, 12.0)];
    assert_eq!(
        at(RangeFunction::Increase, &[], &samples, 20_000, 15_000),
        Some(12.0)
    );
    assert_eq!(
        at(RangeFunction::Delta, &[], &samples, 20_000, 15_000),
        Some(15.0)
    );
}

#[test]
fn resets_add_what_the_counter_showed_before() {
    let samples = [
        (0, 5.0),
        (10_000, 9.0),
        (20_000, 1.0),
        (30_000, 4.0),
        (40_000, 2.0),
    ];
    use RangeFunction as F;
    // 2 - 5 + 9 + 4 = 10, over 40 s, and 10 s more at the start (less than the 20 s to zero).
    assert_eq!(at(F::Increase, &[], &samples, 40_000, 50_000), Some(12.5));
    assert_eq!(at(F::Resets, &[], &samples, 40_000, 50_000), Some(2.0));
    assert_eq!(at(F::Changes, &[], &samples, 40_000, 50_000), Some(4.0));
    // The reset between a sample outside and one inside does not count.
    assert_eq!(at(F::Resets, &[], &samples, 40_000, 25_000), Some(1.0));
    assert_eq!(at(F::Irate, &[], &samples, 40_000, 50_000), Some(0.2));
    assert_eq!(at(F::Idelta, &[], &samples, 40_000, 50_000), Some(-2.0));
    assert_eq!(at(F::Irate, &[], &samples, 30_000, 50_000), Some(0.3));
}

#[test]
fn sums_are_compensated_and_means_survive_an_overflow() {
    use RangeFunction as F;
    let samples = [(1, 1.0), (2, 1e100), (3, 1.0), (4, -1e100)];
    assert_eq!(at(F::SumOverTime, &[], &samples, 4, 10), Some(2.0));
    assert_eq!(at(F::AvgOverTime, &[], &samples, 4, 10), Some(0.5));
    let huge = [(1, f64::MAX), (2, f64::MAX)];
    assert_eq!(at(F::SumOverTime, &[], &huge, 4, 10), Some(f64::INFINITY));
    assert_eq!(at(F::AvgOverTime, &[], &huge, 4, 10), Some(f64::MAX));
    let low = -9.988_465_674_311_58e307;
    assert_eq!(
        at(F::AvgOverTime, &[], &[(1, low), (2, low), (3, low)], 4, 10),
        Some(low)
    );
    let mixed = [(1, f64::INFINITY), (2, f64::NEG_INFINITY)];
    assert!(at(F::SumOverTime, &[], &mixed, 4, 10).unwrap().is_nan());
    assert_eq!(
        at(F::AvgOverTime, &[], &[(1, f64::INFINITY), (2, 1.0)], 4, 10),
        Some(f64::INFINITY)
    );
}

#[test]
fn deviation_is_of_the_population() {
    let samples = [
        (1, 2.0),
        (2, 4.0),
        (3, 4.0),
        (4, 4.0),
        (5, 5.0),
        (6, 5.0),
        (7, 7.0),
        (8, 9.0),
    ];
    assert_eq!(
        at(RangeFunction::StdvarOverTime, &[], &samples, 8, 10),
        Some(4.0)
    );
    assert_eq!(
        at(RangeFunction::StddevOverTime, &[], &samples, 8, 10),
        Some(2.0)
    );
    assert_eq!(
        at(
            RangeFunction::StdvarOverTime,
            &[],
            &[(1, 1.5990505637277868); 1],
            1,
            10
        ),
        Some(0.0)
    );
}

#[test]
fn extremes_skip_nan_unless_there_is_nothing_else() {
    use RangeFunction as F;
    let nan = f64::NAN;
    let samples = [
        (1_000, nan),
        (2_000, 3.0),
        (3_000, nan),
        (4_000, 3.0),
        (5_000, -1.0),
    ];
    assert_eq!(at(F::MaxOverTime, &[], &samples, 5_000, 9_000), Some(3.0));
    assert_eq!(
        at(F::TsOfMaxOverTime, &[], &samples, 5_000, 9_000),
        Some(4.0)
    );
    assert_eq!(at(F::MinOverTime, &[], &samples, 5_000, 9_000), Some(-1.0));
    assert_eq!(
        at(F::TsOfMinOverTime, &[], &samples, 4_000, 9_000),
        Some(4.0)
    );
    let nothing = [(1_000, nan), (2_000, nan)];
    assert!(
        at(F::MaxOverTime, &[], &nothing, 5_000, 9_000)
            .unwrap()
            .is_nan()
    );
    assert_eq!(
        at(F::TsOfMinOverTime, &[], &nothing, 5_000, 9_000),
        Some(2.0)
    );
    // Equal but not the same: the earliest stands.
    let zeros = [(1_000, 0.0), (2_000, -0.0)];
    assert_eq!(
        at(F::MaxOverTime, &[], &zeros, 5_000, 9_000)
            .unwrap()
            .to_bits(),
        0.0f64.to_bits()
    );
}

#[test]
fn first_last_count_and_their_times() {
    use RangeFunction as F;
    let samples = [(1_500, 1.0), (2_500, 2.0), (3_500, 3.0)];
    for (function, want) in [
        (F::FirstOverTime, 2.0),
        (F::LastOverTime, 3.0),
        (F::CountOverTime, 2.0),
        (F::PresentOverTime, 1.0),
        (F::TsOfFirstOverTime, 2.5),
        (F::TsOfLastOverTime, 3.5),
    ] {
        assert_eq!(
            at(function, &[], &samples, 3_500, 2_000),
            Some(want),
            "{function}"
        );
        assert_eq!(
            at(function, &[], &samples, 1_499, 2_000),
            None,
            "{function}"
        );
    }
}

#[test]
fn regression_follows_the_line() {
    use RangeFunction as F;
    let samples = [(0, 1.0), (10_000, 3.0), (20_000, 5.0)];
    assert_eq!(at(F::Deriv, &[], &samples, 20_000, 60_000), Some(0.2));
    assert_eq!(
        at(F::PredictLinear, &[10.0], &samples, 20_000, 60_000),
        Some(7.0)
    );
    assert_eq!(
        at(F::Deriv, &[], &[(0, 0.1), (1, 0.1), (2, 0.1)], 20, 60),
        Some(0.0)
    );
    assert!(
        at(
            F::Deriv,
            &[],
            &[(0, f64::INFINITY), (1, f64::INFINITY)],
            20,
            60
        )
        .unwrap()
        .is_nan()
    );
    assert_eq!(at(F::Deriv, &[], &samples[..1], 20_000, 60_000), None);
}

#[test]
fn smoothing_needs_factors_between_zero_and_one() {
    let function = RangeFunction::DoubleExponentialSmoothing;
    let samples = [(1, 10.0), (2, 20.0), (3, 40.0)];
    // s = 0.5: level 15 + trend 10 -> 20; then trend 0.5*10 + 0.5*10 = 10, 0.5*40 + 0.5*(20+10) = 35.
    assert_eq!(at(function, &[0.5, 0.5], &samples, 3, 10), Some(35.0));
    let error = run(function, &[1.5, 0.5], &samples, &windows(3, 3, 1, 10)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.500000"
    );
    // No window with samples, no error.
    assert_eq!(
        run(function, &[1.5, 0.5], &samples, &windows(900, 900, 1, 10)),
        Ok(vec![None])
    );
}

#[test]
fn an_argument_may_change_from_step_to_step() {
    let ts = [1, 2, 3];
    let vs = [1.0, 2.0, 3.0];
    let grid = windows(3, 5, 1, 10);
    let (mut values, mut present) = ([0.0; 3], [false; 3]);
    evaluate_range(
        RangeFunction::QuantileOverTime,
        &[StepArg::PerStep(Arc::from([0.0, 0.5, 1.0]))],
        Samples {
            timestamps: &ts,
            values: &vs,
        },
        &grid,
        &mut Scratch::default(),
        &mut StepOutput {
            values: &mut values,
            present: &mut present,
        },
    )
    .unwrap();
    assert_eq!(values, [1.0, 2.0, 3.0]);
}

#[test]
fn a_stale_marker_ends_the_look_back_and_is_no_sample_of_a_range() {
    let samples = [(10, 1.0), (20, stale_nan()), (30, 3.0), (40, f64::NAN)];
    let timestamps = samples.map(|s| s.0);
    let values = samples.map(|s| s.1);
    let samples_of = Samples {
        timestamps: &timestamps,
        values: &values,
    };
    let grid = windows(10, 60, 5, 20);
    let (mut out, mut present) = (vec![0.0; 11], vec![false; 11]);
    evaluate_instant(
        Lookback::Value,
        samples_of,
        &grid,
        &mut StepOutput {
            values: &mut out,
            present: &mut present,
        },
    );
    // 10 15 | 20 25 stale | 30 35 | 40.. NaN until 55; at 60 the look-back of 20 no longer includes 40.
    let want = [
        true, true, false, false, true, true, true, true, true, true, false,
    ];
    assert_eq!(present, want);
    assert_eq!(out[5], 3.0);
    assert!(out[6].is_nan());
    evaluate_instant(
        Lookback::Timestamp,
        samples_of,
        &grid,
        &mut StepOutput {
            values: &mut out,
            present: &mut present,
        },
    );
    assert_eq!(out[..6], [0.01, 0.01, 0.0, 0.0, 0.03, 0.03]);
    assert_eq!(
        at(RangeFunction::CountOverTime, &[], &samples, 30, 25),
        Some(2.0)
    );
}

/// What a function gives for one window, written from the definition and without any sliding.
fn naive(
    function: RangeFunction,
    args: &[f64],
    window: &[(i64, f64)],
    step_ms: i64,
    start: i64,
    end: i64,
) -> Option<f64> {
    use RangeFunction as F;
    if window.is_empty() {
        return None;
    }
    let ts: Vec<i64> = window.iter().map(|s| s.0).collect();
    let vs: Vec<f64> = window.iter().map(|s| s.1).collect();
    let extreme = |better: &dyn Fn(f64, f64) -> bool| {
        let mut best = window[0];
        for sample in window {
            if better(sample.1, best.1) || best.1.is_nan() {
                best = *sample;
            }
        }
        best
    };
    let pairs = || vs.windows(2).map(|w| (w[0], w[1]));
    Some(match function {
        F::Rate | F::Increase | F::Delta => {
            if window.len() < 2 {
                return None;
            }
            let counter = function != F::Delta;
            let mut result = vs[vs.len() - 1] - vs[0];
            if counter {
                for (a, b) in pairs() {
                    if b < a {
                        result += a;
                    }
                }
            }
            let first = ts[0];
            let last = ts[ts.len() - 1];
            let mut to_start = (first - start) as f64 / 1000.0;
            let mut to_end = (end - last) as f64 / 1000.0;
            let sampled = (last - first) as f64 / 1000.0;
            let mean = sampled / (window.len() - 1) as f64;
            if to_start >= mean * 1.1 {
                to_start = mean / 2.0;
            }
            if counter && result > 0.0 && vs[0] >= 0.0 {
                let to_zero = sampled * (vs[0] / result);
                if to_zero < to_start {
                    to_start = to_zero;
                }
            }
            if to_end >= mean * 1.1 {
                to_end = mean / 2.0;
            }
            let mut factor = (sampled + to_start + to_end) / sampled;
            if function == F::Rate {
                factor /= (end - start) as f64 / 1000.0;
            }
            result * factor
        }
        F::Irate => return rate::instant(&ts, &vs, true, false),
        F::Idelta => return rate::instant(&ts, &vs, false, false),
        F::Changes => pairs()
            .filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan()))
            .count() as f64,
        F::Resets => pairs().filter(|(a, b)| b < a).count() as f64,
        F::Deriv => return regression::deriv(&ts, &vs),
        F::PredictLinear => return regression::predict_linear(&ts, &vs, step_ms, args[0]),
        F::DoubleExponentialSmoothing => {
            return regression::double_exponential_smoothing(&vs, args[0], args[1]).unwrap();
        }
        F::SumOverTime => over_time::sum(&vs),
        F::AvgOverTime => over_time::average(&vs),
        F::StddevOverTime => over_time::variance(&vs).sqrt(),
        F::StdvarOverTime => over_time::variance(&vs),
        F::CountOverTime => vs.len() as f64,
        F::PresentOverTime => 1.0,
        F::FirstOverTime => vs[0],
        F::LastOverTime => vs[vs.len() - 1],
        F::TsOfFirstOverTime => ts[0] as f64 / 1000.0,
        F::TsOfLastOverTime => ts[ts.len() - 1] as f64 / 1000.0,
        F::QuantileOverTime => quantile(args[0], &mut vs.clone()),
        F::MadOverTime => quantile::median_deviation(&vs, &mut Vec::new()),
        F::MinOverTime => extreme(&|a, b| a < b).1,
        F::MaxOverTime => extreme(&|a, b| a > b).1,
        F::TsOfMinOverTime => extreme(&|a, b| a <= b).0 as f64 / 1000.0,
        F::TsOfMaxOverTime => extreme(&|a, b| a >= b).0 as f64 / 1000.0,
    })
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (0..20i32).prop_map(f64::from),
        4 => -1e6..1e6f64,
        1 => Just(f64::NAN),
        1 => Just(stale_nan()),
        1 => Just(-0.0),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(1e308), Just(-1e308)],
    ]
}

pub(super) fn any_samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    proptest::collection::vec((1..40i64, any_value()), 0..120).prop_map(|gaps| {
        let mut t = -300;
        gaps.into_iter()
            .map(|(gap, value)| {
                t += gap;
                (t, value)
            })
            .collect()
    })
}

pub(super) fn any_windows() -> impl Strategy<Value = WindowGrid> {
    (
        (-400..400i64, 1..60i64, 0..60usize),
        0..500i64,
        -100..100i64,
        proptest::option::weighted(0.2, -200..800i64),
    )
        .prop_map(
            |((start_ms, step_ms, steps), range_ms, offset_ms, at_ms)| WindowGrid {
                grid: StepGrid {
                    start_ms,
                    step_ms,
                    steps,
                },
                range_ms,
                offset_ms,
                at_ms,
            },
        )
}

pub(super) fn bits(value: Option<f64>) -> Option<u64> {
    // Which NaN comes out of an operation on two of them is up to the processor.
    value.map(|v| if v.is_nan() { u64::MAX } else { v.to_bits() })
}

proptest! {
    #[test]
    fn every_function_agrees_with_the_naive_evaluation(samples in any_samples(), windows in any_windows()) {
        let live: Vec<(i64, f64)> = samples.iter().copied().filter(|s| !is_stale_nan(s.1)).collect();
        for function in RangeFunction::ALL {
            let args: &[f64] = match function.scalar_args() {
                0 => &[],
                1 => &[0.3],
                _ => &[0.3, 0.6],
            };
            let got = run(function, args, &samples, &windows).unwrap();
            for (step, got) in got.into_iter().enumerate() {
                let (start, end) = (windows.start_ms(step), windows.end_ms(step));
                let window: Vec<_> = live.iter().copied().filter(|s| s.0 > start && s.0 <= end).collect();
                let want = naive(function, args, &window, windows.grid.time_ms(step), start, end);
                prop_assert_eq!(bits(got), bits(want), "{} at step {}: {:?} {:?}", function, step, got, want);
            }
        }
    }

    #[test]
    fn the_look_back_agrees_with_the_naive_evaluation(samples in any_samples(), windows in any_windows()) {
        let timestamps: Vec<i64> = samples.iter().map(|s| s.0).collect();
        let values: Vec<f64> = samples.iter().map(|s| s.1).collect();
        let mut out = vec![0.0; windows.grid.steps];
        let mut present = vec![false; windows.grid.steps];
        evaluate_instant(
            Lookback::Value,
            Samples { timestamps: &timestamps, values: &values },
            &windows,
            &mut StepOutput { values: &mut out, present: &mut present },
        );
        for step in 0..windows.grid.steps {
            let (start, end) = (windows.start_ms(step), windows.end_ms(step));
            let newest = samples.iter().rfind(|s| s.0 <= end).filter(|s| s.0 > start);
            let want = newest.map(|s| s.1).filter(|v| !is_stale_nan(*v));
            prop_assert_eq!(bits(present[step].then_some(out[step])), bits(want));
        }
    }
}
