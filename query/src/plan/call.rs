//! Calls of functions that give a vector.

use datafusion::logical_expr::Expr as PlanExpr;
use varve_promql::{Call, Expr, VectorSelector};

use super::relation::{Relation, value};
use super::scalar::Scalar;
use super::selectors::Leaf;
use super::{Needs, Planner};
use crate::functions::{DatePart, MathFunction, Statistic, VectorFunction, VectorOp};
use crate::grid::StepGrid;
use crate::kernels::{Lookback, RangeFunction};
use crate::selector::Evaluation;
use crate::{Error, Result};

impl Planner<'_> {
    pub(super) fn call(&mut self, call: &Call, grid: StepGrid, needs: &Needs) -> Result<Relation> {
        let name = call.function.name;
        if let Some(function) = RangeFunction::from_name(name) {
            return self.range_call(call, function, grid, needs);
        }
        if let Some(function) = MathFunction::from_name(name) {
            return self.element_wise(call, VectorOp::Math(function), &[], grid, needs);
        }
        if let Some(part) = DatePart::from_name(name) {
            return self.date(call, part, grid, needs);
        }
        if let Some(statistic) = Statistic::from_name(name) {
            return self.element_wise(call, VectorOp::Statistic(statistic), &[], grid, needs);
        }
        match name {
            "clamp" => self.element_wise(call, VectorOp::Clamp, &[1, 2], grid, needs),
            "clamp_min" => self.element_wise(call, VectorOp::ClampMin, &[1], grid, needs),
            "clamp_max" => self.element_wise(call, VectorOp::ClampMax, &[1], grid, needs),
            "round" => self.element_wise(call, VectorOp::Round, &[1], grid, needs),
            "timestamp" => self.timestamp(call, grid, needs),
            "start_timestamp" => self.start_timestamp(call, grid, needs),
            "vector" => {
                let scalar = self.scalar_arg(call, 0, grid)?;
                self.vector_of(scalar, grid)
            }
            "info" => self.info(call, grid),
            "absent" => self.absent(call, grid),
            "absent_over_time" => self.absent_over_time(call, grid),
            "label_replace" => self.label_replace(call, grid),
            "label_join" => self.label_join(call, grid),
            // The order of a result is the engine's business; inside of a query it means nothing.
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
                if self.query.steps > 1 {
                    let text = "sort is ineffective for range queries since results are always ordered by labels";
                    self.annotations.warn(text, call.span);
                }
                let vector = self.vector_arg(call, 0, grid)?;
                // Only floats have an order.
                match name.starts_with("sort_by_label") || !vector.is_mixed() {
                    true => Ok(vector),
                    false => {
                        let floats =
                            VectorFunction::call(VectorOp::Floats, grid.steps, vec![value()]);
                        vector.with_value(floats)
                    }
                }
            }
            "histogram_quantile" => self.histogram_quantile(call, grid),
            "histogram_quantiles" => self.histogram_quantiles(call, grid),
            "histogram_fraction" => self.histogram_fraction(call, grid),
            other => Err(Error::NotSupported(format!("function {other}"))),
        }
    }

    /// A function of each sample with scalar arguments at the given places; a missing argument is 1.
    fn element_wise(
        &mut self,
        call: &Call,
        op: VectorOp,
        scalars: &[usize],
        grid: StepGrid,
        needs: &Needs,
    ) -> Result<Relation> {
        let arg = self.arg(call, 0)?;
        let vector = self.vector_with(arg, grid, needs)?;
        if vector.empty {
            return Ok(vector);
        }
        let mut plan = vector.plan.clone();
        let mut args: Vec<PlanExpr> = vec![value()];
        for index in scalars {
            let scalar = match call.args.get(*index) {
                Some(arg) => self.scalar(arg, grid)?,
                None => Scalar::constant(1.0, grid),
            };
            let (joined, scalar) = self.join_scalar(plan, scalar)?;
            plan = joined;
            args.push(scalar);
        }
        let result = VectorFunction::call(op, grid.steps, args);
        self.unnamed(Relation { plan, ..vector }.with_value(result)?)
    }

    /// A part of the date of each sample's value, or of the step's time.
    fn date(
        &mut self,
        call: &Call,
        part: DatePart,
        grid: StepGrid,
        needs: &Needs,
    ) -> Result<Relation> {
        if !call.args.is_empty() {
            return self.element_wise(call, VectorOp::Date(part), &[], grid, needs);
        }
        let seconds: Vec<f64> = grid.times_ms().map(|ms| ms as f64 / 1000.0).collect();
        let now = Relation::one_row(Scalar::vector_literal(&seconds)?, grid)?;
        let call = VectorFunction::call(VectorOp::Date(part), grid.steps, vec![value()]);
        now.with_value(call)
    }

    /// The time of each sample: of the raw sample for a selector, else of the step.
    fn timestamp(&mut self, call: &Call, grid: StepGrid, needs: &Needs) -> Result<Relation> {
        let arg = self.arg(call, 0)?;
        if let Expr::VectorSelector(selector) = arg.without_parens()
            && !selector.smoothed
        {
            return self.times_of(selector, Lookback::Timestamp, grid, needs);
        }
        let vector = self.vector_with(arg, grid, needs)?;
        let times = VectorFunction::call(VectorOp::StepTime(grid), grid.steps, vec![value()]);
        self.unnamed(vector.with_value(times)?)
    }

    /// The start timestamp of each raw sample of a selector. Results of expressions have none, and without the option nothing has.
    fn start_timestamp(&mut self, call: &Call, grid: StepGrid, needs: &Needs) -> Result<Relation> {
        let arg = self.arg(call, 0)?;
        if let Expr::VectorSelector(selector) = arg.without_parens()
            && self.settings.use_start_timestamps
        {
            return self.times_of(selector, Lookback::Start, grid, needs);
        }
        // What is wrong with the expression is said all the same.
        self.vector_with(arg, grid, needs)?;
        Relation::nothing(grid)
    }

    /// A time of each raw sample of a selector.
    fn times_of(
        &mut self,
        selector: &VectorSelector,
        time: Lookback,
        grid: StepGrid,
        needs: &Needs,
    ) -> Result<Relation> {
        let evaluation = Evaluation::Instant(time);
        let lookback_ms = self.settings.lookback_ms;
        let leaf = Leaf::of(selector, &evaluation, (lookback_ms, 0), selector.span)?;
        let times = self.leaf(&leaf, grid, needs)?;
        self.unnamed(times)
    }
}
