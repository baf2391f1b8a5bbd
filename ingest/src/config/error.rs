//! A wrong configuration: what is wrong, and where.

use std::fmt;

use super::yaml::Position;

/// What is wrong with a configuration file. The text has Prometheus's words where it has some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    file: Option<String>,
    position: Option<Position>,
    message: String,
}

impl ConfigError {
    pub(crate) fn new(position: Option<Position>, message: impl Into<String>) -> Self {
        Self {
            file: None,
            position,
            message: message.into(),
        }
    }

    /// Adds the file's name.
    pub(crate) fn in_file(mut self, file: &str) -> Self {
        self.file.get_or_insert_with(|| file.to_owned());
        self
    }

    /// Where in the file; `None` for what concerns the file as a whole.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// What is wrong, without file and position.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "parsing YAML file {file}: ")?;
        }
        if let Some(position) = self.position {
            write!(f, "{position}: ")?;
        }
        f.write_str(&self.message)
    }
}
