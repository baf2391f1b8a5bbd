//! DataFusion for one query: configuration, memory, planning on a large stack, execution.

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
use super::{EngineOptions, stats};
use crate::grid::StepGrid;
use crate::result::QueryStats;
use crate::selector::SelectorSource;
use crate::{Error, Result};

/// Bytes of values in a batch: 8,192 rows of 11,000 steps would be 720 MB.
const BATCH_BYTES: usize = 8 << 20;

/// Rows of a batch, however short its vectors.
const BATCH_ROWS_MAX: usize = 8_192;

/// The stack of the thread that plans. DataFusion recurses over plans, and an expression of the greatest depth that the
/// parser allows makes a plan several times as deep. Pages that are not touched cost nothing.
const PLANNING_STACK_BYTES: usize = 256 << 20;

#[derive(Debug)]
pub(super) struct QuerySession {
    state: SessionState,
    pool: Arc<PeakPool>,
}

impl QuerySession {
    pub(super) fn new(
        options: &EngineOptions,
        source: &dyn SelectorSource,
        steps: usize,
    ) -> Result<Self> {
        let pool = Arc::new(PeakPool::new(options.memory_bytes_max));
        let shared: Arc<PeakPool> = Arc::clone(&pool);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(shared)
            .build_arc()?;
        source.register(&runtime);
        let rows = (BATCH_BYTES / (steps.max(1) * 8)).clamp(1, BATCH_ROWS_MAX);
        let config = SessionConfig::new()
            .with_batch_size(options.batch_rows.unwrap_or(rows).max(1))
            .with_target_partitions(options.partitions.max(1))
            .with_prefer_existing_sort(options.partitions > 1);
        let planners = Planners {
            extensions: source.extension_planners(),
        };
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_query_planner(Arc::new(planners))
            .build();
        Ok(Self { state, pool })
    }

    pub(super) fn memory_peak_bytes(&self) -> u64 {
        self.pool.peak_bytes() as u64
    }

    /// Optimizes a plan and makes it executable.
    pub(super) async fn physical(
        &self,
        plan: LogicalPlan,
    ) -> Result<(LogicalPlan, Arc<dyn ExecutionPlan>)> {
        let state = self.state.clone();
        let runtime = tokio::runtime::Handle::current();
        on_large_stack(move || {
            let plan = state.optimize(&plan)?;
            let physical =
                runtime.block_on(state.query_planner().create_physical_plan(&plan, &state))?;
            Ok((plan, physical))
        })
        .await
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

/// Runs work on a thread whose stack is large enough for the deepest plan.
pub(super) async fn on_large_stack<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("varve-plan".to_owned())
        .stack_size(PLANNING_STACK_BYTES)
        .spawn(move || {
            // The receiver is gone if the query was cancelled; nobody waits for the plan then.
            let _ = sender.send(work());
        })
        .map_err(|error| Error::Memory(format!("no thread to plan on: {error}")))?;
    receiver
        .await
        .unwrap_or(Err(Error::Canceled("query preparation")))
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
