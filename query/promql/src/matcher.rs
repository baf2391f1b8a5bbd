//! Label matchers, without an engine for regular expressions.

use crate::regex::{self, RegexError};

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Regex,
    /// `!~`, anchored at both ends
    NotRegex,
}

impl MatchOp {
    /// The operator as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// A condition on one label. A label that a series does not have counts as the empty string.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// How it is compared.
    pub op: MatchOp,
    /// The value or regular expression (RE2 syntax, to match the whole label value).
    pub value: String,
}

impl Matcher {
    /// A matcher of these three parts.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Matcher {
        Matcher {
            name: name.into(),
            op,
            value: value.into(),
        }
    }

    /// Whether this is `__name__="…"` with a name.
    pub fn metric_name(&self) -> Option<&str> {
        (self.name == METRIC_NAME && self.op == MatchOp::Equal && !self.value.is_empty())
            .then_some(&self.value)
    }

    /// Whether a series without the label, or with an empty one, matches.
    pub fn matches_empty(&self) -> bool {
        match self.op {
            MatchOp::Equal => self.value.is_empty(),
            MatchOp::NotEqual => !self.value.is_empty(),
            MatchOp::Regex => regex::matches_empty(&self.value),
            MatchOp::NotRegex => !regex::matches_empty(&self.value),
        }
    }

    /// The pattern for Rust's `regex` crate, anchored; for `=~` and `!~`.
    pub fn anchored_regex(&self) -> Result<String, RegexError> {
        regex::anchored_regex(&self.value)
    }
}
