//! The removal of metric names: by each operation, or at the end of the query.
//!
//! Operations that give another quantity than their operand's take the metadata labels away, the metric name among them. By default each
//! does that itself. With [`Settings::delayed_name_removal`](super::Settings) it only notes that these labels are to go, and they stay for
//! whatever looks at them in between: `sum by (__name__) (rate({job="a"}[5m]))`, `label_replace(rate(…), "x", "$1", "__name__", "(.*)")`.
//! [`Relation::named`] takes them away when all else is done, and fails if two series become one then.
//!
//! Which rows lose their labels is nearly always the same for all rows of a relation, and known from the query ([`Removal`]). Where
//! it is not, a column says it row by row. It is no label: rows never differ in it alone. There are two sources of such
//! relations, `or` between sides of both kinds and a `label_replace` that sets the name of some rows.
//!
//! What operations do:
//!
//! | operation | names of the result |
//! |---|---|
//! | `-v`, functions of samples, range functions, `v * 2`, `v > bool 2`, `a > bool b`, `absent_over_time` | go |
//! | selectors, `vector`, `absent`, `count_values`, `a * b` (has none), `a > b` | stay, even if those of `a` were to go |
//! | `label_replace`, `label_join` that set the name | stay |
//! | anything else: `last_over_time`, `first_over_time`, `v > 2`, `topk`, `and`, `unless`, `sort`, `info`, … | as in the operand |
//! | `or` | as on the side that a series comes from; of one that comes from both, as on that of its first sample |
//! | `sum` and the like | go if that of any sample of the group does at the last step that has one |
//!
//! First and last are those of the slice of the grid that a plan covers.

use datafusion::logical_expr::{Expr, LogicalPlanBuilder, lit, not, when};
use datafusion::scalar::ScalarValue;

use super::Planner;
use super::relation::{Relation, aggregate, column, is_metadata, label, project, value};
use crate::Result;
use crate::aggregates::{CellOp, Disjoint, StepAggregate};
use crate::functions::mark::{Decisive, MarkFunction};
use crate::vector::{VALUE, label_column};

/// The column of booleans of [`Removal::Marked`].
pub(super) const MARK: &str = "unnamed";
/// Vectors that have a sample where a marked one went into a group.
const MARKED: &str = "marked";

/// Which rows lose their metadata labels at the end of the query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Removal {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Those whose column `unnamed` is true.
    Marked,
}

impl Removal {
    /// Of rows from several relations in one.
    pub(super) fn of_union<'a>(relations: impl IntoIterator<Item = &'a Relation>) -> Self {
        let mut removals = relations.into_iter().map(|relation| relation.removal);
        let first = removals.next().unwrap_or_default();
        match removals.all(|removal| removal == first) {
            true => first,
            false => Self::Marked,
        }
    }
}

impl Planner<'_> {
    /// The rows of an operation that gives another quantity than its operand's. Where names go at once, rows that become one are merged.
    pub(super) fn unnamed(&self, relation: Relation) -> Result<Relation> {
        match self.settings.delayed_name_removal {
            true => relation.without_names_at_the_end(),
            false => relation.without_name(),
        }
    }

    /// As [`Planner::unnamed`] after a range function; see [`Relation::without_name_of_series`].
    pub(super) fn unnamed_series(&self, relation: Relation) -> Result<Relation> {
        match self.settings.delayed_name_removal {
            true => relation.without_names_at_the_end(),
            false => relation.without_name_of_series(),
        }
    }
}

impl Relation {
    /// The relation as the result of a query: without the names that were to go, one row per label set.
    pub fn named(self) -> Result<Self> {
        match self.removal {
            Removal::None => self.distinct(),
            Removal::All => self.without_name()?.distinct(),
            Removal::Marked => {
                let mut columns = Vec::new();
                for name in &self.labels {
                    columns.push(match is_metadata(name) {
                        true => when(column(MARK), lit(ScalarValue::Utf8(None)))
                            .otherwise(label(name))?
                            .alias(label_column(name)),
                        false => label(name),
                    });
                }
                columns.push(value());
                Self {
                    plan: project(self.plan, columns)?,
                    unique: self.unique && self.unique_without_name,
                    removal: Removal::None,
                    ..self
                }
                .distinct()
            }
        }
    }

    fn without_names_at_the_end(self) -> Result<Self> {
        let mixed = self.removal == Removal::Marked;
        let all = Self {
            removal: Removal::All,
            ..self
        };
        match mixed {
            true => all.tidy(),
            false => Ok(all),
        }
    }

    /// Whether a row loses its metadata labels at the end.
    pub(super) fn mark(&self) -> Expr {
        match self.removal {
            Removal::None => lit(false),
            Removal::All => lit(true),
            Removal::Marked => column(MARK),
        }
    }

    /// The rows whose names stay, and those whose names go at the end.
    pub(super) fn by_removal(self) -> Result<[Self; 2]> {
        let nothing = Self::nothing(self.grid)?;
        let filtered = |mark: Expr| -> Result<Self> {
            let plan = LogicalPlanBuilder::from(self.plan.clone()).filter(mark)?;
            let part = Self {
                plan: plan.build()?,
                removal: Removal::None,
                ..self.clone()
            };
            part.tidy()
        };
        Ok(match self.removal {
            Removal::None => [self, nothing],
            Removal::All => [nothing, self],
            Removal::Marked => [filtered(not(column(MARK)))?, filtered(column(MARK))?],
        })
    }

    /// The column of marks, if there is one.
    pub(super) fn mark_column(&self) -> Option<Expr> {
        (self.removal == Removal::Marked).then(|| column(MARK))
    }

    /// One row per group of rows with the same labels; `vectors` is the aggregation of their vectors.
    pub(super) fn grouped(
        self,
        labels: Vec<String>,
        vectors: Expr,
        decisive: Decisive,
    ) -> Result<Self> {
        let by: Vec<Expr> = labels.iter().map(|name| label(name)).collect();
        let mut aggregates = vec![vectors.alias(VALUE)];
        let mixed = self.removal == Removal::Marked;
        if mixed {
            let marked = when(column(MARK), value()).end()?;
            let marked = StepAggregate::call(CellOp::Group, self.grid.steps, marked);
            aggregates.push(marked.alias(MARKED));
        }
        let mut plan = aggregate(self.plan, by.clone(), aggregates)?;
        if mixed {
            let mark = MarkFunction::call(decisive, value(), column(MARKED));
            let columns = [by, vec![mark.alias(MARK), value()]].concat();
            plan = project(plan, columns)?;
        }
        Ok(Self {
            removal: self.removal,
            ..Self::new(plan, labels, self.grid)
        })
    }

    /// One row per label set; two samples at one step are an error. Costs nothing where rows are known to differ.
    pub(super) fn merged(self, why: Disjoint) -> Result<Self> {
        if self.unique {
            return Ok(self);
        }
        let merge = StepAggregate::call(CellOp::Merge(why), self.grid.steps, value());
        let labels = self.labels.clone();
        self.grouped(labels, merge, Decisive::First)
    }
}
