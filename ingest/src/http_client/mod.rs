//! Requests as one section of the configuration wants them: TLS, proxies, credentials, headers.
//!
//! Everything that asks another server for something goes through an [`HttpClient`]: scrapes, discovery, forwarding. Passwords, tokens
//! and headers that stand in files are read for every request. Certificates are read anew when their files have changed, so that what rotates
//! them need not reload the configuration.

mod body;
mod connector;
mod credentials;
pub(crate) mod jwt;
mod oauth2;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, USER_AGENT};
use reqwest::{Client, Method, RequestBuilder, Response, Url};

pub(crate) use self::body::Body;
use self::connector::{Connector, Stamp};
pub(crate) use self::credentials::header;
use self::credentials::{add_header, authorization};
use self::oauth2::TokenSource;
use crate::config::HttpClientConfig;
use crate::error::{Error, Result};

/// How every request introduces itself.
pub(crate) const AGENT: &str = concat!("Varve/", env!("CARGO_PKG_VERSION"));

/// How often the files of certificates are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Makes requests by one configuration. Connections are kept, and shared by clones.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: HttpClientConfig,
    unix_socket: Option<PathBuf>,
    tokens: Option<TokenSource>,
    connections: Mutex<Connections>,
}

/// The clients of the HTTP library that are in use.
#[derive(Debug)]
struct Connections {
    client: Client,
    /// Those that send the configuration's server name to one host each.
    named: HashMap<String, Client>,
    stamps: Vec<Stamp>,
    checked: Instant,
}

impl HttpClient {
    /// A client for any host. An error says what is wrong with the configuration or a file that it names.
    pub(crate) fn new(config: &HttpClientConfig) -> Result<Self, String> {
        Self::build(config, None)
    }

    /// A client whose requests go to a Unix socket, whatever the host of their URL, without authentication or TLS.
    pub(crate) fn on_unix_socket(path: &Path) -> Result<Self, String> {
        Self::build(&HttpClientConfig::default(), Some(path.to_owned()))
    }

    fn build(config: &HttpClientConfig, unix_socket: Option<PathBuf>) -> Result<Self, String> {
        let stamps = Stamp::of(&config.tls);
        let mut connector = Connector::of(config);
        connector.unix_socket = unix_socket.as_deref();
        let client = connector.client()?;
        let tokens = config.oauth2.clone().map(TokenSource::new);
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            tokens: tokens.transpose()?,
            unix_socket,
            connections: Mutex::new(Connections {
                client,
                named: HashMap::new(),
                stamps,
                checked: Instant::now(),
            }),
        })))
    }

    /// Sends a GET request with these headers, those of the configuration added, and once more where the server closed a connection that
    /// had been idle just as the request went out. The answer may have any status.
    pub(crate) async fn get(&self, url: &str, headers: HeaderMap) -> Result<Response> {
        let failed = |reason: String| Error::Request {
            url: url.to_owned(),
            reason,
        };
        let parsed = Url::parse(url).map_err(|e| failed(e.to_string()))?;
        let request = self.request(Method::GET, &parsed, headers).await?;
        let again = request.try_clone();
        match (request.send().await, again) {
            (Err(error), Some(again)) if is_closed_early(&error) => again.send().await,
            (response, _) => response,
        }
        .map_err(|error| failed(chain(&error)))
    }

    /// A request with these headers, and the configuration's credentials and headers besides. Files with secrets are read now.
    pub(crate) async fn request(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<RequestBuilder> {
        self.0.request(method, url, headers).await
    }
}

impl Inner {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn connector(&self) -> Connector<'_> {
        let mut connector = Connector::of(&self.config);
        connector.unix_socket = self.unix_socket.as_deref();
        connector
    }

    /// A client with the certificates as they are now.
    fn client(&self) -> Result<Client> {
        let mut connections = self.connections();
        if !connections.stamps.is_empty() && connections.checked.elapsed() >= CHECK_INTERVAL {
            connections.checked = Instant::now();
            let stamps = Stamp::of(&self.config.tls);
            if stamps != connections.stamps {
                let client = self.connector().client().map_err(Error::Body)?;
                connections.client = client;
                connections.named.clear();
                connections.stamps = stamps;
            }
        }
        Ok(connections.client.clone())
    }

    async fn request(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
    ) -> Result<RequestBuilder> {
        headers.insert(USER_AGENT, header(AGENT)?);
        let token = match &self.tokens {
            Some(tokens) => Some(header(&tokens.token().await.map_err(Error::Body)?)?),
            None => authorization(&self.config).await?,
        };
        if let Some(mut value) = token {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        for custom in &self.config.headers {
            add_header(&mut headers, custom).await?;
        }
        let client = self.client()?;
        if self.config.tls.server_name.is_empty() || url.scheme() != "https" {
            return Ok(client.request(method, url.clone()).headers(headers));
        }
        let (client, url, host) = self.with_server_name(url)?;
        headers.insert(HOST, header(&host)?);
        Ok(client.request(method, url).headers(headers))
    }

    /// The HTTP library checks certificates against the URL's host. So the URL gets the server name, names resolve to the real host, and the
    /// header `Host` stays what it was.
    fn with_server_name(&self, url: &Url) -> Result<(Client, Url, String)> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let host_header = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let server_name = &self.config.tls.server_name;
        let mut named = url.clone();
        named
            .set_host(Some(server_name))
            .map_err(|e| Error::Body(format!("server_name {server_name:?}: {e}")))?;
        let mut connections = self.connections();
        let client = match connections.named.get(&host) {
            Some(client) => client.clone(),
            None => {
                let mut connector = self.connector();
                connector.host = Some(host.trim_matches(['[', ']']));
                let client = connector.client().map_err(Error::Body)?;
                connections.named.insert(host, client.clone());
                client
            }
        };
        Ok((client, named, host_header))
    }
}

/// Whether a connection ended before any answer came.
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

/// An error with the last of its causes; the HTTP library's own text alone says little.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut source = error.source();
    let mut text = None;
    while let Some(cause) = source {
        text = Some(cause.to_string());
        source = cause.source();
    }
    text.unwrap_or_else(|| error.to_string())
}
