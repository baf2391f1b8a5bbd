//! Float histogram chunks. All counts are XORs with the one before.

use std::sync::Arc;

use bytes::Bytes;
use varve_storage::histogram::CounterResetHint;
use varve_storage::{FloatHistogram, SampleValue, is_stale_nan};

use super::Sample;
use super::bits::{BitReader, BitWriter};
use super::header::{CounterReset, HEADER_BYTES, HistogramHeader, header};
use super::layout::Layout;
use super::start::StartsWriter;
use super::window::{Window, WindowWriter};
use crate::error::DecodeError;

type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// A float with the window of its own changes.
#[derive(Clone, Copy, Debug, Default)]
struct Xored {
    value: f64,
    window: Window,
}

impl Xored {
    fn first(bits: &mut BitReader) -> Result<Self> {
        Ok(Self {
            value: bits.float()?,
            window: Window::default(),
        })
    }

    fn read_next(&mut self, bits: &mut BitReader) -> Result<()> {
        self.value = self.window.read(bits, self.value)?;
        Ok(())
    }
}

/// Reads a float histogram chunk.
#[derive(Clone, Debug)]
pub(super) struct FloatHistogramSamples {
    bits: BitReader,
    header: HistogramHeader,
    read: u16,
    layout: Layout,
    timestamp: i64,
    interval: i64,
    count: Xored,
    zero_count: Xored,
    sum: Xored,
    positive: Vec<Xored>,
    negative: Vec<Xored>,
}

impl FloatHistogramSamples {
    pub(super) fn new(data: Bytes, with_starts: bool) -> Result<Self> {
        let (header, rest) = HistogramHeader::read(data, with_starts)?;
        Ok(Self {
            bits: BitReader::new(rest),
            header,
            read: 0,
            layout: Layout::default(),
            timestamp: 0,
            interval: 0,
            count: Xored::default(),
            zero_count: Xored::default(),
            sum: Xored::default(),
            positive: Vec::new(),
            negative: Vec::new(),
        })
    }

    /// The next sample, `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Sample>> {
        if self.read >= self.header.samples {
            return Ok(None);
        }
        let previous = self.timestamp;
        let hint = self.header.hint(self.read);
        if self.read == 0 {
            self.first()?;
        } else {
            self.following()?;
        }
        let start = self
            .header
            .starts
            .read(&mut self.bits, self.read, self.timestamp, previous)?;
        self.read += 1;
        self.sample(start, hint).map(Some)
    }

    fn first(&mut self) -> Result<()> {
        let (layout, positive, negative) = Layout::read(&mut self.bits)?;
        self.layout = layout;
        self.timestamp = self.bits.varbit_int()?;
        self.count = Xored::first(&mut self.bits)?;
        self.zero_count = Xored::first(&mut self.bits)?;
        self.sum = Xored::first(&mut self.bits)?;
        for (buckets, length) in [
            (&mut self.positive, positive),
            (&mut self.negative, negative),
        ] {
            buckets.reserve_exact(length);
            for _ in 0..length {
                buckets.push(Xored::first(&mut self.bits)?);
            }
        }
        Ok(())
    }

    fn following(&mut self) -> Result<()> {
        self.interval = self.interval.wrapping_add(self.bits.varbit_int()?);
        self.timestamp = self.timestamp.wrapping_add(self.interval);
        self.count.read_next(&mut self.bits)?;
        self.zero_count.read_next(&mut self.bits)?;
        self.sum.read_next(&mut self.bits)?;
        if is_stale_nan(self.sum.value) {
            return Ok(());
        }
        for bucket in self.positive.iter_mut().chain(&mut self.negative) {
            bucket.read_next(&mut self.bits)?;
        }
        Ok(())
    }

    fn sample(&self, start_timestamp_ms: i64, hint: CounterResetHint) -> Result<Sample> {
        let values =
            |buckets: &[Xored]| -> Vec<f64> { buckets.iter().map(|bucket| bucket.value).collect() };
        let numbers = (self.count.value, self.zero_count.value, self.sum.value);
        let histogram = self.layout.histogram(
            hint,
            numbers,
            values(&self.positive),
            values(&self.negative),
        )?;
        Ok(Sample {
            timestamp_ms: self.timestamp,
            start_timestamp_ms,
            value: SampleValue::Histogram(Arc::new(histogram)),
        })
    }
}

/// A float with the window of its own changes, on the writing side.
#[derive(Clone, Copy, Debug, Default)]
struct XoredWriter {
    value: f64,
    window: WindowWriter,
}

impl XoredWriter {
    fn write(&mut self, bits: &mut BitWriter, value: f64, first: bool) {
        if first {
            bits.float(value);
        } else {
            self.window.write(bits, value, self.value);
        }
        self.value = value;
    }
}

/// A histogram with its time and its start timestamp in milliseconds.
pub(crate) type TimedHistogram = (i64, i64, Arc<FloatHistogram>);

/// Encodes histograms, all of the first one's layout but for stale markers, of which only the sum is written. A stale marker in
/// front means that all are. At most 65,535 histograms, with start timestamps 16,383. Prometheus reads start timestamps from
/// version 3.14 on.
pub(crate) fn encode_float_histograms(
    samples: &[TimedHistogram],
    reset: CounterReset,
    with_starts: bool,
) -> Vec<u8> {
    let mut bits = BitWriter::new(HEADER_BYTES);
    let mut starts = StartsWriter::default();
    let mut numbers = [XoredWriter::default(); 3];
    let mut buckets: Vec<XoredWriter> = Vec::new();
    let (mut previous, mut interval, mut number) = (0i64, 0i64, 0u16);
    for (timestamp, start, histogram) in samples {
        let first = number == 0;
        if first {
            Layout::of(histogram).write(&mut bits);
            bits.varbit_int(*timestamp);
            let counts = histogram.positive_buckets.len() + histogram.negative_buckets.len();
            buckets = vec![XoredWriter::default(); counts];
        } else {
            let next = timestamp.wrapping_sub(previous);
            bits.varbit_int(next.wrapping_sub(interval));
            interval = next;
        }
        let values = [histogram.count, histogram.zero_count, histogram.sum];
        for (writer, value) in numbers.iter_mut().zip(values) {
            writer.write(&mut bits, value, first);
        }
        if first || !is_stale_nan(histogram.sum) {
            let positive = histogram.positive_buckets.iter();
            let counts = positive.chain(&histogram.negative_buckets);
            for (writer, count) in buckets.iter_mut().zip(counts) {
                writer.write(&mut bits, *count, first);
            }
        }
        if with_starts {
            starts.write(&mut bits, number, *timestamp, previous, *start);
        }
        previous = *timestamp;
        number = number.saturating_add(1);
    }
    let starts = with_starts.then_some(starts.header);
    bits.finish(&header(number, reset, starts))
}
