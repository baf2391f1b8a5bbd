//! `histogram_quantile` and `histogram_fraction` on classic buckets: GROUP BY all labels but `le`.

use std::sync::Arc;

use varve_promql::Call;

use super::Planner;
use super::relation::{Relation, aggregate, label, value};
use super::scalar::Scalar;
use crate::Result;
use crate::aggregates::{BUCKET_SEPARATOR, Notes, RowsAggregate, RowsOp};
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
            annotations: self.annotations.clone(),
            span: self.arg(call, index)?.span(),
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
        let vector = self.vector_arg(call, index, grid)?;
        if vector.empty {
            return Ok(vector);
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
        let by = labels.iter().map(|name| label(name)).collect();
        let call = RowsAggregate::call(op, grid.steps, args);
        let plan = aggregate(vector.plan, by, vec![call.alias(VALUE)])?;
        Relation::new(plan, labels, grid).without_name()
    }
}
