//! Requests to targets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use reqwest::{Method, StatusCode, Url};

use super::metrics::{ScrapeMetrics, add};
use super::target::Target;
use crate::config::{Config, ScrapeConfig, ScrapeProtocol};
use crate::error::{Error, Result};
use crate::exposition::Format;
use crate::http_client::{HttpClient, chain};

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
    client: Arc<HttpClient>,
    config: Arc<ScrapeConfig>,
    url: String,
    headers: HeaderMap,
    timeout: Duration,
    body_bytes_max: u64,
    metrics: Arc<ScrapeMetrics>,
}

/// The HTTP client of a job, shared by its targets.
pub(super) fn job_client(config: &ScrapeConfig) -> Result<Arc<HttpClient>> {
    HttpClient::new(&format!("job {:?}", config.job_name), &config.http)
}

/// Checks what only making the jobs' HTTP clients shows: certificates that cannot be read, for one.
pub fn check_clients(config: &Config) -> Result<()> {
    config
        .scrape_configs
        .iter()
        .try_for_each(|job| job_client(job).map(drop))
}

impl TargetClient {
    /// The client of one target. `client` is the job's.
    pub(super) fn new(
        client: &Arc<HttpClient>,
        config: &Arc<ScrapeConfig>,
        target: &Target,
        metrics: &Arc<ScrapeMetrics>,
    ) -> Result<Self> {
        let accept =
            ScrapeProtocol::accept_header(&config.scrape_protocols, config.escaping.as_str());
        let timeout = target.timeout.as_secs_f64().to_string();
        let encoding = if config.enable_compression {
            "gzip"
        } else {
            "identity"
        };
        let mut headers = HeaderMap::new();
        for (name, value) in [(ACCEPT, accept.as_str()), (ACCEPT_ENCODING, encoding)] {
            headers.insert(name, header(value)?);
        }
        headers.insert("x-prometheus-scrape-timeout-seconds", header(&timeout)?);
        Ok(Self {
            client: Arc::clone(client),
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
        let url = Url::parse(&self.url).map_err(|e| self.request_error(e.to_string()))?;
        let headers = self.headers.clone();
        let request = self.client.request(Method::GET, &url, headers).await?;
        let sent = self.client.send(request).await;
        let mut response = sent.map_err(|error| self.request_error(chain(&error)))?;
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

fn header(value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value).map_err(|_| {
        Error::Body("a header value has characters that HTTP does not allow".to_owned())
    })
}

/// A body in the making: decompressed chunk by chunk, never beyond its limit.
enum Body {
    Plain(Limited),
    Gzip(Box<MultiGzDecoder<Limited>>),
}

/// A buffer that refuses to grow beyond a limit.
struct Limited {
    bytes: Vec<u8>,
    bytes_max: u64,
}

impl std::io::Write for Limited {
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<usize> {
        if (self.bytes.len() + chunk.len()) as u64 >= self.bytes_max {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Body {
    fn new(gzip: bool, bytes_max: u64) -> Self {
        let limited = Limited {
            bytes: Vec::new(),
            bytes_max,
        };
        if gzip {
            Self::Gzip(Box::new(MultiGzDecoder::new(limited)))
        } else {
            Self::Plain(limited)
        }
    }

    fn push(&mut self, chunk: &Bytes) -> Result<()> {
        use std::io::Write as _;
        match self {
            Self::Plain(limited) => limited.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
        }
        .map_err(body_error)
    }

    fn finish(self) -> Result<Vec<u8>> {
        match self {
            Self::Plain(limited) => Ok(limited.bytes),
            Self::Gzip(decoder) => decoder.finish().map(|l| l.bytes).map_err(body_error),
        }
    }
}

fn body_error(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::FileTooLarge => Error::Limit("body size limit exceeded".to_owned()),
        _ => Error::Body(format!("cannot decompress the response: {error}")),
    }
}
