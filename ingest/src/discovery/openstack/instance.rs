//! Virtual machines, a target for each of their addresses.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use serde_json::Value;

use super::PREFIX;
use super::api::OpenStackApi;
use crate::discovery::DiscoveryError;
use crate::discovery::api_client::nullable;
use crate::discovery::cloud::Target;
use crate::discovery::labels::sanitized;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Port {
    #[serde(deserialize_with = "nullable")]
    id: String,
    #[serde(deserialize_with = "nullable")]
    device_id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Server {
    #[serde(deserialize_with = "nullable")]
    id: String,
    #[serde(deserialize_with = "nullable")]
    status: String,
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    tenant_id: String,
    #[serde(deserialize_with = "nullable")]
    user_id: String,
    #[serde(deserialize_with = "nullable")]
    flavor: Value,
    /// "" where there is none.
    #[serde(deserialize_with = "nullable")]
    image: Value,
    #[serde(deserialize_with = "nullable")]
    metadata: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    addresses: BTreeMap<String, Value>,
}

/// The addresses of instances that can be reached from outside.
struct FloatingIps {
    /// By the instance and its own address.
    by_fixed: HashMap<(String, String), String>,
    all: BTreeSet<String>,
}

fn failed(what: &str, error: &DiscoveryError) -> DiscoveryError {
    DiscoveryError::Answer(format!("{what}: {error}"))
}

pub(super) async fn targets(api: &OpenStackApi<'_>) -> Result<Vec<Target>, DiscoveryError> {
    let compute = api.service("compute")?;
    let network = api.service("network")?;
    let ports = api.all(&format!("{network}ports"), "ports").await;
    let ports: Vec<Port> = ports.map_err(|error| failed("failed to list all ports", &error))?;
    let floating_ips = floating_ips(api, &network, ports).await?;
    let parameters = match api.config.all_tenants {
        true => "?all_tenants=true",
        false => "",
    };
    let url = format!("{compute}servers/detail{parameters}");
    let servers: Vec<Server> = api
        .all(&url, "servers")
        .await
        .map_err(|error| failed("could not extract instances", &error))?;
    let mut targets = Vec::new();
    for server in &servers {
        add_targets(&mut targets, server, &floating_ips, api.config.port);
    }
    Ok(targets)
}

async fn floating_ips(
    api: &OpenStackApi<'_>,
    network: &str,
    ports: Vec<Port>,
) -> Result<FloatingIps, DiscoveryError> {
    let ports = ports.into_iter().map(|port| (port.id, port.device_id));
    let devices: HashMap<_, _> = ports.collect();
    let found = api.floating_ips(network).await;
    let found = found.map_err(|error| failed("could not extract floatingips", &error))?;
    let mut floating_ips = FloatingIps {
        by_fixed: HashMap::new(),
        all: BTreeSet::new(),
    };
    for ip in found {
        if ip.port_id.is_empty() || ip.fixed_ip_address.is_empty() {
            continue;
        }
        let Some(device) = devices.get(&ip.port_id) else {
            tracing::warn!(
                port = ip.port_id,
                "Floating IP PortID not found in portList"
            );
            continue;
        };
        let key = (device.clone(), ip.fixed_ip_address);
        floating_ips.all.insert(ip.floating_ip_address.clone());
        floating_ips.by_fixed.insert(key, ip.floating_ip_address);
    }
    Ok(floating_ips)
}

/// What all targets of an instance have; `None` if its flavour is not known.
fn common(server: &Server) -> Option<Target> {
    let mut target = Target::new(PREFIX);
    for (name, value) in [
        ("instance_id", &server.id),
        ("instance_status", &server.status),
        ("instance_name", &server.name),
        ("project_id", &server.tenant_id),
        ("user_id", &server.user_id),
    ] {
        target.put(name, value);
    }
    // Newer versions have a name instead of the id.
    let flavor = server.flavor["original_name"].as_str();
    let Some(flavor) = flavor.or_else(|| server.flavor["id"].as_str()) else {
        tracing::warn!("Invalid type for both flavor original_name and flavor id, expected string");
        return None;
    };
    target.put("instance_flavor", flavor);
    if let Some(image) = server.image["id"].as_str() {
        target.put("instance_image", image);
    }
    for (name, value) in &server.metadata {
        target.put(&format!("tag_{}", sanitized(name)), value);
    }
    Some(target)
}

fn add_targets(targets: &mut Vec<Target>, server: &Server, floating: &FloatingIps, port: i64) {
    if server.addresses.is_empty() {
        tracing::info!(instance = server.id, "Got no IP address");
        return;
    }
    let Some(common) = common(server) else {
        return;
    };
    for (pool, addresses) in &server.addresses {
        let Some(addresses) = addresses.as_array() else {
            tracing::warn!("Invalid type for address, expected array");
            continue;
        };
        for address in addresses {
            let Some(address) = address["addr"].as_str() else {
                tracing::warn!("Invalid type for address, expected string");
                continue;
            };
            if floating.all.contains(address) {
                continue;
            }
            let mut target = common.clone();
            target.put("address_pool", pool);
            target.put("private_ip", address);
            let key = (server.id.clone(), address.to_owned());
            target.put_known("public_ip", floating.by_fixed.get(&key));
            target.address(address, port);
            targets.push(target);
        }
    }
}
