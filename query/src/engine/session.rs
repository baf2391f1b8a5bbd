//! DataFusion for one query: configuration, memory, planning, execution.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::execution::TaskContext;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use futures::StreamExt;

use super::collect::SeriesSet;
use super::pool::PeakPool;
use super::{EngineOptions, Prepared, stats};
use crate::Result;
use crate::grid::StepGrid;
use crate::info::Row;
use crate::result::{MatrixSeries, QueryStats};

/// Bytes of values in a batch: 8,192 rows of 11,000 steps would be 720 MB.
const BATCH_BYTES: usize = 8 << 20;

/// Rows of a batch, however short its vectors.
const BATCH_ROWS_MAX: usize = 8_192;

/// The depth of expressions from which on one partition does all work: several are computed by tasks on the runtime's workers, whose
/// stacks are small.
const DEPTH_OF_PARTITIONS_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct QuerySession {
    state: SessionState,
    pool: Arc<PeakPool>,
    cells_max: usize,
}

impl QuerySession {
    pub(super) fn new(options: &EngineOptions, prepared: &Prepared, steps: usize) -> Result<Self> {
        let source = prepared.snapshot.source.as_ref();
        // Sums of native histograms are not exchanged between partitions.
        let alone =
            prepared.expr.depth() > DEPTH_OF_PARTITIONS_MAX || prepared.resolved.reads_histograms();
        let partitions = match alone {
            true => 1,
            false => options.partitions.max(1),
        };
        let pool = Arc::new(PeakPool::new(options.memory_bytes_max));
        let shared: Arc<PeakPool> = Arc::clone(&pool);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(shared)
            .build_arc()?;
        source.register(&runtime);
        let rows = (BATCH_BYTES / (steps.max(1) * 8)).clamp(1, BATCH_ROWS_MAX);
        let config = SessionConfig::new()
            .with_batch_size(options.batch_rows.unwrap_or(rows).max(1))
            .with_target_partitions(partitions)
            .with_prefer_existing_sort(partitions > 1);
        let planners = Planners {
            extensions: source.extension_planners(),
        };
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_query_planner(Arc::new(planners))
            .build();
        Ok(Self {
            state,
            pool,
            cells_max: options.cells_max,
        })
    }

    pub(super) fn memory_peak_bytes(&self) -> u64 {
        self.pool.peak_bytes() as u64
    }

    /// Optimizes a plan and makes it executable.
    pub(super) async fn physical(
        &self,
        plan: LogicalPlan,
    ) -> Result<(LogicalPlan, Arc<dyn ExecutionPlan>)> {
        let plan = self.state.optimize(&plan)?;
        let planner = self.state.query_planner();
        let physical = planner.create_physical_plan(&plan, &self.state).await?;
        Ok((plan, physical))
    }

    /// Executes the plan of a scalar.
    pub(super) async fn numbers(
        &self,
        plan: LogicalPlan,
        grid: StepGrid,
        stats: &mut QueryStats,
    ) -> Result<Arc<[f64]>> {
        let mut series = SeriesSet::new(usize::MAX);
        self.collect(plan, &[], grid, &mut series, stats).await?;
        let mut numbers = vec![f64::NAN; grid.steps];
        for series in series.into_matrix() {
            for (number, (_, value)) in numbers.iter_mut().zip(&series.samples) {
                *number = *value;
            }
        }
        Ok(numbers.into())
    }

    /// Executes a plan that gives a relation with these labels, for all of its rows.
    pub(super) async fn rows(
        &self,
        (plan, labels): (LogicalPlan, &[String]),
        grid: StepGrid,
        stats: &mut QueryStats,
    ) -> Result<Vec<Row>> {
        let mut series = SeriesSet::new(self.cells_max);
        self.collect(plan, labels, grid, &mut series, stats).await?;
        let row = |series: MatrixSeries| {
            let vector = grid.times_ms().map(|time_ms| series.at(time_ms)).collect();
            (series.labels, vector)
        };
        Ok(series.into_matrix().into_iter().map(row).collect())
    }

    /// Executes a plan that gives a relation with these labels on a grid, and adds its rows to the series.
    pub(super) async fn collect(
        &self,
        plan: LogicalPlan,
        labels: &[String],
        grid: StepGrid,
        series: &mut SeriesSet,
        stats: &mut QueryStats,
    ) -> Result<()> {
        let (_, physical) = self.physical(plan).await?;
        let context: Arc<TaskContext> = self.state.task_ctx();
        let mut batches = execute_stream(Arc::clone(&physical), context)?;
        while let Some(batch) = batches.next().await {
            series.add(&batch?, labels, grid)?;
        }
        stats::add(&physical, stats);
        Ok(())
    }
}

/// DataFusion's planner with the nodes of the source.
struct Planners {
    extensions: Vec<Arc<dyn ExtensionPlanner + Send + Sync>>,
}

impl fmt::Debug for Planners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Planners({})", self.extensions.len())
    }
}

#[async_trait]
impl QueryPlanner for Planners {
    async fn create_physical_plan(
        &self,
        logical_plan: &LogicalPlan,
        session: &dyn Session,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(self.extensions.clone())
            .create_physical_plan(logical_plan, session)
            .await
    }
}
