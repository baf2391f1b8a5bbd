//! What must be evaluated before a plan can be made: numbers and labels that depend on data.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use varve_promql::Span;

use crate::grid::StepGrid;
use crate::info::Row;

/// An input that a plan cannot do without.
#[derive(Debug)]
pub struct Pending {
    /// The expression that needs it.
    pub span: Span,
    /// The steps.
    pub grid: StepGrid,
    /// What it is.
    pub input: PendingInput,
}

/// How an input is evaluated.
#[derive(Debug)]
pub enum PendingInput {
    /// One number per step: a plan that gives one row with the column `value`.
    Scalar(LogicalPlan),
    /// Series: plans of relations with these labels.
    Series(Vec<(LogicalPlan, Vec<String>)>),
}

/// Inputs that were evaluated, by expression and grid.
#[derive(Clone, Debug, Default)]
pub struct KnownInputs {
    /// Numbers of scalars.
    pub scalars: HashMap<(Span, StepGrid), Arc<[f64]>>,
    /// Rows of relations.
    pub series: HashMap<(Span, StepGrid), Arc<[Vec<Row>]>>,
}
