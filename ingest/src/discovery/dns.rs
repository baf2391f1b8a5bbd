//! Targets from records of the domain name system (`dns_sd_configs`).
//!
//! Names are looked up as Prometheus does it, and not as the machine's resolver would: the servers of `/etc/resolv.conf` are asked
//! directly, with its search domains, for the type that the configuration names.

mod exchange;
mod resolv_conf;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use self::exchange::lookup_from_any_server;
use self::resolv_conf::ResolvConf;
use super::kind::{Kind, refresh_interval, render_interval};
use super::labels::host_port;
use super::periodic::{Periodic, Refresh};
use super::{ADDRESS, Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::config::ConfigError;
use crate::config::decode::{Fields, error_at, integer, string, strings};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;

/// One entry of `dns_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsConfig {
    /// The names to look up.
    pub names: Vec<String>,
    /// How often they are looked up.
    pub refresh_interval: Duration,
    /// The type of the records as it was written: SRV, A, AAAA, MX or NS in any case.
    pub record_type: String,
    /// The port of targets whose records have none: all but those of SRV.
    pub port: i64,
}

impl Kind for DnsConfig {
    const NAME: &'static str = "dns";

    fn decode(node: &Node, _: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "dns.plain")?;
        let config = Self {
            names: fields.read("names", strings)?.unwrap_or_default(),
            refresh_interval: refresh_interval(&mut fields, Duration::from_secs(30))?,
            record_type: fields
                .read("type", string)?
                .unwrap_or_else(|| "SRV".to_owned()),
            port: fields.read("port", integer)?.unwrap_or(0),
        };
        fields.finish(&[])?;
        if config.names.is_empty() {
            return error_at(
                node,
                "DNS-SD config must contain at least one SRV record name",
            );
        }
        match config.record_type() {
            None => error_at(
                node,
                format!("invalid DNS-SD records type {}", config.record_type),
            ),
            Some(kind) if kind != RecordType::SRV && config.port == 0 => error_at(
                node,
                "a port is required in DNS-SD configs for all record types except SRV",
            ),
            Some(_) => Ok(config),
        }
    }

    fn render(&self, entries: &mut Entries) {
        let names = self.names.iter().cloned().map(Yaml::Text);
        entries.put("names", Yaml::List(names.collect()));
        render_interval(entries, self.refresh_interval);
        entries
            .text("type", &self.record_type)
            .put("port", Yaml::Raw(self.port.to_string()));
    }

    fn discovery(&self, failures: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = DnsDiscovery {
            config: self.clone(),
            record_type: self.record_type().unwrap_or(RecordType::SRV),
            resolver: Resolver::default(),
            groups: BTreeMap::new(),
            failures,
        };
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

impl DnsConfig {
    fn record_type(&self) -> Option<RecordType> {
        match self.record_type.to_ascii_uppercase().as_str() {
            "SRV" => Some(RecordType::SRV),
            "A" => Some(RecordType::A),
            "AAAA" => Some(RecordType::AAAA),
            "MX" => Some(RecordType::MX),
            "NS" => Some(RecordType::NS),
            _ => None,
        }
    }
}

/// Where it stands which servers to ask.
#[derive(Clone, Debug)]
struct Resolver {
    config_file: PathBuf,
    port: u16,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            config_file: "/etc/resolv.conf".into(),
            port: 53,
        }
    }
}

#[derive(Debug)]
struct DnsDiscovery {
    config: DnsConfig,
    record_type: RecordType,
    resolver: Resolver,
    /// The latest group of each name. One whose lookup fails keeps its own.
    groups: BTreeMap<String, TargetGroup>,
    failures: Failures,
}

#[async_trait]
impl Refresh for DnsDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let names = self.config.names.iter();
        let lookups = names.map(|name| self.resolver.lookup(name, self.record_type));
        let answers = join_all(lookups).await;
        for (name, answer) in self.config.names.iter().zip(answers) {
            match answer {
                Ok(records) => {
                    let targets = records
                        .iter()
                        .filter_map(|record| target(record, name, self.config.port));
                    let group = TargetGroup {
                        source: name.clone(),
                        targets: targets.collect(),
                        labels: LabelMap::new(),
                    };
                    self.groups.insert(name.clone(), group);
                }
                Err(reason) => {
                    self.failures.count();
                    tracing::error!(name, reason, "error refreshing DNS targets");
                }
            }
        }
        Ok(self.groups.values().cloned().collect())
    }
}

impl Resolver {
    /// The records of the first of a name's permutations that the servers know. None at all if they know that there are
    /// none; an error if that is not certain of every permutation.
    async fn lookup(&self, name: &str, record_type: RecordType) -> Result<Vec<Record>, String> {
        let text = tokio::fs::read_to_string(&self.config_file).await;
        let text = text.map_err(|error| format!("could not load resolv.conf: {error}"))?;
        let config = ResolvConf::parse(&text);
        let mut all_valid = true;
        for candidate in config.name_list(name) {
            match lookup_from_any_server(&candidate, record_type, &config.servers, self.port).await
            {
                Ok(Some(records)) => return Ok(records),
                Ok(None) => {}
                Err(reason) => {
                    tracing::debug!(name = candidate, reason, "DNS lookup failed");
                    all_valid = false;
                }
            }
        }
        if all_valid {
            return Ok(Vec::new());
        }
        Err(format!(
            "could not resolve {name:?}: all servers responded with errors to at least one search domain"
        ))
    }
}

/// The target of a record; `None` for records of other types, such as the CNAME on the way to an A.
fn target(record: &Record, name: &str, port: i64) -> Option<LabelMap> {
    let mut labels = LabelMap::from([("__meta_dns_name".to_owned(), name.to_owned())]);
    let mut meta = |label: &str, value: String| {
        labels.insert(format!("__meta_dns_{label}"), value);
    };
    let address = match &record.data {
        RData::SRV(srv) => {
            meta("srv_record_target", srv.target.to_ascii());
            meta("srv_record_port", srv.port.to_string());
            host_port(&without_dot(&srv.target), srv.port)
        }
        RData::MX(mx) => {
            meta("mx_record_target", mx.exchange.to_ascii());
            host_port(&without_dot(&mx.exchange), port)
        }
        RData::NS(ns) => {
            meta("ns_record_target", ns.0.to_ascii());
            host_port(&without_dot(&ns.0), port)
        }
        RData::A(a) => host_port(&a.0.to_string(), port),
        RData::AAAA(aaaa) => host_port(&aaaa.0.to_string(), port),
        RData::CNAME(_) => return None,
        _ => {
            tracing::warn!(name, record = %record.record_type(), "invalid DNS record");
            return None;
        }
    };
    labels.insert(ADDRESS.to_owned(), address);
    Some(labels)
}

/// A name as it usually looks in addresses.
fn without_dot(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
