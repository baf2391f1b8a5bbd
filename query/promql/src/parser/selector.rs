//! Selectors of series.

use super::{Failure, Parsed, Parser};
use crate::ast::VectorSelector;
use crate::format::unquote;
use crate::matcher::{METRIC_NAME, MatchOp, Matcher};
use crate::operator::BinaryOp;
use crate::regex::rust_regex;
use crate::span::Span;
use crate::token::{Token, TokenKind};

const CONTEXT: &str = "label matching";

impl Parser<'_> {
    /// `name`, `name{…}` or `{…}`
    pub(super) fn vector_selector(&mut self) -> Parsed<VectorSelector> {
        let token = self.peek()?;
        if token.kind == TokenKind::LeftBrace {
            let (matchers, span) = self.matchers()?;
            return Ok(selector(None, matchers, span));
        }
        if !token.kind.is_metric_name() {
            return Err(Failure::Unexpected);
        }
        self.advance();
        self.vector_selector_named(token)
    }

    /// A selector whose metric name has been read.
    pub(super) fn vector_selector_named(&mut self, name: Token) -> Parsed<VectorSelector> {
        let text = self.text(name).to_owned();
        let (mut matchers, mut span) = (Vec::new(), name.span);
        if self.peek()?.kind == TokenKind::LeftBrace {
            let in_braces = self.matchers()?;
            matchers = in_braces.0;
            span = name.span.to(in_braces.1);
        }
        matchers.push(Matcher::new(METRIC_NAME, MatchOp::Equal, text.clone()));
        Ok(selector(Some(text), matchers, span))
    }

    /// `{"name", a="b", c=~"d",}`: the brace is ahead.
    fn matchers(&mut self) -> Parsed<(Vec<Matcher>, Span)> {
        let open = self.expect(TokenKind::LeftBrace)?;
        let mut matchers = Vec::new();
        loop {
            // A comma may stand behind the last matcher.
            let token = self.peek()?;
            if token.kind == TokenKind::RightBrace {
                self.advance();
                return Ok((matchers, open.span.to(token.span)));
            }
            matchers.push(self.matcher(token)?);
            self.count(0, token.span)?;
            match self.peek()?.kind {
                TokenKind::Comma => self.advance(),
                TokenKind::RightBrace => {}
                _ => return self.in_context(Err(Failure::Unexpected), CONTEXT, "\",\" or \"}\""),
            }
        }
    }

    /// `name="value"`, `"name"="value"`, or `"metric name"`; `token` is ahead.
    fn matcher(&mut self, token: Token) -> Parsed<Matcher> {
        let name = match token.kind {
            TokenKind::Identifier => self.text(token).to_owned(),
            TokenKind::String => unquote(self.text(token)),
            _ => return self.in_context(Err(Failure::Unexpected), CONTEXT, "identifier or \"}\""),
        };
        self.advance();
        let op = match self.peek()?.kind {
            TokenKind::Equal => MatchOp::Equal,
            TokenKind::Operator(BinaryOp::Ne) => MatchOp::NotEqual,
            TokenKind::EqualRegex => MatchOp::Regex,
            TokenKind::NotEqualRegex => MatchOp::NotRegex,
            _ if token.kind == TokenKind::String => {
                return Ok(Matcher::new(METRIC_NAME, MatchOp::Equal, name));
            }
            _ => {
                return self.in_context(
                    Err(Failure::Unexpected),
                    CONTEXT,
                    "label matching operator",
                );
            }
        };
        self.advance();
        let value = self.expect(TokenKind::String);
        let value = self.in_context(value, CONTEXT, "string")?;
        let text = unquote(self.text(value));
        if matches!(op, MatchOp::Regex | MatchOp::NotRegex)
            && let Err(error) = rust_regex(&text)
        {
            return Err(self.semantic(token.span.to(value.span), error.to_string()));
        }
        Ok(Matcher::new(name, op, text))
    }
}

fn selector(name: Option<String>, matchers: Vec<Matcher>, span: Span) -> VectorSelector {
    VectorSelector {
        name,
        matchers,
        offset: None,
        at: None,
        anchored: false,
        smoothed: false,
        span,
    }
}
