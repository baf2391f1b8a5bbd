//! Systems that Uyuni manages (`uyuni_sd_configs`).

mod xml_rpc;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use self::xml_rpc::Value;
use super::api_client::{ApiClient, PATIENCE};
use super::cloud::{Target, group};
use super::kind::{Kind, refresh_interval, render_interval};
use super::periodic::{Periodic, Refresh};
use super::urls::{parse, redacted};
use super::{ADDRESS, Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::decode::{Fields, error_at, string};
use crate::config::write::Entries;
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig, Secret, render};

const PREFIX: &str = "__meta_uyuni_";

/// How long a login is good for. It is done again after half of that.
const LOGIN: Duration = Duration::from_secs(600);

/// One entry of `uyuni_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UyuniConfig {
    /// The URL of the server.
    pub server: String,
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// How requests are made.
    pub http: HttpClientConfig,
    /// What systems must be entitled to.
    pub entitlement: String,
    /// What separates groups in a label.
    pub separator: String,
    /// How often systems are looked for.
    pub refresh_interval: Duration,
}

impl Kind for UyuniConfig {
    const NAME: &'static str = "uyuni";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "uyuni.plain")?;
        let mut text = |name, default: &str| {
            Ok(fields
                .read(name, string)?
                .unwrap_or_else(|| default.to_owned()))
        };
        let server: String = text("server", "")?;
        let username = text("username", "")?;
        let entitlement = text("entitlement", "monitoring_entitled")?;
        let separator = text("separator", ",")?;
        let password = fields.take_text("password").map(Secret::decode);
        let password = password.transpose()?;
        let refresh_interval = refresh_interval(&mut fields, Duration::from_secs(60))?;
        let http = HttpClientConfig::take(&mut fields, node, directory)?;
        fields.finish(&[])?;
        if server.is_empty() {
            return error_at(node, "Uyuni SD configuration requires server host");
        }
        if let Err(error) = parse(&server) {
            return error_at(node, format!("Uyuni Server URL is not valid: {error}"));
        }
        if username.is_empty() {
            return error_at(node, "Uyuni SD configuration requires a username");
        }
        let Some(password) = password else {
            return error_at(node, "Uyuni SD configuration requires a password");
        };
        Ok(Self {
            server,
            username,
            password,
            http,
            entitlement,
            separator,
            refresh_interval,
        })
    }

    fn render(&self, entries: &mut Entries) {
        entries
            .text("server", redacted(&self.server))
            .text("username", &self.username)
            .text("password", self.password.to_string());
        render::http(entries, &self.http);
        entries
            .text_if_set("entitlement", &self.entitlement)
            .text_if_set("separator", &self.separator);
        render_interval(entries, self.refresh_interval);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let mut url = Url::parse(&self.server)
            .map_err(|error| DiscoveryError::Setup(format!("{}: {error}", self.server)))?;
        let path = format!("{}/rpc/api", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let discovery = Uyuni {
            client: ApiClient::new(&self.http, PATIENCE)?,
            url: url.to_string(),
            session: None,
            config: self.clone(),
        };
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct Uyuni {
    client: ApiClient,
    url: String,
    /// What a login gave, and how long it is used.
    session: Option<(Secret, Instant)>,
    config: UyuniConfig,
}

fn failed(what: &str, error: &DiscoveryError) -> DiscoveryError {
    DiscoveryError::Answer(format!("{what}: {error}"))
}

#[async_trait]
impl Refresh for Uyuni {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let session = match &self.session {
            Some((session, until)) if Instant::now() < *until => session.clone(),
            _ => {
                let login = self.login().await;
                let session = login.map_err(|e| failed("unable to login to Uyuni API", &e))?;
                self.session = Some((session.clone(), Instant::now() + LOGIN / 2));
                session
            }
        };
        match self.targets(session.reveal()).await {
            Ok(targets) => Ok(group(&redacted(&self.url), targets)),
            Err(error) => {
                self.session = None;
                Err(error)
            }
        }
    }
}

impl Uyuni {
    async fn call(&self, method: &str, parameters: &[Value]) -> Result<Value, DiscoveryError> {
        let body = Bytes::from(xml_rpc::call(method, parameters));
        let xml = HeaderValue::from_static("text/xml");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, xml)]);
        let answer = self.client.send(Method::POST, &self.url, headers, body);
        let answer = answer.await?;
        if !answer.status.is_success() {
            return Err(DiscoveryError::Answer(format!(
                "request error: bad status code - {}",
                answer.status.as_u16()
            )));
        }
        xml_rpc::answer(&answer.body).map_err(DiscoveryError::Answer)
    }

    async fn login(&self) -> Result<Secret, DiscoveryError> {
        let seconds = i64::try_from(LOGIN.as_secs()).unwrap_or(i64::MAX);
        let parameters = [
            Value::Text(self.config.username.clone()),
            Value::Text(self.config.password.reveal().to_owned()),
            Value::Number(seconds),
        ];
        match self.call("auth.login", &parameters).await? {
            Value::Text(session) => Ok(Secret::new(session)),
            other => Err(DiscoveryError::Answer(format!("no session but {other:?}"))),
        }
    }

    async fn targets(&self, session: &str) -> Result<Vec<Target>, DiscoveryError> {
        let session = Value::Text(session.to_owned());
        let entitlement = Value::Text(self.config.entitlement.clone());
        let parameters = [session.clone(), entitlement];
        let method = "system.listSystemGroupsForSystemsWithEntitlement";
        let asked = self.call(method, &parameters);
        let what = "unable to get the managed system groups information of monitored clients";
        let groups = asked.await.map_err(|e| failed(what, &e))?;
        let by_id = |list: &Value, id: &str| -> BTreeMap<i64, Value> {
            let items = list.items().iter();
            items.map(|item| (item.number(id), item.clone())).collect()
        };
        let groups = by_id(&groups, "id");
        let ids = Value::List(groups.keys().copied().map(Value::Number).collect());
        let parameters = [session, ids];
        let asked = self.call("system.monitoring.listEndpoints", &parameters);
        let what = "unable to get endpoints information";
        let endpoints = asked.await.map_err(|e| failed(what, &e))?;
        let asked = self.call("system.getNetworkForSystems", &parameters);
        let what = "unable to get the systems network information";
        let networks = asked.await.map_err(|e| failed(what, &e))?;
        let networks = by_id(&networks, "system_id");
        let endpoints = endpoints.items().iter();
        let targets = endpoints.map(|endpoint| {
            let id = endpoint.number("system_id");
            self.target(endpoint, groups.get(&id), networks.get(&id))
        });
        Ok(targets.collect())
    }

    fn target(&self, endpoint: &Value, groups: Option<&Value>, network: Option<&Value>) -> Target {
        let groups = groups.and_then(|system| system.get("system_groups"));
        let groups = groups.map_or(&[][..], Value::items).iter();
        let groups: Vec<String> = groups.map(|group| group.text("name")).collect();
        let of_network = |name| network.map_or_else(String::new, |network| network.text(name));
        let host = of_network("hostname");
        let scheme = match endpoint.get("tls_enabled") {
            Some(Value::Flag(true)) => "https",
            _ => "http",
        };
        let mut target = Target::new(PREFIX);
        let address = format!("{host}:{}", endpoint.number("port"));
        target.labels.insert(ADDRESS.to_owned(), address);
        for (name, value) in [
            ("minion_hostname", host),
            ("primary_fqdn", of_network("primary_fqdn")),
            ("system_id", endpoint.number("system_id").to_string()),
            ("groups", groups.join(&self.config.separator)),
            ("endpoint_name", endpoint.text("endpoint_name")),
            ("exporter", endpoint.text("exporter_name")),
            ("proxy_module", endpoint.text("module")),
            ("metrics_path", endpoint.text("path")),
            ("scheme", scheme.to_owned()),
        ] {
            target.put(name, value);
        }
        target
    }
}
