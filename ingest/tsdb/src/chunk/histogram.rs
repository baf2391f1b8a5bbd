//! Integer histogram chunks. Buckets are differences to the bucket before; all counts are differences of differences.

use std::sync::Arc;

use bytes::Bytes;
use varve_storage::histogram::CounterResetHint;
use varve_storage::{SampleValue, is_stale_nan};

use super::Sample;
use super::bits::BitReader;
use super::header::HistogramHeader;
use super::layout::Layout;
use super::window::Window;
use crate::error::DecodeError;

type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// A number that is written as the difference of its differences.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    value: i64,
    change: i64,
}

impl Counted {
    fn read_next(&mut self, bits: &mut BitReader) -> Result<()> {
        self.change = self.change.wrapping_add(bits.varbit_int()?);
        self.value = self.value.wrapping_add(self.change);
        Ok(())
    }
}

/// Reads an integer histogram chunk, as float histograms.
#[derive(Clone, Debug)]
pub(super) struct HistogramSamples {
    bits: BitReader,
    header: HistogramHeader,
    read: u16,
    layout: Layout,
    time: Counted,
    count: Counted,
    zero_count: Counted,
    sum: f64,
    window: Window,
    positive: Vec<Counted>,
    negative: Vec<Counted>,
}

impl HistogramSamples {
    pub(super) fn new(data: Bytes, with_starts: bool) -> Result<Self> {
        let (header, rest) = HistogramHeader::read(data, with_starts)?;
        Ok(Self {
            bits: BitReader::new(rest),
            header,
            read: 0,
            layout: Layout::default(),
            time: Counted::default(),
            count: Counted::default(),
            zero_count: Counted::default(),
            sum: 0.0,
            window: Window::default(),
            positive: Vec::new(),
            negative: Vec::new(),
        })
    }

    /// The next sample, `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Sample>> {
        if self.read >= self.header.samples {
            return Ok(None);
        }
        let previous = self.time.value;
        let hint = self.header.hint(self.read);
        if self.read == 0 {
            self.first()?;
        } else {
            self.following()?;
        }
        let time = self.time.value;
        let start = self
            .header
            .starts
            .read(&mut self.bits, self.read, time, previous)?;
        self.read += 1;
        self.sample(start, hint).map(Some)
    }

    fn first(&mut self) -> Result<()> {
        let (layout, positive, negative) = Layout::read(&mut self.bits)?;
        self.layout = layout;
        self.time.value = self.bits.varbit_int()?;
        self.count.value = self.bits.varbit_uint()? as i64;
        self.zero_count.value = self.bits.varbit_uint()? as i64;
        self.sum = self.bits.float()?;
        for (buckets, length) in [
            (&mut self.positive, positive),
            (&mut self.negative, negative),
        ] {
            buckets.reserve_exact(length);
            for _ in 0..length {
                let value = self.bits.varbit_int()?;
                buckets.push(Counted { value, change: 0 });
            }
        }
        Ok(())
    }

    fn following(&mut self) -> Result<()> {
        self.time.read_next(&mut self.bits)?;
        self.count.read_next(&mut self.bits)?;
        self.zero_count.read_next(&mut self.bits)?;
        self.sum = self.window.read(&mut self.bits, self.sum)?;
        if is_stale_nan(self.sum) {
            return Ok(());
        }
        for bucket in self.positive.iter_mut().chain(&mut self.negative) {
            bucket.read_next(&mut self.bits)?;
        }
        Ok(())
    }

    fn sample(&self, start_timestamp_ms: i64, hint: CounterResetHint) -> Result<Sample> {
        let numbers = (
            self.count.value as u64 as f64,
            self.zero_count.value as u64 as f64,
            self.sum,
        );
        let histogram = self.layout.histogram(
            hint,
            numbers,
            absolute(&self.positive),
            absolute(&self.negative),
        )?;
        Ok(Sample {
            timestamp_ms: self.time.value,
            start_timestamp_ms,
            value: SampleValue::Histogram(Arc::new(histogram)),
        })
    }
}

fn absolute(buckets: &[Counted]) -> Vec<f64> {
    let mut count = 0i64;
    buckets
        .iter()
        .map(|bucket| {
            count = count.wrapping_add(bucket.value);
            count as f64
        })
        .collect()
}

/// Encodes histograms with whole counts and one layout; the counts of stale markers are 0.
#[cfg(test)]
pub(crate) fn encode_histograms(
    samples: &[super::TimedHistogram],
    reset: super::header::CounterReset,
    with_starts: bool,
) -> Vec<u8> {
    let mut bits = super::bits::BitWriter::new(super::header::HEADER_BYTES);
    let mut starts = super::start::StartsWriter::default();
    let mut window = super::window::WindowWriter::default();
    let mut before: Vec<Counted> = Vec::new();
    let mut sum = 0.0;
    let mut previous_ms = 0;
    for (number, (timestamp_ms, start_ms, histogram)) in samples.iter().enumerate() {
        let stale = is_stale_nan(histogram.sum);
        let mut numbers = vec![
            *timestamp_ms,
            histogram.count as u64 as i64,
            histogram.zero_count as u64 as i64,
        ];
        for side in [&histogram.positive_buckets, &histogram.negative_buckets] {
            let mut last = 0;
            for count in side {
                numbers.push(*count as i64 - last);
                last = *count as i64;
            }
        }
        if number == 0 {
            super::layout::Layout::of(histogram).write(&mut bits);
            bits.varbit_int(*timestamp_ms);
            bits.varbit_uint(histogram.count as u64);
            bits.varbit_uint(histogram.zero_count as u64);
            bits.float(histogram.sum);
            for value in numbers.iter().skip(3) {
                bits.varbit_int(*value);
            }
            before = numbers
                .iter()
                .map(|value| Counted {
                    value: *value,
                    change: 0,
                })
                .collect();
        } else {
            for (place, counted) in before.iter_mut().enumerate() {
                if place == 3 {
                    window.write(&mut bits, histogram.sum, sum);
                }
                if place >= 3 && stale {
                    break;
                }
                let value = numbers.get(place).copied().unwrap_or(0);
                let change = value.wrapping_sub(counted.value);
                bits.varbit_int(change.wrapping_sub(counted.change));
                *counted = Counted { value, change };
            }
            if before.len() == 3 {
                window.write(&mut bits, histogram.sum, sum);
            }
        }
        sum = histogram.sum;
        if with_starts {
            starts.write(
                &mut bits,
                number as u16,
                *timestamp_ms,
                previous_ms,
                *start_ms,
            );
        }
        previous_ms = *timestamp_ms;
    }
    let starts = with_starts.then_some(starts.header);
    bits.finish(&super::header::header(samples.len() as u16, reset, starts))
}
