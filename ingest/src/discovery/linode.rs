//! Instances of Linode (`linode_sd_configs`).
//!
//! The lists of instances and addresses are long, that of events since the last refresh is short. So events are asked for first,
//! and only if there are some, or there were none for a while, are the lists.

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::api_client::{ApiAnswer, ApiClient};
use super::cloud::{CloudSettings, PAGES_MAX, Target, answers, group};
use super::kind::Kind;
use super::periodic::{Periodic, Refresh};
use super::{Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::ConfigError;
use crate::config::decode::{Fields, string};
use crate::config::write::Entries;
use crate::config::yaml::Node;
use crate::http_client::header;

const API: &str = "https://api.linode.com/v4";
const PREFIX: &str = "__meta_linode_";

/// Refreshes without events after which the lists are asked for nevertheless: what happens inside of an instance makes no event.
const QUIET_REFRESHES_MAX: u32 = 10;

/// One entry of `linode_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinodeConfig {
    /// What all providers have.
    pub cloud: CloudSettings,
    /// What stands between the tags of an instance.
    pub tag_separator: String,
    /// The region whose instances count; all if empty.
    pub region: String,
}

impl Kind for LinodeConfig {
    const NAME: &'static str = "linode";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "linode.plain")?;
        let tag_separator = fields.read("tag_separator", string)?;
        let config = Self {
            tag_separator: tag_separator.unwrap_or_else(|| ",".to_owned()),
            region: fields.read("region", string)?.unwrap_or_default(),
            cloud: CloudSettings::take(&mut fields, node, directory)?,
        };
        fields.finish(&[])?;
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        self.cloud.render(entries);
        entries
            .text_if_set("tag_separator", &self.tag_separator)
            .text_if_set("region", &self.region);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        self.discovery_at(API)
    }
}

impl LinodeConfig {
    /// The discovery that asks the API at a URL.
    pub(crate) fn discovery_at(&self, url: &str) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = Linode {
            client: self.cloud.client()?,
            url: url.to_owned(),
            config: self.clone(),
            last: None,
            last_refresh: Utc::now(),
            quiet_refreshes: 0,
            may_see_events: true,
        };
        Ok(Periodic::boxed(self.cloud.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct Linode {
    client: ApiClient,
    url: String,
    config: LinodeConfig,
    last: Option<Vec<TargetGroup>>,
    last_refresh: DateTime<Utc>,
    quiet_refreshes: u32,
    may_see_events: bool,
}

#[derive(serde::Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Page<T> {
    data: Vec<T>,
    #[serde(default)]
    pages: usize,
}

answers! {
    Instance {
        id: i64,
        label: String,
        image: String,
        ipv4: Vec<String>,
        ipv6: String,
        region: String,
        r#type: String,
        status: String,
        group: String,
        hypervisor: String,
        backups: Backups,
        specs: Specs,
        tags: Vec<String>,
    }
    Backups { enabled: bool, }
    Specs { disk: i64, memory: i64, vcpus: i64, transfer: i64, gpus: i64, }
    Address { address: String, rdns: String, public: bool, }
    Range { range: String, prefix: i64, route_target: String, }
}

impl Address {
    fn name(&self) -> &str {
        match self.rdns.as_str() {
            "null" => "",
            name => name,
        }
    }
}

#[async_trait]
impl Refresh for Linode {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let now = Utc::now();
        let groups = match self.last.take() {
            Some(last) if self.may_see_events => {
                let quiet = self.is_quiet().await;
                // After an error the last list is still the last one.
                let last = self.last.insert(last).clone();
                if quiet? { last } else { self.list().await? }
            }
            _ => self.list().await?,
        };
        self.last_refresh = now;
        self.last = Some(groups.clone());
        Ok(groups)
    }
}

impl Linode {
    async fn ask(
        &self,
        what: &str,
        page: usize,
        page_size: usize,
        filter: &str,
    ) -> Result<(ApiAnswer, String), DiscoveryError> {
        let url = format!("{}/{what}?page={page}&page_size={page_size}", self.url);
        let mut headers = HeaderMap::new();
        if !filter.is_empty() {
            let name = HeaderName::from_static("x-filter");
            headers.insert(name, header(filter)?);
        }
        let answer = self.client.send(Method::GET, &url, headers, Bytes::new());
        Ok((answer.await?, url))
    }

    /// Whether nothing happened since the last refresh.
    async fn is_quiet(&mut self) -> Result<bool, DiscoveryError> {
        let since = self.last_refresh.format("%Y-%m-%dT%H:%M:%S").to_string();
        let filter = json!({"created": {"+gte": since}}).to_string();
        let (answer, url) = self.ask("account/events", 1, 25, &filter).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            // The token is not for events.
            self.may_see_events = false;
            return Ok(false);
        }
        let events: Page<serde::de::IgnoredAny> = answer.json(&url)?;
        self.quiet_refreshes += 1;
        Ok(events.data.is_empty() && self.quiet_refreshes < QUIET_REFRESHES_MAX)
    }

    async fn pages<T: DeserializeOwned>(&self, what: &str) -> Result<Vec<T>, DiscoveryError> {
        let filter = match self.config.region.as_str() {
            "" => String::new(),
            region => json!({"region": region}).to_string(),
        };
        let mut all = Vec::new();
        for number in 1..=PAGES_MAX {
            let (answer, url) = self.ask(what, number, 500, &filter).await?;
            let page: Page<T> = answer.json(&url)?;
            all.extend(page.data);
            if number >= page.pages {
                break;
            }
        }
        Ok(all)
    }

    async fn list(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let instances: Vec<Instance> = self.pages("linode/instances").await?;
        let addresses: Vec<Address> = self.pages("networking/ips").await?;
        let ranges: Vec<Range> = self.pages("networking/ipv6/ranges").await?;
        self.quiet_refreshes = 0;
        let instances = instances.iter().filter(|i| !i.ipv4.is_empty());
        let targets = instances.map(|instance| self.target(instance, &addresses, &ranges));
        Ok(group("Linode", targets))
    }

    fn target(&self, instance: &Instance, addresses: &[Address], ranges: &[Range]) -> Target {
        let mut public: Option<&Address> = None;
        let mut private: Option<&Address> = None;
        let mut extra = Vec::new();
        for ip in &instance.ipv4 {
            for address in addresses.iter().filter(|address| address.address == *ip) {
                match address.public {
                    true if public.is_none() => public = Some(address),
                    false if private.is_none() => private = Some(address),
                    _ => extra.push(address.address.clone()),
                }
            }
        }
        let own = instance.ipv6.split('/').next().filter(|ip| !ip.is_empty());
        let is_own = |ip: &str| own.is_some_and(|own| own == ip);
        let ipv6 = addresses.iter().rfind(|address| is_own(&address.address));
        let ranges = ranges.iter().filter(|range| is_own(&range.route_target));
        let ranges: Vec<_> = ranges
            .map(|r| format!("{}/{}", r.range, r.prefix))
            .collect();

        let mut target = Target::new(PREFIX);
        for (name, address) in [
            ("private_ipv4", private),
            ("public_ipv4", public),
            ("public_ipv6", ipv6),
        ] {
            target.put(name, address.map_or("", |address| &address.address));
            target.put(&format!("{name}_rdns"), address.map_or("", Address::name));
        }
        let host = public.map_or("", |address| &address.address);
        target.address(host, self.config.cloud.port);
        target.put("instance_id", instance.id.to_string());
        target.put("instance_label", &instance.label);
        target.put("image", &instance.image);
        target.put("region", &instance.region);
        target.put("type", &instance.r#type);
        target.put("status", &instance.status);
        target.put("group", &instance.group);
        target.put("hypervisor", &instance.hypervisor);
        let backups = match instance.backups.enabled {
            true => "enabled",
            false => "disabled",
        };
        target.put("backups", backups);
        let specs = &instance.specs;
        let mebibytes = |mebibytes: i64| mebibytes.saturating_mul(1 << 20).to_string();
        target.put("gpus", specs.gpus.to_string());
        target.put("specs_disk_bytes", mebibytes(specs.disk));
        target.put("specs_memory_bytes", mebibytes(specs.memory));
        target.put("specs_vcpus", specs.vcpus.to_string());
        target.put("specs_transfer_bytes", mebibytes(specs.transfer));
        let separator = &self.config.tag_separator;
        target.put_list("tags", &instance.tags, separator);
        target.put_list("extra_ips", &extra, separator);
        target.put_list("ipv6_ranges", &ranges, separator);
        target
    }
}
