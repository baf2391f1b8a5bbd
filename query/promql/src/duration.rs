//! Durations of ranges, steps and offsets, fixed or computed from the step and the range of the query.

use thiserror::Error;

use crate::span::Span;

/// A duration in a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Duration {
    /// A fixed time in milliseconds; may be negative in an offset.
    Fixed {
        /// Milliseconds.
        ms: i64,
        /// Where it is written, with its sign.
        span: Span,
    },
    /// Arithmetic that needs a [`DurationContext`]. Experimental.
    Expr(DurationExpr),
}

/// What a duration expression may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationContext {
    /// Step of the query in milliseconds; 0 for an instant query.
    pub step_ms: i64,
    /// End minus start of the query in milliseconds; 0 for an instant query.
    pub range_ms: i64,
}

/// Arithmetic on durations. Numbers are seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// A number of seconds, or a duration such as `5m`.
    Literal {
        /// Seconds.
        seconds: f64,
        /// Whether it was written with units (`5m`) rather than as a number (`300`).
        unit: bool,
        /// Where it is written.
        span: Span,
    },
    /// `step()`: the step of the query.
    Step(Span),
    /// `range()`: the range of the query.
    Range(Span),
    /// `-x`
    Negate {
        /// The operand.
        expr: Box<DurationExpr>,
        /// From the sign to the end of the operand.
        span: Span,
    },
    /// `(x)`
    Paren {
        /// What is inside.
        expr: Box<DurationExpr>,
        /// With the parentheses.
        span: Span,
    },
    /// `x + y`, `min_of(x, y)`, …
    Binary {
        /// The operation.
        op: DurationOp,
        /// Left operand.
        lhs: Box<DurationExpr>,
        /// Right operand.
        rhs: Box<DurationExpr>,
        /// All of it.
        span: Span,
    },
}

/// An operation on two durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DurationOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`, right-associative
    Pow,
    /// `min_of(x, y)`
    Min,
    /// `max_of(x, y)`
    Max,
}

/// A duration expression whose value is unusable.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}:{}: {reason}", span.start, span.end)]
pub struct DurationError {
    /// The part of the query at fault.
    pub span: Span,
    /// Why, in Prometheus's words.
    pub reason: &'static str,
}

/// Seconds beyond which Prometheus's durations (64-bit nanoseconds) overflow.
pub(crate) const SECONDS_MAX: f64 = 9_223_372_036.854_776;

impl Duration {
    /// Where the duration is written.
    pub fn span(&self) -> Span {
        match self {
            Duration::Fixed { span, .. } => *span,
            Duration::Expr(expr) => expr.span(),
        }
    }

    /// Milliseconds, if they depend on nothing.
    pub fn fixed_ms(&self) -> Option<i64> {
        match self {
            Duration::Fixed { ms, .. } => Some(*ms),
            Duration::Expr(_) => None,
        }
    }

    /// Milliseconds, of either sign.
    pub fn resolve_ms(&self, context: DurationContext) -> Result<i64, DurationError> {
        match self {
            Duration::Fixed { ms, .. } => Ok(*ms),
            Duration::Expr(expr) => expr.resolve_ms(context, true),
        }
    }

    /// Milliseconds; an expression that gives zero or less is an error.
    pub fn resolve_positive_ms(&self, context: DurationContext) -> Result<i64, DurationError> {
        match self {
            Duration::Fixed { ms, .. } => Ok(*ms),
            Duration::Expr(expr) => expr.resolve_ms(context, false),
        }
    }
}

impl DurationExpr {
    /// Where the expression is written.
    pub fn span(&self) -> Span {
        match self {
            DurationExpr::Literal { span, .. }
            | DurationExpr::Step(span)
            | DurationExpr::Range(span)
            | DurationExpr::Negate { span, .. }
            | DurationExpr::Paren { span, .. }
            | DurationExpr::Binary { span, .. } => *span,
        }
    }

    fn resolve_ms(
        &self,
        context: DurationContext,
        negative_allowed: bool,
    ) -> Result<i64, DurationError> {
        let seconds = self.seconds(context)?;
        let error = |reason| DurationError {
            span: self.span(),
            reason,
        };
        if !seconds.is_finite() {
            return Err(error("duration is NaN or infinite"));
        }
        if seconds <= 0.0 && !negative_allowed {
            return Err(error("duration must be greater than 0"));
        }
        if seconds.abs() > SECONDS_MAX {
            return Err(error("duration is out of range"));
        }
        Ok((seconds * 1000.0) as i64)
    }

    fn seconds(&self, context: DurationContext) -> Result<f64, DurationError> {
        Ok(match self {
            DurationExpr::Literal { seconds, .. } => *seconds,
            DurationExpr::Step(_) => context.step_ms as f64 / 1000.0,
            DurationExpr::Range(_) => context.range_ms as f64 / 1000.0,
            DurationExpr::Negate { expr, .. } => -expr.seconds(context)?,
            DurationExpr::Paren { expr, .. } => expr.seconds(context)?,
            DurationExpr::Binary { op, lhs, rhs, span } => {
                let (x, y) = (lhs.seconds(context)?, rhs.seconds(context)?);
                let by_zero = |reason| DurationError {
                    span: *span,
                    reason,
                };
                match op {
                    DurationOp::Add => x + y,
                    DurationOp::Sub => x - y,
                    DurationOp::Mul => x * y,
                    DurationOp::Div if y == 0.0 => return Err(by_zero("division by zero")),
                    DurationOp::Div => x / y,
                    DurationOp::Mod if y == 0.0 => return Err(by_zero("modulo by zero")),
                    DurationOp::Mod => x % y,
                    DurationOp::Pow => x.powf(y),
                    DurationOp::Min => go_min(x, y),
                    DurationOp::Max => go_max(x, y),
                }
            }
        })
    }
}

/// Unlike `f64::min`, NaN wins.
fn go_min(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        f64::NAN
    } else {
        x.min(y)
    }
}

/// Unlike `f64::max`, NaN wins.
fn go_max(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        f64::NAN
    } else {
        x.max(y)
    }
}
