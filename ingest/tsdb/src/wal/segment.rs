//! One segment: pages of fragments that make up records.

use std::io::Read;

use bytes::Bytes;

use crate::crc::crc32c;
use crate::error::{DecodeError, Result, TRUNCATED};
use crate::fields::Fields;
use crate::source::{Source, Window};

const PAGE_BYTES: u64 = 32 << 10;

/// A fragment's kind, length and checksum.
const HEADER_BYTES: u64 = 7;

const SNAPPY: u8 = 1 << 3;
const ZSTD: u8 = 1 << 4;

/// Bytes of a record, decompressed: scrapes of millions of samples take less.
const RECORD_BYTES_MAX: usize = 128 << 20;

/// How much snappy can make of a byte at most (a copy of 64 bytes takes three).
const SNAPPY_RATIO_MAX: usize = 22;

/// Reads the records of a segment.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    window: Window,
    place: u64,
}

impl SegmentReader {
    pub(crate) fn new(source: Source) -> Self {
        Self {
            window: Window::new(source),
            place: 0,
        }
    }

    /// The place behind the last record that was read.
    pub(crate) fn place(&self) -> u64 {
        self.place
    }

    /// The next record; `None` behind the last one. After an error the place is that before the record.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut compressed = Vec::new();
        let mut place = self.place;
        let mut fragments = 0;
        loop {
            let Some(start) = self.next_fragment(place)? else {
                if fragments > 0 {
                    return Err(self.corrupt(place, "the last record is torn"));
                }
                self.place = self.window.source().size();
                return Ok(None);
            };
            let fragment = self.fragment(start)?;
            place = start + HEADER_BYTES + fragment.data.len() as u64;
            let fits = matches!((fragment.kind, fragments), (1 | 2, 0) | (3 | 4, 1..));
            if !fits {
                return Err(self.corrupt(start, "a fragment of a record is out of place"));
            }
            if compressed.len() + fragment.data.len() > RECORD_BYTES_MAX {
                return Err(self.corrupt(start, "a record is too long"));
            }
            compressed.extend_from_slice(&fragment.data);
            fragments += 1;
            if matches!(fragment.kind, 1 | 4) {
                let record = decompress(fragment.flags, compressed)
                    .map_err(|error| self.corrupt(start, error))?;
                self.place = place;
                return Ok(Some(record));
            }
        }
    }

    fn corrupt(&self, place: u64, reason: impl ToString) -> crate::Error {
        self.window.source().corrupt(place, reason)
    }

    /// The place of the next fragment, behind the padding of pages.
    fn next_fragment(&mut self, mut place: u64) -> Result<Option<u64>> {
        loop {
            let page_end = (place / PAGE_BYTES + 1) * PAGE_BYTES;
            let rest = self.window.read_up_to(place, page_end - place)?;
            match rest.first() {
                None => return Ok(None),
                Some(0) if rest.iter().all(|byte| *byte == 0) => place += rest.len() as u64,
                Some(0) => return Err(self.corrupt(place, "the padding of a page is not empty")),
                Some(_) => return Ok(Some(place)),
            }
        }
    }

    fn fragment(&mut self, place: u64) -> Result<Fragment> {
        let header = self.window.read(place, HEADER_BYTES)?;
        let mut fields = Fields::new(&header);
        let mut read =
            || -> Result<_, DecodeError> { Ok((fields.byte()?, fields.u16()?, fields.u32()?)) };
        let (kind, length, checksum) = read().map_err(|error| self.corrupt(place, error))?;
        let room = PAGE_BYTES - place % PAGE_BYTES;
        if HEADER_BYTES + u64::from(length) > room {
            return Err(self.corrupt(place, "a fragment is longer than its page"));
        }
        let data = self.window.read(place + HEADER_BYTES, u64::from(length))?;
        if crc32c(&data) != checksum {
            return Err(self.corrupt(place, "the checksum of a record does not match"));
        }
        Ok(Fragment {
            kind: kind & 7,
            flags: kind & (SNAPPY | ZSTD),
            data,
        })
    }
}

struct Fragment {
    kind: u8,
    flags: u8,
    data: Bytes,
}

fn decompress(flags: u8, bytes: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
    if flags & SNAPPY != 0 {
        let announced = snap::raw::decompress_len(&bytes).map_err(|error| error.to_string())?;
        if announced > RECORD_BYTES_MAX || announced > SNAPPY_RATIO_MAX * bytes.len() {
            return Err(TRUNCATED);
        }
        let mut decoder = snap::raw::Decoder::new();
        let record = decoder.decompress_vec(&bytes);
        return record.map_err(|error| DecodeError::from(error.to_string()));
    }
    if flags & ZSTD != 0 {
        let invalid = |error: std::io::Error| DecodeError::from(format!("zstd: {error}"));
        let decoder = zstd::stream::read::Decoder::new(&bytes[..]).map_err(invalid)?;
        let mut record = Vec::new();
        decoder
            .take(RECORD_BYTES_MAX as u64 + 1)
            .read_to_end(&mut record)
            .map_err(invalid)?;
        if record.len() > RECORD_BYTES_MAX {
            return Err(DecodeError::new("a record is too long"));
        }
        return Ok(record);
    }
    Ok(bytes)
}
