//! The targets: connections, answers, and when requests came.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::exposition::Exposition;
use crate::target_at;

/// Bytes that a request may have.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// All targets.
#[derive(Debug)]
pub(super) struct Targets {
    exposition: Exposition,
    count: u32,
    gzip: bool,
    started: Instant,
    seen: Mutex<Seen>,
}

/// What was seen of whoever scrapes.
#[derive(Debug, Default)]
struct Seen {
    /// When each target was asked last.
    last: Vec<Option<Instant>>,
    /// Milliseconds between two requests for one target.
    gaps_ms: Vec<u32>,
    /// Requests in each second since the measurement began.
    by_second: BTreeMap<u64, u32>,
    began: Option<Instant>,
    scrapes: u64,
    sent_bytes: u64,
    accepted: u64,
    accepted_before: u64,
    open: u64,
}

impl Targets {
    pub(super) fn new(exposition: Exposition, count: u32, gzip: bool) -> Arc<Self> {
        let seen = Seen {
            last: vec![None; count as usize],
            ..Seen::default()
        };
        Arc::new(Self {
            exposition,
            count,
            gzip,
            started: Instant::now(),
            seen: Mutex::new(seen),
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts connections for ever.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let targets = Arc::clone(&self);
                    tokio::spawn(async move { targets.connection(stream).await });
                }
                Err(error) => {
                    println!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(&self, stream: TcpStream) {
        {
            let mut seen = self.seen();
            seen.accepted += 1;
            seen.open += 1;
        }
        // A client that goes away is none of our business.
        let _ = self.answer_all(stream).await;
        self.seen().open -= 1;
    }

    async fn answer_all(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let target = match stream.local_addr()? {
            SocketAddr::V4(address) => target_at(*address.ip()),
            SocketAddr::V6(_) => return Ok(()),
        };
        let mut request = Vec::with_capacity(1 << 10);
        loop {
            request.clear();
            while !request.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut request).await? == 0 || request.len() > REQUEST_BYTES_MAX {
                    return Ok(());
                }
            }
            let answer = self.answer(target);
            self.note(target, answer.len());
            stream.write_all(&answer).await?;
        }
    }

    fn answer(&self, target: u32) -> Vec<u8> {
        if target >= self.count {
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        let mut body = self
            .exposition
            .render(target, self.started.elapsed().as_secs());
        let mut encoding = "";
        if self.gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            // Writing to memory cannot fail.
            if encoder.write_all(&body).is_ok()
                && let Ok(compressed) = encoder.finish()
            {
                body = compressed;
                encoding = "Content-Encoding: gzip\r\n";
            }
        }
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {}\r\n{encoding}Content-Length: {}\r\n\r\n",
            self.exposition.content_type(),
            body.len()
        )
        .into_bytes();
        answer.append(&mut body);
        answer
    }

    fn note(&self, target: u32, bytes: usize) {
        let now = Instant::now();
        let mut seen = self.seen();
        let Some(last) = seen.last.get_mut(target as usize) else {
            return;
        };
        let before = last.replace(now);
        let Some(began) = seen.began else {
            return;
        };
        seen.scrapes += 1;
        seen.sent_bytes += bytes as u64;
        let second = now.duration_since(began).as_secs();
        *seen.by_second.entry(second).or_default() += 1;
        if let Some(before) = before {
            let gap = now.duration_since(before).as_millis();
            seen.gaps_ms.push(u32::try_from(gap).unwrap_or(u32::MAX));
        }
    }

    /// Begins the measurement.
    pub(super) fn begin(&self) {
        let mut seen = self.seen();
        seen.began = Some(Instant::now());
        seen.accepted_before = seen.accepted;
    }

    /// What was seen since then, to be printed.
    pub(super) fn figures(&self, interval: Duration) -> String {
        let mut seen = self.seen();
        let mut out = String::new();
        let scrapes = seen.scrapes.max(1);
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "scrapes: {}, {} bytes each on the wire; connections: {} open, {} new while measured",
            seen.scrapes,
            seen.sent_bytes / scrapes,
            seen.open,
            seen.accepted - seen.accepted_before
        );
        // The last second is not whole.
        seen.by_second.pop_last();
        let counts = || seen.by_second.values();
        let mean = f64::from(counts().sum::<u32>()) / counts().len().max(1) as f64;
        let _ = writeln!(
            out,
            "scrapes in a second: {mean:.0} on average, {} to {}",
            counts().min().unwrap_or(&0),
            counts().max().unwrap_or(&0)
        );
        let interval_ms = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        let missed = seen
            .gaps_ms
            .iter()
            .filter(|gap| **gap > interval_ms / 2 * 3);
        let missed = missed.count();
        let mut off: Vec<u32> = seen
            .gaps_ms
            .iter()
            .map(|gap| gap.abs_diff(interval_ms))
            .collect();
        off.sort_unstable();
        let quantile = |q: f64| {
            let index = (off.len().saturating_sub(1)) as f64 * q;
            off.get(index as usize).copied().unwrap_or(0)
        };
        let _ = writeln!(
            out,
            "off the interval by: median {} ms, 99 % {} ms, at most {} ms; {missed} gaps of more than one and a half",
            quantile(0.5),
            quantile(0.99),
            quantile(1.0)
        );
        out
    }
}
