//! Durations in brackets and behind `offset`.

use super::{Failure, Parsed, Parser};
use crate::duration::{Duration, DurationExpr, DurationOp, SECONDS_MAX};
use crate::operator::BinaryOp;
use crate::span::Span;
use crate::token::{Keyword, Token, TokenKind};

/// A duration expression with the number of nodes on its longest path to a leaf.
pub(super) struct Term {
    expr: DurationExpr,
    depth: usize,
}

/// How tightly a power binds.
const POWER: u8 = 3;

impl Parser<'_> {
    /// The duration of a range or of a subquery's step: positive, any arithmetic.
    pub(super) fn range_duration(&mut self) -> Parsed<Duration> {
        let term = self.duration_expr(0)?;
        let duration = fixed_if_literal(term.expr);
        // Prometheus takes a range of less than a millisecond, and selects nothing with it.
        if let Duration::Fixed { ms: ..=0, span } = duration {
            return Err(self.semantic(span, "duration must be greater than 0"));
        }
        Ok(duration)
    }

    /// The duration of an offset. Arithmetic needs parentheses around all of it, unless it begins with a parenthesis or two signs:
    /// `a offset 5m - 1` is a subtraction from `a offset 5m`.
    pub(super) fn offset_duration(&mut self) -> Parsed<Duration> {
        let token = self.peek()?;
        let term = match token.kind {
            TokenKind::LeftParen => self.duration_expr(0)?,
            TokenKind::Operator(sign @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.advance();
                let inner = self.peek()?;
                match inner.kind {
                    // Unlike elsewhere, this needs no experimental feature.
                    TokenKind::LeftParen => {
                        self.advance();
                        let operand = self.duration_expr(0)?;
                        let close = self.expect(TokenKind::RightParen)?;
                        let operand = self.parenthesized(operand, inner.span.to(close.span))?;
                        self.signed_term(sign, token.span, operand)?
                    }
                    TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub) => {
                        let operand = self.duration_expr(POWER)?;
                        let term = self.signed_term(sign, token.span, operand)?;
                        self.duration_operators(term, 0)?
                    }
                    _ => {
                        let operand = self.duration_word(token.span)?;
                        self.signed_term(sign, token.span, operand)?
                    }
                }
            }
            _ => self.duration_word(token.span)?,
        };
        Ok(fixed_if_literal(term.expr))
    }

    fn duration_expr(&mut self, precedence_min: u8) -> Parsed<Term> {
        self.enter()?;
        let token = self.peek()?;
        let term = match token.kind {
            TokenKind::Operator(sign @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.advance();
                let operand = self.duration_expr(POWER)?;
                self.signed_term(sign, token.span, operand)?
            }
            TokenKind::LeftParen => {
                self.advance();
                let inner = self.duration_expr(0)?;
                let close = self.expect(TokenKind::RightParen)?;
                self.check_enabled(inner.expr.span())?;
                self.parenthesized(inner, token.span.to(close.span))?
            }
            _ => self.duration_word(token.span)?,
        };
        let term = self.duration_operators(term, precedence_min)?;
        self.leave();
        Ok(term)
    }

    /// The operators behind a first operand.
    fn duration_operators(&mut self, mut lhs: Term, precedence_min: u8) -> Parsed<Term> {
        loop {
            let token = self.peek()?;
            let (op, precedence) = match token.kind {
                TokenKind::Operator(BinaryOp::Add) => (DurationOp::Add, 1),
                TokenKind::Operator(BinaryOp::Sub) => (DurationOp::Sub, 1),
                TokenKind::Operator(BinaryOp::Mul) => (DurationOp::Mul, 2),
                TokenKind::Operator(BinaryOp::Div) => (DurationOp::Div, 2),
                TokenKind::Operator(BinaryOp::Mod) => (DurationOp::Mod, 2),
                TokenKind::Operator(BinaryOp::Pow) => (DurationOp::Pow, POWER),
                _ => return Ok(lhs),
            };
            if precedence < precedence_min {
                return Ok(lhs);
            }
            self.advance();
            let rhs = self.duration_expr(precedence + u8::from(op != DurationOp::Pow))?;
            self.check_enabled(lhs.expr.span())?;
            if let DurationExpr::Literal { seconds: 0.0, .. } = rhs.expr {
                match op {
                    DurationOp::Div => return Err(self.semantic(token.span, "division by zero")),
                    DurationOp::Mod => return Err(self.semantic(token.span, "modulo by zero")),
                    _ => {}
                }
            }
            let span = lhs.expr.span().to(rhs.expr.span());
            lhs = self.binary_term(op, lhs, rhs, span)?;
        }
    }

    /// A literal, `step()`, `range()`, `min_of(…)` or `max_of(…)`; `start` is where the operand begins, with its sign.
    fn duration_word(&mut self, start: Span) -> Parsed<Term> {
        let token = self.peek()?;
        let keyword = match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let number = self.number_literal()?;
                self.check_seconds(number.value, start)?;
                let depth = self.count(0, number.span)?;
                let expr = DurationExpr::Literal {
                    seconds: number.value,
                    unit: number.duration,
                    span: number.span,
                };
                return Ok(Term { expr, depth });
            }
            TokenKind::Keyword(
                keyword @ (Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf),
            ) => keyword,
            _ => return Err(Failure::Unexpected),
        };
        self.advance();
        self.expect(TokenKind::LeftParen)?;
        let term = match keyword {
            Keyword::Step => self.query_duration(token, DurationExpr::Step)?,
            Keyword::Range => self.query_duration(token, DurationExpr::Range)?,
            _ => {
                let lhs = self.duration_expr(0)?;
                self.expect(TokenKind::Comma)?;
                let rhs = self.duration_expr(0)?;
                let close = self.expect(TokenKind::RightParen)?;
                let op = match keyword {
                    Keyword::MinOf => DurationOp::Min,
                    _ => DurationOp::Max,
                };
                self.binary_term(op, lhs, rhs, token.span.to(close.span))?
            }
        };
        self.check_enabled(start)?;
        Ok(term)
    }

    /// The end of `step()` or `range()`.
    fn query_duration(
        &mut self,
        keyword: Token,
        build: impl Fn(Span) -> DurationExpr,
    ) -> Parsed<Term> {
        let close = self.expect(TokenKind::RightParen)?;
        let span = keyword.span.to(close.span);
        let depth = self.count(0, span)?;
        Ok(Term {
            expr: build(span),
            depth,
        })
    }

    fn binary_term(&mut self, op: DurationOp, lhs: Term, rhs: Term, span: Span) -> Parsed<Term> {
        let depth = self.count(lhs.depth.max(rhs.depth), span)?;
        let expr = DurationExpr::Binary {
            op,
            lhs: Box::new(lhs.expr),
            rhs: Box::new(rhs.expr),
            span,
        };
        Ok(Term { expr, depth })
    }

    /// A sign in front of an operand: part of a literal, and nothing if it is a plus before anything else.
    fn signed_term(&mut self, sign: BinaryOp, sign_span: Span, operand: Term) -> Parsed<Term> {
        let negative = sign == BinaryOp::Sub;
        let span = sign_span.to(operand.expr.span());
        match operand.expr {
            DurationExpr::Literal { seconds, unit, .. } => {
                let seconds = if negative { -seconds } else { seconds };
                self.check_seconds(seconds, sign_span)?;
                let expr = DurationExpr::Literal {
                    seconds,
                    unit,
                    span,
                };
                Ok(Term {
                    expr,
                    depth: operand.depth,
                })
            }
            expr if negative => {
                let depth = self.count(operand.depth, span)?;
                let expr = DurationExpr::Negate {
                    expr: Box::new(expr),
                    span,
                };
                Ok(Term { expr, depth })
            }
            expr => Ok(Term {
                expr,
                depth: operand.depth,
            }),
        }
    }

    /// Parentheses around parentheses are written once.
    fn parenthesized(&mut self, inner: Term, span: Span) -> Parsed<Term> {
        if matches!(inner.expr, DurationExpr::Paren { .. }) {
            return Ok(inner);
        }
        let depth = self.count(inner.depth, span)?;
        let expr = DurationExpr::Paren {
            expr: Box::new(inner.expr),
            span,
        };
        Ok(Term { expr, depth })
    }

    fn check_seconds(&self, seconds: f64, span: Span) -> Parsed<()> {
        if seconds.is_nan() || seconds.abs() > SECONDS_MAX {
            return Err(self.semantic(span, "duration out of range"));
        }
        Ok(())
    }

    fn check_enabled(&self, span: Span) -> Parsed<()> {
        if !self.options.duration_expressions {
            return Err(self.disabled(span, "experimental duration expression is not enabled"));
        }
        Ok(())
    }
}

/// A literal alone is fixed, and cut to whole milliseconds.
fn fixed_if_literal(expr: DurationExpr) -> Duration {
    match expr {
        DurationExpr::Literal { seconds, span, .. } => {
            let ms = seconds * 1000.0;
            // 1.001 s is a hair less than 1001 ms in binary.
            let whole_ms = if (ms - ms.round()).abs() < 1e-6 {
                ms.round()
            } else {
                ms.trunc()
            };
            Duration::Fixed {
                ms: whole_ms as i64,
                span,
            }
        }
        expr => Duration::Expr(expr),
    }
}
