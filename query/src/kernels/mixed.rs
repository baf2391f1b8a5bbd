//! Windows of series that have native histograms.
//!
//! The float kernels never see them. Here each step's window is looked at by itself: functions that know histograms are those of
//! `varve-histogram`; the others read the floats of the window, with a note if histograms were left out. Series that have histograms rarely
//! have floats, too, so that nothing slides.

use std::sync::Arc;

use varve_histogram::rate::{Range, rate};
use varve_histogram::{Answer, Note, Point, Sample, Value, instant, over_time};
use varve_storage::columns::NO_START_MS;
use varve_storage::{FloatHistogram, SampleValue, is_stale_nan};

use super::{
    InvalidFactor, Lookback, RangeFunction, Samples, Scratch, StartedSamples, StepArg, StepOutput,
    WindowGrid, evaluate_range_started,
};
use crate::grid::StepGrid;

/// The samples of one series, of which some are native histograms.
#[derive(Clone, Copy, Debug)]
pub struct MixedSamples<'a> {
    /// All samples; the values of histograms mean nothing.
    pub floats: Samples<'a>,
    /// As many items: the histograms, `None` for floats and for stale markers of either kind. Empty if there is none at all.
    pub histograms: &'a [Option<Arc<FloatHistogram>>],
    /// As many start timestamps in milliseconds, [`NO_START_MS`] where one is not known. Empty if none is, or none is to be looked at.
    pub starts: &'a [i64],
}

impl MixedSamples<'_> {
    /// The start timestamp of the sample at an index.
    pub(super) fn start_ms(&self, index: usize) -> i64 {
        self.starts.get(index).copied().unwrap_or(NO_START_MS)
    }

    /// Each sample with its time, stale markers as floats.
    pub fn iter(&self) -> impl Iterator<Item = (i64, SampleValue)> + '_ {
        let floats = self.floats.timestamps.iter().zip(self.floats.values);
        floats.enumerate().map(|(index, (time_ms, value))| {
            let histogram = self.histograms.get(index).and_then(Option::as_ref);
            let value = match histogram {
                Some(histogram) => SampleValue::Histogram(Arc::clone(histogram)),
                None => SampleValue::Float(*value),
            };
            (*time_ms, value)
        })
    }
}

/// The histograms of samples for queries that only look at counts and sums. Their hints say whether the counter was reset since the
/// sample before, if that is looked at, too.
pub fn without_buckets(
    samples: MixedSamples<'_>,
    windows: &WindowGrid,
) -> Vec<Option<Arc<FloatHistogram>>> {
    let mut read = vec![false; samples.histograms.len()];
    windows.for_each(samples.floats.timestamps, |_, lo, hi| {
        // One sample more is read to see that the window ends.
        let end = read.len().min(hi + 1);
        if let Some(part) = read.get_mut(lo..end) {
            part.fill(true);
        }
    });
    let mut previous: Option<&FloatHistogram> = None;
    let each = samples.histograms.iter().zip(read);
    each.map(|(histogram, read)| {
        if !read {
            previous = None;
            return None;
        }
        let histogram = histogram.as_deref()?;
        let reduced = histogram.without_buckets(previous);
        previous = Some(histogram);
        Some(Arc::new(reduced))
    })
    .collect()
}

/// What a function does with native histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Gives histograms, too.
    Native,
    /// Counts samples of both kinds, or looks at their times.
    Any,
    /// Reads floats only.
    Floats,
}

impl RangeFunction {
    fn meaning(self) -> Meaning {
        match self {
            Self::Rate
            | Self::Increase
            | Self::Delta
            | Self::Irate
            | Self::Idelta
            | Self::SumOverTime
            | Self::AvgOverTime
            | Self::FirstOverTime
            | Self::LastOverTime => Meaning::Native,
            Self::CountOverTime
            | Self::PresentOverTime
            | Self::Changes
            | Self::Resets
            | Self::TsOfFirstOverTime
            | Self::TsOfLastOverTime => Meaning::Any,
            Self::Deriv
            | Self::DoubleExponentialSmoothing
            | Self::MadOverTime
            | Self::MaxOverTime
            | Self::MinOverTime
            | Self::PredictLinear
            | Self::QuantileOverTime
            | Self::StddevOverTime
            | Self::StdvarOverTime
            | Self::TsOfMaxOverTime
            | Self::TsOfMinOverTime => Meaning::Floats,
        }
    }

    /// Whether results may be native histograms.
    pub fn gives_histograms(self) -> bool {
        self.meaning() == Meaning::Native
    }
}

/// The samples of one window without stale markers.
#[derive(Default)]
pub(super) struct Window<'a> {
    points: Vec<Point<'a>>,
    histograms: usize,
}

impl<'a> Window<'a> {
    pub(super) fn fill(&mut self, samples: MixedSamples<'a>, lo: usize, hi: usize) {
        self.points.clear();
        self.histograms = 0;
        for index in lo..hi {
            let sample = match samples.histograms.get(index) {
                Some(Some(histogram)) => {
                    self.histograms += 1;
                    Sample::Histogram(histogram)
                }
                _ if is_stale_nan(samples.floats.values[index]) => continue,
                _ => Sample::Float(samples.floats.values[index]),
            };
            self.points.push(Point {
                time_ms: samples.floats.timestamps[index],
                start_ms: samples.start_ms(index),
                sample,
            });
        }
    }

    pub(super) fn points(&self) -> &[Point<'a>] {
        &self.points
    }

    pub(super) fn has_histograms(&self) -> bool {
        self.histograms > 0
    }

    fn floats(&self, floats: &mut Floats) {
        floats.timestamps.clear();
        floats.values.clear();
        floats.starts.clear();
        for point in &self.points {
            if let Sample::Float(value) = point.sample {
                floats.timestamps.push(point.time_ms);
                floats.values.push(value);
                floats.starts.push(point.start_ms);
            }
        }
    }
}

/// The floats of one window.
#[derive(Default)]
struct Floats {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    starts: Vec<i64>,
}

impl Floats {
    fn samples(&self) -> StartedSamples<'_> {
        StartedSamples {
            samples: Samples {
                timestamps: &self.timestamps,
                values: &self.values,
            },
            starts: &self.starts,
        }
    }
}

fn owned(sample: Sample<'_>) -> SampleValue {
    match sample {
        Sample::Float(value) => SampleValue::Float(value),
        Sample::Histogram(histogram) => SampleValue::Histogram(Arc::new(histogram.clone())),
    }
}

/// The result of a computation, whose notes are passed on.
pub(super) fn value(answer: Answer, note: &mut dyn FnMut(Note)) -> Option<SampleValue> {
    answer.notes.into_iter().for_each(note);
    Some(match answer.value? {
        Value::Float(value) => SampleValue::Float(value),
        Value::Histogram(histogram) => SampleValue::Histogram(Arc::from(histogram)),
    })
}

/// [`super::evaluate_instant`] for samples of both kinds.
pub fn evaluate_instant_mixed(
    lookback: Lookback,
    samples: MixedSamples<'_>,
    windows: &WindowGrid,
    out: &mut Vec<Option<SampleValue>>,
) {
    let Samples { timestamps, values } = samples.floats;
    windows.for_each(timestamps, |_, lo, hi| {
        let newest = (lo < hi).then(|| hi - 1);
        out.push(newest.and_then(|index| {
            let histogram = samples.histograms.get(index).and_then(Option::as_ref);
            match (histogram, lookback) {
                (None, _) if is_stale_nan(values[index]) => None,
                (_, Lookback::Timestamp) | (None, Lookback::FloatTimestamp) => {
                    Some(SampleValue::Float(timestamps[index] as f64 / 1000.0))
                }
                (_, Lookback::Start) => {
                    let start_ms = samples.start_ms(index);
                    Some(SampleValue::Float(start_ms as f64 / 1000.0))
                }
                (Some(histogram), _) => Some(SampleValue::Histogram(Arc::clone(histogram))),
                (None, _) => Some(SampleValue::Float(values[index])),
            }
        }));
    });
}

/// [`super::evaluate_range`] for samples of both kinds; `note` is told what there is to be said about the series.
pub fn evaluate_range_mixed(
    function: RangeFunction,
    args: &[StepArg],
    samples: MixedSamples<'_>,
    windows: &WindowGrid,
    scratch: &mut Scratch,
    note: &mut dyn FnMut(Note),
    out: &mut Vec<Option<SampleValue>>,
) -> Result<(), InvalidFactor> {
    let mut window = Window::default();
    let mut floats = Floats::default();
    let mut failed = None;
    windows.for_each(samples.floats.timestamps, |step, lo, hi| {
        window.fill(samples, lo, hi);
        let mixed = window.has_histograms();
        if window.points.is_empty() {
            out.push(None);
            return;
        }
        if mixed && function.meaning() != Meaning::Floats {
            let range = Range {
                start_ms: windows.start_ms(step),
                end_ms: windows.end_ms(step),
            };
            out.push(of_window(function, &window.points, range, note));
            return;
        }
        window.floats(&mut floats);
        if mixed && !floats.timestamps.is_empty() {
            note(Note::IgnoredInMixedRange);
        }
        let floats = floats.samples();
        match of_floats(function, args, floats, windows, step, scratch, note) {
            Ok(value) => out.push(value.map(SampleValue::Float)),
            Err(error) => {
                failed.get_or_insert(error);
                out.push(None);
            }
        }
    });
    failed.map_or(Ok(()), Err)
}

/// A function of the floats of one window.
fn of_floats(
    function: RangeFunction,
    args: &[StepArg],
    series: StartedSamples<'_>,
    windows: &WindowGrid,
    step: usize,
    scratch: &mut Scratch,
    note: &mut dyn FnMut(Note),
) -> Result<Option<f64>, InvalidFactor> {
    if series.samples.timestamps.is_empty() {
        // Prometheus checks the factors before it looks at the samples.
        if function == RangeFunction::DoubleExponentialSmoothing {
            let arg = |index: usize| args.get(index).map_or(f64::NAN, |arg| arg.at(step));
            super::regression::double_exponential_smoothing(&[], arg(0), arg(1))?;
        }
        return Ok(None);
    }
    // The step's own time stays what it is: `predict_linear` looks at it.
    let one = WindowGrid {
        grid: StepGrid::instant(windows.grid.time_ms(step)),
        ..*windows
    };
    let args: Vec<StepArg> = args.iter().map(|a| StepArg::Constant(a.at(step))).collect();
    let (mut value, mut present) = ([0.0], [false]);
    let mut out = StepOutput {
        values: &mut value,
        present: &mut present,
    };
    evaluate_range_started(function, &args, series, &one, scratch, note, &mut out)?;
    Ok(present[0].then_some(value[0]))
}

/// A function of a window that has a histogram.
fn of_window(
    function: RangeFunction,
    points: &[Point<'_>],
    range: Range,
    note: &mut dyn FnMut(Note),
) -> Option<SampleValue> {
    use RangeFunction as F;
    use varve_histogram::rate::Function as Rate;
    let seconds = |point: &Point<'_>| SampleValue::Float(point.time_ms as f64 / 1000.0);
    let answer = match function {
        F::Rate => rate(points, range, Rate::Rate),
        F::Increase => rate(points, range, Rate::Increase),
        F::Delta => rate(points, range, Rate::Delta),
        F::Irate | F::Idelta => {
            let kind = match function {
                F::Irate => instant::Function::Irate,
                _ => instant::Function::Idelta,
            };
            if let [.., a, b] = points
                && let (Sample::Float(_), Sample::Float(_)) = (a.sample, b.sample)
            {
                return two_floats(*a, *b, kind).map(SampleValue::Float);
            }
            instant::instant(points, kind)
        }
        F::SumOverTime => over_time::sum_over_time(points),
        F::AvgOverTime => over_time::avg_over_time(points),
        F::FirstOverTime => return points.first().map(|point| owned(point.sample)),
        F::LastOverTime => return points.last().map(|point| owned(point.sample)),
        F::TsOfFirstOverTime => return points.first().map(seconds),
        F::TsOfLastOverTime => return points.last().map(seconds),
        F::CountOverTime => return Some(SampleValue::Float(points.len() as f64)),
        F::PresentOverTime => return Some(SampleValue::Float(1.0)),
        F::Changes => return over_time::changes(points).map(SampleValue::Float),
        F::Resets => return over_time::resets(points).map(SampleValue::Float),
        _ => return None,
    };
    value(answer, note)
}

/// `irate` and `idelta` of floats, in a window whose older samples may be histograms.
fn two_floats(a: Point<'_>, b: Point<'_>, kind: instant::Function) -> Option<f64> {
    let (Sample::Float(before), Sample::Float(after)) = (a.sample, b.sample) else {
        return None;
    };
    let per_second = kind == instant::Function::Irate;
    let times = [a.time_ms, b.time_ms];
    let anew = b.counted().begins_anew(a.counted());
    super::rate::instant(&times, &[before, after], per_second, anew)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn histogram(count: f64) -> Option<Arc<FloatHistogram>> {
        Some(Arc::new(FloatHistogram {
            count,
            sum: count,
            ..FloatHistogram::default()
        }))
    }

    fn windows(steps: i64) -> WindowGrid {
        WindowGrid {
            grid: StepGrid::range(10_000, 10_000 * steps, 10_000),
            range_ms: 10_000,
            offset_ms: 0,
            at_ms: None,
        }
    }

    fn run(function: RangeFunction) -> (Vec<Option<SampleValue>>, Vec<Note>) {
        let histograms = [
            histogram(1.0),
            None,
            None,
            None,
            histogram(4.0),
            histogram(6.0),
        ];
        let samples = MixedSamples {
            floats: Samples {
                timestamps: &[5_000, 9_000, 12_000, 15_000, 22_000, 27_000],
                values: &[0.0, 2.0, 3.0, 5.0, 0.0, 0.0],
            },
            histograms: &histograms,
            starts: &[],
        };
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        evaluate_range_mixed(
            function,
            &[],
            samples,
            &windows(4),
            &mut Scratch::default(),
            &mut |note| notes.push(note),
            &mut out,
        )
        .unwrap();
        (out, notes)
    }

    #[test]
    fn each_window_is_of_floats_or_histograms_or_mixed() {
        let (out, notes) = run(RangeFunction::SumOverTime);
        assert_eq!(notes, [Note::MixedFloatsHistograms]);
        assert_eq!(out[0], None);
        assert_eq!(out[1], Some(SampleValue::Float(8.0)));
        assert!(matches!(&out[2], Some(SampleValue::Histogram(sum)) if sum.count == 10.0));
        assert_eq!(out[3], None);
    }

    #[test]
    fn functions_of_floats_leave_histograms_out() {
        let (out, notes) = run(RangeFunction::MaxOverTime);
        assert_eq!(notes, [Note::IgnoredInMixedRange]);
        let floats = [Some(2.0), Some(5.0), None, None];
        assert_eq!(out, floats.map(|float| float.map(SampleValue::Float)));
        let (out, _) = run(RangeFunction::CountOverTime);
        let counts = [Some(2.0), Some(2.0), Some(2.0), None];
        assert_eq!(out, counts.map(|count| count.map(SampleValue::Float)));
    }

    #[test]
    fn the_newest_sample_counts_whatever_it_is() {
        let histograms = [histogram(1.0), None, None];
        let samples = MixedSamples {
            floats: Samples {
                timestamps: &[5_000, 15_000, 25_000],
                values: &[0.0, 2.0, varve_storage::stale_nan()],
            },
            histograms: &histograms,
            starts: &[],
        };
        let mut out = Vec::new();
        evaluate_instant_mixed(Lookback::Value, samples, &windows(3), &mut out);
        let first = histogram(1.0).map(SampleValue::Histogram);
        assert_eq!(out, [first, Some(SampleValue::Float(2.0)), None]);
        out.clear();
        evaluate_instant_mixed(Lookback::Timestamp, samples, &windows(1), &mut out);
        assert_eq!(out, [Some(SampleValue::Float(5.0))]);
    }
}
