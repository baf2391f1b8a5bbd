//! The raw samples of series, for queries whose result is a range vector.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlanProperties;
use futures::StreamExt;

use super::archive::ArchiveSource;
use super::scan::SamplesScan;
use super::slices::{Found, Slices};
use crate::error::{Error, Result};
use crate::result::MatrixSeries;
use crate::window::SampleRun;

/// The samples of each series of a scan in its closed range of time, without stale markers, ascending by labels.
pub(super) async fn samples(
    scan: Arc<SamplesScan>,
    source: &ArchiveSource,
) -> Result<Vec<MatrixSeries>> {
    let Some((min_ms, max_ms)) = scan.range_ms() else {
        return Ok(Vec::new());
    };
    let runtime = RuntimeEnv::default();
    source.register(&runtime);
    let context = Arc::new(TaskContext::default().with_runtime(Arc::new(runtime)));
    let plan = scan.physical(None)?;
    let mut runs: BTreeMap<usize, SampleRun> = BTreeMap::new();
    for partition in 0..plan.output_partitioning().partition_count() {
        let mut batches = plan.execute(partition, Arc::clone(&context))?;
        while let Some(batch) = batches.next().await {
            let slices = Slices::try_new(&batch?)?;
            for row in 0..slices.rows() {
                if let Some(series) = scan.series().index_of(slices.series_id(row)) {
                    let run = runs.entry(series).or_default();
                    match slices.between(row, min_ms, max_ms)? {
                        Found::Samples(part) => {
                            run.append(part.timestamps, part.values(), &part.histograms, &[]);
                        }
                        Found::Histograms => {
                            let name = scan.series().metric_name(series);
                            return Err(Error::HistogramsFound(name.to_owned()));
                        }
                    }
                }
            }
        }
    }
    let live = runs.into_iter().filter_map(|(index, run)| {
        let labels = scan.series().series().get(index)?.labels.clone();
        let mut series = MatrixSeries::new(labels);
        for (time_ms, value) in run.all().iter().filter(|(_, value)| !value.is_stale()) {
            series.push(time_ms, value);
        }
        (!series.is_empty()).then_some(series)
    });
    Ok(live.collect())
}
