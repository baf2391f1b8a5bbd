//! Instances of Vultr (`vultr_sd_configs`).

use std::path::Path;

use async_trait::async_trait;

use super::api_client::ApiClient;
use super::cloud::{CloudSettings, PAGES_MAX, Target, answers, group};
use super::kind::Kind;
use super::periodic::{Periodic, Refresh};
use super::{Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::ConfigError;
use crate::config::decode::Fields;
use crate::config::write::Entries;
use crate::config::yaml::Node;

const API: &str = "https://api.vultr.com";
const PREFIX: &str = "__meta_vultr_instance_";

/// One entry of `vultr_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VultrConfig {
    /// What all providers have.
    pub cloud: CloudSettings,
}

impl Kind for VultrConfig {
    const NAME: &'static str = "vultr";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "vultr.plain")?;
        let cloud = CloudSettings::take(&mut fields, node, directory)?;
        fields.finish(&[])?;
        Ok(Self { cloud })
    }

    fn render(&self, entries: &mut Entries) {
        self.cloud.render(entries);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        self.discovery_at(API)
    }
}

impl VultrConfig {
    /// The discovery that asks the API at a URL.
    pub(crate) fn discovery_at(&self, url: &str) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = Vultr {
            client: self.cloud.client()?,
            url: url.to_owned(),
            port: self.cloud.port,
        };
        Ok(Periodic::boxed(self.cloud.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct Vultr {
    client: ApiClient,
    url: String,
    port: i64,
}

answers! {
    Page { instances: Vec<Instance>, meta: Meta, }
    Meta { links: Links, }
    Links { next: String, }
    Instance {
        id: String,
        label: String,
        os: String,
        os_id: i64,
        region: String,
        plan: String,
        vcpu_count: i64,
        ram: i64,
        allowed_bandwidth: i64,
        disk: i64,
        main_ip: String,
        v6_main_ip: String,
        internal_ip: String,
        hostname: String,
        server_status: String,
        features: Vec<String>,
        tags: Vec<String>,
    }
}

#[async_trait]
impl Refresh for Vultr {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let mut instances = Vec::new();
        let mut url = format!("{}/v2/instances?per_page=100", self.url);
        for _ in 0..PAGES_MAX {
            let page: Page = self.client.get_json(&url).await?;
            instances.extend(page.instances);
            let next = page.meta.links.next;
            if next.is_empty() {
                break;
            }
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            url = format!("{}/v2/instances?per_page=100&cursor={next}", self.url);
        }
        Ok(group(
            "Vultr",
            instances.iter().map(|i| target(i, self.port)),
        ))
    }
}

fn target(instance: &Instance, port: i64) -> Target {
    let mut target = Target::new(PREFIX);
    target.address(&instance.main_ip, port);
    target.put("id", &instance.id);
    target.put("label", &instance.label);
    target.put("os", &instance.os);
    target.put("os_id", instance.os_id.to_string());
    target.put("region", &instance.region);
    target.put("plan", &instance.plan);
    target.put("vcpu_count", instance.vcpu_count.to_string());
    target.put("ram_mb", instance.ram.to_string());
    target.put(
        "allowed_bandwidth_gb",
        instance.allowed_bandwidth.to_string(),
    );
    target.put("disk_gb", instance.disk.to_string());
    target.put("main_ip", &instance.main_ip);
    target.put("main_ipv6", &instance.v6_main_ip);
    target.put("internal_ip", &instance.internal_ip);
    target.put("hostname", &instance.hostname);
    target.put("server_status", &instance.server_status);
    target.put_list("features", &instance.features, ",");
    target.put_list("tags", &instance.tags, ",");
    target
}
