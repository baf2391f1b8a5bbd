//! Aggregations: GROUP BY label columns, or a window over them where each series stays itself.

use std::sync::Arc;

use datafusion::logical_expr::{
    Expr as PlanExpr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, SortExpr,
};
use varve_promql::{Aggregate, AggregateOp, Expr};

use super::relation::{Relation, aggregate, column, label, project, value};
use super::scalar::Scalar;
use super::{Needs, Planner};
use crate::aggregates::{CellOp, MaskOp, MaskWindow, RowsAggregate, RowsOp, StepAggregate};
use crate::functions::label::{LabelFunction, LabelOp};
use crate::functions::mark::Decisive;
use crate::functions::{self, note};
use crate::grid::StepGrid;
use crate::vector::{VALUE, label_column};
use crate::{Error, Result};
use varve_storage::METRIC_NAME;

impl Planner<'_> {
    pub(super) fn aggregate(&mut self, node: &Aggregate, grid: StepGrid) -> Result<Relation> {
        let cell = match node.op {
            AggregateOp::Sum => CellOp::Sum,
            AggregateOp::Avg => CellOp::Avg,
            AggregateOp::Count => CellOp::Count,
            AggregateOp::Min => CellOp::Min,
            AggregateOp::Max => CellOp::Max,
            AggregateOp::Group => CellOp::Group,
            AggregateOp::Stddev => CellOp::Stddev,
            AggregateOp::Stdvar => CellOp::Stdvar,
            AggregateOp::Topk => return self.mask(node, MaskOp::Top, grid),
            AggregateOp::Bottomk => return self.mask(node, MaskOp::Bottom, grid),
            AggregateOp::Limitk => return self.mask(node, MaskOp::First, grid),
            AggregateOp::CountValues => return self.count_values(node, grid),
            AggregateOp::Quantile => return self.quantile(node, grid),
            AggregateOp::LimitRatio => return self.limit_ratio(node, grid),
        };
        // A compensated sum has the same bits in any order; means and deviations have not. Their rows come sorted, as Prometheus has them.
        let mixed = self.reads_histograms(&node.expr);
        let in_order = matches!(cell, CellOp::Avg | CellOp::Stddev | CellOp::Stdvar)
            || (mixed && cell == CellOp::Sum);
        let input = match in_order {
            true => self.vector(&node.expr, grid)?,
            false => self.aggregate_input(node, grid)?,
        };
        if input.empty {
            return Ok(input);
        }
        let labels = grouping(node, &input);
        let mut call = match input.is_mixed() {
            false => StepAggregate::call(cell, grid.steps, value()),
            true => {
                let args = (value(), input.label_or_null(METRIC_NAME));
                let notes = self.notes_at(node.expr.without_parens().span());
                StepAggregate::noted(cell, grid.steps, args, notes)
            }
        };
        if in_order {
            call = call.order_by(input.label_order()).build()?;
        }
        input.grouped(labels, call, Decisive::Last)
    }

    /// Whether some selector of an expression reads native histograms.
    fn reads_histograms(&self, expr: &Expr) -> bool {
        let selector = match expr {
            Expr::VectorSelector(selector) => Some(selector.span),
            Expr::MatrixSelector(matrix) => Some(matrix.selector.span),
            _ => None,
        };
        let resolved = selector.and_then(|span| self.resolved.get(span).ok());
        resolved.is_some_and(|resolved| resolved.histograms)
            || expr
                .children()
                .into_iter()
                .any(|e| self.reads_histograms(e))
    }

    /// The argument, with the labels that the grouping needs.
    fn aggregate_input(&mut self, node: &Aggregate, grid: StepGrid) -> Result<Relation> {
        let needs = if node.without {
            Needs::All
        } else {
            Needs::Only(node.grouping.clone())
        };
        self.vector_with(&node.expr, grid, &needs)
    }

    fn parameter(&mut self, node: &Aggregate, grid: StepGrid) -> Result<Arc<[f64]>> {
        match &node.param {
            Some(param) => self.numbers(param.without_parens(), grid),
            None => Err(Error::BadData(format!(
                "{} needs a parameter",
                node.op.as_str()
            ))),
        }
    }

    fn quantile(&mut self, node: &Aggregate, grid: StepGrid) -> Result<Relation> {
        let phi = self.parameter(node, grid)?;
        if let Some(param) = &node.param {
            // Of several quantiles that are none, Prometheus names the greatest and the least, which NaN may hide.
            let greatest = phi.iter().copied().fold(f64::NEG_INFINITY, functions::max);
            let least = phi.iter().copied().fold(f64::INFINITY, functions::min);
            let mut named = vec![greatest.max(0.0), least.min(1.0)];
            named.extend(phi.iter().find(|phi| phi.is_nan()));
            self.note_quantiles(&named, param.without_parens());
        }
        let input = self.aggregate_input(node, grid)?;
        if input.empty {
            return Ok(input);
        }
        let labels = grouping(node, &input);
        let phi = Scalar::operand(&phi)?;
        let op = RowsOp::Quantile(self.notes_at(node.expr.without_parens().span()));
        let call = RowsAggregate::call(op, grid.steps, vec![value(), phi]);
        input.grouped(labels, call, Decisive::Last)
    }

    /// Warns of quantiles that are not between 0 and 1.
    pub(super) fn note_quantiles(&self, numbers: &[f64], written: &Expr) {
        for number in numbers
            .iter()
            .filter(|number| note::is_no_quantile(**number))
        {
            self.annotations
                .warn(&note::quantile_text(*number), written.span());
        }
    }

    /// `topk`, `bottomk`, `limitk`: all labels stay, and samples go.
    fn mask(&mut self, node: &Aggregate, op: MaskOp, grid: StepGrid) -> Result<Relation> {
        let k = self.parameter(node, grid)?;
        if k.iter().copied().fold(f64::NEG_INFINITY, functions::max) < 1.0 {
            return Relation::nothing(grid);
        }
        check_counts(&k)?;
        let input = self.vector(&node.expr, grid)?;
        let order = input.label_order();
        self.windowed(node, op, input, &k, Vec::new(), order)
    }

    /// `limit_ratio`: which series stay does not depend on the others.
    fn limit_ratio(&mut self, node: &Aggregate, grid: StepGrid) -> Result<Relation> {
        let ratios = self.parameter(node, grid)?;
        if ratios.iter().all(|ratio| *ratio == 0.0) {
            return Relation::nothing(grid);
        }
        if ratios.iter().any(|ratio| ratio.is_nan()) {
            return Err(Error::Execution("Ratio value is NaN".to_owned()));
        }
        if let Some(written) = &node.param {
            let ratios = || ratios.iter().copied();
            let greatest = ratios().fold(f64::NEG_INFINITY, functions::max);
            let least = ratios().fold(f64::INFINITY, functions::min);
            for ratio in [greatest, least] {
                let limit = ratio.clamp(-1.0, 1.0);
                if limit != ratio {
                    let ratio = varve_promql::format::format_float_g(ratio);
                    let text = format!(
                        "ratio value should be between -1 and 1, got {ratio}, capping to {limit}"
                    );
                    let place = written.without_parens().span();
                    self.annotations.warn(&text, place);
                }
            }
        }
        let input = self.vector(&node.expr, grid)?;
        let op = LabelOp::Hash {
            names: input.labels.clone(),
        };
        let hash = LabelFunction::call(op, input.label_columns());
        self.windowed(node, MaskOp::Ratio, input, &ratios, vec![hash], Vec::new())
    }

    /// The samples that a window over each group lets through.
    fn windowed(
        &mut self,
        node: &Aggregate,
        op: MaskOp,
        input: Relation,
        parameter: &[f64],
        more: Vec<PlanExpr>,
        order: Vec<SortExpr>,
    ) -> Result<Relation> {
        if input.empty {
            return Ok(input);
        }
        let by = grouping(node, &input);
        let by = by.iter().map(|name| label(name)).collect();
        let name = self.fresh("masked");
        let mut args = vec![value(), Scalar::operand(parameter)?];
        args.extend(more);
        let notes = Some(self.notes_at(node.span));
        let call = MaskWindow::noted(op, input.grid.steps, args, (by, order), notes);
        let plan = LogicalPlanBuilder::from(input.plan.clone())
            .window([call.alias(&name)])?
            .build()?;
        Relation { plan, ..input }.with_value(column(&name))
    }

    fn count_values(&mut self, node: &Aggregate, grid: StepGrid) -> Result<Relation> {
        let target = match node.param.as_deref().map(Expr::without_parens) {
            Some(Expr::StringLiteral(literal)) if literal.is_label_name() => literal.value.clone(),
            Some(Expr::StringLiteral(literal)) => {
                return Err(Error::Execution(format!("invalid label name {literal}")));
            }
            _ => return Err(Error::BadData("count_values needs a label name".to_owned())),
        };
        let dropped = node.grouping.contains(&target) || target == METRIC_NAME;
        if node.without && dropped {
            // The groups do not have the new label either, so that all values of a group count together.
            let count = Aggregate {
                op: AggregateOp::Count,
                param: None,
                ..node.clone()
            };
            return self.aggregate(&count, grid);
        }
        let input = self.aggregate_input(node, grid)?;
        if input.empty {
            return Ok(input);
        }
        let mut labels = grouping(node, &input);
        labels.retain(|name| *name != target);
        let by = labels.iter().map(|name| label(name)).collect();
        let call = RowsAggregate::call(RowsOp::CountValues, grid.steps, vec![value()]);
        self.unlisted(input.plan, by, call, labels, &target, grid)
    }

    /// An aggregation that gives lists of label values with vectors, as a row for each item; `target` becomes the label.
    pub(super) fn unlisted(
        &mut self,
        plan: LogicalPlan,
        by: Vec<PlanExpr>,
        call: PlanExpr,
        mut labels: Vec<String>,
        target: &str,
        grid: StepGrid,
    ) -> Result<Relation> {
        let pairs = self.fresh("listed");
        let plan = aggregate(plan, by, vec![call.alias(&pairs)])?;
        let unnest = |plan| -> Result<_> {
            let column = datafusion::common::Column::new_unqualified(&pairs);
            Ok(LogicalPlanBuilder::from(plan)
                .unnest_column(column)?
                .build()?)
        };
        // The list becomes rows, then the struct becomes columns.
        let plan = unnest(unnest(plan)?)?;
        labels.push(target.to_owned());
        labels.sort_unstable();
        labels.dedup();
        // DataFusion holds on to what was true before the lists became rows: that the groups' labels determine all else. It
        // forgets it with one label that may be another.
        let mut groups = labels.iter().filter(|name| *name != target);
        let blurred = groups.next().cloned();
        let blur = |name: &str| {
            let join = LabelOp::Join {
                separator: String::new(),
            };
            LabelFunction::call(join, vec![label(name)]).alias(label_column(name))
        };
        let mut columns: Vec<_> = labels
            .iter()
            .map(|name| match *name == target {
                true => column(&format!("{pairs}.label")).alias(label_column(name)),
                false if blurred.as_ref() == Some(name) => blur(name),
                false => label(name),
            })
            .collect();
        columns.push(column(&format!("{pairs}.value")).alias(VALUE));
        Ok(Relation::new(project(plan, columns)?, labels, grid))
    }
}

/// The labels of the groups.
fn grouping(node: &Aggregate, input: &Relation) -> Vec<String> {
    let listed = |label: &str| node.grouping.iter().any(|name| name == label);
    let labels = input.labels.iter();
    match node.without {
        true => labels
            .filter(|l| !listed(l) && *l != METRIC_NAME)
            .cloned()
            .collect(),
        false => labels.filter(|l| listed(l)).cloned().collect(),
    }
}

/// Counts that no step may have, whether or not it has samples.
fn check_counts(numbers: &[f64]) -> Result<()> {
    match numbers.iter().any(|n| n.is_nan()) {
        true => Err(Error::Execution("Parameter value is NaN".to_owned())),
        false => Ok(()),
    }
}
