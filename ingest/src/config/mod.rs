//! `prometheus.yml`: read, checked and filled in as Prometheus does it.
//!
//! Flow: [`yaml`] makes a tree of nodes with positions, [`decode`] takes fields out of it by name, the sections
//! ([`global`], [`scrape`], [`http`], …) check them and fill in defaults, [`render`] writes the effective
//! configuration. What Prometheus knows and Varve does not is an error that says so ("not supported yet: …"), unless
//! the value says nothing or what Varve does anyway; what nobody knows is an error too. Every error has a position.

mod builtin;
mod decode;
mod error;
mod global;
mod headers;
mod http;
mod otlp;
mod protocol;
mod relabel;
mod render;
mod scrape;
mod yaml;

use std::path::Path;
use std::sync::Arc;

use self::decode::{Fields, error_at, integer, list, refuse_even_empty};
pub use self::error::ConfigError;
pub use self::global::{Escaping, GlobalConfig, ScrapeLimits};
pub use self::headers::CustomHeader;
pub use self::http::{
    Authorization, BasicAuth, HttpClientConfig, Secret, Source, TlsConfig, TlsVersion,
};
pub use self::otlp::{OtlpConfig, TranslationStrategy};
pub use self::protocol::ScrapeProtocol;
pub use self::scrape::{FileDiscoveryConfig, ScrapeConfig};
pub use self::yaml::Position;
use crate::discovery::TargetGroup;
use crate::error::{Error, Result};

/// Sections of Prometheus's configuration that Varve does not have.
const UNSUPPORTED: [&str; 7] = [
    "alerting",
    "remote_read",
    "remote_write",
    "rule_files",
    "scrape_config_files",
    "storage",
    "tracing",
];

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Defaults of every job.
    pub global: GlobalConfig,
    /// The jobs.
    pub scrape_configs: Vec<Arc<ScrapeConfig>>,
    /// How metrics of OpenTelemetry become series.
    pub otlp: OtlpConfig,
}

impl Config {
    /// Reads a configuration file. File names in it are relative to its folder.
    pub fn load(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| Error::ReadFile {
            path: file.clone(),
            source,
        })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, directory).map_err(|error| error.in_file(&file).into())
    }

    /// Reads a configuration. File names in it are relative to `directory`.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, ConfigError> {
        let root = yaml::parse(text)?;
        if root.is_null() {
            return Ok(Self::default());
        }
        let mut fields = Fields::of(&root, "config.Config")?;
        let global = fields
            .read("global", GlobalConfig::decode)?
            .unwrap_or_default();
        // Settings of Go's runtime, which there is none of here.
        fields.read("runtime", |node| {
            let mut runtime = Fields::of(node, "config.RuntimeConfig")?;
            runtime.read("gogc", integer)?;
            runtime.finish(&[])
        })?;
        let mut scrape_configs: Vec<Arc<ScrapeConfig>> = Vec::new();
        if let Some(node) = fields.take("scrape_configs") {
            list(node, |item| {
                let config = ScrapeConfig::decode(item, &global, directory)?;
                let name = &config.job_name;
                if scrape_configs.iter().any(|other| other.job_name == *name) {
                    return error_at(
                        item,
                        format!("found multiple scrape configs with job name {name:?}"),
                    );
                }
                scrape_configs.push(Arc::new(config));
                Ok(())
            })?;
        }
        let otlp = fields
            .read("otlp", |node| OtlpConfig::decode(node, global.validation))?
            .unwrap_or_default();
        refuse_even_empty(&mut fields, "tracing")?;
        fields.finish(&UNSUPPORTED)?;
        Ok(Self {
            global,
            scrape_configs,
            otlp,
        })
    }

    /// The effective configuration as YAML, defaults filled in and secrets hidden: what `/api/v1/status/config` shows.
    pub fn to_yaml(&self) -> String {
        render::config(self)
    }
}

/// Reads a discovery file: a list of target groups, in YAML or JSON (which is YAML too).
pub(crate) fn parse_target_groups(text: &str, file: &str) -> Result<Vec<TargetGroup>, ConfigError> {
    let root = yaml::parse(text)?;
    if root.is_null() {
        return Ok(Vec::new());
    }
    let mut index = 0;
    list(&root, |item| {
        if item.is_null() {
            return error_at(item, "nil target group item found");
        }
        let mut group = scrape::target_group(item, &format!("{file}:{index}"), false)?;
        group
            .labels
            .insert("__meta_filepath".to_owned(), file.to_owned());
        index += 1;
        Ok(group)
    })
}

#[cfg(test)]
mod tests;
