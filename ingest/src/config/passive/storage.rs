//! Settings of a storage that Varve does not have: samples may be of any age, and stay until they are deleted.

use super::super::decode::{Fields, byte_size, duration, error_at, float, integer, string};
use super::super::error::ConfigError;
use super::super::yaml::Node;

pub(super) fn check(node: &Node, notes: &mut Vec<String>) -> Result<(), ConfigError> {
    let mut fields = Fields::of(node, "config.StorageConfig")?;
    fields.read("tsdb", |node| tsdb(node, notes))?;
    fields.read("exemplars", |node| {
        let mut exemplars = Fields::of(node, "config.ExemplarsConfig")?;
        exemplars.read("max_exemplars", integer)?;
        exemplars.finish(&[])
    })?;
    fields.finish(&[])
}

fn tsdb(node: &Node, notes: &mut Vec<String>) -> Result<(), ConfigError> {
    let mut tsdb = Fields::of(node, "config.TSDBConfig")?;
    tsdb.read("out_of_order_time_window", duration)?;
    tsdb.read("stale_series_compaction_threshold", float)?;
    tsdb.read("chunk_encoding", |node| {
        let mut encoding = Fields::of(node, "config.ChunkEncodingConfig")?;
        encoding.read("floats", |node| match string(node)?.as_str() {
            "" | "xor" | "xor2" => Ok(()),
            other => error_at(
                node,
                format!(
                    "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted entirely, got {other:?}"
                ),
            ),
        })?;
        encoding.finish(&[])
    })?;
    if tsdb.read("retention", retention)?.unwrap_or(false) {
        notes.push("storage.tsdb.retention: nothing is deleted by age or size yet".to_owned());
    }
    tsdb.finish(&[])
}

/// Whether it asks for anything to be deleted.
fn retention(node: &Node) -> Result<bool, ConfigError> {
    let mut retention = Fields::of(node, "config.TSDBRetentionConfig")?;
    let time = retention.read("time", duration)?;
    let size = retention.read("size", |node| {
        let text = string(node)?;
        match text.starts_with('-') {
            true => error_at(
                node,
                format!(
                    "'storage.tsdb.retention.size' must be greater than or equal to 0, got {text}"
                ),
            ),
            false => byte_size(node),
        }
    })?;
    let percentage = retention.read("percentage", |node| match float(node)? {
        percentage if (0.0..=100.0).contains(&percentage) => Ok(percentage),
        other => error_at(
            node,
            format!(
                "'storage.tsdb.retention.percentage' must be in the range [0, 100], got {other}"
            ),
        ),
    })?;
    retention.finish(&[])?;
    Ok(time.is_some_and(|time| !time.is_zero())
        || size.is_some_and(|size| size.0 > 0)
        || percentage.is_some_and(|percentage| percentage > 0.0))
}
