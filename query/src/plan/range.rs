//! Functions over range vectors: evaluated in the leaf of a selector, or over the vector of a subquery.

use varve_promql::{Call, Expr, Span, Subquery, VectorSelector};
use varve_storage::METRIC_NAME;

use super::relation::{Relation, value};
use super::scalar::step_arg;
use super::selectors::{Leaf, at_ms, reach, subquery_grid};
use super::{Needs, Planner, fixed_ms, offset_ms};
use crate::functions::note::{self, Note, NoteFunction};
use crate::functions::{SubqueryWindow, VectorFunction, VectorOp};
use crate::grid::StepGrid;
use crate::kernels::{RangeFunction, Reach, StepArg, WindowGrid};
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
        let args = self.step_args(call, grid)?;
        let keeps_name = matches!(
            function,
            RangeFunction::LastOverTime | RangeFunction::FirstOverTime
        );
        let result = self.windows(call, function, args, grid, needs)?;
        match keeps_name {
            true => Ok(result),
            false => self.unnamed_series(result),
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
        let quantile = match (function, &args[..]) {
            (RangeFunction::QuantileOverTime, [parameter]) => Some(parameter.clone()),
            _ => None,
        };
        let counters = matches!(function, RangeFunction::Rate | RangeFunction::Increase);
        for arg in call.args.iter().map(Expr::without_parens) {
            let (result, span) = match arg {
                Expr::MatrixSelector(matrix) => {
                    let range_ms = fixed_ms(&matrix.range)?;
                    let reach = reach(&matrix.selector, self.settings.lookback_ms);
                    let (evaluation, extent_ms) = match reach {
                        None => (Evaluation::Range { function, args }, (range_ms, 0)),
                        Some(reach) => {
                            check_reach(call.function.name, reach)?;
                            let before_ms = range_ms.saturating_add(reach.before_ms);
                            let evaluation = Evaluation::Extended { function, reach };
                            (evaluation, (before_ms, reach.after_ms))
                        }
                    };
                    let odd = counters && self.has_odd_counters(&matrix.selector)?;
                    let needs = match odd {
                        true => needs.with(METRIC_NAME),
                        false => needs.clone(),
                    };
                    let noted = arg.span();
                    let leaf = Leaf::of(&matrix.selector, &evaluation, extent_ms, noted)?;
                    let leaf = self.leaf(&leaf, grid, &needs)?;
                    (leaf, odd.then(|| arg.span()))
                }
                Expr::Subquery(subquery) => {
                    let result = self.subquery(subquery, function, args, grid)?;
                    // Prometheus has lost the place of a subquery when it comes to say this.
                    let odd = counters && result.has(METRIC_NAME);
                    (result, odd.then_some(Span::new(0, 0)))
                }
                _ => continue,
            };
            let result = match span {
                Some(span) => {
                    let name = result.label_or_null(METRIC_NAME);
                    self.noted(result, Note::NotCounter, span, vec![value(), name])?
                }
                None => result,
            };
            let first = call.args.first().map(Expr::without_parens);
            return match (quantile, first) {
                (Some(parameter), Some(written)) if parameter.any(note::is_no_quantile) => {
                    let note = Note::Quantile(parameter);
                    self.noted(result, note, written.span(), vec![value()])
                }
                _ => Ok(result),
            };
        }
        let name = call.function.name;
        Err(Error::BadData(format!("{name} needs a range vector")))
    }

    fn step_args(&mut self, call: &Call, grid: StepGrid) -> Result<Vec<StepArg>> {
        let mut args = Vec::new();
        for arg in call.args.iter().filter(|arg| super::is_scalar(arg)) {
            args.push(step_arg(&self.numbers(arg, grid)?));
        }
        Ok(args)
    }

    /// Whether a selector has metrics that are not named like counters.
    fn has_odd_counters(&self, selector: &VectorSelector) -> Result<bool> {
        let names = self.metric_names(selector)?;
        Ok(names
            .iter()
            .any(|name| !note::is_named_like_a_counter(name)))
    }

    /// The same relation, with a note on samples that come by.
    fn noted(
        &self,
        relation: Relation,
        note: Note,
        span: Span,
        args: Vec<datafusion::logical_expr::Expr>,
    ) -> Result<Relation> {
        if relation.empty {
            return Ok(relation);
        }
        let (steps, annotations) = (relation.grid.steps, self.annotations.clone());
        relation.with_value(NoteFunction::call(note, annotations, span, steps, args))
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
            // Prometheus has lost the place of a subquery by then.
            notes: self.notes_at(Span::new(0, 0)),
        };
        let mut args = vec![value()];
        if inner.is_mixed() {
            args.push(inner.label_or_null(METRIC_NAME));
        }
        let call = VectorFunction::call(VectorOp::Subquery(window), grid.steps, args);
        Ok(Relation {
            grid,
            ..inner.with_value(call)?
        })
    }
}

/// Refuses functions for which values beyond the edges have no meaning.
fn check_reach(function: &str, reach: Reach) -> Result<()> {
    let (modifier, allowed): (_, &[&str]) = match reach.smoothed {
        true => ("smoothed", &["delta", "increase", "rate"]),
        false => (
            "anchored",
            &["changes", "delta", "increase", "rate", "resets"],
        ),
    };
    if allowed.contains(&function) {
        return Ok(());
    }
    Err(Error::Execution(format!(
        "{modifier} modifier can only be used with: {} - not with {function}",
        allowed.join(", ")
    )))
}
