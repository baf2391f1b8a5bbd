//! PromQL: syntax tree with positions, parser, printer; and Go's way of computing and writing numbers, durations and times.
//!
//! This crate knows the language and nothing of storage or DataFusion, so it builds in seconds and fuzzes well. The
//! language is that of Prometheus 3.x; parts that Prometheus hides behind feature flags are parsed when
//! [`ParseOptions`] switch them on. Error texts and positions are Prometheus's.
//!
//! Flow: [`parse`] runs the lexer over the query, builds an [`Expr`] by precedence climbing, then checks types; the
//! planner calls [`Expr::resolve_durations`] when the step and the range of the query are known, and walks the tree.
//! `Display` of an expression is Prometheus's canonical form, and parses back to the same expression.
//!
//! Invariants of a tree that [`parse`] returned:
//! - every node's [`Span`] is a byte range of the query;
//! - operands, arguments and parameters have the types that the operator or function asks for;
//! - its depth and its number of nodes are within [`ParseOptions`], so recursion over it is safe.

pub mod ast;
mod check;
mod duration;
mod error;
pub mod format;
mod function;
pub mod go_math;
mod lexer;
mod matcher;
mod operator;
mod options;
mod parser;
mod pretty;
mod print;
pub mod regex;
mod span;
mod token;
mod value_type;

pub use ast::{
    Aggregate, At, Binary, Call, Cardinality, Expr, FillValues, MatrixSelector, NumberLiteral,
    Paren, StringLiteral, Subquery, Unary, UnaryOp, VectorMatching, VectorSelector,
};
pub use duration::{Duration, DurationContext, DurationError, DurationExpr, DurationOp};
pub use error::{ParseError, ParseErrorKind};
pub use function::{Arity, FUNCTIONS, Function, function};
pub use matcher::{METRIC_NAME, MatchOp, Matcher};
pub use operator::{AggregateOp, BinaryOp};
pub use options::ParseOptions;
pub use parser::{parse, parse_matchers, parse_with};
pub use regex::RegexError;
pub use span::Span;
pub use value_type::ValueType;
