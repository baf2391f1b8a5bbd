//! Virtual machines of Outscale (`outscale_sd_configs`).

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::Utc;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::json;
use url::Url;

use super::api_client::ApiClient;
use super::cloud::{CloudSettings, PAGES_MAX, Target, answers, group, secret_key};
use super::kind::{Kind, render_interval};
use super::labels::sanitized;
use super::periodic::{Periodic, Refresh};
use super::{Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::decode::{Fields, error_at, string};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, Secret, Source, render};
use crate::sigv4::{Credentials, Scope, sign};

const PREFIX: &str = "__meta_outscale_vm_";

/// The service, as signatures name it.
const SERVICE: &str = "oapi";

/// One entry of `outscale_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutscaleConfig {
    /// The URL of the API.
    pub endpoint: String,
    /// The region.
    pub region: String,
    /// The key that requests are signed with.
    pub access_key: String,
    /// Its secret part.
    pub secret_key: Source<Secret>,
    /// What all providers have.
    pub cloud: CloudSettings,
}

impl Kind for OutscaleConfig {
    const NAME: &'static str = "outscale";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "outscale.plain")?;
        let mut text = |name| fields.read(name, string);
        let mut endpoint = text("endpoint")?.unwrap_or_default();
        let region = text("region")?.unwrap_or_else(|| "eu-west-2".to_owned());
        let access_key = text("access_key")?.unwrap_or_default();
        let one_secret_key = secret_key(&mut fields, node, directory)?;
        let cloud = CloudSettings::take(&mut fields, node, directory)?;
        fields.finish(&[])?;
        if region.is_empty() {
            return error_at(node, "outscale SD configuration requires a region");
        }
        if access_key.is_empty() {
            return error_at(node, "outscale SD configuration requires access_key");
        }
        let secret_key = one_secret_key()?;
        if endpoint.is_empty() {
            endpoint = format!("https://api.{region}.outscale.com/api/v1");
        }
        Ok(Self {
            endpoint,
            region,
            access_key,
            secret_key,
            cloud,
        })
    }

    fn render(&self, entries: &mut Entries) {
        let (secret, file) = match &self.secret_key {
            Source::Inline(secret) => (secret.to_string(), String::new()),
            Source::File(file) => (String::new(), file.display().to_string()),
        };
        entries
            .text_if_set("endpoint", &self.endpoint)
            .text("region", &self.region)
            .text("access_key", &self.access_key)
            .text("secret_key", secret)
            .text("secret_key_file", file);
        render_interval(entries, self.cloud.refresh_interval);
        entries.put("port", Yaml::Raw(self.cloud.port.to_string()));
        render::http(entries, &self.cloud.http);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = Outscale {
            client: self.cloud.client()?,
            config: self.clone(),
        };
        Ok(Periodic::boxed(self.cloud.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct Outscale {
    client: ApiClient,
    config: OutscaleConfig,
}

answers! {
    Page {
        #[serde(rename = "Vms")]
        vms: Vec<Vm>,
        #[serde(rename = "NextPageToken")]
        next_page_token: String,
    }
    Vm {
        #[serde(rename = "VmId")]
        id: String,
        #[serde(rename = "State")]
        state: String,
        #[serde(rename = "PrivateIp")]
        private_ip: Option<String>,
        #[serde(rename = "PublicIp")]
        public_ip: Option<String>,
        #[serde(rename = "Placement")]
        placement: Placement,
        #[serde(rename = "Tags")]
        tags: Vec<Tag>,
    }
    Placement {
        #[serde(rename = "SubregionName")]
        subregion_name: Option<String>,
    }
    Tag {
        #[serde(rename = "Key")]
        key: String,
        #[serde(rename = "Value")]
        value: String,
    }
}

#[async_trait]
impl Refresh for Outscale {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let secret_key = self.secret_key().await?;
        let credentials = Credentials {
            access_key: self.config.access_key.clone(),
            secret_key,
            session_token: None,
            expires: None,
        };
        let vms = self
            .vms(&credentials)
            .await
            .map_err(|error| DiscoveryError::Answer(format!("outscale ReadVms: {error}")))?;
        let targets = vms.iter().filter_map(|vm| target(vm, &self.config));
        Ok(group(&self.config.region, targets))
    }
}

impl Outscale {
    async fn secret_key(&self) -> Result<Secret, DiscoveryError> {
        match &self.config.secret_key {
            Source::Inline(secret) => Ok(secret.clone()),
            Source::File(path) => {
                let text = tokio::fs::read_to_string(path).await.map_err(|error| {
                    let path = path.display();
                    DiscoveryError::Answer(format!(
                        "unable to read outscale secret key file {path}: {error}"
                    ))
                })?;
                Ok(Secret::new(text.trim()))
            }
        }
    }

    /// Asks for all pages of the list.
    async fn vms(&self, credentials: &Credentials) -> Result<Vec<Vm>, DiscoveryError> {
        let url = format!("{}/ReadVms", self.config.endpoint.trim_end_matches('/'));
        let parsed = Url::parse(&url);
        let parsed = parsed.map_err(|error| DiscoveryError::Setup(format!("{url}: {error}")))?;
        let scope = Scope {
            region: &self.config.region,
            service: SERVICE,
        };
        let mut question = json!({});
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let body = question.to_string();
            let json = HeaderValue::from_static("application/json");
            let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
            let request = ("POST", &parsed);
            let bytes = body.as_bytes();
            sign(request, &mut headers, bytes, credentials, scope, Utc::now())?;
            let answer = self
                .client
                .send(Method::POST, &url, headers, Bytes::from(body));
            let page: Page = answer.await?.json(&url)?;
            all.extend(page.vms);
            if page.next_page_token.is_empty() {
                break;
            }
            question = json!({ "NextPageToken": page.next_page_token });
        }
        Ok(all)
    }
}

/// The target of a machine; none where it has no address.
fn target(vm: &Vm, config: &OutscaleConfig) -> Option<Target> {
    let mut addresses = [&vm.private_ip, &vm.public_ip].into_iter().flatten();
    let address = addresses.find(|address| !address.is_empty())?;
    let mut target = Target::new(PREFIX);
    target.address(address, config.cloud.port);
    target.put("instance_id", &vm.id);
    target.put("region", &config.region);
    target.put("state", &vm.state);
    target.put_known("subregion", vm.placement.subregion_name.as_ref());
    target.put_known("private_ip", vm.private_ip.as_ref());
    target.put_known("public_ip", vm.public_ip.as_ref());
    for Tag { key, value } in &vm.tags {
        if !key.is_empty() && !value.is_empty() {
            target.put(&format!("tag_{}", sanitized(key)), value);
        }
    }
    Some(target)
}
