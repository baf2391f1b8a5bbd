//! Prometheus's remote write 1.0, enough of it to hand samples to a Prometheus: the same bits, stale markers included.

use std::collections::{BTreeMap, BTreeSet};

use varve_storage::histogram::{CounterResetHint, FloatHistogram, Span};
use varve_storage::wal::SampleRow;
use varve_storage::{Labels, SampleValue};

/// Bytes of one literal of the uncompressed snappy block.
const LITERAL_BYTES: usize = 60_000;

fn varint(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// A length-delimited protobuf field.
fn field(number: u64, bytes: &[u8], into: &mut Vec<u8>) {
    varint(number << 3 | 2, into);
    varint(bytes.len() as u64, into);
    into.extend_from_slice(bytes);
}

fn double(number: u64, value: f64, into: &mut Vec<u8>) {
    varint(number << 3 | 1, into);
    into.extend_from_slice(&value.to_bits().to_le_bytes());
}

fn unsigned(number: u64, value: u64, into: &mut Vec<u8>) {
    varint(number << 3, into);
    varint(value, into);
}

fn signed(number: u64, value: i32, into: &mut Vec<u8>) {
    unsigned(
        number,
        u64::from(((value << 1) ^ (value >> 31)) as u32),
        into,
    );
}

fn doubles(number: u64, values: &[f64], into: &mut Vec<u8>) {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|v| v.to_bits().to_le_bytes())
        .collect();
    field(number, &bytes, into);
}

fn spans(number: u64, spans: &[Span], into: &mut Vec<u8>) {
    for span in spans {
        let mut bytes = Vec::new();
        signed(1, span.offset, &mut bytes);
        unsigned(2, u64::from(span.length), &mut bytes);
        field(number, &bytes, into);
    }
}

/// A `Histogram` message with float counts. Its hint is what a scrape would say: a gauge, or nothing.
fn histogram(timestamp_ms: i64, histogram: &FloatHistogram) -> Vec<u8> {
    let mut bytes = Vec::new();
    double(2, histogram.count, &mut bytes);
    double(3, histogram.sum, &mut bytes);
    signed(4, histogram.schema, &mut bytes);
    double(5, histogram.zero_threshold, &mut bytes);
    double(7, histogram.zero_count, &mut bytes);
    spans(8, &histogram.negative_spans, &mut bytes);
    doubles(10, &histogram.negative_buckets, &mut bytes);
    spans(11, &histogram.positive_spans, &mut bytes);
    doubles(13, &histogram.positive_buckets, &mut bytes);
    if histogram.counter_reset_hint == CounterResetHint::Gauge {
        unsigned(14, 3, &mut bytes);
    }
    unsigned(15, timestamp_ms as u64, &mut bytes);
    doubles(16, &histogram.custom_values, &mut bytes);
    bytes
}

/// A `TimeSeries` message with samples of one kind: of two kinds, a receiver would take the floats first.
fn time_series(labels: &Labels, rows: &[&SampleRow]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in labels.iter() {
        let mut label = Vec::new();
        field(1, name.as_bytes(), &mut label);
        field(2, value.as_bytes(), &mut label);
        field(1, &label, &mut bytes);
    }
    for row in rows {
        match &row.value {
            SampleValue::Float(value) => {
                let mut sample = Vec::new();
                double(1, *value, &mut sample);
                unsigned(2, row.timestamp_ms as u64, &mut sample);
                field(2, &sample, &mut bytes);
            }
            SampleValue::Histogram(value) => {
                field(4, &histogram(row.timestamp_ms, value), &mut bytes);
            }
        }
    }
    bytes
}

/// The snappy block format, literals only.
fn snappy(bytes: &[u8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(bytes.len() + bytes.len() / LITERAL_BYTES * 3 + 16);
    varint(bytes.len() as u64, &mut block);
    for literal in bytes.chunks(LITERAL_BYTES) {
        // Tag 61: a literal whose length less one follows in two bytes.
        block.push(61 << 2);
        block.extend_from_slice(&(literal.len() as u16 - 1).to_le_bytes());
        block.extend_from_slice(literal);
    }
    block
}

/// The body of a request with these samples. Samples of one series must be in order of time.
pub fn body(rows: &[SampleRow]) -> Vec<u8> {
    let mut by_series: BTreeMap<&Labels, Vec<&SampleRow>> = BTreeMap::new();
    for row in rows {
        let samples = by_series.entry(&row.series.labels).or_default();
        samples.push(row);
    }
    let mut request = Vec::new();
    for (labels, rows) in by_series {
        for rows in rows.chunk_by(|a, b| a.value.float().is_some() == b.value.float().is_some()) {
            field(1, &time_series(labels, rows), &mut request);
        }
    }
    snappy(&request)
}

/// Cuts rows into requests in which no series goes from histograms to floats: Prometheus stores the floats of a request
/// first, and then finds the histograms too old.
fn requests(mut rows: &[SampleRow]) -> Vec<&[SampleRow]> {
    let mut requests = Vec::new();
    while !rows.is_empty() {
        let mut histograms = BTreeSet::new();
        let mut new = |row: &SampleRow| match row.value {
            SampleValue::Float(_) => histograms.contains(&row.series.id),
            SampleValue::Histogram(_) => {
                histograms.insert(row.series.id);
                false
            }
        };
        let length = rows.iter().take(50_000).take_while(|row| !new(row)).count();
        let (request, rest) = rows.split_at(length.max(1));
        requests.push(request);
        rows = rest;
    }
    requests
}

/// Writes samples to a Prometheus that was started with `--web.enable-remote-write-receiver`.
///
/// # Errors
/// What the server said, or that it did not.
pub async fn write(base_url: &str, rows: &[SampleRow]) -> Result<(), String> {
    let client = reqwest::Client::new();
    // In order of time: the head block takes nothing older than what it has by more than an hour.
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.timestamp_ms);
    for rows in requests(&rows) {
        let request = client
            .post(format!("{base_url}/api/v1/write"))
            .header("Content-Encoding", "snappy")
            .header("Content-Type", "application/x-protobuf")
            .header("X-Prometheus-Remote-Write-Version", "0.1.0")
            .body(body(rows));
        let answer = request.send().await.map_err(|e| e.to_string())?;
        let status = answer.status();
        if !status.is_success() {
            let text = answer.text().await.unwrap_or_default();
            return Err(format!("remote write: {status}: {text}"));
        }
    }
    Ok(())
}
