//! From containers to targets: one for each network and TCP port.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::DockerConfig;
use super::api::add_labels;
use crate::discovery::api_client::nullable;
use crate::discovery::labels::host_port;
use crate::discovery::{ADDRESS, LabelMap};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Container {
    id: String,
    #[serde(deserialize_with = "nullable")]
    names: Vec<String>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    #[serde(deserialize_with = "nullable")]
    ports: Vec<Port>,
    #[serde(deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    host_config: HostConfig,
    #[serde(deserialize_with = "nullable")]
    network_settings: NetworkSettings,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    #[serde(deserialize_with = "nullable")]
    networks: BTreeMap<String, Option<Endpoint>>,
}

/// A container's place in a network.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Endpoint {
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    #[serde(rename = "IP")]
    ip: String,
    private_port: u16,
    public_port: u16,
    r#type: String,
}

/// The targets of all containers. `networks`: the labels of each network.
pub(super) fn targets(
    containers: &[Container],
    networks: &BTreeMap<String, LabelMap>,
    config: &DockerConfig,
) -> Vec<LabelMap> {
    let mut targets = Vec::new();
    let by_id: BTreeMap<&str, &Container> = containers.iter().map(|c| (c.id.as_str(), c)).collect();
    for container in containers {
        let Some(common) = container.labels() else {
            continue;
        };
        let mut endpoints = container.endpoints(&by_id);
        if config.match_first_network {
            endpoints.truncate(1);
        }
        for endpoint in endpoints {
            let of_network = networks.get(&endpoint.network_id);
            // The more general labels win, as in Prometheus; their names differ anyway.
            let with_common = |mut labels: LabelMap, address: String| {
                labels.extend(common.clone());
                labels.extend(of_network.cloned().unwrap_or_default());
                labels.insert(ADDRESS.to_owned(), address);
                labels
            };
            let before = targets.len();
            for port in container.ports.iter().filter(|port| port.r#type == "tcp") {
                let address = host_port(&endpoint.ip(), port.private_port);
                targets.push(with_common(port.labels(endpoint), address));
            }
            if targets.len() == before {
                let address = match container.host_config.network_mode.as_str() {
                    "host" => config.host_networking_host.clone(),
                    _ => host_port(&endpoint.ip(), config.host.port),
                };
                targets.push(with_common(endpoint.labels(), address));
            }
        }
    }
    targets
}

impl Container {
    /// The labels of all targets of the container; `None` for one without a name.
    fn labels(&self) -> Option<LabelMap> {
        let mut labels: LabelMap = [
            ("id", &self.id),
            ("name", self.names.first()?),
            ("network_mode", &self.host_config.network_mode),
            ("image", &self.image),
            ("image_id", &self.image_id),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (format!("__meta_docker_container_{name}"), value.clone()))
        .collect();
        add_labels(&mut labels, "__meta_docker_container_label_", &self.labels);
        Some(labels)
    }

    /// The container's places in networks by the names of these. One that lives in the network of another container has that
    /// one's.
    fn endpoints<'a>(&'a self, by_id: &BTreeMap<&str, &'a Self>) -> Vec<&'a Endpoint> {
        let mut container = self;
        // As many steps as there are containers: more of them would go in a circle.
        for _ in by_id {
            if !container.network_settings.networks.is_empty() {
                break;
            }
            let mode = &container.host_config.network_mode;
            let other = mode.strip_prefix("container:");
            match other.and_then(|id| by_id.get(id)) {
                Some(other) => container = other,
                None => break,
            }
        }
        let networks = container.network_settings.networks.values();
        networks.flatten().collect()
    }
}

impl Endpoint {
    fn ip(&self) -> String {
        match canonical(&self.ip_address) {
            ip if ip.is_empty() => canonical(&self.global_ipv6_address),
            ip => ip,
        }
    }

    fn labels(&self) -> LabelMap {
        LabelMap::from([("__meta_docker_network_ip".to_owned(), self.ip())])
    }
}

impl Port {
    fn labels(&self, endpoint: &Endpoint) -> LabelMap {
        let mut labels = endpoint.labels();
        let mut add = |name: &str, value: String| {
            labels.insert(format!("__meta_docker_port_{name}"), value);
        };
        add("private", self.private_port.to_string());
        if self.public_port > 0 {
            add("public", self.public_port.to_string());
            add("public_ip", canonical(&self.ip));
        }
        labels
    }
}

/// An address in its usual form.
fn canonical(ip: &str) -> String {
    let parsed = ip.parse::<IpAddr>().map(|ip| ip.to_string());
    parsed.unwrap_or_else(|_| ip.to_owned())
}
