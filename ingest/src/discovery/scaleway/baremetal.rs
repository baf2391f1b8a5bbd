//! Servers of metal.

use super::Scaleway;
use crate::discovery::DiscoveryError;
use crate::discovery::cloud::{Target, answers};

const PREFIX: &str = "__meta_scaleway_baremetal_";

answers! {
    Server {
        id: String,
        name: String,
        zone: String,
        status: String,
        project_id: String,
        offer_id: String,
        install: Option<Install>,
        tags: Vec<String>,
        ips: Vec<Ip>,
    }
    Install { os_id: String, }
    Ip { address: String, version: String, }
    Offer { id: String, name: String, }
    System { id: String, name: String, version: String, }
}

pub(super) async fn targets(scaleway: &Scaleway) -> Result<Vec<Target>, DiscoveryError> {
    let path = format!("baremetal/v1/zones/{}", scaleway.config.zone);
    let page = ("page_size", "100");
    let mut parameters = vec![page];
    parameters.extend(scaleway.filters());
    let tags = scaleway.config.tags_filter.iter();
    parameters.extend(tags.map(|tag| ("tags", tag.as_str())));
    let servers = format!("{path}/servers");
    let servers: Vec<Server> = scaleway.pages(&servers, "servers", &parameters).await?;
    let offers = format!("{path}/offers");
    let offers: Vec<Offer> = scaleway.pages(&offers, "offers", &[page]).await?;
    let systems = format!("{path}/os");
    let systems: Vec<System> = scaleway.pages(&systems, "os", &[page]).await?;
    let port = scaleway.config.cloud.port;
    let targets = servers.iter().map(|s| target(s, &offers, &systems, port));
    targets.collect()
}

fn target(
    server: &Server,
    offers: &[Offer],
    systems: &[System],
    port: i64,
) -> Result<Target, DiscoveryError> {
    let mut target = Target::new(PREFIX);
    target.put("id", &server.id);
    target.put("name", &server.name);
    target.put("zone", &server.zone);
    target.put("status", &server.status);
    target.put("project_id", &server.project_id);
    if let Some(offer) = offers.iter().find(|offer| offer.id == server.offer_id) {
        target.put("type", &offer.name);
    }
    let system = server.install.as_ref();
    let system = system.and_then(|install| systems.iter().find(|os| os.id == install.os_id));
    if let Some(system) = system {
        target.put("os_name", &system.name);
        target.put("os_version", &system.version);
    }
    target.put_list("tags", &server.tags, ",");
    let mut first: [Option<&str>; 2] = [None, None];
    for ip in &server.ips {
        let [v4, v6] = &mut first;
        match ip.version.as_str() {
            "IPv4" => v4.get_or_insert(&ip.address),
            "IPv6" => v6.get_or_insert(&ip.address),
            other => {
                return Err(DiscoveryError::Answer(format!(
                    "unknown IP version: {other}"
                )));
            }
        };
    }
    let [v4, v6] = first;
    for (name, ip) in [("public_ipv4", v4), ("public_ipv6", v6)] {
        if let Some(ip) = ip {
            target.put(name, ip);
        }
    }
    if let Some(ip) = v4.or(v6) {
        target.address(ip, port);
    }
    Ok(target)
}
