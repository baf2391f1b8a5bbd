//! Regular expressions as PromQL means them: RE2 syntax, matching the whole label value, `.` matches a newline.
//!
//! Most patterns in practice are literals, alternations of literals or prefixes; they are compared without an engine.
//! The rest is translated to the syntax of the `regex` crate by `varve_promql`.

use regex::bytes::Regex;

use crate::error::{Error, Result};

/// A compiled pattern that matches whole values.
#[derive(Clone, Debug)]
pub(crate) enum LabelRegex {
    /// `.*`
    Everything,
    /// `.+`
    NonEmpty,
    /// `a|b|c`, sorted.
    Literals(Vec<String>),
    /// `a.*`, or `a.+` with at least one more character.
    Prefix { prefix: String, more: bool },
    /// Anything else.
    Engine(Regex),
}

impl LabelRegex {
    pub(crate) fn new(pattern: &str) -> Result<Self> {
        match pattern {
            ".*" => return Ok(Self::Everything),
            ".+" => return Ok(Self::NonEmpty),
            _ => {}
        }
        let plain = |text: &str| !text.contains(is_meta);
        if plain(&pattern.replace('|', "")) {
            let mut literals: Vec<String> = pattern.split('|').map(str::to_owned).collect();
            literals.sort_unstable();
            literals.dedup();
            return Ok(Self::Literals(literals));
        }
        for (suffix, more) in [(".*", false), (".+", true)] {
            if let Some(prefix) = pattern.strip_suffix(suffix).filter(|p| plain(p)) {
                let prefix = prefix.to_owned();
                return Ok(Self::Prefix { prefix, more });
            }
        }
        engine(pattern).map(Self::Engine)
    }

    pub(crate) fn is_match(&self, value: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::NonEmpty => !value.is_empty(),
            Self::Literals(literals) => literals
                .binary_search_by(|literal| literal.as_str().cmp(value))
                .is_ok(),
            Self::Prefix { prefix, more } => value
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| !more || !rest.is_empty()),
            Self::Engine(regex) => regex.is_match(value.as_bytes()),
        }
    }
}

fn is_meta(c: char) -> bool {
    matches!(
        c,
        '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$'
    )
}

/// Compiles a pattern that matches whole texts; fails, in Prometheus's form, on a pattern that RE2 refuses.
fn engine(pattern: &str) -> Result<Regex> {
    let fail =
        |reason: &str| Error::BadData(format!("error parsing regexp: {reason}: `{pattern}`"));
    let translated =
        varve_promql::regex::anchored_regex(pattern).map_err(|e| Error::BadData(e.to_string()))?;
    Regex::new(&translated).map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or(&text);
        fail(last.trim_start_matches("error: "))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn matches(pattern: &str, value: &str) -> bool {
        let fast = LabelRegex::new(pattern).unwrap().is_match(value);
        let engine = engine(pattern).unwrap().is_match(value.as_bytes());
        assert_eq!(fast, engine, "{pattern} on {value:?}");
        fast
    }

    #[test]
    fn patterns_match_whole_values() {
        assert!(matches("a", "a") && !matches("a", "ab") && !matches("a", "ba"));
        assert!(matches("a|bc", "bc") && !matches("a|bc", "ac") && !matches("a|b", ""));
        assert!(matches("a||b", "") && matches("", "") && !matches("", "x"));
        assert!(
            matches("node.*", "node") && matches("node.+", "node_x") && !matches("node.+", "node")
        );
        assert!(matches(".*", "") && !matches(".+", "") && matches(".+", "\n"));
        assert!(matches("a.b", "a\nb"));
        assert!(matches("(a|b)c?", "bc") && matches("[^a]+", "bcd"));
        assert!(matches("5..", "503") && !matches("5..", "5031"));
    }

    #[test]
    fn what_re2_refuses_is_refused_in_its_form() {
        for pattern in ["(", "a{1001}", r"\1", "a**b(", r"x\", "[b-a]"] {
            let error = LabelRegex::new(pattern).unwrap_err().to_string();
            assert!(error.starts_with("error parsing regexp: "), "{error}");
        }
    }
}
