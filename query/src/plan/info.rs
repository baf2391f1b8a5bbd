//! `info(v, {…})`: its inputs are evaluated first, because its labels depend on their samples.

use varve_promql::{At, Call, Expr, Span};
use varve_storage::SampleValue;

use super::names::Removal;
use super::pending::{Pending, PendingInput};
use super::relation::{Relation, in_memory};
use super::selectors::Leaf;
use super::set::union;
use super::{Needs, Planner, offset_ms};
use crate::aggregates::Disjoint;
use crate::grid::StepGrid;
use crate::info::{InfoMatchers, Row, enrich};
use crate::kernels::Lookback;
use crate::selector::Evaluation;
use crate::vector::VectorsBuilder;
use crate::{Error, Result};

/// The selector of info series that a call stands for.
#[derive(Clone, Debug)]
pub(super) struct InfoSelector {
    /// Under which it is resolved.
    pub(super) span: Span,
    pub(super) matchers: InfoMatchers,
    /// The time at which the first argument is looked at; info series are looked at then, too.
    pub(super) at: Option<At>,
    pub(super) offset_ms: i64,
}

impl InfoSelector {
    /// The selector of a call of `info`.
    pub(super) fn of(call: &Call) -> Result<Self> {
        let first = call
            .args
            .first()
            .ok_or_else(|| Error::BadData("info needs an instant vector".to_owned()))?;
        let selector = match call.args.get(1).map(Expr::without_parens) {
            Some(Expr::VectorSelector(selector)) => Some(selector),
            _ => None,
        };
        let (at, offset_ms) = reference_time(first)?.unwrap_or((None, 0));
        Ok(Self {
            span: selector.map_or(call.span, |selector| selector.span),
            matchers: InfoMatchers::new(selector.map(|selector| &selector.matchers[..])),
            at,
            offset_ms,
        })
    }
}

/// The `@` and the offset of the first selector, with those of the subqueries around it.
fn reference_time(expr: &Expr) -> Result<Option<(Option<At>, i64)>> {
    Ok(match expr {
        Expr::VectorSelector(selector) => Some((selector.at, offset_ms(selector.offset.as_ref())?)),
        Expr::MatrixSelector(matrix) => {
            let selector = &matrix.selector;
            Some((selector.at, offset_ms(selector.offset.as_ref())?))
        }
        Expr::Subquery(subquery) => match reference_time(&subquery.expr)? {
            Some((None, inner_ms)) => {
                let outer_ms = offset_ms(subquery.offset.as_ref())?;
                Some((subquery.at, inner_ms.saturating_add(outer_ms)))
            }
            found => found,
        },
        other => {
            for child in other.children() {
                if let Some(found) = reference_time(child)? {
                    return Ok(Some(found));
                }
            }
            None
        }
    })
}

impl Planner<'_> {
    pub(super) fn info(&mut self, call: &Call, grid: StepGrid) -> Result<Relation> {
        let selector = InfoSelector::of(call)?;
        let known = self.known.series.get(&(call.span, grid)).cloned();
        let Some(inputs) = known else {
            let base = self.vector_arg(call, 0, grid)?.distinct()?;
            let lookback_ms = self.settings.lookback_ms;
            let leaf = Leaf {
                span: selector.span,
                evaluation: &Evaluation::Instant(Lookback::FloatTimestamp),
                extent_ms: (lookback_ms, 0),
                time: (selector.at, selector.offset_ms),
                noted: selector.span,
            };
            let info = self.leaf(&leaf, grid, &Needs::All)?;
            let [named, unnamed] = base.by_removal()?;
            let inputs = [named, unnamed, info].map(|input| (input.plan, input.labels));
            self.pending = Some(Pending {
                span: call.span,
                grid,
                input: PendingInput::Series(inputs.into()),
            });
            return Err(Error::NotSupported("labels that depend on data".to_owned()));
        };
        match &inputs[..] {
            [named, unnamed, info] => {
                let enriched = |base: &[Row], removal| {
                    let rows = enrich(base, info, &selector.matchers, grid.steps)?;
                    let relation = Relation::of_rows(&rows, grid)?;
                    Ok::<_, Error>(Relation {
                        removal,
                        ..relation
                    })
                };
                match (&named[..], &unnamed[..]) {
                    (named, []) => enriched(named, Removal::None),
                    ([], unnamed) => enriched(unnamed, Removal::All),
                    (named, unnamed) => {
                        let named = enriched(named, Removal::None)?;
                        let unnamed = enriched(unnamed, Removal::All)?;
                        union(vec![named, unnamed], grid)?.merged(Disjoint::Labels)
                    }
                }
            }
            _ => Err(Error::Internal("info has three inputs".to_owned())),
        }
    }
}

impl Relation {
    /// Rows that are known, with different labels.
    fn of_rows(rows: &[Row], grid: StepGrid) -> Result<Self> {
        let mut labels: Vec<String> = rows
            .iter()
            .flat_map(|(labels, _)| labels.iter().map(|(name, _)| name.to_owned()))
            .collect();
        labels.sort_unstable();
        labels.dedup();
        let mut samples = rows.iter().flat_map(|(_, samples)| samples);
        let mixed = samples.any(|sample| matches!(sample, Some(SampleValue::Histogram(_))));
        let mut vectors = VectorsBuilder::of(mixed, grid.steps, rows.len());
        for sample in rows.iter().flat_map(|(_, samples)| samples) {
            vectors.push_sample(sample.as_ref());
        }
        let label_sets = rows.iter().map(|(labels, _)| labels);
        let plan = in_memory("info", &labels, label_sets, vectors.finish()?)?;
        Relation {
            unique_without_name: false,
            ..Self::new(plan, labels, grid)
        }
        .tidy()
    }
}
