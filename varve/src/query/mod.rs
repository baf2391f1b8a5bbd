//! `varve query`: PromQL from the command line, of a server or straight of an archive.
//!
//! Both ways give the same answers, because an archive is asked through the same HTTP API, without a socket
//! ([`endpoint`]). [`answer`] reads what comes back, [`render`] writes it.

mod answer;
mod endpoint;
mod render;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use url::Url;
use varve_storage::StorageUrl;

use self::endpoint::{Endpoint, Request};
use crate::archive::Features;
use crate::arguments::{now_ms, step_ms, time_ms};
use crate::failure::Failure;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct QueryArguments {
    #[command(subcommand)]
    question: Question,
    #[command(flatten)]
    common: CommonArguments,
}

#[derive(Debug, Args)]
struct CommonArguments {
    /// The server to ask: Varve, or any other with Prometheus's API
    #[arg(
        long,
        global = true,
        env = "VARVE_URL",
        default_value = "http://127.0.0.1:9090"
    )]
    url: Url,
    /// Read an archive instead, with no server: a folder, file:///path or s3://bucket/prefix
    #[arg(long = "storage.url", global = true, value_name = "URL")]
    storage: Option<StorageUrl>,
    /// Only with --storage.url; a server knows what it accepts
    #[command(flatten)]
    features: Features,
    /// How to write the answer
    #[arg(long, short = 'o', global = true, default_value = "table")]
    format: Format,
    /// Give up after this time
    #[arg(long, global = true, value_name = "DURATION", value_parser = crate::arguments::duration)]
    timeout: Option<Duration>,
    /// At most so many series or values; the rest is cut off with a warning
    #[arg(long, global = true)]
    limit: Option<usize>,
    /// Exit with 1 if the answer is empty
    #[arg(long, global = true)]
    fail_on_empty: bool,
    /// Say on standard error what the query cost
    #[arg(long, global = true)]
    stats: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    Table,
    /// The answer of the HTTP API as it is
    Json,
    /// A header and a row per sample
    Csv,
    /// As promtool writes results
    Promql,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Evaluate an expression at one time
    Instant {
        /// The PromQL expression
        #[arg(allow_hyphen_values = true)]
        expression: String,
        /// RFC 3339, seconds since the epoch, `now`, or before now as -1h30m
        #[arg(long, value_parser = time_ms, allow_hyphen_values = true)]
        time: Option<i64>,
    },
    /// Evaluate an expression at many times
    Range {
        /// The PromQL expression
        #[arg(allow_hyphen_values = true)]
        expression: String,
        /// The first time [default: an hour before the end]
        #[arg(long, value_parser = time_ms, allow_hyphen_values = true)]
        start: Option<i64>,
        /// The last time [default: now]
        #[arg(long, value_parser = time_ms, allow_hyphen_values = true)]
        end: Option<i64>,
        /// The distance of two times [default: a 250th of the range]
        #[arg(long, value_parser = step_ms)]
        step: Option<i64>,
    },
    /// List series
    Series {
        /// Selectors of which a series must fulfil at least one
        #[arg(required = true, value_name = "SELECTOR")]
        selectors: Vec<String>,
        #[command(flatten)]
        window: Window,
    },
    /// List the names of labels
    Labels {
        /// Only of series that fulfil one of these selectors
        #[arg(value_name = "SELECTOR")]
        selectors: Vec<String>,
        #[command(flatten)]
        window: Window,
    },
    /// List the values of a label
    LabelValues {
        /// The label
        label: String,
        /// Only of series that fulfil one of these selectors
        #[arg(value_name = "SELECTOR")]
        selectors: Vec<String>,
        #[command(flatten)]
        window: Window,
    },
    /// Show the plans of an expression
    Explain {
        /// The PromQL expression
        #[arg(allow_hyphen_values = true)]
        expression: String,
        /// The time of evaluation
        #[arg(long, value_parser = time_ms, allow_hyphen_values = true)]
        time: Option<i64>,
    },
}

/// Which series count for a question about labels.
#[derive(Debug, Args)]
struct Window {
    /// Only series with samples at or after this time
    #[arg(long, value_parser = time_ms, allow_hyphen_values = true)]
    start: Option<i64>,
    /// Only series with samples at or before this time
    #[arg(long, value_parser = time_ms, allow_hyphen_values = true)]
    end: Option<i64>,
}

fn seconds(time_ms: i64) -> String {
    varve_promql::format::format_timestamp_seconds(time_ms)
}

impl Window {
    fn push(&self, request: &mut Request) {
        for (name, time_ms) in [("start", self.start), ("end", self.end)] {
            if let Some(time_ms) = time_ms {
                request.push(name, seconds(time_ms));
            }
        }
    }
}

impl Question {
    fn request(&self) -> Request {
        match self {
            Self::Instant { expression, time } => {
                let mut request = Request::new("query");
                request.push("query", expression);
                request.push("time", seconds(time.unwrap_or_else(now_ms)));
                request
            }
            Self::Range {
                expression,
                start,
                end,
                step,
            } => {
                let end_ms = end.unwrap_or_else(now_ms);
                let start_ms = start.unwrap_or(end_ms.saturating_sub(3_600_000));
                let automatic_ms = end_ms.saturating_sub(start_ms) / 250 / 1000 * 1000;
                let step_ms = step.unwrap_or(automatic_ms.max(1000));
                let mut request = Request::new("query_range");
                request.push("query", expression);
                request.push("start", seconds(start_ms));
                request.push("end", seconds(end_ms));
                request.push("step", seconds(step_ms));
                request
            }
            Self::Series { selectors, window } => {
                let mut request = Request::new("series");
                request.push_all("match[]", selectors);
                window.push(&mut request);
                request
            }
            Self::Labels { selectors, window } => {
                let mut request = Request::new("labels");
                request.push_all("match[]", selectors);
                window.push(&mut request);
                request
            }
            Self::LabelValues {
                label,
                selectors,
                window,
            } => {
                let mut request = Request::label_values(label);
                request.push_all("match[]", selectors);
                window.push(&mut request);
                request
            }
            Self::Explain { expression, time } => {
                let mut request = Request::new("explain");
                request.push("query", expression);
                request.push("time", seconds(time.unwrap_or_else(now_ms)));
                request
            }
        }
    }
}

pub(crate) async fn run(arguments: QueryArguments) -> Result<(), Failure> {
    let QueryArguments { question, common } = arguments;
    let endpoint = match &common.storage {
        Some(storage) => Endpoint::archive(storage, common.features.clone())?,
        None => Endpoint::server(common.url.clone())?,
    };
    let mut request = question.request();
    if let Some(timeout) = common.timeout {
        request.push("timeout", format!("{}", timeout.as_secs_f64()));
    }
    if let Some(limit) = common.limit {
        request.push("limit", limit.to_string());
    }

    let spinner = spinner();
    let reply = endpoint.ask(&request).await;
    spinner.finish_and_clear();
    let reply = reply?;
    if common.stats {
        output::complain(&reply.cost());
    }
    let answer = answer::read(&reply)?;
    for note in answer.notes() {
        output::complain(note);
    }
    let empty = answer.data.is_empty();
    if common.format == Format::Json {
        output::text(&reply.body)?;
        output::line("")?;
    } else {
        output::text(&render::render(&answer.data, common.format))?;
    }
    if empty && common.fail_on_empty {
        return Err(Failure::error("the answer is empty"));
    }
    Ok(())
}

/// Turns while an answer is awaited; draws nothing unless standard error is a terminal.
fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        spinner.set_style(style);
    }
    spinner.set_message("waiting for the answer");
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
