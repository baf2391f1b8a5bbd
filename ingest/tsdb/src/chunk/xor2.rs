//! Float chunks of the second kind: one prefix for time and value, short stale markers, and start timestamps.

use bytes::Bytes;
use varve_storage::{SampleValue, stale_nan};

use super::bits::{BitReader, BitWriter};
use super::start::{Starts, StartsWriter};
use super::window::{Window, WindowWriter};
use super::{Sample, split_header};
use crate::error::DecodeError;

type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// The samples' number and what is known of start timestamps.
const HEADER_BYTES: usize = 3;

/// Reads a float chunk of the second kind.
#[derive(Clone, Debug)]
pub(super) struct Xor2Samples {
    bits: BitReader,
    left: u16,
    read: u16,
    timestamp: i64,
    interval: i64,
    /// The last value that is no stale marker: what the next one is compared with.
    value: f64,
    window: Window,
    starts: Starts,
}

impl Xor2Samples {
    pub(super) fn new(data: Bytes) -> Result<Self> {
        let ([high, low, starts], rest) = split_header::<HEADER_BYTES>(data)?;
        Ok(Self {
            bits: BitReader::new(rest),
            left: u16::from_be_bytes([high, low]),
            read: 0,
            timestamp: 0,
            interval: 0,
            value: 0.0,
            window: Window::default(),
            starts: Starts::new(starts),
        })
    }

    /// The next sample, `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Sample>> {
        if self.left == 0 {
            return Ok(None);
        }
        let previous = self.timestamp;
        let value = match self.read {
            0 => {
                self.timestamp = self.bits.varint()?;
                let first = self.bits.float()?;
                if !varve_storage::is_stale_nan(first) {
                    self.value = first;
                }
                first
            }
            1 => {
                self.interval = self.bits.uvarint()? as i64;
                self.timestamp = self.timestamp.wrapping_add(self.interval);
                self.changed_value()?
            }
            _ => self.joint()?,
        };
        let start = self
            .starts
            .read(&mut self.bits, self.read, self.timestamp, previous)?;
        self.left -= 1;
        self.read = self.read.saturating_add(1);
        Ok(Some(Sample {
            timestamp_ms: self.timestamp,
            start_timestamp_ms: start,
            value: SampleValue::Float(value),
        }))
    }

    /// Time and value of a sample behind the second.
    fn joint(&mut self) -> Result<f64> {
        let prefix = self.bits.ones(5)?;
        let change = match prefix {
            2 => twos_complement(self.bits.bits(13)?, 13),
            3 => twos_complement(self.bits.bits(20)?, 20),
            4 => self.bits.bits(64)? as i64,
            _ => 0,
        };
        self.interval = self.interval.wrapping_add(change);
        self.timestamp = self.timestamp.wrapping_add(self.interval);
        match prefix {
            0 => Ok(self.value),
            1 => {
                let change = if self.bits.bit()? {
                    self.window.read_new(&mut self.bits)?
                } else {
                    self.window.read_same(&mut self.bits)?
                };
                Ok(self.change(change))
            }
            5 => Ok(stale_nan()),
            _ => self.changed_value(),
        }
    }

    fn change(&mut self, change: u64) -> f64 {
        self.value = f64::from_bits(self.value.to_bits() ^ change);
        self.value
    }

    /// A value whose prefix also says whether it changed.
    fn changed_value(&mut self) -> Result<f64> {
        match self.bits.ones(3)? {
            0 => Ok(self.value),
            1 => {
                let change = self.window.read_same(&mut self.bits)?;
                Ok(self.change(change))
            }
            2 => {
                let change = self.window.read_new(&mut self.bits)?;
                Ok(self.change(change))
            }
            _ => Ok(stale_nan()),
        }
    }
}

fn twos_complement(bits: u64, count: u32) -> i64 {
    let unused = 64 - count;
    ((bits << unused) as i64) >> unused
}

/// Writes a float chunk of the second kind; at most 65,535 samples.
#[derive(Debug)]
pub(crate) struct Xor2Writer {
    bits: BitWriter,
    samples: u16,
    timestamp: i64,
    interval: i64,
    value: f64,
    window: WindowWriter,
    starts: StartsWriter,
}

impl Xor2Writer {
    pub(crate) fn new() -> Self {
        Self {
            bits: BitWriter::new(HEADER_BYTES),
            samples: 0,
            timestamp: 0,
            interval: 0,
            value: 0.0,
            window: WindowWriter::default(),
            starts: StartsWriter::default(),
        }
    }

    pub(crate) fn append(&mut self, timestamp_ms: i64, start_ms: i64, value: f64) {
        let interval = timestamp_ms.wrapping_sub(self.timestamp);
        match self.samples {
            0 => {
                self.bits.varint(timestamp_ms);
                self.bits.float(value);
            }
            1 => {
                self.bits.uvarint(interval as u64);
                self.changed_value(value);
            }
            _ => self.joint(interval.wrapping_sub(self.interval), value),
        }
        self.starts.write(
            &mut self.bits,
            self.samples,
            timestamp_ms,
            self.timestamp,
            start_ms,
        );
        if self.samples > 0 {
            self.interval = interval;
        }
        self.timestamp = timestamp_ms;
        if !varve_storage::is_stale_nan(value) {
            self.value = value;
        }
        self.samples = self.samples.saturating_add(1);
    }

    fn joint(&mut self, change: i64, value: f64) {
        match change {
            0 if varve_storage::is_stale_nan(value) => return self.bits.bits(0b11111, 5),
            0 => {
                return match value.to_bits() ^ self.value.to_bits() {
                    0 => self.bits.bit(false),
                    change => {
                        self.bits.bits(0b10, 2);
                        self.window
                            .write_change(&mut self.bits, change, (0, 1), (1, 1));
                    }
                };
            }
            -0x1000..0x1000 => {
                self.bits.bits(0b110, 3);
                self.bits.bits(change as u64, 13);
            }
            -0x8_0000..0x8_0000 => {
                self.bits.bits(0b1110, 4);
                self.bits.bits(change as u64, 20);
            }
            _ => {
                self.bits.bits(0b11110, 5);
                self.bits.bits(change as u64, 64);
            }
        }
        self.changed_value(value);
    }

    fn changed_value(&mut self, value: f64) {
        if varve_storage::is_stale_nan(value) {
            return self.bits.bits(0b111, 3);
        }
        match value.to_bits() ^ self.value.to_bits() {
            0 => self.bits.bit(false),
            change => self
                .window
                .write_change(&mut self.bits, change, (0b10, 2), (0b110, 3)),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let [high, low] = self.samples.to_be_bytes();
        self.bits.finish(&[high, low, self.starts.header])
    }
}
