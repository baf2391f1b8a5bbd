//! Plans of a prepared query.

use datafusion::logical_expr::LogicalPlan;
use varve_promql::{Expr, ValueType};

use super::Prepared;
use crate::grid::StepGrid;
use crate::plan::Planner;
use crate::plan::selectors::subquery_grid;
use crate::{Error, Result};

impl Prepared {
    /// The plan of a slice of the grid, and the labels of its relation.
    pub(super) fn plan(&self, slice: StepGrid) -> Result<(LogicalPlan, Vec<String>)> {
        self.relation(&self.expr, slice)
    }

    /// The plan of an instant query for a subquery, on the subquery's own grid, of which the window's start is not part.
    pub(super) fn subquery(&self) -> Result<(LogicalPlan, Vec<String>, StepGrid)> {
        let Expr::Subquery(subquery) = self.expr.without_parens() else {
            return Err(Error::NotSupported("this range vector".to_owned()));
        };
        let time_ms = self.grid.start_ms;
        let grid = subquery_grid(subquery, time_ms, time_ms, self.grid, self.settings)?;
        let (plan, labels) = self.relation(&subquery.expr, grid)?;
        Ok((plan, labels, grid))
    }

    fn relation(&self, expr: &Expr, grid: StepGrid) -> Result<(LogicalPlan, Vec<String>)> {
        let mut planner = Planner::new(
            self.snapshot.source.as_ref(),
            &self.resolved,
            &self.annotations,
            self.grid,
            self.settings,
        )
        .lenient(self.lenient);
        let relation = match expr.value_type() {
            ValueType::Scalar => {
                let scalar = planner.scalar(expr, grid)?;
                planner.vector_of(scalar, grid)?
            }
            _ => planner.vector(expr, grid)?.distinct()?,
        };
        Ok((relation.plan, relation.labels))
    }
}
