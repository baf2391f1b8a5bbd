//! Prometheus's remote write 1.0, enough of it to hand samples to a Prometheus: the same bits, stale markers included.

use std::collections::BTreeMap;

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

fn time_series(labels: &Labels, samples: &[(i64, f64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in labels.iter() {
        let mut label = Vec::new();
        field(1, name.as_bytes(), &mut label);
        field(2, value.as_bytes(), &mut label);
        field(1, &label, &mut bytes);
    }
    for (timestamp_ms, value) in samples {
        let mut sample = vec![1 << 3 | 1];
        sample.extend_from_slice(&value.to_bits().to_le_bytes());
        sample.push(2 << 3);
        varint(*timestamp_ms as u64, &mut sample);
        field(2, &sample, &mut bytes);
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

/// The body of a request with these samples. Samples of one series must be in order of time; histograms are left out.
pub fn body(rows: &[SampleRow]) -> Vec<u8> {
    let mut by_series: BTreeMap<&Labels, Vec<(i64, f64)>> = BTreeMap::new();
    for row in rows {
        if let SampleValue::Float(value) = row.value {
            let samples = by_series.entry(&row.series.labels).or_default();
            samples.push((row.timestamp_ms, value));
        }
    }
    let mut request = Vec::new();
    for (labels, samples) in by_series {
        field(1, &time_series(labels, &samples), &mut request);
    }
    snappy(&request)
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
    for rows in rows.chunks(50_000) {
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
