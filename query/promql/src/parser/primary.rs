//! Literals, parentheses, calls and aggregations.

use super::{Failure, Node, Parsed, Parser};
use crate::ast::{Aggregate, Call, Expr, NumberLiteral, Paren, StringLiteral};
use crate::format::{parse_duration, parse_number, quote, unquote_bytes};
use crate::function::function;
use crate::operator::AggregateOp;
use crate::token::{Keyword, Token, TokenKind};

impl Parser<'_> {
    /// An expression without signs, operators and modifiers.
    pub(super) fn primary(&mut self) -> Parsed<Node> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let number = self.number_literal()?;
                self.node(Expr::NumberLiteral(number), 0)
            }
            TokenKind::String => {
                self.advance();
                let bytes = unquote_bytes(self.text(token));
                let (value, invalid_utf8) = match String::from_utf8(bytes) {
                    Ok(value) => (value, None),
                    Err(error) => {
                        let bytes = error.into_bytes();
                        (String::from_utf8_lossy(&bytes).into_owned(), Some(bytes))
                    }
                };
                let string = StringLiteral {
                    value,
                    invalid_utf8,
                    span: token.span,
                };
                self.node(Expr::StringLiteral(string), 0)
            }
            TokenKind::LeftParen => {
                self.advance();
                let inner = self.expr(0)?;
                let close = self.expect(TokenKind::RightParen)?;
                let paren = Paren {
                    expr: inner.expr,
                    span: token.span.to(close.span),
                };
                self.node(Expr::Paren(paren), inner.depth)
            }
            TokenKind::Aggregate(op) => {
                self.advance();
                match self.peek()?.kind {
                    TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without) => {
                        let aggregate = self.aggregate(op, token);
                        self.in_context(aggregate, "aggregation", "")
                    }
                    _ => self.selector_named(token),
                }
            }
            TokenKind::Identifier
            | TokenKind::Keyword(
                Keyword::Start
                | Keyword::End
                | Keyword::Step
                | Keyword::Range
                | Keyword::MaxOf
                | Keyword::MinOf,
            ) => {
                self.advance();
                match self.peek()?.kind {
                    TokenKind::LeftParen => self.call(token),
                    _ => self.selector_named(token),
                }
            }
            _ => {
                let selector = self.vector_selector()?;
                self.node(Expr::VectorSelector(selector), 0)
            }
        }
    }

    fn selector_named(&mut self, name: Token) -> Parsed<Node> {
        let selector = self.vector_selector_named(name)?;
        self.node(Expr::VectorSelector(selector), 0)
    }

    /// A number, or a duration as a number of seconds.
    pub(super) fn number_literal(&mut self) -> Parsed<NumberLiteral> {
        let token = self.peek()?;
        let text = self.text(token);
        let value = match token.kind {
            TokenKind::Number => parse_number(text).map_err(|error| {
                self.syntax(token.span, format!("error parsing number: {error}"))
            })?,
            TokenKind::Duration => {
                let ms = parse_duration(text)
                    .map_err(|error| self.syntax(token.span, error.to_string()))?;
                ms as f64 / 1000.0
            }
            _ => return Err(Failure::Unexpected),
        };
        self.advance();
        Ok(NumberLiteral {
            value,
            duration: token.kind == TokenKind::Duration,
            span: token.span,
        })
    }

    /// A call whose name has been read; the parenthesis is ahead.
    fn call(&mut self, name: Token) -> Parsed<Node> {
        let arguments = self.arguments()?;
        let text = self.text(name);
        let Some(function) = function(text) else {
            let message = format!("unknown function with name {}", quote(text));
            return Err(self.semantic(name.span, message));
        };
        if function.experimental && !self.options.experimental_functions {
            let message = format!("function {} is not enabled", quote(text));
            return Err(self.disabled(name.span, message));
        }
        let call = Call {
            function,
            args: arguments.exprs,
            span: name.span.to(arguments.close.span),
        };
        self.node(Expr::Call(call), arguments.depth)
    }

    /// An aggregation whose name has been read.
    fn aggregate(&mut self, op: AggregateOp, name: Token) -> Parsed<Node> {
        let mut grouping = self.grouping_modifier()?;
        let arguments = self.arguments()?;
        let mut span = name.span.to(arguments.close.span);
        if grouping.is_none() {
            grouping = self.grouping_modifier()?;
            if let Some(grouping) = &grouping {
                span = name.span.to(grouping.close);
            }
        }
        let mut exprs = arguments.exprs.into_iter();
        let given = exprs.len();
        if given == 0 {
            return Err(self.semantic(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.options.experimental_functions {
            let message = format!(
                "{op}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
            );
            return Err(self.disabled(span, message));
        }
        let param = if op.has_param() { exprs.next() } else { None };
        let (Some(expr), None) = (exprs.next(), exprs.next()) else {
            let wanted = if op.has_param() { 2 } else { 1 };
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {given}"
            );
            return Err(self.semantic(span, message));
        };
        let (labels, without) = grouping.map_or_else(Default::default, |grouping| {
            (grouping.labels, grouping.without)
        });
        let aggregate = Aggregate {
            op,
            expr: Box::new(expr),
            param: param.map(Box::new),
            grouping: labels,
            without,
            span,
        };
        self.node(Expr::Aggregate(aggregate), arguments.depth)
    }

    /// `(a, b)`
    fn arguments(&mut self) -> Parsed<Arguments> {
        self.expect(TokenKind::LeftParen)?;
        let (mut exprs, mut depth) = (Vec::new(), 0);
        if self.peek()?.kind != TokenKind::RightParen {
            loop {
                let argument = self.expr(0)?;
                depth = depth.max(argument.depth);
                exprs.push(*argument.expr);
                let comma = self.peek()?;
                if comma.kind != TokenKind::Comma {
                    break;
                }
                self.advance();
                if !starts_expr(self.peek()?.kind) {
                    return Err(self.syntax(
                        comma.span,
                        "trailing commas not allowed in function call args",
                    ));
                }
            }
        }
        let close = self.expect(TokenKind::RightParen)?;
        Ok(Arguments {
            exprs,
            depth,
            close,
        })
    }
}

struct Arguments {
    exprs: Vec<Expr>,
    /// Depth of the deepest.
    depth: usize,
    /// The closing parenthesis.
    close: Token,
}

fn starts_expr(kind: TokenKind) -> bool {
    use crate::operator::BinaryOp::{Add, Sub};
    kind.is_metric_name()
        || matches!(
            kind,
            TokenKind::Number
                | TokenKind::Duration
                | TokenKind::String
                | TokenKind::LeftParen
                | TokenKind::LeftBrace
                | TokenKind::Operator(Add | Sub)
        )
}
