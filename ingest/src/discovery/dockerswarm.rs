//! Targets from a Docker swarm (`dockerswarm_sd_configs`): its services, tasks or nodes.

mod nodes;
mod services;
mod tasks;

use std::path::Path;

use async_trait::async_trait;

use self::nodes::Node as SwarmNode;
use self::services::Service;
use super::docker::api::{DockerApi, Filter, HostSettings};
use super::kind::{Kind, render_interval};
use super::periodic::{Periodic, Refresh};
use super::{Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::config::decode::{Fields, error_at, string};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, render};

/// What begins the names of labels.
const PREFIX: &str = "__meta_dockerswarm_";

/// What gives targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwarmRole {
    /// The ports of services, at their virtual addresses.
    Services,
    /// The ports of tasks, at their own addresses.
    Tasks,
    /// The nodes.
    Nodes,
}

/// One entry of `dockerswarm_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerSwarmConfig {
    /// Which engine, and how often it is asked.
    pub host: HostSettings,
    /// What gives targets.
    pub role: SwarmRole,
}

impl Kind for DockerSwarmConfig {
    const NAME: &'static str = "dockerswarm";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "moby.plain")?;
        let host = HostSettings::take(&mut fields, node, directory)?;
        let role = fields.read("role", string)?.unwrap_or_default();
        fields.finish(&[])?;
        let role = match role.as_str() {
            "services" => SwarmRole::Services,
            "tasks" => SwarmRole::Tasks,
            "nodes" => SwarmRole::Nodes,
            "" => return error_at(node, "role missing (one of: tasks, services, nodes)"),
            other => {
                return error_at(
                    node,
                    format!("invalid role {other}, expected tasks, services, or nodes"),
                );
            }
        };
        Ok(Self { host, role })
    }

    fn render(&self, entries: &mut Entries) {
        render::http(entries, &self.host.http);
        entries
            .text("host", &self.host.host)
            .text("role", self.role.as_str())
            .put("port", Yaml::Raw(self.host.port.to_string()))
            .put("filters", Filter::render_all(&self.host.filters));
        render_interval(entries, self.host.refresh_interval);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = SwarmDiscovery {
            api: DockerApi::new(&self.host)?,
            role: self.role,
            port: self.host.port,
        };
        Ok(Periodic::boxed(self.host.refresh_interval, discovery))
    }
}

impl SwarmRole {
    /// The name in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Tasks => "tasks",
            Self::Nodes => "nodes",
        }
    }
}

#[derive(Debug)]
struct SwarmDiscovery {
    api: DockerApi,
    role: SwarmRole,
    port: i64,
}

#[async_trait]
impl Refresh for SwarmDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let targets = match self.role {
            SwarmRole::Services => self.services().await?,
            SwarmRole::Tasks => self.tasks().await?,
            SwarmRole::Nodes => self.nodes().await?,
        };
        Ok(vec![TargetGroup {
            source: "DockerSwarm".to_owned(),
            targets,
            labels: LabelMap::new(),
        }])
    }
}

impl SwarmDiscovery {
    async fn services(&mut self) -> Result<Vec<LabelMap>, DiscoveryError> {
        let what = "listing swarm services";
        let services: Vec<Service> = self.api.list("services", what, true).await?;
        let networks = self.api.network_labels(PREFIX).await?;
        services::targets(&services, &networks, self.port)
    }

    async fn tasks(&mut self) -> Result<Vec<LabelMap>, DiscoveryError> {
        let tasks = self
            .api
            .list("tasks", "listing swarm services", true)
            .await?;
        let what = "computing services labels and ports";
        let services: Vec<Service> = self.api.list("services", what, false).await?;
        let what = "computing nodes labels and ports";
        let nodes: Vec<SwarmNode> = self.api.list("nodes", what, false).await?;
        let networks = self.api.network_labels(PREFIX).await?;
        tasks::targets(&tasks, &services, &nodes, &networks, self.port)
    }

    async fn nodes(&mut self) -> Result<Vec<LabelMap>, DiscoveryError> {
        let what = "listing swarm nodes";
        let nodes: Vec<SwarmNode> = self.api.list("nodes", what, true).await?;
        Ok(nodes.iter().map(|node| node.target(self.port)).collect())
    }
}

/// Labels of a swarm from names without prefix.
fn labels<const N: usize>(pairs: [(&str, &str); N]) -> LabelMap {
    let pairs = pairs.into_iter();
    pairs
        .map(|(name, value)| (format!("{PREFIX}{name}"), value.to_owned()))
        .collect()
}

/// The address in `address/bits`.
fn address_of(cidr: &str) -> Result<String, DiscoveryError> {
    let (ip, bits) = cidr.split_once('/').unwrap_or((cidr, ""));
    let parsed: Result<std::net::IpAddr, _> = ip.parse();
    match parsed {
        Ok(ip) if bits.parse::<u8>().is_ok() => Ok(ip.to_string()),
        _ => Err(DiscoveryError::Answer(format!(
            "error while parsing address {cidr}: invalid CIDR address: {cidr}"
        ))),
    }
}
