//! One merge: reads live files in order, writes fewer, and swaps them in one commit.

use std::sync::Arc;
use std::time::Instant;

use varve_table::{Commit, CommitOutcome, DeltaTable, NewFile, TableFileWriter, TableSnapshot};

use crate::error::{Error, Result};
use crate::kway::{MergedRows, Row, encode};
use crate::options::CompactorOptions;
use crate::pass::{Progress, RunOptions};
use crate::plan::MergeJob;

/// Bytes of decoded rows that are encoded at once.
const BATCH_BYTES: usize = 4 << 20;

/// How a merge ended.
#[derive(Debug)]
pub(crate) enum MergeOutcome {
    Committed { files: usize, bytes: u64 },
    LostRace(String),
}

/// Writes the outputs of a merge, one file after the other.
struct Output<'a> {
    table: &'a DeltaTable,
    job: &'a MergeJob,
    target_bytes: usize,
    now_ms: i64,
    writer: TableFileWriter,
    batch: Vec<Row>,
    batch_bytes: usize,
    /// What was put, without its bytes.
    files: Vec<NewFile>,
    bytes: u64,
}

impl<'a> Output<'a> {
    fn new(table: &'a DeltaTable, job: &'a MergeJob, target_bytes: usize, now_ms: i64) -> Self {
        Self {
            table,
            job,
            target_bytes,
            now_ms,
            writer: TableFileWriter::new(table.kind(), job.date, job.level),
            batch: Vec::new(),
            batch_bytes: 0,
            files: Vec::new(),
            bytes: 0,
        }
    }

    /// Appends a row. A file ends only between two series, so that the files of one merge do not overlap.
    async fn push(&mut self, row: Row) -> Result<()> {
        if self.batch_bytes >= BATCH_BYTES.min(self.target_bytes) {
            self.write_batch()?;
        }
        if self.writer.encoded_bytes() >= self.target_bytes && !same_series(self.batch.last(), &row)
        {
            self.end_file().await?;
        }
        self.batch_bytes += row.weight();
        self.batch.push(row);
        Ok(())
    }

    fn write_batch(&mut self) -> Result<()> {
        // The last row stays, so that the next one can be compared with it.
        let last = self.batch.pop();
        let rows = std::mem::take(&mut self.batch);
        if !rows.is_empty() {
            self.writer.write(&encode(self.table.kind(), rows)?)?;
        }
        self.batch_bytes = last.as_ref().map_or(0, Row::weight);
        self.batch.extend(last);
        Ok(())
    }

    async fn end_file(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        if !rows.is_empty() {
            self.writer.write(&encode(self.table.kind(), rows)?)?;
        }
        let next = TableFileWriter::new(self.table.kind(), self.job.date, self.job.level);
        let writer = std::mem::replace(&mut self.writer, next);
        if let Some(mut file) = writer.finish(self.now_ms)? {
            file.put(self.table.store().as_ref(), self.table.root())
                .await?;
            self.bytes += file.bytes.len() as u64;
            file.bytes = Default::default();
            self.files.push(file);
        }
        Ok(())
    }
}

fn same_series(last: Option<&Row>, next: &Row) -> bool {
    match (last, next) {
        (Some(Row::Samples(a)), Row::Samples(b)) => a.series.id == b.series.id,
        (Some(Row::Exemplar(a)), Row::Exemplar(b)) => a.series.id == b.series.id,
        _ => false,
    }
}

/// Runs a merge planned from `snapshot`.
pub(crate) async fn run(
    table: &DeltaTable,
    snapshot: &TableSnapshot,
    job: &MergeJob,
    options: &CompactorOptions,
    run: &RunOptions,
    now_ms: i64,
) -> Result<MergeOutcome> {
    let started = Instant::now();
    let rows_total: u64 = job.inputs.iter().map(|file| file.rows).sum();
    let mut rows = MergedRows::new(
        table.store(),
        &snapshot.root,
        table.kind(),
        &job.inputs,
        options.merge_bytes_max,
    );
    let mut output = Output::new(table, job, options.target_file_bytes, now_ms);
    let written = async {
        let mut rows_done = 0u64;
        while let Some(row) = rows.next().await? {
            output.push(row).await?;
            rows_done += 1;
            if rows_done.is_multiple_of(1024) {
                run.check_cancelled()?;
                run.report(&Progress::Merge {
                    table: table.kind().name(),
                    date: job.date,
                    files: job.inputs.len(),
                    rows_done,
                    rows_total,
                });
            }
        }
        output.end_file().await
    }
    .await;
    let paths = |files: &[NewFile]| files.iter().map(|f| f.path.clone()).collect::<Vec<_>>();
    if let Err(error) = written {
        table.discard(paths(&output.files)).await;
        return Err(error);
    }
    if started.elapsed() * 2 >= options.clean_up.orphan_age {
        table.discard(paths(&output.files)).await;
        return Err(Error::TooSlow {
            table: table.kind().name(),
        });
    }
    let mut commit = Commit::rewrite("MERGE");
    for input in &job.inputs {
        commit = commit.remove_file(Arc::clone(input));
    }
    for file in &output.files {
        commit = commit.add_file(file.add.clone());
    }
    match table.commit(&commit, now_ms).await? {
        CommitOutcome::Committed(_) => {
            tracing::info!(
                table = %table.root(), date = %job.date, level = job.level,
                files_in = job.inputs.len(), files_out = output.files.len(), bytes = output.bytes,
                seconds = started.elapsed().as_secs_f64(), "merged files"
            );
            Ok(MergeOutcome::Committed {
                files: output.files.len(),
                bytes: output.bytes,
            })
        }
        CommitOutcome::Conflict => Ok(MergeOutcome::LostRace("conflict".to_owned())),
        CommitOutcome::Superseded(reason) => {
            table.discard(paths(&output.files)).await;
            Ok(MergeOutcome::LostRace(reason))
        }
    }
}
