//! The flags of `varve serve`, by Prometheus's names wherever one fits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args};
use varve_compactor::CompactorOptions;
use varve_ingest::push::PushOptions;
use varve_ingest::push::gateway::GatewayOptions;
use varve_ingest::push::otlp::OtlpDelta;
use varve_ingest::{ScrapeOptions, StartTimestamps};
use varve_query::api::{ApiOptions, CorsOrigin, RemoteReadOptions};
use varve_storage::StorageUrl;
use varve_storage::wal::{WalHolds, WalOptions};

use crate::archive::QueryLimits;
use crate::arguments::duration;
use crate::failure::Failure;
use crate::logging::LogArguments;

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Prometheus's configuration file; without one Varve scrapes itself, and a Node Exporter on port 9100
    #[arg(long = "config.file", env = "VARVE_CONFIG_FILE", value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,

    /// Where samples are kept: a folder, file:///path, s3://bucket/prefix or memory://
    #[arg(
        long = "storage.url",
        env = "VARVE_STORAGE_URL",
        value_name = "URL",
        default_value = "./data"
    )]
    pub(crate) storage: StorageUrl,

    /// How long samples may wait for others before they are written [default: 2s; 15s on S3]
    #[arg(
        long = "storage.flush-interval",
        env = "VARVE_STORAGE_FLUSH_INTERVAL",
        value_name = "DURATION",
        value_parser = duration
    )]
    flush_interval: Option<Duration>,

    /// Address to listen on
    #[arg(
        long = "web.listen-address",
        env = "VARVE_WEB_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9090"
    )]
    pub(crate) listen_address: String,

    /// Allow reloading and stopping by HTTP request (/-/reload, /-/quit)
    #[arg(
        long = "web.enable-lifecycle",
        env = "VARVE_WEB_ENABLE_LIFECYCLE",
        value_parser = FalseyValueParser::new()
    )]
    lifecycle: bool,

    /// Regular expression for origins that a browser may call from
    #[arg(
        long = "web.cors.origin",
        env = "VARVE_WEB_CORS_ORIGIN",
        value_name = "REGEX",
        default_value = ".*"
    )]
    cors_origin: String,

    /// Take remote write requests under /api/v1/write
    #[arg(
        long = "web.enable-remote-write-receiver",
        env = "VARVE_WEB_ENABLE_REMOTE_WRITE_RECEIVER",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = ArgAction::Set
    )]
    remote_write_receiver: bool,

    /// Take metrics of OpenTelemetry under /api/v1/otlp/v1/metrics
    #[arg(
        long = "web.enable-otlp-receiver",
        env = "VARVE_WEB_ENABLE_OTLP_RECEIVER",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = ArgAction::Set
    )]
    otlp_receiver: bool,

    /// How long after its last push a group of /metrics/job/… ends by itself
    #[arg(
        long = "push.group-expiry",
        env = "VARVE_PUSH_GROUP_EXPIRY",
        value_name = "DURATION",
        default_value = "7d",
        value_parser = duration
    )]
    push_group_expiry: Duration,

    /// How long what is pushed may wait for others before it is written and acknowledged [default: 500ms; 5s on S3]
    #[arg(
        long = "push.flush-interval",
        env = "VARVE_PUSH_FLUSH_INTERVAL",
        value_name = "DURATION",
        value_parser = duration
    )]
    push_flush_interval: Option<Duration>,

    #[command(flatten)]
    pub(crate) query: QueryLimits,

    #[command(flatten)]
    remote_read: RemoteReadLimits,

    /// Time between two compactions
    #[arg(
        long = "compactor.interval",
        env = "VARVE_COMPACTOR_INTERVAL",
        value_name = "DURATION",
        default_value = "1m",
        value_parser = duration
    )]
    compactor_interval: Duration,

    /// How long replaced objects are kept; longer than the longest query, and the same for all that share a storage
    #[arg(
        long = "compactor.grace",
        env = "VARVE_COMPACTOR_GRACE",
        value_name = "DURATION",
        default_value = "15m",
        value_parser = duration
    )]
    compactor_grace: Duration,

    #[command(flatten)]
    pub(crate) log: LogArguments,
}

impl ServeArguments {
    pub(super) fn wal_options(&self) -> WalOptions {
        let mut options = WalOptions::for_url(&self.storage);
        if let Some(interval) = self.flush_interval {
            options.flush_interval = interval;
        }
        options.grace = self.compactor_grace;
        options
    }

    pub(super) fn scrape_options(&self) -> ScrapeOptions {
        ScrapeOptions {
            start_timestamps: StartTimestamps {
                store: self
                    .query
                    .has_feature(&["st-storage", "use-start-timestamps"]),
                zero_samples: self
                    .query
                    .has_feature(&["created-timestamp-zero-ingestion"]),
            },
            ..ScrapeOptions::default()
        }
    }

    pub(super) fn push_options(&self) -> PushOptions {
        let flush_wait = match (self.push_flush_interval, self.storage.is_remote()) {
            (Some(interval), _) => interval,
            // Each of them is a PUT, which costs money.
            (None, true) => Duration::from_secs(5),
            (None, false) => Duration::from_millis(500),
        };
        PushOptions {
            flush_wait,
            remote_write: self.remote_write_receiver,
            otlp: self.otlp_receiver,
            otlp_delta: match () {
                () if self.query.has_feature(&["otlp-deltatocumulative"]) => {
                    OtlpDelta::ToCumulative
                }
                () if self.query.has_feature(&["otlp-native-delta-ingestion"]) => OtlpDelta::Native,
                () => OtlpDelta::Refused,
            },
            lookback: self.query.lookback(),
            ..PushOptions::default()
        }
    }

    pub(super) fn gateway_options(&self) -> GatewayOptions {
        GatewayOptions {
            expire: Some(self.push_group_expiry).filter(|expiry| !expiry.is_zero()),
            ..GatewayOptions::default()
        }
    }

    pub(super) fn compactor_options(&self, wal_holds: Arc<WalHolds>) -> CompactorOptions {
        let mut options = CompactorOptions {
            interval: self.compactor_interval,
            wal_holds,
            ..CompactorOptions::default()
        };
        options.clean_up.grace = self.compactor_grace;
        options
    }

    pub(super) fn api_options(&self) -> Result<ApiOptions, Failure> {
        let cors_origin = CorsOrigin::new(&self.cors_origin)
            .map_err(|e| Failure::usage(format!("--web.cors.origin: {e}")))?;
        Ok(ApiOptions {
            cors_origin,
            lifecycle: self.lifecycle,
            remote_read: self.remote_read.options(),
            ..self.query.api_options()
        })
    }
}

/// What requests of remote read may use.
#[derive(Clone, Copy, Debug, Args)]
struct RemoteReadLimits {
    /// Maximum number of samples that one query of remote read may return; 0 means no limit. Streamed answers have none
    #[arg(
        long = "storage.remote.read-sample-limit",
        env = "VARVE_STORAGE_REMOTE_READ_SAMPLE_LIMIT",
        value_name = "COUNT",
        default_value_t = 50_000_000
    )]
    samples_max: usize,

    /// Maximum number of remote read requests answered concurrently; 0 means no limit
    #[arg(
        long = "storage.remote.read-concurrent-limit",
        env = "VARVE_STORAGE_REMOTE_READ_CONCURRENT_LIMIT",
        value_name = "COUNT",
        default_value_t = 10
    )]
    concurrency: usize,

    /// Maximum number of bytes in a frame of a streamed answer of remote read
    #[arg(
        long = "storage.remote.read-max-bytes-in-frame",
        env = "VARVE_STORAGE_REMOTE_READ_MAX_BYTES_IN_FRAME",
        value_name = "BYTES",
        default_value_t = 1 << 20
    )]
    frame_bytes: usize,
}

impl RemoteReadLimits {
    fn options(self) -> RemoteReadOptions {
        RemoteReadOptions {
            samples_max: self.samples_max,
            concurrency: self.concurrency,
            frame_bytes: self.frame_bytes,
        }
    }
}
