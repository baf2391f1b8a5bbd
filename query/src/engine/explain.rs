//! How a query would be run.

use datafusion::physical_plan::displayable;

use super::Engine;
use super::session::QuerySession;
use super::thread::on_large_stack;
use crate::Result;
use crate::grid::StepGrid;
use crate::result::{Explanation, QueryOptions, QueryStats};

impl Engine {
    /// The plans of a query, of its first slice if its grid is cut. Selectors are resolved; samples are read only for
    /// inputs without which there is no plan. An instant query
    /// has `start_ms == end_ms`.
    pub async fn explain(
        &self,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<Explanation> {
        let instant = start_ms == end_ms;
        let grid = match instant {
            true => StepGrid::instant(start_ms),
            false => StepGrid::range(start_ms, end_ms, step_ms),
        };
        let (engine, query, by) = (self.clone(), query.to_owned(), options.clone());
        let work = on_large_stack(move || async move {
            let mut prepared = engine.prepare(&query, grid, instant, &by).await?;
            let slices = engine.slices(&prepared)?;
            let slice = slices.first().copied().unwrap_or(grid);
            let mut stats = QueryStats::default();
            let (session, plan) = loop {
                let session = QuerySession::new(&engine.options, &prepared, slice.steps)?;
                match prepared.plan(slice, &session, &mut stats).await {
                    Err(error) if prepared.can_begin_again(&error) => {}
                    planned => break (session, planned?.0),
                }
            };
            let (logical, physical) = session.physical(plan).await?;
            Ok(Explanation {
                logical: logical.display_indent().to_string(),
                physical: displayable(physical.as_ref()).indent(true).to_string(),
            })
        });
        self.limited(options, work).await
    }
}
