//! `varve compact`: one compaction, then the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;
use varve_compactor::{Compactor, CompactorOptions, Progress, RunOptions};
use varve_storage::keys::TenantKeys;
use varve_storage::{StorageUrl, Store};

use crate::arguments::duration;
use crate::failure::Failure;
use crate::logging::{self, LogArguments};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct CompactArguments {
    /// The archive: a folder, file:///path or s3://bucket/prefix
    #[arg(
        long = "storage.url",
        env = "VARVE_STORAGE_URL",
        value_name = "URL",
        default_value = "./data"
    )]
    storage: StorageUrl,

    /// How long replaced objects are kept; the same for all that share a storage
    #[arg(
        long = "compactor.grace",
        env = "VARVE_COMPACTOR_GRACE",
        value_name = "DURATION",
        default_value = "15m",
        value_parser = duration
    )]
    grace: Duration,

    #[command(flatten)]
    log: LogArguments,
}

pub(crate) async fn run(arguments: &CompactArguments) -> Result<(), Failure> {
    logging::start(&arguments.log);
    let store = Store::open_existing(&arguments.storage).map_err(Failure::error)?;
    let mut options = CompactorOptions::default();
    options.clean_up.grace = arguments.grace;
    let compactor = Compactor::new(store.clone(), TenantKeys::default(), options);

    // Ctrl-C ends the run at its next safe point: what is committed stays, the rest was never visible.
    let cancel = CancellationToken::new();
    let canceller = cancel.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            canceller.cancel();
        }
    });
    let bar = progress_bar();
    let shown = bar.clone();
    let run = RunOptions {
        progress: Some(Arc::new(move |progress| show(&shown, progress))),
        cancel,
        ..RunOptions::default()
    };
    let began = Instant::now();
    let result = compactor.run_once(&run).await;
    bar.finish_and_clear();
    let report = result.map_err(Failure::error)?;

    let counts = store.counters().snapshot();
    output::line(&format!(
        "{} segments with {} samples taken over, {} merges of {} files, {} files ({} bytes) written, \
         {} requests, {:.1} s",
        report.segments,
        report.samples,
        report.merges,
        report.files_merged,
        report.files_written,
        report.bytes_written,
        counts.requests(),
        began.elapsed().as_secs_f64(),
    ))?;
    for key in &report.quarantined {
        output::complain(&format!("quarantined: {key}"));
    }
    if report.failed_merges.is_empty() {
        return Ok(());
    }
    for reason in &report.failed_merges {
        output::complain(&format!("not merged: {reason}"));
    }
    Err(Failure::silent())
}

/// Draws nothing unless standard error is a terminal.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_message(match progress {
        Progress::Pass { segments, samples } => {
            format!("taking over {segments} segments, {samples} samples")
        }
        Progress::Merge {
            table,
            date,
            files,
            rows_done,
            rows_total,
        } => format!("{table} {date}: merging {files} files, {rows_done} of {rows_total} rows"),
        _ => "cleaning up".to_owned(),
    });
}
