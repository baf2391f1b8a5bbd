//! `label_replace` and `label_join`.

use datafusion::logical_expr::Expr as PlanExpr;
use regex::Regex;
use varve_promql::Call;
use varve_promql::regex::anchored_regex;
use varve_storage::METRIC_NAME;

use super::Planner;
use super::names::{MARK, Removal};
use super::relation::{Relation, label, no_label, project, value};
use crate::aggregates::Disjoint;
use crate::functions::label::{LabelFunction, LabelOp, Pattern};
use crate::grid::StepGrid;
use crate::vector::label_column;
use crate::{Error, Result};

impl Planner<'_> {
    pub(super) fn label_replace(&mut self, call: &Call, grid: StepGrid) -> Result<Relation> {
        let target = self.label_arg(call, 1, "destination")?;
        let template = self.string_arg(call, 2)?.to_owned();
        let source = self.string_arg(call, 3)?;
        let text = self.string_arg(call, 4)?;
        let is_utf8 = self.string_literal(call, 4)?.invalid_utf8.is_none();
        let invalid = || {
            Error::Execution(format!(
                "invalid regular expression in label_replace(): {text}"
            ))
        };
        if !is_utf8 {
            return Err(invalid());
        }
        let pattern = anchored_regex(text).map_err(|_| invalid())?;
        let regex = Regex::new(&pattern).map_err(|_| invalid())?;
        let vector = self.vector_arg(call, 0, grid)?;
        let args = vec![vector.label_or_null(target), vector.label_or_null(source)];
        let pattern = Pattern::new(regex);
        let op = LabelOp::Replace {
            pattern: pattern.clone(),
            template,
        };
        let text = LabelFunction::call(op, args);
        // Where the name is set anew it stays. The text of a pattern that does not match is empty here, which is the absent label.
        let mark = (target == METRIC_NAME).then(|| {
            let template = "set".to_owned();
            let args = vec![no_label(), vector.label_or_null(source)];
            let set = LabelFunction::call(LabelOp::Replace { pattern, template }, args);
            vector.mark().and(set.is_null())
        });
        relabelled(vector, target, text, mark)
    }

    pub(super) fn label_join(&mut self, call: &Call, grid: StepGrid) -> Result<Relation> {
        let target = self.label_arg(call, 1, "destination")?;
        let separator = self.string_arg(call, 2)?.to_owned();
        let sources = (3..call.args.len()).map(|index| self.label_arg(call, index, "source"));
        let sources = sources.collect::<Result<Vec<&str>>>()?;
        let vector = self.vector_arg(call, 0, grid)?;
        let args: Vec<PlanExpr> = sources.iter().map(|s| vector.label_or_null(s)).collect();
        let text = LabelFunction::call(LabelOp::Join { separator }, args);
        let removal = match target {
            METRIC_NAME => Removal::None,
            _ => vector.removal,
        };
        relabelled(Relation { removal, ..vector }, target, text, None)
    }

    /// A string argument that must be a label name: not empty, and UTF-8.
    fn label_arg<'e>(&self, call: &'e Call, index: usize, role: &str) -> Result<&'e str> {
        let literal = self.string_literal(call, index)?;
        match literal.is_label_name() {
            true => Ok(&literal.value),
            false => Err(Error::Execution(format!(
                "invalid {role} label name in {}(): {}",
                call.function.name, literal.value
            ))),
        }
    }
}

/// The rows with one label set anew; rows that become one are merged. `mark` says for which rows names still go at the end, if that changes.
fn relabelled(
    vector: Relation,
    target: &str,
    text: PlanExpr,
    mark: Option<PlanExpr>,
) -> Result<Relation> {
    if vector.empty {
        return Ok(vector);
    }
    // Names that stay in any case need no marks.
    let mark = mark.filter(|_| vector.removal != Removal::None);
    let removal = match mark {
        Some(_) => Removal::Marked,
        None => vector.removal,
    };
    let added = !vector.has(target);
    let mut labels = vector.labels.clone();
    if added {
        labels.push(target.to_owned());
        labels.sort_unstable();
    }
    let mut columns: Vec<PlanExpr> = labels
        .iter()
        .map(|name| match name == target {
            true => text.clone().alias(label_column(name)),
            false => label(name),
        })
        .collect();
    columns.extend(
        mark.map(|mark| mark.alias(MARK))
            .or_else(|| vector.mark_column()),
    );
    columns.push(value());
    let plan = project(vector.plan.clone(), columns)?;
    // A label that is added cannot make two series one.
    let relation = Relation {
        unique: added && vector.unique,
        unique_without_name: added && vector.unique_without_name,
        removal,
        ..Relation::new(plan, labels, vector.grid)
    };
    relation.merged(Disjoint::Labels)
}
