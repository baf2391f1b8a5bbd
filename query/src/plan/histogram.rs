//! `histogram_quantile` and `histogram_fraction` on classic buckets: GROUP BY all labels but `le`.

use std::sync::Arc;

use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan};
use varve_promql::Call;

use super::Planner;
use super::relation::{Relation, aggregate, label, value};
use super::scalar::Scalar;
use crate::Result;
use crate::aggregates::{BUCKET_SEPARATOR, Disjoint, Notes, RowsAggregate, RowsOp};
use crate::functions::label::{LabelFunction, LabelOp};
use crate::grid::StepGrid;
use crate::vector::VALUE;
use varve_storage::METRIC_NAME;

/// The label with a bucket's upper bound.
const BUCKET_LABEL: &str = "le";

impl Planner<'_> {
    pub(super) fn histogram_quantile(&mut self, call: &Call, grid: StepGrid) -> Result<Relation> {
        let phi = self.numbers(self.arg(call, 0)?, grid)?;
        self.note_quantiles(&phi, self.arg(call, 0)?);
        let op = RowsOp::HistogramQuantile(self.notes(call, 1, grid)?);
        self.buckets(call, 1, op, vec![phi], grid)
    }

    pub(super) fn histogram_quantiles(&mut self, call: &Call, grid: StepGrid) -> Result<Relation> {
        let target = self.string_arg(call, 1)?.to_owned();
        let mut parameters = Vec::new();
        for index in 2..call.args.len() {
            let written = self.arg(call, index)?;
            let phi = self.numbers(written, grid)?;
            self.note_quantiles(&phi, written);
            parameters.push(phi);
        }
        let op = RowsOp::HistogramQuantiles {
            notes: self.notes(call, 0, grid)?,
            count: parameters.len(),
        };
        let Some(groups) = self.bucket_groups(call, 0, parameters, grid)? else {
            return Relation::nothing(grid);
        };
        let by = groups.labels.iter().map(|name| label(name)).collect();
        let call = RowsAggregate::call(op, grid.steps, groups.args);
        let relation = self.unlisted(groups.plan, by, call, groups.labels, &target, grid)?;
        let replaced = Relation {
            unique: false,
            unique_without_name: false,
            ..relation
        };
        self.unnamed(replaced)?.merged(Disjoint::Labels)
    }

    pub(super) fn histogram_fraction(&mut self, call: &Call, grid: StepGrid) -> Result<Relation> {
        let bounds = vec![
            self.numbers(self.arg(call, 0)?, grid)?,
            self.numbers(self.arg(call, 1)?, grid)?,
        ];
        let op = RowsOp::HistogramFraction(self.notes(call, 2, grid)?);
        self.buckets(call, 2, op, bounds, grid)
    }

    fn notes(&self, call: &Call, index: usize, grid: StepGrid) -> Result<Notes> {
        Ok(Notes {
            at: self.notes_at(self.arg(call, index)?.span()),
            grid,
        })
    }

    fn buckets(
        &mut self,
        call: &Call,
        index: usize,
        op: RowsOp,
        parameters: Vec<Arc<[f64]>>,
        grid: StepGrid,
    ) -> Result<Relation> {
        let Some(groups) = self.bucket_groups(call, index, parameters, grid)? else {
            return Relation::nothing(grid);
        };
        let by = groups.labels.iter().map(|name| label(name)).collect();
        let call = RowsAggregate::call(op, grid.steps, groups.args);
        let plan = aggregate(groups.plan, by, vec![call.alias(VALUE)])?;
        self.unnamed(Relation::new(plan, groups.labels, grid))
    }

    /// The argument with the buckets; `None` if it is empty.
    fn bucket_groups(
        &mut self,
        call: &Call,
        index: usize,
        parameters: Vec<Arc<[f64]>>,
        grid: StepGrid,
    ) -> Result<Option<BucketGroups>> {
        let vector = self.vector_arg(call, index, grid)?;
        if vector.empty {
            return Ok(None);
        }
        let mut args = vec![value()];
        for parameter in parameters {
            args.push(Scalar::operand(&parameter)?);
        }
        let bucket = [BUCKET_LABEL, METRIC_NAME].map(|name| vector.label_or_null(name));
        let separator = BUCKET_SEPARATOR.to_string();
        args.push(LabelFunction::call(
            LabelOp::Join { separator },
            bucket.to_vec(),
        ));
        let mut labels = vector.labels;
        labels.retain(|name| name != BUCKET_LABEL);
        Ok(Some(BucketGroups {
            plan: vector.plan,
            labels,
            args,
        }))
    }
}

/// Buckets, and how they are put together.
struct BucketGroups {
    plan: LogicalPlan,
    /// The labels of a histogram.
    labels: Vec<String>,
    /// The arguments of the aggregation.
    args: Vec<PlanExpr>,
}
