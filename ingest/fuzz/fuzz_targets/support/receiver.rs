//! A receiver whose requests are only read.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use varve_ingest::push::{PushOptions, PushReceiver};
use varve_ingest::sink::DurableSink;
use varve_storage::wal::Append;

struct Nowhere;

impl DurableSink for Nowhere {
    fn append_durable(&self, _: Append, _: Duration) -> BoxFuture<'_, varve_storage::Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

pub fn receiver() -> PushReceiver {
    PushReceiver::new(Arc::new(Nowhere), PushOptions::default())
}
