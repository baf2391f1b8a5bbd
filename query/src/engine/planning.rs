//! Plans of a prepared query.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use varve_promql::{Expr, ValueType};

use super::Prepared;
use super::session::QuerySession;
use crate::grid::StepGrid;
use crate::plan::Planner;
use crate::plan::pending::{KnownInputs, PendingInput};
use crate::plan::relation::Relation;
use crate::plan::selectors::subquery_grid;
use crate::result::QueryStats;
use crate::{Error, Result};

impl Prepared {
    /// The plan of a slice of the grid, and the labels of its relation. Inputs without which there is no plan are evaluated first.
    pub(super) async fn plan(
        &self,
        slice: StepGrid,
        session: &QuerySession,
        stats: &mut QueryStats,
    ) -> Result<(LogicalPlan, Vec<String>)> {
        self.relation(&self.expr, slice, session, stats).await
    }

    /// The plan of an instant query for a subquery, on the subquery's own grid, of which the window's start is not part.
    pub(super) async fn subquery(
        &self,
        session: &QuerySession,
        stats: &mut QueryStats,
    ) -> Result<(LogicalPlan, Vec<String>, StepGrid)> {
        let Expr::Subquery(subquery) = self.expr.without_parens() else {
            return Err(Error::NotSupported("this range vector".to_owned()));
        };
        let time_ms = self.grid.start_ms;
        let grid = subquery_grid(subquery, time_ms, time_ms, self.grid, self.settings)?;
        let (plan, labels) = self.relation(&subquery.expr, grid, session, stats).await?;
        Ok((plan, labels, grid))
    }

    async fn relation(
        &self,
        expr: &Expr,
        grid: StepGrid,
        session: &QuerySession,
        stats: &mut QueryStats,
    ) -> Result<(LogicalPlan, Vec<String>)> {
        let mut known = KnownInputs::default();
        loop {
            let mut planner = Planner::new(
                self.snapshot.source.as_ref(),
                &self.resolved,
                &self.annotations,
                self.grid,
                self.settings,
            )
            .lenient(self.lenient)
            .knowing(Arc::new(known.clone()));
            let relation = match expr.value_type() {
                ValueType::Scalar => planner
                    .scalar(expr, grid)
                    .and_then(|scalar| planner.vector_of(scalar, grid)),
                _ => planner.vector(expr, grid).and_then(Relation::named),
            };
            match (relation, planner.pending()) {
                (Err(_), Some(pending)) => {
                    let key = (pending.span, pending.grid);
                    match pending.input {
                        PendingInput::Scalar(plan) => {
                            let numbers = session.numbers(plan, pending.grid, stats).await?;
                            known.scalars.insert(key, numbers);
                        }
                        PendingInput::Series(inputs) => {
                            let mut all = Vec::new();
                            for (plan, labels) in inputs {
                                let input = (plan, &labels[..]);
                                all.push(session.rows(input, pending.grid, stats).await?);
                            }
                            known.series.insert(key, all.into());
                        }
                    }
                }
                (relation, _) => {
                    let relation = relation?;
                    return Ok((relation.plan, relation.labels));
                }
            }
        }
    }
}
