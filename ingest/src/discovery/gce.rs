//! Instances of Google's cloud (`gce_sd_configs`).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;

use super::api_client::{ApiClient, PATIENCE};
use super::cloud::{PAGES_MAX, Target, answers, group};
use super::kind::{Kind, refresh_interval, render_interval};
use super::labels::sanitized;
use super::periodic::{Periodic, Refresh};
use super::{ADDRESS, Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::decode::{Fields, error_at, integer, string};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig};
use crate::environment::Environment;
use crate::identity::{self, GoogleCredentials, GoogleTokens};
use crate::sigv4::form;

const API: &str = "https://compute.googleapis.com/compute/v1";
const SCOPE: &str = "https://www.googleapis.com/auth/compute.readonly";
const PREFIX: &str = "__meta_gce_";

/// One entry of `gce_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GceConfig {
    /// The project.
    pub project: String,
    /// The zone of the instances.
    pub zone: String,
    /// What instances must be like, in the language of the API.
    pub filter: String,
    /// How often instances are looked for.
    pub refresh_interval: Duration,
    /// The port of targets.
    pub port: i64,
    /// What separates tags in a label.
    pub tag_separator: String,
}

impl Kind for GceConfig {
    const NAME: &'static str = "gce";

    fn decode(node: &Node, _: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "gce.plain")?;
        let mut text = |name| Ok(fields.read(name, string)?.unwrap_or_default());
        let config = Self {
            project: text("project")?,
            zone: text("zone")?,
            filter: text("filter")?,
            refresh_interval: refresh_interval(&mut fields, Duration::from_secs(60))?,
            port: fields.read("port", integer)?.unwrap_or(80),
            tag_separator: fields
                .read("tag_separator", string)?
                .unwrap_or_else(|| ",".to_owned()),
        };
        fields.finish(&[])?;
        if config.project.is_empty() {
            return error_at(node, "GCE SD configuration requires a project");
        }
        if config.zone.is_empty() {
            return error_at(node, "GCE SD configuration requires a zone");
        }
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        entries
            .text("project", &self.project)
            .text("zone", &self.zone)
            .text_if_set("filter", &self.filter);
        render_interval(entries, self.refresh_interval);
        entries
            .put("port", Yaml::Raw(self.port.to_string()))
            .text_if_set("tag_separator", &self.tag_separator);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        self.discovery_at(API, Environment::default())
    }
}

impl GceConfig {
    /// The discovery that asks the API at a URL.
    pub(crate) fn discovery_at(
        &self,
        url: &str,
        environment: Environment,
    ) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = Gce {
            client: ApiClient::new(&HttpClientConfig::default(), PATIENCE)?,
            tokens: GoogleTokens::new(GoogleCredentials::Default, SCOPE, environment)?,
            url: url.to_owned(),
            config: self.clone(),
        };
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct Gce {
    client: ApiClient,
    tokens: GoogleTokens,
    url: String,
    config: GceConfig,
}

answers! {
    InstanceList {
        items: Vec<Instance>,
        #[serde(rename = "nextPageToken")]
        next_page_token: String,
    }
    Instance {
        id: String,
        name: String,
        status: String,
        zone: String,
        #[serde(rename = "machineType")]
        machine_type: String,
        #[serde(rename = "networkInterfaces")]
        network_interfaces: Vec<Interface>,
        tags: Tags,
        metadata: Metadata,
        labels: BTreeMap<String, String>,
    }
    Interface {
        name: String,
        network: String,
        subnetwork: String,
        #[serde(rename = "networkIP")]
        network_ip: String,
        #[serde(rename = "accessConfigs")]
        access_configs: Vec<AccessConfig>,
    }
    AccessConfig {
        #[serde(rename = "type")]
        kind: String,
        #[serde(rename = "natIP")]
        nat_ip: String,
    }
    Tags { items: Vec<String>, }
    Metadata { items: Vec<MetadataItem>, }
    MetadataItem { key: String, value: Option<String>, }
}

#[async_trait]
impl Refresh for Gce {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let instances = self.instances().await.map_err(|error| {
            DiscoveryError::Answer(format!(
                "error retrieving refresh targets from gce: {error}"
            ))
        })?;
        let targets = instances.iter().filter_map(|i| target(i, &self.config));
        let GceConfig { project, zone, .. } = &self.config;
        Ok(group(&format!("GCE_{project}_{zone}"), targets))
    }
}

impl Gce {
    async fn instances(&self) -> Result<Vec<Instance>, DiscoveryError> {
        let GceConfig {
            project,
            zone,
            filter,
            ..
        } = &self.config;
        let list = format!("{}/projects/{project}/zones/{zone}/instances", self.url);
        let mut all = Vec::new();
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let parameters = [("filter", filter.as_str()), ("pageToken", token.as_str())];
            let parameters = parameters.iter().filter(|(_, value)| !value.is_empty());
            let parameters = form([("alt", "json")].iter().chain(parameters));
            let url = format!("{list}?{parameters}");
            let mut headers = HeaderMap::new();
            identity::add(&mut headers, self.tokens.header().await?);
            let answer = self.client.send(Method::GET, &url, headers, Bytes::new());
            let page: InstanceList = answer.await?.json(&url)?;
            all.extend(page.items);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        Ok(all)
    }
}

/// The target of an instance; none where it has no interface.
fn target(instance: &Instance, config: &GceConfig) -> Option<Target> {
    let first = instance.network_interfaces.first()?;
    let mut target = Target::new(PREFIX);
    let address = format!("{}:{}", first.network_ip, config.port);
    target.labels.insert(ADDRESS.to_owned(), address);
    for (name, value) in [
        ("project", &config.project),
        ("zone", &instance.zone),
        ("instance_id", &instance.id),
        ("instance_name", &instance.name),
        ("instance_status", &instance.status),
        ("machine_type", &instance.machine_type),
        ("network", &first.network),
        ("subnetwork", &first.subnetwork),
        ("private_ip", &first.network_ip),
    ] {
        target.put(name, value);
    }
    for interface in &instance.network_interfaces {
        let name = format!("interface_ipv4_{}", sanitized(&interface.name));
        target.put(&name, &interface.network_ip);
    }
    target.put_list("tags", &instance.tags.items, &config.tag_separator);
    for item in &instance.metadata.items {
        let name = format!("metadata_{}", sanitized(&item.key));
        target.put_known(&name, item.value.as_ref());
    }
    for (name, value) in &instance.labels {
        target.put(&format!("label_{}", sanitized(name)), value);
    }
    let access = first.access_configs.first();
    if let Some(access) = access.filter(|access| access.kind == "ONE_TO_ONE_NAT") {
        target.put("public_ip", &access.nat_ip);
    }
    Some(target)
}
