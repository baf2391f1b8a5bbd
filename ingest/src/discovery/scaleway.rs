//! Servers of Scaleway, virtual and bare metal (`scaleway_sd_configs`).

mod baremetal;
mod instance;

use std::path::Path;
use std::sync::LazyLock;

use async_trait::async_trait;
use bytes::Bytes;
use regex::Regex;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName};
use serde::de::DeserializeOwned;

use super::api_client::ApiClient;
use super::cloud::{CloudSettings, PAGES_MAX, group, secret_key};
use super::kind::Kind;
use super::periodic::{Periodic, Refresh};
use super::{Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::decode::{Fields, error_at, string, strings};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, Secret, Source};
use crate::http_client::header;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalewayRole {
    /// Virtual machines.
    Instance,
    /// Servers of metal.
    Baremetal,
}

/// One entry of `scaleway_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalewayConfig {
    /// The project.
    pub project_id: String,
    /// The URL of the API.
    pub api_url: String,
    /// The zone whose servers count.
    pub zone: String,
    /// The key that is asked with.
    pub access_key: String,
    /// Its secret part.
    pub secret_key: Source<Secret>,
    /// A part of the names of servers that count.
    pub name_filter: String,
    /// Tags that servers must have.
    pub tags_filter: Vec<String>,
    /// What all providers have.
    pub cloud: CloudSettings,
    /// What is looked for.
    pub role: ScalewayRole,
}

impl ScalewayRole {
    fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Baremetal => "baremetal",
        }
    }

    fn decode(node: &Node) -> Result<Self, ConfigError> {
        match string(node)?.as_str() {
            "instance" => Ok(Self::Instance),
            "baremetal" => Ok(Self::Baremetal),
            other => error_at(node, format!("unknown role {other:?}")),
        }
    }
}

fn matches(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern
        .as_ref()
        .is_some_and(|pattern| pattern.is_match(text))
}

fn is_uuid(text: &str) -> bool {
    static UUID: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$").ok());
    matches(&UUID, text)
}

fn is_access_key(text: &str) -> bool {
    static KEY: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("^SCW[A-Z0-9]{17}$").ok());
    matches(&KEY, text)
}

fn is_zone(text: &str) -> bool {
    static ZONE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new("^[a-z]{2}-[a-z]{3}-[0-9]$").ok());
    matches(&ZONE, text)
}

impl Kind for ScalewayConfig {
    const NAME: &'static str = "scaleway";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "scaleway.plain")?;
        let role = fields.read("role", ScalewayRole::decode)?;
        let mut text = |name, default: &str| {
            Ok(fields
                .read(name, string)?
                .unwrap_or_else(|| default.to_owned()))
        };
        let project_id = text("project_id", "")?;
        let api_url = text("api_url", "https://api.scaleway.com")?;
        let zone = text("zone", "fr-par-1")?;
        let access_key = text("access_key", "")?;
        let name_filter = text("name_filter", "")?;
        let tags_filter = fields.read("tags_filter", strings)?.unwrap_or_default();
        let one_secret_key = secret_key(&mut fields, node, directory)?;
        let cloud = CloudSettings::take(&mut fields, node, directory)?;
        fields.finish(&[])?;
        let Some(role) = role else {
            return error_at(node, "role missing (one of: instance, baremetal)");
        };
        if project_id.is_empty() {
            return error_at(node, "project_id is mandatory");
        }
        let secret_key = one_secret_key()?;
        if access_key.is_empty() {
            return error_at(node, "access_key is mandatory");
        }
        let config = Self {
            project_id,
            api_url,
            zone,
            access_key,
            secret_key,
            name_filter,
            tags_filter,
            cloud,
            role,
        };
        match config.malformed() {
            Some(message) => error_at(node, format!("scaleway-sdk-go: {message}")),
            None => Ok(config),
        }
    }

    fn render(&self, entries: &mut Entries) {
        let (secret, file) = match &self.secret_key {
            Source::Inline(secret) => (secret.to_string(), String::new()),
            Source::File(file) => (String::new(), file.display().to_string()),
        };
        let tags = self.tags_filter.iter().cloned().map(Yaml::Text);
        entries
            .text("project_id", &self.project_id)
            .text_if_set("api_url", &self.api_url)
            .text("zone", &self.zone)
            .text("access_key", &self.access_key)
            .text("secret_key", secret)
            .text("secret_key_file", file)
            .text_if_set("name_filter", &self.name_filter)
            .list_if_set("tags_filter", tags.collect());
        self.cloud.render(entries);
        entries.text("role", self.role.as_str());
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = Scaleway {
            client: self.cloud.client()?,
            config: self.clone(),
        };
        Ok(Periodic::boxed(self.cloud.refresh_interval, discovery))
    }
}

impl ScalewayConfig {
    /// What does not look as it must.
    fn malformed(&self) -> Option<String> {
        const UUID: &str = "expected a UUID: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
        let key = &self.access_key;
        if !is_access_key(key) {
            return Some(format!(
                "invalid access key format '{key}', expected SCWXXXXXXXXXXXXXXXXX format"
            ));
        }
        if let Source::Inline(secret) = &self.secret_key
            && !is_uuid(secret.reveal())
        {
            return Some(format!("invalid secret key format '{secret}', {UUID}"));
        }
        let project = &self.project_id;
        if !is_uuid(project) {
            return Some(format!(
                "invalid default project ID format '{project}', {UUID}"
            ));
        }
        let zone = &self.zone;
        (!is_zone(zone)).then(|| format!("invalid default zone format '{zone}'"))
    }
}

#[derive(Debug)]
struct Scaleway {
    client: ApiClient,
    config: ScalewayConfig,
}

#[async_trait]
impl Refresh for Scaleway {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let targets = match self.config.role {
            ScalewayRole::Instance => instance::targets(self).await?,
            ScalewayRole::Baremetal => baremetal::targets(self).await?,
        };
        Ok(group("scaleway", targets))
    }
}

impl Scaleway {
    /// Asks for all pages of a list, each below a name of its own in the answers.
    async fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        name: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Vec<T>, DiscoveryError> {
        let server = self.config.api_url.trim_end_matches('/');
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let mut url = format!("{server}/{path}?page={page}");
            for (name, value) in parameters {
                let value: String =
                    url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
                url.push_str(&format!("&{name}={value}"));
            }
            let headers = self.headers().await?;
            let answer = self.client.send(Method::GET, &url, headers, Bytes::new());
            let answer = answer.await?;
            let mut page: serde_json::Value = answer.json(&url)?;
            let total = answer.headers.get("x-total-count");
            let total = total.and_then(|total| total.to_str().ok()?.parse().ok());
            let total: Option<usize> = total.or_else(|| {
                let total = page.get("total_count")?.as_u64()?;
                usize::try_from(total).ok()
            });
            let items = page.get_mut(name).map(serde_json::Value::take);
            let items: Option<Vec<T>> = serde_json::from_value(items.unwrap_or_default())
                .map_err(|error| DiscoveryError::Answer(format!("{url}: {error}")))?;
            let items = items.unwrap_or_default();
            let empty = items.is_empty();
            all.extend(items);
            if empty || total.is_some_and(|total| all.len() >= total) {
                break;
            }
        }
        Ok(all)
    }

    async fn headers(&self) -> Result<HeaderMap, DiscoveryError> {
        let token = match &self.config.secret_key {
            Source::Inline(secret) => secret.reveal().to_owned(),
            Source::File(path) => {
                let text = tokio::fs::read_to_string(path).await.map_err(|error| {
                    let path = path.display();
                    DiscoveryError::Answer(format!(
                        "unable to read auth token file {path}: {error}"
                    ))
                })?;
                text.trim().to_owned()
            }
        };
        let mut token = header(&token)?;
        token.set_sensitive(true);
        let name = HeaderName::from_static("x-auth-token");
        Ok(HeaderMap::from_iter([(name, token)]))
    }

    /// The filters of the configuration as parameters.
    fn filters(&self) -> Vec<(&str, &str)> {
        let name = Some(self.config.name_filter.as_str()).filter(|name| !name.is_empty());
        name.map(|name| ("name", name)).into_iter().collect()
    }
}
