//! Where samples are forwarded to (`remote_write`).

mod clouds;
mod render;

use std::path::Path;
use std::time::Duration;

use url::Url;

pub use self::clouds::{AzureAdConfig, CloudAuth, GoogleIamConfig, SigV4Config};
pub(super) use self::render::remote_write as render;
use super::decode::{Fields, boolean, duration, error_at, integer, map, string};
use super::error::ConfigError;
use super::http::HttpClientConfig;
use super::relabel::rules_or;
use super::yaml::Node;
use crate::names::NameValidation;
use crate::relabel::RelabelRule;

/// The message of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMessage {
    /// Version 1: `prometheus.WriteRequest`.
    V1,
    /// Version 2: `io.prometheus.write.v2.Request`.
    V2,
}

impl WriteMessage {
    /// The name in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

/// How much is sent at once, and how often it is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Samples that may wait in memory for each shard. Here they wait in the WAL, so it is only shown.
    pub capacity: u64,
    /// The most requests at a time.
    pub max_shards: usize,
    /// The fewest requests among which what is sent is divided.
    pub min_shards: usize,
    /// The most samples of a request.
    pub max_samples_per_send: usize,
    /// How long samples may wait for others. Here a segment is sent when it is written, so it is only shown.
    pub batch_send_deadline: Duration,
    /// The pause before the first repetition of a request.
    pub min_backoff: Duration,
    /// The longest such pause; each is twice the one before.
    pub max_backoff: Duration,
    /// Whether a request that was refused for its rate is repeated.
    pub retry_on_rate_limit: bool,
    /// Samples older than this are not sent; zero for no limit.
    pub sample_age_limit: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            max_shards: 50,
            min_shards: 1,
            max_samples_per_send: 2_000,
            batch_send_deadline: Duration::from_secs(5),
            min_backoff: Duration::from_millis(30),
            max_backoff: Duration::from_secs(5),
            retry_on_rate_limit: false,
            sample_age_limit: Duration::ZERO,
        }
    }
}

/// Whether and how often metadata is sent. Version 2 sends it with each series instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataConfig {
    /// Whether it is sent.
    pub send: bool,
    /// How often.
    pub send_interval: Duration,
    /// The most entries of a request.
    pub max_samples_per_send: usize,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self {
            send: true,
            send_interval: Duration::from_secs(60),
            max_samples_per_send: 2_000,
        }
    }
}

/// One receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteWriteConfig {
    /// Where requests go.
    pub url: Url,
    /// How long one may take.
    pub remote_timeout: Duration,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
    /// What becomes of the labels of what is sent.
    pub write_relabel_configs: Vec<RelabelRule>,
    /// The name in metrics and logs; empty where none was given.
    pub name: String,
    /// Whether exemplars are sent.
    pub send_exemplars: bool,
    /// Whether native histograms are sent.
    pub send_native_histograms: bool,
    /// The message.
    pub message: WriteMessage,
    /// Authentication, TLS, proxies.
    pub http: HttpClientConfig,
    /// What the receiver asks for if it belongs to one of three clouds.
    pub cloud_auth: Option<CloudAuth>,
    /// Sizes and pauses.
    pub queue: QueueConfig,
    /// Metadata.
    pub metadata: MetadataConfig,
}

/// What Prometheus has and Varve has not.
const UNSUPPORTED: [&str; 1] = ["failed_request_logging"];

/// Headers that a request has in any case.
const RESERVED: [&str; 16] = [
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

impl RemoteWriteConfig {
    /// Reads one receiver. File names are relative to `directory`.
    pub(super) fn decode(
        node: &Node,
        validation: NameValidation,
        directory: &Path,
    ) -> Result<Self, ConfigError> {
        if node.is_null() {
            return error_at(node, "empty or null remote write config section");
        }
        let mut fields = Fields::of(node, "config.RemoteWriteConfig")?;
        let Some(url_node) = fields.take_text("url") else {
            return error_at(node, "url for remote_write is empty");
        };
        let mut clouds = CloudAuth::take_all(&mut fields)?;
        let parsed = parse_url(url_node)?;
        let mut config = Self {
            url: parsed,
            remote_timeout: fields
                .read("remote_timeout", duration)?
                .unwrap_or(Duration::from_secs(30)),
            headers: fields.read("headers", headers)?.unwrap_or_default(),
            write_relabel_configs: fields
                .read("write_relabel_configs", |node| {
                    let empty = "empty or null relabeling rule in remote write config";
                    rules_or(node, empty, validation)
                })?
                .unwrap_or_default(),
            name: fields.read("name", string)?.unwrap_or_default(),
            send_exemplars: fields.read("send_exemplars", boolean)?.unwrap_or(false),
            send_native_histograms: fields
                .read("send_native_histograms", boolean)?
                .unwrap_or(false),
            message: fields
                .read("protobuf_message", message)?
                .unwrap_or(WriteMessage::V1),
            http: HttpClientConfig {
                // Unless it is asked for.
                enable_http2: fields
                    .read_even_null("enable_http2", boolean)?
                    .unwrap_or(false),
                round_robin_dns: fields.read("round_robin_dns", boolean)?.unwrap_or(false),
                ..HttpClientConfig::take(&mut fields, node, directory)?
            },
            cloud_auth: None,
            queue: fields
                .read("queue_config", QueueConfig::decode)?
                .unwrap_or_default(),
            metadata: fields
                .read("metadata_config", MetadataConfig::decode)?
                .unwrap_or_default(),
        };
        fields.finish(&UNSUPPORTED)?;
        check_scheme(url_node, &config.url)?;
        let http = [
            config.http.basic_auth.as_ref().map(|_| "basic_auth"),
            config.http.authorization.as_ref().map(|_| "authorization"),
            config.http.oauth2.as_ref().map(|_| "oauth2"),
        ];
        let names = http.into_iter().flatten();
        let names: Vec<_> = names.chain(clouds.iter().map(CloudAuth::name)).collect();
        if names.len() > 1 {
            let names = names.join(" ");
            return error_at(
                node,
                format!(
                    "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. Currently configured: [{names}]"
                ),
            );
        }
        config.cloud_auth = clouds.pop();
        Ok(config)
    }

    /// What it is called: its name, or its URL without what may be secret.
    pub fn label(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        super::render::shown_url(&self.url)
    }
}

fn parse_url(node: &Node) -> Result<Url, ConfigError> {
    let text = string(node)?;
    Url::parse(&text).or_else(|error| error_at(node, format!("parse {text:?}: {error}")))
}

/// Prometheus finds out when it sends.
fn check_scheme(node: &Node, url: &Url) -> Result<(), ConfigError> {
    match url.scheme() {
        "http" | "https" => Ok(()),
        other => error_at(node, format!("unsupported protocol scheme {other:?}")),
    }
}

fn message(node: &Node) -> Result<WriteMessage, ConfigError> {
    let name = string(node)?;
    let known = [WriteMessage::V1, WriteMessage::V2];
    known
        .into_iter()
        .find(|message| message.as_str() == name)
        .map_or_else(
            || {
                error_at(
                    node,
                    format!(
                        "invalid protobuf_message value: unknown type for remote write protobuf message {name}, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request"
                    ),
                )
            },
            Ok,
        )
}

/// Whether a header belongs to the protocol, so that no configuration may set it.
pub(super) fn is_reserved_header(name: &str) -> bool {
    RESERVED.contains(&name.to_ascii_lowercase().as_str())
}

/// Headers to send along.
pub(super) fn headers(node: &Node) -> Result<Vec<(String, String)>, ConfigError> {
    let by_name = map(node, |key, value| {
        let lower = key.name.to_ascii_lowercase();
        if lower == "authorization" {
            return Err(ConfigError::new(
                Some(key.at),
                "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter",
            ));
        }
        if is_reserved_header(&lower) {
            return Err(ConfigError::new(
                Some(key.at),
                format!("{} is a reserved header. It must not be changed", key.name),
            ));
        }
        string(value)
    })?;
    Ok(by_name.into_iter().collect())
}

/// A number that must be positive.
fn positive(
    fields: &mut Fields<'_>,
    name: &str,
    default: usize,
    what: &str,
) -> Result<usize, ConfigError> {
    let read = fields.read(name, |node| match usize::try_from(integer(node)?) {
        Ok(number) if number > 0 => Ok(number),
        _ => error_at(node, format!("{what} {name} must be positive")),
    })?;
    Ok(read.unwrap_or(default))
}

impl QueueConfig {
    fn decode(node: &Node) -> Result<Self, ConfigError> {
        let what = "remote write queue";
        let default = Self::default();
        let mut fields = Fields::of(node, "config.QueueConfig")?;
        let capacity = positive(&mut fields, "capacity", 10_000, what)?;
        let queue = Self {
            capacity: u64::try_from(capacity).unwrap_or(u64::MAX),
            max_shards: positive(&mut fields, "max_shards", default.max_shards, what)?,
            min_shards: positive(&mut fields, "min_shards", default.min_shards, what)?,
            max_samples_per_send: positive(
                &mut fields,
                "max_samples_per_send",
                default.max_samples_per_send,
                what,
            )?,
            batch_send_deadline: fields
                .read("batch_send_deadline", duration)?
                .unwrap_or(default.batch_send_deadline),
            min_backoff: fields
                .read("min_backoff", duration)?
                .unwrap_or(default.min_backoff),
            max_backoff: fields
                .read("max_backoff", duration)?
                .unwrap_or(default.max_backoff),
            retry_on_rate_limit: fields.read("retry_on_http_429", boolean)?.unwrap_or(false),
            sample_age_limit: fields
                .read("sample_age_limit", duration)?
                .unwrap_or(default.sample_age_limit),
        };
        fields.finish(&[])?;
        if queue.min_shards > queue.max_shards {
            return error_at(
                node,
                "remote write queue min_shards must not be greater than max_shards",
            );
        }
        if queue.max_backoff < queue.min_backoff {
            return error_at(
                node,
                "remote write queue max_backoff must not be less than min_backoff",
            );
        }
        Ok(queue)
    }
}

impl MetadataConfig {
    fn decode(node: &Node) -> Result<Self, ConfigError> {
        let default = Self::default();
        let mut fields = Fields::of(node, "config.MetadataConfig")?;
        let metadata = Self {
            send: fields.read("send", boolean)?.unwrap_or(default.send),
            send_interval: fields
                .read("send_interval", duration)?
                .unwrap_or(default.send_interval),
            max_samples_per_send: positive(
                &mut fields,
                "max_samples_per_send",
                default.max_samples_per_send,
                "remote write metadata",
            )?,
        };
        fields.finish(&[])?;
        Ok(metadata)
    }
}
