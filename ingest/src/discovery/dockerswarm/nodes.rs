//! Nodes of a swarm.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{PREFIX, labels};
use crate::discovery::api_client::nullable;
use crate::discovery::docker::api::add_labels;
use crate::discovery::labels::host_port;
use crate::discovery::{ADDRESS, LabelMap};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Node {
    #[serde(rename = "ID")]
    pub(super) id: String,
    spec: Spec,
    description: Description,
    status: Status,
    manager_status: Option<ManagerStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Spec {
    role: String,
    availability: String,
    #[serde(deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Description {
    hostname: String,
    platform: Platform,
    engine: Engine,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Platform {
    architecture: String,
    #[serde(rename = "OS")]
    os: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Engine {
    engine_version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Status {
    state: String,
    addr: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ManagerStatus {
    leader: bool,
    reachability: String,
    addr: String,
}

impl Node {
    /// The labels that tasks get from the node that they run on.
    pub(super) fn labels(&self) -> LabelMap {
        let platform = &self.description.platform;
        let mut labels = labels([
            ("node_id", &self.id),
            ("node_role", &self.spec.role),
            ("node_availability", &self.spec.availability),
            ("node_hostname", &self.description.hostname),
            ("node_platform_architecture", &platform.architecture),
            ("node_platform_os", &platform.os),
            ("node_status", &self.status.state),
            ("node_address", &self.status.addr),
        ]);
        add_labels(
            &mut labels,
            &format!("{PREFIX}node_label_"),
            &self.spec.labels,
        );
        labels
    }

    /// The address of the node.
    pub(super) fn address(&self) -> &str {
        &self.status.addr
    }

    /// The node as a target.
    pub(super) fn target(&self, port: i64) -> LabelMap {
        let mut target = self.labels();
        let engine = &self.description.engine.engine_version;
        target.extend(labels([("node_engine_version", engine)]));
        if let Some(manager) = &self.manager_status {
            target.extend(labels([
                ("node_manager_leader", &manager.leader.to_string()),
                ("node_manager_reachability", &manager.reachability),
                ("node_manager_address", &manager.addr),
            ]));
        }
        target.insert(ADDRESS.to_owned(), host_port(&self.status.addr, port));
        target
    }
}
