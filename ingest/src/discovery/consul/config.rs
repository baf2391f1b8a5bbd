//! One entry of `consul_sd_configs`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::ConsulDiscovery;
use crate::config::decode::{Fields, boolean, error_at, map, string, strings};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{BasicAuth, ConfigError, HttpClientConfig, Secret, Source, render};
use crate::discovery::kind::{Kind, refresh_interval, render_interval};
use crate::discovery::{Discovery, DiscoveryError, Failures};

/// One entry of `consul_sd_configs`. Empty texts mean that nothing is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsulConfig {
    /// `host:port`, or a URL with `http`, `https` or `unix`.
    pub server: String,
    /// A path before that of the API.
    pub path_prefix: String,
    /// The token, in a header of Consul's own.
    pub token: Option<Secret>,
    /// The datacenter; that of the agent where it is empty.
    pub datacenter: String,
    /// The namespace (Enterprise).
    pub namespace: String,
    /// The admin partition (Enterprise).
    pub partition: String,
    /// What stands between, before and after tags in `__meta_consul_tags`.
    pub tag_separator: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The deprecated user name; it is part of `http.basic_auth` too.
    pub username: String,
    /// The deprecated password; it is part of `http.basic_auth` too.
    pub password: Option<Secret>,
    /// Whether any server may answer, not only the leader.
    pub allow_stale: bool,
    /// The shortest time between two questions about the same.
    pub refresh_interval: Duration,
    /// The services to find; all where there are none.
    pub services: Vec<String>,
    /// Tags that instances must have, all of them.
    pub tags: Vec<String>,
    /// Metadata that nodes must have.
    pub node_meta: BTreeMap<String, String>,
    /// A filter of the catalog.
    pub filter: String,
    /// A filter of instances.
    pub health_filter: String,
    /// How requests are made.
    pub http: HttpClientConfig,
}

impl Kind for ConsulConfig {
    const NAME: &'static str = "consul";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "consul.plain")?;
        let mut text = |name: &str, default: &str| -> Result<String, ConfigError> {
            let given = fields.read_even_null(name, string)?;
            Ok(given.unwrap_or_else(|| default.to_owned()))
        };
        let mut config = Self {
            server: text("server", "localhost:8500")?,
            path_prefix: text("path_prefix", "")?,
            datacenter: text("datacenter", "")?,
            namespace: text("namespace", "")?,
            partition: text("partition", "")?,
            tag_separator: text("tag_separator", ",")?,
            scheme: text("scheme", "http")?,
            username: text("username", "")?,
            filter: text("filter", "")?,
            health_filter: text("health_filter", "")?,
            token: fields.take_text("token").map(Secret::decode).transpose()?,
            password: fields
                .take_text("password")
                .map(Secret::decode)
                .transpose()?,
            allow_stale: fields
                .read_even_null("allow_stale", boolean)?
                .unwrap_or(true),
            refresh_interval: refresh_interval(&mut fields, Duration::from_secs(30))?,
            services: fields.read("services", strings)?.unwrap_or_default(),
            tags: fields.read("tags", strings)?.unwrap_or_default(),
            node_meta: fields
                .read("node_meta", |node| map(node, |_, value| string(value)))?
                .unwrap_or_default(),
            http: HttpClientConfig::take(&mut fields, node, directory)?,
        };
        fields.finish(&[])?;
        config.check(node)?;
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        let texts = |list: &[String]| list.iter().cloned().map(Yaml::Text).collect();
        entries
            .text_if_set("server", &self.server)
            .text_if_set("path_prefix", &self.path_prefix);
        secret(entries, "token", self.token.as_ref());
        entries
            .text_if_set("datacenter", &self.datacenter)
            .text_if_set("namespace", &self.namespace)
            .text_if_set("partition", &self.partition)
            .text_if_set("tag_separator", &self.tag_separator)
            .text_if_set("scheme", &self.scheme)
            .text_if_set("username", &self.username);
        secret(entries, "password", self.password.as_ref());
        entries.flag("allow_stale", self.allow_stale);
        render_interval(entries, self.refresh_interval);
        entries
            .list_if_set("services", texts(&self.services))
            .list_if_set("tags", texts(&self.tags));
        if !self.node_meta.is_empty() {
            let meta = self.node_meta.iter();
            let meta = meta.map(|(name, value)| (name.clone(), Yaml::Text(value.clone())));
            entries.put("node_meta", Yaml::Map(meta.collect()));
        }
        entries
            .text_if_set("filter", &self.filter)
            .text_if_set("health_filter", &self.health_filter);
        let mut http = self.http.clone();
        if self.has_own_credentials() {
            // Else what is shown would say the same twice, and not read back.
            http.basic_auth = None;
        }
        render::http(entries, &http);
    }

    fn discovery(&self, failures: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        Ok(Box::new(ConsulDiscovery::new(self.clone(), failures)?))
    }
}

fn secret(entries: &mut Entries, name: &str, secret: Option<&Secret>) {
    if let Some(secret) = secret {
        entries.text(name, secret.to_string());
    }
}

impl ConsulConfig {
    fn has_own_credentials(&self) -> bool {
        !self.username.is_empty() || self.password.is_some()
    }

    fn check(&mut self, node: &Node) -> Result<(), ConfigError> {
        if self.server.trim().is_empty() {
            return error_at(node, "consul SD configuration requires a server address");
        }
        if self.has_own_credentials() {
            if self.http.basic_auth.is_some() {
                return error_at(
                    node,
                    "at most one of consul SD configuration username and password and basic auth can be configured",
                );
            }
            if self.http.authorization.is_some() || self.http.oauth2.is_some() {
                return error_at(
                    node,
                    "at most one of basic_auth, oauth2 & authorization must be configured",
                );
            }
            let username = Some(self.username.clone()).filter(|name| !name.is_empty());
            self.http.basic_auth = Some(BasicAuth {
                username: username.map(Source::Inline),
                password: self.password.clone().map(Source::Inline),
            });
        }
        if self.token.is_some() && (self.http.authorization.is_some() || self.http.oauth2.is_some())
        {
            return error_at(
                node,
                "at most one of consul SD token, authorization, or oauth2 can be configured",
            );
        }
        Ok(())
    }

    /// Whether the list of services must be asked for, rather than standing in the configuration.
    pub(super) fn watches_catalog(&self) -> bool {
        self.services.is_empty() || !self.tags.is_empty() || !self.filter.is_empty()
    }

    /// Whether a service of the catalog is one of those to find. `tags` are those of all its instances.
    pub(super) fn wants(&self, name: &str, tags: &[String]) -> bool {
        let named = self.services.is_empty() || self.services.iter().any(|wanted| wanted == name);
        named && self.tags.iter().all(|wanted| tags.contains(wanted))
    }
}
