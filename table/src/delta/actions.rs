//! The actions of the Delta protocol that Varve reads and writes, in the protocol's own spelling.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Keys and values without order.
pub(crate) type StringMap = BTreeMap<String, String>;
/// Partition column to value; a null value stands for the null partition.
pub(crate) type PartitionValues = BTreeMap<String, Option<String>>;

/// One line of a log entry, or one row of a checkpoint: exactly one field is set. Actions that Varve has no use for
/// (`cdc`, `domainMetadata`) are read as none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Action {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) commit_info: Option<CommitInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<Protocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) meta_data: Option<MetaData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) txn: Option<Txn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) add: Option<Add>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remove: Option<Remove>,
}

/// Who made a commit and why. Free-form in the protocol; it never changes a table's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitInfo {
    /// When, in milliseconds, by the writer's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// How it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_parameters: Option<BTreeMap<String, serde_json::Value>>,
    /// The writer and its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_info: Option<String>,
    /// A UUID that tells this attempt from every other: a writer recognises its own commit by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn_id: Option<String>,
    /// Whether the commit only adds rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_blind_append: Option<bool>,
    /// The WAL marks that hold after this commit, by shard number: what the clean-up of segments needs to know about
    /// the past.
    #[serde(
        rename = "varve.marks",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub marks: Option<BTreeMap<String, u64>>,
    /// CRC-32 (IEEE) over all bytes that follow this action's line.
    #[serde(
        rename = "varve.crc32",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub crc32: Option<u32>,
}

/// What a reader and a writer must be able to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    pub(crate) min_reader_version: i32,
    pub(crate) min_writer_version: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) provider: String,
    #[serde(default)]
    pub(crate) options: StringMap,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MetaData {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) format: Format,
    pub(crate) schema_string: String,
    pub(crate) partition_columns: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_time: Option<i64>,
    #[serde(default)]
    pub(crate) configuration: StringMap,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Txn {
    pub(crate) app_id: String,
    pub(crate) version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_updated: Option<i64>,
}

/// A data file that belongs to the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    /// Relative to the table's root, percent-encoded.
    pub path: String,
    /// Partition column to value.
    pub partition_values: BTreeMap<String, Option<String>>,
    /// Bytes of the file.
    pub size: i64,
    /// When the file was made, in milliseconds.
    pub modification_time: i64,
    /// False where the rows were in the table before.
    pub data_change: bool,
    /// Statistics as a JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    /// Varve's own: `varve.level`, `varve.samples`, `varve.crc32`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remove {
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deletion_timestamp: Option<i64>,
    pub(crate) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extended_file_metadata: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) partition_values: Option<PartitionValues>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<i64>,
}
