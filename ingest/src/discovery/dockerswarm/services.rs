//! Services of a swarm.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{PREFIX, address_of, labels};
use crate::discovery::api_client::nullable;
use crate::discovery::docker::api::add_labels;
use crate::discovery::labels::host_port;
use crate::discovery::{ADDRESS, DiscoveryError, LabelMap};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Service {
    #[serde(rename = "ID")]
    pub(super) id: String,
    spec: Spec,
    endpoint: Endpoint,
    update_status: Option<UpdateStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Spec {
    name: String,
    mode: Mode,
    task_template: TaskTemplate,
    #[serde(deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

/// Which of these is there says how the service is replicated.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Mode {
    global: Option<serde_json::Value>,
    replicated: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TaskTemplate {
    container_spec: Option<ContainerSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerSpec {
    hostname: String,
    image: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct UpdateStatus {
    state: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Endpoint {
    #[serde(deserialize_with = "nullable")]
    ports: Vec<Port>,
    #[serde(rename = "VirtualIPs", deserialize_with = "nullable")]
    virtual_ips: Vec<VirtualIp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct VirtualIp {
    #[serde(rename = "NetworkID")]
    network_id: String,
    addr: String,
}

/// A published port of a service or task.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Port {
    name: String,
    protocol: String,
    pub(super) published_port: u32,
    pub(super) publish_mode: String,
}

impl Port {
    pub(super) fn is_tcp(&self) -> bool {
        self.protocol == "tcp"
    }
}

impl Service {
    /// The labels that tasks get from their service.
    pub(super) fn labels(&self) -> LabelMap {
        let mode = &self.spec.mode;
        let mode = match (&mode.global, &mode.replicated) {
            (Some(_), _) => "global",
            (None, Some(_)) => "replicated",
            (None, None) => "",
        };
        let mut labels = labels([
            ("service_id", &self.id),
            ("service_name", &self.spec.name),
            ("service_mode", mode),
        ]);
        add_labels(
            &mut labels,
            &format!("{PREFIX}service_label_"),
            &self.spec.labels,
        );
        labels
    }

    /// The published ports that speak TCP.
    pub(super) fn tcp_ports(&self) -> impl Iterator<Item = &Port> {
        self.endpoint.ports.iter().filter(|port| port.is_tcp())
    }

    fn own_labels(&self) -> LabelMap {
        let mut common = self.labels();
        if let Some(container) = &self.spec.task_template.container_spec {
            common.extend(labels([
                ("service_task_container_hostname", &container.hostname),
                ("service_task_container_image", &container.image),
            ]));
        }
        if let Some(update) = &self.update_status {
            common.extend(labels([("service_updating_status", &update.state)]));
        }
        common
    }
}

/// A target for each virtual address and port.
pub(super) fn targets(
    services: &[Service],
    networks: &BTreeMap<String, LabelMap>,
    port: i64,
) -> Result<Vec<LabelMap>, DiscoveryError> {
    let mut targets = Vec::new();
    for service in services {
        let common = service.own_labels();
        for virtual_ip in &service.endpoint.virtual_ips {
            let ip = address_of(&virtual_ip.addr)?;
            let of_network = networks.get(&virtual_ip.network_id);
            let with_common = |mut labels: LabelMap, address: String| {
                labels.extend(common.clone());
                labels.extend(of_network.cloned().unwrap_or_default());
                labels.insert(ADDRESS.to_owned(), address);
                labels
            };
            let before = targets.len();
            for port in service.tcp_ports() {
                let of_port = labels([
                    ("service_endpoint_port_name", &port.name),
                    ("service_endpoint_port_publish_mode", &port.publish_mode),
                ]);
                targets.push(with_common(of_port, host_port(&ip, port.published_port)));
            }
            if targets.len() == before {
                targets.push(with_common(LabelMap::new(), host_port(&ip, port)));
            }
        }
    }
    Ok(targets)
}
