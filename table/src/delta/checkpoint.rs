//! Checkpoints: the state at one version as one Parquet file, in the protocol's classic form, and the pointer to the
//! newest one.
//!
//! One row is one action. Rows go through their JSON form in both directions, so that the actions' types have a
//! single definition. The bytes depend on the snapshot alone, so that two writers of one version agree.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::json::{LineDelimitedWriter, ReaderBuilder};
use bytes::Bytes;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde::{Deserialize, Serialize};

use super::actions::{Action, Txn};
use super::snapshot::TableSnapshot;
use crate::error::{Error, Result};

/// Actions that are encoded at once.
const BATCH_ROWS: usize = 4096;
/// The key under which a checkpoint's own metadata holds the checksum of its actions.
const CRC_KEY: &str = "varve.crc32";
/// Changes with the JSON form of actions; a checksum under another form is not compared.
const CRC_FORM: u32 = 1;

/// The content of `_last_checkpoint`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pointer {
    version: i64,
    size: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size_in_bytes: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    num_of_add_files: Option<i64>,
}

/// An encoded checkpoint with its pointer.
pub(super) struct Encoded {
    pub(super) checkpoint: Bytes,
    pub(super) pointer: Bytes,
}

fn map() -> DataType {
    let pair = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ]);
    let entries = Field::new("key_value", DataType::Struct(pair), false);
    DataType::Map(Arc::new(entries), false)
}

fn schema() -> SchemaRef {
    use DataType::{Boolean, Int32, Int64, Utf8};
    let fields = |fields: Vec<(&str, DataType)>| -> DataType {
        let field = |(name, data_type)| Field::new(name, data_type, true);
        DataType::Struct(fields.into_iter().map(field).collect())
    };
    let strings = DataType::List(Arc::new(Field::new("element", Utf8, true)));
    let format = fields(vec![("provider", Utf8), ("options", map())]);
    let columns = vec![
        (
            "txn",
            fields(vec![
                ("appId", Utf8),
                ("version", Int64),
                ("lastUpdated", Int64),
            ]),
        ),
        (
            "add",
            fields(vec![
                ("path", Utf8),
                ("partitionValues", map()),
                ("size", Int64),
                ("modificationTime", Int64),
                ("dataChange", Boolean),
                ("tags", map()),
                ("stats", Utf8),
            ]),
        ),
        (
            "remove",
            fields(vec![
                ("path", Utf8),
                ("deletionTimestamp", Int64),
                ("dataChange", Boolean),
                ("extendedFileMetadata", Boolean),
                ("partitionValues", map()),
                ("size", Int64),
            ]),
        ),
        (
            "metaData",
            fields(vec![
                ("id", Utf8),
                ("name", Utf8),
                ("description", Utf8),
                ("format", format),
                ("schemaString", Utf8),
                ("partitionColumns", strings),
                ("configuration", map()),
                ("createdTime", Int64),
            ]),
        ),
        (
            "protocol",
            fields(vec![
                ("minReaderVersion", Int32),
                ("minWriterVersion", Int32),
            ]),
        ),
    ];
    let field = |(name, data_type)| Field::new(name, data_type, true);
    Arc::new(Schema::new(
        columns.into_iter().map(field).collect::<Vec<_>>(),
    ))
}

fn actions(snapshot: &TableSnapshot) -> impl Iterator<Item = Action> {
    let head = Action {
        protocol: snapshot.protocol.clone(),
        ..Action::default()
    };
    let meta_data = Action {
        meta_data: snapshot.meta_data.as_deref().cloned(),
        ..Action::default()
    };
    let txns = snapshot.txns.iter().map(|(app_id, version)| Action {
        txn: Some(Txn {
            app_id: app_id.clone(),
            version: *version,
            last_updated: snapshot.txn_times.get(app_id).copied().flatten(),
        }),
        ..Action::default()
    });
    let adds = snapshot.files.values().map(|file| Action {
        add: Some(file.add.clone()),
        ..Action::default()
    });
    let oldest_ms = snapshot.oldest_removal_ms();
    let removes = snapshot
        .removed
        .values()
        .filter(move |removed| removed.deleted_ms >= oldest_ms)
        .map(|removed| Action {
            remove: Some(removed.remove.clone()),
            ..Action::default()
        });
    [head, meta_data]
        .into_iter()
        .chain(txns)
        .chain(adds)
        .chain(removes)
}

fn properties() -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(3).map_err(|e| Error::encode("a checkpoint", e))?;
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::None)
        .build())
}

fn checksum(hasher: &mut crc32fast::Hasher, action: &Action) -> serde_json::Result<()> {
    hasher.update(&serde_json::to_vec(action)?);
    hasher.update(b"\n");
    Ok(())
}

/// Encodes the state of a snapshot.
pub(super) fn encode(snapshot: &TableSnapshot) -> Result<Encoded> {
    let failed = |e: &dyn std::fmt::Display| {
        Error::encode(format!("the checkpoint of {}", snapshot.root), e)
    };
    let schema = schema();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties()?))
        .map_err(|e| failed(&e))?;
    let mut decoder = ReaderBuilder::new(schema)
        .with_batch_size(BATCH_ROWS)
        .build_decoder()
        .map_err(|e| failed(&e))?;
    let mut hasher = crc32fast::Hasher::new();
    let mut rows = 0;
    let mut pending = Vec::with_capacity(BATCH_ROWS);
    let mut actions = actions(snapshot).peekable();
    while let Some(action) = actions.next() {
        checksum(&mut hasher, &action).map_err(|e| failed(&e))?;
        rows += 1;
        pending.push(action);
        if pending.len() == BATCH_ROWS || actions.peek().is_none() {
            decoder.serialize(&pending).map_err(|e| failed(&e))?;
            if let Some(batch) = decoder.flush().map_err(|e| failed(&e))? {
                writer.write(&batch).map_err(|e| failed(&e))?;
            }
            pending.clear();
        }
    }
    let crc = format!("{CRC_FORM}:{}", hasher.finalize());
    writer.append_key_value_metadata(KeyValue::new(CRC_KEY.to_owned(), crc));
    let checkpoint = Bytes::from(writer.into_inner().map_err(|e| failed(&e))?);
    let pointer = Pointer {
        version: snapshot.version,
        size: rows,
        parts: None,
        size_in_bytes: i64::try_from(checkpoint.len()).ok(),
        num_of_add_files: i64::try_from(snapshot.files.len()).ok(),
    };
    let pointer = serde_json::to_vec(&pointer).map_err(|e| failed(&e))?.into();
    Ok(Encoded {
        checkpoint,
        pointer,
    })
}

/// The version that `_last_checkpoint` names.
pub(super) fn decode_pointer(key: &Path, bytes: &[u8]) -> Result<i64> {
    let pointer: Pointer = serde_json::from_slice(bytes).map_err(|e| Error::corrupt(key, e))?;
    if pointer.version < 0 {
        return Err(Error::corrupt(key, "its version is negative"));
    }
    if pointer.parts.is_some_and(|parts| parts > 1) {
        return Err(Error::corrupt(
            key,
            "it names a checkpoint in several parts, which Varve never writes",
        ));
    }
    Ok(pointer.version)
}

/// Reads a checkpoint.
///
/// The Parquet reader panics on some broken files; here that is an error like any other, because a checkpoint that cannot be
/// read concerns the whole table.
pub(super) fn decode(root: &Path, version: i64, bytes: Bytes) -> Result<TableSnapshot> {
    let read = std::panic::AssertUnwindSafe(|| decode_unguarded(root, version, bytes));
    std::panic::catch_unwind(read).unwrap_or_else(|_| {
        let key = super::entry::checkpoint_key(root, version);
        Err(Error::corrupt(key, "the Parquet reader gave up on it"))
    })
}

fn decode_unguarded(root: &Path, version: i64, bytes: Bytes) -> Result<TableSnapshot> {
    let key = super::entry::checkpoint_key(root, version);
    let corrupt = |e: &dyn std::fmt::Display| Error::corrupt(&key, e);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| corrupt(&e))?;
    let expected = expected_checksum(builder.metadata().file_metadata().key_value_metadata());
    let reader = builder
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|e| corrupt(&e))?;
    let mut actions = Vec::new();
    let mut hasher = crc32fast::Hasher::new();
    for batch in reader {
        let batch = batch.map_err(|e| corrupt(&e))?;
        let mut json = LineDelimitedWriter::new(Vec::new());
        json.write(&batch).map_err(|e| corrupt(&e))?;
        json.finish().map_err(|e| corrupt(&e))?;
        let mut lines = json.into_inner();
        lines.flush().map_err(|e| corrupt(&e))?;
        for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let action: Action = serde_json::from_slice(line).map_err(|e| corrupt(&e))?;
            checksum(&mut hasher, &action).map_err(|e| corrupt(&e))?;
            actions.push(action);
        }
    }
    if expected.is_some_and(|crc| crc != hasher.finalize()) {
        return Err(corrupt(&"the checksum of its actions does not match"));
    }
    let mut snapshot = TableSnapshot::empty(root.clone());
    for action in actions {
        snapshot.apply(action)?;
    }
    if snapshot.protocol.is_none() || snapshot.meta_data.is_none() {
        return Err(corrupt(&"it does not define a protocol and a schema"));
    }
    snapshot.version = version;
    snapshot.checkpoint = Some(version);
    Ok(snapshot)
}

fn expected_checksum(metadata: Option<&Vec<KeyValue>>) -> Option<u32> {
    let values: BTreeMap<&str, &str> = metadata?
        .iter()
        .filter_map(|entry| Some((entry.key.as_str(), entry.value.as_deref()?)))
        .collect();
    let (form, crc) = values.get(CRC_KEY)?.split_once(':')?;
    (form.parse() == Ok(CRC_FORM)).then(|| crc.parse().ok())?
}
