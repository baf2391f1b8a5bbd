//! Arithmetic and comparison between two vectors: JOIN on label columns.
//!
//! ```text
//! many ──────────────────────────── project keys k:… ─┐
//!                                                     JOIN k:… = j:… (null equals null) ─ op ─ merge by result labels
//! one ─ fail on two at a step ─ merge by key ─ j:… ───┘
//! ```
//!
//! The side that may have one series per match group ("one") is checked and merged step by step before the join; the other
//! side ("many") is checked after it, among the samples that found a partner, and before a comparison drops any. Checks
//! and merges are left out where resolved series prove that they cannot find anything.
//!
//! Two series of the "one" side in a match group are an error only at steps at which the "many" side has any sample. To know them, the
//! "many" side must be computed twice. So a plan fails at any step first, and the engine then makes it again with
//! [`Planner::lenient`] set, which looks.

use std::sync::Arc;

use datafusion::common::{Column, NullEquality};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder};
use varve_promql::{Binary, Cardinality, VectorMatching};

use super::Planner;
use super::binary::drops_name;
use super::names::Removal;
use super::relation::{Relation, aggregate, column, is_metadata, label, project, value};
use super::selectors::is_name;
use crate::aggregates::{CellOp, Disjoint, MaskOp, MaskWindow, StepAggregate};
use crate::functions::label::{LabelFunction, LabelOp};
use crate::functions::{Keep, VectorFunction, VectorOp};
use crate::grid::StepGrid;
use crate::selector::unique_under;
use crate::vector::{VALUE, label_column};
use crate::{Error, Result};
use varve_storage::SeriesRef;

/// The vectors of the "one" side after the join.
pub(super) const ONE: &str = "one";

/// The labels on which two relations are matched, ascending.
pub(super) fn match_keys(matching: &VectorMatching, lhs: &Relation, rhs: &Relation) -> Vec<String> {
    let listed = |label: &str| matching.labels.iter().any(|name| name == label);
    let mut keys: Vec<String> = lhs.labels.iter().chain(&rhs.labels).cloned().collect();
    keys.retain(|label| match matching.on {
        true => listed(label),
        false => !listed(label) && !is_name(label),
    });
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The key columns of a relation under a prefix of their own.
pub(super) fn key_columns(relation: &Relation, keys: &[String], prefix: &str) -> Vec<Expr> {
    let named = |key: &String| relation.label_or_null(key).alias(format!("{prefix}:{key}"));
    keys.iter().map(named).collect()
}

/// Joins rows with a plan that has few rows per key, on key columns of these prefixes.
///
/// The latter comes first, because DataFusion holds the first side in memory and lets the other one stream past; without statistics of
/// vectors it does not exchange them. [`JoinType::Right`] keeps rows without a partner.
pub(super) fn join_on_keys(
    (few, few_prefix): (LogicalPlan, &str),
    (rows, prefix): (LogicalPlan, &str),
    join_type: JoinType,
    keys: &[String],
) -> Result<LogicalPlan> {
    let few = LogicalPlanBuilder::from(few);
    if keys.is_empty() {
        // Without a key there is one row of the few, so that this is an outer join, too.
        return Ok(few.cross_join(rows)?.build()?);
    }
    let columns = |prefix: &str| -> Vec<Column> {
        let name = |key| Column::new_unqualified(format!("{prefix}:{key}"));
        keys.iter().map(name).collect()
    };
    let on = (columns(few_prefix), columns(prefix));
    let join = few.join_detailed(rows, join_type, on, None, NullEquality::NullEqualsNull)?;
    Ok(join.build()?)
}

/// Whether no two series of a relation have the same keys: by its labels, or because its series were looked at one by one.
fn unique_by(relation: &Relation, keys: &[String]) -> bool {
    let keyed = |label: &String| keys.contains(label);
    let all = relation.labels.iter().all(keyed);
    let all_but_name = relation.labels.iter().all(|l| keyed(l) || is_name(l));
    // A label that the relation no longer has tells nothing apart.
    let kept = |name: &str| relation.has(name) && keys.iter().any(|key| key == name);
    let differ = |series: &Arc<[SeriesRef]>| unique_under(series, kept);
    (relation.unique && all)
        || (relation.unique_without_name && all_but_name)
        || relation.series.as_ref().is_some_and(differ)
}

impl Planner<'_> {
    pub(super) fn matched(&mut self, node: &Binary, grid: StepGrid) -> Result<Relation> {
        let Some(matching) = &node.matching else {
            return Err(Error::BadData("two vectors without matching".to_owned()));
        };
        let lhs = self.vector(&node.lhs, grid)?;
        let rhs = self.vector(&node.rhs, grid)?;
        if matching.fill.lhs.is_some() || matching.fill.rhs.is_some() {
            return self.filled(node, matching, (lhs, rhs), grid);
        }
        if lhs.empty || rhs.empty {
            return Relation::nothing(grid);
        }
        let keys = match_keys(matching, &lhs, &rhs);
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one, side) = match swapped {
            true => (rhs, lhs, "left"),
            false => (lhs, rhs, "right"),
        };
        let one = self.one_side(one, Some(&many), &keys, &matching.include, side)?;
        let mut columns = many.label_columns();
        columns.extend(key_columns(&many, &keys, "k"));
        columns.push(value());
        let left = project(many.plan.clone(), columns)?;
        let plan = join_on_keys((one, "j"), (left, "k"), JoinType::Inner, &keys)?;
        self.combine(node, matching, &many, plan, &keys, grid)
    }

    /// The "one" side: one row per key (and included labels), the key as `j:…`, included labels as `i:…`. Duplicates matter at the steps at
    /// which the "many" side has samples, or at all steps if it is not given.
    pub(super) fn one_side(
        &mut self,
        one: Relation,
        many: Option<&Relation>,
        keys: &[String],
        include: &[String],
        side: &'static str,
    ) -> Result<LogicalPlan> {
        let steps = one.grid.steps;
        let mut columns = key_columns(&one, keys, "j");
        let included = |name: &String| one.label_or_null(name).alias(format!("i:{name}"));
        columns.extend(include.iter().map(included));
        if unique_by(&one, keys) {
            columns.push(value().alias(ONE));
            return project(one.plan, columns);
        }
        let text = |names: &[String]| {
            let args = names.iter().map(|name| one.label_or_null(name)).collect();
            let op = LabelOp::Text {
                names: names.to_vec(),
            };
            LabelFunction::call(op, args)
        };
        columns.push(text(keys).alias("group_text"));
        columns.push(text(&one.labels).alias("series_text"));
        columns.push(value());
        let mut plan = project(one.plan.clone(), columns)?;
        let mut args = vec![value(), column("group_text"), column("series_text")];
        if let (Some(many), true) = (many, self.lenient) {
            let present = StepAggregate::call(CellOp::Group, steps, value());
            let many = aggregate(
                many.plan.clone(),
                Vec::new(),
                vec![present.alias("present")],
            )?;
            // The one row comes first, as in [`join_on_keys`].
            plan = LogicalPlanBuilder::from(many).cross_join(plan)?.build()?;
            args.push(column("present"));
        }
        let key = |key: &String| column(&format!("j:{key}"));
        let call = MaskWindow::call(
            MaskOp::One { side },
            steps,
            args,
            keys.iter().map(key).collect(),
            vec![column("series_text").sort(true, true)],
        );
        let plan = LogicalPlanBuilder::from(plan)
            .window([call.alias(ONE)])?
            .build()?;
        let mut by: Vec<Expr> = keys.iter().map(key).collect();
        by.extend(include.iter().map(|name| column(&format!("i:{name}"))));
        let merge = CellOp::Merge(Disjoint::Labels);
        let merge = StepAggregate::call(merge, steps, column(ONE));
        aggregate(plan, by, vec![merge.alias(ONE)])
    }

    /// From joined pairs to the result.
    pub(super) fn combine(
        &mut self,
        node: &Binary,
        matching: &VectorMatching,
        many: &Relation,
        joined: LogicalPlan,
        keys: &[String],
        grid: StepGrid,
    ) -> Result<Relation> {
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        // Prometheus does not ask here whether the names of the operands were to go.
        let delayed = self.settings.delayed_name_removal;
        let labels = result_labels(node, matching, many, delayed);
        let columns: Vec<Expr> = labels
            .iter()
            .map(|name| match matching.include.contains(name) {
                true => column(&format!("i:{name}")).alias(label_column(name)),
                false => label(name),
            })
            .collect();
        let (many_value, one_value) = (value(), column(ONE));
        let (a, b) = match matching.cardinality {
            Cardinality::OneToMany => (one_value, many_value),
            _ => (many_value, one_value),
        };
        let steps = grid.steps;
        let op = VectorOp::Binary {
            op: node.op,
            return_bool: node.return_bool,
            keep: Keep::Left,
            notes: self.notes_at(node.span),
        };
        let kept: Vec<String> = labels
            .iter()
            .filter(|name| !matching.include.contains(name))
            .cloned()
            .collect();
        // Types and units are matched, and arithmetic takes them away: results of several match groups may be one series.
        let may_meet = one_to_one
            && keys
                .iter()
                .any(|key| is_metadata(key) && !labels.contains(key));
        let proven = match one_to_one {
            true => unique_by(many, keys) && !may_meet,
            false => unique_by(many, &kept),
        };
        let why = match one_to_one {
            true => Disjoint::OneToOne,
            false => Disjoint::Grouping,
        };
        let with = |mut columns: Vec<Expr>, more: Vec<Expr>| {
            columns.extend(more);
            columns
        };
        let merge = |name: &str| {
            let why = if may_meet { Disjoint::Labels } else { why };
            StepAggregate::call(CellOp::Merge(why), steps, column(name))
        };
        let by_labels = |labels: &[String]| labels.iter().map(|name| label(name)).collect();
        let by: Vec<Expr> = by_labels(&labels);
        // Whether the result may have names in which two series of a match group differ.
        let keeps_names = node.op.is_comparison() && (delayed || !node.return_bool);
        let plan = if proven {
            let result = VectorFunction::call(op, steps, vec![a, b]);
            project(joined, with(columns, vec![result.alias(VALUE)]))?
        } else if keeps_names || may_meet {
            // Pairs are checked before the comparison drops any.
            let both = |x: &Expr, y: &Expr| {
                VectorFunction::call(VectorOp::Where, steps, vec![x.clone(), y.clone()])
            };
            let pairs = vec![both(&a, &b).alias("a"), both(&b, &a).alias("b")];
            let mut columns = columns;
            let key = |key: &String| column(&format!("k:{key}"));
            columns.extend(keys.iter().map(key));
            let mut plan = project(joined, with(columns, pairs))?;
            if one_to_one {
                // The result may keep the names that two series of a match group differ in.
                let check = MaskOp::Alone(why);
                let by = keys.iter().map(key).collect();
                let checked = MaskWindow::call(check, steps, vec![column("a")], by, Vec::new());
                let window = LogicalPlanBuilder::from(plan).window([checked.alias("c")])?;
                let labels = by_labels(&labels);
                plan = project(
                    window.build()?,
                    with(labels, vec![column("c").alias("a"), column("b")]),
                )?;
            }
            let merged = vec![merge("a").alias("a"), merge("b").alias("b")];
            let plan = aggregate(plan, by.clone(), merged)?;
            let result = VectorFunction::call(op, steps, vec![column("a"), column("b")]);
            project(plan, with(by, vec![result.alias(VALUE)]))?
        } else {
            let result = VectorFunction::call(op, steps, vec![a, b]);
            let plan = project(joined, with(columns, vec![result.alias(VALUE)]))?;
            aggregate(plan, by, vec![merge(VALUE).alias(VALUE)])?
        };
        let removal = match delayed && node.return_bool {
            true => Removal::All,
            false => Removal::None,
        };
        Ok(Relation {
            removal,
            ..Relation::new(plan, labels, grid)
        })
    }
}

/// The labels of the result: the match key for one-to-one, else those of the "many" side with the included ones.
fn result_labels(
    node: &Binary,
    matching: &VectorMatching,
    many: &Relation,
    delayed: bool,
) -> Vec<String> {
    let listed = |label: &str| matching.labels.iter().any(|name| name == label);
    let mut labels = many.labels.clone();
    // Arithmetic takes them away at once in any case.
    if drops_name(node) && !(delayed && node.return_bool) {
        labels.retain(|label| !is_metadata(label));
    }
    if matching.cardinality == Cardinality::OneToOne {
        labels.retain(|label| listed(label) == matching.on);
    } else {
        labels.extend(matching.include.iter().cloned());
        labels.sort_unstable();
        labels.dedup();
    }
    labels
}
