//! Targets from the resources in PuppetDB (`puppetdb_sd_configs`).

mod parameters;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::api_client::{ApiClient, nullable};
use super::http::is_json;
use super::kind::{Kind, refresh_interval, render_interval};
use super::labels::host_port;
use super::periodic::{Periodic, Refresh};
use super::{ADDRESS, Discovery, DiscoveryError, Failures, LabelMap, TargetGroup, urls};
use crate::config::decode::{Fields, boolean, error_at, integer, string};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig, render};

/// What begins the names of labels.
const PREFIX: &str = "__meta_puppetdb_";

/// One entry of `puppetdb_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PuppetDbConfig {
    /// The URL of the server.
    pub url: String,
    /// The query, in PQL, that gives resources.
    pub query: String,
    /// Whether the parameters of resources become labels. They may be secrets.
    pub include_parameters: bool,
    /// The port of the targets.
    pub port: i64,
    /// How often the server is asked; also how long it may take to answer.
    pub refresh_interval: Duration,
    /// How requests are made.
    pub http: HttpClientConfig,
}

impl Kind for PuppetDbConfig {
    const NAME: &'static str = "puppetdb";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "puppetdb.plain")?;
        let config = Self {
            url: fields.read("url", string)?.unwrap_or_default(),
            query: fields.read("query", string)?.unwrap_or_default(),
            include_parameters: fields.read("include_parameters", boolean)?.unwrap_or(false),
            port: fields.read("port", integer)?.unwrap_or(80),
            refresh_interval: refresh_interval(&mut fields, Duration::from_secs(60))?,
            http: HttpClientConfig::take(&mut fields, node, directory)?,
        };
        fields.finish(&[])?;
        if config.url.is_empty() {
            return error_at(node, "URL is missing");
        }
        urls::check_http_url(&config.url).or_else(|message| error_at(node, message))?;
        if config.query.is_empty() {
            return error_at(node, "query missing");
        }
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        render::http(entries, &self.http);
        render_interval(entries, self.refresh_interval);
        entries
            .text("url", &self.url)
            .text("query", &self.query)
            .flag("include_parameters", self.include_parameters)
            .put("port", Yaml::Raw(self.port.to_string()));
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let mut url = urls::parse(&self.url).map_err(DiscoveryError::Setup)?;
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}/pdb/query/v4"));
        let discovery = PuppetDbDiscovery {
            client: ApiClient::new(&self.http, self.refresh_interval)?,
            url,
            config: self.clone(),
        };
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct PuppetDbDiscovery {
    client: ApiClient,
    url: Url,
    config: PuppetDbConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resource {
    certname: String,
    resource: String,
    r#type: String,
    title: String,
    exported: bool,
    #[serde(deserialize_with = "nullable")]
    tags: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    file: String,
    #[serde(deserialize_with = "nullable")]
    environment: String,
    #[serde(deserialize_with = "nullable")]
    parameters: Map<String, Value>,
}

#[async_trait]
impl Refresh for PuppetDbDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let wrong = |message: String| Err(DiscoveryError::Answer(message));
        let question = json!({"query": self.config.query});
        let answer = self.client.post_json(&self.url, &question).await?;
        if answer.status != StatusCode::OK {
            return wrong(format!("server returned HTTP status {}", answer.status));
        }
        let content_type = answer.headers.get(CONTENT_TYPE);
        let content_type = content_type.map_or("", |value| value.to_str().unwrap_or("?"));
        if !is_json(content_type) {
            return wrong(format!("unsupported content type {content_type}"));
        }
        let resources: Option<Vec<Resource>> = answer.json(self.url.as_str())?;
        let resources = resources.unwrap_or_default();
        let targets = resources.iter().map(|resource| self.target(resource));
        Ok(vec![TargetGroup {
            source: format!("{}?query={}", self.url, self.config.query),
            targets: targets.collect(),
            labels: LabelMap::new(),
        }])
    }
}

impl PuppetDbDiscovery {
    fn target(&self, resource: &Resource) -> LabelMap {
        let exported = resource.exported.to_string();
        let mut labels: LabelMap = [
            ("query", &self.config.query),
            ("certname", &resource.certname),
            ("resource", &resource.resource),
            ("type", &resource.r#type),
            ("title", &resource.title),
            ("exported", &exported),
            ("file", &resource.file),
            ("environment", &resource.environment),
        ]
        .into_iter()
        .map(|(name, value)| (format!("{PREFIX}{name}"), value.clone()))
        .collect();
        if !resource.tags.is_empty() {
            let tags = format!(",{},", resource.tags.join(","));
            labels.insert(format!("{PREFIX}tags"), tags);
        }
        if self.config.include_parameters {
            let prefix = format!("{PREFIX}parameter_");
            parameters::add(&mut labels, &prefix, &resource.parameters);
        }
        let address = host_port(&resource.certname, self.config.port);
        labels.insert(ADDRESS.to_owned(), address);
        labels
    }
}
