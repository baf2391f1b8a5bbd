//! Load balancers with a listener of the protocol `PROMETHEUS`.

use std::collections::HashMap;

use serde::Deserialize;

use super::PREFIX;
use super::api::OpenStackApi;
use crate::discovery::DiscoveryError;
use crate::discovery::api_client::nullable;
use crate::discovery::cloud::Target;

#[derive(Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    #[serde(deserialize_with = "nullable")]
    id: String,
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    operating_status: String,
    #[serde(deserialize_with = "nullable")]
    provisioning_status: String,
    #[serde(deserialize_with = "nullable")]
    availability_zone: String,
    #[serde(deserialize_with = "nullable")]
    vip_address: String,
    #[serde(deserialize_with = "nullable")]
    vip_port_id: String,
    #[serde(deserialize_with = "nullable")]
    provider: String,
    #[serde(deserialize_with = "nullable")]
    project_id: String,
    #[serde(deserialize_with = "nullable")]
    tags: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Listener {
    #[serde(deserialize_with = "nullable")]
    protocol: String,
    #[serde(deserialize_with = "nullable")]
    protocol_port: i64,
    #[serde(deserialize_with = "nullable")]
    loadbalancers: Vec<Id>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Id {
    #[serde(deserialize_with = "nullable")]
    id: String,
}

pub(super) async fn targets(api: &OpenStackApi<'_>) -> Result<Vec<Target>, DiscoveryError> {
    let failed = |what: &str, error: DiscoveryError| {
        DiscoveryError::Answer(format!("failed to list {what}: {error}"))
    };
    let load_balancer = api.service("load-balancer")?;
    let network = api.service("network")?;
    let url = format!("{load_balancer}lbaas/loadbalancers");
    let balancers = api.all(&url, "loadbalancers").await;
    let balancers: Vec<LoadBalancer> = balancers.map_err(|e| failed("load balancers", e))?;
    let url = format!("{load_balancer}lbaas/listeners");
    let listeners = api.all(&url, "listeners").await;
    let listeners: Vec<Listener> = listeners.map_err(|e| failed("all listeners", e))?;
    let floating_ips = api.floating_ips(&network).await;
    let floating_ips = floating_ips.map_err(|e| failed("floating IPs", e))?;
    let mut ports: HashMap<&str, i64> = HashMap::new();
    for listener in listeners.iter().filter(|l| l.protocol == "PROMETHEUS") {
        for balancer in &listener.loadbalancers {
            ports.entry(&balancer.id).or_insert(listener.protocol_port);
        }
    }
    let floating_ips = floating_ips.iter().filter(|ip| !ip.port_id.is_empty());
    let floating_ips: HashMap<_, _> = floating_ips
        .map(|ip| (&ip.port_id, &ip.floating_ip_address))
        .collect();
    let targets = balancers.iter().filter_map(|balancer| {
        let port = *ports.get(balancer.id.as_str())?;
        let floating_ip = floating_ips.get(&balancer.vip_port_id).copied();
        Some(target(balancer, port, floating_ip))
    });
    Ok(targets.collect())
}

fn target(balancer: &LoadBalancer, port: i64, floating_ip: Option<&String>) -> Target {
    let mut target = Target::new(PREFIX);
    target.address(&balancer.vip_address, port);
    for (name, value) in [
        ("loadbalancer_id", &balancer.id),
        ("loadbalancer_name", &balancer.name),
        ("loadbalancer_operating_status", &balancer.operating_status),
        (
            "loadbalancer_provisioning_status",
            &balancer.provisioning_status,
        ),
        (
            "loadbalancer_availability_zone",
            &balancer.availability_zone,
        ),
        ("loadbalancer_vip", &balancer.vip_address),
        ("loadbalancer_provider", &balancer.provider),
        ("project_id", &balancer.project_id),
    ] {
        target.put(name, value);
    }
    if !balancer.tags.is_empty() {
        target.put("loadbalancer_tags", balancer.tags.join(","));
    }
    target.put_known("loadbalancer_floating_ip", floating_ip);
    target
}
