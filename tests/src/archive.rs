//! One archive seen from all sides: written through the WAL, compacted, and read back sample by sample without PromQL.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use varve_compactor::{CompactionReport, Compactor, CompactorOptions, RunOptions};
use varve_storage::keys::TenantKeys;
use varve_storage::rows::SampleRows;
use varve_storage::wal::{Append, SampleRow, WalOptions, WalWriter};
use varve_storage::{Labels, SampleValue, Store};
use varve_table::{ArchiveReader, ArchiveSnapshot, SortedRows, TableKind};

/// Rows per batch when files are read back.
const BATCH_ROWS: usize = 1_024;

/// Any failure, with its words.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An archive in some store.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The store.
    pub store: Store,
    /// The tenant's keys.
    pub keys: TenantKeys,
}

/// Every stored sample: bits by series and time.
pub type Samples = BTreeMap<Labels, BTreeMap<i64, u64>>;

/// What an archive holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// Every sample, duplicates resolved.
    pub samples: Samples,
    /// Stored samples, duplicates counted: more than `samples` has where something was stored twice.
    pub stored: u64,
    /// How many of them are in the table's files.
    pub in_files: u64,
    /// Live files of the table of samples, by level.
    pub files: BTreeMap<u8, usize>,
    /// What the table of series says about the number of samples, all days together.
    pub counted_by_series: u64,
    /// Warnings of the snapshot.
    pub warnings: Vec<String>,
}

impl Archive {
    /// The default tenant's archive.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            keys: TenantKeys::default(),
        }
    }

    /// A writer that flushes quickly.
    pub async fn writer(&self, shard: u32) -> Result<WalWriter, Failure> {
        let options = WalOptions {
            flush_interval: Duration::from_millis(5),
            ..WalOptions::default()
        };
        let objects = self.store.objects();
        Ok(WalWriter::open(objects, self.keys.clone(), shard, options).await?)
    }

    /// Appends samples in segments of up to `rows_per_segment`, and waits until they are durable.
    pub async fn append(
        &self,
        shard: u32,
        rows: &[SampleRow],
        rows_per_segment: usize,
    ) -> Result<(), Failure> {
        let writer = self.writer(shard).await?;
        for rows in rows.chunks(rows_per_segment) {
            let append = Append {
                samples: rows.to_vec(),
                ..Append::default()
            };
            let ticket = writer.append(append).await?;
            writer.flush().await?;
            ticket.durable().await?;
        }
        writer.close().await?;
        Ok(())
    }

    /// A compactor with Varve's own settings.
    pub fn compactor(&self) -> Compactor {
        Compactor::new(
            self.store.clone(),
            self.keys.clone(),
            CompactorOptions::default(),
        )
    }

    /// Compacts once, as if it were `now_ms`.
    pub async fn compact(&self, now_ms: i64) -> Result<CompactionReport, Failure> {
        Ok(self.compactor().run_once(&at(now_ms)).await?)
    }

    /// A snapshot that no cache has seen.
    pub async fn snapshot(&self) -> Result<Arc<ArchiveSnapshot>, Failure> {
        let reader = ArchiveReader::new(self.store.clone(), self.keys.clone());
        Ok(reader.snapshot().await?)
    }

    /// Reads everything.
    pub async fn contents(&self) -> Result<Contents, Failure> {
        let snapshot = self.snapshot().await?;
        let mut contents = Contents {
            warnings: snapshot.warnings.clone(),
            ..Contents::default()
        };
        let objects = self.store.objects();
        let root = self.keys.table(TableKind::Samples.name());
        for file in snapshot.samples.files.values() {
            *contents.files.entry(file.level).or_default() += 1;
            let kind = TableKind::Samples;
            let mut rows = SortedRows::open(&objects, &root, kind, file, BATCH_ROWS).await?;
            while let Some(batch) = rows.next().await? {
                contents.add(&SampleRows::new(&batch)?);
            }
        }
        contents.in_files = contents.stored;
        for segment in &snapshot.wal {
            contents.add(&SampleRows::new(&segment.samples)?);
        }
        let root = self.keys.table(TableKind::Series.name());
        for file in snapshot.series.files.values() {
            let kind = TableKind::Series;
            let mut rows = SortedRows::open(&objects, &root, kind, file, BATCH_ROWS).await?;
            while let Some(batch) = rows.next().await? {
                for row in varve_table::rows::decode_series(&file.path, &batch)? {
                    contents.counted_by_series += u64::try_from(row.samples)?;
                }
            }
        }
        Ok(contents)
    }
}

/// A run at a time of the test's choosing.
pub fn at(now_ms: i64) -> RunOptions {
    RunOptions {
        now_ms: Some(now_ms),
        ..RunOptions::default()
    }
}

impl Contents {
    fn add(&mut self, rows: &SampleRows<'_>) {
        for row in rows.iter() {
            let labels = row.labels().unwrap_or_else(Labels::empty);
            let samples = self.samples.entry(labels).or_default();
            for (time, value) in row.timestamps().iter().zip(row.values()) {
                self.stored += 1;
                keep(samples, *time, *value);
            }
        }
    }
}

fn keep(samples: &mut BTreeMap<i64, u64>, time: i64, value: f64) {
    let kept = samples.entry(time).or_insert(value.to_bits());
    let other = f64::from_bits(*kept);
    if varve_storage::sample::compare_duplicates(value, other).is_gt() {
        *kept = value.to_bits();
    }
}

/// What an archive should hold after these rows were appended.
pub fn expected(rows: &[SampleRow]) -> Samples {
    let mut all = Samples::new();
    for row in rows {
        let samples = all.entry(row.series.labels.clone()).or_default();
        if let SampleValue::Float(value) = row.value {
            keep(samples, row.timestamp_ms, value);
        }
    }
    all
}

/// The number of samples.
pub fn count(samples: &Samples) -> u64 {
    samples.values().map(|times| times.len() as u64).sum()
}
