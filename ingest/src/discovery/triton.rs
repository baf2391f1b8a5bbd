//! Containers of Triton and the nodes that they run on (`triton_sd_configs`).

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use super::api_client::{ApiClient, PATIENCE};
use super::cloud::{Target, answers, group};
use super::kind::{Kind, render_interval};
use super::periodic::{Periodic, Refresh};
use super::{ADDRESS, Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::decode::{Fields, duration, error_at, integer, string, strings};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig, TlsConfig, render};

const PREFIX: &str = "__meta_triton_";

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TritonRole {
    /// Containers, or virtual machines.
    Container,
    /// The nodes that they run on.
    Node,
}

/// One entry of `triton_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TritonConfig {
    /// The account.
    pub account: String,
    /// What is looked for.
    pub role: TritonRole,
    /// The end of the names of targets.
    pub dns_suffix: String,
    /// The host that is asked.
    pub endpoint: String,
    /// The groups that containers, or nodes, must be in; any if there is none.
    pub groups: Vec<String>,
    /// The port of targets and of the host that is asked.
    pub port: i64,
    /// How often targets are looked for.
    pub refresh_interval: Duration,
    /// TLS settings.
    pub tls: TlsConfig,
    /// The version of the API.
    pub version: i64,
}

impl Kind for TritonConfig {
    const NAME: &'static str = "triton";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "triton.plain")?;
        let role = fields.read("role", string)?;
        let role = match role.as_deref() {
            None | Some("container") => Some(TritonRole::Container),
            Some("cn") => Some(TritonRole::Node),
            Some(_) => None,
        };
        let mut text = |name| Ok(fields.read(name, string)?.unwrap_or_default());
        let config = Self {
            account: text("account")?,
            role: role.unwrap_or(TritonRole::Container),
            dns_suffix: text("dns_suffix")?,
            endpoint: text("endpoint")?,
            groups: fields.read("groups", strings)?.unwrap_or_default(),
            port: fields.read("port", integer)?.unwrap_or(9163),
            refresh_interval: fields
                .read("refresh_interval", duration)?
                .unwrap_or(Duration::from_secs(60)),
            tls: fields
                .read("tls_config", |node| TlsConfig::decode(node, directory))?
                .unwrap_or_default(),
            version: fields.read("version", integer)?.unwrap_or(1),
        };
        fields.finish(&[])?;
        for (is_wrong, message) in [
            (role.is_none(), "role to be 'container' or 'cn'"),
            (config.account.is_empty(), "an account"),
            (config.dns_suffix.is_empty(), "a dns_suffix"),
            (config.endpoint.is_empty(), "an endpoint"),
            (
                config.refresh_interval.is_zero(),
                "RefreshInterval to be a positive integer",
            ),
        ] {
            if is_wrong {
                return error_at(node, format!("triton SD configuration requires {message}"));
            }
        }
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        let role = match self.role {
            TritonRole::Container => "container",
            TritonRole::Node => "cn",
        };
        let groups = self.groups.iter().cloned().map(Yaml::Text);
        entries
            .text("account", &self.account)
            .text("role", role)
            .text("dns_suffix", &self.dns_suffix)
            .text("endpoint", &self.endpoint)
            .list_if_set("groups", groups.collect())
            .put("port", Yaml::Raw(self.port.to_string()));
        render_interval(entries, self.refresh_interval);
        render::tls(entries, &self.tls);
        entries.put("version", Yaml::Raw(self.version.to_string()));
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        self.discovery_at(&format!("https://{}:{}", self.endpoint, self.port))
    }
}

impl TritonConfig {
    /// The discovery that asks the server at a URL.
    pub(crate) fn discovery_at(&self, url: &str) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let role = match self.role {
            TritonRole::Container => "",
            TritonRole::Node => "gz/",
        };
        let mut url = format!("{url}/v{}/{role}discover", self.version);
        if !self.groups.is_empty() {
            let groups = self.groups.join(",");
            let groups = url::form_urlencoded::byte_serialize(groups.as_bytes());
            url.push_str(&format!("?groups={}", groups.collect::<String>()));
        }
        let http = HttpClientConfig {
            tls: self.tls.clone(),
            enable_http2: false,
            ..HttpClientConfig::default()
        };
        let discovery = Triton {
            client: ApiClient::new(&http, PATIENCE)?,
            url,
            config: self.clone(),
        };
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct Triton {
    client: ApiClient,
    url: String,
    config: TritonConfig,
}

answers! {
    Containers { containers: Vec<Container>, }
    Container {
        groups: Vec<String>,
        server_uuid: String,
        vm_alias: String,
        vm_brand: String,
        vm_image_uuid: String,
        vm_uuid: String,
    }
    Nodes { cns: Vec<ComputeNode>, }
    ComputeNode { server_uuid: String, server_hostname: String, }
}

#[async_trait]
impl Refresh for Triton {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        Ok(match self.config.role {
            TritonRole::Container => {
                let found: Containers = self.ask("the discovery response").await?;
                let containers = found.containers.iter();
                group(
                    &self.url,
                    containers.map(|container| self.container(container)),
                )
            }
            TritonRole::Node => {
                let found: Nodes = self.ask("the compute node discovery response").await?;
                let nodes = found.cns.iter();
                group(
                    &self.url,
                    nodes.map(|node| self.target(&node.server_uuid, &node.server_hostname)),
                )
            }
        })
    }
}

impl Triton {
    async fn ask<T: DeserializeOwned>(&self, what: &str) -> Result<T, DiscoveryError> {
        let answer = self.client.get(&self.url).await.map_err(|error| {
            DiscoveryError::Answer(format!(
                "an error occurred when requesting targets from the discovery endpoint: {error}"
            ))
        })?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            DiscoveryError::Answer(format!(
                "an error occurred unmarshaling {what} json: {error}"
            ))
        })
    }

    /// What containers and nodes have in common.
    fn target(&self, id: &str, alias: &str) -> Target {
        let TritonConfig {
            dns_suffix, port, ..
        } = &self.config;
        let mut target = Target::new(PREFIX);
        let address = format!("{id}.{dns_suffix}:{port}");
        target.labels.insert(ADDRESS.to_owned(), address);
        target.put("machine_id", id);
        target.put("machine_alias", alias);
        target
    }

    fn container(&self, container: &Container) -> Target {
        let mut target = self.target(&container.vm_uuid, &container.vm_alias);
        target.put("machine_brand", &container.vm_brand);
        target.put("machine_image", &container.vm_image_uuid);
        target.put("server_id", &container.server_uuid);
        target.put_list("groups", &container.groups, ",");
        target
    }
}
