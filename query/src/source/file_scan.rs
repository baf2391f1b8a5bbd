//! DataFusion's scan of files, whose errors name the file.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::{DataSource, OpenArgs};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::DisplayFormatType;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use object_store::path::Path;

use super::error_context::named_error;

/// A scan with one file per partition. Everything is DataFusion's own [`FileScanConfig`]; but errors of decoding, which do not
/// say what was decoded, come out as "… is corrupt", and files stay whole.
#[derive(Clone, Debug)]
pub(super) struct NamedFileScan {
    inner: FileScanConfig,
}

impl NamedFileScan {
    pub(super) fn new(inner: FileScanConfig) -> Self {
        Self { inner }
    }

    fn file(&self, partition: usize) -> Option<Path> {
        let file = self.inner.file_groups.get(partition)?.iter().next()?;
        Some(file.object_meta.location.clone())
    }

    fn named(
        &self,
        partition: usize,
        stream: SendableRecordBatchStream,
    ) -> SendableRecordBatchStream {
        let Some(key) = self.file(partition) else {
            return stream;
        };
        let schema = stream.schema();
        let stream = stream.map(move |batch| batch.map_err(|error| named_error(&key, error)));
        Box::pin(RecordBatchStreamAdapter::new(schema, stream))
    }
}

impl DataSource for NamedFileScan {
    fn open(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        Ok(self.named(partition, self.inner.open(partition, context)?))
    }

    fn open_with_args(&self, args: OpenArgs) -> Result<SendableRecordBatchStream> {
        let partition = args.partition;
        Ok(self.named(partition, self.inner.open_with_args(args)?))
    }

    fn create_sibling_state(&self, config: &ConfigOptions) -> Option<Arc<dyn Any + Send + Sync>> {
        self.inner.create_sibling_state(config)
    }

    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_as(t, f)
    }

    fn output_partitioning(&self) -> Partitioning {
        self.inner.output_partitioning()
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        self.inner.eq_properties()
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        self.inner.partition_statistics(partition)
    }

    fn with_fetch(&self, _limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        None
    }

    fn fetch(&self) -> Option<usize> {
        self.inner.fetch()
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn try_swapping_with_projection(
        &self,
        _projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(None)
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}
