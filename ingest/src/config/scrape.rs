//! One entry of `scrape_configs`: a job.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::decode::{Fields, boolean, duration, error_at, labels, list, map, string, strings};
use super::error::ConfigError;
use super::global::{Escaping, GlobalConfig, ScrapeLimits, name_validation};
use super::histograms::HistogramConfig;
use super::http::HttpClientConfig;
use super::protocol::ScrapeProtocol;
use super::relabel::rules;
use super::render;
use super::yaml::Node;
use crate::discovery::{DiscoveryConfig, TargetGroup};
use crate::duration::ByteSize;
use crate::exposition::ReadOptions;
use crate::names::NameValidation;
use crate::relabel::RelabelRule;

/// A job: which targets, and how they are scraped. Values that the file leaves out are filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeConfig {
    /// The value of the label `job`.
    pub job_name: String,
    /// Whether a label of the exposition wins over the target's.
    pub honor_labels: bool,
    /// Whether a timestamp of the exposition is kept.
    pub honor_timestamps: bool,
    /// Whether series with timestamps of their own get stale markers.
    pub track_timestamps_staleness: bool,
    /// Query parameters.
    pub params: BTreeMap<String, Vec<String>>,
    /// How often targets are scraped.
    pub scrape_interval: Duration,
    /// How long a scrape may take.
    pub scrape_timeout: Duration,
    /// The formats to ask for, the most wanted first.
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// The format of responses whose Content-Type is missing or unknown.
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    /// The path of the URL.
    pub metrics_path: String,
    /// The scheme of the URL.
    pub scheme: String,
    /// Whether compressed responses are asked for.
    pub enable_compression: bool,
    /// Limits.
    pub limits: ScrapeLimits,
    /// Which names are valid.
    pub validation: NameValidation,
    /// How names are escaped.
    pub escaping: Escaping,
    /// Whether three more series describe each scrape.
    pub extra_scrape_metrics: bool,
    /// What is taken of histograms.
    pub histograms: HistogramConfig,
    /// Where failed scrapes are logged.
    pub scrape_failure_log_file: Option<PathBuf>,
    /// Authentication, TLS and redirects.
    pub http: HttpClientConfig,
    /// Rules on targets.
    pub relabel_configs: Vec<RelabelRule>,
    /// Rules on series.
    pub metric_relabel_configs: Vec<RelabelRule>,
    /// Targets that stand in the configuration.
    pub static_configs: Vec<TargetGroup>,
    /// Where other targets are found, ordered by kind.
    pub discoveries: Vec<DiscoveryConfig>,
}

impl ScrapeConfig {
    /// Reads a job and fills in what it takes from `global`. File names are relative to `directory`.
    pub(super) fn decode(
        node: &Node,
        global: &GlobalConfig,
        directory: &Path,
    ) -> Result<Self, ConfigError> {
        if node.is_null() {
            return error_at(node, "empty or null scrape config section");
        }
        let mut fields = Fields::of(node, "config.ScrapeConfig")?;
        let job_name = fields.read("job_name", string)?.unwrap_or_default();
        let (scrape_interval, scrape_timeout) = times(&mut fields, node, global, &job_name)?;
        let (validation, escaping) = naming(&mut fields, node, global)?;
        let histograms = HistogramConfig::take(&mut fields, global)?;
        let failure_log = fields.take_text("scrape_failure_log_file");
        let failure_log = failure_log
            .map(|node| string(node).map(|name| directory.join(name)))
            .transpose()?;
        let relabel_configs = fields
            .read("relabel_configs", |node| rules(node, "target", validation))?
            .unwrap_or_default();
        let check_addresses = relabel_configs.is_empty();
        let protocols = fields.read("scrape_protocols", ScrapeProtocol::decode_list)?;
        let config = Self {
            honor_labels: flag(&mut fields, "honor_labels", false)?,
            honor_timestamps: flag(&mut fields, "honor_timestamps", true)?,
            track_timestamps_staleness: flag(&mut fields, "track_timestamps_staleness", false)?,
            params: fields
                .read("params", |node| {
                    map(node, |_, values| match values.is_null() {
                        true => Ok(Vec::new()),
                        false => strings(values),
                    })
                })?
                .unwrap_or_default(),
            scrape_interval,
            scrape_timeout,
            scrape_protocols: protocols
                .or_else(|| global.scrape_protocols.clone())
                .unwrap_or_else(|| ScrapeProtocol::defaults(histograms.native)),
            fallback_scrape_protocol: fields
                .take_text("fallback_scrape_protocol")
                .map(ScrapeProtocol::decode)
                .transpose()?,
            metrics_path: fields
                .read_even_null("metrics_path", string)?
                .unwrap_or_else(|| "/metrics".to_owned()),
            scheme: fields
                .read_even_null("scheme", string)?
                .unwrap_or_else(|| "http".to_owned()),
            enable_compression: flag(&mut fields, "enable_compression", true)?,
            limits: ScrapeLimits::take(&mut fields)?.or(&global.limits),
            validation,
            escaping,
            extra_scrape_metrics: fields
                .read("extra_scrape_metrics", boolean)?
                .unwrap_or(global.extra_scrape_metrics),
            histograms,
            scrape_failure_log_file: failure_log.or_else(|| global.scrape_failure_log_file.clone()),
            http: HttpClientConfig::take(&mut fields, node, directory)?,
            relabel_configs,
            metric_relabel_configs: fields
                .read("metric_relabel_configs", |node| {
                    rules(node, "metric", validation)
                })?
                .unwrap_or_default(),
            static_configs: fields
                .read("static_configs", |node| {
                    static_groups(node, check_addresses)
                })?
                .unwrap_or_default(),
            discoveries: DiscoveryConfig::take_all(&mut fields, directory)?,
            job_name,
        };
        fields.finish(&[])?;
        if config.job_name.is_empty() {
            return error_at(node, "job_name is empty");
        }
        Ok(config)
    }

    /// What is read of histograms, unless a target's labels say otherwise.
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions {
            native_histograms: self.histograms.native,
            classic_histograms: self.histograms.always_classic,
            convert_classic_histograms: self.histograms.convert_classic,
            ..ReadOptions::default()
        }
    }

    /// The effective configuration of the job as YAML: what `/api/v1/scrape_pools/config` shows.
    pub fn to_yaml(&self) -> String {
        render::job(self)
    }

    /// Whether a target's scrapes are the same under `other`: all but where targets come from and how many there may be.
    pub fn same_scrapes_as(&self, other: &Self) -> bool {
        self.of_scrapes() == other.of_scrapes()
    }

    /// Whether a target's series come out the same under `other`; then what is known about them stays valid.
    pub fn same_series_as(&self, other: &Self) -> bool {
        let relevant = |config: Self| Self {
            http: HttpClientConfig::default(),
            limits: ScrapeLimits {
                samples: 0,
                body_size: ByteSize(0),
                ..config.limits
            },
            ..config
        };
        relevant(self.of_scrapes()) == relevant(other.of_scrapes())
    }

    /// The configuration without what a target's own labels already say.
    fn of_scrapes(&self) -> Self {
        Self {
            scrape_interval: Duration::ZERO,
            scrape_timeout: Duration::ZERO,
            limits: ScrapeLimits {
                targets: 0,
                kept_dropped_targets: 0,
                ..self.limits
            },
            relabel_configs: Vec::new(),
            static_configs: Vec::new(),
            discoveries: Vec::new(),
            ..self.clone()
        }
    }
}

fn flag(fields: &mut Fields<'_>, name: &str, default: bool) -> Result<bool, ConfigError> {
    Ok(fields.read_even_null(name, boolean)?.unwrap_or(default))
}

fn times(
    fields: &mut Fields<'_>,
    node: &Node,
    global: &GlobalConfig,
    job_name: &str,
) -> Result<(Duration, Duration), ConfigError> {
    let positive = |d: &Duration| !d.is_zero();
    let interval = fields
        .read("scrape_interval", duration)?
        .filter(positive)
        .unwrap_or(global.scrape_interval);
    let timeout_node = fields.take("scrape_timeout");
    let timeout = timeout_node.map(duration).transpose()?.filter(positive);
    if timeout.is_some_and(|timeout| timeout > interval) {
        return error_at(
            timeout_node.unwrap_or(node),
            format!(
                "scrape timeout greater than scrape interval for scrape config with job name {job_name:?}"
            ),
        );
    }
    Ok((
        interval,
        timeout.unwrap_or_else(|| global.scrape_timeout.min(interval)),
    ))
}

fn naming(
    fields: &mut Fields<'_>,
    node: &Node,
    global: &GlobalConfig,
) -> Result<(NameValidation, Escaping), ConfigError> {
    let own_validation = fields
        .take_text("metric_name_validation_scheme")
        .map(name_validation)
        .transpose()?;
    let validation = own_validation.unwrap_or(global.validation);
    let own_escaping = fields
        .take_text("metric_name_escaping_scheme")
        .map(Escaping::decode)
        .transpose()?;
    let escaping = own_escaping.unwrap_or_else(|| match (own_validation, global.escaping) {
        (None, Some(escaping)) => escaping,
        _ => Escaping::default_for(validation),
    });
    if escaping == Escaping::AllowUtf8 && validation != NameValidation::Utf8 {
        return error_at(
            node,
            "utf8 metric names requested but validation scheme is not set to UTF8",
        );
    }
    Ok((validation, escaping))
}

pub(super) fn static_groups(
    node: &Node,
    check_addresses: bool,
) -> Result<Vec<TargetGroup>, ConfigError> {
    let mut index = 0;
    list(node, |item| {
        if item.is_null() {
            return error_at(item, "empty or null section in static_configs");
        }
        let group = target_group(item, &index.to_string(), check_addresses)?;
        index += 1;
        Ok(group)
    })
}

/// Reads `targets` and `labels`: an entry of `static_configs`, or of a discovery file.
pub(crate) fn target_group(
    node: &Node,
    source: &str,
    check_addresses: bool,
) -> Result<TargetGroup, ConfigError> {
    let mut fields = Fields::of(node, "targetgroup.Group")?;
    let targets = fields.read("targets", |node| {
        list(node, |item| {
            let address = string(item)?;
            if check_addresses && address.contains('/') {
                return error_at(item, format!("{address:?} is not a valid hostname"));
            }
            Ok(address)
        })
    })?;
    let labels = fields.read("labels", labels)?.unwrap_or_default();
    let group = TargetGroup::of_addresses(source, targets.unwrap_or_default(), labels);
    fields.finish(&[])?;
    Ok(group)
}
