//! Tasks of Marathon (`marathon_sd_configs`).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::api_client::ApiClient;
use super::cloud::{Target, answers};
use super::kind::{Kind, refresh_interval, render_interval};
use super::labels::{host_port, sanitized};
use super::periodic::{Periodic, Refresh};
use super::{ADDRESS, Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::config::decode::{Fields, error_at, string, strings};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::{Node, Value};
use crate::config::{ConfigError, HttpClientConfig, Secret, Source, render};
use crate::http_client::header;

const PREFIX: &str = "__meta_marathon_";
const APPS: &str = "/v2/apps/?embed=apps.tasks";

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// One entry of `marathon_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarathonConfig {
    /// The URLs of servers, any of which knows everything.
    pub servers: Vec<String>,
    /// How often one of them is asked.
    pub refresh_interval: Duration,
    /// The token that is sent as DC/OS wants it.
    pub auth_token: Option<Source<Secret>>,
    /// How requests are made.
    pub http: HttpClientConfig,
}

fn has(node: &Node, names: &[&str]) -> bool {
    let Value::Mapping(entries) = &node.value else {
        return false;
    };
    let mut entries = entries.iter();
    entries.any(|(key, value)| names.contains(&key.name.as_str()) && !value.is_vacuous())
}

impl Kind for MarathonConfig {
    const NAME: &'static str = "marathon";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "marathon.plain")?;
        let servers = fields.read("servers", strings)?.unwrap_or_default();
        let refresh_interval = refresh_interval(&mut fields, Duration::from_secs(30))?;
        let token = fields
            .take_text("auth_token")
            .map(Secret::decode)
            .transpose()?;
        let file = fields
            .take_text("auth_token_file")
            .map(string)
            .transpose()?;
        if servers.is_empty() {
            return error_at(
                node,
                "marathon_sd: must contain at least one Marathon server",
            );
        }
        let auth_token = match (token, file) {
            (Some(_), Some(_)) => {
                return error_at(
                    node,
                    "marathon_sd: at most one of auth_token & auth_token_file must be configured",
                );
            }
            (Some(token), None) => Some(Source::Inline(token)),
            (None, file) => file.map(|file| Source::File(directory.join(file))),
        };
        let conflicts: [(&[&str], _); 3] = [
            (
                &["basic_auth"],
                "at most one of basic_auth, auth_token & auth_token_file",
            ),
            (
                &["bearer_token", "bearer_token_file"],
                "at most one of bearer_token, bearer_token_file, auth_token & auth_token_file",
            ),
            (
                &["authorization"],
                "at most one of auth_token, auth_token_file & authorization",
            ),
        ];
        let mut conflicts = conflicts.into_iter();
        if auth_token.is_some()
            && let Some((_, conflict)) = conflicts.find(|(names, _)| has(node, names))
        {
            return error_at(node, format!("marathon_sd: {conflict} must be configured"));
        }
        let http = HttpClientConfig::take(&mut fields, node, directory)?;
        fields.finish(&[])?;
        Ok(Self {
            servers,
            refresh_interval,
            auth_token,
            http,
        })
    }

    fn render(&self, entries: &mut Entries) {
        let servers = self.servers.iter().cloned().map(Yaml::Text);
        entries.put("servers", Yaml::List(servers.collect()));
        render_interval(entries, self.refresh_interval);
        render::hidden(entries, "auth_token", self.auth_token.as_ref());
        render::http(entries, &self.http);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let clients = self.servers.iter().map(|server| {
            let client = ApiClient::new(&self.http, TIMEOUT)?;
            Ok((client, format!("{server}{APPS}")))
        });
        let discovery = Marathon {
            clients: clients.collect::<Result<_, DiscoveryError>>()?,
            next: 0,
            auth_token: self.auth_token.clone(),
        };
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct Marathon {
    clients: Vec<(ApiClient, String)>,
    /// The server whose turn it is: they take turns, so that one that is down does not hide the others.
    next: usize,
    auth_token: Option<Source<Secret>>,
}

answers! {
    Apps { apps: Vec<App>, }
    App {
        id: String,
        tasks: Vec<Task>,
        labels: BTreeMap<String, String>,
        container: Container,
        #[serde(rename = "portDefinitions")] port_definitions: Vec<PortDefinition>,
        networks: Vec<Network>,
        #[serde(rename = "requirePorts")] require_ports: bool,
    }
    Task {
        id: String,
        host: String,
        ports: Vec<u32>,
        #[serde(rename = "ipAddresses")] ip_addresses: Vec<IpAddress>,
    }
    IpAddress { #[serde(rename = "ipAddress")] ip_address: String, }
    Container { docker: Docker, #[serde(rename = "portMappings")] port_mappings: Vec<PortMapping>, }
    Docker { image: String, #[serde(rename = "portMappings")] port_mappings: Vec<PortMapping>, }
    PortMapping {
        labels: LabelMap,
        #[serde(rename = "containerPort")] container_port: u32,
        #[serde(rename = "hostPort")] host_port: u32,
    }
    PortDefinition { labels: LabelMap, port: u32, }
    Network { mode: String, }
}

#[async_trait]
impl Refresh for Marathon {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let Some((client, url)) = self.clients.get(self.next) else {
            return Ok(Vec::new());
        };
        self.next = (self.next + 1) % self.clients.len();
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.auth_token {
            headers.insert(AUTHORIZATION, authorization(token).await?);
        }
        let answer = client.send(Method::GET, url, headers, Bytes::new()).await?;
        if !answer.status.is_success() {
            return Err(DiscoveryError::Answer(format!(
                "non 2xx status '{}' response during marathon service discovery",
                answer.status.as_u16()
            )));
        }
        let apps: Apps = serde_json::from_slice(&answer.body)
            .map_err(|error| DiscoveryError::Answer(format!("{url:?}: {error}")))?;
        Ok(apps.apps.iter().map(group).collect())
    }
}

async fn authorization(token: &Source<Secret>) -> Result<HeaderValue, DiscoveryError> {
    let token = match token {
        Source::Inline(token) => token.reveal().to_owned(),
        Source::File(path) => {
            let text = tokio::fs::read_to_string(path).await.map_err(|error| {
                let path = path.display();
                DiscoveryError::Answer(format!("unable to read auth token file {path}: {error}"))
            })?;
            text.trim().to_owned()
        }
    };
    let mut value = header(&format!("token={token}"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn group(app: &App) -> TargetGroup {
    let mut common = Target::new(PREFIX);
    common.put("app", &app.id);
    common.put("image", &app.container.docker.image);
    for (name, value) in &app.labels {
        common.put(&format!("app_label_{}", sanitized(name)), value);
    }
    TargetGroup {
        source: app.id.clone(),
        targets: targets(app),
        labels: common.labels,
    }
}

impl App {
    /// Whether tasks have addresses of their own.
    fn has_container_network(&self) -> bool {
        let first = self.networks.first();
        first.is_some_and(|network| network.mode == "container")
    }

    /// Ports, each with its labels, and what the names of these begin with. A port may be zero: the tasks know it then.
    fn ports(&self) -> (Vec<(u32, Option<&LabelMap>)>, &'static str) {
        let container = &self.container;
        // Since Marathon 1.5 the mappings stand in the first place.
        let mappings = match container.port_mappings.is_empty() {
            true => &container.docker.port_mappings,
            false => &container.port_mappings,
        };
        if !mappings.is_empty() {
            let own = self.has_container_network();
            let ports = mappings.iter().map(|mapping| {
                let port = if own {
                    mapping.container_port
                } else {
                    mapping.host_port
                };
                (port, Some(&mapping.labels))
            });
            return (ports.collect(), "port_mapping_label_");
        }
        let ports = self.port_definitions.iter().map(|definition| {
            // A port that is not required is that of the service, not that on which tasks listen.
            let port = if self.require_ports {
                definition.port
            } else {
                0
            };
            (port, Some(&definition.labels))
        });
        (ports.collect(), "port_definition_label_")
    }
}

fn targets(app: &App) -> Vec<LabelMap> {
    let (mut ports, prefix) = app.ports();
    let mut targets = Vec::new();
    for task in &app.tasks {
        // Where the app has none, all tasks have as many as the first.
        if ports.is_empty() {
            ports = task.ports.iter().map(|port| (*port, None)).collect();
        }
        let address = task.ip_addresses.first();
        let host = match address.filter(|_| app.has_container_network()) {
            Some(address) => &address.ip_address,
            None => &task.host,
        };
        for (i, (port, labels)) in ports.iter().enumerate() {
            let mut port = *port;
            if port == 0 && task.ports.len() == ports.len() {
                port = task.ports.get(i).copied().unwrap_or_default();
            }
            let mut target = Target::new(PREFIX);
            target
                .labels
                .insert(ADDRESS.to_owned(), host_port(host, port));
            target.put("task", &task.id);
            target.put("port_index", i.to_string());
            for (name, value) in labels.iter().flat_map(|labels| labels.iter()) {
                target.put(&format!("{prefix}{}", sanitized(name)), value);
            }
            targets.push(target.labels);
        }
    }
    targets
}
