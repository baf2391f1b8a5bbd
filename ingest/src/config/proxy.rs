//! Proxies that requests go through.

use std::collections::BTreeMap;

use url::Url;

use super::decode::{Fields, boolean, error_at, list, map, string};
use super::error::ConfigError;
use super::http::Secret;
use super::yaml::{Node, Value};

/// Which proxy is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    /// The proxy: `http`, `https` or `socks5`.
    pub proxy_url: Option<Url>,
    /// Hosts, domains and networks that are reached without it, with commas between them.
    pub no_proxy: String,
    /// Whether `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` of the environment decide.
    pub from_environment: bool,
    /// Headers of the request that asks the proxy for a connection.
    pub connect_headers: BTreeMap<String, Vec<Secret>>,
}

impl ProxyConfig {
    /// Takes the fields out of the mapping that they are part of.
    pub(super) fn take(fields: &mut Fields<'_>, owner: &Node) -> Result<Self, ConfigError> {
        let config = Self {
            proxy_url: fields.take_text("proxy_url").map(proxy_url).transpose()?,
            no_proxy: fields.read("no_proxy", string)?.unwrap_or_default(),
            from_environment: fields
                .read("proxy_from_environment", boolean)?
                .unwrap_or(false),
            connect_headers: fields
                .read("proxy_connect_header", |node| {
                    map(node, |_, values| match &values.value {
                        Value::Sequence(_) => list(values, Secret::decode),
                        _ => Ok(vec![Secret::decode(values)?]),
                    })
                })?
                .unwrap_or_default(),
        };
        let nothing = config.proxy_url.is_none() && !config.from_environment;
        if nothing && !config.connect_headers.is_empty() {
            return error_at(
                owner,
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
            );
        }
        if config.from_environment && config.proxy_url.is_some() {
            return error_at(
                owner,
                "if proxy_from_environment is configured, proxy_url must not be configured",
            );
        }
        if config.from_environment && !config.no_proxy.is_empty() {
            return error_at(
                owner,
                "if proxy_from_environment is configured, no_proxy must not be configured",
            );
        }
        if config.proxy_url.is_none() && !config.no_proxy.is_empty() {
            return error_at(
                owner,
                "if no_proxy is configured, proxy_url must also be configured",
            );
        }
        Ok(config)
    }
}

fn proxy_url(node: &Node) -> Result<Url, ConfigError> {
    let text = string(node)?;
    let known = ["http", "https", "socks5", "socks5h"];
    match Url::parse(&text) {
        Ok(url) if known.contains(&url.scheme()) => Ok(url),
        Ok(url) => error_at(
            node,
            format!(
                "proxy_url: unsupported protocol scheme {:?}, supported: [{}]",
                url.scheme(),
                known.join(" ")
            ),
        ),
        Err(error) => error_at(node, format!("parse {text:?}: {error}")),
    }
}
