//! Targets from the instances that are registered with Eureka (`eureka_sd_configs`).

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, HeaderValue};

use super::api_client::{ApiClient, PATIENCE};
use super::kind::{Kind, refresh_interval, render_interval};
use super::labels::{host_port, sanitized};
use super::periodic::{Periodic, Refresh};
use super::xml::{Element, parse as parse_xml};
use super::{ADDRESS, Discovery, DiscoveryError, Failures, LabelMap, TargetGroup, urls};
use crate::config::decode::{Fields, error_at, string};
use crate::config::write::Entries;
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig, render};

/// What begins the names of labels.
const PREFIX: &str = "__meta_eureka_";

/// One entry of `eureka_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EurekaConfig {
    /// The URL of the server, without `/apps`.
    pub server: String,
    /// How often the server is asked.
    pub refresh_interval: Duration,
    /// How requests are made.
    pub http: HttpClientConfig,
}

impl Kind for EurekaConfig {
    const NAME: &'static str = "eureka";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "eureka.plain")?;
        let config = Self {
            server: fields.read("server", string)?.unwrap_or_default(),
            refresh_interval: refresh_interval(&mut fields, Duration::from_secs(30))?,
            http: HttpClientConfig::take(&mut fields, node, directory)?,
        };
        fields.finish(&[])?;
        if config.server.is_empty() {
            return error_at(node, "eureka_sd: empty or null eureka server");
        }
        match config.server.split_once("://") {
            Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => {
                if rest.starts_with('/') {
                    return error_at(node, "eureka_sd: invalid eureka server URL");
                }
            }
            _ => return error_at(node, "eureka_sd: invalid eureka server URL"),
        }
        urls::parse(&config.server).or_else(|message| error_at(node, message))?;
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        entries.text("server", &self.server);
        render::http(entries, &self.http);
        render_interval(entries, self.refresh_interval);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let mut client = ApiClient::new(&self.http, PATIENCE)?;
        // Eureka speaks JSON too, to those who ask for it.
        let accept = HeaderValue::from_static("application/xml");
        client.headers_mut().insert(ACCEPT, accept);
        let discovery = EurekaDiscovery {
            client,
            url: format!("{}/apps", self.server),
        };
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct EurekaDiscovery {
    client: ApiClient,
    url: String,
}

#[async_trait]
impl Refresh for EurekaDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let answer = self.client.get(&self.url).await?;
        if !answer.status.is_success() {
            return Err(DiscoveryError::Answer(format!(
                "non 2xx status '{}' response during eureka service discovery",
                answer.status.as_u16()
            )));
        }
        let parsed = parse_xml(&answer.body).and_then(|applications| targets(&applications));
        let targets =
            parsed.map_err(|reason| DiscoveryError::Answer(format!("{:?}: {reason}", self.url)))?;
        Ok(vec![TargetGroup {
            source: "eureka".to_owned(),
            targets,
            labels: LabelMap::new(),
        }])
    }
}

fn targets(applications: &Element) -> Result<Vec<LabelMap>, String> {
    let mut targets = Vec::new();
    for application in applications.all("application") {
        let name = application.text_of("name");
        for instance in application.all("instance") {
            targets.push(target(&name, instance)?);
        }
    }
    Ok(targets)
}

fn target(application: &str, instance: &Element) -> Result<LabelMap, String> {
    let id = instance.text_of("instanceId");
    let host = instance.text_of("hostName");
    let mut labels = LabelMap::from([
        ("instance".to_owned(), id),
        (format!("{PREFIX}app_name"), application.to_owned()),
    ]);
    let mut add = |name: &str, value: String| {
        labels.insert(format!("{PREFIX}app_instance_{name}"), value);
    };
    for (name, element) in [
        ("hostname", "hostName"),
        ("homepage_url", "homePageUrl"),
        ("statuspage_url", "statusPageUrl"),
        ("healthcheck_url", "healthCheckUrl"),
        ("ip_addr", "ipAddr"),
        ("vip_address", "vipAddress"),
        ("secure_vip_address", "secureVipAddress"),
        ("status", "status"),
        ("id", "instanceId"),
    ] {
        add(name, instance.text_of(element));
    }
    let country = instance.last("countryId").map(integer).transpose()?;
    add("country_id", country.unwrap_or(0).to_string());
    let mut port = 80;
    for (name, element) in [("port", "port"), ("secure_port", "securePort")] {
        let Some(element) = instance.last(element) else {
            continue;
        };
        let number = integer(element)?;
        if name == "port" {
            port = number;
        }
        add(name, number.to_string());
        add(&format!("{name}_enabled"), enabled(element)?.to_string());
    }
    if let Some(center) = instance.last("dataCenterInfo") {
        add("datacenterinfo_name", center.text_of("name"));
        for item in center.last("metadata").iter().flat_map(|m| &m.children) {
            let name = sanitized(&item.name);
            add(
                &format!("datacenterinfo_metadata_{name}"),
                item.inner.clone(),
            );
        }
    }
    for item in instance.last("metadata").iter().flat_map(|m| &m.children) {
        let name = sanitized(&item.name);
        add(&format!("metadata_{name}"), item.inner.clone());
    }
    labels.insert(ADDRESS.to_owned(), host_port(&host, port));
    Ok(labels)
}

/// The whole number that is the text of an element; an empty one is 0.
fn integer(element: &Element) -> Result<i64, String> {
    match element.text.trim() {
        "" => Ok(0),
        text => text
            .parse()
            .map_err(|error| format!("{} {text:?}: {error}", element.name)),
    }
}

fn enabled(element: &Element) -> Result<bool, String> {
    match element.attribute("enabled").map_or("", str::trim) {
        "true" | "TRUE" | "True" | "t" | "T" | "1" => Ok(true),
        "" | "false" | "FALSE" | "False" | "f" | "F" | "0" => Ok(false),
        other => Err(format!("{} enabled={other:?} is no boolean", element.name)),
    }
}
