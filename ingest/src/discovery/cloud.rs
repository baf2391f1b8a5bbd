//! What kinds of discovery that ask a provider of servers have in common.

use std::path::Path;
use std::time::Duration;

use super::api_client::ApiClient;
use super::kind::{refresh_interval, render_interval};
use super::labels::host_port;
use super::{ADDRESS, DiscoveryError, LabelMap, TargetGroup};
use crate::config::decode::{Fields, error_at, integer, string};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig, Secret, Source, render};

/// Pages of one list: where a provider never says that a page is the last one, this ends the search.
pub(super) const PAGES_MAX: usize = 10_000;

/// The settings that each of these kinds has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudSettings {
    /// How requests are made.
    pub http: HttpClientConfig,
    /// How often the provider is asked; also how long an answer may take.
    pub refresh_interval: Duration,
    /// The port of targets.
    pub port: i64,
}

impl CloudSettings {
    pub(super) fn take(
        fields: &mut Fields<'_>,
        node: &Node,
        directory: &Path,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            refresh_interval: refresh_interval(fields, Duration::from_secs(60))?,
            port: fields.read("port", integer)?.unwrap_or(80),
            http: HttpClientConfig::take(fields, node, directory)?,
        })
    }

    pub(super) fn render(&self, entries: &mut Entries) {
        render::http(entries, &self.http);
        render_interval(entries, self.refresh_interval);
        entries.put("port", Yaml::Raw(self.port.to_string()));
    }

    pub(super) fn client(&self) -> Result<ApiClient, DiscoveryError> {
        ApiClient::new(&self.http, self.refresh_interval)
    }
}

/// Takes `secret_key`, or `secret_key_file` as a path, for kinds that need one of them. The check comes after others, as in Prometheus:
/// what is returned first takes the fields, and says later whether there was one.
pub(super) fn secret_key<'a>(
    fields: &mut Fields<'_>,
    node: &'a Node,
    directory: &'a Path,
) -> Result<impl FnOnce() -> Result<Source<Secret>, ConfigError> + use<'a>, ConfigError> {
    let secret = fields.take_text("secret_key").map(Secret::decode);
    let secret = secret.transpose()?;
    let file = fields.take_text("secret_key_file").map(string);
    let file = file.transpose()?;
    Ok(move || match (secret, file) {
        (None, None) => error_at(
            node,
            "one of secret_key & secret_key_file must be configured",
        ),
        (Some(_), Some(_)) => error_at(
            node,
            "at most one of secret_key & secret_key_file must be configured",
        ),
        (Some(secret), None) => Ok(Source::Inline(secret)),
        (None, Some(file)) => Ok(Source::File(directory.join(file))),
    })
}

/// The labels of one target under construction.
#[derive(Clone, Debug)]
pub(super) struct Target {
    prefix: &'static str,
    pub(super) labels: LabelMap,
}

impl Target {
    /// A target without labels, whose names will begin with `prefix`.
    pub(super) fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            labels: LabelMap::new(),
        }
    }

    pub(super) fn address(&mut self, host: &str, port: i64) {
        let address = host_port(host, port);
        self.labels.insert(ADDRESS.to_owned(), address);
    }

    pub(super) fn put(&mut self, name: &str, value: impl Into<String>) {
        let name = format!("{}{name}", self.prefix);
        self.labels.insert(name, value.into());
    }

    pub(super) fn put_known(&mut self, name: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Puts values with separators between and around them, so that expressions find each by its separators; none if
    /// there are no values.
    pub(super) fn put_list(&mut self, name: &str, values: &[String], separator: &str) {
        if !values.is_empty() {
            let values = values.join(separator);
            self.put(name, format!("{separator}{values}{separator}"));
        }
    }
}

/// The one group of a provider.
pub(super) fn group(source: &str, targets: impl IntoIterator<Item = Target>) -> Vec<TargetGroup> {
    let targets = targets.into_iter().map(|target| target.labels);
    vec![TargetGroup {
        source: source.to_owned(),
        targets: targets.collect(),
        labels: LabelMap::new(),
    }]
}

/// Declares what a provider answers: structs of fields that may be absent or null.
macro_rules! answers {
    ($($scope:vis $name:ident { $($(#[$attribute:meta])* $visible:vis $field:ident: $type:ty,)* })*) => {
        $(
            #[derive(Debug, Default, serde::Deserialize)]
            #[serde(default)]
            $scope struct $name {
                $(
                    #[serde(deserialize_with = "crate::discovery::api_client::nullable")]
                    $(#[$attribute])*
                    $visible $field: $type,
                )*
            }
        )*
    };
}
pub(super) use answers;
