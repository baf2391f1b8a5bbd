//! The three bytes in front of a histogram chunk: how many samples, whether the counter was reset, and start timestamps.

use bytes::Bytes;
use varve_storage::histogram::CounterResetHint;

use super::split_header;
use super::start::Starts;
use crate::error::DecodeError;

/// Both forms of the header have three bytes.
pub(super) const HEADER_BYTES: usize = 3;

/// The bits that say what is known of a reset; they lie in the first byte with start timestamps, else in the third.
const RESET_BITS: u8 = 0b1100_0000;

/// What a chunk's writer knew of a counter reset between the chunk before and this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CounterReset {
    /// Nothing.
    Unknown,
    /// There was none.
    No,
    /// There was one.
    Yes,
    /// The histograms are gauges.
    Gauge,
}

impl CounterReset {
    fn bits(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::No => 0b0100_0000,
            Self::Yes => 0b1000_0000,
            Self::Gauge => RESET_BITS,
        }
    }
}

/// A header, read.
#[derive(Clone, Debug)]
pub(super) struct HistogramHeader {
    pub(super) samples: u16,
    gauge: bool,
    pub(super) starts: Starts,
}

impl HistogramHeader {
    /// Splits the header off the chunk's data.
    pub(super) fn read(data: Bytes, with_starts: bool) -> Result<(Self, Bytes), DecodeError> {
        let ([first, second, third], rest) = split_header::<HEADER_BYTES>(data)?;
        let (high, reset, starts) = if with_starts {
            (first & !RESET_BITS, first & RESET_BITS, third)
        } else {
            (first, third & RESET_BITS, 0)
        };
        let header = Self {
            samples: u16::from_be_bytes([high, second]),
            gauge: reset == RESET_BITS,
            starts: Starts::new(starts),
        };
        Ok((header, rest))
    }

    /// What a query sees of a sample's counter reset. Of a chunk's first sample nothing is certain even where the header says so:
    /// the chunk before may be gone, or samples have come between.
    pub(super) fn hint(&self, number: u16) -> CounterResetHint {
        match (self.gauge, number) {
            (true, _) => CounterResetHint::Gauge,
            (false, 0) => CounterResetHint::Unknown,
            (false, _) => CounterResetHint::NotCounterReset,
        }
    }
}

/// The bytes of a header; `starts` is there in a chunk with start timestamps.
pub(super) fn header(samples: u16, reset: CounterReset, starts: Option<u8>) -> [u8; HEADER_BYTES] {
    let [high, low] = samples.to_be_bytes();
    match starts {
        None => [high, low, reset.bits()],
        Some(starts) => [high & !RESET_BITS | reset.bits(), low, starts],
    }
}
