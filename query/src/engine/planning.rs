//! Plans of a prepared query.

use datafusion::logical_expr::LogicalPlan;
use varve_promql::{Expr, ValueType};

use super::Prepared;
use super::session::on_large_stack;
use crate::grid::StepGrid;
use crate::plan::Planner;
use crate::plan::selectors::subquery_grid;
use crate::{Error, Result};

impl Prepared {
    /// The plan of a slice of the grid, and the labels of its relation.
    pub(super) async fn plan(&self, slice: StepGrid) -> Result<(LogicalPlan, Vec<String>)> {
        let prepared = self.clone();
        on_large_stack(move || prepared.relation(&prepared.expr, slice)).await
    }

    /// The plan of an instant query for a subquery, on the subquery's own grid, of which the window's start is not part.
    pub(super) async fn subquery(&self) -> Result<(LogicalPlan, Vec<String>, StepGrid)> {
        let prepared = self.clone();
        on_large_stack(move || {
            let Expr::Subquery(subquery) = prepared.expr.without_parens() else {
                return Err(Error::NotSupported("this range vector".to_owned()));
            };
            let time_ms = prepared.grid.start_ms;
            let grid = subquery_grid(subquery, time_ms, time_ms, prepared.grid, prepared.settings)?;
            let (plan, labels) = prepared.relation(&subquery.expr, grid)?;
            Ok((plan, labels, grid))
        })
        .await
    }

    fn relation(&self, expr: &Expr, grid: StepGrid) -> Result<(LogicalPlan, Vec<String>)> {
        let mut planner = Planner::new(
            self.snapshot.source.as_ref(),
            &self.resolved,
            &self.annotations,
            self.grid,
            self.settings,
        );
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
