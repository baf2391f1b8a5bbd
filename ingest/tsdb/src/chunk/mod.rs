//! Chunks: the samples of one series over a stretch of time, compressed.
//!
//! Six encodings: floats ([`Encoding::Xor`], [`Encoding::Xor2`]), native histograms with whole counts and with float counts, and
//! both of these with start timestamps. [`ChunkSamples`] reads all of them, one sample at a time.
//!
//! Invariant: no bytes make a reader panic, or take more memory than one histogram of the chunk.

mod bits;
mod float_histogram;
mod header;
mod histogram;
mod layout;
mod start;
mod window;
mod xor;
mod xor2;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use varve_storage::SampleValue;

use self::float_histogram::FloatHistogramSamples;
use self::histogram::HistogramSamples;
use self::xor::XorSamples;
use self::xor2::Xor2Samples;
use crate::error::{DecodeError, TRUNCATED};

pub(crate) use self::float_histogram::{TimedHistogram, encode_float_histograms};
pub(crate) use self::header::CounterReset;
pub(crate) use self::layout::{is_known_schema, with_usable_schema};
pub(crate) use self::xor::XorWriter;
pub(crate) use self::xor2::Xor2Writer;

/// Bytes of one chunk: a thousand times what Prometheus aims at.
pub(crate) const CHUNK_BYTES_MAX: u64 = 16 << 20;

/// How a chunk is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Floats.
    Xor = 1,
    /// Native histograms with whole counts.
    Histogram = 2,
    /// Native histograms with float counts.
    FloatHistogram = 3,
    /// Floats, with or without start timestamps (Prometheus 3.14).
    Xor2 = 4,
    /// [`Encoding::Histogram`] with start timestamps (Prometheus 3.14).
    HistogramStarts = 5,
    /// [`Encoding::FloatHistogram`] with start timestamps (Prometheus 3.14).
    FloatHistogramStarts = 6,
}

impl Encoding {
    /// From its number in files.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Xor,
            Self::Histogram,
            Self::FloatHistogram,
            Self::Xor2,
            Self::HistogramStarts,
            Self::FloatHistogramStarts,
        ]
        .into_iter()
        .find(|encoding| *encoding as u8 == byte)
    }

    /// Whether it holds histograms.
    pub fn is_histogram(self) -> bool {
        !matches!(self, Self::Xor | Self::Xor2)
    }
}

/// One sample of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its time in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Its start timestamp in milliseconds, [`NO_START_MS`](varve_storage::columns::NO_START_MS) where none is known.
    pub start_timestamp_ms: i64,
    /// Its value. Counter-reset hints of histograms are those that Prometheus's queries see.
    pub value: SampleValue,
}

#[derive(Clone, Debug)]
enum Reader {
    Xor(XorSamples),
    Xor2(Xor2Samples),
    Histogram(Box<HistogramSamples>),
    FloatHistogram(Box<FloatHistogramSamples>),
}

/// The samples of a chunk, in its order (which is that of time in chunks that Prometheus wrote). Ends after an error.
#[derive(Clone, Debug)]
pub struct ChunkSamples {
    reader: Reader,
    ended: bool,
}

impl ChunkSamples {
    /// Begins to read a chunk's data.
    ///
    /// # Errors
    /// If there are fewer bytes than the chunk's header has.
    pub fn new(encoding: Encoding, data: Bytes) -> Result<Self, DecodeError> {
        let reader = match encoding {
            Encoding::Xor => Reader::Xor(XorSamples::new(data)?),
            Encoding::Xor2 => Reader::Xor2(Xor2Samples::new(data)?),
            Encoding::Histogram => Reader::Histogram(Box::new(HistogramSamples::new(data, false)?)),
            Encoding::HistogramStarts => {
                Reader::Histogram(Box::new(HistogramSamples::new(data, true)?))
            }
            Encoding::FloatHistogram => {
                Reader::FloatHistogram(Box::new(FloatHistogramSamples::new(data, false)?))
            }
            Encoding::FloatHistogramStarts => {
                Reader::FloatHistogram(Box::new(FloatHistogramSamples::new(data, true)?))
            }
        };
        Ok(Self {
            reader,
            ended: false,
        })
    }
}

impl Iterator for ChunkSamples {
    type Item = Result<Sample, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = match &mut self.reader {
            Reader::Xor(samples) => samples.next(),
            Reader::Xor2(samples) => samples.next(),
            Reader::Histogram(samples) => samples.next(),
            Reader::FloatHistogram(samples) => samples.next(),
        };
        self.ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

/// Splits a header of so many bytes off.
fn split_header<const N: usize>(mut data: Bytes) -> Result<([u8; N], Bytes), DecodeError> {
    let header = *data.first_chunk::<N>().ok_or(TRUNCATED)?;
    let rest = data.split_off(N);
    Ok((header, rest))
}
