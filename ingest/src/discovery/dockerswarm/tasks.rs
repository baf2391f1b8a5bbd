//! Tasks of a swarm.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::nodes::Node;
use super::services::{Port, Service};
use super::{PREFIX, address_of, labels};
use crate::discovery::api_client::nullable;
use crate::discovery::docker::api::add_labels;
use crate::discovery::labels::host_port;
use crate::discovery::{ADDRESS, DiscoveryError, LabelMap};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Task {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "ServiceID")]
    service_id: String,
    #[serde(rename = "NodeID")]
    node_id: String,
    slot: i64,
    desired_state: String,
    status: Status,
    spec: Spec,
    #[serde(deserialize_with = "nullable")]
    networks_attachments: Vec<Attachment>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Status {
    state: String,
    container_status: Option<ContainerStatus>,
    #[serde(deserialize_with = "nullable")]
    port_status: PortStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerStatus {
    #[serde(rename = "ContainerID")]
    container_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PortStatus {
    #[serde(deserialize_with = "nullable")]
    ports: Vec<Port>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Spec {
    #[serde(deserialize_with = "nullable")]
    container_spec: ContainerSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerSpec {
    #[serde(deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

/// A task's place in a network.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attachment {
    network: Network,
    #[serde(deserialize_with = "nullable")]
    addresses: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Network {
    #[serde(rename = "ID")]
    id: String,
}

impl Task {
    fn labels(&self) -> LabelMap {
        let mut own = labels([
            ("task_id", &self.id),
            ("task_desired_state", &self.desired_state),
            ("task_state", &self.status.state),
            ("task_slot", &self.slot.to_string()),
        ]);
        if let Some(container) = &self.status.container_status {
            own.extend(labels([("task_container_id", &container.container_id)]));
        }
        add_labels(
            &mut own,
            &format!("{PREFIX}container_label_"),
            &self.spec.container_spec.labels,
        );
        own
    }
}

fn mode_of(port: &Port) -> LabelMap {
    labels([("task_port_publish_mode", &port.publish_mode)])
}

/// A target for each port that a task publishes on its node, and for each of its addresses and ports of its service.
pub(super) fn targets(
    tasks: &[Task],
    services: &[Service],
    nodes: &[Node],
    networks: &BTreeMap<String, LabelMap>,
    port: i64,
) -> Result<Vec<LabelMap>, DiscoveryError> {
    let services: BTreeMap<&str, &Service> = services.iter().map(|s| (s.id.as_str(), s)).collect();
    let nodes: BTreeMap<&str, &Node> = nodes.iter().map(|n| (n.id.as_str(), n)).collect();
    let mut targets = Vec::new();
    for task in tasks {
        let service = services.get(task.service_id.as_str());
        let node = nodes.get(task.node_id.as_str());
        let mut common = task.labels();
        common.extend(service.map(|service| service.labels()).unwrap_or_default());
        common.extend(node.map(|node| node.labels()).unwrap_or_default());
        let with_common = |mut labels: LabelMap, of_network: Option<&LabelMap>, address: String| {
            labels.extend(common.clone());
            labels.extend(of_network.cloned().unwrap_or_default());
            labels.insert(ADDRESS.to_owned(), address);
            labels
        };
        let ports = task.status.port_status.ports.iter();
        for port in ports.filter(|port| port.is_tcp()) {
            let host = node.map_or("", |node| node.address());
            let address = host_port(host, port.published_port);
            targets.push(with_common(mode_of(port), None, address));
        }
        for attachment in &task.networks_attachments {
            let of_network = networks.get(&attachment.network.id);
            for address in &attachment.addresses {
                let ip = address_of(address)?;
                let before = targets.len();
                for port in service.iter().flat_map(|service| service.tcp_ports()) {
                    let address = host_port(&ip, port.published_port);
                    targets.push(with_common(mode_of(port), of_network, address));
                }
                if targets.len() == before {
                    let address = host_port(&ip, port);
                    targets.push(with_common(LabelMap::new(), of_network, address));
                }
            }
        }
    }
    Ok(targets)
}
