//! Where scraped samples go.

use futures::future::BoxFuture;
use varve_storage::wal::{Append, WalWriter};

/// A store of samples, as far as scraping needs it.
///
/// An append waits while the store cannot take more: that wait is the only back-pressure, and it delays the scrape loop
/// that waits. On return the append is accepted, not yet durable; who runs the process flushes before it exits.
pub trait SampleSink: Send + Sync + 'static {
    /// Appends one scrape: all of it, or nothing.
    fn append(&self, append: Append) -> BoxFuture<'_, varve_storage::Result<()>>;
}

impl SampleSink for WalWriter {
    fn append(&self, append: Append) -> BoxFuture<'_, varve_storage::Result<()>> {
        Box::pin(async move { WalWriter::append(self, append).await.map(drop) })
    }
}
