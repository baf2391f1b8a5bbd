//! Where samples go.

use std::time::Duration;

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

/// A store of samples, as far as those need it who answer "it is stored".
pub trait DurableSink: Send + Sync + 'static {
    /// Appends all of it, or nothing, and returns when it is durable. It may wait for company as long as `wait` before it is written.
    fn append_durable(
        &self,
        append: Append,
        wait: Duration,
    ) -> BoxFuture<'_, varve_storage::Result<()>>;
}

impl DurableSink for WalWriter {
    fn append_durable(
        &self,
        append: Append,
        wait: Duration,
    ) -> BoxFuture<'_, varve_storage::Result<()>> {
        Box::pin(async move {
            let ticket = self.append_within(append, wait).await?;
            ticket.durable().await.map(drop)
        })
    }
}

impl SampleSink for WalWriter {
    fn append(&self, append: Append) -> BoxFuture<'_, varve_storage::Result<()>> {
        Box::pin(async move { WalWriter::append(self, append).await.map(drop) })
    }
}
