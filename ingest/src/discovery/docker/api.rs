//! The HTTP API of a Docker engine.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::REFRESH_INTERVAL;
use crate::config::decode::{Fields, error_at, integer, list, string, strings};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig};
use crate::discovery::api_client::{ApiClient, nullable};
use crate::discovery::kind::refresh_interval;
use crate::discovery::labels::sanitized;
use crate::discovery::{DiscoveryError, LabelMap, urls};
use crate::http_client::HttpClient;

/// The newest version of the API that is known here. Engines that are older are spoken to in theirs.
const API_VERSION: (u32, u32) = (1, 51);

/// Which engine, which of its objects, and how often: what `docker` and `dockerswarm` have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// `unix:///var/run/docker.sock`, `tcp://host:port`, or a URL with http or https.
    pub host: String,
    /// The port of targets that expose none.
    pub port: i64,
    /// Which objects to list.
    pub filters: Vec<Filter>,
    /// How often they are listed; also how long the engine may take to answer.
    pub refresh_interval: Duration,
    /// How requests are made to hosts with http and https. Others are asked without authentication and TLS.
    pub http: HttpClientConfig,
}

impl HostSettings {
    pub(in crate::discovery) fn take(
        fields: &mut Fields<'_>,
        node: &Node,
        directory: &Path,
    ) -> Result<Self, ConfigError> {
        let filters = fields.read("filters", |node| list(node, Filter::decode))?;
        let settings = Self {
            host: fields.read("host", string)?.unwrap_or_default(),
            port: fields.read("port", integer)?.unwrap_or(80),
            filters: filters.unwrap_or_default(),
            refresh_interval: refresh_interval(fields, REFRESH_INTERVAL)?,
            http: HttpClientConfig::take(fields, node, directory)?,
        };
        if settings.host.is_empty() {
            return error_at(node, "host missing");
        }
        Ok(settings)
    }
}

/// A filter of the engine's API: objects with any of the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What is looked at.
    pub name: String,
    /// The values that pass.
    pub values: Vec<String>,
}

impl Filter {
    fn decode(node: &Node) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "moby.Filter")?;
        let filter = Self {
            name: fields.read("name", string)?.unwrap_or_default(),
            values: fields.read("values", strings)?.unwrap_or_default(),
        };
        fields.finish(&[])?;
        Ok(filter)
    }

    pub(in crate::discovery) fn render_all(filters: &[Self]) -> Yaml {
        let shown = filters.iter().map(|filter| {
            let values = filter.values.iter().cloned().map(Yaml::Text);
            Entries::default()
                .text("name", &filter.name)
                .put("values", Yaml::List(values.collect()))
                .map()
        });
        Yaml::List(shown.collect())
    }
}

/// Asks one engine.
#[derive(Debug)]
pub(in crate::discovery) struct DockerApi {
    client: ApiClient,
    base: Url,
    /// The parameter that the filters of the configuration make; "" where there are none.
    filters: String,
    /// The version that both sides know, once the engine was asked.
    version: Option<String>,
}

impl DockerApi {
    pub(in crate::discovery) fn new(settings: &HostSettings) -> Result<Self, DiscoveryError> {
        let host = &settings.host;
        let wrong = || DiscoveryError::Setup(format!("unable to parse docker host {host:?}"));
        let (protocol, address) = host.split_once("://").ok_or_else(wrong)?;
        let timeout = settings.refresh_interval;
        let url = |text: &str| urls::parse(text).map_err(DiscoveryError::Setup);
        let (client, base) = match protocol {
            "unix" => {
                let client = HttpClient::on_unix_socket(address.as_ref());
                let client = client.map_err(DiscoveryError::Setup)?;
                (
                    ApiClient::with_client(client, timeout),
                    url("http://localhost")?,
                )
            }
            "http" | "https" => {
                let client = ApiClient::new(&settings.http, timeout)?;
                (client, url(host)?)
            }
            "tcp" => {
                let base = format!("http://{address}");
                let client = ApiClient::new(&HttpClientConfig::default(), timeout)?;
                (client, url(&base)?)
            }
            other => {
                return Err(DiscoveryError::Setup(format!(
                    "protocol {other} of docker host {host:?} is none of unix, tcp, http and https"
                )));
            }
        };
        Ok(Self {
            client,
            base,
            filters: filters(&settings.filters),
            version: None,
        })
    }

    /// The objects at a path. `what` completes the message "error while …".
    pub(in crate::discovery) async fn list<T: DeserializeOwned>(
        &mut self,
        path: &str,
        what: &str,
        filtered: bool,
    ) -> Result<Vec<T>, DiscoveryError> {
        let listed = self.try_list(path, filtered).await;
        listed.map_err(|error| DiscoveryError::Answer(format!("error while {what}: {error}")))
    }

    async fn try_list<T: DeserializeOwned>(
        &mut self,
        path: &str,
        filtered: bool,
    ) -> Result<Vec<T>, DiscoveryError> {
        let version = self.version().await?;
        let mut url = self.url(&format!("{version}/{path}"));
        if filtered && !self.filters.is_empty() {
            url.query_pairs_mut().append_pair("filters", &self.filters);
        }
        let listed: Option<Vec<T>> = self.client.get_json(url.as_str()).await?;
        Ok(listed.unwrap_or_default())
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let prefix = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{prefix}/{path}"));
        url
    }

    /// The version of the API to use, as the first part of a path: the engine's own, but none that is not known here.
    async fn version(&mut self) -> Result<String, DiscoveryError> {
        if let Some(version) = &self.version {
            return Ok(version.clone());
        }
        let answer = self.client.get(self.url("_ping").as_str()).await?;
        let header = answer.headers.get("api-version");
        let theirs = header.and_then(|value| parse_version(value.to_str().ok()?));
        let (major, minor) = theirs.unwrap_or(API_VERSION).min(API_VERSION);
        let version = format!("v{major}.{minor}");
        self.version = Some(version.clone());
        Ok(version)
    }

    /// The labels of each network, by its id.
    pub(in crate::discovery) async fn network_labels(
        &mut self,
        prefix: &str,
    ) -> Result<BTreeMap<String, LabelMap>, DiscoveryError> {
        let what = match prefix {
            "__meta_docker_" => "computing network labels",
            _ => "computing swarm network labels",
        };
        let networks: Vec<Network> = self.list("networks", what, false).await?;
        let networks = networks.into_iter();
        Ok(networks
            .map(|network| {
                let labels = network.labels(prefix);
                (network.id, labels)
            })
            .collect())
    }
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn filters(filters: &[Filter]) -> String {
    let mut by_name: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
    for filter in filters {
        for value in &filter.values {
            by_name.entry(&filter.name).or_default().insert(value, true);
        }
    }
    if by_name.is_empty() {
        return String::new();
    }
    // Maps of strings can always be written.
    serde_json::to_string(&by_name).unwrap_or_default()
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Network {
    id: String,
    name: String,
    scope: String,
    internal: bool,
    ingress: bool,
    #[serde(deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

impl Network {
    fn labels(&self, prefix: &str) -> LabelMap {
        let mut labels: LabelMap = [
            ("id", self.id.clone()),
            ("name", self.name.clone()),
            ("scope", self.scope.clone()),
            ("internal", self.internal.to_string()),
            ("ingress", self.ingress.to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (format!("{prefix}network_{name}"), value))
        .collect();
        add_labels(
            &mut labels,
            &format!("{prefix}network_label_"),
            &self.labels,
        );
        labels
    }
}

/// Adds the labels that an object of the engine has.
pub(in crate::discovery) fn add_labels(
    labels: &mut LabelMap,
    prefix: &str,
    own: &BTreeMap<String, String>,
) {
    for (name, value) in own {
        labels.insert(format!("{prefix}{}", sanitized(name)), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_with_one_name_are_one() {
        let filter = |name: &str, values: &[&str]| Filter {
            name: name.to_owned(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
        };
        assert_eq!(filters(&[filter("label", &[])]), "");
        assert_eq!(
            filters(&[
                filter("label", &["b", "a"]),
                filter("id", &["x"]),
                filter("label", &["c"])
            ]),
            r#"{"id":{"x":true},"label":{"a":true,"b":true,"c":true}}"#
        );
    }

    #[test]
    fn versions_are_numbers() {
        assert_eq!(parse_version("1.9"), Some((1, 9)));
        assert!(parse_version("1.9") < parse_version("1.41"));
        assert_eq!(parse_version("x"), None);
    }
}
