//! Labels of objects, whatever the role.

use super::AttachMetadata;
use super::objects::{Meta, Node, Plain, Pod, Service, key};
use super::watched::Store;
use crate::discovery::LabelMap;
use crate::discovery::labels::sanitized;

pub(super) const PREFIX: &str = "__meta_kubernetes_";

/// Puts a label under its name without the prefix.
pub(super) fn put(labels: &mut LabelMap, name: &str, value: impl Into<String>) {
    labels.insert(format!("{PREFIX}{name}"), value.into());
}

/// Puts a label if there is a value.
pub(super) fn put_known(labels: &mut LabelMap, name: &str, value: Option<impl Into<String>>) {
    if let Some(value) = value {
        put(labels, name, value);
    }
}

/// What an object is called, its labels and annotations. `kind` is the word in the names.
pub(super) fn put_meta(labels: &mut LabelMap, meta: &Meta, kind: &str) {
    put(labels, &format!("{kind}_name"), &meta.name);
    put_labels(labels, meta, kind);
}

fn put_labels(labels: &mut LabelMap, meta: &Meta, kind: &str) {
    for (what, map) in [("label", &meta.labels), ("annotation", &meta.annotations)] {
        for (name, value) in map {
            let name = sanitized(name);
            put(labels, &format!("{kind}_{what}_{name}"), value);
            put(labels, &format!("{kind}_{what}present_{name}"), "true");
        }
    }
}

/// The objects that others refer to; `None` for those that nobody asked for.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) attach: &'a AttachMetadata,
    pub(super) nodes: Option<&'a Store<Node>>,
    pub(super) namespaces: Option<&'a Store<Plain>>,
    pub(super) replica_sets: Option<&'a Store<Plain>>,
    pub(super) jobs: Option<&'a Store<Plain>>,
}

impl Known<'_> {
    /// Adds what is known about a node.
    pub(super) fn put_node(&self, labels: &mut LabelMap, name: Option<&str>) {
        let node = name.and_then(|name| self.nodes?.get(name));
        if let Some(node) = node {
            put_meta(labels, &node.metadata, "node");
        }
    }

    /// Adds the labels of a namespace; its name is there already.
    pub(super) fn put_namespace(&self, labels: &mut LabelMap, name: &str) {
        let namespace = self.namespaces.and_then(|namespaces| namespaces.get(name));
        if let Some(namespace) = namespace {
            put_labels(labels, &namespace.metadata, "namespace");
        }
    }

    /// Adds the labels of a pod but for its namespace.
    pub(super) fn put_pod(&self, labels: &mut LabelMap, pod: &Pod) {
        let mut conditions = pod.status.conditions.iter();
        let ready = conditions.find(|condition| condition.kind == "Ready");
        let ready = ready.map_or("unknown", |condition| condition.status.as_str());
        put(labels, "pod_ip", &pod.status.pod_ip);
        put(labels, "pod_ready", ready.to_lowercase());
        put(labels, "pod_phase", &pod.status.phase);
        put(labels, "pod_node_name", &pod.spec.node_name);
        put(labels, "pod_host_ip", &pod.status.host_ip);
        put(labels, "pod_uid", &pod.metadata.uid);
        put_meta(labels, &pod.metadata, "pod");
        self.put_controller(labels, &pod.metadata);
    }

    fn put_controller(&self, labels: &mut LabelMap, pod: &Meta) {
        let Some(controller) = pod.controller() else {
            return;
        };
        for (what, value) in [("kind", &controller.kind), ("name", &controller.name)] {
            if !value.is_empty() {
                put(labels, &format!("pod_controller_{what}"), value);
            }
        }
        // What made that which made the pod, if it is of the kind.
        let maker = |objects: Option<&Store<Plain>>, kind: &str| {
            let object = objects?.get(&key(&pod.namespace, &controller.name))?;
            let maker = object.metadata.controller()?;
            (maker.kind == kind).then(|| maker.name.clone())
        };
        match controller.kind.as_str() {
            "ReplicaSet" if self.attach.deployment => {
                let deployment = maker(self.replica_sets, "Deployment");
                put_known(labels, "pod_deployment_name", deployment);
            }
            "Job" => {
                if self.attach.job {
                    put(labels, "pod_job_name", &controller.name);
                }
                if self.attach.cronjob {
                    put_known(labels, "pod_cronjob_name", maker(self.jobs, "CronJob"));
                }
            }
            _ => {}
        }
    }
}

/// Adds the labels that a service has in common with its endpoints.
pub(super) fn put_service(labels: &mut LabelMap, service: &Service) {
    put(labels, "namespace", &service.metadata.namespace);
    put_meta(labels, &service.metadata, "service");
}
