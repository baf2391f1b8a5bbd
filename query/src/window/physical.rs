//! The physical node: merges the slices of each series and lets the kernel walk the run.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning,
    PhysicalExpr,
};
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::physical_plan::distribution_requirements::InputDistributionRequirements;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, stream};
use varve_storage::{SampleValue, columns};

use super::columns::{VectorBuilder, batch_rows, vector_schema};
use super::kernel::WindowKernel;
use super::logical::{SeriesWindow, write_parameters};
use super::merge::SampleRun;
use crate::error::Error;
use crate::kernels::Scratch;
use crate::source::{BATCH_SLICES, Found, SeriesSet, Slices, slice_ordering};

/// Plans [`SeriesWindow`] nodes.
#[derive(Debug, Default)]
pub struct SeriesWindowPlanner;

#[async_trait]
impl ExtensionPlanner for SeriesWindowPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _planning_ctx: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<SeriesWindow>() else {
            return Ok(None);
        };
        let [input] = physical_inputs else {
            return internal_err!("SeriesWindow has exactly one input");
        };
        // Without this setting DataFusion would sort all samples again after it has spread the series over partitions.
        let spread = session.config().options().optimizer.prefer_existing_sort;
        let exec = SeriesWindowExec::try_new(Arc::clone(input), node, spread)?;
        Ok(Some(Arc::new(exec)))
    }
}

/// Turns slices, ordered by series and time, into rows of a vector relation.
///
/// All slices of a series are in one partition. The node asks for a single one, which DataFusion satisfies with a
/// `SortPreservingMergeExec`; with `optimizer.prefer_existing_sort` it asks for partitions by series instead, and as many series are
/// evaluated side by side.
#[derive(Debug)]
pub struct SeriesWindowExec {
    input: Arc<dyn ExecutionPlan>,
    series_set: Arc<SeriesSet>,
    kernel: Arc<WindowKernel>,
    labels: Arc<[String]>,
    spread: bool,
    mixed: bool,
    schema: SchemaRef,
    ordering: LexOrdering,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SeriesWindowExec {
    fn try_new(input: Arc<dyn ExecutionPlan>, node: &SeriesWindow, spread: bool) -> Result<Self> {
        Self::over(
            input,
            Arc::clone(node.series()),
            Arc::new(node.kernel().clone()),
            Arc::clone(node.labels()),
            (spread, node.is_mixed()),
        )
    }

    fn over(
        input: Arc<dyn ExecutionPlan>,
        series_set: Arc<SeriesSet>,
        kernel: Arc<WindowKernel>,
        labels: Arc<[String]>,
        (spread, mixed): (bool, bool),
    ) -> Result<Self> {
        let schema = vector_schema(&labels, kernel.windows.grid.steps, mixed);
        let Some(ordering) = slice_ordering(&input.schema()) else {
            return internal_err!("SeriesWindow's input lacks a column");
        };
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            input,
            series_set,
            kernel,
            labels,
            spread,
            mixed,
            schema,
            ordering,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

/// The context of the nodes below: their batches hold slices and not vectors, so the number of rows that suits vectors
/// says nothing about them. The merge of files would gather thousands of slices otherwise.
fn slice_context(context: &TaskContext) -> Arc<TaskContext> {
    let config = context.session_config().clone();
    Arc::new(TaskContext::new(
        context.task_id(),
        context.session_id(),
        config.with_batch_size(BATCH_SLICES),
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        context.runtime_env(),
    ))
}

impl DisplayAs for SeriesWindowExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeriesWindowExec: ")?;
        write_parameters(f, &self.kernel, &self.series_set, &self.labels)
    }
}

impl ExecutionPlan for SeriesWindowExec {
    fn name(&self) -> &'static str {
        "SeriesWindowExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let series_id = self.ordering.iter().find_map(|sort| {
            let column = sort.expr.downcast_ref::<Column>()?;
            (column.name() == columns::SERIES_ID).then(|| Arc::clone(&sort.expr))
        });
        let distribution = match series_id {
            Some(series_id) if self.spread => Distribution::KeyPartitioned(vec![series_id]),
            _ => Distribution::SinglePartition,
        };
        InputDistributionRequirements::new(vec![distribution])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.ordering.clone()))]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![self.spread]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut recursion = TreeNodeRecursion::Continue;
        for sort in self.ordering.iter() {
            recursion = f(&sort.expr)?;
            if recursion == TreeNodeRecursion::Stop {
                break;
            }
        }
        Ok(recursion)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("SeriesWindowExec has exactly one input");
        };
        Ok(Arc::new(Self::over(
            input,
            Arc::clone(&self.series_set),
            Arc::clone(&self.kernel),
            Arc::clone(&self.labels),
            (self.spread, self.mixed),
        )?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        // Files are decoded while the windows of the batch before are evaluated.
        let slices = self.input.execute(partition, slice_context(&context))?;
        let input = spawn_buffered(slices, 1);
        let steps = self.kernel.windows.grid.steps;
        let consumer = MemoryConsumer::new(format!("SeriesWindowExec[{partition}]"));
        let counter = |name| MetricBuilder::new(&self.metrics).counter(name, partition);
        let state = WindowState {
            input: Some(input),
            slices: None,
            series: None,
            run: SampleRun::default(),
            scratch: Scratch::default(),
            items: Vec::new(),
            output: VectorBuilder::new(Arc::clone(&self.schema), Arc::clone(&self.labels), steps),
            batch_rows: batch_rows(steps).min(context.session_config().batch_size()),
            series_set: Arc::clone(&self.series_set),
            kernel: Arc::clone(&self.kernel),
            reservation: consumer.register(context.memory_pool()),
            baseline: BaselineMetrics::new(&self.metrics, partition),
            samples_read: counter(SAMPLES_READ),
            slices_read: counter("slices_read"),
        };
        let stream = stream::try_unfold(state, |mut state| async move {
            let batch = state.next_batch().await?;
            Ok(batch.map(|batch| (batch, state)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            stream,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Bytes of output from which a batch is handed on, however few rows it has: native histograms are large.
const OUTPUT_BYTES_MAX: usize = 32 << 20;

/// The metric that counts samples which entered a run.
pub const SAMPLES_READ: &str = "samples_read";

struct WindowState {
    /// `None` once it is exhausted.
    input: Option<SendableRecordBatchStream>,
    /// The batch that is being read, and the next row of it.
    slices: Option<(Slices, usize)>,
    /// The series of the run, as an index into the resolved ones.
    series: Option<usize>,
    run: SampleRun,
    scratch: Scratch,
    /// The samples of a series with native histograms, step by step.
    items: Vec<Option<SampleValue>>,
    output: VectorBuilder,
    batch_rows: usize,
    series_set: Arc<SeriesSet>,
    kernel: Arc<WindowKernel>,
    reservation: MemoryReservation,
    baseline: BaselineMetrics,
    samples_read: Count,
    slices_read: Count,
}

impl WindowState {
    /// The next batch of output: a full one, or the last.
    async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((slices, row)) = self.slices.take() {
                let elapsed = self.baseline.elapsed_compute().clone();
                let timer = elapsed.timer();
                let next = self.consume(&slices, row)?;
                timer.done();
                if next < slices.rows() {
                    self.slices = Some((slices, next));
                    return self.emit().map(Some);
                }
            }
            let Some(input) = &mut self.input else {
                return Ok(None);
            };
            match input.next().await {
                Some(batch) => {
                    let batch = batch?;
                    self.slices_read.add(batch.num_rows());
                    self.slices = Some((Slices::try_new(&batch)?, 0));
                }
                None => {
                    self.input = None;
                    self.finish_series()?;
                    if self.output.rows() > 0 {
                        return self.emit().map(Some);
                    }
                }
            }
        }
    }

    /// Reads slices from `row` on, until they end or the output is full; returns the next row to read.
    fn consume(&mut self, slices: &Slices, row: usize) -> Result<usize> {
        let Some((min_ms, max_ms)) = self.kernel.windows.fetch_range_ms() else {
            return Ok(slices.rows());
        };
        for row in row..slices.rows() {
            let series = self.series_set.index_of(slices.series_id(row));
            if series.is_none() || series != self.series {
                self.finish_series()?;
                self.series = series;
            }
            if series.is_some() {
                match slices.between(row, min_ms, max_ms)? {
                    Found::Samples(part) => {
                        let values = part.values();
                        self.run
                            .append(part.timestamps, values, &part.histograms, part.starts);
                        self.samples_read.add(part.timestamps.len());
                    }
                    Found::Histograms => {
                        let name = series.map_or("", |index| self.series_set.metric_name(index));
                        return Err(Error::HistogramsFound(name.to_owned()).into());
                    }
                }
            }
            if self.output.rows() >= self.batch_rows || self.output.heap_bytes() > OUTPUT_BYTES_MAX
            {
                self.reserve()?;
                return Ok(row + 1);
            }
        }
        self.reserve()?;
        Ok(slices.rows())
    }

    /// Evaluates the run and adds its row.
    fn finish_series(&mut self) -> Result<()> {
        if let Some(index) = self.series.take() {
            let Self {
                run,
                scratch,
                output,
                series_set,
                kernel,
                items,
                ..
            } = self;
            if let (Some(series), false) = (series_set.series().get(index), run.is_empty()) {
                let labels = &series.labels;
                match (run.floats(), run.started_floats()) {
                    (Some(samples), _) => {
                        output.push(labels, |slots| kernel.evaluate(samples, scratch, slots))?;
                    }
                    (None, Some(samples)) => output.push(labels, |slots| {
                        kernel.evaluate_started(labels, samples, scratch, slots)
                    })?,
                    (None, None) => {
                        kernel.evaluate_mixed(labels, run.all(), scratch, items)?;
                        output.push_samples(labels, items);
                    }
                }
            }
        }
        self.run.clear();
        Ok(())
    }

    fn emit(&mut self) -> Result<RecordBatch> {
        let batch = self.output.finish()?;
        self.baseline.record_output(batch.num_rows());
        self.reserve()?;
        Ok(batch)
    }

    fn reserve(&mut self) -> Result<()> {
        self.reservation.try_resize(
            self.run.heap_bytes() + self.scratch.heap_bytes() + self.output.heap_bytes(),
        )
    }
}
