//! The writer of one shard: batches appends into segments, in the background.

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::appender::Appender;
use super::batch::{Append, AppendTicket, Batch, Pending, Waiter};
use super::metrics::WalMetrics;
use super::segment::SegmentBody;
use crate::error::{Error, Result};
use crate::keys::TenantKeys;
use crate::limits::SEGMENT_DECODED_BYTES_MAX;
use crate::store::StorageUrl;

/// Bytes of the buffer per permit of its semaphore, so that permits fit in 32 bits.
const PERMIT_BYTES: usize = 1 << 10;

/// How a writer batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// How long an append may wait for company before its segment is written.
    pub flush_interval: Duration,
    /// Bytes in memory at which a segment is written without waiting longer.
    pub segment_bytes_max: usize,
    /// Bytes in memory, accepted and not yet durable, at which [`WalWriter::append`] waits.
    pub buffer_bytes_max: usize,
    /// How long clean-up keeps a segment after it was written. All writers, readers and clean-ups of an archive must agree on it.
    pub grace: Duration,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_secs(2),
            segment_bytes_max: 16 << 20,
            buffer_bytes_max: 128 << 20,
            grace: super::GRACE_DEFAULT,
        }
    }
}

impl WalOptions {
    /// The defaults for a store: a flush every 2 s on this machine, every 15 s on S3, where each PUT costs money.
    pub fn for_url(url: &StorageUrl) -> Self {
        let seconds = if url.is_remote() { 15 } else { 2 };
        Self {
            flush_interval: Duration::from_secs(seconds),
            ..Self::default()
        }
    }
}

enum Command {
    Append(Box<Pending>),
    Flush(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// Appends to one shard. Dropping it without [`WalWriter::close`] abandons what is not durable yet, as a kill would.
#[derive(Debug)]
pub struct WalWriter {
    commands: mpsc::UnboundedSender<Command>,
    buffer: Arc<Semaphore>,
    permits: u32,
    metrics: Arc<WalMetrics>,
    shard: u32,
    writer: Uuid,
    task: JoinHandle<()>,
}

impl WalWriter {
    /// Finds the end of a shard (one LIST) and starts a writer there. Any number of writers may share a shard.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        keys: TenantKeys,
        shard: u32,
        mut options: WalOptions,
    ) -> Result<Self> {
        // With one more append, a segment must stay below what readers accept.
        options.segment_bytes_max = options.segment_bytes_max.min(SEGMENT_DECODED_BYTES_MAX / 4);
        let metrics = Arc::new(WalMetrics::default());
        let appender =
            Appender::open(store, keys, shard, options.grace, Arc::clone(&metrics)).await?;
        let permits = (options.buffer_bytes_max / PERMIT_BYTES).clamp(1, 1 << 29);
        let writer = appender.writer;
        let (commands, receiver) = mpsc::unbounded_channel();
        let worker = Worker {
            commands: receiver,
            appender,
            options,
        };
        Ok(Self {
            commands,
            buffer: Arc::new(Semaphore::new(permits)),
            permits: u32::try_from(permits).unwrap_or(u32::MAX),
            metrics,
            shard,
            writer,
            task: tokio::spawn(worker.run()),
        })
    }

    /// Accepts an append: it is in memory on return, and durable when the ticket says so. Waits while the buffer is full.
    ///
    /// # Errors
    /// [`Error::Limit`] for labels that cannot be stored and for an append too large for one segment: nothing of it is
    /// written. [`Error::Closed`] after [`WalWriter::close`].
    pub async fn append(&self, append: Append) -> Result<AppendTicket> {
        self.append_within(append, Duration::MAX).await
    }

    /// [`Self::append`] for somebody who waits until the append is durable: its segment is written after `wait` at the latest, also where the
    /// flush interval is longer.
    pub async fn append_within(&self, append: Append, wait: Duration) -> Result<AppendTicket> {
        append.check()?;
        let bytes = append.heap_bytes();
        if bytes > SEGMENT_DECODED_BYTES_MAX / 2 {
            return Err(Error::Limit(format!(
                "an append of {} samples takes {bytes} bytes, and one segment holds {}: send fewer samples at once",
                append.samples.len(),
                SEGMENT_DECODED_BYTES_MAX / 2,
            )));
        }
        let closed = || Error::Closed { shard: self.shard };
        // An append larger than the whole buffer waits until it is alone.
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES))
            .unwrap_or(u32::MAX)
            .min(self.permits);
        let permit = Arc::clone(&self.buffer)
            .acquire_many_owned(permits)
            .await
            .map_err(|_| closed())?;
        let (reply, durable) = oneshot::channel();
        let pending = Pending {
            append,
            bytes,
            wait,
            reply,
            permit,
        };
        self.metrics.buffered(bytes);
        if self
            .commands
            .send(Command::Append(Box::new(pending)))
            .is_err()
        {
            self.metrics.unbuffered(bytes);
            return Err(closed());
        }
        Ok(AppendTicket {
            shard: self.shard,
            durable,
        })
    }

    async fn command(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) -> Result<()> {
        let closed = || Error::Closed { shard: self.shard };
        let (reply, done) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| closed())?;
        done.await.map_err(|_| closed())
    }

    /// Writes what was accepted before this call, without waiting for the interval; durable on return.
    pub async fn flush(&self) -> Result<()> {
        self.command(Command::Flush).await
    }

    /// Flushes, and stops the writer. Later calls give [`Error::Closed`].
    pub async fn close(&self) -> Result<()> {
        self.buffer.close();
        self.command(Command::Close).await
    }

    /// What this writer has done.
    pub fn metrics(&self) -> &Arc<WalMetrics> {
        &self.metrics
    }

    /// The id that this writer's segments carry.
    pub fn writer_id(&self) -> Uuid {
        self.writer
    }

    /// The shard that it appends to.
    pub fn shard(&self) -> u32 {
        self.shard
    }
}

impl Drop for WalWriter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The background task. Commands come in order, so a flush covers all appends before it.
struct Worker {
    commands: mpsc::UnboundedReceiver<Command>,
    appender: Appender,
    options: WalOptions,
}

/// Why a batch was cut.
enum Cut {
    Full,
    Flush(oneshot::Sender<()>),
    Close(Option<oneshot::Sender<()>>),
}

impl Worker {
    async fn run(mut self) {
        loop {
            let (batch, cut) = self.collect().await;
            if !batch.is_empty() {
                self.write(batch).await;
            }
            // Whoever asked may be gone by now.
            match cut {
                Cut::Full => {}
                Cut::Flush(reply) => {
                    let _ = reply.send(());
                }
                Cut::Close(reply) => {
                    self.commands.close();
                    if let Some(reply) = reply {
                        let _ = reply.send(());
                    }
                    return;
                }
            }
        }
    }

    /// Gathers appends until one of them has waited as long as it may, or there are enough bytes.
    async fn collect(&mut self) -> (Batch, Cut) {
        let mut batch = Batch::default();
        let mut deadline = None;
        while batch.bytes < self.options.segment_bytes_max {
            let command = match deadline {
                None => self.commands.recv().await,
                Some(deadline) => {
                    match tokio::time::timeout_at(deadline, self.commands.recv()).await {
                        Ok(command) => command,
                        Err(_) => break,
                    }
                }
            };
            match command {
                Some(Command::Append(pending)) if pending.append.is_empty() && batch.is_empty() => {
                    let _ = pending.reply.send(Ok(self.appender.last()));
                }
                Some(Command::Append(pending)) => {
                    let due = Instant::now() + pending.wait.min(self.options.flush_interval);
                    let refused = batch.add(*pending);
                    self.appender.metrics.unbuffered(refused);
                    deadline = Some(deadline.map_or(due, |earlier: Instant| earlier.min(due)));
                }
                Some(Command::Flush(reply)) => return (batch, Cut::Flush(reply)),
                Some(Command::Close(reply)) => return (batch, Cut::Close(Some(reply))),
                None => return (batch, Cut::Close(None)),
            }
        }
        (batch, Cut::Full)
    }

    async fn write(&mut self, batch: Batch) {
        let started = Instant::now();
        let encoded = tokio::task::spawn_blocking(move || {
            let (content, waiters) = batch.finish();
            let samples: usize = content.rows.iter().map(|row| row.len()).sum();
            (SegmentBody::encode(&content), samples, waiters)
        })
        .await;
        let Ok((body, samples, waiters)) = encoded else {
            // Encoding panicked, or the runtime shuts down. Waiters learn it, for their ends of the tickets are gone.
            tracing::error!(
                shard = self.appender.shard,
                "a WAL segment could not be encoded; its samples were not acknowledged"
            );
            return;
        };
        let body = match body {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(shard = self.appender.shard, %error, "a WAL segment could not be encoded; its samples were not acknowledged");
                let message = error.to_string();
                self.settle(waiters, |_| Err(Error::Invalid(message.clone())));
                return;
            }
        };
        let encoded_bytes = body.encoded_bytes();
        let sequence = self.appender.append(body).await;
        let metrics = &self.appender.metrics;
        metrics.flushed(sequence, samples, encoded_bytes, started.elapsed());
        self.settle(waiters, |_| Ok(sequence));
    }

    fn settle(&self, waiters: Vec<Waiter>, result: impl Fn(&Waiter) -> Result<u64>) {
        for waiter in waiters {
            self.appender.metrics.unbuffered(waiter.bytes);
            let result = result(&waiter);
            drop(waiter.permit);
            // Whoever asked may be gone by now.
            let _ = waiter.reply.send(result);
        }
    }
}

#[cfg(test)]
mod tests;
