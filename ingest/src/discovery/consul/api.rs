//! The part of Consul's HTTP API that says what services there are.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::ConsulConfig;
use crate::discovery::api_client::{ApiClient, nullable};
use crate::discovery::labels::{host_port, sanitized};
use crate::discovery::{ADDRESS, DiscoveryError, LabelMap, TargetGroup, urls};
use crate::http_client::{HttpClient, header};

/// How long a blocking query waits for a change.
const WATCH_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a request may take: Consul adds up to a sixteenth to the time that it waits.
const REQUEST_TIMEOUT: Duration = WATCH_TIMEOUT.saturating_add(Duration::from_secs(15));

/// An answer, and the index after which there may be a newer one.
#[derive(Debug)]
pub(super) struct Indexed<T> {
    pub(super) value: T,
    pub(super) index: u64,
}

/// Asks one agent.
#[derive(Debug)]
pub(super) struct ConsulApi {
    client: ApiClient,
    /// The address, with the path before that of the API.
    base: Url,
    config: ConsulConfig,
}

impl ConsulApi {
    pub(super) fn new(config: &ConsulConfig) -> Result<Self, DiscoveryError> {
        let (protocol, rest) = config
            .server
            .split_once("://")
            .unwrap_or(("", &config.server));
        let mut address = rest;
        let mut prefix = config.path_prefix.clone();
        let mut scheme = config.scheme.as_str();
        match protocol {
            "" | "unix" => {}
            "http" | "https" => {
                if protocol == "https" {
                    scheme = protocol;
                }
                if let Some((host, path)) = rest.split_once('/') {
                    address = host;
                    prefix = format!("/{path}");
                }
            }
            other => {
                return Err(DiscoveryError::Setup(format!(
                    "Unknown protocol scheme: {other}"
                )));
            }
        }
        let host = if protocol == "unix" {
            "localhost"
        } else {
            address
        };
        let base = format!("{scheme}://{host}/{}", prefix.trim_matches('/'));
        let base = urls::parse(&base).map_err(DiscoveryError::Setup)?;
        let mut client = if protocol == "unix" {
            let client = HttpClient::on_unix_socket(address.as_ref());
            let client = client.map_err(DiscoveryError::Setup)?;
            ApiClient::with_client(client, REQUEST_TIMEOUT)
        } else {
            ApiClient::new(&config.http, REQUEST_TIMEOUT)?
        };
        let environment = std::env::var("CONSUL_HTTP_TOKEN").ok();
        let token = match &config.token {
            Some(token) => Some(token.reveal()),
            None => environment.as_deref().filter(|token| !token.is_empty()),
        };
        if let Some(token) = token {
            let mut value = header(token)?;
            value.set_sensitive(true);
            client.headers_mut().insert("x-consul-token", value);
        }
        Ok(Self {
            client,
            base,
            config: config.clone(),
        })
    }

    /// The datacenter: the one of the configuration, else that of the agent.
    pub(super) async fn datacenter(&self) -> Result<String, DiscoveryError> {
        if !self.config.datacenter.is_empty() {
            return Ok(self.config.datacenter.clone());
        }
        let url = self.url(&["agent", "self"]);
        let itself: serde_json::Value = self.get(&url).await?.value;
        let datacenter = itself.pointer("/Config/Datacenter");
        let name = datacenter.and_then(serde_json::Value::as_str);
        name.map(str::to_owned).ok_or_else(|| {
            let shown = datacenter.map_or("<nil>".to_owned(), ToString::to_string);
            DiscoveryError::Answer(format!("invalid value '{shown}' for Config.Datacenter"))
        })
    }

    /// The services of the catalog with the tags of their instances. Waits for an index beyond `index` where it is not 0.
    pub(super) async fn services(
        &self,
        index: u64,
    ) -> Result<Indexed<BTreeMap<String, Vec<String>>>, DiscoveryError> {
        let mut url = self.url(&["catalog", "services"]);
        self.add_options(&mut url, index, &self.config.filter);
        let answer: Indexed<Option<BTreeMap<String, Option<Vec<String>>>>> = self.get(&url).await?;
        let services = answer.value.unwrap_or_default().into_iter();
        Ok(Indexed {
            value: services
                .map(|(name, tags)| (name, tags.unwrap_or_default()))
                .collect(),
            index: answer.index,
        })
    }

    /// The instances of a service as a group. Waits as [`Self::services`] does.
    pub(super) async fn group(
        &self,
        service: &str,
        datacenter: &str,
        index: u64,
    ) -> Result<Indexed<TargetGroup>, DiscoveryError> {
        let mut url = self.url(&["health", "service", service]);
        for tag in &self.config.tags {
            url.query_pairs_mut().append_pair("tag", tag);
        }
        self.add_options(&mut url, index, &self.config.health_filter);
        let answer: Indexed<Option<Vec<Instance>>> = self.get(&url).await?;
        let instances = answer.value.unwrap_or_default();
        let targets = instances.iter();
        let targets = targets.map(|instance| instance.target(&self.config.tag_separator));
        Ok(Indexed {
            value: TargetGroup {
                source: service.to_owned(),
                targets: targets.collect(),
                labels: LabelMap::from([
                    ("__meta_consul_service".to_owned(), service.to_owned()),
                    ("__meta_consul_dc".to_owned(), datacenter.to_owned()),
                ]),
            },
            index: answer.index,
        })
    }

    /// The URL of a question, with what every question says.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        for (name, value) in [
            ("dc", &self.config.datacenter),
            ("ns", &self.config.namespace),
            ("partition", &self.config.partition),
        ] {
            if !value.is_empty() {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        url
    }

    fn add_options(&self, url: &mut Url, index: u64, filter: &str) {
        let mut query = url.query_pairs_mut();
        if self.config.allow_stale {
            query.append_pair("stale", "");
        }
        if index != 0 {
            query.append_pair("index", &index.to_string());
        }
        let wait = format!("{}ms", WATCH_TIMEOUT.as_millis());
        query.append_pair("wait", &wait);
        for (name, value) in &self.config.node_meta {
            query.append_pair("node-meta", &format!("{name}:{value}"));
        }
        if !filter.is_empty() {
            query.append_pair("filter", filter);
        }
    }

    async fn get<T: DeserializeOwned>(&self, url: &Url) -> Result<Indexed<T>, DiscoveryError> {
        let answer = self.client.get(url.as_str()).await?;
        if answer.status != StatusCode::OK {
            let body = String::from_utf8_lossy(&answer.body);
            return Err(DiscoveryError::Answer(format!(
                "Unexpected response code: {} ({})",
                answer.status.as_u16(),
                body.trim()
            )));
        }
        let index = answer.headers.get("x-consul-index");
        let index = index.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Indexed {
            value: answer.json(url.as_str())?,
            index: index.unwrap_or(0),
        })
    }
}

/// One instance of a service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instance {
    node: Node,
    service: Service,
    #[serde(default, deserialize_with = "nullable")]
    checks: Vec<Check>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Node {
    node: String,
    address: String,
    #[serde(deserialize_with = "nullable")]
    meta: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    tagged_addresses: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    address: String,
    port: i64,
    namespace: String,
    partition: String,
    #[serde(deserialize_with = "nullable")]
    tags: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    meta: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Check {
    #[serde(rename = "CheckID")]
    check_id: String,
    status: String,
}

impl Instance {
    fn target(&self, separator: &str) -> LabelMap {
        let Self { node, service, .. } = self;
        // A service may be registered through a node that it does not run on.
        let host = match service.address.as_str() {
            "" => &node.address,
            address => address,
        };
        let tags = format!("{separator}{}{separator}", service.tags.join(separator));
        let mut labels: LabelMap = [
            ("address", node.address.clone()),
            ("node", node.node.clone()),
            ("namespace", service.namespace.clone()),
            ("partition", service.partition.clone()),
            ("tags", tags),
            ("service_address", service.address.clone()),
            ("service_port", service.port.to_string()),
            ("service_id", service.id.clone()),
            ("health", self.health().to_owned()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (format!("__meta_consul_{name}"), value))
        .collect();
        for (prefix, values) in [
            ("metadata", &node.meta),
            ("service_metadata", &service.meta),
            ("tagged_address", &node.tagged_addresses),
        ] {
            for (name, value) in values {
                let name = format!("__meta_consul_{prefix}_{}", sanitized(name));
                labels.insert(name, value.clone());
            }
        }
        labels.insert(ADDRESS.to_owned(), host_port(host, service.port));
        labels
    }

    /// The worst of the checks; "" where one has a state that nobody knows.
    fn health(&self) -> &'static str {
        const STATES: [&str; 4] = ["passing", "warning", "critical", "maintenance"];
        let mut worst = 0;
        for check in &self.checks {
            let id = check.check_id.as_str();
            let state = match check.status.as_str() {
                _ if id == "_node_maintenance" || id.starts_with("_service_maintenance:") => 3,
                "passing" => 0,
                "warning" => 1,
                "critical" => 2,
                _ => return "",
            };
            worst = worst.max(state);
        }
        STATES.get(worst).copied().unwrap_or_default()
    }
}
