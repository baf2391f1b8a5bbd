//! What DataFusion's operators have counted.

use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricValue;

use crate::result::QueryStats;

/// Adds the metrics of an executed plan to the stats.
pub(super) fn add(plan: &Arc<dyn ExecutionPlan>, stats: &mut QueryStats) {
    if let Some(metrics) = plan.metrics() {
        let busy = metrics.elapsed_compute().unwrap_or(0);
        stats.cpu += Duration::from_nanos(busy as u64);
        for metric in metrics.iter() {
            if let MetricValue::Count { name, count } = metric.value() {
                match name.as_ref() {
                    "samples_read" => stats.samples_read += count.value() as u64,
                    "slices_read" => stats.rows_scanned += count.value() as u64,
                    _ => {}
                }
            }
        }
    }
    for child in plan.children() {
        add(child, stats);
    }
}
