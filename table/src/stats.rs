//! File statistics as the Delta protocol stores them, and Varve's tags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The tag with a file's level.
pub(crate) const LEVEL_TAG: &str = "varve.level";
/// The tag with the number of samples in a file of `samples`.
pub(crate) const SAMPLES_TAG: &str = "varve.samples";
/// The tag with the CRC-32 of the whole file, in decimal.
pub(crate) const CRC_TAG: &str = "varve.crc32";

/// A text statistic longer than this is left out: an absent bound is always safe.
const TEXT_BYTES_MAX: usize = 256;

/// The JSON text in `add.stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileStats {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) num_records: Option<u64>,
    #[serde(default)]
    pub(crate) min_values: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) max_values: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) null_count: BTreeMap<String, Value>,
}

/// The closed range of a column's values, gathered row by row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bounds {
    Text(String, String),
    Long(i64, i64),
}

impl FileStats {
    pub(crate) fn new(rows: u64) -> Self {
        Self {
            num_records: Some(rows),
            ..Self::default()
        }
    }

    /// Adds a column without nulls.
    pub(crate) fn column(&mut self, name: &str, bounds: &Bounds) {
        let (min, max) = match bounds {
            Bounds::Text(min, max) => (
                Some(min)
                    .filter(|t| t.len() <= TEXT_BYTES_MAX)
                    .map(|t| Value::from(t.as_str())),
                Some(max)
                    .filter(|t| t.len() <= TEXT_BYTES_MAX)
                    .map(|t| Value::from(t.as_str())),
            ),
            Bounds::Long(min, max) => (Some(Value::from(*min)), Some(Value::from(*max))),
        };
        if let Some(min) = min {
            self.min_values.insert(name.to_owned(), min);
        }
        if let Some(max) = max {
            self.max_values.insert(name.to_owned(), max);
        }
        self.null_count.insert(name.to_owned(), Value::from(0));
    }
}
