//! Requests to targets.

use std::error::Error as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap,
    HeaderName, HeaderValue, USER_AGENT,
};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, StatusCode, Url};

use super::metrics::{ScrapeMetrics, add};
use super::target::Target;
use crate::config::{
    Config, CustomHeader, ScrapeConfig, ScrapeProtocol, Source, TlsConfig, TlsVersion,
};
use crate::error::{Error, Result};
use crate::exposition::Format;

/// Bytes of a response after decompression that no target may exceed, whatever its configuration says: an append of more
/// would not fit into a WAL segment.
const BODY_BYTES_MAX: u64 = 128 << 20;

const AGENT: &str = concat!("Varve/", env!("CARGO_PKG_VERSION"));

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
    client: Client,
    config: Arc<ScrapeConfig>,
    url: String,
    /// Where the request goes if `server_name` stands in the URL instead of the host.
    request_url: String,
    headers: HeaderMap,
    timeout: Duration,
    body_bytes_max: u64,
    metrics: Arc<ScrapeMetrics>,
}

/// Checks what only making the jobs' HTTP clients shows: certificates that cannot be read, for one.
pub fn check_clients(config: &Config) -> Result<()> {
    config
        .scrape_configs
        .iter()
        .try_for_each(|job| job_client(job).map(drop))
}

/// The HTTP client of a job, shared by its targets.
pub(super) fn job_client(config: &ScrapeConfig) -> Result<Client> {
    builder(config)?
        .build()
        .map_err(|error| client_error(config, chain(&error)))
}

fn client_error(config: &ScrapeConfig, reason: String) -> Error {
    Error::Client {
        job: config.job_name.clone(),
        reason,
    }
}

fn builder(config: &ScrapeConfig) -> Result<reqwest::ClientBuilder> {
    let http = &config.http;
    let mut builder = Client::builder()
        .no_proxy()
        .no_gzip()
        .use_rustls_tls()
        .redirect(match http.follow_redirects {
            true => Policy::limited(10),
            false => Policy::none(),
        })
        // Names as they are usually written, for servers that do not know better.
        .http1_title_case_headers()
        .pool_idle_timeout(Duration::from_secs(5 * 60));
    if !http.enable_http2 {
        builder = builder.http1_only();
    }
    tls(builder, &http.tls).map_err(|reason| client_error(config, reason))
}

fn tls(
    mut builder: reqwest::ClientBuilder,
    tls: &TlsConfig,
) -> std::result::Result<reqwest::ClientBuilder, String> {
    if let Some(source) = &tls.ca {
        let pem = read_now(source, |text| text)?;
        let certificates = Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|error| format!("cannot read the CA certificates: {}", chain(&error)))?;
        if certificates.is_empty() {
            return Err("there is no CA certificate in ca or ca_file".to_owned());
        }
        builder = builder.tls_built_in_root_certs(false);
        for certificate in certificates {
            builder = builder.add_root_certificate(certificate);
        }
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        let mut pem = read_now(cert, |text| text)?;
        pem.push('\n');
        pem.push_str(&read_now(key, |secret| secret.reveal())?);
        let identity = Identity::from_pem(pem.as_bytes())
            .map_err(|error| format!("cannot read the client certificate: {}", chain(&error)))?;
        builder = builder.identity(identity);
    }
    if tls.insecure_skip_verify {
        builder = builder.danger_accept_invalid_certs(true);
    }
    // Nothing older than 1.2 is spoken, so only the newer bounds mean something.
    if let (Some(oldest), Some(newest)) = (tls.min_version, tls.max_version)
        && oldest > newest
    {
        return Err(
            "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified"
                .to_owned(),
        );
    }
    match tls.min_version {
        Some(TlsVersion::Tls13) => {
            builder = builder.min_tls_version(reqwest::tls::Version::TLS_1_3)
        }
        _ => builder = builder.min_tls_version(reqwest::tls::Version::TLS_1_2),
    }
    match tls.max_version {
        Some(TlsVersion::Tls10 | TlsVersion::Tls11) => {
            return Err("not supported yet: max_version older than TLS12".to_owned());
        }
        Some(TlsVersion::Tls12) => {
            builder = builder.max_tls_version(reqwest::tls::Version::TLS_1_2)
        }
        Some(TlsVersion::Tls13) | None => {}
    }
    Ok(builder)
}

/// Reads a value when a client is made, which is not on the path of a scrape.
fn read_now<T>(
    source: &Source<T>,
    inline: impl Fn(&T) -> &str,
) -> std::result::Result<String, String> {
    match source {
        Source::Inline(value) => Ok(inline(value).to_owned()),
        Source::File(path) => std::fs::read_to_string(path)
            .map_err(|e| format!("cannot read {}: {e}", path.display())),
    }
}

/// Resolves every name to the addresses of one host: for requests whose URL has the TLS server name in it.
#[derive(Debug)]
struct Instead(String);

impl Resolve for Instead {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl TargetClient {
    /// The client of one target. `client` is the job's.
    pub(super) fn new(
        client: &Client,
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
        for (name, value) in [
            (ACCEPT, accept.as_str()),
            (ACCEPT_ENCODING, encoding),
            (USER_AGENT, AGENT),
        ] {
            headers.insert(name, header(value)?);
        }
        headers.insert("x-prometheus-scrape-timeout-seconds", header(&timeout)?);
        let mut this = Self {
            client: client.clone(),
            config: Arc::clone(config),
            url: target.url.clone(),
            request_url: target.url.clone(),
            headers,
            timeout: target.timeout,
            body_bytes_max: match config.limits.body_size.0 {
                0 => BODY_BYTES_MAX,
                limit => limit.min(BODY_BYTES_MAX),
            },
            metrics: Arc::clone(metrics),
        };
        if !config.http.tls.server_name.is_empty() && target.url.starts_with("https:") {
            this.use_server_name()?;
        }
        Ok(this)
    }

    /// The HTTP library checks certificates against the URL's host. So the URL gets the server name, names resolve to
    /// the real host, and the header `Host` stays what it was.
    fn use_server_name(&mut self) -> Result<()> {
        let wrong = |reason: String| client_error(&self.config, reason);
        let mut url = Url::parse(&self.url).map_err(|e| wrong(format!("{}: {e}", self.url)))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let host_header = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let server_name = &self.config.http.tls.server_name;
        url.set_host(Some(server_name))
            .map_err(|e| wrong(format!("server_name {server_name:?}: {e}")))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let client = builder(&self.config)?
            .http1_only()
            .dns_resolver(Arc::new(Instead(host)))
            .build()
            .map_err(|error| wrong(chain(&error)))?;
        self.client = client;
        self.request_url = url.into();
        self.headers.insert(HOST, header(&host_header)?);
        Ok(())
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
        let mut headers = self.headers.clone();
        if let Some(value) = self.authorization().await? {
            headers.insert(AUTHORIZATION, value);
        }
        for header in &self.config.http.headers {
            add_header(&mut headers, header).await?;
        }
        let request = self.client.get(&self.request_url).headers(headers);
        let again = request.try_clone();
        let mut response = match (request.send().await, again) {
            // The server closed a connection that had been idle, just as the request went out.
            (Err(error), Some(again)) if is_closed_early(&error) => again.send().await,
            (response, _) => response,
        }
        .map_err(|error| self.request_error(chain(&error)))?;
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

    /// The `Authorization` header. Files are read at every scrape, so that rotated secrets take effect.
    async fn authorization(&self) -> Result<Option<HeaderValue>> {
        let value = if let Some(basic) = &self.config.http.basic_auth {
            let username = read(basic.username.as_ref(), String::as_str).await?;
            let password = read(basic.password.as_ref(), |secret| secret.reveal()).await?;
            let pair =
                base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
            format!("Basic {pair}")
        } else if let Some(authorization) = &self.config.http.authorization {
            let credentials =
                read(authorization.credentials.as_ref(), |secret| secret.reveal()).await?;
            format!("{} {credentials}", authorization.kind)
        } else {
            return Ok(None);
        };
        let mut value = header(&value)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn header(value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value).map_err(|_| {
        Error::Body("a header value has characters that HTTP does not allow".to_owned())
    })
}

/// Adds the values of a header from the configuration.
async fn add_header(headers: &mut HeaderMap, custom: &CustomHeader) -> Result<()> {
    let name = HeaderName::from_bytes(custom.name.as_bytes())
        .map_err(|_| Error::Body(format!("{:?} is not a valid header name", custom.name)))?;
    let mut add = |value: &str| -> Result<()> {
        let mut value = header(value)?;
        value.set_sensitive(true);
        headers.append(&name, value);
        Ok(())
    };
    custom.values.iter().try_for_each(|value| add(value))?;
    let mut secrets = custom.secrets.iter();
    secrets.try_for_each(|secret| add(secret.reveal()))?;
    for file in &custom.files {
        add(&read_secret(file).await?)?;
    }
    Ok(())
}

/// Whether a connection ended before any answer came. A scrape changes nothing, so it may be sent once more.
fn is_closed_early(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<hyper::Error>()
            && cause.is_incomplete_message()
        {
            return true;
        }
        if let Some(cause) = cause.downcast_ref::<std::io::Error>() {
            return matches!(
                cause.kind(),
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
            );
        }
        source = cause.source();
    }
    false
}

async fn read<T>(source: Option<&Source<T>>, inline: impl Fn(&T) -> &str) -> Result<String> {
    match source {
        None => Ok(String::new()),
        Some(Source::Inline(value)) => Ok(inline(value).to_owned()),
        Some(Source::File(path)) => read_secret(path).await,
    }
}

async fn read_secret(path: &Path) -> Result<String> {
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|source| Error::ReadFile {
        path: path.display().to_string(),
        source,
    })?;
    Ok(text.trim().to_owned())
}

/// An error with all its causes; the HTTP library's own text alone says little.
fn chain(error: &reqwest::Error) -> String {
    let mut source = error.source();
    let mut text = None;
    while let Some(cause) = source {
        text = Some(cause.to_string());
        source = cause.source();
    }
    text.unwrap_or_else(|| error.to_string())
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
