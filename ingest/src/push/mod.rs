//! What others push: remote write, and what is translated into the same thing.
//!
//! Vocabulary: a *request* is what one HTTP request carries; it becomes one [`Append`], all or nothing; *rejected* is a sample or series of it
//! that is invalid, while the rest is stored.
//!
//! Flow: [`PushReceiver`] takes a request ([`remote_write`], …), a [`RequestBuilder`] checks and collects its series, and
//! [`PushReceiver::store`] returns when they are durable. Only then is the request answered with success, so a client that repeats what was not
//! answered loses nothing; and what it repeats in vain is the same samples again, of which one stands. [`routes`] is the HTTP side.
//!
//! Differences from Prometheus's receivers: samples may be of any age and come in any order, for there is no head that they would have to fit.
//! Of two samples with one time the value rule keeps one, where Prometheus keeps the first and refuses the second.

mod body;
mod builder;
pub mod gateway;
mod generations;
pub mod influx;
mod metrics;
pub mod otlp;
pub mod remote_write;
pub mod routes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use varve_storage::histogram::FloatHistogram;
use varve_storage::wal::Append;
use varve_storage::{MetricMetadata, SeriesId, SeriesRef};

pub use self::builder::{Rejected, RequestBuilder};
use self::generations::Generations;
pub use self::metrics::PushMetrics;
pub use self::otlp::OtlpDelta;
use crate::config::OtlpConfig;
use crate::sink::DurableSink;

/// Memory for what is known of pushed series: their labels as they are sent, and the last histogram of each.
const KNOWN_BYTES_MAX: usize = 64 << 20;

/// Memory for what deltas added up to.
const TOTALS_BYTES_MAX: usize = 64 << 20;

/// Settings of a [`PushReceiver`].
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// How long a request may wait for others before its segment is written.
    pub flush_wait: Duration,
    /// How long a request may take to become durable; after that the client is told to try again.
    pub timeout: Duration,
    /// Bytes of a body, after decompression as before.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// Whether remote write is taken.
    pub remote_write: bool,
    /// Whether metrics of OpenTelemetry are taken.
    pub otlp: bool,
    /// What becomes of those with delta temporality.
    pub otlp_delta: OtlpDelta,
    /// Whether the line protocol of InfluxDB is taken.
    pub influx: bool,
    /// How far back a query looks for a sample (`--query.lookback-delta`): `target_info` is written twice in that time.
    pub lookback: Duration,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            flush_wait: Duration::from_millis(500),
            timeout: Duration::from_secs(25),
            body_bytes_max: 32 << 20,
            body_timeout: Duration::from_secs(60),
            remote_write: true,
            otlp: true,
            otlp_delta: OtlpDelta::default(),
            influx: true,
            lookback: Duration::from_secs(300),
        }
    }
}

/// Why a request was not stored; nothing of it is acknowledged, and it may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer in time.
    #[error("the samples are not durable after {0:?}; send them again")]
    Timeout(Duration),
    /// The WAL refused or was closed.
    #[error(transparent)]
    Wal(#[from] varve_storage::Error),
}

impl StoreError {
    /// Whether the same request can never succeed.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::Wal(varve_storage::Error::Limit(_) | varve_storage::Error::Invalid(_))
        )
    }
}

/// Takes what is pushed, and stores it.
pub struct PushReceiver {
    sink: Arc<dyn DurableSink>,
    options: PushOptions,
    known: Mutex<Known>,
    totals: Mutex<otlp::Totals>,
    otlp_config: RwLock<Arc<OtlpConfig>>,
    metrics: PushMetrics,
}

impl std::fmt::Debug for PushReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushReceiver")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// What is remembered from one request to the next.
#[derive(Debug)]
struct Known {
    /// Series by their labels as they were sent.
    series: Generations<Box<[u8]>, SeriesRef>,
    /// The time (ms) and value of the newest histogram of a series, from which the hint of the next follows.
    histograms: Generations<SeriesId, (i64, Arc<FloatHistogram>)>,
    /// Metadata that is stored already, by family.
    metadata: Generations<String, MetricMetadata>,
}

impl PushReceiver {
    /// A receiver that stores in `sink`.
    pub fn new(sink: Arc<dyn DurableSink>, options: PushOptions) -> Self {
        Self {
            sink,
            options,
            known: Mutex::new(Known {
                series: Generations::new(KNOWN_BYTES_MAX / 2),
                histograms: Generations::new(KNOWN_BYTES_MAX * 3 / 8),
                metadata: Generations::new(KNOWN_BYTES_MAX / 8),
            }),
            totals: Mutex::new(otlp::Totals::new(TOTALS_BYTES_MAX)),
            otlp_config: RwLock::default(),
            metrics: PushMetrics::default(),
        }
    }

    /// Its settings.
    pub fn options(&self) -> &PushOptions {
        &self.options
    }

    /// Counters about what was pushed.
    pub fn metrics(&self) -> &PushMetrics {
        &self.metrics
    }

    /// From now on metrics of OpenTelemetry are translated by this section of the configuration.
    pub fn set_otlp_config(&self, config: OtlpConfig) {
        let mut current = self
            .otlp_config
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(config);
    }

    fn otlp_config(&self) -> Arc<OtlpConfig> {
        let current = self.otlp_config.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins to collect the series of a request that came at `now_ms`.
    pub fn request(&self, now_ms: i64) -> RequestBuilder<'_> {
        RequestBuilder::new(self, now_ms)
    }

    /// Stores what a request holds; durable on return.
    pub async fn store(&self, append: Append) -> Result<(), StoreError> {
        if append.is_empty() {
            return Ok(());
        }
        let metadata = append.metadata.clone();
        let histograms = builder::histogram_series(&append);
        let appending = self.sink.append_durable(append, self.options.flush_wait);
        let result = match tokio::time::timeout(self.options.timeout, appending).await {
            Ok(result) => result.map_err(StoreError::from),
            Err(_) => Err(StoreError::Timeout(self.options.timeout)),
        };
        if let Err(error) = result {
            self.forget_histograms(&histograms);
            return Err(error);
        }
        let mut known = self.known();
        for entry in metadata {
            let bytes = 200 + 2 * entry.family.len() + entry.help.len() + entry.unit.len();
            known.metadata.insert(entry.family.clone(), entry, bytes);
        }
        Ok(())
    }

    /// The next histograms of these series follow none: what came before may not be stored.
    fn forget_histograms(&self, series: &[SeriesId]) {
        let mut known = self.known();
        for series in series {
            known.histograms.remove(series);
        }
    }

    fn totals(&self) -> MutexGuard<'_, otlp::Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;
