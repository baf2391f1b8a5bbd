//! Groups of endpoints and endpoint slices, with the pods behind them.

use std::collections::BTreeMap;

use super::groups::{containers, source, with_address};
use super::labels::{Known, put, put_known, put_meta, put_service};
use super::objects::{
    Container, ContainerPort, Endpoint, EndpointAddress, EndpointSlice, Endpoints, Pod, Reference,
    Service, ServicePort, SlicePort, key,
};
use super::watched::Store;
use crate::discovery::labels::{host_port, sanitized};
use crate::discovery::{LabelMap, TargetGroup};

/// The objects that endpoints refer to.
#[derive(Clone, Copy)]
pub(super) struct Behind<'a> {
    pub(super) known: Known<'a>,
    pub(super) services: &'a Store<Service>,
    pub(super) pods: &'a Store<Pod>,
}

/// The pods behind the endpoints of one object, with the ports that they have a target for.
struct Pods<'a> {
    behind: &'a Behind<'a>,
    seen: BTreeMap<String, (&'a Pod, Vec<i32>)>,
}

impl<'a> Pods<'a> {
    fn new(behind: &'a Behind<'a>) -> Self {
        Self {
            behind,
            seen: BTreeMap::new(),
        }
    }

    /// Adds to a target what is known about the pod that it refers to. A container that has the port is told as well, with
    /// `protocol` or else its own.
    fn complete(
        &mut self,
        target: &mut LabelMap,
        reference: Option<&Reference>,
        port: Option<i32>,
        protocol: Option<&str>,
    ) {
        let reference = reference.filter(|reference| reference.kind == "Pod");
        let id = reference.map(|pod| key(&pod.namespace, &pod.name));
        let Some(pod) = id.as_ref().and_then(|id| self.behind.pods.get(id)) else {
            return;
        };
        self.behind.known.put_pod(target, pod);
        for (container, init) in containers(pod) {
            let mut ports = container.ports.iter();
            let found = ports.find(|found| Some(found.container_port) == port);
            if let Some(found) = found {
                put_container(target, container, found, init);
                put_known(target, "pod_container_port_protocol", protocol);
            }
        }
        let (_, ports) = self.seen.entry(pod.metadata.key()).or_insert((pod, vec![]));
        ports.extend(port);
    }

    /// Targets for those ports of the pods that no endpoint has.
    fn others(self) -> Vec<LabelMap> {
        let mut targets = Vec::new();
        for (pod, seen) in self.seen.into_values() {
            let ip = &pod.status.pod_ip;
            // A pod that starts or was evicted has no address.
            if ip.is_empty() {
                continue;
            }
            for (container, init) in containers(pod) {
                for port in &container.ports {
                    if seen.contains(&port.container_port) {
                        continue;
                    }
                    let mut target = with_address(host_port(ip, port.container_port));
                    put_container(&mut target, container, port, init);
                    self.behind.known.put_pod(&mut target, pod);
                    targets.push(target);
                }
            }
        }
        targets
    }
}

fn put_container(target: &mut LabelMap, container: &Container, port: &ContainerPort, init: bool) {
    let number = port.container_port.to_string();
    put(target, "pod_container_name", &container.name);
    put(target, "pod_container_image", &container.image);
    put(target, "pod_container_port_name", &port.name);
    put(target, "pod_container_port_number", number);
    put(target, "pod_container_port_protocol", &port.protocol);
    put(target, "pod_container_init", init.to_string());
}

fn put_reference(target: &mut LabelMap, kind: &str, reference: Option<&Reference>) {
    if let Some(reference) = reference {
        put(
            target,
            &format!("{kind}_address_target_kind"),
            &reference.kind,
        );
        put(
            target,
            &format!("{kind}_address_target_name"),
            &reference.name,
        );
    }
}

/// The name of the node that is referred to, if it is one.
fn node_of(reference: Option<&Reference>) -> Option<&str> {
    let node = reference.filter(|reference| reference.kind == "Node");
    node.map(|node| node.name.as_str())
}

/// The group of an endpoints object: a target for each address and port.
pub(super) fn endpoints(endpoints: &Endpoints, behind: &Behind<'_>) -> TargetGroup {
    let meta = &endpoints.metadata;
    let mut labels = LabelMap::new();
    put(&mut labels, "namespace", &meta.namespace);
    if let Some(service) = behind.services.get(&meta.key()) {
        put_service(&mut labels, service);
    }
    put_meta(&mut labels, meta, "endpoints");
    behind.known.put_namespace(&mut labels, &meta.namespace);
    let capacity = meta.labels.get("endpoints.kubernetes.io/over-capacity");
    if let Some("truncated" | "warning") = capacity.map(String::as_str) {
        tracing::warn!(
            endpoints = meta.name,
            "Number of endpoints in one Endpoints object exceeds 1000, please use \"role: endpointslice\" instead"
        );
    }
    let mut pods = Pods::new(behind);
    let mut targets = Vec::new();
    for subset in &endpoints.subsets {
        for port in &subset.ports {
            let ready = subset.addresses.iter().map(|a| (a, "true"));
            let unready = subset.not_ready_addresses.iter().map(|a| (a, "false"));
            for (address, ready) in ready.chain(unready) {
                let mut target = endpoint(address, port, ready, &behind.known);
                let reference = address.target_ref.as_ref();
                pods.complete(
                    &mut target,
                    reference,
                    Some(port.port),
                    Some(&port.protocol),
                );
                targets.push(target);
            }
        }
    }
    targets.extend(pods.others());
    TargetGroup {
        source: source("endpoints", meta),
        targets,
        labels,
    }
}

fn endpoint(
    address: &EndpointAddress,
    port: &ServicePort,
    ready: &str,
    known: &Known<'_>,
) -> LabelMap {
    let mut target = with_address(host_port(&address.ip, port.port));
    put(&mut target, "endpoint_port_name", &port.name);
    put(&mut target, "endpoint_port_protocol", &port.protocol);
    put(&mut target, "endpoint_ready", ready);
    let reference = address.target_ref.as_ref();
    put_reference(&mut target, "endpoint", reference);
    put_known(
        &mut target,
        "endpoint_node_name",
        address.node_name.as_ref(),
    );
    if !address.hostname.is_empty() {
        put(&mut target, "endpoint_hostname", &address.hostname);
    }
    let node = address.node_name.as_deref().or(node_of(reference));
    known.put_node(&mut target, node);
    target
}

/// The group of an endpoint slice: a target for each address and port.
pub(super) fn slice(slice: &EndpointSlice, behind: &Behind<'_>) -> TargetGroup {
    const KIND: &str = "endpointslice";
    let meta = &slice.metadata;
    let mut labels = LabelMap::new();
    put(&mut labels, "namespace", &meta.namespace);
    put(
        &mut labels,
        "endpointslice_address_type",
        &slice.address_type,
    );
    put_meta(&mut labels, meta, KIND);
    let service = meta.labels.get("kubernetes.io/service-name");
    let service = service.and_then(|name| behind.services.get(&key(&meta.namespace, name)));
    if let Some(service) = service {
        put_service(&mut labels, service);
    }
    behind.known.put_namespace(&mut labels, &meta.namespace);
    let mut group = TargetGroup {
        source: source(KIND, meta),
        targets: Vec::new(),
        labels,
    };
    if service.is_some_and(|service| is_secondary(slice, service)) {
        return group;
    }
    let mut pods = Pods::new(behind);
    for endpoint in &slice.endpoints {
        for port in &slice.ports {
            for address in &endpoint.addresses {
                let mut target = slice_endpoint(address, endpoint, port, &behind.known);
                let reference = endpoint.target_ref.as_ref();
                pods.complete(&mut target, reference, port.port, None);
                group.targets.push(target);
            }
        }
    }
    group.targets.extend(pods.others());
    group
}

/// Whether a slice has the second addresses of a service that has some of both families: they lead to the same endpoints.
fn is_secondary(slice: &EndpointSlice, service: &Service) -> bool {
    let policy = service.spec.ip_family_policy.as_str();
    let dual = matches!(policy, "PreferDualStack" | "RequireDualStack");
    let primary = service.spec.ip_families.first();
    dual && primary.is_some_and(|family| *family != slice.address_type)
}

fn slice_endpoint(
    address: &str,
    endpoint: &Endpoint,
    port: &SlicePort,
    known: &Known<'_>,
) -> LabelMap {
    let number = port.port.map(|number| number.to_string());
    let mut target = with_address(match &number {
        Some(number) => host_port(address, number),
        None => address.to_owned(),
    });
    let conditions = &endpoint.conditions;
    let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
    for (name, value) in [
        ("port_name", port.name.clone()),
        ("port_protocol", port.protocol.clone()),
        ("port", number),
        ("port_app_protocol", port.app_protocol.clone()),
        ("endpoint_conditions_ready", flag(conditions.ready)),
        ("endpoint_conditions_serving", flag(conditions.serving)),
        (
            "endpoint_conditions_terminating",
            flag(conditions.terminating),
        ),
        ("endpoint_hostname", endpoint.hostname.clone()),
        ("endpoint_node_name", endpoint.node_name.clone()),
        ("endpoint_zone", endpoint.zone.clone()),
    ] {
        put_known(&mut target, &format!("endpointslice_{name}"), value);
    }
    let reference = endpoint.target_ref.as_ref();
    put_reference(&mut target, "endpointslice", reference);
    for (name, value) in &endpoint.deprecated_topology {
        const TOPOLOGY: &str = "endpointslice_endpoint_topology";
        let name = sanitized(name);
        put(&mut target, &format!("{TOPOLOGY}_{name}"), value);
        put(&mut target, &format!("{TOPOLOGY}_present_{name}"), "true");
    }
    let node = node_of(reference).or(endpoint.node_name.as_deref());
    known.put_node(&mut target, node);
    target
}
