//! Why a query was rejected, and where.

use thiserror::Error;

use crate::span::Span;

/// Why a query was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// The text is not PromQL.
    Syntax,
    /// The text is PromQL, but types, arguments or modifiers do not fit together.
    Semantic,
    /// The query uses an experimental part of the language that is switched off in [`crate::ParseOptions`].
    Disabled,
    /// The query is larger than [`crate::ParseOptions`] allow.
    Limit,
}

/// A query that was rejected. `Display` gives `LINE:COLUMN: parse error: MESSAGE`, in Prometheus's words.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{line}:{column}: parse error: {message}")]
pub struct ParseError {
    kind: ParseErrorKind,
    span: Span,
    line: usize,
    column: usize,
    message: String,
}

impl ParseError {
    #[expect(dead_code, reason = "the parser lands next")]
    pub(crate) fn new(
        kind: ParseErrorKind,
        query: &str,
        span: Span,
        message: impl Into<String>,
    ) -> ParseError {
        let (line, column) = span.line_and_column(query);
        ParseError {
            kind,
            span,
            line,
            column,
            message: message.into(),
        }
    }

    /// The class of the error. All of them are the caller's to mend.
    pub fn kind(&self) -> ParseErrorKind {
        self.kind
    }

    /// The part of the query that is at fault.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Line of the first byte at fault, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Column of the first byte at fault, from 1, in bytes.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The message without position.
    pub fn message(&self) -> &str {
        &self.message
    }
}
