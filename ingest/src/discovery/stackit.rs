//! Servers of STACKIT (`stackit_sd_configs`).

mod key;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use self::key::KeyTokens;
use super::api_client::ApiClient;
use super::cloud::{CloudSettings, Target, answers, group};
use super::kind::{Kind, render_interval};
use super::labels::sanitized;
use super::periodic::{Periodic, Refresh};
use super::urls::parse;
use super::{Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::decode::{Fields, error_at, string};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, Secret, render};
use crate::environment::Environment;
use crate::identity;

const PREFIX: &str = "__meta_stackit_";

/// One entry of `stackit_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackitConfig {
    /// What all providers have.
    pub cloud: CloudSettings,
    /// The project.
    pub project: String,
    /// The region.
    pub region: String,
    /// The URL of the API instead of the region's.
    pub endpoint: String,
    /// The key of a service account: JSON.
    pub service_account_key: Option<Secret>,
    /// The RSA key that belongs to it, PEM, if it is not in there.
    pub private_key: Option<Secret>,
    /// The file with the key of a service account.
    pub service_account_key_path: String,
    /// The file with the RSA key.
    pub private_key_path: String,
    /// The file with the paths of both.
    pub credentials_file_path: String,
}

impl Kind for StackitConfig {
    const NAME: &'static str = "stackit";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "stackit.plain")?;
        let mut text = |name| fields.read(name, string);
        let project = text("project")?.unwrap_or_default();
        let region = text("region")?.unwrap_or_else(|| "eu01".to_owned());
        let endpoint = text("endpoint")?.unwrap_or_default();
        let service_account_key_path = text("service_account_key_path")?.unwrap_or_default();
        let private_key_path = text("private_key_path")?.unwrap_or_default();
        let credentials_file_path = text("credentials_file_path")?.unwrap_or_default();
        let mut secret = |name| fields.take_text(name).map(Secret::decode).transpose();
        let config = Self {
            project,
            region,
            endpoint,
            service_account_key: secret("service_account_key")?,
            private_key: secret("private_key")?,
            service_account_key_path,
            private_key_path,
            credentials_file_path,
            cloud: CloudSettings::take(&mut fields, node, directory)?,
        };
        fields.finish(&[])?;
        if config.endpoint.is_empty() && config.region.is_empty() {
            return error_at(node, "stackit_sd: endpoint and region missing");
        }
        let endpoint = &config.endpoint;
        if !endpoint.is_empty()
            && let Err(error) = parse(endpoint)
        {
            let message = format!("stackit_sd: invalid endpoint {endpoint:?}: {error}");
            return error_at(node, message);
        }
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        render::http(entries, &self.cloud.http);
        entries.text("project", &self.project);
        render_interval(entries, self.cloud.refresh_interval);
        if self.cloud.port != 0 {
            entries.put("port", Yaml::Raw(self.cloud.port.to_string()));
        }
        entries
            .text_if_set("region", &self.region)
            .text_if_set("endpoint", &self.endpoint);
        for (name, secret) in [
            ("service_account_key", &self.service_account_key),
            ("private_key", &self.private_key),
        ] {
            if let Some(secret) = secret {
                entries.text(name, secret.to_string());
            }
        }
        entries
            .text_if_set("service_account_key_path", &self.service_account_key_path)
            .text_if_set("private_key_path", &self.private_key_path)
            .text_if_set("credentials_file_path", &self.credentials_file_path);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        self.discovery_with(key::TOKEN_URL)
    }
}

impl StackitConfig {
    /// The discovery that gets its tokens at a URL.
    pub(crate) fn discovery_with(
        &self,
        token_url: &str,
    ) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let has_key =
            self.service_account_key.is_some() || !self.service_account_key_path.is_empty();
        let tokens = match has_key {
            true => Some(KeyTokens::new(self, token_url, Environment::default())?),
            false => None,
        };
        let url = match self.endpoint.is_empty() {
            true => format!("https://iaas.api.{}.stackit.cloud", self.region),
            false => self.endpoint.clone(),
        };
        let discovery = Stackit {
            client: self.cloud.client()?,
            tokens,
            url,
            config: self.clone(),
        };
        Ok(Periodic::boxed(self.cloud.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct Stackit {
    client: ApiClient,
    tokens: Option<KeyTokens>,
    url: String,
    config: StackitConfig,
}

answers! {
    Servers { items: Vec<Server>, }
    Server {
        #[serde(rename = "availabilityZone")]
        availability_zone: String,
        id: String,
        labels: BTreeMap<String, Value>,
        #[serde(rename = "machineType")]
        machine_type: String,
        name: String,
        nics: Option<Vec<Nic>>,
        #[serde(rename = "powerStatus")]
        power_status: String,
        status: String,
    }
    Nic {
        #[serde(rename = "networkName")]
        network_name: String,
        ipv4: String,
        #[serde(rename = "publicIp")]
        public_ip: String,
    }
}

#[async_trait]
impl Refresh for Stackit {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let wrong = |error: &dyn std::fmt::Display| {
            DiscoveryError::Answer(format!("invalid API endpoint URL {}: {error}", self.url))
        };
        let mut url = Url::parse(&self.url).map_err(|error| wrong(&error))?;
        let mut path = url.path_segments_mut().map_err(|()| wrong(&"no host"))?;
        path.pop_if_empty();
        path.extend(["v1", "projects", &self.config.project, "servers"]);
        drop(path);
        url.query_pairs_mut().append_pair("details", "true");
        let mut headers = HeaderMap::new();
        if let Some(tokens) = &self.tokens {
            identity::add(&mut headers, tokens.header().await?);
        }
        let url = url.as_str();
        let answer = self.client.send(Method::GET, url, headers, Bytes::new());
        let answer = answer.await?;
        if answer.status != StatusCode::OK {
            return Err(DiscoveryError::Answer(format!(
                "unexpected status code {}: {}",
                answer.status.as_u16(),
                answer.quoted()
            )));
        }
        let servers: Option<Servers> = answer
            .json(url)
            .map_err(|error| DiscoveryError::Answer(format!("decoding response: {error}")))?;
        let servers = servers.unwrap_or_default();
        let targets = servers
            .items
            .iter()
            .filter_map(|server| self.target(server));
        Ok(group("stackit", targets))
    }
}

impl Stackit {
    /// The target of a server; none where it has no address.
    fn target(&self, server: &Server) -> Option<Target> {
        let nics = server.nics.as_ref()?;
        let mut target = Target::new(PREFIX);
        for (name, value) in [
            ("project", &self.config.project),
            ("id", &server.id),
            ("name", &server.name),
            ("availability_zone", &server.availability_zone),
            ("status", &server.status),
            ("power_status", &server.power_status),
            ("type", &server.machine_type),
        ] {
            target.put(name, value);
        }
        let mut private = None;
        for nic in nics.iter().filter(|nic| !nic.ipv4.is_empty()) {
            let name = format!("private_ipv4_{}", sanitized(&nic.network_name));
            target.put(&name, &nic.ipv4);
            private = private.or(Some(&nic.ipv4));
        }
        let mut public = nics.iter().map(|nic| &nic.public_ip);
        let public = public.find(|ip| !ip.is_empty());
        target.put_known("public_ipv4", public);
        target.address(public.or(private)?, self.config.cloud.port);
        for (name, value) in &server.labels {
            if let Value::String(value) = value {
                let name = sanitized(name);
                target.put(&format!("labelpresent_{name}"), "true");
                target.put(&format!("label_{name}"), value);
            }
        }
        Some(target)
    }
}
