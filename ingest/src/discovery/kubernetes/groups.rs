//! Groups of nodes, services, pods and ingresses.

use super::labels::{Known, put, put_known, put_meta, put_service};
use super::objects::{Container, Ingress, IngressRule, Meta, Node, Pod, Service};
use crate::discovery::labels::{host_port, sanitized};
use crate::discovery::{ADDRESS, LabelMap, TargetGroup};

/// The address types of a node, the best first.
const NODE_ADDRESSES: [&str; 6] = [
    "InternalIP",
    "InternalDNS",
    "ExternalIP",
    "ExternalDNS",
    "LegacyHostIP",
    "Hostname",
];

pub(super) fn source(kind: &str, meta: &Meta) -> String {
    format!("{kind}/{}", meta.key())
}

pub(super) fn with_address(address: impl Into<String>) -> LabelMap {
    LabelMap::from([(ADDRESS.to_owned(), address.into())])
}

/// The group of a node; none where its address is not known.
pub(super) fn node(node: &Node) -> Option<TargetGroup> {
    let addresses = &node.status.addresses;
    let of_type = |kind: &&str| addresses.iter().find(|address| address.kind == *kind);
    let Some(address) = NODE_ADDRESSES.iter().find_map(of_type) else {
        tracing::warn!(
            node = node.metadata.name,
            "No node address found: host address unknown"
        );
        return None;
    };
    let port = node.status.daemon_endpoints.kubelet_endpoint.port;
    let mut target = with_address(host_port(&address.address, port));
    target.insert("instance".to_owned(), node.metadata.name.clone());
    // The first of each type counts.
    for address in addresses.iter().rev() {
        let name = format!("node_address_{}", sanitized(&address.kind));
        put(&mut target, &name, &address.address);
    }
    let mut labels = LabelMap::new();
    put(&mut labels, "node_provider_id", &node.spec.provider_id);
    for condition in &node.status.conditions {
        let kind = sanitized(&condition.kind.to_lowercase());
        let status = condition.status.to_lowercase();
        put(&mut labels, &format!("node_condition_{kind}"), status);
    }
    put_meta(&mut labels, &node.metadata, "node");
    Some(TargetGroup {
        source: source("node", &node.metadata),
        targets: vec![target],
        labels,
    })
}

/// The group of a service: a target for each port.
pub(super) fn service(service: &Service, known: &Known<'_>) -> TargetGroup {
    let meta = &service.metadata;
    let spec = &service.spec;
    let mut labels = LabelMap::new();
    put_service(&mut labels, service);
    known.put_namespace(&mut labels, &meta.namespace);
    let targets = spec.ports.iter().map(|port| {
        let host = format!("{}.{}.svc", meta.name, meta.namespace);
        let mut target = with_address(host_port(&host, port.port));
        put(&mut target, "service_port_name", &port.name);
        put(&mut target, "service_port_number", port.port.to_string());
        put(&mut target, "service_port_protocol", &port.protocol);
        put(&mut target, "service_type", &spec.kind);
        match spec.kind.as_str() {
            "ExternalName" => put(&mut target, "service_external_name", &spec.external_name),
            _ => put(&mut target, "service_cluster_ip", &spec.cluster_ip),
        }
        if spec.kind == "LoadBalancer" {
            let ip = load_balancer_ips(service);
            put(&mut target, "service_loadbalancer_ip", ip);
        }
        target
    });
    TargetGroup {
        source: source("svc", meta),
        targets: targets.collect(),
        labels,
    }
}

fn load_balancer_ips(service: &Service) -> String {
    let ingress = service.status.load_balancer.ingress.iter();
    let ips: Vec<_> = ingress.map(|i| i.ip.as_str()).collect();
    let ips: Vec<_> = ips.into_iter().filter(|ip| !ip.is_empty()).collect();
    match ips.is_empty() {
        true => service.spec.load_balancer_ip.clone(),
        false => ips.join(","),
    }
}

/// The containers of a pod, each with whether it runs before the others.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let containers = pod.spec.containers.iter().map(|c| (c, false));
    containers.chain(pod.spec.init_containers.iter().map(|c| (c, true)))
}

/// The group of a pod: a target for each port of each container, and one for a container without ports.
pub(super) fn pod(pod: &Pod, known: &Known<'_>) -> TargetGroup {
    let meta = &pod.metadata;
    let mut group = TargetGroup {
        source: source("pod", meta),
        ..TargetGroup::default()
    };
    // A pod that starts or was evicted has no address. A node that is not known was not selected.
    let node = pod.spec.node_name.as_str();
    let unselected = known.nodes.is_some_and(|nodes| !nodes.contains_key(node));
    if pod.status.pod_ip.is_empty() || unselected {
        return group;
    }
    known.put_pod(&mut group.labels, pod);
    put(&mut group.labels, "namespace", &meta.namespace);
    known.put_node(&mut group.labels, Some(node));
    known.put_namespace(&mut group.labels, &meta.namespace);
    for (container, init) in containers(pod) {
        let statuses = match init {
            true => &pod.status.init_container_statuses,
            false => &pod.status.container_statuses,
        };
        let status = statuses.iter().find(|s| s.name == container.name);
        let id = status.map_or("", |status| status.container_id.as_str());
        let target = |address: String| {
            let mut target = with_address(address);
            put(&mut target, "pod_container_name", &container.name);
            put(&mut target, "pod_container_id", id);
            put(&mut target, "pod_container_image", &container.image);
            put(&mut target, "pod_container_init", init.to_string());
            target
        };
        if container.ports.is_empty() {
            group.targets.push(target(pod.status.pod_ip.clone()));
        }
        for port in &container.ports {
            let number = port.container_port.to_string();
            let mut target = target(host_port(&pod.status.pod_ip, &number));
            put(&mut target, "pod_container_port_number", number);
            put(&mut target, "pod_container_port_name", &port.name);
            put(&mut target, "pod_container_port_protocol", &port.protocol);
            group.targets.push(target);
        }
    }
    group
}

/// The group of an ingress: a target for each path of each rule.
pub(super) fn ingress(ingress: &Ingress, known: &Known<'_>) -> TargetGroup {
    let meta = &ingress.metadata;
    let mut labels = LabelMap::new();
    put(&mut labels, "namespace", &meta.namespace);
    let class = ingress.spec.ingress_class_name.as_ref();
    put_known(&mut labels, "ingress_class_name", class);
    put_meta(&mut labels, meta, "ingress");
    known.put_namespace(&mut labels, &meta.namespace);
    let mut targets = Vec::new();
    for rule in &ingress.spec.rules {
        let mut hosts = ingress.spec.tls.iter().flat_map(|tls| &tls.hosts);
        let secure = hosts.any(|pattern| matches_host(pattern, &rule.host));
        let scheme = if secure { "https" } else { "http" };
        for path in paths(rule) {
            let mut target = with_address(&rule.host);
            put(&mut target, "ingress_scheme", scheme);
            put(&mut target, "ingress_host", &rule.host);
            put(&mut target, "ingress_path", path);
            targets.push(target);
        }
    }
    TargetGroup {
        source: source("ingress", meta),
        targets,
        labels,
    }
}

fn paths(rule: &IngressRule) -> Vec<&str> {
    let Some(http) = &rule.http else {
        return vec!["/"];
    };
    let paths = http.paths.iter().map(|path| path.path.as_str());
    paths
        .map(|path| if path.is_empty() { "/" } else { path })
        .collect()
}

/// Whether a host is the pattern, or any one part instead of the `*` with which the pattern begins.
fn matches_host(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    match (pattern.split_once('.'), host.split_once('.')) {
        (Some(("*", pattern)), Some((_, host))) => pattern == host,
        // A lone `*` matches whatever has no dot.
        (None, None) => pattern == "*",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_part_of_a_host() {
        for (pattern, host, expected) in [
            ("a.b", "a.b", true),
            ("*.b", "a.b", true),
            ("*.b", ".b", true),
            ("*.b", "b", false),
            ("*.b", "x.a.b", false),
            ("a.*", "a.b", false),
            ("*", "a", true),
            ("*", "a.b", false),
            ("", "", true),
        ] {
            assert_eq!(matches_host(pattern, host), expected, "{pattern} {host}");
        }
    }
}
