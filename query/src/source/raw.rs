//! The raw samples of series, for queries whose result is a range vector.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlanProperties;
use futures::StreamExt;
use varve_storage::{SeriesRef, is_stale_nan};

use super::archive::ArchiveSource;
use super::scan::SamplesScan;
use super::slices::Slices;
use crate::error::Result;
use crate::window::SampleRun;

/// The samples of each series of a scan in its closed range of time, without stale markers, ascending by labels.
pub(super) async fn samples(
    scan: Arc<SamplesScan>,
    source: &ArchiveSource,
) -> Result<Vec<(SeriesRef, Vec<(i64, f64)>)>> {
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
                    let (timestamps, values) = slices.floats_between(row, min_ms, max_ms)?;
                    runs.entry(series).or_default().append(timestamps, values);
                }
            }
        }
    }
    let live = runs.into_iter().filter_map(|(index, run)| {
        let series = scan.series().series().get(index)?;
        let samples = run.samples();
        let pairs = samples
            .timestamps
            .iter()
            .copied()
            .zip(samples.values.iter().copied());
        let pairs: Vec<(i64, f64)> = pairs.filter(|(_, value)| !is_stale_nan(*value)).collect();
        (!pairs.is_empty()).then(|| (Arc::clone(series), pairs))
    });
    Ok(live.collect())
}
