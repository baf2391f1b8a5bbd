//! Scraping alone: the targets of a configuration into the WAL, without compactor and queries.
//!
//!     cargo run --release -p varve-ingest --example scrape_only -- prometheus.yml ./data 127.0.0.1:9090
//!
//! answers `/metrics` with the few counters that the example `scrape_load` prints, by the names that `varve serve` has for them, so that the
//! one can watch the other.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use varve_ingest::{Config, ScrapeManager, ScrapeOptions};
use varve_storage::keys::TenantKeys;
use varve_storage::store::{StorageUrl, Store};
use varve_storage::wal::{WalOptions, WalWriter};

fn figures(wal: &WalWriter, scrapes: &ScrapeManager) -> String {
    let counts = wal.metrics().snapshot();
    let metrics = scrapes.metrics();
    let mut text = String::new();
    for (name, value) in [
        ("varve_wal_segments_total", counts.segments),
        ("varve_wal_bytes_total", counts.encoded_bytes),
        ("varve_wal_samples_total", counts.samples),
        (
            "varve_scrapes_failed_total",
            metrics.scrapes_failed.load(Ordering::Relaxed),
        ),
        (
            "varve_scrape_ticks_missed_total",
            metrics.ticks_missed.load(Ordering::Relaxed),
        ),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} {value}");
    }
    text
}

async fn answer(mut stream: TcpStream, figures: String) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await? > 0 {}
    let length = figures.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{figures}"
    );
    stream.write_all(answer.as_bytes()).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, storage, address] = arguments.as_slice() else {
        return Err("usage: scrape_only CONFIG STORAGE ADDRESS".into());
    };
    let listener = TcpListener::bind(address).await?;
    let config = Config::load(Path::new(config))?;
    let url: StorageUrl = storage.parse()?;
    let store = Store::open(&url)?;
    let options = WalOptions::for_url(&url);
    let wal = WalWriter::open(store.objects(), TenantKeys::default(), 0, options).await?;
    let wal = Arc::new(wal);
    let scrapes = ScrapeManager::new(wal.clone(), ScrapeOptions::default());
    scrapes.apply(&config).await?;
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            stop = tokio::signal::ctrl_c() => {
                stop?;
                break;
            }
        };
        // One that breaks off harms nobody.
        let _ = answer(stream, figures(&wal, &scrapes)).await;
    }
    scrapes.shutdown().await;
    wal.close().await?;
    Ok(())
}
