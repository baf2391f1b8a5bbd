//! `varve export`: an archive's samples in the formats of others.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use futures::{StreamExt, TryStreamExt};
use varve_promql::Matcher;
use varve_query::Engine;
use varve_query::result::RawSeries;
use varve_query::selector::SelectorSpec;
use varve_storage::columns::NO_START_MS;
use varve_storage::keys::TenantKeys;
use varve_storage::{StorageUrl, Store};
use varve_table::FlatFileWriter;
use varve_tsdb::{
    BLOCK_RANGE_MS, BlockOptions, OpenMetricsWriter, Sample, StaleMarkers, block_ranges, blocks_in,
    export_block,
};

use crate::archive::{Features, QueryLimits, engine};
use crate::arguments::{now_ms, time_ms};
use crate::failure::Failure;
use crate::logging::{self, LogArguments};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    #[command(subcommand)]
    format: Format,

    /// The archive: a folder, file:///path or s3://bucket/prefix
    #[arg(
        long = "storage.url",
        global = true,
        env = "VARVE_STORAGE_URL",
        value_name = "URL",
        default_value = "./data"
    )]
    storage: StorageUrl,

    /// Which series; all of them, if not given
    #[arg(long = "match", global = true, value_name = "SELECTOR")]
    selector: Option<String>,

    /// From this time on (RFC 3339 or seconds since the epoch) [default: the first sample]
    #[arg(long, global = true, value_name = "TIME", value_parser = time_ms, allow_hyphen_values = true)]
    start: Option<i64>,

    /// Until this time [default: now]
    #[arg(long, global = true, value_name = "TIME", value_parser = time_ms, allow_hyphen_values = true)]
    end: Option<i64>,

    #[command(flatten)]
    log: LogArguments,
}

#[derive(Debug, Subcommand)]
enum Format {
    /// OpenMetrics text with timestamps; native histograms have no place in it
    Openmetrics {
        /// The file; standard output, if not given
        file: Option<PathBuf>,
    },
    /// One Parquet file with a row per sample: __name__, labels, timestamp, value, histogram
    Parquet {
        /// The file
        file: PathBuf,
    },
    /// Blocks of two hours that a Prometheus or Thanos takes; ranges that the folder has already are left out
    PrometheusBlocks {
        /// The folder
        folder: PathBuf,
    },
}

pub(crate) async fn run(arguments: ExportArguments) -> Result<(), Failure> {
    logging::start(&arguments.log);
    let store = Store::open_existing(&arguments.storage).map_err(Failure::error)?;
    let limits = QueryLimits::unhurried(Features::default());
    let engine = engine(&store, &TenantKeys::default(), &limits);
    let selector = arguments
        .selector
        .as_deref()
        .unwrap_or(r#"{__name__=~".+"}"#);
    let matchers = varve_promql::parse_matchers(selector)
        .map_err(|error| Failure::usage(format!("--match: {error}")))?;
    let end_ms = arguments.end.unwrap_or_else(now_ms);
    match arguments.format {
        Format::Openmetrics { file } => {
            let out: Box<dyn Write + Send> = match &file {
                Some(file) => Box::new(
                    std::fs::File::create(file)
                        .map_err(|e| Failure::error(format!("{}: {e}", file.display())))?,
                ),
                None => Box::new(std::io::stdout()),
            };
            let start_ms = arguments.start.unwrap_or(i64::MIN);
            openmetrics(&engine, matchers, (start_ms, end_ms), out).await
        }
        Format::Parquet { file } => {
            let start_ms = arguments.start.unwrap_or(i64::MIN);
            parquet(&engine, matchers, (start_ms, end_ms), file).await
        }
        Format::PrometheusBlocks { folder } => {
            let start_ms = match arguments.start {
                Some(start_ms) => start_ms,
                None => match first_sample_ms(&engine, &matchers, end_ms).await? {
                    Some(start_ms) => start_ms,
                    None => return Ok(output::line("nothing to export")?),
                },
            };
            blocks(&engine, matchers, (start_ms, end_ms), folder).await
        }
    }
}

fn samples(series: &RawSeries) -> impl Iterator<Item = Sample> {
    series.samples.iter().map(|(timestamp_ms, value)| Sample {
        timestamp_ms,
        start_timestamp_ms: NO_START_MS,
        value,
    })
}

async fn openmetrics(
    engine: &Engine,
    matchers: Vec<Matcher>,
    (min_ms, max_ms): (i64, i64),
    out: Box<dyn Write + Send>,
) -> Result<(), Failure> {
    let mut writer = OpenMetricsWriter::new(BufWriter::new(out), StaleMarkers::LeaveOut);
    let mut series = engine.raw_series(SelectorSpec {
        matchers,
        min_ms,
        max_ms,
    });
    while let Some(series) = series.next().await {
        let series = series.map_err(Failure::error)?;
        let written = writer.series(&series.labels, samples(&series));
        written.map_err(Failure::error)?;
    }
    let counts = writer.finish().map_err(Failure::error)?;
    if counts.histograms_left_out > 0 {
        output::complain(&format!(
            "{} native histograms were left out: the format has no place for them",
            counts.histograms_left_out
        ));
    }
    Ok(())
}

/// The file has its name when it is complete, and nothing is left of one that failed.
async fn parquet(
    engine: &Engine,
    matchers: Vec<Matcher>,
    range_ms: (i64, i64),
    file: PathBuf,
) -> Result<(), Failure> {
    let mut partial = file.clone().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = parquet_rows(engine, matchers, range_ms, &partial).await;
    let named = written.and_then(|rows| {
        std::fs::rename(&partial, &file)
            .map_err(|error| Failure::error(format!("{}: {error}", file.display())))?;
        Ok(rows)
    });
    if named.is_err() {
        // What went wrong first is what matters.
        let _ = std::fs::remove_file(&partial);
    }
    Ok(output::line(&format!("{} samples written", named?))?)
}

/// Writes a whole file; gives the number of samples in it.
async fn parquet_rows(
    engine: &Engine,
    matchers: Vec<Matcher>,
    (min_ms, max_ms): (i64, i64),
    file: &Path,
) -> Result<u64, Failure> {
    let failed = |error: std::io::Error| Failure::error(format!("{}: {error}", file.display()));
    let out = BufWriter::new(std::fs::File::create(file).map_err(failed)?);
    let mut writer = FlatFileWriter::new(out).map_err(Failure::error)?;
    let mut series = engine.raw_series(SelectorSpec {
        matchers,
        min_ms,
        max_ms,
    });
    while let Some(series) = series.next().await {
        let series = series.map_err(Failure::error)?;
        let written = writer.series(&series.labels, series.samples.iter());
        written.map_err(Failure::error)?;
    }
    let (rows, out) = writer.finish().map_err(Failure::error)?;
    let out = out
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    out.sync_all().map_err(failed)?;
    Ok(rows)
}

/// When the first of the samples was.
async fn first_sample_ms(
    engine: &Engine,
    matchers: &[Matcher],
    max_ms: i64,
) -> Result<Option<i64>, Failure> {
    let mut series = engine.raw_series(SelectorSpec {
        matchers: matchers.to_vec(),
        min_ms: i64::MIN,
        max_ms,
    });
    let mut first: Option<i64> = None;
    while let Some(series) = series.next().await {
        let series = series.map_err(Failure::error)?;
        let start = series.samples.timestamps.first().copied();
        first = first.into_iter().chain(start).min();
    }
    Ok(first)
}

async fn blocks(
    engine: &Engine,
    matchers: Vec<Matcher>,
    (min_ms, max_ms): (i64, i64),
    folder: PathBuf,
) -> Result<(), Failure> {
    std::fs::create_dir_all(&folder)
        .map_err(|e| Failure::error(format!("{}: {e}", folder.display())))?;
    let there = blocks_in(&folder).map_err(Failure::error)?;
    let (mut written, mut exported) = (0, 0_u64);
    for (start, end) in block_ranges(min_ms, max_ms, BLOCK_RANGE_MS) {
        if there
            .iter()
            .any(|block| block.min_time < end && block.max_time > start)
        {
            continue;
        }
        let series = engine.raw_series(SelectorSpec {
            matchers: matchers.clone(),
            min_ms: start.max(min_ms),
            max_ms: (end - 1).min(max_ms),
        });
        let series = series
            .map_err(Failure::error)
            .map_ok(|series| (series.labels.clone(), samples(&series).collect()));
        let block = export_block(
            folder.clone(),
            (start, end),
            BlockOptions::default(),
            series,
        );
        if let Some(block) = block.await? {
            written += 1;
            exported += block.stats.num_samples;
            tracing::info!(block = %block.ulid, samples = block.stats.num_samples, "block written");
        }
    }
    output::line(&format!("{written} blocks with {exported} samples written"))?;
    Ok(())
}
