//! Selectors: resolved before the plan, then leaves of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use varve_promql::{At, BinaryOp, Expr, Matcher, Span, Subquery, VectorSelector};
use varve_storage::METRIC_NAME;

use super::info::InfoSelector;
use super::relation::{Relation, column};
use super::{Needs, Planner, Settings, fixed_ms, offset_ms};
use crate::grid::StepGrid;
use crate::kernels::{Lookback, RangeFunction, Reach, WindowGrid};
use crate::selector::{Evaluation, ResolvedSelector, SelectorSource, SelectorSpec};
use crate::vector::{VALUE, label_column};
use crate::{Error, Result};

/// The selectors of a query by where they are written.
#[derive(Debug, Default)]
pub struct Resolved {
    selectors: HashMap<Span, ResolvedSelector>,
}

impl Resolved {
    /// Resolves all selectors of an expression for evaluation on a grid. Equal selectors are asked for once.
    pub async fn of(
        expr: &Expr,
        query: StepGrid,
        settings: Settings,
        source: &dyn SelectorSource,
    ) -> Result<Self> {
        let mut specs = Vec::new();
        let walk = Walk { query, settings };
        walk.collect(expr, query.start_ms, query.end_ms(), &mut specs)?;
        let mut by_spec: HashMap<SelectorSpec, ResolvedSelector> = HashMap::new();
        let mut selectors = HashMap::new();
        let mut statistics = HashSet::new();
        statistics_only(expr, false, &mut statistics);
        let mut starts = HashSet::new();
        if settings.use_start_timestamps {
            reads_starts(expr, &mut starts);
        }
        for (span, spec) in specs {
            let mut resolved = match by_spec.get(&spec) {
                Some(known) => known.clone(),
                None => source.resolve(&spec).await?,
            };
            by_spec.insert(spec, resolved.clone());
            resolved.statistics_only = statistics.contains(&span);
            resolved.start_timestamps = starts.contains(&span);
            selectors.insert(span, resolved);
        }
        Ok(Self { selectors })
    }

    /// The selector that is written at a place.
    pub fn get(&self, span: Span) -> Result<&ResolvedSelector> {
        self.selectors.get(&span).ok_or_else(|| {
            Error::Execution(format!("selector at byte {} is not resolved", span.start))
        })
    }

    /// Whether some selector reads native histograms.
    pub fn reads_histograms(&self) -> bool {
        self.selectors.values().any(|selector| selector.histograms)
    }

    /// Has native histograms read by every selector with series of a metric. Whether that is any news.
    pub fn read_histograms(&mut self, metric: &str) -> bool {
        let mut news = false;
        for selector in self.selectors.values_mut().filter(|s| !s.histograms) {
            let mut series = selector.series.iter();
            if series.any(|series| series.labels.metric_name() == metric) {
                selector.histograms = true;
                news = true;
            }
        }
        news
    }

    /// The number of series of all selectors together.
    pub fn series(&self) -> usize {
        let selectors = self.selectors.values();
        selectors.map(|selector| selector.series.len()).sum()
    }
}

/// Finds the selectors of whose native histograms only counts and sums matter: those under a function that gives these, unless anything
/// around them needs buckets.
fn statistics_only(expr: &Expr, wanted: bool, found: &mut HashSet<Span>) {
    let wanted = match expr {
        Expr::VectorSelector(selector) if wanted => {
            found.insert(selector.span);
            return;
        }
        Expr::MatrixSelector(matrix) if wanted => {
            found.insert(matrix.selector.span);
            return;
        }
        Expr::Call(call) => match call.function.name {
            "histogram_count" | "histogram_sum" | "histogram_avg" => true,
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => return,
            _ => wanted,
        },
        Expr::Subquery(_) => return,
        Expr::Binary(node) if matches!(node.op, BinaryOp::TrimLower | BinaryOp::TrimUpper) => {
            return;
        }
        _ => wanted,
    };
    for child in expr.children() {
        statistics_only(child, wanted, found);
    }
}

/// Finds the selectors that are directly under a function which looks at start timestamps. Whatever else is made of samples has none.
fn reads_starts(expr: &Expr, found: &mut HashSet<Span>) {
    if let Expr::Call(call) = expr {
        let name = call.function.name;
        let of_range = RangeFunction::from_name(name).is_some_and(RangeFunction::reads_starts);
        for arg in &call.args {
            match arg.without_parens() {
                Expr::MatrixSelector(matrix) if of_range => {
                    found.insert(matrix.selector.span);
                }
                Expr::VectorSelector(selector) if name == "start_timestamp" => {
                    found.insert(selector.span);
                }
                _ => {}
            }
        }
    }
    for child in expr.children() {
        reads_starts(child, found);
    }
}

/// The grid on which a subquery's expression is evaluated for outer steps from `start_ms` to `end_ms`: multiples of its step, from
/// the start of the first window (exclusive) to the end of the last (inclusive).
pub fn subquery_grid(
    subquery: &Subquery,
    start_ms: i64,
    end_ms: i64,
    query: StepGrid,
    settings: Settings,
) -> Result<StepGrid> {
    let step_ms = match &subquery.step {
        Some(step) => fixed_ms(step)?,
        None => settings.subquery_step_ms,
    }
    .max(1);
    let (start_ms, end_ms) = match at_ms(subquery.at, query) {
        Some(at_ms) => (at_ms, at_ms),
        None => (start_ms, end_ms),
    };
    let offset_ms = offset_ms(subquery.offset.as_ref())?;
    let from_ms = start_ms
        .saturating_sub(offset_ms)
        .saturating_sub(fixed_ms(&subquery.range)?);
    let first_ms = from_ms
        .div_euclid(step_ms)
        .saturating_add(1)
        .saturating_mul(step_ms);
    Ok(StepGrid::range(
        first_ms,
        end_ms.saturating_sub(offset_ms),
        step_ms,
    ))
}

/// The time after `@`.
pub(super) fn at_ms(at: Option<At>, query: StepGrid) -> Option<i64> {
    at.map(|at| match at {
        At::Timestamp(time_ms) => time_ms,
        At::Start => query.start_ms,
        At::End => query.end_ms(),
    })
}

/// How far the windows of a range selector look beyond their edges, if they do.
pub fn reach(selector: &VectorSelector, lookback_ms: i64) -> Option<Reach> {
    (selector.anchored || selector.smoothed).then_some(Reach {
        before_ms: lookback_ms,
        after_ms: if selector.smoothed { lookback_ms } else { 0 },
        smoothed: selector.smoothed,
    })
}

struct Walk {
    query: StepGrid,
    settings: Settings,
}

impl Walk {
    fn collect(
        &self,
        expr: &Expr,
        start_ms: i64,
        end_ms: i64,
        specs: &mut Vec<(Span, SelectorSpec)>,
    ) -> Result<()> {
        match expr {
            Expr::VectorSelector(selector) => {
                let lookback_ms = self.settings.lookback_ms;
                let after_ms = if selector.smoothed { lookback_ms } else { 0 };
                let extent_ms = (lookback_ms, after_ms);
                specs.push(self.spec(selector, extent_ms, start_ms, end_ms)?);
            }
            Expr::MatrixSelector(matrix) => {
                let reach = reach(&matrix.selector, self.settings.lookback_ms);
                let (before_ms, after_ms) = reach.map_or((0, 0), |r| (r.before_ms, r.after_ms));
                let range_ms = fixed_ms(&matrix.range)?.saturating_add(before_ms);
                let extent_ms = (range_ms, after_ms);
                specs.push(self.spec(&matrix.selector, extent_ms, start_ms, end_ms)?);
            }
            Expr::Call(call) if call.function.name == "info" => {
                if let Some(first) = call.args.first() {
                    self.collect(first, start_ms, end_ms, specs)?;
                }
                let info = InfoSelector::of(call)?;
                let time = (info.at, info.offset_ms);
                let extent_ms = (self.settings.lookback_ms, 0);
                let matchers = info.matchers.all();
                let spec = self.spec_at(matchers, time, extent_ms, start_ms, end_ms);
                specs.push((info.span, spec));
            }
            Expr::Subquery(subquery) => {
                let grid = subquery_grid(subquery, start_ms, end_ms, self.query, self.settings)?;
                self.collect(&subquery.expr, grid.start_ms, grid.end_ms(), specs)?;
            }
            other => {
                for child in other.children() {
                    self.collect(child, start_ms, end_ms, specs)?;
                }
            }
        }
        Ok(())
    }

    fn spec(
        &self,
        selector: &VectorSelector,
        (before_ms, after_ms): (i64, i64),
        start_ms: i64,
        end_ms: i64,
    ) -> Result<(Span, SelectorSpec)> {
        let time = (selector.at, offset_ms(selector.offset.as_ref())?);
        let matchers = selector.matchers.clone();
        let spec = self.spec_at(matchers, time, (before_ms, after_ms), start_ms, end_ms);
        Ok((selector.span, spec))
    }

    fn spec_at(
        &self,
        matchers: Vec<Matcher>,
        (at, offset_ms): (Option<At>, i64),
        (before_ms, after_ms): (i64, i64),
        start_ms: i64,
        end_ms: i64,
    ) -> SelectorSpec {
        let (start_ms, end_ms) = match at_ms(at, self.query) {
            Some(at_ms) => (at_ms, at_ms),
            None => (start_ms, end_ms),
        };
        let min_ms = start_ms.saturating_sub(offset_ms).saturating_sub(before_ms);
        SelectorSpec {
            matchers,
            min_ms: min_ms.saturating_add(1),
            max_ms: end_ms.saturating_sub(offset_ms).saturating_add(after_ms),
        }
    }
}

/// A selector and what is made of its samples.
pub(super) struct Leaf<'e> {
    /// Under which it was resolved.
    pub(super) span: Span,
    pub(super) evaluation: &'e Evaluation,
    /// How far windows reach before and after the time.
    pub(super) extent_ms: (i64, i64),
    /// `@` and the offset.
    pub(super) time: (Option<At>, i64),
    /// The expression that notes are about.
    pub(super) noted: Span,
}

impl<'e> Leaf<'e> {
    pub(super) fn of(
        selector: &VectorSelector,
        evaluation: &'e Evaluation,
        extent_ms: (i64, i64),
        noted: Span,
    ) -> Result<Self> {
        Ok(Self {
            span: selector.span,
            evaluation,
            extent_ms,
            time: (selector.at, offset_ms(selector.offset.as_ref())?),
            noted,
        })
    }
}

impl Planner<'_> {
    pub(super) fn instant_selector(
        &mut self,
        selector: &VectorSelector,
        grid: StepGrid,
        needs: &Needs,
    ) -> Result<Relation> {
        let lookback_ms = self.settings.lookback_ms;
        let (evaluation, extent_ms) = match selector.smoothed {
            true => (
                Evaluation::Smoothed(lookback_ms),
                (lookback_ms, lookback_ms),
            ),
            false => (Evaluation::Instant(Lookback::Value), (lookback_ms, 0)),
        };
        let leaf = Leaf::of(selector, &evaluation, extent_ms, selector.span)?;
        self.leaf(&leaf, grid, needs)
    }

    /// The relation of a selector whose windows are evaluated.
    pub(super) fn leaf(
        &mut self,
        leaf: &Leaf<'_>,
        grid: StepGrid,
        needs: &Needs,
    ) -> Result<Relation> {
        let (before_ms, after_ms) = leaf.extent_ms;
        let (at, offset_ms) = leaf.time;
        let evaluation = leaf.evaluation;
        let resolved = self.resolved.get(leaf.span)?;
        if resolved.series.is_empty() {
            return Relation::nothing(grid);
        }
        let unique_without_name = resolved.unique_without_name();
        let mut labels = resolved.label_names();
        // Where the name may have to be dropped before, rows must be told apart by all their labels.
        let may_merge = !unique_without_name && !self.settings.delayed_name_removal;
        if let (Needs::Only(needed), false) = (needs, may_merge) {
            labels.retain(|label| needed.contains(label));
        }
        let windows = WindowGrid {
            grid,
            range_ms: before_ms.saturating_add(after_ms),
            offset_ms: offset_ms.saturating_sub(after_ms),
            at_ms: at_ms(at, self.query),
        };
        let notes = self.notes_at(leaf.noted);
        let plan = self
            .source
            .plan(resolved, &labels, evaluation, &windows, &notes)?;
        let mut columns: Vec<_> = labels
            .iter()
            .map(|label| column(&label_column(label)).alias(label_column(label)))
            .collect();
        columns.push(column(VALUE).alias(VALUE));
        let plan = super::relation::project(plan, columns)?;
        Ok(Relation {
            unique_without_name,
            series: Some(Arc::clone(&resolved.series)),
            ..Relation::new(plan, labels, grid)
        })
    }

    /// Names of metrics of a selector, for notes.
    pub(super) fn metric_names(&self, selector: &VectorSelector) -> Result<Vec<String>> {
        let resolved = self.resolved.get(selector.span)?;
        let named = resolved.metric_names().into_iter();
        Ok(named
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect())
    }
}

/// Whether the label is the metric name, which most operations drop.
pub(super) fn is_name(label: &str) -> bool {
    label == METRIC_NAME
}
