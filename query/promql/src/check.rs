//! Checks that types, arguments and modifiers fit together, in the order in which Prometheus does, since only the first error is shown.

use crate::ast::{Aggregate, Binary, Call, Cardinality, Expr, FillValues, VectorSelector};
use crate::error::{ParseError, ParseErrorKind};
use crate::format::quote;
use crate::function::Arity;
use crate::matcher::METRIC_NAME;
use crate::operator::AggregateOp;
use crate::span::Span;
use crate::value_type::ValueType;

/// Checks a tree, and settles how binary operations match their operands.
pub(crate) fn check(query: &str, expr: &mut Expr) -> Result<(), ParseError> {
    Checker { query }.expr(expr).map(|_| ())
}

struct Checker<'q> {
    query: &'q str,
}

type Checked<T> = Result<T, ParseError>;

impl Checker<'_> {
    fn expr(&self, expr: &mut Expr) -> Checked<ValueType> {
        match expr {
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
            Expr::VectorSelector(selector) => self.selector(selector, false)?,
            Expr::MatrixSelector(matrix) => self.selector(&matrix.selector, false)?,
            Expr::Subquery(subquery) => {
                let found = self.expr(&mut subquery.expr)?;
                if found != ValueType::Vector {
                    let message =
                        format!("subquery is only allowed on instant vector, got {found} instead");
                    return Err(self.error(subquery.span, message));
                }
            }
            Expr::Call(call) => self.call(call)?,
            Expr::Aggregate(aggregate) => self.aggregate(aggregate)?,
            Expr::Binary(binary) => self.binary(binary)?,
            Expr::Unary(unary) => {
                let found = self.expr(&mut unary.expr)?;
                if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                    let message = format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                        quote(found.documented())
                    );
                    return Err(self.error(unary.span, message));
                }
            }
            Expr::Paren(paren) => {
                self.expr(&mut paren.expr)?;
            }
        }
        Ok(expr.value_type())
    }

    fn selector(&self, selector: &VectorSelector, all_may_be_empty: bool) -> Checked<()> {
        if let Some(name) = &selector.name {
            let in_braces = selector.matchers.iter().rev().skip(1).rev();
            if let Some(matcher) = in_braces
                .into_iter()
                .find(|matcher| matcher.name == METRIC_NAME)
            {
                let (name, other) = (quote(name), quote(&matcher.value));
                let message = format!("metric name must not be set twice: {name} or {other}");
                return Err(self.error(selector.span, message));
            }
            return Ok(());
        }
        // Else a slip of the pen would select every series there is.
        if !all_may_be_empty
            && selector
                .matchers
                .iter()
                .all(|matcher| matcher.matches_empty())
        {
            let message = "vector selector must contain at least one non-empty matcher";
            return Err(self.error(selector.span, message));
        }
        Ok(())
    }

    fn aggregate(&self, aggregate: &mut Aggregate) -> Checked<()> {
        self.expect(
            &mut aggregate.expr,
            ValueType::Vector,
            "aggregation expression",
        )?;
        if let Some(param) = &mut aggregate.param {
            let wanted = match aggregate.op {
                AggregateOp::CountValues => ValueType::String,
                _ => ValueType::Scalar,
            };
            self.expect(param, wanted, "aggregation parameter")?;
        }
        Ok(())
    }

    fn binary(&self, binary: &mut Binary) -> Checked<()> {
        let lhs = self.expr(&mut binary.lhs)?;
        let rhs = self.expr(&mut binary.rhs)?;
        let op = binary.op;
        if binary.return_bool && !op.is_comparison() {
            let message = "bool modifier can only be used on comparison operators";
            return Err(self.error(self.operator_span(binary), message));
        }
        let both_scalars = lhs == ValueType::Scalar && rhs == ValueType::Scalar;
        if op.is_comparison() && !binary.return_bool && both_scalars {
            let message = "comparisons between scalars must use BOOL modifier";
            return Err(self.error(self.operator_span(binary), message));
        }
        let operator_span = self.operator_span(binary);
        let Some(matching) = &mut binary.matching else {
            return Ok(());
        };
        let both = matching
            .labels
            .iter()
            .find(|label| matching.include.contains(label));
        if let (true, Some(label)) = (matching.on, both) {
            let message = format!(
                "label {} must not occur in ON and GROUP clause at once",
                quote(label)
            );
            return Err(self.error(operator_span, message));
        }
        for (side, found) in [(&binary.lhs, lhs), (&binary.rhs, rhs)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return Err(self.error(side.span(), message));
            }
        }
        let filled = matching.fill != FillValues::default();
        if lhs != ValueType::Vector || rhs != ValueType::Vector {
            let message = if !matching.labels.is_empty() {
                "vector matching only allowed between instant vectors".to_owned()
            } else if filled {
                "filling in missing series only allowed between instant vectors".to_owned()
            } else if op.is_set() {
                format!(
                    "set operator {} not allowed in binary scalar expression",
                    quote(op.as_str())
                )
            } else {
                binary.matching = None;
                return Ok(());
            };
            return Err(self.error(binary.span, message));
        }
        if op.is_set() {
            if matching.cardinality != Cardinality::OneToOne {
                let message = format!("no grouping allowed for {} operation", quote(op.as_str()));
                return Err(self.error(binary.span, message));
            }
            if filled {
                let message = "filling in missing series not allowed for set operators";
                return Err(self.error(binary.span, message));
            }
            matching.cardinality = Cardinality::ManyToMany;
        }
        Ok(())
    }

    fn call(&self, call: &mut Call) -> Checked<()> {
        let (function, given) = (call.function, call.args.len());
        let name = quote(function.name);
        let (min, max) = (function.args_min(), function.args_max());
        if function.arity == Arity::Exact && given != min {
            let message = format!("expected {min} argument(s) in call to {name}, got {given}");
            return Err(self.error(call.span, message));
        }
        if given < min {
            let message =
                format!("expected at least {min} argument(s) in call to {name}, got {given}");
            return Err(self.error(call.span, message));
        }
        if let Some(max) = max
            && given > max
        {
            let message =
                format!("expected at most {max} argument(s) in call to {name}, got {given}");
            return Err(self.error(call.span, message));
        }
        if function.name == "info"
            && let Some(labels) = call.args.get(1)
        {
            self.info_labels(labels, call.span)?;
        }
        for (index, arg) in call.args.iter_mut().enumerate() {
            // The second argument of info() is no selection of its own.
            let found = if let (Expr::VectorSelector(selector), "info", 1) =
                (&*arg, function.name, index)
            {
                self.selector(selector, true)?;
                ValueType::Vector
            } else {
                self.expr(arg)?
            };
            if let Some(wanted) = function.arg_type(index)
                && found != wanted
            {
                let (wanted, found) = (wanted.documented(), found.documented());
                let message =
                    format!("expected type {wanted} in call to function {name}, got {found}");
                return Err(self.error(arg.span(), message));
            }
        }
        Ok(())
    }

    /// The second argument of `info()`: matchers in braces.
    fn info_labels(&self, labels: &Expr, call: Span) -> Checked<()> {
        let found = labels.value_type();
        if found != ValueType::Vector {
            let message = format!(
                "expected type instant vector in call to function \"info\", got {}",
                found.documented()
            );
            return Err(self.error(call, message));
        }
        match labels {
            Expr::VectorSelector(VectorSelector { name: None, .. }) => Ok(()),
            Expr::VectorSelector(_) => {
                let message = "expected label selectors only, got vector selector instead";
                Err(self.error(labels.span(), message))
            }
            _ => Err(self.error(labels.span(), "expected label selectors only")),
        }
    }

    fn expect(&self, expr: &mut Expr, wanted: ValueType, place: &str) -> Checked<()> {
        let found = self.expr(expr)?;
        if found != wanted {
            let (wanted, found) = (wanted.documented(), found.documented());
            let message = format!("expected type {wanted} in {place}, got {found}");
            return Err(self.error(expr.span(), message));
        }
        Ok(())
    }

    /// From the operator to the right operand, modifiers included.
    fn operator_span(&self, binary: &Binary) -> Span {
        let (from, to) = (binary.lhs.span().end, binary.rhs.span().start);
        let between = self.query.get(from..to).unwrap_or_default();
        let start = from + (between.len() - between.trim_start().len());
        Span::new(start, from + between.trim_end().len())
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(ParseErrorKind::Semantic, self.query, span, message)
    }
}
