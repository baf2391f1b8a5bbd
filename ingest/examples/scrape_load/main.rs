//! Many targets on this machine, and what it costs a server to scrape them.
//!
//!     cargo run --release -p varve-ingest --example scrape_load -- --targets=1000 --series=1000 \
//!         -- target/release/varve serve --config.file={config} --storage.url=/tmp/load
//!
//! serves the targets, starts the command behind the second `--`, lets it settle, watches it, prints the figures and ends it. In the
//! command `{config}` stands for a configuration that lists the targets; any server that reads `prometheus.yml` will do. Without a command
//! the targets are served until the program is killed, and the configuration is printed.
//!
//! | option | default | |
//! |---|---|---|
//! | `--targets=N` | 1000 | targets, at most 65,000 |
//! | `--series=N` | 1000 | series of each |
//! | `--interval=S` | 15 | seconds between two scrapes of a target |
//! | `--format=text` or `protobuf` | text | what targets answer |
//! | `--gzip=true` or `false` | true | whether they compress it |
//! | `--settle=S` | 60 | seconds before the measurement begins |
//! | `--minutes=M` | 5 | how long it lasts |
//! | `--port=P` | 9500 | where targets listen |
//! | `--metrics=HOST:PORT` | 127.0.0.1:9090 | where the command answers `/metrics` |
//!
//! Each target has an address of its own in 127.0.0.0/8 and so connections of its own, as if it were a host; one socket listens for all.
//! Processor time is what counts: it stays meaningful on a machine that does other things too, which elapsed time does not.

#![allow(clippy::print_stdout)]

mod exposition;
mod targets;
mod watch;

use std::error::Error;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use exposition::{Exposition, Format};
use targets::Targets;
use watch::{Processor, Watched};

#[derive(Debug)]
struct Options {
    targets: u32,
    series: u32,
    interval: Duration,
    format: Format,
    gzip: bool,
    settle: Duration,
    measure: Duration,
    port: u16,
    metrics: String,
    command: Vec<String>,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            targets: 1_000,
            series: 1_000,
            interval: Duration::from_secs(15),
            format: Format::Text,
            gzip: true,
            settle: Duration::from_secs(60),
            measure: Duration::from_secs(5 * 60),
            port: 9_500,
            metrics: "127.0.0.1:9090".to_owned(),
            command: Vec::new(),
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                options.command = arguments.collect();
                break;
            }
            let (name, value) = argument
                .split_once('=')
                .ok_or_else(|| format!("{argument:?} is not --name=value"))?;
            match name {
                "--targets" => options.targets = value.parse()?,
                "--series" => options.series = value.parse()?,
                "--interval" => options.interval = Duration::try_from_secs_f64(value.parse()?)?,
                "--format" => options.format = value.parse()?,
                "--gzip" => options.gzip = value.parse()?,
                "--settle" => options.settle = Duration::try_from_secs_f64(value.parse()?)?,
                "--minutes" => {
                    let minutes: f64 = value.parse()?;
                    options.measure = Duration::try_from_secs_f64(60.0 * minutes)?;
                }
                "--port" => options.port = value.parse()?,
                "--metrics" => value.clone_into(&mut options.metrics),
                _ => return Err(format!("there is no option {name}").into()),
            }
        }
        if options.targets == 0 || options.targets > 65_000 || options.interval.is_zero() {
            return Err("between 1 and 65000 targets, and an interval above 0".into());
        }
        Ok(options)
    }

    /// The configuration of a server that is to scrape the targets.
    fn configuration(&self) -> String {
        let milliseconds = self.interval.as_millis();
        let mut text = format!(
            "global: {{scrape_interval: {milliseconds}ms, scrape_timeout: {}ms}}\n\
             scrape_configs:\n- job_name: load\n  static_configs:\n  - targets:\n",
            milliseconds.min(10_000)
        );
        if self.format == Format::Protobuf {
            text = text.replacen("timeout", "protocols: [PrometheusProto], scrape_timeout", 1);
        }
        for target in 0..self.targets {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "    - {}:{}", address(target), self.port);
        }
        text
    }
}

/// The address of a target: 127.1.0.0 and on.
fn address(target: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + target)
}

/// The target that an address belongs to.
fn target_at(address: Ipv4Addr) -> u32 {
    u32::from(address).wrapping_sub(u32::from(Ipv4Addr::new(127, 1, 0, 0)))
}

/// A file that is gone with its owner, and so is the process that reads it.
struct Run {
    config: PathBuf,
    child: Child,
}

impl Run {
    fn start(options: &Options) -> std::io::Result<Self> {
        let name = format!("varve-scrape-load-{}.yml", std::process::id());
        let config = std::env::temp_dir().join(name);
        std::fs::write(&config, options.configuration())?;
        let shown = config.display().to_string();
        let mut words = options
            .command
            .iter()
            .map(|w| w.replace("{config}", &shown));
        let child = Command::new(words.next().unwrap_or_default())
            .args(words)
            .spawn();
        match child {
            Ok(child) => Ok(Self { config, child }),
            Err(error) => {
                std::fs::remove_file(&config)?;
                Err(error)
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}

// One thread: the targets must not take both of two cores.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let exposition = Exposition::new(options.series, options.format);
    let body_bytes = exposition.bytes();
    let targets = Targets::new(exposition, options.targets, options.gzip);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, options.port)).await?;
    tokio::spawn(Arc::clone(&targets).serve(listener));
    if options.command.is_empty() {
        print!("{}", options.configuration());
        tokio::signal::ctrl_c().await?;
        return Ok(());
    }
    let run = Run::start(&options)?;
    let pid = run.child.id();
    tokio::time::sleep(options.settle).await;
    targets.begin();
    let own_before = Processor::of(std::process::id())?;
    let mut watched = Watched::begin(pid, &options.metrics).await?;
    let end = tokio::time::Instant::now() + options.measure;
    while tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(1).min(options.measure)).await;
        watched.look()?;
    }
    println!(
        "{} targets x {} series every {:?}, {:?} of {body_bytes} bytes, gzip {}",
        options.targets, options.series, options.interval, options.format, options.gzip
    );
    print!("{}", watched.end().await?);
    print!("{}", targets.figures(options.interval));
    let own = Processor::of(std::process::id())?.since(&own_before);
    println!("of the targets themselves: {own}");
    drop(run);
    Ok(())
}
