//! A block's `meta.json`, as Prometheus and Thanos write it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::source::Source;

/// The file of a block.
pub(crate) const FILE: &str = "meta.json";

/// Much more than any block's description takes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The version that all blocks have.
const VERSION: u32 = 1;

/// A block's unique name: 48 bits of milliseconds and 80 random bits, in 26 characters of Crockford's base 32.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ulid(String);

/// The characters, by value.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const ULID_CHARACTERS: usize = 26;

impl Ulid {
    /// A new name with a time in milliseconds since the epoch.
    pub fn new(timestamp_ms: u64) -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        // All but two of these bits are random in a UUID.
        let random = u128::from(high >> 48) << 64 | u128::from(low);
        let value = u128::from(timestamp_ms & 0xffff_ffff_ffff) << 80 | random;
        let characters = (0..ULID_CHARACTERS).rev().map(|place| {
            let digit = (value >> (5 * place)) as usize & 31;
            char::from(ALPHABET.get(digit).copied().unwrap_or(b'0'))
        });
        Self(characters.collect())
    }

    /// A name from its text; `None` if it is none, as folders that are no blocks have.
    pub fn parse(text: &str) -> Option<Self> {
        let valid = text.len() == ULID_CHARACTERS
            && text.bytes().next().is_some_and(|first| first <= b'7')
            && text
                .bytes()
                .all(|byte| ALPHABET.contains(&byte.to_ascii_uppercase()));
        valid.then(|| Self(text.to_owned()))
    }

    /// The 26 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How much a block holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    /// Samples of any kind.
    pub num_samples: u64,
    /// Floats.
    pub num_float_samples: u64,
    /// Native histograms.
    pub num_histogram_samples: u64,
    /// Series.
    pub num_series: u64,
    /// Chunks.
    pub num_chunks: u64,
}

/// Another block, by name and range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDescription {
    /// Its name.
    pub ulid: Ulid,
    /// The first time that may be in it, in milliseconds.
    pub min_time: i64,
    /// The first time behind it.
    pub max_time: i64,
}

/// What a block was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compaction {
    /// 1 for a block that was cut from a head.
    #[serde(default)]
    pub level: u32,
    /// The blocks of level 1 that are in it; its own name at level 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Ulid>,
    /// The blocks that it was made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<BlockDescription>,
    /// That it holds nothing and is about to be deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deletable: bool,
    /// From which part of a head it was cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// What Thanos adds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thanos {
    /// External labels, which all series of the block have.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether samples were replaced by aggregates of so many milliseconds.
    #[serde(default)]
    pub downsample: Downsample,
}

/// Thanos's downsampling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downsample {
    /// Milliseconds per aggregate, 0 for raw samples.
    #[serde(default)]
    pub resolution: i64,
}

/// A block's description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockMeta {
    /// Its name.
    pub ulid: Ulid,
    /// The first time that may be in it, in milliseconds.
    pub min_time: i64,
    /// The first time behind it: samples lie in [`min_time`, `max_time`).
    ///
    /// [`min_time`]: BlockMeta::min_time
    /// [`max_time`]: BlockMeta::max_time
    pub max_time: i64,
    /// How much it holds.
    #[serde(default)]
    pub stats: BlockStats,
    /// What it was made of.
    #[serde(default)]
    pub compaction: Compaction,
    /// The version of the block's layout; always 1.
    pub version: u32,
    /// What Thanos adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<Thanos>,
}

/// Hints of blocks that do not say how far the head's data are in blocks.
const PARTIAL: [&str; 3] = [
    "from-out-of-order",
    "from-stale-series",
    "from-selected-series",
];

impl BlockMeta {
    /// Whether the head's data before the block's end are all in blocks.
    pub fn ends_head(&self) -> bool {
        !self
            .compaction
            .hints
            .iter()
            .any(|hint| PARTIAL.contains(&hint.as_str()))
    }

    /// Reads a description.
    pub(crate) fn read(source: &Source) -> Result<Self> {
        let bytes = source.read_all(FILE_BYTES_MAX)?;
        Self::decode(source.path(), &bytes)
    }

    /// Decodes a description that comes from `path`.
    pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Self> {
        let meta: Self = serde_json::from_slice(bytes).map_err(|error| {
            Error::corrupt(path, 0, format!("it is no block's description: {error}"))
        })?;
        if meta.version != VERSION {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                reason: format!("its block has version {}", meta.version),
            });
        }
        Ok(meta)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_are_ulids() {
        let ulid = Ulid::new(1_700_000_000_000);
        assert!(Ulid::parse(ulid.as_str()).is_some(), "{ulid}");
        assert!(ulid < Ulid::new(1_700_000_000_001));
        assert_ne!(ulid, Ulid::new(1_700_000_000_000));
        // The first ten characters are the time: the example of the ULID specification.
        assert_eq!(&Ulid::new(1_469_918_176_385).as_str()[..10], "01ARYZ6S41");
        for text in [
            "wal",
            "01ARYZ6S41TSV4RRFFQ69G5FA",
            "81ARYZ6S41TSV4RRFFQ69G5FAV",
            "01ARYZ6S41TSV4RRFFQ69G5FAU",
        ] {
            assert_eq!(Ulid::parse(text), None, "{text}");
        }
    }

    #[test]
    fn descriptions_of_thanos_are_read() {
        let text = r#"{"ulid":"01ARYZ6S41TSV4RRFFQ69G5FAV","minTime":1,"maxTime":2,"version":1,
            "stats":{"numSamples":3,"numTombstones":1},"compaction":{"level":2,"sources":["01ARYZ6S41TSV4RRFFQ69G5FAV"],"hints":["from-out-of-order"]},
            "thanos":{"version":1,"labels":{"replica":"a"},"downsample":{"resolution":300000},"source":"sidecar"}}"#;
        let meta = BlockMeta::decode("meta.json", text.as_bytes()).unwrap();
        assert_eq!(meta.stats.num_samples, 3);
        assert!(!meta.ends_head());
        let thanos = meta.thanos.unwrap();
        assert_eq!(thanos.labels["replica"], "a");
        assert_eq!(thanos.downsample.resolution, 300_000);
        let error = BlockMeta::decode("a/meta.json", b"{}")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("a/meta.json is corrupt"), "{error}");
    }
}
