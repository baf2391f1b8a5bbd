//! Functions over range vectors: evaluated in the leaf of a selector, or over the vector of a subquery.

use varve_promql::{Call, Expr, Subquery, VectorSelector};

use super::relation::{Relation, value};
use super::selectors::{at_ms, subquery_grid};
use super::{Needs, Planner, fixed_ms, offset_ms};
use crate::functions::{SubqueryWindow, VectorFunction, VectorOp};
use crate::grid::StepGrid;
use crate::kernels::{RangeFunction, StepArg, WindowGrid};
use crate::selector::Evaluation;
use crate::{Error, Result};

impl Planner<'_> {
    /// A call of a range function; the metric name stays where the function gives a sample of the series itself.
    pub(super) fn range_call(
        &mut self,
        call: &Call,
        function: RangeFunction,
        grid: StepGrid,
        needs: &Needs,
    ) -> Result<Relation> {
        let args = self.step_args(call, function, grid)?;
        let keeps_name = matches!(
            function,
            RangeFunction::LastOverTime | RangeFunction::FirstOverTime
        );
        let result = self.windows(call, function, args, grid, needs)?;
        match keeps_name {
            true => Ok(result),
            false => result.without_name(),
        }
    }

    /// The range vector argument under a range function, names kept.
    pub(super) fn windows(
        &mut self,
        call: &Call,
        function: RangeFunction,
        args: Vec<StepArg>,
        grid: StepGrid,
        needs: &Needs,
    ) -> Result<Relation> {
        for arg in &call.args {
            match arg.without_parens() {
                Expr::MatrixSelector(matrix) => {
                    self.note_counter(function, &matrix.selector, arg)?;
                    let evaluation = Evaluation::Range { function, args };
                    let range_ms = fixed_ms(&matrix.range)?;
                    return self.leaf(&matrix.selector, &evaluation, range_ms, grid, needs);
                }
                Expr::Subquery(subquery) => {
                    return self.subquery(subquery, function, args, grid);
                }
                _ => {}
            }
        }
        let name = call.function.name;
        Err(Error::BadData(format!("{name} needs a range vector")))
    }

    fn step_args(
        &mut self,
        call: &Call,
        function: RangeFunction,
        grid: StepGrid,
    ) -> Result<Vec<StepArg>> {
        let mut args = Vec::new();
        for arg in call.args.iter().filter(|arg| super::is_scalar(arg)) {
            let scalar = self.scalar(arg, grid)?;
            if let (RangeFunction::QuantileOverTime, Some(numbers)) = (function, scalar.known()) {
                self.note_quantiles(numbers, arg);
            }
            args.push(scalar.step_arg()?);
        }
        Ok(args)
    }

    /// Tells the user that a function of counters reads a metric that is not named like one.
    fn note_counter(
        &self,
        function: RangeFunction,
        selector: &VectorSelector,
        written: &Expr,
    ) -> Result<()> {
        if !matches!(
            function,
            RangeFunction::Rate
                | RangeFunction::Increase
                | RangeFunction::Irate
                | RangeFunction::Resets
        ) {
            return Ok(());
        }
        for name in self.metric_names(selector)? {
            let counter = ["_total", "_sum", "_count", "_bucket"]
                .iter()
                .any(|suffix| name.ends_with(suffix));
            if !counter {
                let text = format!(
                    "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                    varve_promql::format::quote(&name)
                );
                self.annotations.info(&text, written.span());
            }
        }
        Ok(())
    }

    fn subquery(
        &mut self,
        subquery: &Subquery,
        function: RangeFunction,
        args: Vec<StepArg>,
        grid: StepGrid,
    ) -> Result<Relation> {
        let inner_grid = subquery_grid(
            subquery,
            grid.start_ms,
            grid.end_ms(),
            self.query,
            self.settings,
        )?;
        let inner = match super::is_scalar(&subquery.expr) {
            true => {
                let scalar = self.scalar(&subquery.expr, inner_grid)?;
                self.vector_of(scalar, inner_grid)?
            }
            false => self.vector(&subquery.expr, inner_grid)?,
        };
        if inner.empty {
            return Relation::nothing(grid);
        }
        let window = SubqueryWindow {
            function,
            args,
            inner: inner_grid,
            windows: WindowGrid {
                grid,
                range_ms: fixed_ms(&subquery.range)?,
                offset_ms: offset_ms(subquery.offset.as_ref())?,
                at_ms: at_ms(subquery.at, self.query),
            },
        };
        let call = VectorFunction::call(VectorOp::Subquery(window), grid.steps, vec![value()]);
        Ok(Relation {
            grid,
            ..inner.with_value(call)?
        })
    }
}
