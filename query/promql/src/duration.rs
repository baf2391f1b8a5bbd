//! Durations of ranges, steps and offsets, fixed or computed from the step and the range of the query.

use thiserror::Error;

use crate::go_math;
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

impl DurationOp {
    /// The operator or function as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            DurationOp::Add => "+",
            DurationOp::Sub => "-",
            DurationOp::Mul => "*",
            DurationOp::Div => "/",
            DurationOp::Mod => "%",
            DurationOp::Pow => "^",
            DurationOp::Min => "min_of",
            DurationOp::Max => "max_of",
        }
    }
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
                    DurationOp::Pow => go_math::pow(x, y),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{Expr, ParseOptions, parse_with};

    const CONTEXT: DurationContext = DurationContext {
        step_ms: 15_000,
        range_ms: 3_600_000,
    };

    fn resolved(query: &str) -> Result<String, String> {
        let mut expr =
            parse_with(query, &ParseOptions::experimental()).map_err(|error| error.to_string())?;
        expr.resolve_durations(CONTEXT)
            .map_err(|error| error.to_string())?;
        Ok(expr.to_string())
    }

    #[test]
    fn expressions_are_computed_in_seconds() {
        for (query, text) in [
            ("x[5m]", "x[5m]"),
            ("x[5m * 2]", "x[10m]"),
            ("x[1m + 30]", "x[1m30s]"),
            ("x[step()]", "x[15s]"),
            ("x[range() / 4]", "x[15m]"),
            ("x[max_of(step() * 4, 30s)]", "x[1m]"),
            ("x[min_of(step() * 4, 30s)]", "x[30s]"),
            ("x[2 ^ 3 ^ 2]", "x[8m32s]"),
            ("x[-2 ^ 2 + 10]", "x[6s]"),
            ("x[7 % 4]", "x[3s]"),
            ("x[2 * (3 + 4)]", "x[14s]"),
            ("x[10 - 4 - 3]", "x[3s]"),
            ("x[1.0005 * 1]", "x[1s]"),
            ("x offset -step()", "x offset -15s"),
            ("x offset (1h - 2h)", "x offset -1h"),
            ("x[1h:step() * 2] offset (step())", "x[1h:30s] offset 15s"),
            (
                "sum(rate(x[step() * 4] offset +(5m)))",
                "sum(rate(x[1m] offset 5m))",
            ),
        ] {
            assert_eq!(resolved(query), Ok(text.to_owned()), "{query}");
        }
    }

    #[test]
    fn unusable_values_are_errors() {
        for (query, error) in [
            ("x[1m - 1m]", "2:9: duration must be greater than 0"),
            ("x[-step()]", "2:9: duration must be greater than 0"),
            ("x[1h:5m - 6m]", "5:12: duration must be greater than 0"),
            ("x[1 / (step() - 15)]", "2:19: division by zero"),
            ("x[1 % (step() - 15)]", "2:19: modulo by zero"),
            ("x[(-8) ^ 0.5]", "2:12: duration is NaN or infinite"),
            ("x offset (10 ^ 10)", "9:18: duration is out of range"),
            ("x[10 ^ 400]", "2:10: duration is NaN or infinite"),
        ] {
            assert_eq!(resolved(query), Err(error.to_owned()), "{query}");
        }
    }

    #[test]
    fn a_nan_operand_is_not_lost() {
        assert!(go_min(f64::NAN, 1.0).is_nan());
        assert!(go_max(1.0, f64::NAN).is_nan());
        assert_eq!((go_min(1.0, 2.0), go_max(1.0, 2.0)), (1.0, 2.0));
    }

    #[test]
    fn a_literal_is_fixed_without_context() {
        let Ok(Expr::MatrixSelector(matrix)) = crate::parse("x[1.001] offset -1.0015") else {
            unreachable!("this is a range");
        };
        assert_eq!(matrix.range.fixed_ms(), Some(1001));
        assert_eq!(matrix.selector.offset.unwrap().fixed_ms(), Some(-1001));
    }
}
