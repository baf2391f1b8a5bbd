//! Set operators, decided step by step.
//!
//! `and` and `unless` join the left side with one row per key of the right side that says at which steps the key is there. `or`
//! is the union of both sides, in which a window over each key masks the right side wherever the left side has a sample.

use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder, lit};
use varve_promql::{Binary, BinaryOp};

use super::Planner;
use super::matching::{join_on_keys, key_columns, match_keys};
use super::names::{MARK, Removal};
use super::relation::{Relation, aggregate, column, label, project, value};
use crate::aggregates::{CellOp, Disjoint, MaskOp, MaskWindow, StepAggregate};
use crate::functions::{VectorFunction, VectorOp};
use crate::grid::StepGrid;
use crate::vector::{VALUE, label_column};
use crate::{Error, Result};

const PRESENT: &str = "present";

impl Planner<'_> {
    pub(super) fn set(&mut self, node: &Binary, grid: StepGrid) -> Result<Relation> {
        let Some(matching) = &node.matching else {
            return Err(Error::BadData("two vectors without matching".to_owned()));
        };
        let lhs = self.vector(&node.lhs, grid)?;
        let rhs = self.vector(&node.rhs, grid)?;
        let keys = match_keys(matching, &lhs, &rhs);
        match node.op {
            BinaryOp::And if rhs.empty => Ok(rhs),
            BinaryOp::And | BinaryOp::Unless if lhs.empty => Ok(lhs),
            BinaryOp::Unless | BinaryOp::Or if rhs.empty => Ok(lhs),
            BinaryOp::And => masked(lhs, rhs, &keys, JoinType::Inner, VectorOp::Where),
            BinaryOp::Unless => masked(lhs, rhs, &keys, JoinType::Right, VectorOp::WhereNot),
            _ if lhs.empty => Ok(rhs),
            _ => self.or(lhs, rhs, &keys, grid),
        }
    }

    fn or(
        &mut self,
        lhs: Relation,
        rhs: Relation,
        keys: &[String],
        grid: StepGrid,
    ) -> Result<Relation> {
        let mut labels: Vec<String> = lhs.labels.iter().chain(&rhs.labels).cloned().collect();
        labels.sort_unstable();
        labels.dedup();
        let mixed = lhs.is_mixed() || rhs.is_mixed();
        let removal = Removal::of_union([&lhs, &rhs]);
        let side = |relation: Relation, number: i64| {
            let relation = match mixed {
                true => relation.into_mixed()?,
                false => relation,
            };
            let mut columns = united_columns(&relation, &labels, removal);
            columns.push(lit(number).alias("side"));
            columns.push(value());
            project(relation.plan, columns)
        };
        let plan = LogicalPlanBuilder::from(side(lhs, 0)?)
            .union(side(rhs, 1)?)?
            .build()?;
        // The window wants its input sorted, and DataFusion would push that sort below the union, where keys that one side lacks are
        // constants, and then find the union unsorted. An aggregation by all columns lies between them.
        let mut columns: Vec<Expr> = labels.iter().map(|name| label(name)).collect();
        columns.extend((removal == Removal::Marked).then(|| column(MARK)));
        columns.push(column("side"));
        let merge = CellOp::Merge(Disjoint::Labels);
        let merge = StepAggregate::call(merge, grid.steps, value());
        let plan = aggregate(plan, columns, vec![merge.alias(VALUE)])?;
        let by = keys.iter().map(|key| label(key)).collect();
        let name = self.fresh("masked");
        let args = vec![value(), column("side")];
        let call = MaskWindow::call(MaskOp::Or, grid.steps, args, by, Vec::new());
        let plan = LogicalPlanBuilder::from(plan)
            .window([call.alias(&name)])?
            .build()?;
        // Both sides may have the same series, at different steps.
        let both = Relation {
            unique: false,
            removal,
            ..Relation::new(plan, labels, grid)
        };
        both.with_value(column(&name))?.merged(Disjoint::Labels)
    }
}

/// All rows of several relations. Label sets may come more than once.
pub(super) fn union(relations: Vec<Relation>, grid: StepGrid) -> Result<Relation> {
    let names = relations
        .iter()
        .flat_map(|relation| relation.labels.iter().cloned());
    let mut labels: Vec<String> = names.collect();
    labels.sort_unstable();
    labels.dedup();
    let mixed = relations.iter().any(Relation::is_mixed);
    let removal = Removal::of_union(&relations);
    let mut all: Option<LogicalPlanBuilder> = None;
    for relation in relations {
        let relation = match mixed {
            true => relation.into_mixed()?,
            false => relation,
        };
        let mut columns = united_columns(&relation, &labels, removal);
        columns.push(value());
        let plan = project(relation.plan, columns)?;
        all = Some(match all {
            None => LogicalPlanBuilder::from(plan),
            Some(all) => all.union(plan)?,
        });
    }
    match all {
        None => Relation::nothing(grid),
        Some(all) => Ok(Relation {
            unique: false,
            unique_without_name: false,
            removal,
            ..Relation::new(all.build()?, labels, grid)
        }),
    }
}

/// The columns of a relation, but for its vectors, in a union that has these labels and this removal of names.
fn united_columns(relation: &Relation, labels: &[String], removal: Removal) -> Vec<Expr> {
    let named = |name: &String| relation.label_or_null(name).alias(label_column(name));
    let mut columns: Vec<Expr> = labels.iter().map(named).collect();
    columns.extend((removal == Removal::Marked).then(|| relation.mark().alias(MARK)));
    columns
}

fn masked(
    lhs: Relation,
    rhs: Relation,
    keys: &[String],
    join_type: JoinType,
    op: VectorOp,
) -> Result<Relation> {
    let steps = lhs.grid.steps;
    let mut columns = key_columns(&rhs, keys, "j");
    columns.push(value());
    let right = project(rhs.plan, columns)?;
    let by = keys.iter().map(|key| column(&format!("j:{key}"))).collect();
    let present = StepAggregate::call(CellOp::Group, steps, value());
    let right = aggregate(right, by, vec![present.alias(PRESENT)])?;
    let mut columns = lhs.row_columns();
    columns.extend(key_columns(&lhs, keys, "k"));
    columns.push(value());
    let left = project(lhs.plan.clone(), columns)?;
    let plan = join_on_keys((right, "j"), (left, "k"), join_type, keys)?;
    let args = vec![value(), column(PRESENT)];
    Relation { plan, ..lhs }.with_value(VectorFunction::call(op, steps, args))
}
