//! Start timestamps in chunks: as what lies between them and the time of the sample before, from the first change on.

use varve_storage::columns::NO_START_MS;

use super::bits::{BitReader, BitWriter};
use crate::error::DecodeError;

/// Seven bits of the header say from which sample on each has a start timestamp of its own.
const CHANGED_ON_MAX: u16 = 0x7f;

/// Reads the start timestamp behind each sample.
#[derive(Clone, Debug)]
pub(super) struct Starts {
    first_known: bool,
    /// The number of the first sample with one of its own, from 0; 0 means none.
    changed_on: u16,
    start: i64,
    distance: i64,
}

impl Starts {
    /// From the header's byte.
    pub(super) fn new(header: u8) -> Self {
        Self {
            first_known: header & 0x80 != 0,
            changed_on: u16::from(header & 0x7f),
            start: NO_START_MS,
            distance: 0,
        }
    }

    /// The start timestamp of sample `number` (from 0), which lies at `timestamp`; the one before it at `previous`.
    pub(super) fn read(
        &mut self,
        bits: &mut BitReader,
        number: u16,
        timestamp: i64,
        previous: i64,
    ) -> Result<i64, DecodeError> {
        if number == 0 {
            if self.first_known {
                self.start = timestamp.wrapping_sub(bits.varint()?);
            }
        } else if self.changed_on > 0 && number >= self.changed_on {
            let change = bits.varbit_int()?;
            self.distance = if number == self.changed_on {
                change
            } else {
                self.distance.wrapping_add(change)
            };
            self.start = previous.wrapping_sub(self.distance);
        }
        Ok(self.start)
    }
}

/// Writes them.
#[derive(Debug, Default)]
pub(super) struct StartsWriter {
    pub(super) header: u8,
    start: i64,
    distance: i64,
}

impl StartsWriter {
    pub(super) fn write(
        &mut self,
        bits: &mut BitWriter,
        number: u16,
        timestamp: i64,
        previous: i64,
        start: i64,
    ) {
        let distance = previous.wrapping_sub(start);
        if number == 0 {
            if start != NO_START_MS {
                bits.varint(timestamp.wrapping_sub(start));
                self.header = 0x80;
            }
        } else if self.header & 0x7f != 0 {
            bits.varbit_int(distance.wrapping_sub(self.distance));
            self.distance = distance;
        } else if start != self.start || number == CHANGED_ON_MAX {
            self.header |= number as u8;
            bits.varbit_int(distance);
            self.distance = distance;
        }
        self.start = start;
    }
}
