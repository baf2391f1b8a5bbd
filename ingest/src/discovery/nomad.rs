//! Targets from the services that Nomad knows (`nomad_sd_configs`).

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::api_client::{ApiClient, PATIENCE, nullable};
use super::kind::{Kind, refresh_interval, render_interval};
use super::labels::host_port;
use super::periodic::{Periodic, Refresh};
use super::{ADDRESS, Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::config::decode::{Fields, boolean, error_at, string};
use crate::config::write::Entries;
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig, render};

/// One entry of `nomad_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NomadConfig {
    /// The URL of the server.
    pub server: String,
    /// The namespace; `*` for all.
    pub namespace: String,
    /// The region.
    pub region: String,
    /// What stands between, before and after tags in `__meta_nomad_tags`.
    pub tag_separator: String,
    /// Whether any server may answer, not only the leader.
    pub allow_stale: bool,
    /// How often the server is asked.
    pub refresh_interval: Duration,
    /// How requests are made.
    pub http: HttpClientConfig,
}

impl Kind for NomadConfig {
    const NAME: &'static str = "nomad";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "nomad.plain")?;
        let mut text = |name: &str, default: &str| -> Result<String, ConfigError> {
            let given = fields.read_even_null(name, string)?;
            Ok(given.unwrap_or_else(|| default.to_owned()))
        };
        let config = Self {
            server: text("server", "http://localhost:4646")?,
            namespace: text("namespace", "default")?,
            region: text("region", "global")?,
            tag_separator: text("tag_separator", ",")?,
            allow_stale: fields
                .read_even_null("allow_stale", boolean)?
                .unwrap_or(true),
            refresh_interval: refresh_interval(&mut fields, Duration::from_secs(60))?,
            http: HttpClientConfig::take(&mut fields, node, directory)?,
        };
        fields.finish(&[])?;
        if config.server.trim().is_empty() {
            return error_at(node, "nomad SD configuration requires a server address");
        }
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        entries.flag("allow_stale", self.allow_stale);
        render::http(entries, &self.http);
        entries.text("namespace", &self.namespace);
        render_interval(entries, self.refresh_interval);
        entries
            .text("region", &self.region)
            .text("server", &self.server)
            .text_if_set("tag_separator", &self.tag_separator);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let base = Url::parse(&self.server).map_err(|error| {
            DiscoveryError::Setup(format!("invalid address '{}': {error}", self.server))
        })?;
        let discovery = NomadDiscovery {
            client: ApiClient::new(&self.http, PATIENCE)?,
            base,
            config: self.clone(),
        };
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct NomadDiscovery {
    client: ApiClient,
    base: Url,
    config: NomadConfig,
}

/// The services of one namespace.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Namespace {
    #[serde(deserialize_with = "nullable")]
    services: Vec<Service>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Service {
    service_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Instance {
    #[serde(rename = "ID")]
    id: String,
    service_name: String,
    namespace: String,
    #[serde(rename = "NodeID")]
    node_id: String,
    datacenter: String,
    #[serde(deserialize_with = "nullable")]
    tags: Vec<String>,
    address: String,
    port: i64,
}

#[async_trait]
impl Refresh for NomadDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let mut targets = Vec::new();
        let namespaces: Vec<Namespace> = self.get(&["services"]).await?;
        let services = namespaces.into_iter().flat_map(|found| found.services);
        for service in services {
            let instances = self.get(&["service", &service.service_name]).await;
            let instances: Vec<Instance> = instances.map_err(|error| {
                DiscoveryError::Answer(format!("failed to fetch services: {error}"))
            })?;
            let separator = &self.config.tag_separator;
            targets.extend(instances.iter().map(|instance| instance.target(separator)));
        }
        Ok(vec![TargetGroup {
            source: "Nomad".to_owned(),
            targets,
            labels: LabelMap::new(),
        }])
    }
}

impl NomadDiscovery {
    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Vec<T>, DiscoveryError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        for (name, value) in [
            ("namespace", &self.config.namespace),
            ("region", &self.config.region),
        ] {
            if !value.is_empty() {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        if self.config.allow_stale {
            url.query_pairs_mut().append_pair("stale", "");
        }
        let answer = self.client.get(url.as_str()).await?;
        if answer.status != StatusCode::OK {
            let body = String::from_utf8_lossy(&answer.body);
            return Err(DiscoveryError::Answer(format!(
                "Unexpected response code: {} ({})",
                answer.status.as_u16(),
                body.trim()
            )));
        }
        let list: Option<Vec<T>> = answer.json(url.as_str())?;
        Ok(list.unwrap_or_default())
    }
}

impl Instance {
    fn target(&self, separator: &str) -> LabelMap {
        let mut labels: LabelMap = [
            ("address", self.address.clone()),
            ("dc", self.datacenter.clone()),
            ("node_id", self.node_id.clone()),
            ("namespace", self.namespace.clone()),
            ("service_address", self.address.clone()),
            ("service_id", self.id.clone()),
            ("service_port", self.port.to_string()),
            ("service", self.service_name.clone()),
        ]
        .into_iter()
        .map(|(name, value)| (format!("__meta_nomad_{name}"), value))
        .collect();
        if !self.tags.is_empty() {
            let tags = format!("{separator}{}{separator}", self.tags.join(separator));
            labels.insert("__meta_nomad_tags".to_owned(), tags);
        }
        labels.insert(ADDRESS.to_owned(), host_port(&self.address, self.port));
        labels
    }
}
