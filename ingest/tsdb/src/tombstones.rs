//! Deleted ranges of series.

use std::collections::HashMap;

use crate::crc::crc32c;
use crate::error::{DecodeError, Result};
use crate::fields::{Fields, put_uvarint, put_varint};
use crate::source::Folder;

/// The file of a block.
pub(crate) const FILE: &str = "tombstones";

const MAGIC: u32 = 0x0130_ba30;
const VERSION: u8 = 1;
const CRC_BYTES: usize = 4;

/// Tombstones are kept in memory; a block with more than this has other troubles.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// The deleted ranges of the series of a block or a head, by the reference of the series.
#[derive(Clone, Debug, Default)]
pub struct Tombstones {
    ranges: HashMap<u64, Vec<(i64, i64)>>,
}

impl Tombstones {
    /// Reads a block's file; a block without one has no tombstones.
    pub(crate) fn read(folder: &Folder) -> Result<Self> {
        let Some(source) = folder.open(FILE)? else {
            return Ok(Self::default());
        };
        let bytes = source.read_all(FILE_BYTES_MAX)?;
        Self::decode(&bytes).map_err(|error| source.corrupt(0, error))
    }

    /// Decodes a file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (head, checksum) = bytes
            .split_last_chunk::<CRC_BYTES>()
            .ok_or(crate::error::TRUNCATED)?;
        let mut fields = Fields::new(head);
        if fields.u32()? != MAGIC {
            return Err(DecodeError::new("it is no tombstones file"));
        }
        if fields.byte()? != VERSION {
            return Err(DecodeError::new("its version is unknown"));
        }
        let stones = fields.bytes(fields.len())?;
        if crc32c(stones) != u32::from_be_bytes(*checksum) {
            return Err(DecodeError::new("the checksum does not match"));
        }
        let mut tombstones = Self::default();
        let mut fields = Fields::new(stones);
        while !fields.is_empty() {
            let reference = fields.uvarint()?;
            tombstones.add(reference, (fields.varint()?, fields.varint()?));
        }
        Ok(tombstones)
    }

    /// The bytes of a file with these tombstones.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut stones = Vec::new();
        let mut series: Vec<_> = self.ranges.iter().collect();
        series.sort_unstable();
        for (reference, ranges) in series {
            for (min, max) in ranges {
                put_uvarint(&mut stones, *reference);
                put_varint(&mut stones, *min);
                put_varint(&mut stones, *max);
            }
        }
        let mut file = MAGIC.to_be_bytes().to_vec();
        file.push(VERSION);
        file.extend_from_slice(&stones);
        file.extend_from_slice(&crc32c(&stones).to_be_bytes());
        file
    }

    /// Adds a range; both ends, in milliseconds, belong to it.
    pub(crate) fn add(&mut self, reference: u64, range: (i64, i64)) {
        self.ranges.entry(reference).or_default().push(range);
    }

    /// The deleted ranges of a series, both ends included, in the order of their deletion.
    pub fn of(&self, reference: u64) -> &[(i64, i64)] {
        self.ranges.get(&reference).map_or(&[], Vec::as_slice)
    }

    /// Whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

/// Whether a time lies in one of some ranges.
pub(crate) fn is_deleted(ranges: &[(i64, i64)], timestamp_ms: i64) -> bool {
    ranges
        .iter()
        .any(|(min, max)| (*min..=*max).contains(&timestamp_ms))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tombstones_read_back(stones in prop::collection::vec((0..9u64, any::<i64>(), any::<i64>()), 0..20)) {
            let mut tombstones = Tombstones::default();
            for (reference, min, max) in &stones {
                tombstones.add(*reference, (*min, *max));
            }
            let read = Tombstones::decode(&tombstones.encode()).unwrap();
            prop_assert_eq!(read.ranges, tombstones.ranges);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Tombstones::decode(&bytes);
        }
    }

    #[test]
    fn both_ends_are_deleted() {
        let ranges = [(5, 7), (20, 30)];
        let deleted: Vec<i64> = (0..40).filter(|t| is_deleted(&ranges, *t)).collect();
        assert_eq!(
            deleted,
            [5, 6, 7, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]
        );
    }
}
