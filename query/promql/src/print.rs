//! The canonical text of an expression, as Prometheus prints it in error messages and returns it from `format_query`.
//!
//! It parses back to the same tree. Where Prometheus's own text would not, this prints something longer: labels that are
//! keywords are quoted, and an offset whose arithmetic has no parentheses gets signs that keep it together.

use std::fmt::{self, Display, Formatter};

use crate::ast::{
    Aggregate, At, Binary, Call, Cardinality, Expr, MatrixSelector, NumberLiteral, Paren,
    StringLiteral, Subquery, Unary, VectorMatching, VectorSelector,
};
use crate::duration::{Duration, DurationExpr, DurationOp};
use crate::format::{
    format_duration, format_float, format_float_g, format_timestamp_seconds, quote, quote_bytes,
};
use crate::matcher::{METRIC_NAME, MatchOp, Matcher};
use crate::operator::BinaryOp;
use crate::token::TokenKind;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::NumberLiteral(node) => node.fmt(f),
            Expr::StringLiteral(node) => node.fmt(f),
            Expr::VectorSelector(node) => node.fmt(f),
            Expr::MatrixSelector(node) => node.fmt(f),
            Expr::Subquery(node) => node.fmt(f),
            Expr::Call(node) => node.fmt(f),
            Expr::Aggregate(node) => node.fmt(f),
            Expr::Binary(node) => node.fmt(f),
            Expr::Unary(node) => node.fmt(f),
            Expr::Paren(node) => node.fmt(f),
        }
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_number(f, self.value, self.duration)
    }
}

impl Display for StringLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.invalid_utf8 {
            Some(bytes) => f.write_str(&quote_bytes(bytes)),
            None => f.write_str(&quote(&self.value)),
        }
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write_series(f)?;
        write_at(f, self.at)?;
        f.write_str(self.range_extension())?;
        write_offset(f, self.offset.as_ref())
    }
}

impl VectorSelector {
    /// Name and matchers, the matchers in the order of their text.
    fn write_series(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or_default();
        f.write_str(name)?;
        let says_name = |matcher: &Matcher| {
            matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal && matcher.value == name
        };
        let mut matchers: Vec<String> = self
            .matchers
            .iter()
            .filter(|matcher| name.is_empty() || !says_name(matcher))
            .map(ToString::to_string)
            .collect();
        matchers.sort_unstable();
        // Without a name nor matchers, as in the second argument of info(), only the braces are left.
        if !matchers.is_empty() || name.is_empty() {
            write!(f, "{{{}}}", matchers.join(","))?;
        }
        Ok(())
    }

    fn range_extension(&self) -> &'static str {
        match (self.anchored, self.smoothed) {
            (true, _) => " anchored",
            (_, true) => " smoothed",
            _ => "",
        }
    }
}

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_plain_label(&self.name) {
            f.write_str(&self.name)?;
        } else {
            f.write_str(&quote(&self.name))?;
        }
        f.write_str(self.op.as_str())?;
        f.write_str(&quote(&self.value))
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let selector = &self.selector;
        selector.write_series(f)?;
        write!(f, "[{}]{}", self.range, selector.range_extension())?;
        write_at(f, selector.at)?;
        write_offset(f, selector.offset.as_ref())
    }
}

impl Display for Subquery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.expr, self.time_suffix())
    }
}

impl Subquery {
    /// Everything behind the expression: `[1h:5m] @ 0.000 offset 1m`.
    pub(crate) fn time_suffix(&self) -> impl Display {
        fmt::from_fn(|f| {
            write!(f, "[{}:", self.range)?;
            if let Some(step) = &self.step {
                step.fmt(f)?;
            }
            f.write_str("]")?;
            write_at(f, self.at)?;
            write_offset(f, self.offset.as_ref())
        })
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function.name)?;
        for (index, arg) in self.args.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            arg.fmt(f)?;
        }
        f.write_str(")")
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.head())?;
        if let Some(param) = &self.param {
            write!(f, "{param}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

impl Aggregate {
    /// Everything before the arguments: `sum by (job) `.
    pub(crate) fn head(&self) -> impl Display {
        fmt::from_fn(|f| {
            f.write_str(self.op.as_str())?;
            match (self.without, self.grouping.is_empty()) {
                (true, _) => write!(f, " without {} ", labels(&self.grouping)),
                (false, false) => write!(f, " by {} ", labels(&self.grouping)),
                (false, true) => Ok(()),
            }
        })
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &*self.lhs {
            // A sign would apply to the power instead.
            Expr::NumberLiteral(number)
                if self.op == BinaryOp::Pow && number.value == f64::INFINITY =>
            {
                f.write_str("Inf")?;
            }
            lhs => lhs.fmt(f)?,
        }
        write!(f, " {} {}", self.operator(), self.rhs)
    }
}

impl Binary {
    /// The operator with its modifiers: `/ on (job) group_left ()`.
    pub(crate) fn operator(&self) -> impl Display {
        fmt::from_fn(|f| {
            f.write_str(self.op.as_str())?;
            if self.return_bool {
                f.write_str(" bool")?;
            }
            self.matching
                .as_ref()
                .map_or(Ok(()), |matching| matching.fmt(f))
        })
    }
}

/// With a space before each modifier.
impl Display for VectorMatching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let group = match self.cardinality {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if self.on || !self.labels.is_empty() || group.is_some() {
            let which = if self.on { "on" } else { "ignoring" };
            write!(f, " {which} {}", labels(&self.labels))?;
        }
        if let Some(group) = group {
            write!(f, " {group} {}", labels(&self.include))?;
        }
        match (self.fill.lhs, self.fill.rhs) {
            (Some(lhs), Some(rhs)) if lhs == rhs => write!(f, " fill ({})", format_float_g(lhs)),
            (lhs, rhs) => {
                if let Some(value) = lhs {
                    write!(f, " fill_left ({})", format_float_g(value))?;
                }
                if let Some(value) = rhs {
                    write!(f, " fill_right ({})", format_float_g(value))?;
                }
                Ok(())
            }
        }
    }
}

impl Display for Unary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.op.as_str(), self.expr)
    }
}

impl Display for Paren {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "({})", self.expr)
    }
}

impl Display for At {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            // Three decimals, even if they are zeros.
            At::Timestamp(ms) if ms % 1000 == 0 => write!(f, "{}.000", ms / 1000),
            At::Timestamp(ms) => f.write_str(&format_timestamp_seconds(*ms)),
            At::Start => f.write_str("start()"),
            At::End => f.write_str("end()"),
        }
    }
}

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Duration::Fixed { ms, .. } => f.write_str(&format_duration(*ms)),
            Duration::Expr(expr) => expr.fmt(f),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DurationExpr::Literal { seconds, unit, .. } => write_number(f, *seconds, *unit),
            DurationExpr::Step(_) => f.write_str("step()"),
            DurationExpr::Range(_) => f.write_str("range()"),
            DurationExpr::Negate { expr, .. } => write!(f, "-{expr}"),
            DurationExpr::Paren { expr, .. } => write!(f, "({expr})"),
            DurationExpr::Binary { op, lhs, rhs, .. } => match op {
                DurationOp::Min | DurationOp::Max => write!(f, "{}({lhs}, {rhs})", op.as_str()),
                _ => write!(f, "{lhs} {} {rhs}", op.as_str()),
            },
        }
    }
}

fn write_number(f: &mut Formatter<'_>, value: f64, duration: bool) -> fmt::Result {
    if duration {
        f.write_str(&format_duration((value * 1000.0).round() as i64))
    } else {
        f.write_str(&format_float(value))
    }
}

fn write_at(f: &mut Formatter<'_>, at: Option<At>) -> fmt::Result {
    at.map_or(Ok(()), |at| write!(f, " @ {at}"))
}

fn write_offset(f: &mut Formatter<'_>, offset: Option<&Duration>) -> fmt::Result {
    let Some(offset) = offset else { return Ok(()) };
    let text = offset.to_string();
    let signs = match offset {
        Duration::Expr(expr) if !is_offset_operand(expr) => match text.as_bytes() {
            // Operators may follow a parenthesis or two signs.
            [b'(', ..] | [b'-', b'-', ..] => "",
            [b'-', ..] => "+",
            _ => "++",
        },
        _ => "",
    };
    write!(f, " offset {signs}{text}")
}

/// Whether the parser takes all of it for the offset, wherever it stands.
fn is_offset_operand(expr: &DurationExpr) -> bool {
    let operand = match expr {
        DurationExpr::Negate { expr, .. } => expr,
        expr => expr,
    };
    match operand {
        DurationExpr::Binary { op, .. } => matches!(op, DurationOp::Min | DurationOp::Max),
        DurationExpr::Negate { .. } => false,
        _ => true,
    }
}

/// `(a, b)`
fn labels(names: &[String]) -> impl Display {
    fmt::from_fn(|f| {
        f.write_str("(")?;
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            if is_plain_label(name) && TokenKind::of_word(name).is_grouping_label() {
                f.write_str(name)?;
            } else {
                f.write_str(&quote(name))?;
            }
        }
        f.write_str(")")
    })
}

/// Whether a label needs no quotes in braces.
fn is_plain_label(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
