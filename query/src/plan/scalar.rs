//! Scalars of PromQL: one number per step, without labels.
//!
//! Most are known while the plan is made, because the grid is: literals, `time()`, arithmetic on them. They become literals of the
//! plan. `scalar(v)` depends on data: a plan of its own with one row, joined where it is used. Where numbers must be known to make the
//! plan (the φ of a quantile, the k of `topk`), that plan is executed first: [`Planner::numbers`].

use std::sync::Arc;

use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::scalar::ScalarValue;
use varve_promql::{BinaryOp, Call, Expr, Span, UnaryOp};

use super::pending::{Pending, PendingInput};
use super::relation::{Relation, column, project, value};
use super::{Planner, is_same_everywhere};
use crate::aggregates::{CellOp, StepAggregate};
use crate::functions::{self, Keep, VectorFunction, VectorOp, apply_binary};
use crate::grid::StepGrid;
use crate::kernels::StepArg;
use crate::vector::{VALUE, literal};
use crate::{Error, Result};

/// A scalar on a grid.
#[derive(Clone, Debug)]
pub enum Scalar {
    /// One number per step.
    Known(Vec<f64>),
    /// A plan with one row and the column `value`.
    Plan(Box<LogicalPlan>),
}

impl Scalar {
    /// The same number at every step.
    pub(super) fn constant(number: f64, grid: StepGrid) -> Self {
        Self::Known(vec![number; grid.steps])
    }

    /// The numbers, where they are known.
    pub(super) fn known(&self) -> Option<&[f64]> {
        match self {
            Self::Known(numbers) => Some(numbers),
            Self::Plan(_) => None,
        }
    }

    /// As a vector.
    pub(super) fn vector_literal(numbers: &[f64]) -> Result<PlanExpr> {
        Ok(lit(literal(numbers.iter().map(|n| Some(*n)))?))
    }

    /// As an argument of a function: one number if it holds at all steps, else a vector.
    pub(super) fn operand(numbers: &[f64]) -> Result<PlanExpr> {
        match numbers.first() {
            Some(first) if is_same_everywhere(numbers) => {
                Ok(lit(ScalarValue::Float64(Some(*first))))
            }
            _ => Self::vector_literal(numbers),
        }
    }
}

/// As an argument of a range function.
pub(super) fn step_arg(numbers: &[f64]) -> StepArg {
    match numbers.first() {
        Some(first) if is_same_everywhere(numbers) => StepArg::Constant(*first),
        _ => StepArg::PerStep(numbers.into()),
    }
}

impl Planner<'_> {
    /// The numbers of a scalar expression. If they depend on data and are not known yet, the plan cannot be made: this fails, and
    /// [`Planner::pending`] says what to execute first.
    pub(super) fn numbers(&mut self, expr: &Expr, grid: StepGrid) -> Result<Arc<[f64]>> {
        if let Some(known) = self.known.scalars.get(&(expr.span(), grid)) {
            return Ok(Arc::clone(known));
        }
        match self.scalar(expr, grid)? {
            Scalar::Known(numbers) => Ok(numbers.into()),
            Scalar::Plan(plan) => {
                self.pending = Some(Pending {
                    span: expr.span(),
                    grid,
                    input: PendingInput::Scalar(*plan),
                });
                let text = "a scalar that depends on data".to_owned();
                Err(Error::NotSupported(text))
            }
        }
    }

    /// Makes a scalar available beside the rows of a plan; the expression refers to it.
    pub(super) fn join_scalar(
        &mut self,
        plan: LogicalPlan,
        scalar: Scalar,
    ) -> Result<(LogicalPlan, PlanExpr)> {
        match scalar {
            Scalar::Known(numbers) => Ok((plan, Scalar::operand(&numbers)?)),
            Scalar::Plan(scalar) => {
                let name = self.fresh("scalar");
                let scalar = project(*scalar, vec![value().alias(&name)])?;
                // The one row comes first: that side is held in memory, and the other one streams past.
                let plan = LogicalPlanBuilder::from(scalar).cross_join(plan)?.build()?;
                Ok((plan, column(&name)))
            }
        }
    }

    pub(super) fn scalar_unary(
        &mut self,
        op: UnaryOp,
        operand: Scalar,
        grid: StepGrid,
    ) -> Result<Scalar> {
        match (op, operand) {
            (UnaryOp::Plus, operand) => Ok(operand),
            (UnaryOp::Minus, Scalar::Known(numbers)) => {
                Ok(Scalar::Known(numbers.into_iter().map(|n| -n).collect()))
            }
            (UnaryOp::Minus, Scalar::Plan(plan)) => {
                let negated = VectorFunction::call(VectorOp::Negate, grid.steps, vec![value()]);
                let plan = project(*plan, vec![negated.alias(VALUE)])?;
                Ok(Scalar::Plan(Box::new(plan)))
            }
        }
    }

    pub(super) fn scalar_binary(
        &mut self,
        (op, span): (BinaryOp, Span),
        lhs: Scalar,
        rhs: Scalar,
        grid: StepGrid,
    ) -> Result<Scalar> {
        if let (Some(a), Some(b)) = (lhs.known(), rhs.known()) {
            let numbers = a.iter().zip(b).map(|(a, b)| apply_binary(op, *a, *b));
            return Ok(Scalar::Known(numbers.collect()));
        }
        let row = LogicalPlanBuilder::empty(true).build()?;
        let (plan, a) = self.join_scalar(row, lhs)?;
        let (plan, b) = self.join_scalar(plan, rhs)?;
        let op = VectorOp::Binary {
            op,
            return_bool: true,
            keep: Keep::Left,
            notes: self.notes_at(span),
        };
        let combined = VectorFunction::call(op, grid.steps, vec![a, b]);
        let plan = project(plan, vec![combined.alias(VALUE)])?;
        Ok(Scalar::Plan(Box::new(plan)))
    }

    /// A call of a function that gives a scalar.
    pub(super) fn scalar_call(&mut self, call: &Call, grid: StepGrid) -> Result<Scalar> {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        match call.function.name {
            "time" => Ok(Scalar::Known(grid.times_ms().map(seconds).collect())),
            "pi" => Ok(Scalar::constant(std::f64::consts::PI, grid)),
            "start" => Ok(Scalar::constant(seconds(self.query.start_ms), grid)),
            "end" => Ok(Scalar::constant(seconds(self.query.end_ms()), grid)),
            "range" => {
                let range_ms = self.query.end_ms() - self.query.start_ms;
                Ok(Scalar::constant(seconds(range_ms), grid))
            }
            "step" if self.query.steps == 1 => Ok(Scalar::constant(0.0, grid)),
            "step" => Ok(Scalar::constant(seconds(self.query.step_ms), grid)),
            "scalar" => {
                let vector = self.vector_arg(call, 0, grid)?;
                let only = StepAggregate::call(CellOp::Only, grid.steps, value());
                let plan =
                    super::relation::aggregate(vector.plan, Vec::new(), vec![only.alias(VALUE)])?;
                let filled = VectorFunction::call(VectorOp::OrNan, grid.steps, vec![value()]);
                Ok(Scalar::Plan(Box::new(project(
                    plan,
                    vec![filled.alias(VALUE)],
                )?)))
            }
            name @ ("min_of" | "max_of") => {
                let a = self.numbers(self.arg(call, 0)?, grid)?;
                let b = self.numbers(self.arg(call, 1)?, grid)?;
                let pick: fn(f64, f64) -> f64 = match name {
                    "min_of" => functions::min,
                    _ => functions::max,
                };
                Ok(Scalar::Known(
                    a.iter().zip(&*b).map(|(a, b)| pick(*a, *b)).collect(),
                ))
            }
            other => Err(Error::NotSupported(format!("function {other}"))),
        }
    }

    /// `vector(s)`: one row without labels.
    pub fn vector_of(&mut self, scalar: Scalar, grid: StepGrid) -> Result<Relation> {
        match scalar {
            Scalar::Known(numbers) => Relation::one_row(Scalar::vector_literal(&numbers)?, grid),
            Scalar::Plan(plan) => Ok(Relation::new(*plan, Vec::new(), grid)),
        }
    }
}
