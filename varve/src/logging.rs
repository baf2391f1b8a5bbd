//! Log lines on standard error, in the two formats that Prometheus has: logfmt and JSON.

use std::fmt::{self, Write as _};
use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use varve_promql::format::{format_time, quote};

use crate::arguments::now_ms;

#[derive(Debug, Args)]
pub(crate) struct LogArguments {
    /// Only messages of this severity or above
    #[arg(
        long = "log.level",
        env = "VARVE_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    pub(crate) level: LogLevel,
    /// The form of log lines
    #[arg(
        long = "log.format",
        env = "VARVE_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "logfmt"
    )]
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    Logfmt,
    Json,
}

/// Starts logging. What Varve's own crates say follows `--log.level`; of the libraries below only warnings are shown,
/// unless the level is `debug`.
pub(crate) fn start(arguments: &LogArguments) {
    let own = match arguments.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let others = own.min(LevelFilter::WARN);
    let targets = Targets::new()
        .with_default(others)
        .with_target("varve", own);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(targets);
    match arguments.format {
        LogFormat::Logfmt => {
            let ansi = std::io::stderr().is_terminal();
            registry
                .with(layer.with_ansi(ansi).event_format(Logfmt))
                .init();
        }
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).init(),
    }
}

/// `time=… level=INFO target=… msg="…" key=value …`
#[derive(Debug)]
struct Logfmt;

/// The message of an event apart from its other fields.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Fields {
    fn push(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.message = text;
            return;
        }
        // Writing to a `String` cannot fail.
        let _ = write!(self.others, " {}={}", field.name(), bare_or_quoted(&text));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format!("{value:?}"));
    }
}

fn bare_or_quoted(text: &str) -> String {
    let special =
        |c: char| c == '"' || c == '=' || c == '\\' || c.is_whitespace() || c.is_control();
    if text.is_empty() || text.contains(special) {
        quote(text)
    } else {
        text.to_owned()
    }
}

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let time = format_time(now_ms());
        let color = match *metadata.level() {
            Level::ERROR => Some("31"),
            Level::WARN => Some("33"),
            _ => None,
        };
        let color = color.filter(|_| writer.has_ansi_escapes());
        if let Some(color) = color {
            write!(writer, "\u{1b}[{color}m")?;
        }
        write!(
            writer,
            "time={time} level={} target={} msg={}{}",
            metadata.level(),
            metadata.target(),
            bare_or_quoted(&fields.message),
            fields.others
        )?;
        if color.is_some() {
            write!(writer, "\u{1b}[0m")?;
        }
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_where_logfmt_needs_it() {
        for (text, written) in [
            ("plain", "plain"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a=b", "\"a=b\""),
            ("say \"x\"\n", "\"say \\\"x\\\"\\n\""),
        ] {
            assert_eq!(bare_or_quoted(text), written);
        }
    }
}
