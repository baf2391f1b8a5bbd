//! One pass: WAL segments into level-0 files of `metadata`, `exemplars`, `series` and `samples`, in this order.
//!
//! 1. Load `samples`, then `series`. Their marks agree, or `series` is ahead because an earlier attempt died between its two
//!    commits; then exactly the segments between the marks are taken, and `series` is left as it is.
//! 2. Read segments, up to the limits. Unreadable ones go into quarantine.
//! 3. Collect samples by series, resolve duplicates, cut at windows; count what `series` has to know per day.
//! 4. Write files. Commit `metadata` (a set, so repetition does no harm), `exemplars` with marks of its own if there are new ones
//!    ([`crate::exemplars`]), `series` with the marks, `samples` with the marks.
//!
//! A lost commit of one of these tables means that another compactor took these segments: its files are discarded and
//! the pass begins again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use chrono::NaiveDate;
use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;
use varve_storage::MetricMetadata;
use varve_storage::keys::TenantKeys;
use varve_storage::rows::SampleRowsBuilder;
use varve_table::rows::encode_metadata;
use varve_table::{
    Commit, CommitOutcome, DeltaTable, Error as TableError, NewFile, TableFileWriter, TableKind,
};

use crate::error::{Error, Result};
use crate::exemplars::{NewExemplars, SegmentExemplars};
use crate::gather::{Gathered, Scratch};
use crate::kway::{encode_exemplars, sort_metadata};
use crate::options::CompactorOptions;
use crate::segments::{PassLimit, WalReader};
use crate::windows::date_of;

/// Samples of one batch on its way into a file.
const BATCH_SAMPLES: usize = 1 << 18;
/// Rows of such a batch.
const BATCH_ROWS: usize = 1 << 14;
/// Files that are written at once.
const PUTS: usize = 4;

/// What a compactor is doing, for a progress bar.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// Segments were read and are being written to the tables.
    Pass {
        /// How many.
        segments: usize,
        /// Their samples.
        samples: u64,
    },
    /// Files are being merged.
    Merge {
        /// The table.
        table: &'static str,
        /// The day.
        date: NaiveDate,
        /// Files that are read.
        files: usize,
        /// Rows written so far; may end below the total, since rows are combined.
        rows_done: u64,
        /// Rows of all inputs.
        rows_total: u64,
    },
    /// Obsolete objects are being deleted.
    CleanUp,
}

/// Receives progress.
pub type ProgressFn = Arc<dyn Fn(&Progress) + Send + Sync>;

/// What one run does.
#[derive(Clone)]
pub struct RunOptions {
    /// Whether files are merged after the WAL is drained.
    pub merge: bool,
    /// Whether obsolete objects are deleted at the end.
    pub clean_up: bool,
    /// The time that the run takes for now, in milliseconds; the clock's where `None`.
    pub now_ms: Option<i64>,
    /// Told what is done.
    pub progress: Option<ProgressFn>,
    /// Ends the run at the next opportunity; what is committed stays.
    pub cancel: CancellationToken,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            merge: true,
            clean_up: true,
            now_ms: None,
            progress: None,
            cancel: CancellationToken::new(),
        }
    }
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("merge", &self.merge)
            .field("clean_up", &self.clean_up)
            .field("now_ms", &self.now_ms)
            .finish_non_exhaustive()
    }
}

impl RunOptions {
    pub(crate) fn report(&self, progress: &Progress) {
        if let Some(tell) = &self.progress {
            tell(progress);
        }
    }

    pub(crate) fn check_cancelled(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }
}

/// The tables of one tenant.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) samples: DeltaTable,
    pub(crate) series: DeltaTable,
    pub(crate) metadata: DeltaTable,
    /// Made with the first exemplar.
    pub(crate) exemplars: DeltaTable,
}

/// How a pass ended.
#[derive(Debug, Default)]
pub(crate) struct PassOutcome {
    pub(crate) segments: u64,
    pub(crate) quarantined: Vec<String>,
    pub(crate) samples: u64,
    pub(crate) dropped_samples: u64,
    pub(crate) exemplars: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Whether another compactor took the segments.
    pub(crate) lost_race: bool,
    /// Whether there may be more to consume.
    pub(crate) more: bool,
}

pub(crate) struct Pass<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) keys: &'a TenantKeys,
    pub(crate) options: &'a CompactorOptions,
    pub(crate) run: &'a RunOptions,
    pub(crate) now_ms: i64,
    /// Metadata that the table is known to hold.
    pub(crate) known_metadata: &'a dyn Fn(&MetricMetadata) -> bool,
}

impl Pass<'_> {
    pub(crate) async fn run(&self) -> Result<PassOutcome> {
        let started = Instant::now();
        let samples = self.tables.samples.refresh().await?;
        let series = self.tables.series.refresh().await?;
        let (have, counted) = (samples.wal_marks(), series.wal_marks());
        let mut ahead = BTreeMap::new();
        for shard in have.keys().chain(counted.keys()) {
            let mark = |marks: &BTreeMap<u32, u64>| marks.get(shard).copied().unwrap_or(0);
            let (from, to) = (mark(&have), mark(&counted));
            if to < from {
                return Err(TableError::corrupt(
                    &series.root,
                    format!("its mark of WAL shard {shard} is {to}, behind that of samples, {from}; restore it from a backup"),
                )
                .into());
            }
            if to > from {
                ahead.insert(*shard, (from, to));
            }
        }
        let resumed = !ahead.is_empty();
        let reader = WalReader {
            store: self.tables.samples.store(),
            keys: self.keys,
        };
        let mut consumed = if resumed {
            tracing::info!(?ahead, "finishing a pass that stopped between two commits");
            reader.read_exactly(&ahead).await?
        } else {
            let limit = PassLimit {
                segments_max: self.options.pass_segments_max,
                bytes_max: self.options.pass_bytes_max,
            };
            reader.read(&have, limit).await?
        };
        if consumed.advance.is_empty() {
            return Ok(PassOutcome::default());
        }
        let mut outcome = PassOutcome {
            segments: consumed.segments.len() as u64,
            quarantined: consumed
                .quarantined
                .iter()
                .map(ToString::to_string)
                .collect(),
            more: consumed.more,
            ..PassOutcome::default()
        };
        let exemplars = SegmentExemplars::take(&mut consumed.segments);
        let (mut batches, mut metadata) = (Vec::new(), Vec::new());
        for segment in consumed.segments {
            batches.push(segment.samples);
            metadata.extend(segment.metadata);
        }
        sort_metadata(&mut metadata);
        let rows = Gathered::new(&batches)?;
        outcome.samples = rows.samples;
        outcome.dropped_samples = rows.dropped;
        if rows.dropped > 0 {
            tracing::error!(
                samples = rows.dropped,
                "samples at times before year 1 or after year 9999 are not kept"
            );
        }
        self.run.report(&Progress::Pass {
            segments: outcome.segments as usize,
            samples: rows.samples,
        });
        let advance = consumed.advance;
        self.run.check_cancelled()?;
        self.write_metadata(metadata, &mut outcome).await?;
        if !exemplars.is_empty()
            && !self
                .exemplars(exemplars, &advance, started, &mut outcome)
                .await?
        {
            return Ok(outcome);
        }
        if !resumed {
            let files = self.write_series(&rows).await?;
            if !self
                .commit(&self.tables.series, files, &advance, started, &mut outcome)
                .await?
            {
                return Ok(outcome);
            }
        }
        let files = self.write_samples(&rows).await?;
        self.commit(&self.tables.samples, files, &advance, started, &mut outcome)
            .await?;
        tracing::info!(
            segments = outcome.segments,
            samples = outcome.samples,
            exemplars = outcome.exemplars,
            files = outcome.files,
            bytes = outcome.bytes,
            seconds = started.elapsed().as_secs_f64(),
            lost_race = outcome.lost_race,
            "compacted WAL segments"
        );
        Ok(outcome)
    }

    /// Commits files with the marks; false, with the files discarded, where another compactor was first.
    async fn commit(
        &self,
        table: &DeltaTable,
        files: Vec<NewFile>,
        advance: &BTreeMap<u32, (u64, u64)>,
        started: Instant,
        outcome: &mut PassOutcome,
    ) -> Result<bool> {
        let paths = || {
            files
                .iter()
                .map(|file| file.path.clone())
                .collect::<Vec<_>>()
        };
        if started.elapsed() * 2 >= self.options.clean_up.orphan_age {
            table.discard(paths()).await;
            return Err(Error::TooSlow {
                table: table.kind().name(),
            });
        }
        let mut commit = Commit::append("COMPACT WAL");
        for (shard, (from, to)) in advance {
            commit = commit.advance(*shard, *from, *to);
        }
        for file in &files {
            commit = commit.add_file(file.add.clone());
        }
        match table.commit(&commit, self.now_ms).await? {
            CommitOutcome::Committed(_) => {
                outcome.files += files.len() as u64;
                outcome.bytes += files.iter().map(|f| f.add.size.unsigned_abs()).sum::<u64>();
                Ok(true)
            }
            CommitOutcome::Conflict | CommitOutcome::Superseded(_) => {
                table.discard(paths()).await;
                outcome.lost_race = true;
                outcome.more = true;
                outcome.samples = 0;
                outcome.segments = 0;
                Ok(false)
            }
        }
    }

    async fn put(&self, table: &DeltaTable, writer: TableFileWriter) -> Result<Option<NewFile>> {
        let Some(mut file) = writer.finish(self.now_ms)? else {
            return Ok(None);
        };
        file.put(table.store().as_ref(), table.root()).await?;
        file.bytes = Default::default();
        Ok(Some(file))
    }

    async fn write_metadata(
        &self,
        mut new: Vec<MetricMetadata>,
        outcome: &mut PassOutcome,
    ) -> Result<()> {
        new.retain(|row| !(self.known_metadata)(row));
        let Some(date) = date_of(self.now_ms).filter(|_| !new.is_empty()) else {
            return Ok(());
        };
        let table = &self.tables.metadata;
        let mut writer = TableFileWriter::new(TableKind::Metadata, date, 0);
        writer.write(&encode_metadata(&new)?)?;
        if let Some(file) = self.put(table, writer).await? {
            let commit = Commit::append("COMPACT WAL").add_file(file.add.clone());
            table.commit(&commit, self.now_ms).await?;
            outcome.files += 1;
            outcome.bytes += file.add.size.unsigned_abs();
        }
        Ok(())
    }

    /// Writes and commits exemplars that the table does not hold; false where another compactor was first.
    async fn exemplars(
        &self,
        segments: Vec<SegmentExemplars>,
        advance: &BTreeMap<u32, (u64, u64)>,
        started: Instant,
        outcome: &mut PassOutcome,
    ) -> Result<bool> {
        let table = &self.tables.exemplars;
        // The marks are read after the segments: whatever is at or below them was committed by somebody.
        let marks = table.create_if_missing(self.now_ms).await?.wal_marks();
        let new = NewExemplars::above(&marks, segments);
        if new.days.is_empty() {
            return Ok(true);
        }
        let mark = |shard: &u32| marks.get(shard).copied().unwrap_or(0);
        let own: BTreeMap<u32, (u64, u64)> = advance
            .iter()
            .map(|(shard, (_, to))| (*shard, (mark(shard), *to)))
            .filter(|(_, (from, to))| from < to)
            .collect();
        let files = self.write_exemplars(&new).await?;
        let committed = self.commit(table, files, &own, started, outcome).await?;
        outcome.exemplars = if committed { new.count } else { 0 };
        Ok(committed)
    }

    async fn write_exemplars(&self, new: &NewExemplars) -> Result<Vec<NewFile>> {
        let table = &self.tables.exemplars;
        stream::iter(&new.days)
            .map(|(date, exemplars)| async move {
                self.run.check_cancelled()?;
                let mut writer = TableFileWriter::new(TableKind::Exemplars, *date, 0);
                for chunk in exemplars.chunks(8_192) {
                    writer.write(&encode_exemplars(chunk)?)?;
                }
                self.put(table, writer).await
            })
            .buffered(PUTS)
            .try_filter_map(|file| async move { Ok::<_, Error>(file) })
            .try_collect()
            .await
    }

    async fn write_series(&self, rows: &Gathered<'_>) -> Result<Vec<NewFile>> {
        let table = &self.tables.series;
        stream::iter(&rows.days)
            .map(|(date, day)| async move {
                let mut writer = TableFileWriter::new(TableKind::Series, *date, 0);
                for chunk in day.chunks(8_192) {
                    writer.write(&rows.series_batch(chunk)?)?;
                }
                self.put(table, writer).await
            })
            .buffered(PUTS)
            .try_filter_map(|file| async move { Ok::<_, Error>(file) })
            .try_collect()
            .await
    }

    async fn write_samples(&self, rows: &Gathered<'_>) -> Result<Vec<NewFile>> {
        let table = &self.tables.samples;
        stream::iter(&rows.windows)
            .map(|(window, runs)| async move {
                self.run.check_cancelled()?;
                let Some(date) = date_of(*window) else {
                    return Ok(None);
                };
                let mut writer = TableFileWriter::new(TableKind::Samples, date, 0);
                let mut builder = SampleRowsBuilder::with_capacity(0, 0);
                let mut scratch = Scratch::default();
                for run in runs {
                    rows.push(&mut builder, *run, *window, &mut scratch)?;
                    if builder.samples() >= BATCH_SAMPLES || builder.rows() >= BATCH_ROWS {
                        let full =
                            std::mem::replace(&mut builder, SampleRowsBuilder::with_capacity(0, 0));
                        writer.write(&full.finish()?)?;
                    }
                }
                writer.write(&builder.finish()?)?;
                self.put(table, writer).await
            })
            .buffered(PUTS)
            .try_filter_map(|file| async move { Ok::<_, Error>(file) })
            .try_collect()
            .await
    }
}
