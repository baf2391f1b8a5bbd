//! `prometheus.yml`: read, checked and filled in as Prometheus does it.
//!
//! Flow: [`yaml`] makes a tree of nodes with positions, [`decode`] takes fields out of it by name, the sections
//! ([`global`], [`scrape`], [`http`], …) check them and fill in defaults, [`render`] writes the effective
//! configuration. What Prometheus knows and Varve does not is an error that says so ("not supported yet: …"), unless
//! the value says nothing or what Varve does anyway; what nobody knows is an error too. Every error has a position.

mod builtin;
pub(crate) mod decode;
mod error;
mod global;
mod headers;
mod histograms;
pub(crate) mod http;
mod oauth2;
mod otlp;
mod passive;
mod protocol;
mod proxy;
mod relabel;
mod remote_write;
pub(crate) mod render;
mod scrape;
pub(crate) mod write;
pub(crate) mod yaml;

use std::path::Path;
use std::sync::Arc;

use self::decode::{Fields, error_at, integer, list};
pub use self::error::ConfigError;
pub use self::global::{Escaping, GlobalConfig, ScrapeLimits};
pub use self::headers::CustomHeader;
pub use self::histograms::HistogramConfig;
pub use self::http::{
    Authorization, BasicAuth, HttpClientConfig, Secret, Source, TlsConfig, TlsVersion,
};
pub use self::oauth2::{OAuth2Config, OAuth2Grant};
pub use self::otlp::{OtlpConfig, TranslationStrategy};
pub use self::protocol::ScrapeProtocol;
pub use self::proxy::ProxyConfig;
pub use self::remote_write::{
    AzureAdConfig, CloudAuth, GoogleIamConfig, MetadataConfig, QueueConfig, RemoteWriteConfig,
    SigV4Config, WriteMessage,
};
pub use self::scrape::ScrapeConfig;
use self::yaml::Node;
pub use self::yaml::Position;
use crate::discovery::{TargetGroup, files_matching};
use crate::error::{Error, Result};
pub use crate::identity::AzureIdentity;

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Defaults of every job.
    pub global: GlobalConfig,
    /// The jobs.
    pub scrape_configs: Vec<Arc<ScrapeConfig>>,
    /// Where samples are forwarded to.
    pub remote_write: Vec<Arc<RemoteWriteConfig>>,
    /// Patterns of files with rules.
    pub rule_files: Vec<String>,
    /// Patterns of files with further jobs.
    pub scrape_config_files: Vec<String>,
    /// What is configured and not acted on, for the log.
    pub notes: Vec<String>,
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
        let mut config = Self::parse(&text, directory).map_err(|error| error.in_file(&file))?;
        for pattern in config.scrape_config_files.clone() {
            for path in files_matching(&directory.join(pattern)) {
                config.load_scrape_configs(&path)?;
            }
        }
        Ok(config)
    }

    /// Adds the jobs of a file that has nothing else. File names in it are relative to its own folder.
    fn load_scrape_configs(&mut self, path: &Path) -> Result<()> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| Error::ReadFile {
            path: file.clone(),
            source,
        })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let mut read = || {
            let root = yaml::parse(&text)?;
            if root.is_null() {
                return Ok(());
            }
            let mut fields = Fields::of(&root, "config.ScrapeConfigs")?;
            if let Some(node) = fields.take("scrape_configs") {
                self.add_jobs(node, directory)?;
            }
            fields.finish(&[])
        };
        read().map_err(|error: ConfigError| error.in_file(&file).into())
    }

    /// Adds a list of jobs.
    fn add_jobs(&mut self, node: &Node, directory: &Path) -> Result<(), ConfigError> {
        list(node, |item| {
            let config = ScrapeConfig::decode(item, &self.global, directory)?;
            let name = &config.job_name;
            let mut jobs = self.scrape_configs.iter();
            if jobs.any(|other| other.job_name == *name) {
                return error_at(
                    item,
                    format!("found multiple scrape configs with job name {name:?}"),
                );
            }
            self.scrape_configs.push(Arc::new(config));
            Ok(())
        })?;
        Ok(())
    }

    /// Reads a configuration. File names in it are relative to `directory`.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, ConfigError> {
        let root = yaml::parse(text)?;
        if root.is_null() {
            return Ok(Self::default());
        }
        let mut fields = Fields::of(&root, "config.Config")?;
        let global = fields
            .read("global", |node| GlobalConfig::decode(node, directory))?
            .unwrap_or_default();
        // Settings of Go's runtime, which there is none of here.
        fields.read("runtime", |node| {
            let mut runtime = Fields::of(node, "config.RuntimeConfig")?;
            runtime.read("gogc", integer)?;
            runtime.finish(&[])
        })?;
        let mut config = Self {
            global,
            ..Self::default()
        };
        if let Some(node) = fields.take("scrape_configs") {
            config.add_jobs(node, directory)?;
        }
        config.scrape_config_files = fields
            .read("scrape_config_files", |node| {
                passive::patterns(node, "scrape config")
            })?
            .unwrap_or_default();
        let mut remote_write: Vec<Arc<RemoteWriteConfig>> = Vec::new();
        if let Some(node) = fields.take("remote_write") {
            list(node, |item| {
                let receiver =
                    RemoteWriteConfig::decode(item, config.global.validation, directory)?;
                let name = &receiver.name;
                if !name.is_empty() && remote_write.iter().any(|other| other.name == *name) {
                    return error_at(
                        item,
                        format!("found multiple remote write configs with job name {name:?}"),
                    );
                }
                remote_write.push(Arc::new(receiver));
                Ok(())
            })?;
        }
        config.remote_write = remote_write;
        config.otlp = fields
            .read("otlp", |node| {
                OtlpConfig::decode(node, config.global.validation)
            })?
            .unwrap_or_default();
        let (rule_files, mut notes) =
            passive::take(&mut fields, config.global.validation, directory)?;
        config.rule_files = rule_files;
        if !config.global.query_log_file.is_empty() {
            notes.push("global.query_log_file: queries are not logged yet".to_owned());
        }
        config.notes = notes;
        fields.finish(&[])?;
        Ok(config)
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
