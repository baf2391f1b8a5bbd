//! `fill`, `fill_left`, `fill_right`: samples without a partner are given one.
//!
//! ```text
//! many ⋈ one                                   pairs
//! many, where no `one` has its key at the step  a pair with the number that fills `one`
//! one, where no `many` has its key at the step  a pair with the number that fills `many`; labels are those of the match group
//! ```
//!
//! The result is the union of the three, which can have one label set at different steps.

use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, lit};
use varve_promql::{Binary, Cardinality, VectorMatching};

use super::Planner;
use super::matching::{ONE, join_on_keys, key_columns, match_keys};
use super::relation::{Relation, aggregate, column, no_label, project, value};
use super::set::union;
use crate::Result;
use crate::aggregates::{CellOp, Disjoint, StepAggregate};
use crate::functions::{VectorFunction, VectorOp};
use crate::grid::StepGrid;
use crate::vector::{VALUE, label_column};

const PRESENT: &str = "present";

impl Planner<'_> {
    pub(super) fn filled(
        &mut self,
        node: &Binary,
        matching: &VectorMatching,
        (lhs, rhs): (Relation, Relation),
        grid: StepGrid,
    ) -> Result<Relation> {
        let keys = match_keys(matching, &lhs, &rhs);
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let fill = matching.fill;
        let (many, one, side) = match swapped {
            true => (rhs, lhs, "left"),
            false => (lhs, rhs, "right"),
        };
        // With `group_right` too: Prometheus has exchanged the sides by then, and not the numbers.
        let (of_many, of_one) = (fill.lhs, fill.rhs);
        let mut parts = Vec::new();
        let with_key = |mut columns: Vec<Expr>| {
            columns.extend(key_columns(&many, &keys, "k"));
            columns
        };
        let mut left = None;
        if !many.empty {
            let columns = with_key([many.label_columns(), vec![value()]].concat());
            left = Some(project(many.plan.clone(), columns)?);
        }
        let mut right = None;
        if !one.empty {
            let merged = self.one_side(one.clone(), None, &keys, &matching.include, side)?;
            right = Some(merged);
        }
        if let (Some(left), Some(right)) = (&left, &right) {
            let pairs = join_on_keys(
                (right.clone(), "j"),
                (left.clone(), "k"),
                JoinType::Inner,
                &keys,
            )?;
            parts.push(self.combine(node, matching, &many, pairs, &keys, grid)?);
        }
        if let (Some(left), Some(number)) = (&left, of_one) {
            let keyed = (one.label_keys(&keys), one.plan.clone(), one.empty);
            let left = without_partner(left.clone(), value(), keyed, ("k", "j"), &keys, grid)?;
            let mut columns = with_columns(&left, |name| name != VALUE);
            columns.extend([value(), lit(number).alias(ONE)]);
            let none = |name: &String| no_label().alias(format!("i:{name}"));
            columns.extend(matching.include.iter().map(none));
            let pairs = project(left, columns)?;
            parts.push(self.combine(node, matching, &many, pairs, &keys, grid)?);
        }
        if let (Some(right), Some(number)) = (&right, of_many) {
            let keyed = (many.label_keys(&keys), many.plan.clone(), many.empty);
            let right =
                without_partner(right.clone(), column(ONE), keyed, ("j", "k"), &keys, grid)?;
            let mut columns = with_columns(&right, |name| name != ONE && !name.starts_with("j:"));
            for key in &keys {
                columns.push(column(&format!("j:{key}")).alias(label_column(key)));
                columns.push(column(&format!("j:{key}")).alias(format!("k:{key}")));
            }
            columns.extend([lit(number).alias(VALUE), column(ONE)]);
            let pairs = project(right, columns)?;
            let group = Relation::new(pairs.clone(), keys.clone(), grid);
            parts.push(self.combine(node, matching, &group, pairs, &keys, grid)?);
        }
        match parts.len() {
            0 => Relation::nothing(grid),
            1 => parts.remove(0).merged(Disjoint::Labels),
            _ => union(parts, grid)?.merged(Disjoint::Labels),
        }
    }
}

/// The columns of a plan that are chosen by name, as they are.
fn with_columns(plan: &LogicalPlan, chosen: impl Fn(&str) -> bool) -> Vec<Expr> {
    let names = plan.schema().fields().iter().map(|field| field.name());
    names
        .filter(|name| chosen(name))
        .map(|name| column(name))
        .collect()
}

/// A plan whose vectors have no samples at steps at which the other side has one with their key.
fn without_partner(
    plan: LogicalPlan,
    vectors: Expr,
    (other_keys, other, other_empty): (Vec<Expr>, LogicalPlan, bool),
    (prefix, other_prefix): (&str, &str),
    keys: &[String],
    grid: StepGrid,
) -> Result<LogicalPlan> {
    if other_empty {
        return Ok(plan);
    }
    let name = vectors.schema_name().to_string();
    let rest = with_columns(&plan, |column| column != name);
    let named = |(key, expr): (&String, Expr)| expr.alias(format!("{other_prefix}:{key}"));
    let mut columns: Vec<Expr> = keys.iter().zip(other_keys).map(named).collect();
    columns.push(value());
    let other = project(other, columns)?;
    let by = keys
        .iter()
        .map(|key| column(&format!("{other_prefix}:{key}")));
    let present = StepAggregate::call(CellOp::Group, grid.steps, value());
    let other = aggregate(other, by.collect(), vec![present.alias(PRESENT)])?;
    let joined = join_on_keys((other, other_prefix), (plan, prefix), JoinType::Right, keys)?;
    let masked = VectorFunction::call(
        VectorOp::WhereNot,
        grid.steps,
        vec![vectors, column(PRESENT)],
    );
    let mut columns = rest;
    columns.push(masked.alias(name));
    project(joined, columns)
}
