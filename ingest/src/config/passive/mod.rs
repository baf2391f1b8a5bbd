//! Sections that a configuration may have although nothing here acts on them yet. They are checked as Prometheus checks them, so that a
//! configuration which loads here loads there, and whoever loads it is told what is not acted on.

mod alerting;
mod remote_read;
mod storage;
mod tracing;

use std::path::Path;

use super::decode::{Fields, error_at, list, string};
use super::error::ConfigError;
use super::yaml::Node;
use crate::names::NameValidation;

/// Reads these sections. Gives the patterns of `rule_files` and what the user should know.
pub(super) fn take(
    fields: &mut Fields<'_>,
    validation: NameValidation,
    directory: &Path,
) -> Result<(Vec<String>, Vec<String>), ConfigError> {
    let mut notes = Vec::new();
    let rule_files = fields
        .read("rule_files", |node| patterns(node, "rule"))?
        .unwrap_or_default();
    if !rule_files.is_empty() {
        notes.push("rule_files: rules are not evaluated yet".to_owned());
    }
    if let Some(node) = fields.take("alerting") {
        alerting::check(node, validation, directory)?;
        // The configuration that comes with Prometheus has the section with nothing in it.
        if !node.is_vacuous() {
            notes.push("alerting: no alerts are sent yet".to_owned());
        }
    }
    if let Some(node) = fields.take("tracing") {
        tracing::check(node, directory)?;
        notes.push("tracing: traces are not sent yet".to_owned());
    }
    if let Some(node) = fields.take("storage") {
        storage::check(node, &mut notes)?;
    }
    if let Some(node) = fields.take("remote_read") {
        remote_read::check(node, directory, &mut notes)?;
    }
    Ok((rule_files, notes))
}

/// File names with `*` in their last part only.
pub(super) fn patterns(node: &Node, what: &str) -> Result<Vec<String>, ConfigError> {
    list(node, |item| {
        let pattern = string(item)?;
        let mut rest = pattern.split_once('*').map_or("", |(_, rest)| rest);
        rest = rest.trim_start_matches('*');
        match rest.contains('/') {
            true => error_at(item, format!("invalid {what} file path {pattern:?}")),
            false => Ok(pattern),
        }
    })
}
