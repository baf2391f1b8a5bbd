//! Export: series of an archive as blocks of Prometheus, or as OpenMetrics text.

mod blocks;
mod openmetrics;

pub use self::blocks::{BLOCK_RANGE_MS, block_ranges, blocks_in, export_block};
pub use self::openmetrics::{OpenMetricsCounts, OpenMetricsWriter, StaleMarkers};
