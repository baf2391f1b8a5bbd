//! The `global` section: defaults of every job.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use varve_storage::Labels;

use super::decode::{Fields, boolean, byte_size, duration, error_at, labels, string, unsigned};
use super::error::ConfigError;
use super::protocol::ScrapeProtocol;
use super::yaml::Node;
use crate::duration::ByteSize;
use crate::names::NameValidation;

/// Limits of one scrape or one job. Zero means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeLimits {
    /// Bytes of a response body after decompression.
    pub body_size: ByteSize,
    /// Samples of a scrape after metric relabelling.
    pub samples: u64,
    /// Targets of a job after relabelling.
    pub targets: u64,
    /// Labels of a series after metric relabelling.
    pub labels: u64,
    /// Bytes of a label's name.
    pub label_name_bytes: u64,
    /// Bytes of a label's value.
    pub label_value_bytes: u64,
    /// Dropped targets that a job remembers for display.
    pub kept_dropped_targets: u64,
}

impl ScrapeLimits {
    pub(super) fn take(fields: &mut Fields<'_>) -> Result<Self, ConfigError> {
        let mut number = |name: &str| Ok(fields.read(name, unsigned)?.unwrap_or(0));
        let limits = Self {
            body_size: ByteSize(0),
            samples: number("sample_limit")?,
            targets: number("target_limit")?,
            labels: number("label_limit")?,
            label_name_bytes: number("label_name_length_limit")?,
            label_value_bytes: number("label_value_length_limit")?,
            kept_dropped_targets: number("keep_dropped_targets")?,
        };
        Ok(Self {
            body_size: fields
                .read("body_size_limit", byte_size)?
                .unwrap_or_default(),
            ..limits
        })
    }

    /// These limits, with `global`'s where one is zero.
    pub(super) fn or(self, global: &Self) -> Self {
        let pick = |own: u64, other: u64| if own == 0 { other } else { own };
        Self {
            body_size: ByteSize(pick(self.body_size.0, global.body_size.0)),
            samples: pick(self.samples, global.samples),
            targets: pick(self.targets, global.targets),
            labels: pick(self.labels, global.labels),
            label_name_bytes: pick(self.label_name_bytes, global.label_name_bytes),
            label_value_bytes: pick(self.label_value_bytes, global.label_value_bytes),
            kept_dropped_targets: pick(self.kept_dropped_targets, global.kept_dropped_targets),
        }
    }
}

/// How a target shall write names that are not legacy ones (`metric_name_escaping_scheme`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// As they are, in quotes.
    AllowUtf8,
    /// Other characters become underscores.
    Underscores,
    /// Dots become `_dot_`, other characters underscores.
    Dots,
    /// `U__` and hexadecimal code points.
    Values,
}

impl Escaping {
    /// The name in a configuration and in the `Accept` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// What goes with a way to validate names.
    pub(super) fn default_for(validation: NameValidation) -> Self {
        match validation {
            NameValidation::Utf8 => Self::AllowUtf8,
            NameValidation::Legacy => Self::Underscores,
        }
    }

    pub(super) fn decode(node: &Node) -> Result<Self, ConfigError> {
        let name = string(node)?;
        [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values]
            .into_iter()
            .find(|scheme| scheme.as_str() == name)
            .map_or_else(
                || {
                    error_at(
                        node,
                        format!("unknown name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got {name:?}"),
                    )
                },
                Ok,
            )
    }
}

pub(super) fn name_validation(node: &Node) -> Result<NameValidation, ConfigError> {
    match string(node)?.as_str() {
        "utf8" => Ok(NameValidation::Utf8),
        "legacy" => Ok(NameValidation::Legacy),
        other => error_at(node, format!("unrecognized ValidationScheme: {other:?}")),
    }
}

/// The `global` section.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalConfig {
    /// How often a target is scraped.
    pub scrape_interval: Duration,
    /// How long a scrape may take.
    pub scrape_timeout: Duration,
    /// The formats to ask for; `None` for the default ones.
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// How often rules are evaluated.
    pub evaluation_interval: Duration,
    /// Labels of this installation towards others. They are not part of stored series.
    pub external_labels: Labels,
    /// Limits of jobs that set none.
    pub limits: ScrapeLimits,
    /// Which names are valid.
    pub validation: NameValidation,
    /// How names are escaped; `None` where it follows from `validation`.
    pub escaping: Option<Escaping>,
    /// Whether three more series describe each scrape.
    pub extra_scrape_metrics: bool,
    /// Whether jobs scrape native histograms.
    pub scrape_native_histograms: bool,
    /// Whether jobs scrape the classic side of histograms too.
    pub always_scrape_classic_histograms: bool,
    /// Whether jobs convert classic histograms.
    pub convert_classic_histograms: bool,
    /// Where failed scrapes are logged.
    pub scrape_failure_log_file: Option<PathBuf>,
    /// How far back rules look.
    pub rule_query_offset: Duration,
    /// Where queries would be logged.
    pub query_log_file: String,
}

impl Default for GlobalConfig {
    fn default() -> Self {
        Self {
            scrape_interval: Duration::from_secs(60),
            scrape_timeout: Duration::from_secs(10),
            scrape_protocols: None,
            evaluation_interval: Duration::from_secs(60),
            external_labels: Labels::empty(),
            limits: ScrapeLimits::default(),
            validation: NameValidation::Utf8,
            escaping: None,
            extra_scrape_metrics: false,
            scrape_native_histograms: false,
            always_scrape_classic_histograms: false,
            convert_classic_histograms: false,
            scrape_failure_log_file: None,
            rule_query_offset: Duration::ZERO,
            query_log_file: String::new(),
        }
    }
}

impl GlobalConfig {
    pub(super) fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let default = Self::default();
        let mut fields = Fields::of(node, "config.GlobalConfig")?;
        let positive = |d: &Duration| !d.is_zero();
        let scrape_interval = fields
            .read("scrape_interval", duration)?
            .filter(positive)
            .unwrap_or(default.scrape_interval);
        let timeout_node = fields.take("scrape_timeout");
        let scrape_timeout = timeout_node.map(duration).transpose()?.filter(positive);
        if scrape_timeout.is_some_and(|timeout| timeout > scrape_interval) {
            return error_at(
                timeout_node.unwrap_or(node),
                "global scrape timeout greater than scrape interval",
            );
        }
        let mut flag = |name| Ok::<_, ConfigError>(fields.read(name, boolean)?.unwrap_or(false));
        let scrape_native_histograms = flag("scrape_native_histograms")?;
        let always_scrape_classic_histograms = flag("always_scrape_classic_histograms")?;
        let convert_classic_histograms = flag("convert_classic_histograms_to_nhcb")?;
        let scrape_failure_log_file = fields.take_text("scrape_failure_log_file");
        let global = Self {
            scrape_native_histograms,
            always_scrape_classic_histograms,
            convert_classic_histograms,
            scrape_failure_log_file: scrape_failure_log_file
                .map(|node| string(node).map(|name| directory.join(name)))
                .transpose()?,
            scrape_interval,
            scrape_timeout: scrape_timeout
                .unwrap_or_else(|| default.scrape_timeout.min(scrape_interval)),
            scrape_protocols: fields.read("scrape_protocols", ScrapeProtocol::decode_list)?,
            evaluation_interval: fields
                .read("evaluation_interval", duration)?
                .filter(positive)
                .unwrap_or(default.evaluation_interval),
            external_labels: expand_environment(
                fields.read("external_labels", labels)?.unwrap_or_default(),
            ),
            limits: ScrapeLimits::take(&mut fields)?,
            validation: fields
                .take_text("metric_name_validation_scheme")
                .map(name_validation)
                .transpose()?
                .unwrap_or_default(),
            escaping: fields
                .take_text("metric_name_escaping_scheme")
                .map(Escaping::decode)
                .transpose()?,
            extra_scrape_metrics: fields
                .read("extra_scrape_metrics", boolean)?
                .unwrap_or(false),
            rule_query_offset: fields
                .read("rule_query_offset", duration)?
                .unwrap_or_default(),
            query_log_file: fields.read("query_log_file", string)?.unwrap_or_default(),
        };
        for (name, _) in global.external_labels.iter() {
            if !global.validation.is_label_name(name) {
                return error_at(node, format!("{name:?} is not a valid label name"));
            }
        }
        fields.finish(&[])?;
        Ok(global)
    }
}

/// Replaces `$NAME` and `${NAME}` in label values by environment variables, and `$$` by a dollar sign.
fn expand_environment(labels: BTreeMap<String, String>) -> Labels {
    Labels::from_pairs(labels.into_iter().map(|(name, value)| {
        let value = expand_variables(&value, |variable| {
            std::env::var(variable).unwrap_or_else(|_| {
                tracing::warn!(
                    variable,
                    "an external label names an environment variable that is not set"
                );
                String::new()
            })
        });
        (name, value)
    }))
}

fn expand_variables(text: &str, lookup: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (name, after) = match rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            Some(braced) => braced,
            None => {
                let end = rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        if name.is_empty() {
            out.push('$');
        } else {
            out.push_str(&lookup(name));
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_labels_take_environment_variables() {
        let lookup = |name: &str| format!("<{name}>");
        for (text, expected) in [
            ("plain", "plain"),
            ("a$B-c", "a<B>-c"),
            ("${A}b", "<A>b"),
            ("$$A", "$A"),
            ("5$", "5$"),
        ] {
            assert_eq!(expand_variables(text, lookup), expected);
        }
    }
}
