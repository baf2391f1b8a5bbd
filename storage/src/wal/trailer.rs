//! The last 72 bytes of a segment: what it is, where its sections lie, and its checksum. `FORMAT.md` draws them.

use uuid::Uuid;

/// The bytes that end every segment.
pub(super) const MAGIC: [u8; 8] = *b"VARVEWAL";
/// The last version that this code reads: samples with start timestamps.
pub(super) const VERSION: u32 = 2;
/// The version of segments without start timestamps. They are what they always were, so that older readers go on reading them.
pub(super) const VERSION_WITHOUT_STARTS: u32 = 1;
/// The size of the trailer.
pub(super) const TRAILER_BYTES: usize = 72;
/// The checksum and the magic number, which the checksum does not cover.
const UNCHECKED_BYTES: usize = 12;

/// The trailer without checksum and magic number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) writer: Uuid,
    pub(super) shard: u32,
    pub(super) sequence: u64,
    /// Bytes of the samples, the metadata and the exemplars, which follow each other from the segment's first byte.
    pub(super) sections: [u64; 3],
    /// [`VERSION_WITHOUT_STARTS`] or [`VERSION`].
    pub(super) version: u32,
}

/// Why a trailer cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TrailerError {
    /// The object is no segment, or not a whole one.
    Corrupt(String),
    /// A newer Varve wrote it.
    Newer(u32),
}

impl Trailer {
    /// The trailer's bytes; `body` has seen every byte in front of it.
    pub(super) fn encode(&self, body: &crc32fast::Hasher) -> [u8; TRAILER_BYTES] {
        let mut bytes = Vec::with_capacity(TRAILER_BYTES);
        bytes.extend_from_slice(self.writer.as_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        for section in self.sections {
            bytes.extend_from_slice(&section.to_le_bytes());
        }
        bytes.extend_from_slice(&self.shard.to_le_bytes());
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        bytes.extend_from_slice(&self.version.to_le_bytes());
        let mut checksum = body.clone();
        checksum.update(&bytes);
        bytes.extend_from_slice(&checksum.finalize().to_le_bytes());
        bytes.extend_from_slice(&MAGIC);
        let mut trailer = [0; TRAILER_BYTES];
        trailer.copy_from_slice(&bytes);
        trailer
    }

    /// Checks a whole segment's magic number, version, checksum and section lengths.
    pub(super) fn decode(segment: &[u8]) -> Result<Self, TrailerError> {
        let corrupt = |reason: String| Err(TrailerError::Corrupt(reason));
        let Some((body, trailer)) = segment
            .split_last_chunk::<TRAILER_BYTES>()
            .filter(|(_, trailer)| trailer.ends_with(&MAGIC))
        else {
            return corrupt(format!(
                "it does not end as a WAL segment does ({} bytes); it may be cut off",
                segment.len()
            ));
        };
        let mut fields = Fields(trailer);
        let writer = Uuid::from_bytes(fields.take());
        let sequence = u64::from_le_bytes(fields.take());
        let sections = [(); 3].map(|()| u64::from_le_bytes(fields.take()));
        let shard = u32::from_le_bytes(fields.take());
        let reserved = u32::from_le_bytes(fields.take());
        let version = u32::from_le_bytes(fields.take());
        let stored = u32::from_le_bytes(fields.take());
        let checked = segment.len() - UNCHECKED_BYTES;
        let computed = crc32fast::hash(segment.get(..checked).unwrap_or_default());
        if stored != computed {
            return corrupt(format!(
                "its checksum is {computed:08x} and should be {stored:08x}"
            ));
        }
        // Only now is the version known to be what was written.
        if version > VERSION {
            return Err(TrailerError::Newer(version));
        }
        if version == 0 || reserved != 0 {
            return corrupt(format!("version {version}, reserved field {reserved}"));
        }
        let total = sections
            .iter()
            .try_fold(0_u64, |sum, section| sum.checked_add(*section));
        if total != Some(body.len() as u64) {
            return corrupt(format!(
                "its sections {sections:?} do not add up to {} bytes",
                body.len()
            ));
        }
        Ok(Self {
            writer,
            shard,
            sequence,
            sections,
            version,
        })
    }
}

/// Takes fields off the front of a trailer. The widths taken add up to less than [`TRAILER_BYTES`], so none is ever short.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        if let Some((head, rest)) = self.0.split_first_chunk::<N>() {
            field = *head;
            self.0 = rest;
        }
        field
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn segment(body: &[u8], sections: [u64; 3]) -> Vec<u8> {
        let trailer = Trailer {
            writer: Uuid::from_bytes([7; 16]),
            shard: 3,
            sequence: 42,
            sections,
            version: VERSION,
        };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(body);
        [body, &trailer.encode(&hasher)].concat()
    }

    #[test]
    fn a_trailer_survives_the_round_trip() {
        let bytes = segment(b"abcdef", [3, 2, 1]);
        let trailer = Trailer::decode(&bytes).unwrap();
        assert_eq!((trailer.shard, trailer.sequence), (3, 42));
        assert_eq!(trailer.sections, [3, 2, 1]);
        assert_eq!(trailer.writer, Uuid::from_bytes([7; 16]));
    }

    #[test]
    fn sections_must_add_up_even_where_they_overflow() {
        for sections in [[3, 2, 0], [u64::MAX, 7, 0]] {
            let error = Trailer::decode(&segment(b"abcdef", sections)).unwrap_err();
            assert!(matches!(error, TrailerError::Corrupt(reason) if reason.contains("add up")));
        }
    }

    #[test]
    fn a_newer_version_is_not_called_corrupt() {
        let mut bytes = segment(b"", [0; 3]);
        let version = bytes.len() - 16;
        bytes[version] = 9;
        let checksum = crc32fast::hash(&bytes[..bytes.len() - 12]).to_le_bytes();
        let place = bytes.len() - 12;
        bytes[place..place + 4].copy_from_slice(&checksum);
        assert_eq!(Trailer::decode(&bytes), Err(TrailerError::Newer(9)));
    }
}
