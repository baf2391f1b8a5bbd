//! Servers of OVHcloud, virtual and dedicated ones (`ovhcloud_sd_configs`).

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::Utc;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName};
use ring::digest;
use serde::de::DeserializeOwned;

use super::api_client::{ApiClient, PATIENCE};
use super::cloud::{Target, answers, group};
use super::kind::{Kind, refresh_interval, render_interval};
use super::periodic::{Periodic, Refresh};
use super::{ADDRESS, Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::decode::{Fields, error_at, string};
use crate::config::write::Entries;
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig, Secret};
use crate::http_client::header;

/// The endpoints that have names.
const ENDPOINTS: [(&str, &str); 7] = [
    ("ovh-eu", "https://eu.api.ovh.com/1.0"),
    ("ovh-ca", "https://ca.api.ovh.com/1.0"),
    ("ovh-us", "https://api.us.ovhcloud.com/1.0"),
    ("kimsufi-eu", "https://eu.api.kimsufi.com/1.0"),
    ("kimsufi-ca", "https://ca.api.kimsufi.com/1.0"),
    ("soyoustart-eu", "https://eu.api.soyoustart.com/1.0"),
    ("soyoustart-ca", "https://ca.api.soyoustart.com/1.0"),
];

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OvhService {
    /// Virtual private servers.
    Vps,
    /// Dedicated servers.
    DedicatedServer,
}

/// One entry of `ovhcloud_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OvhCloudConfig {
    /// The endpoint: one that has a name, or a URL.
    pub endpoint: String,
    /// The application that asks.
    pub application_key: String,
    /// Its secret.
    pub application_secret: Secret,
    /// The key that a user gave to it.
    pub consumer_key: Secret,
    /// How often servers are looked for.
    pub refresh_interval: Duration,
    /// What is looked for.
    pub service: OvhService,
}

impl OvhService {
    fn as_str(self) -> &'static str {
        match self {
            Self::Vps => "vps",
            Self::DedicatedServer => "dedicated_server",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Vps => "/vps",
            Self::DedicatedServer => "/dedicated/server",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Vps => "__meta_ovhcloud_vps_",
            Self::DedicatedServer => "__meta_ovhcloud_dedicated_server_",
        }
    }
}

impl Kind for OvhCloudConfig {
    const NAME: &'static str = "ovhcloud";

    fn decode(node: &Node, _: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "ovhcloud.plain")?;
        let endpoint = fields.read("endpoint", string)?;
        let endpoint = endpoint.unwrap_or_else(|| "ovh-eu".to_owned());
        let application_key = fields.read("application_key", string)?.unwrap_or_default();
        let mut secret = |name| fields.take_text(name).map(Secret::decode).transpose();
        let application_secret = secret("application_secret")?;
        let consumer_key = secret("consumer_key")?;
        let refresh_interval = refresh_interval(&mut fields, Duration::from_secs(60))?;
        let service = fields.read("service", string)?.unwrap_or_default();
        fields.finish(&[])?;
        if endpoint.is_empty() {
            return error_at(node, "endpoint can not be empty");
        }
        if application_key.is_empty() {
            return error_at(node, "application key can not be empty");
        }
        let Some(application_secret) = application_secret else {
            return error_at(node, "application secret can not be empty");
        };
        let Some(consumer_key) = consumer_key else {
            return error_at(node, "consumer key can not be empty");
        };
        let service = match service.as_str() {
            "vps" => OvhService::Vps,
            "dedicated_server" => OvhService::DedicatedServer,
            other => return error_at(node, format!("unknown service: {other}")),
        };
        Ok(Self {
            endpoint,
            application_key,
            application_secret,
            consumer_key,
            refresh_interval,
            service,
        })
    }

    fn render(&self, entries: &mut Entries) {
        entries
            .text("endpoint", &self.endpoint)
            .text("application_key", &self.application_key)
            .text("application_secret", self.application_secret.to_string())
            .text("consumer_key", self.consumer_key.to_string());
        render_interval(entries, self.refresh_interval);
        entries.text("service", self.service.as_str());
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let mut named = ENDPOINTS.iter();
        let named = named.find(|(name, _)| *name == self.endpoint);
        let url = match named {
            Some((_, url)) => *url,
            None if self.endpoint.contains('/') => &self.endpoint,
            None => {
                return Err(DiscoveryError::Setup(format!(
                    "unknown endpoint '{}', consider checking 'Endpoints' list or using an URL",
                    self.endpoint
                )));
            }
        };
        let discovery = OvhCloud {
            client: ApiClient::new(&HttpClientConfig::default(), PATIENCE)?,
            url: url.trim_end_matches('/').to_owned(),
            config: self.clone(),
        };
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct OvhCloud {
    client: ApiClient,
    url: String,
    config: OvhCloudConfig,
}

answers! {
    DedicatedServer {
        state: String,
        #[serde(rename = "commercialRange")]
        commercial_range: String,
        #[serde(rename = "linkSpeed")]
        link_speed: i64,
        rack: String,
        #[serde(rename = "noIntervention")]
        no_intervention: bool,
        os: String,
        #[serde(rename = "supportLevel")]
        support_level: String,
        #[serde(rename = "serverId")]
        server_id: i64,
        reverse: String,
        datacenter: String,
        name: String,
    }
    Vps {
        zone: String,
        model: VpsModel,
        #[serde(rename = "displayName")]
        display_name: String,
        cluster: String,
        state: String,
        name: String,
        #[serde(rename = "netbootMode")]
        netboot_mode: String,
        #[serde(rename = "memoryLimit")]
        memory_limit: i64,
        #[serde(rename = "offerType")]
        offer_type: String,
        vcore: i64,
    }
    VpsModel {
        #[serde(rename = "maximumAdditionnalIp")]
        maximum_additional_ip: i64,
        offer: String,
        datacenter: Vec<String>,
        vcore: i64,
        version: String,
        name: String,
        disk: i64,
        memory: i64,
    }
}

/// The addresses of a server.
#[derive(Debug, Default, PartialEq, Eq)]
struct Addresses {
    v4: String,
    v6: String,
}

impl Addresses {
    /// Of several the last ones count. Networks of more than one address are passed over.
    fn of(texts: &[String]) -> Result<Self, DiscoveryError> {
        let wrong = || DiscoveryError::Answer("could not parse IP addresses from list".to_owned());
        let mut addresses = Self::default();
        for text in texts {
            let (address, bits) = match text.split_once('/') {
                None => (text.as_str(), None),
                Some((address, bits)) => (address, Some(bits)),
            };
            let address: IpAddr = address.parse().map_err(|_| wrong())?;
            let bits = bits.map(str::parse::<u8>).transpose();
            let bits = bits.map_err(|_| wrong())?;
            if bits.is_some_and(|bits| bits != 32) || address.is_unspecified() {
                continue;
            }
            match address {
                IpAddr::V4(_) => addresses.v4 = address.to_string(),
                IpAddr::V6(_) => addresses.v6 = address.to_string(),
            }
        }
        match addresses.v4.is_empty() && addresses.v6.is_empty() {
            true => Err(wrong()),
            false => Ok(addresses),
        }
    }
}

#[async_trait]
impl Refresh for OvhCloud {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let service = self.config.service;
        let source = format!("ovhcloud_{}", service.as_str());
        // Signatures have the time of the server in them.
        let time: i64 = self
            .client
            .get_json(&format!("{}/auth/time", self.url))
            .await?;
        let ahead = time - Utc::now().timestamp();
        let names: Vec<String> = self.ask(service.path(), ahead).await?;
        let mut targets = Vec::new();
        for name in &names {
            match self.target(name, ahead).await {
                Ok(target) => targets.push(target),
                Err(error) => {
                    tracing::warn!(source, server = name, %error, "Could not get details");
                }
            }
        }
        Ok(group(&source, targets))
    }
}

impl OvhCloud {
    /// Asks for a path. `ahead`: the seconds that the server's time is ahead of ours.
    async fn ask<T: DeserializeOwned>(&self, path: &str, ahead: i64) -> Result<T, DiscoveryError> {
        let url = format!("{}{path}", self.url);
        let time = (Utc::now().timestamp() + ahead).to_string();
        let OvhCloudConfig {
            application_key,
            application_secret,
            consumer_key,
            ..
        } = &self.config;
        let consumer_key = consumer_key.reveal();
        let signature = signature(application_secret.reveal(), consumer_key, &url, &time);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-ovh-application", application_key.as_str()),
            ("x-ovh-timestamp", &time),
            ("x-ovh-consumer", consumer_key),
            ("x-ovh-signature", &signature),
        ] {
            headers.insert(HeaderName::from_static(name), header(value)?);
        }
        let answer = self.client.send(Method::GET, &url, headers, Bytes::new());
        answer.await?.json(&url)
    }

    async fn target(&self, name: &str, ahead: i64) -> Result<Target, DiscoveryError> {
        let service = self.config.service;
        let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let path = format!("{}/{name}", service.path());
        let mut target = Target::new(service.prefix());
        let name = match service {
            OvhService::Vps => put_vps(&mut target, self.ask(&path, ahead).await?),
            OvhService::DedicatedServer => {
                put_dedicated(&mut target, self.ask(&path, ahead).await?)
            }
        };
        let addresses: Vec<String> = self.ask(&format!("{path}/ips"), ahead).await?;
        let Addresses { v4, v6 } = Addresses::of(&addresses)?;
        let address = if v4.is_empty() { &v6 } else { &v4 };
        target.labels.insert(ADDRESS.to_owned(), address.clone());
        target.labels.insert("instance".to_owned(), name);
        target.put("ipv4", v4);
        target.put("ipv6", v6);
        Ok(target)
    }
}

/// What proves a question.
fn signature(application_secret: &str, consumer_key: &str, url: &str, time: &str) -> String {
    let text = format!("{application_secret}+{consumer_key}+GET+{url}++{time}");
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let hash: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("$1${hash}")
}

/// Puts what is known about a server; gives its name.
fn put_vps(target: &mut Target, vps: Vps) -> String {
    let model = vps.model;
    for (name, value) in [
        ("offer", model.offer),
        ("datacenter", format!("[{}]", model.datacenter.join(" "))),
        ("model_vcore", model.vcore.to_string()),
        (
            "maximum_additional_ip",
            model.maximum_additional_ip.to_string(),
        ),
        ("version", model.version),
        ("model_name", model.name),
        ("disk", model.disk.to_string()),
        ("memory", model.memory.to_string()),
        ("zone", vps.zone),
        ("display_name", vps.display_name),
        ("cluster", vps.cluster),
        ("state", vps.state),
        ("name", vps.name.clone()),
        ("netboot_mode", vps.netboot_mode),
        ("memory_limit", vps.memory_limit.to_string()),
        ("offer_type", vps.offer_type),
        ("vcore", vps.vcore.to_string()),
    ] {
        target.put(name, value);
    }
    vps.name
}

/// The same for a dedicated one.
fn put_dedicated(target: &mut Target, server: DedicatedServer) -> String {
    for (name, value) in [
        ("state", server.state),
        ("commercial_range", server.commercial_range),
        ("link_speed", server.link_speed.to_string()),
        ("rack", server.rack),
        ("no_intervention", server.no_intervention.to_string()),
        ("os", server.os),
        ("support_level", server.support_level),
        ("server_id", server.server_id.to_string()),
        ("reverse", server.reverse),
        ("datacenter", server.datacenter),
        ("name", server.name.clone()),
    ] {
        target.put(name, value);
    }
    server.name
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_those_of_single_machines() {
        let of = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
            Addresses::of(&texts).map_err(|error| error.to_string())
        };
        let both = of(&["1.2.3.4/32", "2001:db8::1", "2001:db8::/64", "0.0.0.0"]).unwrap();
        assert_eq!(
            (both.v4.as_str(), both.v6.as_str()),
            ("1.2.3.4", "2001:db8::1")
        );
        for wrong in [&["1.2.3.0/24"][..], &["x"], &["1.2.3.4", "1.2.3.4/x"], &[]] {
            assert_eq!(
                of(wrong).unwrap_err(),
                "could not parse IP addresses from list"
            );
        }
    }

    #[test]
    fn questions_are_signed_as_documented() {
        // The example of the provider's first steps with its API.
        let secret = "EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF";
        let key = "MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1";
        let url = "https://eu.api.ovh.com/1.0/domains/";
        assert_eq!(
            signature(secret, key, url, "1366560945"),
            "$1$d3705e8afb27a0d2970a322b96550abfc67bb798"
        );
    }
}
