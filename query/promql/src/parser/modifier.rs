//! What stands behind an expression: ranges, subqueries, `offset`, `@`, `anchored`, `smoothed`.

use super::{Failure, Node, Parsed, Parser};
use crate::ast::{At, Expr, MatrixSelector, Subquery};
use crate::duration::Duration;
use crate::span::Span;
use crate::token::{Keyword, Token, TokenKind};

const TERMS: &str = "number, duration, step(), or range()";

/// Where a modifier is stored, and the span that grows with it.
struct Target<'e> {
    offset: &'e mut Option<Duration>,
    at: &'e mut Option<At>,
    span: &'e mut Span,
}

impl Parser<'_> {
    /// Applies all modifiers that follow. They bind more tightly than any operator.
    pub(super) fn modifiers(&mut self, mut node: Node) -> Parsed<Node> {
        loop {
            let token = self.peek()?;
            match token.kind {
                TokenKind::LeftBracket => node = self.range_or_subquery(node, token)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(&mut node.expr)?,
                TokenKind::At => self.at(&mut node.expr)?,
                TokenKind::Keyword(Keyword::Anchored) => {
                    self.advance();
                    self.extend_range(&mut node.expr, "anchored")?;
                }
                TokenKind::Keyword(Keyword::Smoothed) => {
                    self.advance();
                    self.extend_range(&mut node.expr, "smoothed")?;
                }
                _ => return Ok(node),
            }
        }
    }

    /// `[5m]`, `[1h:5m]` or `[1h:]`
    fn range_or_subquery(&mut self, node: Node, open: Token) -> Parsed<Node> {
        self.advance();
        let range = self.range_duration();
        let range = self.in_context(range, "subquery or range selector", TERMS)?;
        match self.peek()?.kind {
            TokenKind::RightBracket => {
                let close = self.expect(TokenKind::RightBracket)?;
                self.matrix_selector(node, range, open.span.to(close.span))
            }
            TokenKind::Colon => {
                self.advance();
                let step = if self.peek()?.kind == TokenKind::RightBracket {
                    None
                } else {
                    let step = self.range_duration();
                    let expected = "number, duration, step(), range(), or \"]\"";
                    Some(self.in_context(step, "subquery selector", expected)?)
                };
                let close = self.expect(TokenKind::RightBracket);
                let close = self.in_context(close, "subquery selector", "\"]\"")?;
                let subquery = Subquery {
                    span: node.expr.span().to(close.span),
                    expr: node.expr,
                    range,
                    step,
                    offset: None,
                    at: None,
                };
                self.node(Expr::Subquery(subquery), node.depth)
            }
            _ => self.in_context(
                Err(Failure::Unexpected),
                "subquery or range",
                "\":\" or \"]\"",
            ),
        }
    }

    fn matrix_selector(&mut self, node: Node, range: Duration, brackets: Span) -> Parsed<Node> {
        let selector = match *node.expr {
            Expr::VectorSelector(selector) => selector,
            _ => return Err(self.semantic(brackets, "ranges only allowed for vector selectors")),
        };
        if selector.offset.is_some() {
            return Err(self.semantic(brackets, "no offset modifiers allowed before range"));
        }
        if selector.at.is_some() {
            return Err(self.semantic(brackets, "no @ modifiers allowed before range"));
        }
        let matrix = MatrixSelector {
            span: selector.span.to(brackets),
            selector,
            range,
        };
        self.node(Expr::MatrixSelector(matrix), node.depth)
    }

    /// `offset 5m`
    fn offset(&mut self, expr: &mut Expr) -> Parsed<()> {
        self.advance();
        let offset = self.offset_duration();
        let offset = self.in_context(offset, "offset", TERMS)?;
        let whole = expr.span();
        let Some(target) = target(expr) else {
            return Err(self.semantic(whole, preceded_by_selector("offset")));
        };
        if target.offset.is_some() {
            return Err(self.semantic(whole, "offset may not be set multiple times"));
        }
        *target.span = whole.to(offset.span());
        // An offset of zero is none.
        *target.offset = Some(offset).filter(|offset| offset.fixed_ms() != Some(0));
        Ok(())
    }

    /// `@ 1609746000`, `@ start()` or `@ end()`
    fn at(&mut self, expr: &mut Expr) -> Parsed<()> {
        self.advance();
        let time = self.time();
        let (time, end) = self.in_context(time, "@", "timestamp")?;
        let whole = expr.span();
        let at = match time {
            Time::At(at) => at,
            Time::Seconds(seconds) => {
                // Not finite, or no 64-bit integer.
                if seconds.is_nan() || seconds.abs() >= i64::MAX as f64 {
                    let seconds = if seconds.is_finite() {
                        format!("{seconds:.6}")
                    } else {
                        crate::format::format_float(seconds)
                    };
                    let message = format!("timestamp out of bounds for @ modifier: {seconds}");
                    return Err(self.semantic(whole, message));
                }
                At::Timestamp((seconds * 1000.0).round() as i64)
            }
        };
        let Some(target) = target(expr) else {
            return Err(self.semantic(whole, preceded_by_selector("@")));
        };
        if target.at.is_some() {
            return Err(self.semantic(whole, "@ <timestamp> may not be set multiple times"));
        }
        *target.at = Some(at);
        *target.span = whole.to(end);
        Ok(())
    }

    fn time(&mut self) -> Parsed<(Time, Span)> {
        let at = match self.peek()?.kind {
            TokenKind::Keyword(Keyword::Start) => At::Start,
            TokenKind::Keyword(Keyword::End) => At::End,
            _ => {
                let (seconds, span) = self.signed_number()?;
                return Ok((Time::Seconds(seconds), span));
            }
        };
        self.advance();
        self.expect(TokenKind::LeftParen)?;
        let close = self.expect(TokenKind::RightParen)?;
        Ok((Time::At(at), close.span))
    }

    /// `anchored` or `smoothed`, which has been read.
    fn extend_range(&mut self, expr: &mut Expr, modifier: &str) -> Parsed<()> {
        let span = expr.span();
        if !self.options.extended_range_selectors {
            let message = format!("{modifier} modifier is experimental and not enabled");
            return Err(self.disabled(span, message));
        }
        let selector = match expr {
            Expr::VectorSelector(selector) => selector,
            Expr::MatrixSelector(matrix) => &mut matrix.selector,
            Expr::Subquery(_) => {
                let message = format!("{modifier} modifier is not supported for subqueries");
                return Err(self.semantic(span, message));
            }
            _ => return Err(self.semantic(span, format!("{modifier} modifier not implemented"))),
        };
        match modifier {
            "anchored" => selector.anchored = true,
            _ => selector.smoothed = true,
        }
        if selector.anchored && selector.smoothed {
            let message = "anchored and smoothed modifiers cannot be used together";
            return Err(self.semantic(span, message));
        }
        Ok(())
    }
}

enum Time {
    At(At),
    Seconds(f64),
}

fn target(expr: &mut Expr) -> Option<Target<'_>> {
    match expr {
        Expr::VectorSelector(selector) => Some(Target {
            offset: &mut selector.offset,
            at: &mut selector.at,
            span: &mut selector.span,
        }),
        Expr::MatrixSelector(matrix) => Some(Target {
            offset: &mut matrix.selector.offset,
            at: &mut matrix.selector.at,
            span: &mut matrix.span,
        }),
        Expr::Subquery(subquery) => Some(Target {
            offset: &mut subquery.offset,
            at: &mut subquery.at,
            span: &mut subquery.span,
        }),
        _ => None,
    }
}

fn preceded_by_selector(modifier: &str) -> String {
    format!(
        "{modifier} modifier must be preceded by an instant vector selector or range vector selector or a subquery"
    )
}
