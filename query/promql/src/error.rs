//! Why a query was rejected, and where.

use std::fmt;

use crate::span::Span;

/// The class of a [`ParseError`]; all of them are for the author of the query to mend.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    kind: ParseErrorKind,
    span: Span,
    /// Line and column, from 1; none in an empty query.
    position: Option<(usize, usize)>,
    message: String,
}

impl ParseError {
    pub(crate) fn new(
        kind: ParseErrorKind,
        query: &str,
        span: Span,
        message: impl Into<String>,
    ) -> ParseError {
        ParseError {
            kind,
            span,
            position: (!query.is_empty()).then(|| span.line_and_column(query)),
            message: message.into(),
        }
    }

    /// The class of the error.
    pub fn kind(&self) -> ParseErrorKind {
        self.kind
    }

    /// The part of the query that is at fault.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Line and column of the first byte at fault, from 1, the column in bytes. An empty query has no position.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.position
    }

    /// The message without position.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{line}:{column}")?,
            None => f.write_str("unknown position")?,
        }
        write!(f, ": parse error: {}", self.message)
    }
}

impl std::error::Error for ParseError {}
