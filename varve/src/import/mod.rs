//! `varve import`: what other stores hold, into an archive. A server may run on it meanwhile.

mod openmetrics;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;
use varve_storage::keys::TenantKeys;
use varve_storage::wal::{WalOptions, WalWriter};
use varve_storage::{Labels, StorageUrl, Store};
use varve_tsdb::{
    ImportEvent, ImportOptions, ImportSummary, ImportTarget, default_folder_id, default_import_id,
    import_prometheus, import_thanos,
};

use crate::arguments::time_ms;
use crate::failure::Failure;
use crate::logging::{self, LogArguments};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    #[command(subcommand)]
    source: Source,

    /// The archive: a folder, file:///path or s3://bucket/prefix
    #[arg(
        long = "storage.url",
        global = true,
        env = "VARVE_STORAGE_URL",
        value_name = "URL",
        default_value = "./data"
    )]
    storage: StorageUrl,

    /// A label that every series gets, as name=value; may be given several times
    #[arg(long = "label", global = true, value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,

    /// Only samples from this time on (RFC 3339 or seconds since the epoch)
    #[arg(long, global = true, value_name = "TIME", value_parser = time_ms, allow_hyphen_values = true)]
    start: Option<i64>,

    /// Only samples until this time
    #[arg(long, global = true, value_name = "TIME", value_parser = time_ms, allow_hyphen_values = true)]
    end: Option<i64>,

    #[command(flatten)]
    log: LogArguments,
}

#[derive(Debug, Subcommand)]
enum Source {
    /// A file in the OpenMetrics or the text format whose samples have timestamps
    Openmetrics {
        /// The file
        file: PathBuf,
    },
    /// The data folder of a Prometheus: blocks, head and WAL; the Prometheus may be running
    Prometheus {
        /// The folder (--storage.tsdb.path)
        folder: PathBuf,
    },
    /// The blocks that Thanos keeps in a bucket
    Thanos {
        /// A folder, file:///path or s3://bucket/prefix
        url: StorageUrl,
    },
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a label is written as name=value".to_owned()),
    }
}

/// What is imported, and where to.
struct Import {
    labels: Labels,
    range: (i64, i64),
    cancel: CancellationToken,
    bar: ProgressBar,
    store: Store,
    writer: WalWriter,
}

pub(crate) async fn run(arguments: ImportArguments) -> Result<(), Failure> {
    logging::start(&arguments.log);
    let store = Store::open(&arguments.storage).map_err(Failure::error)?;
    let wal = WalOptions {
        flush_interval: Duration::from_secs(1),
        // Years of samples make fewer, larger segments.
        segment_bytes_max: 64 << 20,
        ..WalOptions::default()
    };
    let writer = WalWriter::open(store.objects(), TenantKeys::default(), 0, wal).await;
    // Ctrl-C ends the import soon; what is done is recorded, and the same command goes on with the rest.
    let cancel = CancellationToken::new();
    let canceller = cancel.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            canceller.cancel();
        }
    });
    let import = Import {
        labels: Labels::from_pairs(arguments.labels),
        range: (
            arguments.start.unwrap_or(i64::MIN),
            arguments.end.unwrap_or(i64::MAX),
        ),
        cancel,
        bar: progress_bar(),
        store,
        writer: writer.map_err(Failure::error)?,
    };
    let began = Instant::now();
    let result = import.run(arguments.source).await;
    let closed = import.writer.close().await.map_err(Failure::error);
    import.bar.finish_and_clear();
    let done = result?;
    closed?;
    output::line(&format!(
        "{done}, {:.1} s; the compactor takes them into the tables",
        began.elapsed().as_secs_f64()
    ))?;
    Ok(())
}

impl Import {
    async fn run(&self, source: Source) -> Result<String, Failure> {
        match source {
            Source::Openmetrics { file } => openmetrics::import(self, &file).await,
            Source::Prometheus { folder } => {
                let id = default_folder_id("prometheus", &folder).map_err(Failure::error)?;
                let options = self.options(id);
                let imported = import_prometheus(&folder, &self.target(), &options).await;
                summary(&imported.map_err(Failure::error)?)
            }
            Source::Thanos { url } => {
                let bucket = Store::open_existing(&url).map_err(Failure::error)?;
                let options = self.options(default_import_id("thanos", &url.to_string()));
                let imported = import_thanos(bucket.objects(), &self.target(), &options).await;
                summary(&imported.map_err(Failure::error)?)
            }
        }
    }

    fn target(&self) -> ImportTarget<'_> {
        ImportTarget {
            objects: self.store.objects(),
            keys: TenantKeys::default(),
            writer: &self.writer,
        }
    }

    fn options(&self, id: String) -> ImportOptions {
        let bar = self.bar.clone();
        ImportOptions {
            labels: self.labels.clone(),
            range: self.range,
            cancel: self.cancel.clone(),
            on_event: Arc::new(move |event| show(&bar, &event)),
            ..ImportOptions::new(id)
        }
    }
}

fn summary(summary: &ImportSummary) -> Result<String, Failure> {
    let appended = &summary.appended;
    let text = format!(
        "{} samples of {} series and {} exemplars imported, {} blocks ({} before, {} left out)",
        appended.samples,
        appended.series,
        appended.exemplars,
        summary.blocks,
        summary.blocks_before,
        summary.blocks_skipped,
    );
    match summary.finished {
        true => Ok(text),
        false => Err(Failure::error(format!(
            "interrupted: {text}; the same command goes on with the rest"
        ))),
    }
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

fn show(bar: &ProgressBar, event: &ImportEvent) {
    match event {
        ImportEvent::Found {
            blocks,
            done,
            samples,
        } => tracing::info!(blocks, done, samples, "blocks to import"),
        ImportEvent::Skipped { block, reason } => {
            tracing::warn!(block, reason, "a block is left out");
        }
        ImportEvent::Reading { blocks } => match blocks.first() {
            Some(block) => tracing::info!(%block, "reading a block"),
            None => tracing::info!("reading the head"),
        },
        ImportEvent::Appended(counts) => bar.set_message(format!(
            "{} samples of {} series",
            counts.samples, counts.series
        )),
        ImportEvent::Warning(warning) => tracing::warn!("{warning}"),
        // The next unit says that this one is done.
        _ => {}
    }
}
