//! Float chunks: differences of differences of times, and XORs of values.

use bytes::Bytes;
use varve_storage::SampleValue;
use varve_storage::columns::NO_START_MS;

use super::bits::{BitReader, BitWriter, fits_signed};
use super::window::{Window, WindowWriter};
use super::{Sample, split_header};
use crate::error::DecodeError;

type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// The samples' number.
const HEADER_BYTES: usize = 2;

/// The bits of a difference of differences behind so many ones (and a zero).
const TIME_SIZES: [u32; 5] = [0, 14, 17, 20, 64];

/// Reads a float chunk.
#[derive(Clone, Debug)]
pub(super) struct XorSamples {
    bits: BitReader,
    left: u16,
    read: u16,
    timestamp: i64,
    interval: i64,
    value: f64,
    window: Window,
}

impl XorSamples {
    pub(super) fn new(data: Bytes) -> Result<Self> {
        let ([high, low], rest) = split_header::<HEADER_BYTES>(data)?;
        Ok(Self {
            bits: BitReader::new(rest),
            left: u16::from_be_bytes([high, low]),
            read: 0,
            timestamp: 0,
            interval: 0,
            value: 0.0,
            window: Window::default(),
        })
    }

    /// The next sample, `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Sample>> {
        if self.left == 0 {
            return Ok(None);
        }
        match self.read {
            0 => {
                self.timestamp = self.bits.varint()?;
                self.value = self.bits.float()?;
            }
            1 => {
                self.interval = self.bits.uvarint()? as i64;
                self.timestamp = self.timestamp.wrapping_add(self.interval);
                self.value = self.window.read(&mut self.bits, self.value)?;
            }
            _ => {
                let ones = self.bits.ones(4)?;
                let size = TIME_SIZES.get(ones as usize).copied().unwrap_or(64);
                let change = self.bits.signed(size)?;
                self.interval = self.interval.wrapping_add(change);
                self.timestamp = self.timestamp.wrapping_add(self.interval);
                self.value = self.window.read(&mut self.bits, self.value)?;
            }
        }
        self.left -= 1;
        self.read = self.read.saturating_add(1);
        Ok(Some(Sample {
            timestamp_ms: self.timestamp,
            start_timestamp_ms: NO_START_MS,
            value: SampleValue::Float(self.value),
        }))
    }
}

/// Writes a float chunk; at most 65,535 samples.
#[derive(Debug)]
pub(crate) struct XorWriter {
    bits: BitWriter,
    samples: u16,
    timestamp: i64,
    interval: i64,
    value: f64,
    window: WindowWriter,
}

impl XorWriter {
    pub(crate) fn new() -> Self {
        Self {
            bits: BitWriter::new(HEADER_BYTES),
            samples: 0,
            timestamp: 0,
            interval: 0,
            value: 0.0,
            window: WindowWriter::default(),
        }
    }

    pub(crate) fn append(&mut self, timestamp_ms: i64, value: f64) {
        let interval = timestamp_ms.wrapping_sub(self.timestamp);
        match self.samples {
            0 => {
                self.bits.varint(timestamp_ms);
                self.bits.float(value);
            }
            1 => {
                self.bits.uvarint(interval as u64);
                self.window.write(&mut self.bits, value, self.value);
            }
            _ => {
                self.time_change(interval.wrapping_sub(self.interval));
                self.window.write(&mut self.bits, value, self.value);
            }
        }
        if self.samples > 0 {
            self.interval = interval;
        }
        self.timestamp = timestamp_ms;
        self.value = value;
        self.samples = self.samples.saturating_add(1);
    }

    fn time_change(&mut self, change: i64) {
        if change == 0 {
            self.bits.bit(false);
        } else if fits_signed(change, 14) {
            self.bits.bits(0b10, 2);
            self.bits.bits(change as u64, 14);
        } else if fits_signed(change, 17) {
            self.bits.bits(0b110, 3);
            self.bits.bits(change as u64, 17);
        } else if fits_signed(change, 20) {
            self.bits.bits(0b1110, 4);
            self.bits.bits(change as u64, 20);
        } else {
            self.bits.bits(0b1111, 4);
            self.bits.bits(change as u64, 64);
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bits.finish(&self.samples.to_be_bytes())
    }
}
