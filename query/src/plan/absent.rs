//! `absent` and `absent_over_time`: a series where there is none.

use varve_promql::{Call, Expr, MatchOp, Matcher};

use super::relation::{Relation, aggregate, label_literal, project, value};
use super::selectors::is_name;
use super::{Needs, Planner};
use crate::Result;
use crate::aggregates::{CellOp, StepAggregate};
use crate::functions::{VectorFunction, VectorOp};
use crate::grid::StepGrid;
use crate::kernels::RangeFunction;
use crate::vector::{VALUE, label_column};

impl Planner<'_> {
    pub(super) fn absent(&mut self, call: &Call, grid: StepGrid) -> Result<Relation> {
        let vector = self.vector_arg(call, 0, grid)?;
        let labels = match self.arg(call, 0)? {
            Expr::VectorSelector(selector) => labels_of(&selector.matchers),
            _ => Vec::new(),
        };
        absence(vector, labels, grid)
    }

    /// Its labels may be metadata (`{__type__="counter"}`), which go late like those of any range function, and do not go at once.
    pub(super) fn absent_over_time(&mut self, call: &Call, grid: StepGrid) -> Result<Relation> {
        let present = RangeFunction::PresentOverTime;
        let vector = self.windows(call, present, Vec::new(), grid, &Needs::Only(Vec::new()))?;
        let labels = match self.arg(call, 0)? {
            Expr::MatrixSelector(matrix) => labels_of(&matrix.selector.matchers),
            _ => Vec::new(),
        };
        let absence = absence(vector, labels, grid)?;
        match self.settings.delayed_name_removal {
            true => self.unnamed(absence),
            false => Ok(absence),
        }
    }
}

/// One row with 1 where the vector has no sample at all. An aggregation without GROUP BY has a row even without input.
fn absence(vector: Relation, labels: Vec<(String, String)>, grid: StepGrid) -> Result<Relation> {
    let group = StepAggregate::call(CellOp::Group, grid.steps, value());
    let plan = aggregate(vector.plan, Vec::new(), vec![group.alias(VALUE)])?;
    let absent = VectorFunction::call(VectorOp::Absent, grid.steps, vec![value()]);
    let mut columns: Vec<_> = labels
        .iter()
        .map(|(name, text)| label_literal(text).alias(label_column(name)))
        .collect();
    columns.push(absent.alias(VALUE));
    let names = labels.into_iter().map(|(name, _)| name).collect();
    Ok(Relation::new(project(plan, columns)?, names, grid))
}

/// The labels that a selector pins down: names with one `=` and no other matcher, ascending.
fn labels_of(matchers: &[Matcher]) -> Vec<(String, String)> {
    let mut labels: Vec<(String, String)> = matchers
        .iter()
        .filter(|m| !is_name(&m.name) && m.op == MatchOp::Equal && !m.value.is_empty())
        .filter(|m| matchers.iter().filter(|other| other.name == m.name).count() == 1)
        .map(|m| (m.name.clone(), m.value.clone()))
        .collect();
    labels.sort_unstable();
    labels
}
