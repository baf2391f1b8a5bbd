//! Servers of Hetzner, in the cloud and dedicated ones (`hetzner_sd_configs`).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use super::api_client::ApiClient;
use super::cloud::{CloudSettings, PAGES_MAX, Target, answers, group};
use super::kind::Kind;
use super::labels::sanitized;
use super::periodic::{Periodic, Refresh};
use super::{Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::ConfigError;
use crate::config::decode::{Fields, error_at, string};
use crate::config::write::Entries;
use crate::config::yaml::Node;

const CLOUD_API: &str = "https://api.hetzner.cloud/v1";
const ROBOT_API: &str = "https://robot-ws.your-server.de";
const PREFIX: &str = "__meta_hetzner_";

/// What a server without a public address has instead: the word that Prometheus shows.
const NO_ADDRESS: &str = "<nil>";

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HetznerRole {
    /// Dedicated servers.
    Robot,
    /// Servers in the cloud.
    Hcloud,
}

/// One entry of `hetzner_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HetznerConfig {
    /// What all providers have.
    pub cloud: CloudSettings,
    /// What is looked for.
    pub role: HetznerRole,
    /// What the labels of servers in the cloud must be.
    pub label_selector: String,
}

impl HetznerRole {
    fn as_str(self) -> &'static str {
        match self {
            Self::Robot => "robot",
            Self::Hcloud => "hcloud",
        }
    }

    fn decode(node: &Node) -> Result<Self, ConfigError> {
        match string(node)?.as_str() {
            "robot" => Ok(Self::Robot),
            "hcloud" => Ok(Self::Hcloud),
            other => error_at(node, format!("unknown role {other:?}")),
        }
    }
}

impl Kind for HetznerConfig {
    const NAME: &'static str = "hetzner";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "hetzner.plain")?;
        let role = fields.read("role", HetznerRole::decode)?;
        let label_selector = fields.read("label_selector", string)?;
        let cloud = CloudSettings::take(&mut fields, node, directory)?;
        fields.finish(&[])?;
        let Some(role) = role else {
            return error_at(node, "role missing (one of: robot, hcloud)");
        };
        Ok(Self {
            cloud,
            role,
            label_selector: label_selector.unwrap_or_default(),
        })
    }

    fn render(&self, entries: &mut Entries) {
        self.cloud.render(entries);
        entries
            .text("role", self.role.as_str())
            .text_if_set("label_selector", &self.label_selector);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        self.discovery_at(match self.role {
            HetznerRole::Hcloud => CLOUD_API,
            HetznerRole::Robot => ROBOT_API,
        })
    }
}

impl HetznerConfig {
    /// The discovery that asks the API at a URL.
    pub(crate) fn discovery_at(&self, url: &str) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = Hetzner {
            client: self.cloud.client()?,
            url: url.to_owned(),
            config: self.clone(),
        };
        Ok(Periodic::boxed(self.cloud.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct Hetzner {
    client: ApiClient,
    url: String,
    config: HetznerConfig,
}

answers! {
    Servers { servers: Vec<Server>, meta: PageMeta, }
    Networks { networks: Vec<Network>, meta: PageMeta, }
    PageMeta { pagination: Pagination, }
    Pagination { next_page: Option<u64>, }
    Network { id: i64, name: String, }
    Server {
        id: i64,
        name: String,
        status: String,
        public_net: PublicNet,
        private_net: Vec<PrivateNet>,
        server_type: ServerType,
        location: Location,
        image: Option<Image>,
        labels: BTreeMap<String, String>,
    }
    PublicNet { ipv4: PublicIp, ipv6: PublicIp, }
    PublicIp { ip: String, }
    PrivateNet { network: i64, ip: String, }
    ServerType { name: String, cores: i64, cpu_type: String, memory: f64, disk: i64, }
    Location { name: String, network_zone: String, }
    Image { name: String, description: String, os_flavor: String, os_version: String, }
    RobotEntry { server: RobotServer, }
    RobotServer {
        server_ip: String,
        server_number: i64,
        server_name: String,
        dc: String,
        status: String,
        product: String,
        cancelled: bool,
        subnet: Vec<Subnet>,
    }
    Subnet { ip: String, mask: String, }
}

#[async_trait]
impl Refresh for Hetzner {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        match self.config.role {
            HetznerRole::Hcloud => self.in_cloud().await,
            HetznerRole::Robot => self.dedicated().await,
        }
    }
}

impl Hetzner {
    /// All pages of a list.
    async fn pages<P: DeserializeOwned, T>(
        &self,
        what: &str,
        parameters: &str,
        read: impl Fn(P) -> (Vec<T>, PageMeta),
    ) -> Result<Vec<T>, DiscoveryError> {
        let mut all = Vec::new();
        let mut page = 1;
        for _ in 0..PAGES_MAX {
            let url = format!("{}/{what}?page={page}&per_page=50{parameters}", self.url);
            let (items, meta) = read(self.client.get_json(&url).await?);
            all.extend(items);
            match meta.pagination.next_page {
                Some(next) => page = next,
                None => break,
            }
        }
        Ok(all)
    }

    async fn in_cloud(&self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let selector = self.config.label_selector.as_bytes();
        let selector: String = url::form_urlencoded::byte_serialize(selector).collect();
        let selector = match selector.is_empty() {
            true => selector,
            false => format!("&label_selector={selector}"),
        };
        let servers = self.pages("servers", &selector, |page: Servers| {
            (page.servers, page.meta)
        });
        let servers = servers.await?;
        let networks = self.pages("networks", "", |page: Networks| (page.networks, page.meta));
        let networks = networks.await?;
        let networks = networks
            .into_iter()
            .map(|network| (network.id, network.name));
        let networks: BTreeMap<i64, String> = networks.collect();
        let targets = servers
            .iter()
            .map(|server| self.cloud_target(server, &networks));
        Ok(group("hetzner", targets))
    }

    fn cloud_target(&self, server: &Server, networks: &BTreeMap<i64, String>) -> Target {
        let known = |ip: &PublicIp| match ip.ip.is_empty() {
            true => NO_ADDRESS.to_owned(),
            false => ip.ip.clone(),
        };
        let public_ip = known(&server.public_net.ipv4);
        let mut target = Target::new(PREFIX);
        target.address(&public_ip, self.config.cloud.port);
        target.put("role", self.config.role.as_str());
        target.put("server_id", server.id.to_string());
        target.put("server_name", &server.name);
        target.put("server_status", &server.status);
        target.put("public_ipv4", public_ip);
        target.put("public_ipv6_network", known(&server.public_net.ipv6));
        let Location { name, network_zone } = &server.location;
        target.put("hcloud_location", name);
        target.put("hcloud_location_network_zone", network_zone);
        // The names that these had before.
        target.put("hcloud_datacenter_location", name);
        target.put("hcloud_datacenter_location_network_zone", network_zone);
        let kind = &server.server_type;
        target.put("hcloud_server_type", &kind.name);
        target.put("hcloud_cpu_cores", kind.cores.to_string());
        target.put("hcloud_cpu_type", &kind.cpu_type);
        target.put("hcloud_memory_size_gb", (kind.memory as i64).to_string());
        target.put("hcloud_disk_size_gb", kind.disk.to_string());
        if let Some(image) = &server.image {
            target.put("hcloud_image_name", &image.name);
            target.put("hcloud_image_description", &image.description);
            target.put("hcloud_image_os_version", &image.os_version);
            target.put("hcloud_image_os_flavor", &image.os_flavor);
        }
        for private in &server.private_net {
            if let Some(name) = networks.get(&private.network) {
                let name = format!("hcloud_private_ipv4_{}", sanitized(name));
                target.put(&name, &private.ip);
            }
        }
        for (name, value) in &server.labels {
            let name = sanitized(name);
            target.put(&format!("hcloud_labelpresent_{name}"), "true");
            target.put(&format!("hcloud_label_{name}"), value);
        }
        target
    }

    async fn dedicated(&self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let url = format!("{}/server", self.url);
        let answer = self.client.get(&url).await?;
        if !answer.status.is_success() {
            return Err(DiscoveryError::Answer(format!(
                "non 2xx status '{}' response during hetzner service discovery with role robot",
                answer.status.as_u16()
            )));
        }
        let servers: Vec<RobotEntry> = serde_json::from_slice(&answer.body)
            .map_err(|error| DiscoveryError::Answer(format!("{url}: {error}")))?;
        let targets = servers.iter().map(|entry| self.robot_target(&entry.server));
        Ok(group("hetzner", targets))
    }

    fn robot_target(&self, server: &RobotServer) -> Target {
        let datacenter = server.dc.to_lowercase();
        let mut target = Target::new(PREFIX);
        target.address(&server.server_ip, self.config.cloud.port);
        target.put("role", self.config.role.as_str());
        target.put("server_id", server.server_number.to_string());
        target.put("server_name", &server.server_name);
        target.put("server_status", &server.status);
        target.put("public_ipv4", &server.server_ip);
        target.put("datacenter", &datacenter);
        target.put("robot_datacenter", datacenter);
        target.put("robot_product", &server.product);
        target.put("robot_cancelled", server.cancelled.to_string());
        let mut subnets = server.subnet.iter();
        let subnet = subnets.find(|subnet| subnet.ip.parse::<Ipv4Addr>().is_err());
        if let Some(Subnet { ip, mask }) = subnet {
            target.put("public_ipv6_network", format!("{ip}/{mask}"));
        }
        target
    }
}
