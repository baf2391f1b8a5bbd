//! Servers of IONOS Cloud (`ionos_sd_configs`).

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;

use super::api_client::ApiClient;
use super::cloud::{CloudSettings, Target, answers, group};
use super::kind::Kind;
use super::labels::sanitized;
use super::periodic::{Periodic, Refresh};
use super::{Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::ConfigError;
use crate::config::decode::{Fields, error_at, string};
use crate::config::write::Entries;
use crate::config::yaml::Node;

const API: &str = "https://api.ionos.com";
const PREFIX: &str = "__meta_ionos_server_";

/// What stands for the name of an interface without one.
const UNNAMED: &str = "unnamed";

/// One entry of `ionos_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IonosConfig {
    /// The data center whose servers count.
    pub datacenter_id: String,
    /// What all providers have.
    pub cloud: CloudSettings,
}

impl Kind for IonosConfig {
    const NAME: &'static str = "ionos";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "ionos.plain")?;
        let datacenter_id = fields.read("datacenter_id", string)?.unwrap_or_default();
        let cloud = CloudSettings::take(&mut fields, node, directory)?;
        fields.finish(&[])?;
        match datacenter_id.is_empty() {
            true => error_at(node, "datacenter id can't be empty"),
            false => Ok(Self {
                datacenter_id,
                cloud,
            }),
        }
    }

    fn render(&self, entries: &mut Entries) {
        entries.text("datacenter_id", &self.datacenter_id);
        self.cloud.render(entries);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        self.discovery_at(API)
    }
}

impl IonosConfig {
    /// The discovery that asks the API at a URL.
    pub(crate) fn discovery_at(&self, url: &str) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let datacenter = self.datacenter_id.as_bytes();
        let datacenter: String = url::form_urlencoded::byte_serialize(datacenter).collect();
        let discovery = Ionos {
            client: self.cloud.client()?,
            url: format!("{url}/cloudapi/v6/datacenters/{datacenter}/servers?depth=3"),
            port: self.cloud.port,
        };
        Ok(Periodic::boxed(self.cloud.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct Ionos {
    client: ApiClient,
    url: String,
    port: i64,
}

answers! {
    Servers { id: Option<String>, items: Vec<Server>, }
    Server { id: Option<String>, metadata: Metadata, properties: Properties, entities: Entities, }
    Metadata { state: Option<String>, }
    Properties {
        name: Option<String>,
        r#type: Option<String>,
        #[serde(rename = "availabilityZone")] availability_zone: Option<String>,
        #[serde(rename = "cpuFamily")] cpu_family: Option<String>,
        #[serde(rename = "vmState")] vm_state: Option<String>,
        #[serde(rename = "bootCdrom")] boot_cdrom: Boot,
        #[serde(rename = "bootVolume")] boot_volume: Boot,
    }
    Boot { id: Option<String>, }
    Entities { nics: Nics, volumes: Volumes, }
    Nics { items: Vec<Nic>, }
    Nic { properties: Option<NicProperties>, }
    NicProperties { name: Option<String>, ips: Vec<String>, }
    Volumes { items: Vec<Volume>, }
    Volume { properties: VolumeProperties, }
    VolumeProperties { image: Option<String>, }
}

#[async_trait]
impl Refresh for Ionos {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let servers: Servers = self.client.get_json(&self.url).await?;
        let targets = servers.items.iter().filter_map(|server| {
            let mut target = target(server, self.port)?;
            target.put_known("servers_id", servers.id.as_ref());
            Some(target)
        });
        Ok(group("ionos", targets))
    }
}

/// The target of a server; none where it has no address. Addresses of later interfaces come first.
fn target(server: &Server, port: i64) -> Option<Target> {
    let mut ips: Vec<String> = Vec::new();
    let mut by_name: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let interfaces = server.entities.nics.items.iter();
    for interface in interfaces.filter_map(|interface| interface.properties.as_ref()) {
        let name = interface.name.as_deref().unwrap_or(UNNAMED);
        ips.splice(..0, interface.ips.iter().cloned());
        let of_name = by_name.entry(name).or_default();
        of_name.splice(..0, interface.ips.iter().cloned());
    }
    let mut target = Target::new(PREFIX);
    target.address(ips.first()?, port);
    target.put_list("ip", &ips, ",");
    for (name, ips) in &by_name {
        // An interface without addresses has a label nevertheless.
        let ips = format!(",{},", ips.join(","));
        target.put(&format!("nic_ip_{}", sanitized(name)), ips);
    }
    let properties = &server.properties;
    let volume = server.entities.volumes.items.first();
    for (name, value) in [
        ("id", &server.id),
        ("lifecycle", &server.metadata.state),
        ("availability_zone", &properties.availability_zone),
        ("cpu_family", &properties.cpu_family),
        ("name", &properties.name),
        ("state", &properties.vm_state),
        ("type", &properties.r#type),
        ("boot_cdrom_id", &properties.boot_cdrom.id),
        ("boot_volume_id", &properties.boot_volume.id),
    ] {
        target.put_known(name, value.as_ref());
    }
    let image = volume.and_then(|volume| volume.properties.image.as_ref());
    target.put_known("boot_image_id", image);
    Some(target)
}
