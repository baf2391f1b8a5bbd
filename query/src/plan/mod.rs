//! From a PromQL expression to a DataFusion logical plan.
//!
//! The planner walks the syntax tree once per grid: [`Planner::vector`] and [`Planner::scalar`] match on the kind of node and hand it
//! to its builder in a file of its own. Nothing here reads data; series were resolved before ([`selectors`]).
//!
//! Invariants:
//! - a [`Relation`] has exactly its label columns, a column of marks if it needs one ([`names`]), and `value`; columns are named through [`relation::column`], which takes any
//!   name as it is;
//! - a plan is a function of (expression, grid, resolved series, settings) alone, and of inputs that have to be evaluated before it
//!   ([`pending`]);
//! - an expression that does not depend on the step is planned on one step and repeated.

mod absent;
mod aggregate;
mod binary;
mod call;
mod fill;
mod histogram;
mod info;
mod invariant;
mod labels;
mod matching;
pub mod names;
pub mod pending;
mod range;
pub mod relation;
pub mod scalar;
pub mod selectors;
mod set;

use std::sync::Arc;

use varve_promql::{Call, Duration, Expr, Span, StringLiteral, Unary, UnaryOp, ValueType};

use crate::annotations::{Annotations, NotesAt};
use crate::functions::{VectorFunction, VectorOp};
use crate::grid::StepGrid;
use crate::selector::SelectorSource;
use crate::{Error, Result};
use pending::{KnownInputs, Pending};
use relation::{Relation, value};
use scalar::Scalar;
use selectors::Resolved;

/// What holds for the whole query.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How far an instant selector looks back, in milliseconds.
    pub lookback_ms: i64,
    /// The step of a subquery that has none, in milliseconds.
    pub subquery_step_ms: i64,
    /// Whether functions that know start timestamps look at them.
    pub use_start_timestamps: bool,
    /// Whether metric names are removed at the end of the query, and not by each operation; see [`names`].
    pub delayed_name_removal: bool,
}

/// Makes the plans of one query, one per slice of its grid.
#[derive(Debug)]
pub struct Planner<'a> {
    source: &'a dyn SelectorSource,
    resolved: &'a Resolved,
    annotations: &'a Annotations,
    /// The grid of the whole query, of which a plan may cover a slice.
    query: StepGrid,
    settings: Settings,
    names: usize,
    /// Whether duplicates on the "one" side of a vector operation pass at steps at which the other side is empty.
    lenient: bool,
    known: Arc<KnownInputs>,
    pending: Option<Pending>,
}

/// Which labels the parent of a node makes use of.
#[derive(Clone, Debug)]
enum Needs {
    All,
    Only(Vec<String>),
}

impl Needs {
    /// One label more.
    fn with(&self, label: &str) -> Self {
        match self {
            Self::All => Self::All,
            Self::Only(labels) => Self::Only([&labels[..], &[label.to_owned()]].concat()),
        }
    }
}

fn is_same_everywhere(numbers: &[f64]) -> bool {
    let mut bits = numbers.iter().map(|n| n.to_bits());
    let first = bits.next();
    bits.all(|b| Some(b) == first)
}

/// Milliseconds of a duration. [`Expr::resolve_durations`] has made all of them fixed.
fn fixed_ms(duration: &Duration) -> Result<i64> {
    match duration {
        Duration::Fixed { ms, .. } => Ok(*ms),
        Duration::Expr(_) => Err(Error::NotSupported(
            "a duration that is not resolved".to_owned(),
        )),
    }
}

fn offset_ms(offset: Option<&Duration>) -> Result<i64> {
    offset.map_or(Ok(0), fixed_ms)
}

impl<'a> Planner<'a> {
    /// A planner for a query on a grid, whose selectors are resolved.
    pub fn new(
        source: &'a dyn SelectorSource,
        resolved: &'a Resolved,
        annotations: &'a Annotations,
        query: StepGrid,
        settings: Settings,
    ) -> Self {
        Self {
            source,
            resolved,
            annotations,
            query,
            settings,
            names: 0,
            lenient: false,
            known: Arc::default(),
            pending: None,
        }
    }

    /// Gives inputs that were pending before.
    pub fn knowing(self, known: Arc<KnownInputs>) -> Self {
        Self { known, ..self }
    }

    /// The input without which no plan could be made.
    pub fn pending(&mut self) -> Option<Pending> {
        self.pending.take()
    }

    /// Lets duplicates on the "one" side of vector operations pass at steps at which the other side is empty, as they should; costs an
    /// evaluation of the other side more.
    pub fn lenient(self, lenient: bool) -> Self {
        Self { lenient, ..self }
    }

    /// Where notes about an expression go.
    fn notes_at(&self, span: Span) -> NotesAt {
        NotesAt {
            annotations: self.annotations.clone(),
            span,
        }
    }

    /// A column name that the plan does not have yet.
    fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}:{}", self.names)
    }

    /// The relation of a vector expression on a grid, which is the query's or a slice of it.
    pub fn vector(&mut self, expr: &Expr, grid: StepGrid) -> Result<Relation> {
        self.vector_with(expr, grid, &Needs::All)
    }

    fn vector_with(&mut self, expr: &Expr, grid: StepGrid, needs: &Needs) -> Result<Relation> {
        if grid.steps == 0 {
            return Relation::nothing(grid);
        }
        if grid.steps > 1 && invariant::is_step_invariant(expr) {
            let once = self.vector_with(expr, StepGrid::instant(grid.start_ms), needs)?;
            return repeat(once, grid);
        }
        match expr {
            Expr::VectorSelector(selector) => self.instant_selector(selector, grid, needs),
            Expr::Paren(paren) => self.vector_with(&paren.expr, grid, needs),
            Expr::Unary(unary) => self.unary(unary, grid, needs),
            Expr::Binary(binary) => self.binary(binary, grid, needs),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate, grid),
            Expr::Call(call) => self.call(call, grid, needs),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Err(Error::NotSupported(
                "a literal where a vector is expected".to_owned(),
            )),
            Expr::MatrixSelector(_) | Expr::Subquery(_) => Err(Error::NotSupported(
                "a range vector outside of a function".to_owned(),
            )),
        }
    }

    /// The scalar of a scalar expression on a grid.
    pub fn scalar(&mut self, expr: &Expr, grid: StepGrid) -> Result<Scalar> {
        match expr {
            Expr::NumberLiteral(literal) => Ok(Scalar::constant(literal.value, grid)),
            Expr::Paren(paren) => self.scalar(&paren.expr, grid),
            Expr::Unary(unary) => {
                let operand = self.scalar(&unary.expr, grid)?;
                self.scalar_unary(unary.op, operand, grid)
            }
            Expr::Binary(binary) => {
                let lhs = self.scalar(&binary.lhs, grid)?;
                let rhs = self.scalar(&binary.rhs, grid)?;
                self.scalar_binary((binary.op, binary.span), lhs, rhs, grid)
            }
            Expr::Call(call) => self.scalar_call(call, grid),
            other => Err(Error::NotSupported(format!(
                "{} where a scalar is expected",
                other.value_type().documented()
            ))),
        }
    }

    fn unary(&mut self, unary: &Unary, grid: StepGrid, needs: &Needs) -> Result<Relation> {
        let operand = self.vector_with(&unary.expr, grid, needs)?;
        match unary.op {
            UnaryOp::Plus => Ok(operand),
            UnaryOp::Minus => {
                let negated = VectorFunction::call(VectorOp::Negate, grid.steps, vec![value()]);
                self.unnamed(operand.with_value(negated)?)
            }
        }
    }

    fn arg<'e>(&self, call: &'e Call, index: usize) -> Result<&'e Expr> {
        let arg = call.args.get(index).map(Expr::without_parens);
        arg.ok_or_else(|| {
            let name = call.function.name;
            Error::BadData(format!("argument {} of {name} is missing", index + 1))
        })
    }

    fn vector_arg(&mut self, call: &Call, index: usize, grid: StepGrid) -> Result<Relation> {
        let arg = self.arg(call, index)?;
        self.vector(arg, grid)
    }

    fn scalar_arg(&mut self, call: &Call, index: usize, grid: StepGrid) -> Result<Scalar> {
        let arg = self.arg(call, index)?;
        self.scalar(arg, grid)
    }

    fn string_arg<'e>(&self, call: &'e Call, index: usize) -> Result<&'e str> {
        Ok(&self.string_literal(call, index)?.value)
    }

    fn string_literal<'e>(&self, call: &'e Call, index: usize) -> Result<&'e StringLiteral> {
        match self.arg(call, index)?.without_parens() {
            Expr::StringLiteral(literal) => Ok(literal),
            other => Err(Error::BadData(format!(
                "expected a string literal, got {}",
                other.value_type().documented()
            ))),
        }
    }
}

/// The one step of a relation at all steps of a grid.
fn repeat(once: Relation, grid: StepGrid) -> Result<Relation> {
    if once.empty {
        return Relation::nothing(grid);
    }
    let repeated = VectorFunction::call(VectorOp::Repeat, grid.steps, vec![value()]);
    Ok(Relation {
        grid,
        ..once.with_value(repeated)?
    })
}

/// Whether an expression's value is a scalar.
fn is_scalar(expr: &Expr) -> bool {
    expr.value_type() == ValueType::Scalar
}
