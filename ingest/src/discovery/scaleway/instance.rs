//! Virtual machines.

use std::collections::BTreeMap;

use super::Scaleway;
use crate::discovery::DiscoveryError;
use crate::discovery::cloud::{Target, answers};

const PREFIX: &str = "__meta_scaleway_instance_";

answers! {
    Instance {
        id: String,
        name: String,
        organization: String,
        project: String,
        hostname: String,
        boot_type: String,
        commercial_type: String,
        state: String,
        zone: String,
        tags: Vec<String>,
        image: Option<Image>,
        location: Option<Location>,
        security_group: Option<SecurityGroup>,
        public_ip: Option<Ip>,
        public_ips: Vec<Ip>,
        ipv6: Option<Ip>,
        private_ip: Option<String>,
        private_nics: Vec<Interface>,
    }
    Image { id: String, name: String, arch: String, }
    Location { cluster_id: String, hypervisor_id: String, node_id: String, }
    SecurityGroup { id: String, name: String, }
    Ip { address: String, family: String, }
    Interface { id: String, }
    ManagedIp { address: String, is_ipv6: bool, resource: Option<Resource>, }
    Resource { id: String, }
}

impl Instance {
    /// The region that the zone is in.
    fn region(&self) -> Option<&str> {
        let (region, number) = self.zone.rsplit_once('-')?;
        number.parse::<u8>().ok().map(|_| region)
    }
}

pub(super) async fn targets(scaleway: &Scaleway) -> Result<Vec<Target>, DiscoveryError> {
    let zone = &scaleway.config.zone;
    let path = format!("instance/v1/zones/{zone}/servers");
    let tags = scaleway.config.tags_filter.join(",");
    let mut parameters = vec![("per_page", "100")];
    parameters.extend(scaleway.filters());
    if !tags.is_empty() {
        parameters.push(("tags", &tags));
    }
    let instances: Vec<Instance> = scaleway.pages(&path, "servers", &parameters).await?;
    let ips = private_ips(scaleway, &instances).await?;
    let port = scaleway.config.cloud.port;
    let targets = instances.iter().filter_map(|i| target(i, &ips, port));
    Ok(targets.collect())
}

/// The addresses of the private interfaces of those instances that have no other, by interface.
async fn private_ips(
    scaleway: &Scaleway,
    instances: &[Instance],
) -> Result<BTreeMap<String, String>, DiscoveryError> {
    let mut by_region: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    let lonely =
        |i: &&Instance| i.private_ip.is_none() && i.public_ip.is_none() && i.ipv6.is_none();
    for instance in instances.iter().filter(lonely) {
        let Some(region) = instance.region() else {
            continue;
        };
        let interfaces = instance.private_nics.iter();
        let interfaces = interfaces.map(|interface| ("resource_ids", interface.id.as_str()));
        by_region.entry(region).or_default().extend(interfaces);
    }
    let mut all = BTreeMap::new();
    for (region, mut parameters) in by_region {
        if parameters.is_empty() {
            continue;
        }
        parameters.push(("resource_types", "instance_private_nic"));
        let path = format!("ipam/v1/regions/{region}/ips");
        let ips: Vec<ManagedIp> = scaleway.pages(&path, "ips", &parameters).await?;
        for ip in ips.into_iter().filter(|ip| !ip.is_ipv6) {
            // The address has the length of its network at its end.
            let address = ip.address.split('/').next().unwrap_or_default();
            if let (Some(interface), false) = (ip.resource, address.is_empty()) {
                all.insert(interface.id, address.to_owned());
            }
        }
    }
    Ok(all)
}

/// The target of an instance; none where it has no address.
fn target(instance: &Instance, ips: &BTreeMap<String, String>, port: i64) -> Option<Target> {
    let mut target = Target::new(PREFIX);
    for (name, value) in [
        ("boot_type", &instance.boot_type),
        ("hostname", &instance.hostname),
        ("id", &instance.id),
        ("name", &instance.name),
        ("organization_id", &instance.organization),
        ("project_id", &instance.project),
        ("status", &instance.state),
        ("type", &instance.commercial_type),
        ("zone", &instance.zone),
    ] {
        target.put(name, value);
    }
    if let Some(image) = &instance.image {
        target.put("image_arch", &image.arch);
        target.put("image_id", &image.id);
        target.put("image_name", &image.name);
    }
    if let Some(location) = &instance.location {
        target.put("location_cluster_id", &location.cluster_id);
        target.put("location_hypervisor_id", &location.hypervisor_id);
        target.put("location_node_id", &location.node_id);
    }
    if let Some(security_group) = &instance.security_group {
        target.put("security_group_id", &security_group.id);
        target.put("security_group_name", &security_group.name);
    }
    if let Some(region) = instance.region() {
        target.put("region", region);
    }
    target.put_list("tags", &instance.tags, ",");
    for (name, family) in [
        ("public_ipv4_addresses", "inet"),
        ("public_ipv6_addresses", "inet6"),
    ] {
        let of_family = instance.public_ips.iter().filter(|ip| ip.family == family);
        let addresses: Vec<_> = of_family.map(|ip| ip.address.clone()).collect();
        target.put_list(name, &addresses, ",");
    }
    // The last one that is there counts.
    let mut address = None;
    if let Some(ip) = &instance.ipv6 {
        target.put("public_ipv6", &ip.address);
        address = Some(&ip.address);
    }
    if let Some(ip) = &instance.public_ip {
        if ip.family != "inet6" {
            target.put("public_ipv4", &ip.address);
        }
        address = Some(&ip.address);
    }
    if let Some(ip) = &instance.private_ip {
        target.put("private_ipv4", ip);
        address = Some(ip);
    }
    if address.is_none_or(String::is_empty) {
        let mut interfaces = instance.private_nics.iter();
        address = interfaces.find_map(|interface| ips.get(&interface.id));
        target.put_known("private_ipv4", address);
    }
    target.address(address?, port);
    Some(target)
}
