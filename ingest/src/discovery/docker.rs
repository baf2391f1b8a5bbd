//! Targets from the containers of a Docker engine (`docker_sd_configs`).

pub(super) mod api;
mod containers;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use self::api::{DockerApi, Filter, HostSettings};
use super::kind::{Kind, render_interval};
use super::periodic::{Periodic, Refresh};
use super::{Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::config::ConfigError;
use crate::config::decode::{Fields, boolean, string};
use crate::config::render;
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;

/// One entry of `docker_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerConfig {
    /// Which engine, and how often it is asked.
    pub host: HostSettings,
    /// The address of containers that share the network of their host; it may have a port.
    pub host_networking_host: String,
    /// Whether only the first network, by name, of a container with several gives targets.
    pub match_first_network: bool,
}

impl Kind for DockerConfig {
    const NAME: &'static str = "docker";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "moby.plain")?;
        let config = Self {
            host: HostSettings::take(&mut fields, node, directory)?,
            host_networking_host: fields
                .read_even_null("host_networking_host", string)?
                .unwrap_or_else(|| "localhost".to_owned()),
            match_first_network: fields
                .read_even_null("match_first_network", boolean)?
                .unwrap_or(true),
        };
        fields.finish(&[])?;
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        render::http(entries, &self.host.http);
        entries
            .text("host", &self.host.host)
            .put("port", Yaml::Raw(self.host.port.to_string()))
            .put("filters", Filter::render_all(&self.host.filters))
            .text("host_networking_host", &self.host_networking_host);
        render_interval(entries, self.host.refresh_interval);
        entries.flag("match_first_network", self.match_first_network);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = DockerDiscovery {
            api: DockerApi::new(&self.host)?,
            config: self.clone(),
        };
        Ok(Periodic::boxed(self.host.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct DockerDiscovery {
    api: DockerApi,
    config: DockerConfig,
}

#[async_trait]
impl Refresh for DockerDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let containers = self
            .api
            .list("containers/json", "listing containers", true)
            .await?;
        let networks = self.api.network_labels("__meta_docker_").await?;
        Ok(vec![TargetGroup {
            source: "Docker".to_owned(),
            targets: containers::targets(&containers, &networks, &self.config),
            labels: LabelMap::new(),
        }])
    }
}

/// How often an engine is asked where the configuration does not say.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);
