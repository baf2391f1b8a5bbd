//! Sections that a configuration may have although nothing here acts on them yet: they neither change what is stored nor what queries
//! answer. Whoever loads the configuration is told.

use super::decode::{Fields, byte_size, duration, error_at, integer, list, string};
use super::error::ConfigError;
use super::yaml::Node;

/// Reads these sections. Gives the patterns of `rule_files` and what the user should know.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<(Vec<String>, Vec<String>), ConfigError> {
    let mut notes = Vec::new();
    let rule_files = fields
        .read("rule_files", |node| patterns(node, "rule"))?
        .unwrap_or_default();
    if !rule_files.is_empty() {
        notes.push("rule_files: rules are not evaluated yet".to_owned());
    }
    if let Some(node) = fields.take("alerting").filter(|node| !node.is_vacuous()) {
        let mut alerting = Fields::of(node, "config.AlertingConfig")?;
        for name in ["alert_relabel_configs", "alertmanagers"] {
            alerting.read(name, |node| list(node, |_| Ok(())))?;
        }
        alerting.finish(&[])?;
        notes.push("alerting: no alerts are sent yet".to_owned());
    }
    if fields.take("tracing").is_some() {
        notes.push("tracing: traces are not sent yet".to_owned());
    }
    if let Some(node) = fields.take("storage") {
        storage(node, &mut notes)?;
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

/// Settings of a storage that Varve does not have: samples may be of any age, and stay until they are deleted.
fn storage(node: &Node, notes: &mut Vec<String>) -> Result<(), ConfigError> {
    let mut fields = Fields::of(node, "config.StorageConfig")?;
    fields.read("tsdb", |node| {
        let mut tsdb = Fields::of(node, "config.TSDBConfig")?;
        tsdb.read("out_of_order_time_window", duration)?;
        tsdb.read("stale_series_compaction_threshold", |_| Ok(()))?;
        tsdb.read("chunk_encoding", |_| Ok(()))?;
        let retention = tsdb.read("retention", |node| {
            let mut retention = Fields::of(node, "config.TSDBRetentionConfig")?;
            let time = retention.read("time", duration)?;
            let size = retention.read("size", byte_size)?;
            retention.read("percentage", |_| Ok(()))?;
            retention.finish(&[])?;
            Ok(time.is_some() || size.is_some())
        })?;
        if retention.unwrap_or(false) {
            notes.push("storage.tsdb.retention: nothing is deleted by age or size yet".to_owned());
        }
        tsdb.finish(&[])
    })?;
    fields.read("exemplars", |node| {
        let mut exemplars = Fields::of(node, "config.ExemplarsConfig")?;
        exemplars.read("max_exemplars", integer)?;
        exemplars.finish(&[])
    })?;
    fields.finish(&[])
}
