//! Binary operators: scalars, vectors with scalars; two vectors go to [`super::matching`] and [`super::set`].

use varve_promql::{Binary, BinaryOp};

use super::relation::{Relation, value};
use super::scalar::Scalar;
use super::{Needs, Planner, is_scalar};
use crate::Result;
use crate::functions::{Keep, VectorFunction, VectorOp};
use crate::grid::StepGrid;

impl Planner<'_> {
    pub(super) fn binary(
        &mut self,
        node: &Binary,
        grid: StepGrid,
        needs: &Needs,
    ) -> Result<Relation> {
        match (is_scalar(&node.lhs), is_scalar(&node.rhs)) {
            (true, _) => {
                let scalar = self.scalar(&node.lhs, grid)?;
                let vector = self.vector_with(&node.rhs, grid, needs)?;
                self.vector_scalar(node, vector, scalar, true, grid)
            }
            (_, true) => {
                let vector = self.vector_with(&node.lhs, grid, needs)?;
                let scalar = self.scalar(&node.rhs, grid)?;
                self.vector_scalar(node, vector, scalar, false, grid)
            }
            _ if node.op.is_set() => self.set(node, grid),
            _ => self.matched(node, grid),
        }
    }

    fn vector_scalar(
        &mut self,
        node: &Binary,
        vector: Relation,
        scalar: Scalar,
        scalar_first: bool,
        grid: StepGrid,
    ) -> Result<Relation> {
        if vector.empty {
            return Ok(vector);
        }
        let (plan, scalar) = self.join_scalar(vector.plan.clone(), scalar)?;
        let vector = Relation { plan, ..vector };
        let (args, keep) = match scalar_first {
            true => (vec![scalar, value()], Keep::Right),
            false => (vec![value(), scalar], Keep::Left),
        };
        let op = VectorOp::Binary {
            op: node.op,
            return_bool: node.return_bool,
            keep,
            notes: self.notes_at(node.span),
        };
        let result = vector.with_value(VectorFunction::call(op, grid.steps, args))?;
        match drops_name(node) {
            true => self.unnamed(result),
            false => Ok(result),
        }
    }
}

/// Whether the result of an operation is another quantity than its operand, so that the metric name no longer fits.
pub(super) fn drops_name(node: &Binary) -> bool {
    let keeps = node.op.is_comparison()
        || node.op.is_set()
        || matches!(node.op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
    node.return_bool || !keeps
}
