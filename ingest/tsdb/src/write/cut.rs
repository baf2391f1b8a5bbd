//! Cutting the samples of a series into chunks.
//!
//! A chunk has floats only, or histograms only. Histograms of a chunk go on from each other as Prometheus has it: one schema,
//! one zero threshold, no counter reset in between, gauges apart. Their layouts may differ: a chunk has all buckets that one of
//! them has, and the others get a 0 there.

use std::sync::Arc;

use varve_storage::columns::NO_START_MS;
use varve_storage::histogram::{CounterResetHint, Span};
use varve_storage::{FloatHistogram, SampleValue, is_stale_nan};

use crate::chunk::{
    CounterReset, Encoding, Sample, TimedHistogram, Xor2Writer, XorWriter, encode_float_histograms,
};

/// As many samples as Prometheus puts into a chunk.
const CHUNK_SAMPLES_MAX: usize = 120;

/// An encoded chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedChunk {
    /// How it is encoded.
    pub encoding: Encoding,
    /// Its data, as [`ChunkSamples`](crate::ChunkSamples) reads it.
    pub data: Vec<u8>,
    /// The time of its first sample in milliseconds.
    pub min_time: i64,
    /// The time of its last sample in milliseconds.
    pub max_time: i64,
    /// How many there are.
    pub samples: usize,
}

/// The samples of the chunk that is being filled.
#[derive(Debug, Default)]
struct Filling {
    samples: Vec<Sample>,
    reset: Option<CounterReset>,
}

/// Cuts samples that ascend in time into chunks. Spans of histograms must fit their buckets. Start timestamps are left out unless they are
/// asked for: Prometheus reads them from version 3.14 on.
pub fn encode_chunks(
    samples: impl IntoIterator<Item = Sample>,
    with_starts: bool,
) -> Vec<EncodedChunk> {
    let mut cuts = Vec::new();
    let mut filling = Filling::default();
    for sample in samples {
        if !filling.takes(&sample) {
            let reset = filling.reset_before(&sample);
            cuts.extend(encode(&filling, with_starts));
            filling.samples.clear();
            filling.reset = Some(reset);
        }
        filling.samples.push(sample);
    }
    cuts.extend(encode(&filling, with_starts));
    cuts
}

impl Filling {
    fn takes(&self, sample: &Sample) -> bool {
        let Some(last) = self.samples.last() else {
            return true;
        };
        self.samples.len() < CHUNK_SAMPLES_MAX && goes_on(&last.value, &sample.value)
    }

    /// What a chunk that begins with `sample` says of a reset.
    fn reset_before(&self, sample: &Sample) -> CounterReset {
        let (Some(last), SampleValue::Histogram(histogram)) = (self.samples.last(), &sample.value)
        else {
            return CounterReset::Unknown;
        };
        match &last.value {
            // Between stale markers, too, counts may have become smaller.
            SampleValue::Histogram(before)
                if !is_gauge(histogram) && histogram.detect_reset(before) =>
            {
                CounterReset::Yes
            }
            SampleValue::Histogram(_) if goes_on(&last.value, &sample.value) => CounterReset::No,
            _ => CounterReset::Unknown,
        }
    }
}

fn is_gauge(histogram: &FloatHistogram) -> bool {
    histogram.counter_reset_hint == CounterResetHint::Gauge
}

/// Whether a sample may follow another in one chunk.
fn goes_on(before: &SampleValue, sample: &SampleValue) -> bool {
    let (before, histogram) = match (before, sample) {
        (SampleValue::Float(_), SampleValue::Float(_)) => return true,
        (SampleValue::Histogram(before), SampleValue::Histogram(histogram)) => (before, histogram),
        _ => return false,
    };
    if is_stale_nan(before.sum) || is_stale_nan(histogram.sum) {
        // A stale marker ends what was there; nothing but stale markers follows it.
        return is_stale_nan(histogram.sum);
    }
    match (is_gauge(before), is_gauge(histogram)) {
        (true, true) => {
            before.schema == histogram.schema
                && before.zero_threshold == histogram.zero_threshold
                && before.custom_values == histogram.custom_values
        }
        (false, false) => histogram.stored_hint(Some(before)) == CounterResetHint::NotCounterReset,
        _ => false,
    }
}

fn encode(filling: &Filling, with_starts: bool) -> Option<EncodedChunk> {
    let (first, last) = (filling.samples.first()?, filling.samples.last()?);
    // Versions before 3.14 can read what has no start timestamps.
    let starts = with_starts
        && filling
            .samples
            .iter()
            .any(|sample| sample.start_timestamp_ms != NO_START_MS);
    let (encoding, data) = match first.value {
        SampleValue::Float(_) => encode_floats(&filling.samples, starts),
        SampleValue::Histogram(_) => encode_histograms(filling, starts),
    };
    Some(EncodedChunk {
        encoding,
        data,
        min_time: first.timestamp_ms,
        max_time: last.timestamp_ms,
        samples: filling.samples.len(),
    })
}

fn encode_floats(samples: &[Sample], starts: bool) -> (Encoding, Vec<u8>) {
    let floats = samples.iter().filter_map(|sample| {
        let value = sample.value.float()?;
        Some((sample.timestamp_ms, sample.start_timestamp_ms, value))
    });
    if starts {
        let mut chunk = Xor2Writer::new();
        for (timestamp, start, value) in floats {
            chunk.append(timestamp, start, value);
        }
        (Encoding::Xor2, chunk.finish())
    } else {
        let mut chunk = XorWriter::new();
        for (timestamp, _, value) in floats {
            chunk.append(timestamp, value);
        }
        (Encoding::Xor, chunk.finish())
    }
}

fn encode_histograms(filling: &Filling, starts: bool) -> (Encoding, Vec<u8>) {
    let histograms: Vec<TimedHistogram> = filling
        .samples
        .iter()
        .filter_map(|sample| match &sample.value {
            SampleValue::Histogram(histogram) => Some((
                sample.timestamp_ms,
                sample.start_timestamp_ms,
                Arc::clone(histogram),
            )),
            SampleValue::Float(_) => None,
        })
        .collect();
    let first = histograms.first().map(|(_, _, histogram)| histogram);
    let reset = if first.is_some_and(|first| is_gauge(first)) {
        CounterReset::Gauge
    } else {
        filling.reset.unwrap_or(CounterReset::Unknown)
    };
    let data = encode_float_histograms(&with_one_layout(histograms), reset, starts);
    let encoding = if starts {
        Encoding::FloatHistogramStarts
    } else {
        Encoding::FloatHistogram
    };
    (encoding, data)
}

/// Gives all histograms the buckets that any of them has; stale markers nothing but their sum.
fn with_one_layout(mut histograms: Vec<TimedHistogram>) -> Vec<TimedHistogram> {
    let mut positive: Option<Side> = None;
    let mut negative: Option<Side> = None;
    let mut differ = false;
    for (_, _, histogram) in &mut histograms {
        if is_stale_nan(histogram.sum) {
            *histogram = Arc::new(FloatHistogram {
                sum: histogram.sum,
                ..FloatHistogram::default()
            });
            continue;
        }
        differ |= add(&mut positive, &histogram.positive_spans);
        differ |= add(&mut negative, &histogram.negative_spans);
    }
    let (Some(positive), Some(negative), true) = (positive, negative, differ) else {
        return histograms;
    };
    for (_, _, histogram) in &mut histograms {
        if is_stale_nan(histogram.sum) {
            continue;
        }
        let relaid = FloatHistogram {
            positive_buckets: positive
                .counts(&histogram.positive_spans, &histogram.positive_buckets),
            negative_buckets: negative
                .counts(&histogram.negative_spans, &histogram.negative_buckets),
            positive_spans: positive.spans(),
            negative_spans: negative.spans(),
            custom_values: histogram.custom_values.clone(),
            ..**histogram
        };
        *histogram = Arc::new(relaid);
    }
    histograms
}

/// The buckets of a side that some histogram has, by index, ascending.
#[derive(Debug)]
struct Side {
    first: Vec<Span>,
    indexes: Vec<i64>,
}

/// Adds spans to a side; whether they differ from the first ones.
fn add(side: &mut Option<Side>, spans: &[Span]) -> bool {
    match side {
        None => {
            *side = Some(Side {
                first: spans.to_vec(),
                indexes: indexes(spans).collect(),
            });
            false
        }
        Some(side) if side.first == spans => false,
        Some(side) => {
            side.indexes.extend(indexes(spans));
            side.indexes.sort_unstable();
            side.indexes.dedup();
            true
        }
    }
}

fn indexes(spans: &[Span]) -> impl Iterator<Item = i64> + '_ {
    let mut end = 0i64;
    spans.iter().flat_map(move |span| {
        let start = end + i64::from(span.offset);
        end = start + i64::from(span.length);
        start..end
    })
}

impl Side {
    fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut end = 0i64;
        for index in &self.indexes {
            match spans.last_mut() {
                Some(span) if *index == end => span.length += 1,
                _ => spans.push(Span {
                    offset: (*index - end) as i32,
                    length: 1,
                }),
            }
            end = *index + 1;
        }
        spans
    }

    fn counts(&self, spans: &[Span], buckets: &[f64]) -> Vec<f64> {
        let mut own = indexes(spans).zip(buckets).peekable();
        self.indexes
            .iter()
            .map(|index| {
                own.next_if(|(other, _)| other == index)
                    .map_or(0.0, |(_, count)| *count)
            })
            .collect()
    }
}
