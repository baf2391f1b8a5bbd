//! Requests to targets.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT,
};

use super::append::StartTimestamps;
use super::metrics::{ScrapeMetrics, add};
use super::target::Target;
use crate::config::{Config, ScrapeConfig, ScrapeProtocol};
use crate::discovery::Failures;
use crate::error::{Error, Result};
use crate::exposition::Format;
use crate::http_client::{AGENT, Body, HttpClient, chain, header};

/// Bytes of a response after decompression that no target may exceed, whatever its configuration says: an append of more
/// would not fit into a WAL segment.
const BODY_BYTES_MAX: u64 = 128 << 20;

/// A target's answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    /// The format, or why there is none.
    pub(super) format: std::result::Result<Format, String>,
}

/// Makes the requests to one target.
#[derive(Debug)]
pub(super) struct TargetClient {
    client: HttpClient,
    config: Arc<ScrapeConfig>,
    url: String,
    headers: HeaderMap,
    timeout: Duration,
    body_bytes_max: u64,
    metrics: Arc<ScrapeMetrics>,
}

/// Checks what only making the clients of jobs and of their discoveries shows: certificates that cannot be read, for one.
pub fn check_clients(config: &Config) -> Result<()> {
    for job in &config.scrape_configs {
        job_client(job)?;
        for discovery in &job.discoveries {
            let made = discovery.discovery(Failures::default());
            made.map_err(|e| e.of_job(discovery.kind(), &job.job_name))?;
        }
    }
    Ok(())
}

/// The HTTP client of a job, shared by its targets.
pub(super) fn job_client(config: &ScrapeConfig) -> Result<HttpClient> {
    HttpClient::new(&config.http).map_err(|reason| client_error(config, reason))
}

fn client_error(config: &ScrapeConfig, reason: String) -> Error {
    Error::Client {
        owner: format!("job {:?}", config.job_name),
        reason,
    }
}

impl TargetClient {
    /// The client of one target. `client` is the job's. Where start timestamps are `wanted`, the format that has most of them is asked for
    /// first, as in Prometheus, unless the configuration says otherwise.
    pub(super) fn new(
        client: &HttpClient,
        config: &Arc<ScrapeConfig>,
        target: &Target,
        metrics: &Arc<ScrapeMetrics>,
        starts: StartTimestamps,
    ) -> Result<Self> {
        let protobuf_first = ScrapeProtocol::defaults(true);
        let protocols = match starts.wanted() && config.scrape_protocols == ScrapeProtocol::DEFAULT
        {
            true => &protobuf_first,
            false => &config.scrape_protocols,
        };
        let accept = ScrapeProtocol::accept_header(protocols, config.escaping.as_str());
        let timeout = target.timeout.as_secs_f64().to_string();
        let encoding = if config.enable_compression {
            "gzip"
        } else {
            "identity"
        };
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (ACCEPT, accept.as_str()),
            (ACCEPT_ENCODING, encoding),
            (USER_AGENT, AGENT),
        ] {
            headers.insert(name, header(value)?);
        }
        headers.insert("x-prometheus-scrape-timeout-seconds", header(&timeout)?);
        Ok(Self {
            client: client.clone(),
            config: Arc::clone(config),
            url: target.url.clone(),
            headers,
            timeout: target.timeout,
            body_bytes_max: match config.limits.body_size.0 {
                0 => BODY_BYTES_MAX,
                limit => limit.min(BODY_BYTES_MAX),
            },
            metrics: Arc::clone(metrics),
        })
    }

    /// Fetches the target within its timeout. `Err` says why not, in words for `lastError`.
    pub(super) async fn fetch(&self) -> Result<Answer> {
        match tokio::time::timeout(self.timeout, self.fetch_unlimited()).await {
            Ok(answer) => answer,
            Err(_) => Err(self.request_error("context deadline exceeded".to_owned())),
        }
    }

    fn request_error(&self, reason: String) -> Error {
        Error::Request {
            url: self.url.clone(),
            reason,
        }
    }

    async fn fetch_unlimited(&self) -> Result<Answer> {
        let mut response = self.client.get(&self.url, self.headers.clone()).await?;
        if response.status() != StatusCode::OK {
            return Err(Error::Status(response.status().to_string()));
        }
        let text = |name| {
            let value: Option<&HeaderValue> = response.headers().get(name);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()))
        };
        let fallback =
            self.config
                .fallback_scrape_protocol
                .map(|protocol| match protocol.media_type() {
                    "text/plain" => Format::Text,
                    "application/vnd.google.protobuf" => Format::Protobuf,
                    _ => Format::OpenMetrics,
                });
        let format = Format::of(text(CONTENT_TYPE).as_deref(), fallback);
        let gzip = text(CONTENT_ENCODING).as_deref() == Some("gzip");
        let mut body = Body::new(gzip, self.body_bytes_max);
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.request_error(chain(&error)))?
        {
            self.checked(body.push(&chunk))?;
        }
        let body = self.checked(body.finish())?;
        add(&self.metrics.body_bytes, body.len() as u64);
        Ok(Answer { body, format })
    }

    fn checked<T>(&self, result: Result<T>) -> Result<T> {
        if matches!(&result, Err(Error::Limit(_))) {
            add(&self.metrics.body_size_limit_exceeded, 1);
        }
        result
    }
}
