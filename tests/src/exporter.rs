//! An exporter whose samples say which scrape they belong to, and which remembers every scrape that it served.
//!
//! Every series has the scrape's number as its value. A store that holds a number that was never served, a number twice, or
//! a number on some series of a scrape only, has invented, doubled or torn something.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hyper::Response;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// Series of one scrape, the counter aside.
pub const SERIES: usize = 20;

/// The counter: its value is the number of the scrape, from 1.
pub const COUNTER: &str = "proof_scrapes_total";

/// The series beside it: the same value with labels `n="0"` and so on.
pub const GAUGE: &str = "proof_number";

/// A running exporter; dropping it closes the port.
#[derive(Debug)]
pub struct Exporter {
    address: SocketAddr,
    served: Arc<Mutex<Vec<Instant>>>,
    server: JoinHandle<()>,
}

fn exposition(number: usize) -> String {
    let mut text = format!("# TYPE {COUNTER} counter\n{COUNTER} {number}\n# TYPE {GAUGE} gauge\n");
    for n in 0..SERIES {
        let _ = writeln!(text, "{GAUGE}{{n=\"{n}\"}} {number}");
    }
    text
}

impl Exporter {
    /// Listens on a free port of the loopback interface.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let served = Arc::new(Mutex::new(Vec::new()));
        let numbers = Arc::clone(&served);
        let answer = move || {
            let mut served = numbers.lock().unwrap_or_else(PoisonError::into_inner);
            served.push(Instant::now());
            ("text/plain; version=0.0.4", exposition(served.len()))
        };
        let server = tokio::spawn(accept(listener, answer));
        Ok(Self {
            address,
            served,
            server,
        })
    }

    /// `host:port`, a target.
    pub fn target(&self) -> String {
        self.address.to_string()
    }

    /// When each scrape was served; the first has number 1.
    pub fn served(&self) -> Vec<Instant> {
        self.served
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A target that always answers the same; dropping it closes the port.
#[derive(Debug)]
pub struct FixedPage {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl FixedPage {
    /// Listens on a free port of the loopback interface.
    pub async fn start(content_type: &'static str, body: String) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let answer = move || (content_type, body.clone());
        let server = tokio::spawn(accept(listener, answer));
        Ok(Self { address, server })
    }

    /// `host:port`, a target.
    pub fn target(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for FixedPage {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Answers every request with a type and a body.
async fn accept(
    listener: TcpListener,
    answer: impl Fn() -> (&'static str, String) + Clone + Send + 'static,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let answer = answer.clone();
        connections.spawn(async move {
            let service = service_fn(move |_request| {
                let (content_type, body) = answer();
                let response = Response::builder()
                    .header("content-type", content_type)
                    .body(body);
                async move { response }
            });
            // A connection that breaks is the scraper's death, which is what the tests are about.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
