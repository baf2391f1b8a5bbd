//! Proxies of the service mesh Kuma (`kuma_sd_configs`).
//!
//! The control plane is polled by the REST form of xDS: a request tells the version that is known, and the answer waits until there
//! is another, or until a timeout, which is status 304.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::api_client::ApiClient;
use super::cloud::{Target, answers, group};
use super::kind::{Kind, refresh_interval, render_interval};
use super::labels::sanitized;
use super::periodic::{Periodic, Refresh};
use super::{ADDRESS, Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::config::decode::{Fields, duration, error_at, string};
use crate::config::write::Entries;
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig, render};
use crate::duration::format_duration;

const PREFIX: &str = "__meta_kuma_";
const TYPE_URL: &str = "type.googleapis.com/kuma.observability.v1.MonitoringAssignment";

/// How much longer than the server may wait a request may take.
const CONNECTION_TIME: Duration = Duration::from_secs(15);

/// What this client calls itself where the host has no name.
const NAMELESS: &str = "prometheus";

/// One entry of `kuma_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KumaConfig {
    /// How requests are made.
    pub http: HttpClientConfig,
    /// How often the control plane is asked.
    pub refresh_interval: Duration,
    /// How long it may wait for changes.
    pub fetch_timeout: Duration,
    /// The URL of the control plane.
    pub server: String,
    /// What this client calls itself; the name of the host if empty.
    pub client_id: String,
}

impl Kind for KumaConfig {
    const NAME: &'static str = "kuma";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "xds.plainKumaConf")?;
        let fetch_timeout = fields.read("fetch_timeout", duration)?;
        let config = Self {
            refresh_interval: refresh_interval(&mut fields, Duration::from_secs(15))?,
            fetch_timeout: fetch_timeout.unwrap_or(Duration::from_secs(120)),
            server: fields.read("server", string)?.unwrap_or_default(),
            client_id: fields.read("client_id", string)?.unwrap_or_default(),
            http: HttpClientConfig::take(&mut fields, node, directory)?,
        };
        fields.finish(&[])?;
        let server = &config.server;
        if server.is_empty() {
            return error_at(node, format!("kuma SD server must not be empty: {server}"));
        }
        let host = server.split_once("://").map(|(_, host)| host);
        match host.filter(|host| !host.is_empty() && !host.starts_with('/')) {
            Some(_) => Ok(config),
            None => error_at(
                node,
                format!("kuma SD server must not be empty and have a scheme: {server}"),
            ),
        }
    }

    fn render(&self, entries: &mut Entries) {
        render::http(entries, &self.http);
        render_interval(entries, self.refresh_interval);
        if !self.fetch_timeout.is_zero() {
            entries.text("fetch_timeout", format_duration(self.fetch_timeout));
        }
        entries
            .text("server", &self.server)
            .text_if_set("client_id", &self.client_id);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let server = self.server.trim_end_matches('/');
        if !server.starts_with("http://") && !server.starts_with("https://") {
            return Err(DiscoveryError::Setup(
                "kuma_sd: invalid xDS server URL protocol. must be either 'http' or 'https'"
                    .to_owned(),
            ));
        }
        let timeout = format_duration(self.fetch_timeout);
        let discovery = Kuma {
            client: ApiClient::new(&self.http, self.fetch_timeout + CONNECTION_TIME)?,
            url: format!("{server}/v3/discovery:monitoringassignments?fetch-timeout={timeout}"),
            client_id: match self.client_id.as_str() {
                "" => host_name(),
                id => id.to_owned(),
            },
            version: String::new(),
            nonce: String::new(),
            last: Vec::new(),
        };
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = match name.trim() {
        "" => std::env::var("HOSTNAME").unwrap_or_default(),
        name => name.to_owned(),
    };
    if name.is_empty() {
        NAMELESS.to_owned()
    } else {
        name
    }
}

#[derive(Debug)]
struct Kuma {
    client: ApiClient,
    url: String,
    client_id: String,
    version: String,
    nonce: String,
    last: Vec<TargetGroup>,
}

// Names are those of the messages, or the same in camel case.
answers! {
    Response {
        #[serde(alias = "versionInfo")] version_info: String,
        #[serde(alias = "typeUrl")] type_url: String,
        nonce: String,
        resources: Vec<Assignment>,
    }
    Assignment {
        mesh: String,
        service: String,
        targets: Vec<Proxy>,
        labels: BTreeMap<String, String>,
    }
    Proxy {
        name: String,
        scheme: String,
        address: String,
        #[serde(alias = "metricsPath")] metrics_path: String,
        labels: BTreeMap<String, String>,
    }
}

#[async_trait]
impl Refresh for Kuma {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let mut body = json!({"node": {"id": self.client_id}, "type_url": TYPE_URL});
        if let Some(body) = body.as_object_mut() {
            for (name, value) in [
                ("version_info", &self.version),
                ("response_nonce", &self.nonce),
            ] {
                if !value.is_empty() {
                    body.insert(name.to_owned(), json!(value));
                }
            }
        }
        let json_type = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, json_type)]);
        let body = Bytes::from(body.to_string());
        let answer = self.client.send(Method::POST, &self.url, headers, body);
        let answer = answer.await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(self.last.clone());
        }
        if answer.status != StatusCode::OK {
            return Err(DiscoveryError::Answer(format!(
                "non 200 status '{}' response during xDS fetch",
                answer.status.as_u16()
            )));
        }
        let response: Response = answer.json(&self.url)?;
        // Whatever the resources are, this version need not be sent again.
        self.version = response.version_info;
        self.nonce = response.nonce;
        if response.type_url != TYPE_URL {
            return Err(DiscoveryError::Answer(format!(
                "received invalid typeURL for Kuma MADS v1 Resource: {}",
                response.type_url
            )));
        }
        self.last = group("kuma", response.resources.iter().flat_map(targets));
        Ok(self.last.clone())
    }
}

fn put_tags(target: &mut Target, tags: &LabelMap) {
    for (name, value) in tags {
        target.put(&format!("label_{}", sanitized(name)), value);
    }
}

fn targets(assignment: &Assignment) -> impl Iterator<Item = Target> {
    assignment.targets.iter().map(|proxy| {
        let mut target = Target::new(PREFIX);
        // Tags of the assignment win.
        put_tags(&mut target, &proxy.labels);
        put_tags(&mut target, &assignment.labels);
        target.put("mesh", &assignment.mesh);
        target.put("service", &assignment.service);
        target.put("dataplane", &proxy.name);
        for (name, value) in [
            (ADDRESS, &proxy.address),
            ("instance", &proxy.name),
            ("__scheme__", &proxy.scheme),
            ("__metrics_path__", &proxy.metrics_path),
        ] {
            target.labels.insert(name.to_owned(), value.clone());
        }
        target
    })
}
