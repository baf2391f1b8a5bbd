//! The logical node: a selector and what is made of its samples.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchema, DFSchemaRef, Result, TableReference, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore,
};

use super::columns::vector_schema;
use super::kernel::WindowKernel;
use crate::source::{SamplesScan, SeriesSet};

/// Evaluates a selector: slices of samples in, a vector relation out.
///
/// Equality and hash cover every field, the series included: the optimizer may merge equal nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeriesWindow {
    input: LogicalPlan,
    series: Arc<SeriesSet>,
    kernel: WindowKernel,
    /// Label names, without prefix, in the order of the columns.
    labels: Arc<[String]>,
    /// Whether the vectors may have native histograms.
    mixed: bool,
    schema: DFSchemaRef,
}

impl SeriesWindow {
    /// The plan that evaluates `kernel` over what `scan` reads.
    ///
    /// Its columns are `l:<name>` for each of `labels` (names without prefix), null where a series lacks the label, and
    /// `value`, which is mixed where the scan reads native histograms and the kernel gives some. A series without a sample at any step has no row. Rows come in no particular order.
    pub fn plan(
        scan: Arc<SamplesScan>,
        kernel: WindowKernel,
        labels: &[String],
    ) -> Result<LogicalPlan> {
        let mixed = scan.reads_histograms() && kernel.evaluation.gives_histograms();
        let schema = vector_schema(labels, kernel.windows.grid.steps, mixed);
        let series = Arc::clone(scan.series());
        let name = TableReference::bare(scan.name());
        let input = LogicalPlanBuilder::scan(name, provider_as_source(scan), None)?.build()?;
        let node = Self {
            input,
            series,
            kernel,
            labels: labels.into(),
            mixed,
            schema: Arc::new(DFSchema::try_from(schema)?),
        };
        Ok(LogicalPlan::Extension(Extension {
            node: Arc::new(node),
        }))
    }

    pub(super) fn series(&self) -> &Arc<SeriesSet> {
        &self.series
    }

    pub(super) fn kernel(&self) -> &WindowKernel {
        &self.kernel
    }

    pub(super) fn is_mixed(&self) -> bool {
        self.mixed
    }

    pub(super) fn labels(&self) -> &Arc<[String]> {
        &self.labels
    }
}

/// By text, for want of an order that means something; nodes of one text that differ are not ordered.
impl PartialOrd for SeriesWindow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let text = |node: &Self| format!("{} {}", DisplayNode(node), node.input);
        match text(self).cmp(&text(other)) {
            Ordering::Equal if self != other => None,
            order => Some(order),
        }
    }
}

struct DisplayNode<'a>(&'a SeriesWindow);

impl fmt::Display for DisplayNode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.0;
        write_parameters(f, &node.kernel, &node.series, &node.labels)
    }
}

/// The text of both nodes in EXPLAIN.
pub(super) fn write_parameters(
    f: &mut fmt::Formatter<'_>,
    kernel: &WindowKernel,
    series: &SeriesSet,
    labels: &[String],
) -> fmt::Result {
    let count = series.series().len();
    write!(
        f,
        "{kernel}, series={count}, labels=[{}]",
        labels.join(", ")
    )
}

impl UserDefinedLogicalNodeCore for SeriesWindow {
    fn name(&self) -> &str {
        "SeriesWindow"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeriesWindow: {}", DisplayNode(self))
    }

    fn with_exprs_and_inputs(
        &self,
        _exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return plan_err!("SeriesWindow has exactly one input");
        };
        Ok(Self {
            input,
            ..self.clone()
        })
    }

    /// Every column of the scan is needed whatever of the output is.
    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![(0..self.input.schema().fields().len()).collect()])
    }
}
