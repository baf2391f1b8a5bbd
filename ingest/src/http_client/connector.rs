//! Connections: TLS, proxies, sockets.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Identity, NoProxy, Proxy};

use super::chain;
use crate::config::{HttpClientConfig, ProxyConfig, Source, TlsConfig, TlsVersion};

/// Redirects that are followed one after the other.
const REDIRECTS_MAX: usize = 10;

/// What a file looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    path: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Stamp {
    /// The files of certificates as they are now.
    pub(super) fn of(tls: &TlsConfig) -> Vec<Self> {
        fn file<T>(source: Option<&Source<T>>) -> Option<&Path> {
            match source {
                Some(Source::File(path)) => Some(path),
                _ => None,
            }
        }
        let files = [
            file(tls.ca.as_ref()),
            file(tls.cert.as_ref()),
            file(tls.key.as_ref()),
        ];
        let stamps = files.into_iter().flatten().map(|path| {
            let metadata = std::fs::metadata(path).ok();
            Self {
                path: path.to_owned(),
                modified: metadata.as_ref().and_then(|m| m.modified().ok()),
                bytes: metadata.map_or(0, |m| m.len()),
            }
        });
        stamps.collect()
    }
}

/// How connections are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connector<'a> {
    tls: &'a TlsConfig,
    proxy: &'a ProxyConfig,
    follow_redirects: bool,
    enable_http2: bool,
    /// Whether requests carry headers that are for nobody but the host that they are sent to.
    secret_headers: bool,
    /// Whether each connection begins with another of a host's addresses.
    round_robin_dns: bool,
    /// The host to which every name resolves.
    pub(super) host: Option<&'a str>,
    /// The socket to which every connection goes.
    pub(super) unix_socket: Option<&'a Path>,
}

impl<'a> Connector<'a> {
    pub(super) fn of(config: &'a HttpClientConfig) -> Self {
        Self {
            tls: &config.tls,
            proxy: &config.proxy,
            follow_redirects: config.follow_redirects,
            enable_http2: config.enable_http2,
            secret_headers: !config.headers.is_empty(),
            round_robin_dns: config.round_robin_dns,
            host: None,
            unix_socket: None,
        }
    }

    /// Connections to a server of tokens.
    pub(super) fn of_tokens(tls: &'a TlsConfig, proxy: &'a ProxyConfig) -> Self {
        Self {
            tls,
            proxy,
            follow_redirects: true,
            enable_http2: true,
            secret_headers: false,
            round_robin_dns: false,
            host: None,
            unix_socket: None,
        }
    }

    /// A client of the HTTP library.
    pub(super) fn client(&self) -> Result<Client, String> {
        let mut builder = Client::builder()
            .no_gzip()
            .use_rustls_tls()
            .redirect(self.redirects())
            // Names as they are usually written, for servers that do not know better.
            .http1_title_case_headers()
            .pool_idle_timeout(Duration::from_secs(5 * 60));
        if !self.enable_http2 || self.host.is_some() {
            builder = builder.http1_only();
        }
        if self.round_robin_dns {
            builder = builder.dns_resolver(Arc::new(Rotated::default()));
        }
        if let Some(host) = self.host {
            builder = builder.dns_resolver(Arc::new(Instead(host.to_owned())));
        }
        if let Some(path) = self.unix_socket {
            builder = builder.unix_socket(path);
        }
        builder = proxy(builder, self.proxy)?;
        let built = tls(builder, self.tls)?.build();
        built.map_err(|error| chain(&error))
    }

    /// The library takes credentials out of a request that is redirected to another host, but not headers of one's own.
    fn redirects(&self) -> Policy {
        if !self.follow_redirects {
            return Policy::none();
        }
        if !self.secret_headers {
            return Policy::limited(REDIRECTS_MAX);
        }
        Policy::custom(|attempt| {
            let origin = attempt.previous().first().and_then(|url| url.host_str());
            if attempt.previous().len() > REDIRECTS_MAX {
                return attempt.error("too many redirects");
            }
            match origin == attempt.url().host_str() {
                true => attempt.follow(),
                false => attempt.stop(),
            }
        })
    }
}

fn proxy(builder: ClientBuilder, config: &ProxyConfig) -> Result<ClientBuilder, String> {
    if config.from_environment {
        return match config.connect_headers.is_empty() {
            // What the library does by itself.
            true => Ok(builder),
            false => Err("not supported yet: proxy_connect_header with proxy_from_environment; set proxy_url".to_owned()),
        };
    }
    let failed = |error: reqwest::Error| format!("proxy_url: {}", chain(&error));
    let Some(url) = &config.proxy_url else {
        return Ok(builder.no_proxy());
    };
    let mut proxy = Proxy::all(url.as_str()).map_err(failed)?;
    if !config.no_proxy.is_empty() {
        proxy = proxy.no_proxy(NoProxy::from_string(&config.no_proxy));
    }
    let mut headers = HeaderMap::new();
    for (name, values) in &config.connect_headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("{name:?} is not a valid header name"))?;
        for value in values {
            let mut value = HeaderValue::from_str(value.reveal())
                .map_err(|_| format!("the value of {name} has characters that HTTP forbids"))?;
            value.set_sensitive(true);
            headers.append(&name, value);
        }
    }
    if !headers.is_empty() {
        proxy = proxy.headers(headers);
    }
    Ok(builder.proxy(proxy))
}

fn tls(mut builder: ClientBuilder, tls: &TlsConfig) -> Result<ClientBuilder, String> {
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

/// Reads a value when a client is made, which is seldom.
fn read_now<T>(source: &Source<T>, inline: impl Fn(&T) -> &str) -> Result<String, String> {
    match source {
        Source::Inline(value) => Ok(inline(value).to_owned()),
        Source::File(path) => std::fs::read_to_string(path)
            .map_err(|e| format!("cannot read {}: {e}", path.display())),
    }
}

/// Gives the addresses of a name beginning with another one each time.
#[derive(Debug, Default)]
struct Rotated(AtomicUsize);

impl Resolve for Rotated {
    fn resolve(&self, name: Name) -> Resolving {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(rotated(found.collect(), turn).into_iter()) as Addrs)
        })
    }
}

/// The addresses, in one order whatever the name server's, from the one whose turn it is.
fn rotated(mut addresses: Vec<SocketAddr>, turn: usize) -> Vec<SocketAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    let first = turn.checked_rem(addresses.len()).unwrap_or(0);
    addresses.rotate_left(first);
    addresses
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_turns() {
        let address = |n: u8| SocketAddr::from(([10, 0, 0, n], 0));
        let found = vec![address(3), address(1), address(2)];
        let firsts: Vec<_> = (0..4).map(|turn| rotated(found.clone(), turn)[0]).collect();
        assert_eq!(firsts, [address(1), address(2), address(3), address(1)]);
        assert_eq!(rotated(found, 1), [address(2), address(3), address(1)]);
        assert_eq!(rotated(Vec::new(), 7), []);
    }
}
