//! An archive of one day: 1,000 series of the counter `m`, of 10 jobs, every 15 seconds of 2026-01-01 (UTC), compacted.
//!
//!     cargo run -p varve-compactor --example day_archive -- ./day
//!     cargo run -- query range 'sum by (job) (rate(m[5m]))' --storage.url=./day \
//!         --start=2026-01-01T00:00:00Z --end=2026-01-01T23:59:00Z --step=60s --stats
//!
//! What the README says about a query over a day is measured on it.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;

use object_store::ObjectStoreExt;
use uuid::Uuid;
use varve_compactor::{Compactor, CompactorOptions, RunOptions};
use varve_storage::keys::TenantKeys;
use varve_storage::rows::SampleSet;
use varve_storage::store::{StorageUrl, Store};
use varve_storage::wal::{SegmentContent, encode_segment};
use varve_storage::{Labels, SampleValue, Series};

const START_MS: i64 = 1_767_225_600_000;
const DAY_MS: i64 = 86_400_000;
const SCRAPE_MS: i64 = 15_000;
const SEGMENT_MS: i64 = 600_000;
const SERIES: u32 = 1_000;
const JOBS: u32 = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::args().nth(1) else {
        return Err("usage: day_archive <folder of a new archive>".into());
    };
    let store = Store::open(&folder.parse::<StorageUrl>()?)?;
    let keys = TenantKeys::default();
    let objects = store.objects();
    let mut counters: Vec<_> = (0..SERIES)
        .map(|number| {
            let labels = Labels::from_pairs([
                ("__name__", "m".to_owned()),
                ("job", format!("job-{}", number % JOBS)),
                (
                    "instance",
                    format!("10.0.{}.{}:9100", number / 250, number % 250),
                ),
            ]);
            (Arc::new(Series::new(labels)), 0u64)
        })
        .collect();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut samples = 0;
    for (index, start_ms) in (START_MS..START_MS + DAY_MS)
        .step_by(SEGMENT_MS as usize)
        .enumerate()
    {
        let mut set = SampleSet::default();
        for time_ms in (start_ms..start_ms + SEGMENT_MS).step_by(SCRAPE_MS as usize) {
            for (series, value) in &mut counters {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                *value += random >> 56;
                set.push(series, time_ms, &SampleValue::Float(*value as f64))?;
                samples += 1;
            }
        }
        let content = SegmentContent {
            rows: set.into_rows(),
            ..SegmentContent::default()
        };
        let sequence = index as u64 + 1;
        let bytes = encode_segment(Uuid::new_v4(), 0, sequence, &content)?;
        objects
            .put(&keys.wal_segment(0, sequence), bytes.into())
            .await?;
    }
    let run = RunOptions {
        now_ms: Some(START_MS + 3 * DAY_MS),
        clean_up: false,
        ..RunOptions::default()
    };
    let report = Compactor::new(store, keys, CompactorOptions::default())
        .run_once(&run)
        .await?;
    println!(
        "{samples} samples written, {} of them compacted",
        report.samples
    );
    Ok(())
}
