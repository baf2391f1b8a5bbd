//! The words of the language.

use crate::format::quote;
use crate::operator::{AggregateOp, BinaryOp};
use crate::span::Span;

/// A word of the query, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

/// The kind of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Eof,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Equal,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotEqualRegex,
    At,
    /// Also `!=` inside braces.
    Operator(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    /// A name without colons.
    Identifier,
    /// A name with colons.
    MetricIdentifier,
    Number,
    Duration,
    String,
}

/// A word with a meaning of its own in some places, and a plain name in others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Offset,
    Anchored,
    Smoothed,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

impl TokenKind {
    /// The kind of a name outside braces; keywords are not case-sensitive.
    pub(crate) fn of_word(word: &str) -> TokenKind {
        // The longest keyword has 12 letters; most names are no keyword and need no copy.
        if word.len() <= 12 {
            let lower = word.to_ascii_lowercase();
            if let Some(kind) = keyword(&lower) {
                return kind;
            }
        }
        if word.contains(':') {
            TokenKind::MetricIdentifier
        } else {
            TokenKind::Identifier
        }
    }

    /// Whether the word may stand for a metric name.
    pub(crate) fn is_metric_name(self) -> bool {
        match self {
            TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
            TokenKind::Operator(op) => op.is_set(),
            TokenKind::Keyword(keyword) => !matches!(
                keyword,
                Keyword::On
                    | Keyword::Ignoring
                    | Keyword::GroupLeft
                    | Keyword::GroupRight
                    | Keyword::Bool
            ),
            _ => false,
        }
    }

    /// Whether the word may stand for a label in `by (…)`, `on (…)` and their like.
    pub(crate) fn is_grouping_label(self) -> bool {
        match self {
            TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
            TokenKind::Operator(op) => op.is_set() || op == BinaryOp::Atan2,
            TokenKind::Keyword(keyword) => keyword != Keyword::Without,
            _ => false,
        }
    }
}

fn keyword(lower: &str) -> Option<TokenKind> {
    let keyword = match lower {
        "and" => return Some(TokenKind::Operator(BinaryOp::And)),
        "or" => return Some(TokenKind::Operator(BinaryOp::Or)),
        "unless" => return Some(TokenKind::Operator(BinaryOp::Unless)),
        "atan2" => return Some(TokenKind::Operator(BinaryOp::Atan2)),
        "inf" | "nan" => return Some(TokenKind::Number),
        "offset" => Keyword::Offset,
        "anchored" => Keyword::Anchored,
        "smoothed" => Keyword::Smoothed,
        "by" => Keyword::By,
        "without" => Keyword::Without,
        "on" => Keyword::On,
        "ignoring" => Keyword::Ignoring,
        "group_left" => Keyword::GroupLeft,
        "group_right" => Keyword::GroupRight,
        "fill" => Keyword::Fill,
        "fill_left" => Keyword::FillLeft,
        "fill_right" => Keyword::FillRight,
        "bool" => Keyword::Bool,
        "start" => Keyword::Start,
        "end" => Keyword::End,
        "step" => Keyword::Step,
        "range" => Keyword::Range,
        "max_of" => Keyword::MaxOf,
        "min_of" => Keyword::MinOf,
        _ => {
            let op = AggregateOp::ALL
                .into_iter()
                .find(|op| op.as_str() == lower)?;
            return Some(TokenKind::Aggregate(op));
        }
    };
    Some(TokenKind::Keyword(keyword))
}

/// How an error message names a word that it did not expect; `text` is the word as written.
pub(crate) fn describe(kind: TokenKind, text: &str) -> String {
    match kind {
        TokenKind::Eof => "end of input".to_owned(),
        TokenKind::Identifier => format!("identifier {}", quote(text)),
        TokenKind::MetricIdentifier => format!("metric identifier {}", quote(text)),
        TokenKind::Number => format!("number {}", quote_start(text)),
        TokenKind::Duration => format!("duration {}", quote_start(text)),
        TokenKind::String => format!("string {}", quote_start(text)),
        TokenKind::Operator(_)
        | TokenKind::EqualRegex
        | TokenKind::NotEqualRegex
        | TokenKind::At => {
            format!("<op:{text}>")
        }
        TokenKind::Aggregate(_) => format!("<aggr:{text}>"),
        TokenKind::Keyword(
            Keyword::Start
            | Keyword::End
            | Keyword::Step
            | Keyword::Range
            | Keyword::MaxOf
            | Keyword::MinOf,
        ) => quote_start(text),
        TokenKind::Keyword(_) => format!("<{text}>"),
        TokenKind::LeftParen
        | TokenKind::RightParen
        | TokenKind::LeftBrace
        | TokenKind::RightBrace
        | TokenKind::LeftBracket
        | TokenKind::RightBracket
        | TokenKind::Comma
        | TokenKind::Colon
        | TokenKind::Equal => quote(text),
    }
}

/// The first ten characters in quotes, with dots after them if there is more.
fn quote_start(text: &str) -> String {
    if text.len() <= 10 {
        return quote(text);
    }
    let start: String = text.chars().take(10).collect();
    format!("{}...", quote(&start))
}
