//! The samples of series as they are stored, for queries whose result is a range vector and for remote read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;

use super::archive::ArchiveSource;
use super::scan::SamplesScan;
use super::slices::{Found, Slices};
use crate::error::{Error, Result};
use crate::result::{MatrixSeries, RawSeries};
use crate::selector::RawPart;
use crate::window::SampleRun;

/// Files that are read at the same time: as many requests are under way, and as many batches in memory.
const FILES_AT_ONCE: usize = 4;

/// The samples of each series of a scan in its closed range of time, without stale markers, ascending by labels.
pub(super) async fn samples(
    scan: Arc<SamplesScan>,
    source: &ArchiveSource,
) -> Result<Vec<MatrixSeries>> {
    let gathered = Gathered::of(&scan, source, usize::MAX).await?;
    let live = gathered.runs.into_iter().filter_map(|(index, run)| {
        let labels = scan.series().series().get(index)?.labels.clone();
        let mut series = MatrixSeries::new(labels);
        for (time_ms, value) in run.all().iter().filter(|(_, value)| !value.is_stale()) {
            series.push(time_ms, value);
        }
        (!series.is_empty()).then_some(series)
    });
    Ok(live.collect())
}

/// The stored samples of the first series of a scan, ascending by labels, as many as fit in about `bytes_max`.
pub(super) async fn part(
    scan: Arc<SamplesScan>,
    source: &ArchiveSource,
    bytes_max: usize,
) -> Result<RawPart> {
    let gathered = Gathered::of(&scan, source, bytes_max).await?;
    let series = gathered.runs.into_iter().filter_map(|(index, run)| {
        let labels = scan.series().series().get(index)?.labels.clone();
        let samples = run.into_samples();
        (!samples.timestamps.is_empty()).then_some(RawSeries { labels, samples })
    });
    Ok(RawPart {
        series: series.collect(),
        complete: gathered.complete,
    })
}

/// The runs of series while a scan is read. A scan gives series in the order of their ids, file by file, so no run is whole before
/// its end. Where the runs need too much memory, those of the greatest labels are given up, to be read by another scan.
#[derive(Debug)]
struct Gathered {
    /// By the place of the series among those of the scan, which ascend by labels.
    runs: BTreeMap<usize, SampleRun>,
    /// Series from this place on are left out.
    complete: usize,
    bytes: usize,
    bytes_max: usize,
}

impl Gathered {
    async fn of(scan: &SamplesScan, source: &ArchiveSource, bytes_max: usize) -> Result<Self> {
        let mut gathered = Self {
            runs: BTreeMap::new(),
            complete: scan.series().series().len(),
            bytes: 0,
            bytes_max,
        };
        let Some(range_ms) = scan.range_ms() else {
            return Ok(gathered);
        };
        let runtime = RuntimeEnv::default();
        source.register(&runtime);
        let context = Arc::new(TaskContext::default().with_runtime(Arc::new(runtime)));
        let mut partitions = Partitions {
            plan: scan.physical(None)?,
            context,
            next: 0,
            open: VecDeque::new(),
        };
        while let Some(mut batches) = partitions.next()? {
            while let Some(batch) = batches.next().await {
                gathered.add(&Slices::try_new(&batch?)?, scan, range_ms)?;
            }
        }
        Ok(gathered)
    }

    fn add(&mut self, slices: &Slices, scan: &SamplesScan, range_ms: (i64, i64)) -> Result<()> {
        let (min_ms, max_ms) = range_ms;
        for row in 0..slices.rows() {
            let place = scan.series().index_of(slices.series_id(row));
            let Some(place) = place.filter(|place| *place < self.complete) else {
                continue;
            };
            let part = match slices.between(row, min_ms, max_ms)? {
                Found::Samples(part) => part,
                Found::Histograms => {
                    let name = scan.series().metric_name(place);
                    return Err(Error::HistogramsFound(name.to_owned()));
                }
            };
            let run = self.runs.entry(place).or_default();
            let bytes_before = run.heap_bytes();
            run.append(part.timestamps, part.values(), &part.histograms, &[]);
            self.bytes = (self.bytes + run.heap_bytes()).saturating_sub(bytes_before);
            if self.bytes > self.bytes_max {
                self.give_up();
            }
        }
        Ok(())
    }

    /// Makes room for what is still to come of the series that are kept.
    fn give_up(&mut self) {
        while self.bytes > self.bytes_max / 2 && self.runs.len() > 1 {
            if let Some((place, run)) = self.runs.pop_last() {
                self.complete = place;
                self.bytes = self.bytes.saturating_sub(run.heap_bytes());
            }
        }
    }
}

/// The partitions of a scan, of which the next ones are being read already. Files are in the order of their days, so that runs grow at
/// their ends.
struct Partitions {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    /// The first one that is not open.
    next: usize,
    open: VecDeque<SendableRecordBatchStream>,
}

impl Partitions {
    fn next(&mut self) -> Result<Option<SendableRecordBatchStream>> {
        let count = self.plan.output_partitioning().partition_count();
        while self.next < count && self.open.len() < FILES_AT_ONCE {
            let batches = self.plan.execute(self.next, Arc::clone(&self.context))?;
            self.open.push_back(spawn_buffered(batches, 1));
            self.next += 1;
        }
        Ok(self.open.pop_front())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use varve_storage::{FloatHistogram, Labels, SampleValue, stale_nan};

    use super::super::fixture::{Fixture, named, series, slice};
    use super::*;
    use crate::selector::{SelectorSource, SelectorSpec};

    /// Series, each of which has a time in two files, one in a file and the tail, and a stale marker at its end.
    async fn fixture(count: usize) -> Fixture {
        let all: Vec<_> = (0..count)
            .map(|n| series(&[("__name__", "m"), ("n", &format!("{n:02}"))]))
            .collect();
        let mut fixture = Fixture::new();
        let slices = |samples: &[(i64, f64)]| all.iter().map(|s| slice(s, samples)).collect();
        fixture
            .add_file(slices(&[(1, 1.0), (3, 3.0), (4, 4.0)]))
            .await;
        fixture
            .add_file(slices(&[(2, 2.0), (3, 3.5), (5, 5.0)]))
            .await;
        fixture.add_wal(slices(&[(5, 5.5), (6, stale_nan()), (7, 7.0)]));
        fixture
    }

    async fn read(fixture: &Fixture, bytes_max: usize) -> Vec<RawSeries> {
        let (source, _) = fixture.source();
        let spec = SelectorSpec {
            matchers: named("m"),
            min_ms: 2,
            max_ms: 6,
        };
        let selector = source.resolve(&spec).await.unwrap();
        let mut found = Vec::new();
        let mut next = 0;
        while next < selector.series.len() {
            let part = next..selector.series.len();
            let part = source.raw(&selector, part, bytes_max).await.unwrap();
            assert!(part.complete > 0);
            next += part.complete;
            found.extend(part.series);
        }
        found
    }

    #[tokio::test]
    async fn every_sample_is_given_once_and_stale_markers_too() {
        let fixture = fixture(10).await;
        let whole = read(&fixture, usize::MAX).await;
        assert_eq!(whole.len(), 10);
        for (number, series) in whole.iter().enumerate() {
            let labels = Labels::from_pairs([("__name__", "m"), ("n", &format!("{number:02}"))]);
            assert_eq!(series.labels, labels);
            assert_eq!(series.samples.timestamps, [2, 3, 4, 5, 6]);
            let bits: Vec<u64> = series.samples.values.iter().map(|v| v.to_bits()).collect();
            let expected = [2.0, 3.5, 4.0, 5.5, stale_nan()].map(f64::to_bits);
            assert_eq!(bits, expected);
        }
        // A NaN equals nothing, so texts are compared.
        for bytes_max in [0, 500, 1_000] {
            let parts = read(&fixture, bytes_max).await;
            assert_eq!(format!("{parts:?}"), format!("{whole:?}"), "{bytes_max}");
        }
    }

    #[tokio::test]
    async fn histograms_stand_beside_floats_and_their_stale_markers_are_those_of_floats() {
        let m = series(&[("__name__", "m")]);
        let histogram = |sum| {
            SampleValue::Histogram(Arc::new(FloatHistogram {
                sum,
                ..FloatHistogram::default()
            }))
        };
        let mut slice = slice(&m, &[(2, 2.0)]);
        slice.push(3, &histogram(3.0));
        slice.push(4, &histogram(stale_nan()));
        let mut fixture = Fixture::new();
        fixture.add_file(vec![slice]).await;
        let (source, _) = fixture.source();
        let spec = SelectorSpec {
            matchers: named("m"),
            min_ms: 0,
            max_ms: 9,
        };
        let mut selector = source.resolve(&spec).await.unwrap();
        let error = source.raw(&selector, 0..1, 0).await.unwrap_err();
        assert!(matches!(error, Error::HistogramsFound(name) if name == "m"));
        selector.histograms = true;
        let part = source.raw(&selector, 0..1, 0).await.unwrap();
        let samples: Vec<_> = part.series[0].samples.iter().collect();
        assert_eq!(
            samples[..2],
            [(2, SampleValue::Float(2.0)), (3, histogram(3.0))]
        );
        assert!(
            matches!(samples[2], (4, SampleValue::Float(v)) if v.to_bits() == stale_nan().to_bits())
        );
    }
}
