//! Bytes per sample of an archive made from samples in a text file, and the archive itself for other engines to open.
//!
//!     cargo run --release -p varve-compactor --example measure_text -- samples.txt ./archive
//!
//! The text has one sample per line, as `promtool tsdb create-blocks-from openmetrics` reads it: `name{label="value"} 1.5 1795435200.123`,
//! the time in seconds; other lines are passed over. Compare with the size of the block that promtool makes of the same text.
//! Labels are unescaped for `\"`, `\\` and `\n` only.

#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use object_store::ObjectStoreExt;
use uuid::Uuid;
use varve_compactor::{Compactor, CompactorOptions, RunOptions};
use varve_storage::keys::TenantKeys;
use varve_storage::rows::SampleSet;
use varve_storage::store::{StorageUrl, Store};
use varve_storage::wal::{SegmentContent, encode_segment};
use varve_storage::{LabelsBuilder, METRIC_NAME, SampleValue, Series, SeriesRef};
use varve_table::ArchiveReader;

/// Time covered by one segment.
const SEGMENT_MS: i64 = 60_000;

fn parse(line: &str) -> Option<(&str, f64, i64)> {
    if line.starts_with('#') {
        return None;
    }
    let (rest, time) = line.rsplit_once(' ')?;
    let (series, value) = rest.rsplit_once(' ')?;
    let time_ms = (time.parse::<f64>().ok()? * 1_000.0).round() as i64;
    Some((series, value.parse().ok()?, time_ms))
}

fn labels(text: &str) -> LabelsBuilder {
    let mut builder = LabelsBuilder::default();
    let (name, mut rest) = text.split_once('{').unwrap_or((text, ""));
    builder.set(METRIC_NAME, name);
    while let Some((label, tail)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = tail.char_indices();
        let mut end = tail.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => {}
                },
                other => value.push(other),
            }
        }
        builder.set(label.trim_start_matches(',').trim(), &value);
        rest = tail.get(end..).unwrap_or_default();
    }
    builder
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(text), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: measure_text <samples.txt> <folder of a new archive>".into());
    };
    let text = std::fs::read_to_string(text)?;
    let mut known: HashMap<&str, SeriesRef> = HashMap::new();
    let mut segments: std::collections::BTreeMap<i64, SampleSet> = Default::default();
    let mut last_ms = 0;
    for (series, value, time_ms) in text.lines().filter_map(parse) {
        let series = known
            .entry(series)
            .or_insert_with(|| Arc::new(Series::new(labels(series).build())));
        let set = segments.entry(time_ms.div_euclid(SEGMENT_MS)).or_default();
        set.push(series, time_ms, &SampleValue::Float(value))?;
        last_ms = last_ms.max(time_ms);
    }
    let url: StorageUrl = folder.parse()?;
    let store = Store::open(&url)?;
    let keys = TenantKeys::default();
    let objects = store.objects();
    let mut wal_bytes = 0;
    for (index, set) in segments.into_values().enumerate() {
        let sequence = index as u64 + 1;
        let content = SegmentContent {
            rows: set.into_rows(),
            ..SegmentContent::default()
        };
        let bytes = encode_segment(Uuid::new_v4(), 0, sequence, &content)?;
        wal_bytes += bytes.len();
        objects
            .put(&keys.wal_segment(0, sequence), bytes.into())
            .await?;
    }
    let compactor = Compactor::new(store.clone(), keys.clone(), CompactorOptions::default());
    let day_ms = 24 * 3_600_000;
    let mut samples = 0;
    for (stage, now_ms) in [
        ("level 0", last_ms),
        ("windows", last_ms + 3 * 3_600_000),
        ("days", last_ms + 2 * day_ms),
    ] {
        let run = RunOptions {
            now_ms: Some(now_ms),
            clean_up: false,
            ..RunOptions::default()
        };
        let report = compactor.run_once(&run).await?;
        samples = samples.max(report.samples);
        let archive = ArchiveReader::new(store.clone(), keys.clone())
            .snapshot()
            .await?;
        let per_sample = |bytes: u64| bytes as f64 / samples as f64;
        println!(
            "{stage:8} {} series, {samples} samples: samples table {} files {} bytes, {:.3} bytes/sample; with series and metadata {:.3}",
            known.len(),
            archive.samples.files.len(),
            archive.samples.live_bytes(),
            per_sample(archive.samples.live_bytes()),
            per_sample(
                archive.samples.live_bytes()
                    + archive.series.live_bytes()
                    + archive.metadata.live_bytes()
            ),
        );
    }
    println!(
        "WAL      {wal_bytes} bytes, {:.3} bytes/sample",
        wal_bytes as f64 / samples as f64
    );
    Ok(())
}
