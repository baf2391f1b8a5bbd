//! The fields of Kubernetes objects that labels are made of. Whatever else an object has is not kept.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::discovery::api_client::nullable;

/// An object that the API server lists.
pub(super) trait Object: DeserializeOwned + Send + Sync {
    fn meta(&self) -> &Meta;
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    owner_references: Vec<Owner>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
    #[serde(deserialize_with = "nullable")]
    controller: bool,
}

impl Meta {
    /// Among all objects of a kind: `namespace/name`, or the name of what belongs to no namespace.
    pub(super) fn key(&self) -> String {
        match self.namespace.as_str() {
            "" => self.name.clone(),
            namespace => key(namespace, &self.name),
        }
    }

    /// What made the object.
    pub(super) fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

/// The key of an object in a namespace.
pub(super) fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

macro_rules! objects {
    ($($name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            #[derive(Debug, Default, Deserialize)]
            #[serde(default, rename_all = "camelCase")]
            pub(super) struct $name {
                pub(super) metadata: Meta,
                $(
                    #[serde(deserialize_with = "nullable")]
                    pub(super) $field: $type,
                )*
            }

            impl Object for $name {
                fn meta(&self) -> &Meta {
                    &self.metadata
                }
            }
        )*
    };
}

objects! {
    // Objects of which nothing but the metadata counts: namespaces, replica sets, jobs.
    Plain {}
    Node { spec: NodeSpec, status: NodeStatus, }
    Service { spec: ServiceSpec, status: ServiceStatus, }
    Pod { spec: PodSpec, status: PodStatus, }
    Endpoints { subsets: Vec<Subset>, }
    EndpointSlice { address_type: String, endpoints: Vec<Endpoint>, ports: Vec<SlicePort>, }
    Ingress { spec: IngressSpec, }
}

macro_rules! parts {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            #[derive(Debug, Default, Deserialize)]
            #[serde(default, rename_all = "camelCase")]
            pub(super) struct $name {
                $(
                    #[serde(deserialize_with = "nullable")]
                    $(#[$attribute])*
                    pub(super) $field: $type,
                )*
            }
        )*
    };
}

parts! {
    NodeSpec { #[serde(rename = "providerID")] provider_id: String, }
    NodeStatus { addresses: Vec<NodeAddress>, conditions: Vec<Condition>, daemon_endpoints: DaemonEndpoints, }
    NodeAddress { #[serde(rename = "type")] kind: String, address: String, }
    Condition { #[serde(rename = "type")] kind: String, status: String, }
    DaemonEndpoints { kubelet_endpoint: DaemonEndpoint, }
    DaemonEndpoint { #[serde(rename = "Port")] port: i32, }

    ServiceSpec {
        #[serde(rename = "type")] kind: String,
        #[serde(rename = "clusterIP")] cluster_ip: String,
        #[serde(rename = "loadBalancerIP")] load_balancer_ip: String,
        external_name: String,
        ip_family_policy: String,
        ip_families: Vec<String>,
        ports: Vec<ServicePort>,
    }
    ServicePort { name: String, protocol: String, port: i32, }
    ServiceStatus { load_balancer: LoadBalancer, }
    LoadBalancer { ingress: Vec<LoadBalancerIngress>, }
    LoadBalancerIngress { ip: String, }

    PodSpec { node_name: String, containers: Vec<Container>, init_containers: Vec<Container>, }
    Container { name: String, image: String, ports: Vec<ContainerPort>, }
    ContainerPort { name: String, protocol: String, container_port: i32, }
    PodStatus {
        phase: String,
        #[serde(rename = "podIP")] pod_ip: String,
        #[serde(rename = "hostIP")] host_ip: String,
        conditions: Vec<Condition>,
        container_statuses: Vec<ContainerStatus>,
        init_container_statuses: Vec<ContainerStatus>,
    }
    ContainerStatus { name: String, #[serde(rename = "containerID")] container_id: String, }

    Subset { addresses: Vec<EndpointAddress>, not_ready_addresses: Vec<EndpointAddress>, ports: Vec<ServicePort>, }
    EndpointAddress { ip: String, hostname: String, node_name: Option<String>, target_ref: Option<Reference>, }
    Reference { kind: String, namespace: String, name: String, }

    Endpoint {
        addresses: Vec<String>,
        conditions: EndpointConditions,
        deprecated_topology: BTreeMap<String, String>,
        hostname: Option<String>,
        node_name: Option<String>,
        target_ref: Option<Reference>,
        zone: Option<String>,
    }
    EndpointConditions { ready: Option<bool>, serving: Option<bool>, terminating: Option<bool>, }
    SlicePort { name: Option<String>, protocol: Option<String>, port: Option<i32>, app_protocol: Option<String>, }

    IngressSpec { ingress_class_name: Option<String>, rules: Vec<IngressRule>, tls: Vec<IngressTls>, }
    IngressRule { host: String, http: Option<IngressHttp>, }
    IngressHttp { paths: Vec<IngressPath>, }
    IngressPath { path: String, }
    IngressTls { hosts: Vec<String>, }

    // What a watch says instead of an object when it fails.
    Status { code: u16, message: String, }
}
