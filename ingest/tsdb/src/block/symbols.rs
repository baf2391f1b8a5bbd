//! The symbol table: every name and value of a label, once.

use bytes::Bytes;

use crate::crc::crc32c;
use crate::error::{DecodeError, Result, TRUNCATED};
use crate::fields::Fields;
use crate::source::Source;

/// The place of every so many symbols is kept; the others are found from there.
const STRIDE: usize = 32;

/// How series refer to symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum References {
    /// By their place in the file (version 1 of the index).
    Offsets,
    /// By their number.
    Numbers,
}

/// A symbol table in memory: its bytes as in the file.
#[derive(Clone, Debug)]
pub(super) struct Symbols {
    references: References,
    /// Where `bytes` begin in the file.
    start: u64,
    bytes: Bytes,
    places: Vec<usize>,
    count: usize,
}

impl Symbols {
    /// Reads the table at a place of an index.
    pub(super) fn read(source: &Source, place: u64, references: References) -> Result<Self> {
        let bytes = read_section(source, place)?;
        // The section's length lies before it.
        Self::decode(bytes, place.saturating_add(4), references)
            .map_err(|error| source.corrupt(place, format!("symbol table: {error}")))
    }

    fn decode(bytes: Bytes, start: u64, references: References) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(&bytes);
        let count = fields.u32()? as usize;
        let mut places = Vec::new();
        for number in 0..count {
            if number % STRIDE == 0 {
                places.push(bytes.len() - fields.len());
            }
            fields.text()?;
        }
        Ok(Self {
            references,
            start,
            bytes: bytes.clone(),
            places,
            count,
        })
    }

    /// A symbol, by what series call it.
    pub(super) fn get(&self, reference: u64) -> Result<&str, DecodeError> {
        let unknown = || DecodeError::from(format!("symbol {reference} does not exist"));
        match self.references {
            References::Offsets => {
                let place = reference.checked_sub(self.start);
                let place = place.and_then(|place| usize::try_from(place).ok());
                let rest = place.and_then(|place| self.bytes.get(place..));
                Fields::new(rest.ok_or_else(unknown)?).text()
            }
            References::Numbers => {
                let number = usize::try_from(reference).map_err(|_| unknown())?;
                let place = self.places.get(number / STRIDE).copied();
                let (Some(place), true) = (place, number < self.count) else {
                    return Err(unknown());
                };
                let mut fields = Fields::new(self.bytes.get(place..).ok_or_else(unknown)?);
                for _ in 0..number % STRIDE {
                    let length = fields.count(1)?;
                    fields.bytes(length)?;
                }
                fields.text()
            }
        }
    }
}

/// Reads a section that has its length before it and its checksum behind it; gives what is between.
pub(super) fn read_section(source: &Source, place: u64) -> Result<Bytes> {
    let length = source.read(place, 4)?;
    let length = Fields::new(&length)
        .u32()
        .map_err(|error| source.corrupt(place, error))?;
    let section = source.read(place + 4, u64::from(length) + 4)?;
    checked(section).map_err(|error| source.corrupt(place, error))
}

/// Bytes without the checksum behind them, which must be right.
pub(super) fn checked(mut bytes: Bytes) -> Result<Bytes, DecodeError> {
    let length = bytes.len().checked_sub(4).ok_or(TRUNCATED)?;
    let checksum = bytes.split_off(length);
    if Fields::new(&checksum).u32()? != crc32c(&bytes) {
        return Err(DecodeError::new("the checksum does not match"));
    }
    Ok(bytes)
}
