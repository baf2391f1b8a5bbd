//! What another process takes: processor time and memory from `/proc`, and its own counters from `/metrics`.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Ticks of `/proc/<pid>/stat` in a second; what Linux has told programs for decades.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time at a moment, or since one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Processor {
    user_seconds: f64,
    system_seconds: f64,
    at: Instant,
    elapsed: Duration,
}

fn broken(what: &str) -> io::Error {
    io::Error::other(format!("cannot read {what}"))
}

impl Processor {
    /// What a process has taken up to now.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = std::fs::read_to_string(&path)?;
        // The name in parentheses may hold anything.
        let (_, rest) = text.rsplit_once(')').ok_or_else(|| broken(&path))?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let seconds = |index: usize| -> io::Result<f64> {
            let ticks = fields.get(index).and_then(|field| field.parse().ok());
            let ticks: f64 = ticks.ok_or_else(|| broken(&path))?;
            Ok(ticks / TICKS_PER_SECOND)
        };
        Ok(Self {
            user_seconds: seconds(11)?,
            system_seconds: seconds(12)?,
            at: Instant::now(),
            elapsed: Duration::ZERO,
        })
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            user_seconds: self.user_seconds - before.user_seconds,
            system_seconds: self.system_seconds - before.system_seconds,
            at: self.at,
            elapsed: self.at.duration_since(before.at),
        }
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.elapsed.as_secs_f64() / 60.0;
        let (user, system) = (self.user_seconds / minutes, self.system_seconds / minutes);
        write!(
            f,
            "{:.1} s of processor time a minute ({user:.1} user, {system:.1} system), {:.3} cores",
            user + system,
            (user + system) / 60.0
        )
    }
}

/// A process that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pid: u32,
    metrics: String,
    before: Processor,
    counters: BTreeMap<String, f64>,
    rss_kib: Vec<u64>,
}

fn status_kib(pid: u32, name: &str) -> io::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| broken(&path))
}

/// The numbers of an exposition by their series, as far as they are simple.
async fn counters(address: &str) -> io::Result<BTreeMap<String, f64>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_owned(), value.parse().ok()?))
    });
    Ok(pairs.collect())
}

impl Watched {
    pub(super) async fn begin(pid: u32, metrics: &str) -> io::Result<Self> {
        Ok(Self {
            pid,
            metrics: metrics.to_owned(),
            // A process without any is watched all the same.
            counters: counters(metrics).await.unwrap_or_default(),
            before: Processor::of(pid)?,
            rss_kib: Vec::new(),
        })
    }

    /// Looks at its memory.
    pub(super) fn look(&mut self) -> io::Result<()> {
        self.rss_kib.push(status_kib(self.pid, "VmRSS")?);
        Ok(())
    }

    /// What it took since the beginning, to be printed.
    pub(super) async fn end(&self) -> io::Result<String> {
        let took = Processor::of(self.pid)?.since(&self.before);
        let minutes = took.elapsed.as_secs_f64() / 60.0;
        let mut rss = self.rss_kib.clone();
        rss.sort_unstable();
        let median = rss.get(rss.len() / 2).copied().unwrap_or(0);
        let mut out = format!("over {minutes:.1} minutes: {took}\n");
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "resident: median {} MiB, highest while measured {} MiB, ever {} MiB",
            median / 1024,
            rss.last().unwrap_or(&0) / 1024,
            status_kib(self.pid, "VmHWM")? / 1024
        );
        let now = counters(&self.metrics).await.unwrap_or_default();
        let gain = |name: &str| {
            let (before, now) = (self.counters.get(name)?, now.get(name)?);
            Some(now - before)
        };
        if let (Some(segments), Some(bytes), Some(samples)) = (
            gain("varve_wal_segments_total"),
            gain("varve_wal_bytes_total"),
            gain("varve_wal_samples_total"),
        ) {
            let _ = writeln!(
                out,
                "WAL: {:.1} segments, {:.2} MB, {:.0} samples a minute; {:.2} bytes a sample",
                segments / minutes,
                bytes / minutes / 1e6,
                samples / minutes,
                bytes / samples.max(1.0)
            );
        }
        for (name, text) in [
            ("varve_scrapes_failed_total", "scrapes that failed"),
            ("varve_scrape_ticks_missed_total", "ticks missed"),
        ] {
            if let Some(count) = gain(name) {
                let _ = writeln!(out, "{text}: {count}");
            }
        }
        Ok(out)
    }
}
