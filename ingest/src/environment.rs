//! The environment variables that clouds leave credentials in.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The environment variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// Those of the process if `None`.
    given: Option<Arc<BTreeMap<String, String>>>,
}

impl Environment {
    /// The variables of a test.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            given: Some(Arc::new(variables.collect())),
        }
    }

    /// A variable; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let value = match &self.given {
            None => std::env::var(name).ok(),
            Some(given) => given.get(name).cloned(),
        };
        value.filter(|value| !value.is_empty())
    }
}
