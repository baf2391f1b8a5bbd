//! A block's index: which series it has, in the order of their labels, and where their chunks are.
//!
//! Only the symbol table is held in memory. Series are read from front to back; postings (from label to series) are not read at
//! all.

use varve_storage::Labels;

use super::symbols::{References, Symbols, checked};
use crate::crc::crc32c;
use crate::error::{DecodeError, Error, Result};
use crate::fields::Fields;
use crate::source::{Source, Window};

/// The file of a block.
pub(crate) const FILE: &str = "index";

pub(crate) const MAGIC: u32 = 0xbaaa_d700;
pub(crate) const HEADER_BYTES: u64 = 5;

/// The table of contents at the file's end: six places and a checksum.
const CONTENTS_BYTES: u64 = 6 * 8 + 4;

/// Series begin at multiples of this from version 2 on, and their references count in it.
pub(crate) const SERIES_ALIGNMENT: u64 = 16;

/// A length and what may be behind it: the most bytes of a variable-length 32-bit number.
const LENGTH_BYTES_MAX: u64 = 5;

/// Bytes of one series' entry: labels and chunks of a year.
const ENTRY_BYTES_MAX: u64 = 64 << 20;

/// Where a chunk is, and its range; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMeta {
    /// The number of the chunks file (from 0) in the upper 32 bits, the place in it in the lower ones.
    pub reference: u64,
    /// The first sample's time in milliseconds.
    pub min_time: i64,
    /// The last sample's time.
    pub max_time: i64,
}

/// A series of a block.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockSeries {
    /// What tombstones call it.
    pub reference: u64,
    /// Its labels.
    pub labels: Labels,
    /// Its chunks, in the order of time.
    pub chunks: Vec<ChunkMeta>,
}

/// An opened index.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    source: Source,
    version: u8,
    symbols: Symbols,
    /// Where series begin, and where the section behind them does.
    series: (u64, u64),
}

impl Index {
    /// Opens an index: reads its table of contents and its symbols.
    pub(crate) fn open(source: Source) -> Result<Self> {
        let header = source.read(0, HEADER_BYTES)?;
        let mut fields = Fields::new(&header);
        let version = match (fields.u32(), fields.byte()) {
            (Ok(MAGIC), Ok(version @ 1..=3)) => version,
            (Ok(MAGIC), Ok(version)) => {
                return Err(Error::Unsupported {
                    path: source.path().to_owned(),
                    reason: format!("version {version} of the index format"),
                });
            }
            _ => return Err(source.corrupt(0, "it is no index")),
        };
        let (symbols, series) = contents(&source)?;
        let references = if version == 1 {
            References::Offsets
        } else {
            References::Numbers
        };
        let symbols = Symbols::read(&source, symbols, references)?;
        Ok(Self {
            source,
            version,
            symbols,
            series,
        })
    }

    /// Its series from the first one on.
    pub(crate) fn series(&self) -> SeriesReader {
        SeriesReader {
            place: self.series.0,
            window: Window::new(self.source.clone()),
            index: self.clone(),
        }
    }

    fn decode(&self, entry: &[u8], reference: u64) -> Result<BlockSeries, DecodeError> {
        let mut fields = Fields::new(entry);
        let labels = fields.count(2)?;
        let mut pairs = Vec::with_capacity(labels);
        for _ in 0..labels {
            let name = self.symbols.get(fields.uvarint()?)?;
            pairs.push((name, self.symbols.get(fields.uvarint()?)?));
        }
        // Old versions wrote labels with empty values, which say nothing.
        let labels = Labels::from_canonical(pairs.iter().copied())
            .unwrap_or_else(|| Labels::from_pairs(pairs));
        let count = fields.count(3)?;
        let mut chunks = Vec::with_capacity(count);
        let (mut end, mut chunk_reference) = (0i64, 0i64);
        for number in 0..count {
            let min_time = if number == 0 {
                fields.varint()?
            } else {
                end.wrapping_add(fields.uvarint()? as i64)
            };
            let max_time = min_time.wrapping_add(fields.uvarint()? as i64);
            chunk_reference = if number == 0 {
                fields.uvarint()? as i64
            } else {
                chunk_reference.wrapping_add(fields.varint()?)
            };
            end = max_time;
            chunks.push(ChunkMeta {
                reference: chunk_reference as u64,
                min_time,
                max_time,
            });
        }
        Ok(BlockSeries {
            reference,
            labels,
            chunks,
        })
    }
}

/// Reads the table of contents: where symbols are, and from where to where series are.
fn contents(source: &Source) -> Result<(u64, (u64, u64))> {
    let place = source
        .size()
        .checked_sub(CONTENTS_BYTES)
        .ok_or_else(|| source.corrupt(0, "it ends before its table of contents"))?;
    let table = source.read(place, CONTENTS_BYTES)?;
    let read = || -> Result<_, DecodeError> {
        let table = checked(table)?;
        let mut fields = Fields::new(&table);
        let (symbols, series) = (fields.u64()?, fields.u64()?);
        let mut end = place;
        for _ in 0..4 {
            let section = fields.u64()?;
            if section >= series {
                end = end.min(section);
            }
        }
        Ok((symbols, (series, end)))
    };
    read().map_err(|error| source.corrupt(place, format!("table of contents: {error}")))
}

/// Reads series in the order of their labels.
#[derive(Debug)]
pub(crate) struct SeriesReader {
    index: Index,
    window: Window,
    place: u64,
}

impl SeriesReader {
    /// The next series, `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<BlockSeries>> {
        if !self.skip_padding()? {
            return Ok(None);
        }
        let place = self.place;
        let corrupt = |error: DecodeError| {
            Error::corrupt(self.index.source.path(), place, format!("series: {error}"))
        };
        let head = self.window.read_up_to(place, LENGTH_BYTES_MAX)?;
        let mut fields = Fields::new(&head);
        let length = fields.uvarint().map_err(corrupt)?;
        if length > ENTRY_BYTES_MAX {
            return Err(corrupt(DecodeError::new("its entry is too long")));
        }
        let length_bytes = (head.len() - fields.len()) as u64;
        let entry = self.window.read(place + length_bytes, length + 4)?;
        let (entry, checksum) = entry.split_at(entry.len() - 4);
        if Fields::new(checksum).u32() != Ok(crc32c(entry)) {
            return Err(corrupt(DecodeError::new("the checksum does not match")));
        }
        let reference = if self.index.version == 1 {
            place
        } else {
            place / SERIES_ALIGNMENT
        };
        let series = self.index.decode(entry, reference).map_err(corrupt)?;
        self.place = place + length_bytes + length + 4;
        Ok(Some(series))
    }

    /// Goes to the next series: an entry never begins with a zero. Whether there is one.
    fn skip_padding(&mut self) -> Result<bool> {
        while self.place < self.index.series.1 {
            let rest = (self.index.series.1 - self.place).min(SERIES_ALIGNMENT);
            let ahead = self.window.read(self.place, rest)?;
            match ahead.iter().position(|byte| *byte != 0) {
                Some(padding) => {
                    self.place += padding as u64;
                    return Ok(true);
                }
                None => self.place += rest,
            }
        }
        Ok(false)
    }
}

/// Opens an index that is in memory and reads all its series; for tests and fuzz targets.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn read_index(bytes: bytes::Bytes) -> Result<Vec<BlockSeries>> {
    let mut reader = Index::open(Source::memory(FILE, bytes))?.series();
    let mut series = Vec::new();
    while let Some(next) = reader.next()? {
        series.push(next);
    }
    Ok(series)
}
