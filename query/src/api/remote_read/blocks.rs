//! Snappy's block format, written while its content is made: only what is compressed is kept.
//!
//! The format is the length of the content, then elements. No element refers to what lies more than 64 KiB before it, so pieces of that size
//! are compressed by themselves and their elements stand one after the other. The length is put before them at the end.

use varve_storage::protobuf::encode::Message;

/// What is compressed by itself.
const PIECE_BYTES: usize = 64 << 10;
/// The most content that the format can say the length of.
const CONTENT_BYTES_MAX: u64 = u32::MAX as u64;

/// Content that is being compressed.
#[derive(Debug)]
pub(super) struct Blocks {
    encoder: snap::raw::Encoder,
    /// Less than a piece, not compressed yet.
    rest: Vec<u8>,
    elements: Vec<u8>,
    content_bytes: u64,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            encoder: snap::raw::Encoder::new(),
            rest: Vec::new(),
            elements: Vec::new(),
            content_bytes: 0,
        }
    }
}

impl Blocks {
    /// Appends content.
    pub(super) fn write(&mut self, mut content: &[u8]) -> Result<(), snap::Error> {
        self.content_bytes += content.len() as u64;
        while self.rest.len() + content.len() >= PIECE_BYTES {
            let missing = PIECE_BYTES.saturating_sub(self.rest.len());
            let (now, later) = content.split_at_checked(missing).unwrap_or((content, &[]));
            self.rest.extend_from_slice(now);
            content = later;
            self.compress_rest()?;
        }
        self.rest.extend_from_slice(content);
        Ok(())
    }

    /// Appends what was compressed by itself, in the place of its content.
    pub(super) fn append(&mut self, mut other: Self) -> Result<(), snap::Error> {
        self.compress_rest()?;
        other.compress_rest()?;
        self.elements.append(&mut other.elements);
        self.content_bytes += other.content_bytes;
        Ok(())
    }

    /// Bytes of content so far.
    pub(super) fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// The compressed block; an error where its length cannot be expressed.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, snap::Error> {
        self.compress_rest()?;
        if self.content_bytes > CONTENT_BYTES_MAX {
            return Err(snap::Error::TooBig {
                given: self.content_bytes,
                max: CONTENT_BYTES_MAX,
            });
        }
        let mut block = Message::default();
        block.varint(self.content_bytes);
        let mut block = block.into_bytes();
        block.append(&mut self.elements);
        Ok(block)
    }

    fn compress_rest(&mut self) -> Result<(), snap::Error> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let block = self.encoder.compress_vec(&self.rest)?;
        // Behind the length, whose last byte has no high bit.
        let length_bytes = block.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        let elements = block.get(length_bytes..).unwrap_or_default();
        self.elements.extend_from_slice(elements);
        self.rest.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn uncompressed(block: &[u8]) -> Vec<u8> {
        snap::raw::Decoder::new().decompress_vec(block).unwrap()
    }

    #[test]
    fn nothing_is_a_length_of_zero() {
        assert_eq!(Blocks::default().finish().unwrap(), [0]);
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_are_one_block(
            pieces in proptest::collection::vec((0..200_000_usize, any::<u8>(), any::<bool>()), 0..8),
        ) {
            let mut blocks = Blocks::default();
            let mut content = Vec::new();
            for (bytes, seed, apart) in pieces {
                let piece: Vec<u8> = (0..bytes).map(|i| (i / 3 * usize::from(seed)) as u8).collect();
                content.extend_from_slice(&piece);
                if apart {
                    let mut other = Blocks::default();
                    other.write(&piece).unwrap();
                    blocks.append(other).unwrap();
                } else {
                    blocks.write(&piece).unwrap();
                }
            }
            prop_assert_eq!(blocks.content_bytes(), content.len() as u64);
            prop_assert!(uncompressed(&blocks.finish().unwrap()) == content);
        }
    }
}
