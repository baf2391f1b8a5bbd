//! Lists of labels in parentheses.

use super::{Failure, Parsed, Parser};
use crate::format::unquote;
use crate::span::Span;
use crate::token::{Keyword, TokenKind};

const CONTEXT: &str = "grouping opts";

/// `by (…)` or `without (…)`
pub(super) struct Grouping {
    pub(super) labels: Vec<String>,
    pub(super) without: bool,
    /// The closing parenthesis.
    pub(super) close: Span,
}

impl Parser<'_> {
    /// `by (…)` or `without (…)`, if one of them is ahead.
    pub(super) fn grouping_modifier(&mut self) -> Parsed<Option<Grouping>> {
        let without = match self.peek()?.kind {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.advance();
        let (labels, close) = self.labels()?;
        Ok(Some(Grouping {
            labels,
            without,
            close,
        }))
    }

    /// `(a, "b", c,)`
    pub(super) fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        self.labels().map(|(labels, _)| labels)
    }

    fn labels(&mut self) -> Parsed<(Vec<String>, Span)> {
        let open = self.expect(TokenKind::LeftParen);
        self.in_context(open, CONTEXT, "\"(\"")?;
        let mut labels = Vec::new();
        loop {
            // A comma may stand behind the last label.
            let token = self.peek()?;
            if token.kind == TokenKind::RightParen {
                self.advance();
                return Ok((labels, token.span));
            }
            let label = self.grouping_label();
            labels.push(self.in_context(label, CONTEXT, "label")?);
            self.count(0, token.span)?;
            match self.peek()?.kind {
                TokenKind::Comma => self.advance(),
                TokenKind::RightParen => {}
                _ => return self.in_context(Err(Failure::Unexpected), CONTEXT, "\",\" or \")\""),
            }
        }
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let token = self.peek()?;
        let label = if token.kind.is_grouping_label() {
            self.text(token).to_owned()
        } else if token.kind == TokenKind::String {
            unquote(self.text(token))
        } else {
            return Err(Failure::Unexpected);
        };
        if label.is_empty() {
            return Err(self.semantic(token.span, "invalid label name for grouping: \"\""));
        }
        self.advance();
        Ok(label)
    }
}
