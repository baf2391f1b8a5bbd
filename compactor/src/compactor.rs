//! The compactor itself: one run, and the loop around it.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use varve_storage::keys::TenantKeys;
use varve_storage::store::Store;
use varve_storage::wal::{HOLD_MAX, delete_consumed};
use varve_storage::{ErrorKind, MetricMetadata};
use varve_table::rows::decode_metadata;
use varve_table::{CleanUp, DeltaTable, SortedRows, TableKind};

use crate::error::{Error, Result};
use crate::merge::{self, MergeOutcome};
use crate::metrics::CompactorMetrics;
use crate::options::{CompactorOptions, millis};
use crate::pass::{Pass, Progress, RunOptions, Tables};
use crate::plan::next_job;

/// Passes of one run that may be lost to other compactors before the run leaves the field to them.
const LOST_RACES_MAX: u64 = 20;

/// What one run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactionReport {
    /// Segments whose samples this run put into the tables.
    pub segments: u64,
    /// Samples of these segments, duplicates resolved.
    pub samples: u64,
    /// Samples at times without a date, which are not kept.
    pub dropped_samples: u64,
    /// Exemplars that this run put into their table.
    pub exemplars: u64,
    /// Segments that could not be read, by key; copies are in quarantine.
    pub quarantined: Vec<String>,
    /// Files committed.
    pub files_written: u64,
    /// Their bytes.
    pub bytes_written: u64,
    /// Merges committed.
    pub merges: u64,
    /// Files that they replaced.
    pub files_merged: u64,
    /// Merges that failed because a file cannot be read; each message names it.
    pub failed_merges: Vec<String>,
    /// Attempts that another compactor won.
    pub lost_races: u64,
    /// Table objects that were deleted.
    pub cleaned_up: CleanUp,
    /// Consumed segments that were deleted.
    pub deleted_segments: u64,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    keys: TenantKeys,
    options: CompactorOptions,
    tables: Tables,
    metrics: Arc<CompactorMetrics>,
    metadata: Mutex<KnownMetadata>,
}

/// Metadata that the table is known to hold, and the files from which it is known.
#[derive(Debug, Default)]
struct KnownMetadata {
    rows: HashSet<MetricMetadata>,
    files: BTreeSet<String>,
}

/// Compacts one tenant's archive. Clones share everything.
#[derive(Clone, Debug)]
pub struct Compactor {
    inner: Arc<Inner>,
}

impl Compactor {
    /// A compactor for one tenant; does no request.
    pub fn new(store: Store, keys: TenantKeys, options: CompactorOptions) -> Self {
        let table =
            |kind: TableKind| DeltaTable::new(store.objects(), keys.table(kind.name()), kind);
        let tables = Tables {
            samples: table(TableKind::Samples),
            series: table(TableKind::Series),
            metadata: table(TableKind::Metadata),
            exemplars: table(TableKind::Exemplars),
        };
        Self {
            inner: Arc::new(Inner {
                store,
                keys,
                options,
                tables,
                metrics: Arc::default(),
                metadata: Mutex::default(),
            }),
        }
    }

    /// Its counters.
    pub fn metrics(&self) -> Arc<CompactorMetrics> {
        Arc::clone(&self.inner.metrics)
    }

    /// Drains the WAL, merges what is due and cleans up.
    ///
    /// The work is done on a thread of its own, because encoding takes processor time; the future may be dropped, the run then goes on
    /// until `run.cancel` is cancelled or it is done.
    pub async fn run_once(&self, run: &RunOptions) -> Result<CompactionReport> {
        let inner = Arc::clone(&self.inner);
        let run = run.clone();
        let runtime = tokio::runtime::Handle::current();
        let worker = tokio::task::spawn_blocking(move || {
            let result = runtime.block_on(inner.run(&run));
            match &result {
                Ok(_) => {
                    CompactorMetrics::add(&inner.metrics.runs, 1);
                    let now_ms = Utc::now().timestamp_millis();
                    inner
                        .metrics
                        .last_success_ms
                        .store(now_ms, Ordering::Relaxed);
                }
                Err(_) => CompactorMetrics::add(&inner.metrics.failures, 1),
            }
            result
        });
        worker.await.map_err(|e| Error::Worker(e.to_string()))?
    }

    /// Runs every [`CompactorOptions::interval`] until cancelled. Errors are logged and the next run tries again.
    pub async fn run_loop(&self, cancel: CancellationToken) {
        let options = &self.inner.options;
        let mut cleaned: Option<Instant> = None;
        loop {
            let began = Instant::now();
            let run = RunOptions {
                clean_up: cleaned.is_none_or(|at| at.elapsed() >= options.clean_up_interval),
                cancel: cancel.clone(),
                ..RunOptions::default()
            };
            match self.run_once(&run).await {
                Ok(_) if run.clean_up => cleaned = Some(began),
                Ok(_) | Err(Error::Cancelled) => {}
                Err(error) => {
                    tracing::error!(%error, "compaction failed, the next run tries again")
                }
            }
            let pause = options.interval.saturating_sub(began.elapsed());
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause.max(Duration::from_millis(100))) => {}
            }
        }
    }
}

impl Inner {
    async fn run(&self, run: &RunOptions) -> Result<CompactionReport> {
        let now_ms = run.now_ms.unwrap_or_else(|| Utc::now().timestamp_millis());
        let mut report = CompactionReport::default();
        let Tables {
            samples,
            series,
            metadata,
            exemplars,
        } = &self.tables;
        let mut tables = vec![metadata, series, samples];
        for table in &tables {
            table.create_if_missing(now_ms).await?;
        }
        self.drain(run, now_ms, &mut report).await?;
        if exemplars.refresh().await?.exists() {
            tables.insert(0, exemplars);
        }
        if run.merge {
            for table in &tables {
                self.merge(table, run, now_ms, &mut report).await?;
            }
        }
        for table in &tables {
            self.checkpoint(table).await?;
        }
        if run.clean_up {
            run.check_cancelled()?;
            run.report(&Progress::CleanUp);
            self.clean_up(&tables, now_ms, &mut report).await?;
        }
        Ok(report)
    }

    async fn drain(
        &self,
        run: &RunOptions,
        now_ms: i64,
        report: &mut CompactionReport,
    ) -> Result<()> {
        loop {
            run.check_cancelled()?;
            self.learn_metadata().await?;
            let known = |row: &MetricMetadata| {
                let known = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
                known.rows.contains(row)
            };
            let pass = Pass {
                tables: &self.tables,
                keys: &self.keys,
                options: &self.options,
                run,
                now_ms,
                known_metadata: &known,
            };
            let outcome = pass.run().await?;
            let metrics = &self.metrics;
            CompactorMetrics::add(&metrics.segments, outcome.segments);
            CompactorMetrics::add(&metrics.samples, outcome.samples);
            CompactorMetrics::add(&metrics.files_written, outcome.files);
            CompactorMetrics::add(&metrics.bytes_written, outcome.bytes);
            CompactorMetrics::add(&metrics.lost_races, u64::from(outcome.lost_race));
            CompactorMetrics::add(
                &metrics.quarantined_segments,
                outcome.quarantined.len() as u64,
            );
            report.segments += outcome.segments;
            report.samples += outcome.samples;
            report.dropped_samples += outcome.dropped_samples;
            report.exemplars += outcome.exemplars;
            report.files_written += outcome.files;
            report.bytes_written += outcome.bytes;
            report.lost_races += u64::from(outcome.lost_race);
            report.quarantined.extend(outcome.quarantined);
            // Without a limit reached, whatever has arrived meanwhile is the next run's.
            if !outcome.more || report.lost_races > LOST_RACES_MAX {
                return Ok(());
            }
        }
    }

    /// Reads files of `metadata` that are not known yet. The table is small; a broken file of it must not stop samples.
    async fn learn_metadata(&self) -> Result<()> {
        let table = &self.tables.metadata;
        let snapshot = table.refresh().await?;
        for file in snapshot.files.values() {
            let seen = {
                let mut known = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
                !known.files.insert(file.path.clone())
            };
            if seen {
                continue;
            }
            let read = async {
                let store = table.store();
                let mut rows =
                    SortedRows::open(store, table.root(), TableKind::Metadata, file, 8_192).await?;
                let mut all = Vec::new();
                while let Some(batch) = rows.next().await? {
                    all.extend(decode_metadata(rows.key().as_ref(), &batch)?);
                }
                Ok::<_, varve_table::Error>(all)
            };
            match read.await {
                Ok(rows) => {
                    let mut known = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
                    known.rows.extend(rows);
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::error!(%error, "metadata is written again because a file cannot be read");
                }
                Err(error) => {
                    let mut known = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
                    known.files.remove(&file.path);
                    return Err(error.into());
                }
            }
        }
        let mut known = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
        known.files.retain(|path| snapshot.files.contains_key(path));
        Ok(())
    }

    async fn merge(
        &self,
        table: &DeltaTable,
        run: &RunOptions,
        now_ms: i64,
        report: &mut CompactionReport,
    ) -> Result<()> {
        let mut broken: HashSet<String> = HashSet::new();
        loop {
            run.check_cancelled()?;
            let snapshot = table.refresh().await?;
            let usable = |path: &str| !broken.contains(path);
            let Some(job) = next_job(table.kind(), &snapshot, now_ms, &self.options, usable) else {
                return Ok(());
            };
            match merge::run(table, &snapshot, &job, &self.options, run, now_ms).await {
                Ok(MergeOutcome::Committed { files, bytes }) => {
                    report.merges += 1;
                    report.files_merged += job.inputs.len() as u64;
                    report.files_written += files as u64;
                    report.bytes_written += bytes;
                    CompactorMetrics::add(&self.metrics.merges, 1);
                    CompactorMetrics::add(&self.metrics.files_written, files as u64);
                    CompactorMetrics::add(&self.metrics.bytes_written, bytes);
                }
                Ok(MergeOutcome::LostRace(reason)) => {
                    tracing::debug!(table = %table.root(), %reason, "another compactor merged first");
                    report.lost_races += 1;
                    CompactorMetrics::add(&self.metrics.lost_races, 1);
                    if report.lost_races > LOST_RACES_MAX {
                        return Ok(());
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                    // Files of other days and windows are merged all the same.
                    tracing::error!(table = %table.root(), date = %job.date, %error, "files cannot be merged");
                    report.failed_merges.push(error.to_string());
                    broken.extend(job.inputs.iter().map(|file| file.path.clone()));
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn checkpoint(&self, table: &DeltaTable) -> Result<()> {
        let snapshot = table.refresh().await?;
        let since = snapshot.version - snapshot.checkpoint_version().unwrap_or(0);
        if since >= self.options.checkpoint_every.max(1) {
            table.checkpoint(&snapshot).await?;
        }
        Ok(())
    }

    async fn clean_up(
        &self,
        tables: &[&DeltaTable],
        now_ms: i64,
        report: &mut CompactionReport,
    ) -> Result<()> {
        let options = &self.options.clean_up;
        for table in tables {
            let cleaned = table.clean_up(options, now_ms).await?;
            report.cleaned_up.replaced_files += cleaned.replaced_files;
            report.cleaned_up.orphans += cleaned.orphans;
            report.cleaned_up.log_objects += cleaned.log_objects;
            report.cleaned_up.bytes += cleaned.bytes;
        }
        let before_ms = now_ms.saturating_sub(millis(options.grace));
        let marks = self.tables.samples.wal_marks_at(before_ms).await?;
        let objects = self.store.objects();
        let now = DateTime::from_timestamp_millis(now_ms).unwrap_or_else(Utc::now);
        for (shard, mark) in marks {
            let needed = self.options.wal_holds.first_needed(shard);
            let free = needed.map_or(mark, |needed| needed.min(mark));
            let held = options.grace.max(HOLD_MAX);
            for (below, age) in [(free, options.grace), (mark, held)] {
                let cleaned = delete_consumed(&objects, &self.keys, shard, below, age, now).await?;
                report.deleted_segments += cleaned.segments;
                if free == mark {
                    break;
                }
            }
        }
        let cleaned = &report.cleaned_up;
        let deleted = cleaned.replaced_files
            + cleaned.orphans
            + cleaned.log_objects
            + report.deleted_segments;
        CompactorMetrics::add(&self.metrics.deleted_objects, deleted);
        if deleted > 0 {
            tracing::info!(
                ?cleaned,
                segments = report.deleted_segments,
                "deleted obsolete objects"
            );
        }
        Ok(())
    }
}
