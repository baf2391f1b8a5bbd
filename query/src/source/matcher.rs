//! Matchers, compiled once per selector.

use varve_promql::{MatchOp, Matcher};
use varve_storage::{Labels, METRIC_NAME};

use super::regex::LabelRegex;
use crate::error::Result;

#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    NotEqual(String),
    Regex(LabelRegex),
    NotRegex(LabelRegex),
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Equal(want) => value == want,
            Self::NotEqual(other) => value != other,
            Self::Regex(regex) => regex.is_match(value),
            Self::NotRegex(regex) => !regex.is_match(value),
        }
    }
}

/// All conditions of a selector. An absent label counts as the empty string.
#[derive(Clone, Debug)]
pub(crate) struct CompiledMatchers {
    tests: Vec<(String, Test)>,
    names: NameFilter,
}

/// What a selector says about metric names; may let through more than the matchers do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NameFilter {
    /// Nothing.
    Any,
    /// One of these, ascending.
    OneOf(Vec<String>),
    /// Only names that begin so.
    Prefix(String),
}

impl NameFilter {
    /// Whether a name passes.
    pub(crate) fn admits(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(names) => names.binary_search_by(|n| n.as_str().cmp(name)).is_ok(),
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }

    /// Whether some name of the closed range [min, max] may pass; `None` is unbounded.
    pub(crate) fn admits_range(&self, min: Option<&str>, max: Option<&str>) -> bool {
        let above = |name: &str| min.is_none_or(|min| name >= min);
        let below = |name: &str| max.is_none_or(|max| name <= max);
        match self {
            Self::Any => true,
            Self::OneOf(names) => names.iter().any(|name| above(name) && below(name)),
            Self::Prefix(prefix) => {
                let prefix = prefix.as_str();
                (above(prefix) || min.is_some_and(|min| min.starts_with(prefix))) && below(prefix)
            }
        }
    }
}

impl CompiledMatchers {
    /// Compiles matchers; fails on a pattern that is not a regular expression.
    pub(crate) fn new(matchers: &[Matcher]) -> Result<Self> {
        let compile = |matcher: &Matcher| {
            let value = matcher.value.clone();
            let test = match matcher.op {
                MatchOp::Equal => Test::Equal(value),
                MatchOp::NotEqual => Test::NotEqual(value),
                MatchOp::Regex => Test::Regex(LabelRegex::new(&value)?),
                MatchOp::NotRegex => Test::NotRegex(LabelRegex::new(&value)?),
            };
            Ok((matcher.name.clone(), test))
        };
        let tests: Vec<_> = matchers.iter().map(compile).collect::<Result<_>>()?;
        let names = name_filter(&tests);
        Ok(Self { tests, names })
    }

    /// Whether a label set fulfils every condition.
    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.tests
            .iter()
            .all(|(name, test)| test.holds(labels.get(name).unwrap_or("")))
    }

    /// What is known about metric names.
    pub(crate) fn names(&self) -> &NameFilter {
        &self.names
    }

    /// Whether the name filter says all that the matchers say, so that every series of a name belongs to the selector.
    pub(crate) fn only_names(&self) -> bool {
        matches!(self.names, NameFilter::OneOf(_))
            && self.tests.iter().all(|(name, test)| {
                name == METRIC_NAME
                    && matches!(test, Test::Equal(_) | Test::Regex(LabelRegex::Literals(_)))
            })
    }
}

fn name_filter(tests: &[(String, Test)]) -> NameFilter {
    let on_names = || tests.iter().filter(|(name, _)| name == METRIC_NAME);
    let listed = on_names().find_map(|(_, test)| match test {
        Test::Equal(name) => Some(vec![name.clone()]),
        Test::Regex(LabelRegex::Literals(names)) => Some(names.clone()),
        _ => None,
    });
    if let Some(mut names) = listed {
        names.retain(|name| on_names().all(|(_, test)| test.holds(name)));
        return NameFilter::OneOf(names);
    }
    let prefix = on_names().find_map(|(_, test)| match test {
        Test::Regex(LabelRegex::Prefix { prefix, .. }) => Some(prefix.clone()),
        _ => None,
    });
    prefix.map_or(NameFilter::Any, NameFilter::Prefix)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn compile(matchers: &[(&str, MatchOp, &str)]) -> CompiledMatchers {
        let matchers: Vec<_> = matchers
            .iter()
            .map(|(name, op, value)| Matcher::new(*name, *op, *value))
            .collect();
        CompiledMatchers::new(&matchers).unwrap()
    }

    #[test]
    fn an_absent_label_is_the_empty_string() {
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "node")]);
        for (matcher, want) in [
            (("job", Equal, "node"), true),
            (("env", Equal, ""), true),
            (("job", Equal, ""), false),
            (("env", NotEqual, "x"), true),
            (("env", NotEqual, ""), false),
            (("env", Regex, ".*"), true),
            (("env", Regex, ".+"), false),
            (("env", Regex, "x|"), true),
            (("env", NotRegex, ".+"), true),
            (("job", NotRegex, "n.*"), false),
        ] {
            assert_eq!(compile(&[matcher]).matches(&labels), want, "{matcher:?}");
        }
    }

    #[test]
    fn names_are_taken_from_equality_alternation_and_prefix() {
        use MatchOp::{Equal, NotEqual, Regex};
        let up = compile(&[("__name__", Equal, "up")]);
        assert!(up.only_names() && up.names() == &NameFilter::OneOf(vec!["up".to_owned()]));
        let both = compile(&[("__name__", Regex, "b|a|c"), ("__name__", NotEqual, "b")]);
        assert_eq!(
            both.names(),
            &NameFilter::OneOf(vec!["a".to_owned(), "c".to_owned()])
        );
        assert!(!compile(&[("__name__", Equal, "up"), ("job", Equal, "")]).only_names());
        let prefix = compile(&[("__name__", Regex, "node_.+")]);
        assert_eq!(prefix.names(), &NameFilter::Prefix("node_".to_owned()));
        assert_eq!(compile(&[("job", Equal, "x")]).names(), &NameFilter::Any);
    }

    #[test]
    fn ranges_of_names_are_closed() {
        let one = NameFilter::OneOf(vec!["m".to_owned()]);
        assert!(one.admits_range(Some("m"), Some("m")) && one.admits_range(None, None));
        assert!(!one.admits_range(Some("n"), None) && !one.admits_range(None, Some("l")));
        let prefix = NameFilter::Prefix("node_".to_owned());
        assert!(prefix.admits_range(Some("node_cpu"), Some("node_cpu")));
        assert!(prefix.admits_range(Some("a"), Some("z")));
        assert!(!prefix.admits_range(Some("node`"), None));
        assert!(!prefix.admits_range(None, Some("node")));
    }
}
