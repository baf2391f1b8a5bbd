//! HTTP requests as a configuration describes them: authentication, headers, TLS, redirects.
//!
//! Everything that this crate asks of an HTTP server goes through [`HttpClient`], be it a target or a service
//! discovery: whatever [`HttpClientConfig`] learns is done here, once.

mod body;
mod tls;

use std::error::Error as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response, Url};

pub(crate) use self::body::Body;
use crate::config::{CustomHeader, HttpClientConfig, Source};
use crate::error::{Error, Result};

/// How Varve names itself in requests.
pub(crate) const AGENT: &str = concat!("Varve/", env!("CARGO_PKG_VERSION"));

/// How long an unused connection stays open: longer than most intervals.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Makes requests as one section of a configuration says. A clone shares its connections.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: Client,
    config: Arc<HttpClientConfig>,
    /// Set where requests to one host must carry another name.
    instead: Option<Arc<Instead>>,
}

/// The HTTP library checks certificates against the URL's host. So where `server_name` is set the URL gets that name,
/// names resolve to the real host, and the header `Host` stays what it was.
#[derive(Debug)]
struct Instead {
    server_name: String,
    host_header: HeaderValue,
}

impl HttpClient {
    /// A client for any host. An error says what is wrong with the configuration or a file that it names.
    pub(crate) fn new(config: &HttpClientConfig) -> std::result::Result<Self, String> {
        let client = builder(config)?.build().map_err(|e| chain(&e))?;
        Ok(Self {
            client,
            config: Arc::new(config.clone()),
            instead: None,
        })
    }

    /// A client whose requests go to a Unix socket, whatever the host of their URL, without authentication or TLS.
    pub(crate) fn on_unix_socket(path: &Path) -> std::result::Result<Self, String> {
        let config = HttpClientConfig::default();
        let builder = builder(&config)?;
        #[cfg(unix)]
        let builder = builder.unix_socket(path);
        #[cfg(not(unix))]
        return Err(format!("{}: no Unix sockets here", path.display()));
        #[cfg(unix)]
        Ok(Self {
            client: builder.build().map_err(|e| chain(&e))?,
            config: Arc::new(config),
            instead: None,
        })
    }

    /// The client for the host of a URL: a clone, unless TLS has to check another name than that of the URL.
    pub(crate) fn for_host_of(&self, url: &str) -> std::result::Result<Self, String> {
        let server_name = &self.config.tls.server_name;
        if server_name.is_empty() || !url.starts_with("https:") {
            return Ok(self.clone());
        }
        let mut url = Url::parse(url).map_err(|e| format!("{url}: {e}"))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let host_header = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        url.set_host(Some(server_name))
            .map_err(|e| format!("server_name {server_name:?}: {e}"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let client = builder(&self.config)?
            .http1_only()
            .dns_resolver(Arc::new(OnlyHost(host)))
            .build()
            .map_err(|e| chain(&e))?;
        Ok(Self {
            client,
            config: Arc::clone(&self.config),
            instead: Some(Arc::new(Instead {
                server_name: server_name.clone(),
                host_header: header(&host_header).map_err(|e| e.to_string())?,
            })),
        })
    }

    /// Sends a GET request with these headers, those of the configuration added. The answer may have any status. Files
    /// with secrets are read at every request, so that rotated secrets take effect.
    pub(crate) async fn get(&self, url: &str, mut headers: HeaderMap) -> Result<Response> {
        if let Some(value) = authorization(&self.config).await? {
            headers.insert(AUTHORIZATION, value);
        }
        for header in &self.config.headers {
            add_header(&mut headers, header).await?;
        }
        let failed = |reason: String| Error::Request {
            url: url.to_owned(),
            reason,
        };
        let mut request_url = Url::parse(url).map_err(|e| failed(e.to_string()))?;
        if let Some(instead) = &self.instead {
            let renamed = request_url.set_host(Some(&instead.server_name));
            renamed.map_err(|e| failed(e.to_string()))?;
            headers.insert(HOST, instead.host_header.clone());
        }
        let request = self.client.get(request_url).headers(headers);
        let again = request.try_clone();
        match (request.send().await, again) {
            // The server closed a connection that had been idle, just as the request went out.
            (Err(error), Some(again)) if is_closed_early(&error) => again.send().await,
            (response, _) => response,
        }
        .map_err(|error| failed(chain(&error)))
    }
}

/// The settings of the HTTP library that every client has.
fn builder(config: &HttpClientConfig) -> std::result::Result<ClientBuilder, String> {
    let mut builder = Client::builder()
        .no_proxy()
        .no_gzip()
        .use_rustls_tls()
        .redirect(match config.follow_redirects {
            true => Policy::limited(10),
            false => Policy::none(),
        })
        // Names as they are usually written, for servers that do not know better.
        .http1_title_case_headers()
        .pool_idle_timeout(IDLE_TIMEOUT);
    if !config.enable_http2 {
        builder = builder.http1_only();
    }
    tls::apply(builder, &config.tls)
}

/// Resolves every name to the addresses of one host.
#[derive(Debug)]
struct OnlyHost(String);

impl Resolve for OnlyHost {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The `Authorization` header.
async fn authorization(config: &HttpClientConfig) -> Result<Option<HeaderValue>> {
    let value = if let Some(basic) = &config.basic_auth {
        let username = read(basic.username.as_ref(), String::as_str).await?;
        let password = read(basic.password.as_ref(), |secret| secret.reveal()).await?;
        let pair =
            base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
        format!("Basic {pair}")
    } else if let Some(authorization) = &config.authorization {
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

/// A header value of a text.
pub(crate) fn header(value: &str) -> Result<HeaderValue> {
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

/// Whether a connection ended before any answer came. A GET changes nothing, so it may be sent once more.
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
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut source = error.source();
    let mut text = None;
    while let Some(cause) = source {
        text = Some(cause.to_string());
        source = cause.source();
    }
    text.unwrap_or_else(|| error.to_string())
}
