//! The syntax tree.
//!
//! Nodes carry what was written, not what it means at some time: offsets and `@` stay on their selector, and durations
//! may be expressions until [`Expr::resolve_durations`] has replaced them.

use crate::duration::{Duration, DurationContext, DurationError};
use crate::function::Function;
use crate::matcher::Matcher;
use crate::operator::{AggregateOp, BinaryOp};
use crate::span::Span;
use crate::value_type::ValueType;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// `1.5`, `0x1f`, `Inf`, `5m`
    NumberLiteral(NumberLiteral),
    /// `"text"`
    StringLiteral(StringLiteral),
    /// `up{job="node"} offset 5m`
    VectorSelector(VectorSelector),
    /// `up[5m]`
    MatrixSelector(MatrixSelector),
    /// `expr[1h:5m]`
    Subquery(Subquery),
    /// `rate(x[5m])`
    Call(Call),
    /// `sum by (job) (x)`
    Aggregate(Aggregate),
    /// `a / on (job) b`
    Binary(Binary),
    /// `-a`
    Unary(Unary),
    /// `(a)`
    Paren(Paren),
}

/// A number. A sign before it is part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberLiteral {
    /// The value; of a duration, in seconds.
    pub value: f64,
    /// Whether it was written as a duration (`1h30m`).
    pub duration: bool,
    /// Where it is written, sign included.
    pub span: Span,
}

/// A string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringLiteral {
    /// The text, escapes resolved; bytes that are no UTF-8 are replaced.
    pub value: String,
    /// The true bytes, if they are no UTF-8 (`"\xff"`): then this is no valid label name or value.
    pub invalid_utf8: Option<Vec<u8>>,
    /// Where it is written, quotes included.
    pub span: Span,
}

impl StringLiteral {
    /// Whether this can name a label: anything but the empty text, if it is UTF-8.
    pub fn is_label_name(&self) -> bool {
        !self.value.is_empty() && self.invalid_utf8.is_none()
    }
}

/// A selector of series.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric name in front of the braces, if there is one.
    pub name: Option<String>,
    /// All conditions. If `name` is set, the last one is `__name__="name"`.
    pub matchers: Vec<Matcher>,
    /// How far to look back (or ahead, if negative).
    pub offset: Option<Duration>,
    /// A fixed time of evaluation.
    pub at: Option<At>,
    /// `anchored`: the window takes in the sample before it. Experimental; never together with `smoothed`.
    pub anchored: bool,
    /// `smoothed`: values at the window's edges are interpolated. Experimental.
    pub smoothed: bool,
    /// Where it is written; modifiers included, unless they follow a range.
    pub span: Span,
}

/// A selector of series with a range of time. Its offset, `@`, `anchored` and `smoothed` are those of `selector`.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// The series.
    pub selector: VectorSelector,
    /// Length of the window (t - range, t].
    pub range: Duration,
    /// Where it is written, modifiers included.
    pub span: Span,
}

/// An instant vector evaluated at steps of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Box<Expr>,
    /// Length of the window (t - range, t].
    pub range: Duration,
    /// Distance of the steps, which lie at multiples of it; `None`: the global evaluation interval.
    pub step: Option<Duration>,
    /// How far to look back (or ahead, if negative).
    pub offset: Option<Duration>,
    /// A fixed time of evaluation.
    pub at: Option<At>,
    /// Where it is written, modifiers included.
    pub span: Span,
}

/// The time after `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// Milliseconds since the epoch.
    Timestamp(i64),
    /// `start()`: the start of the query.
    Start,
    /// `end()`: the end of the query.
    End,
}

/// A function call. The number of arguments and their types fit the function.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function.
    pub function: &'static Function,
    /// The arguments.
    pub args: Vec<Expr>,
    /// Where it is written.
    pub span: Span,
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The operation.
    pub op: AggregateOp,
    /// The instant vector that is aggregated.
    pub expr: Box<Expr>,
    /// The parameter, for the operations that have one: a scalar, or a string for `count_values`.
    pub param: Option<Box<Expr>>,
    /// Labels after `by` or `without`.
    pub grouping: Vec<String>,
    /// Whether `grouping` lists the labels to drop instead of those to keep.
    pub without: bool,
    /// Where it is written.
    pub span: Span,
}

/// A binary operation. Its operands are scalars and instant vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left operand.
    pub lhs: Box<Expr>,
    /// Right operand.
    pub rhs: Box<Expr>,
    /// `bool`: a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// How series are matched; set if, and only if, both operands are instant vectors.
    pub matching: Option<VectorMatching>,
    /// Where it is written.
    pub span: Span,
}

/// How the series of two instant vectors are matched.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorMatching {
    /// How many series may share a match on each side.
    pub cardinality: Cardinality,
    /// Labels after `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether `labels` are the ones to match on, instead of the ones to ignore.
    pub on: bool,
    /// Labels after `group_left` or `group_right`: copied from the "one" side.
    pub include: Vec<String>,
    /// Values for series without a match.
    pub fill: FillValues,
}

/// How many series may share a match on each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// One on each side.
    OneToOne,
    /// `group_left`: many on the left.
    ManyToOne,
    /// `group_right`: many on the right.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// Values for series that have no match on the other side. Experimental.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FillValues {
    /// Stands in for a missing series on the left.
    pub lhs: Option<f64>,
    /// Stands in for a missing series on the right.
    pub rhs: Option<f64>,
}

/// A sign before an expression that is not a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// The sign.
    pub op: UnaryOp,
    /// A scalar or an instant vector.
    pub expr: Box<Expr>,
    /// Where it is written.
    pub span: Span,
}

/// A sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `+`
    Plus,
    /// `-`
    Minus,
}

/// An expression in parentheses.
#[derive(Clone, Debug, PartialEq)]
pub struct Paren {
    /// What is inside.
    pub expr: Box<Expr>,
    /// Where it is written, parentheses included.
    pub span: Span,
}

impl Cardinality {
    /// The name in error messages: "one-to-one", "many-to-one", …
    pub fn as_str(self) -> &'static str {
        match self {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        }
    }
}

impl UnaryOp {
    /// The sign as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            UnaryOp::Plus => "+",
            UnaryOp::Minus => "-",
        }
    }
}

impl Expr {
    /// Where the expression is written.
    pub fn span(&self) -> Span {
        match self {
            Expr::NumberLiteral(node) => node.span,
            Expr::StringLiteral(node) => node.span,
            Expr::VectorSelector(node) => node.span,
            Expr::MatrixSelector(node) => node.span,
            Expr::Subquery(node) => node.span,
            Expr::Call(node) => node.span,
            Expr::Aggregate(node) => node.span,
            Expr::Binary(node) => node.span,
            Expr::Unary(node) => node.span,
            Expr::Paren(node) => node.span,
        }
    }

    /// What the expression evaluates to.
    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::NumberLiteral(_) => ValueType::Scalar,
            Expr::StringLiteral(_) => ValueType::String,
            Expr::VectorSelector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::MatrixSelector(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Call(call) => call.function.returns,
            Expr::Binary(binary) => {
                if binary.lhs.value_type() == ValueType::Scalar
                    && binary.rhs.value_type() == ValueType::Scalar
                {
                    ValueType::Scalar
                } else {
                    ValueType::Vector
                }
            }
            Expr::Unary(unary) => unary.expr.value_type(),
            Expr::Paren(paren) => paren.expr.value_type(),
        }
    }

    /// The expressions directly below this one, in the order in which they are written; an aggregation's parameter comes
    /// before its vector. A matrix selector has none.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::NumberLiteral(_)
            | Expr::StringLiteral(_)
            | Expr::VectorSelector(_)
            | Expr::MatrixSelector(_) => Vec::new(),
            Expr::Subquery(node) => vec![&node.expr],
            Expr::Call(node) => node.args.iter().collect(),
            Expr::Aggregate(node) => node
                .param
                .iter()
                .chain([&node.expr])
                .map(|expr| &**expr)
                .collect(),
            Expr::Binary(node) => vec![&node.lhs, &node.rhs],
            Expr::Unary(node) => vec![&node.expr],
            Expr::Paren(node) => vec![&node.expr],
        }
    }

    /// Like [`Expr::children`], to change them.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Expr::NumberLiteral(_)
            | Expr::StringLiteral(_)
            | Expr::VectorSelector(_)
            | Expr::MatrixSelector(_) => Vec::new(),
            Expr::Subquery(node) => vec![&mut node.expr],
            Expr::Call(node) => node.args.iter_mut().collect(),
            Expr::Aggregate(node) => node
                .param
                .iter_mut()
                .chain([&mut node.expr])
                .map(|expr| &mut **expr)
                .collect(),
            Expr::Binary(node) => vec![&mut node.lhs, &mut node.rhs],
            Expr::Unary(node) => vec![&mut node.expr],
            Expr::Paren(node) => vec![&mut node.expr],
        }
    }

    /// The expression inside all parentheses around this one.
    pub fn without_parens(&self) -> &Expr {
        let mut expr = self;
        while let Expr::Paren(paren) = expr {
            expr = &paren.expr;
        }
        expr
    }

    /// Visits this expression and all below it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// Expressions on the longest path from this one to a leaf, both counted.
    pub fn depth(&self) -> usize {
        let below = self.children().into_iter().map(Expr::depth).max();
        1 + below.unwrap_or(0)
    }

    /// Every selector of series in the expression, those inside matrix selectors included, in the order in which they are written.
    pub fn selectors(&self) -> Vec<&VectorSelector> {
        let mut selectors = Vec::new();
        self.walk(&mut |expr| match expr {
            Expr::VectorSelector(selector) => selectors.push(selector),
            Expr::MatrixSelector(matrix) => selectors.push(&matrix.selector),
            _ => {}
        });
        selectors
    }

    /// Replaces every duration expression by its value, so that all durations are [`Duration::Fixed`].
    pub fn resolve_durations(&mut self, context: DurationContext) -> Result<(), DurationError> {
        match self {
            Expr::VectorSelector(node) => resolve_offset(&mut node.offset, context)?,
            Expr::MatrixSelector(node) => {
                resolve_offset(&mut node.selector.offset, context)?;
                resolve_positive(&mut node.range, context)?;
            }
            Expr::Subquery(node) => {
                resolve_offset(&mut node.offset, context)?;
                if let Some(step) = &mut node.step {
                    resolve_positive(step, context)?;
                }
                resolve_positive(&mut node.range, context)?;
            }
            _ => {}
        }
        self.children_mut()
            .into_iter()
            .try_for_each(|child| child.resolve_durations(context))
    }
}

fn resolve_offset(
    offset: &mut Option<Duration>,
    context: DurationContext,
) -> Result<(), DurationError> {
    if let Some(duration) = offset {
        let (ms, span) = (duration.resolve_ms(context)?, duration.span());
        *duration = Duration::Fixed { ms, span };
    }
    Ok(())
}

fn resolve_positive(
    duration: &mut Duration,
    context: DurationContext,
) -> Result<(), DurationError> {
    let (ms, span) = (duration.resolve_positive_ms(context)?, duration.span());
    *duration = Duration::Fixed { ms, span };
    Ok(())
}
