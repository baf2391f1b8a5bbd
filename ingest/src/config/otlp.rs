//! The `otlp` section: how metrics of OpenTelemetry become series.

use super::decode::{Fields, boolean, error_at, string, strings};
use super::error::ConfigError;
use super::yaml::Node;
use crate::names::NameValidation;

/// What becomes of the names of metrics and attributes (`translation_strategy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TranslationStrategy {
    /// Characters that legacy names may not have become underscores; metrics get suffixes by unit and type.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// The same without suffixes.
    UnderscoreEscapingWithoutSuffixes,
    /// Names stay as they are; metrics get suffixes.
    NoUtf8EscapingWithSuffixes,
    /// Names stay as they are.
    NoTranslation,
    /// An empty text in the configuration, which Prometheus takes for [`Self::NoTranslation`].
    Unset,
}

impl TranslationStrategy {
    const ALL: [Self; 5] = [
        Self::UnderscoreEscapingWithSuffixes,
        Self::UnderscoreEscapingWithoutSuffixes,
        Self::NoUtf8EscapingWithSuffixes,
        Self::NoTranslation,
        Self::Unset,
    ];

    /// The name in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnderscoreEscapingWithSuffixes => "UnderscoreEscapingWithSuffixes",
            Self::UnderscoreEscapingWithoutSuffixes => "UnderscoreEscapingWithoutSuffixes",
            Self::NoUtf8EscapingWithSuffixes => "NoUTF8EscapingWithSuffixes",
            Self::NoTranslation => "NoTranslation",
            Self::Unset => "",
        }
    }

    /// Whether names are reduced to legacy ones.
    pub fn escapes(self) -> bool {
        matches!(
            self,
            Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes
        )
    }

    /// Whether metrics get suffixes by unit and type.
    pub fn adds_suffixes(self) -> bool {
        matches!(
            self,
            Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes
        )
    }
}

/// The `otlp` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Whether all resource attributes become labels of every series, but those in `ignore_resource_attributes`.
    pub promote_all_resource_attributes: bool,
    /// The resource attributes that become labels of every series.
    pub promote_resource_attributes: Vec<String>,
    /// The resource attributes that do not, where all others do.
    pub ignore_resource_attributes: Vec<String>,
    /// What becomes of names.
    pub translation_strategy: TranslationStrategy,
    /// Whether `service.name`, `service.namespace` and `service.instance.id` are labels of `target_info` besides `job` and `instance`.
    pub keep_identifying_resource_attributes: bool,
    /// Whether histograms with explicit bounds become native ones with custom buckets.
    pub convert_histograms_to_nhcb: bool,
    /// Whether series have the labels `otel_scope_…`.
    pub promote_scope_metadata: bool,
    /// Whether labels that begin with one underscore get the prefix `key`. Only where names are escaped.
    pub label_name_underscore_sanitization: bool,
    /// Whether several underscores in a row stay in label names. Only where names are escaped.
    pub label_name_preserve_multiple_underscores: bool,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            promote_all_resource_attributes: false,
            promote_resource_attributes: Vec::new(),
            ignore_resource_attributes: Vec::new(),
            translation_strategy: TranslationStrategy::default(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
        }
    }
}

impl OtlpConfig {
    /// Reads the section. What is right alone may be wrong together with `validation`, which belongs to the global section.
    pub(super) fn decode(node: &Node, validation: NameValidation) -> Result<Self, ConfigError> {
        let default = Self::default();
        let mut fields = Fields::of(node, "config.OTLPConfig")?;
        let translation_strategy = fields
            .read("translation_strategy", |node| strategy(node, validation))?
            .unwrap_or_default();
        let mut flag = |name: &str, default: bool| {
            let value = fields.read(name, boolean)?;
            Ok::<_, ConfigError>(value.unwrap_or(default))
        };
        let mut config = Self {
            translation_strategy,
            promote_all_resource_attributes: flag("promote_all_resource_attributes", false)?,
            keep_identifying_resource_attributes: flag(
                "keep_identifying_resource_attributes",
                false,
            )?,
            convert_histograms_to_nhcb: flag("convert_histograms_to_nhcb", false)?,
            promote_scope_metadata: flag("promote_scope_metadata", false)?,
            label_name_underscore_sanitization: flag(
                "label_name_underscore_sanitization",
                default.label_name_underscore_sanitization,
            )?,
            label_name_preserve_multiple_underscores: flag(
                "label_name_preserve_multiple_underscores",
                default.label_name_preserve_multiple_underscores,
            )?,
            ..default
        };
        let mut list = |name: &str| Ok(fields.read(name, strings)?.unwrap_or_default());
        config.promote_resource_attributes = list("promote_resource_attributes")?;
        config.ignore_resource_attributes = list("ignore_resource_attributes")?;
        fields.finish(&[])?;
        config
            .check_attributes()
            .or_else(|message| error_at(node, message))?;
        Ok(config)
    }

    fn check_attributes(&mut self) -> Result<(), String> {
        if self.promote_all_resource_attributes {
            if !self.promote_resource_attributes.is_empty() {
                return Err("'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously".to_owned());
            }
            return trimmed(&mut self.ignore_resource_attributes, "ignored")
                .map_err(|reasons| format!("invalid 'ignore_resource_attributes': {reasons}"));
        }
        if !self.ignore_resource_attributes.is_empty() {
            return Err("'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true".to_owned());
        }
        trimmed(&mut self.promote_resource_attributes, "promoted")
            .map_err(|reasons| format!("invalid 'promote_resource_attributes': {reasons}"))
    }
}

/// Removes blanks around names. No name may be empty, or there twice.
fn trimmed(names: &mut [String], adjective: &str) -> Result<(), String> {
    let mut reasons = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for name in names.iter().map(|name| name.trim()) {
        if name.is_empty() {
            reasons.push(format!("empty {adjective} OTel resource attribute"));
        } else if seen.contains(&name) {
            reasons.push(format!(
                "duplicated {adjective} OTel resource attribute {name:?}"
            ));
        } else {
            seen.push(name);
        }
    }
    if !reasons.is_empty() {
        return Err(reasons.join("\n"));
    }
    for name in names {
        *name = name.trim().to_owned();
    }
    Ok(())
}

fn strategy(node: &Node, validation: NameValidation) -> Result<TranslationStrategy, ConfigError> {
    let name = string(node)?;
    let known = TranslationStrategy::ALL
        .into_iter()
        .find(|strategy| strategy.as_str() == name);
    match known {
        None => error_at(
            node,
            format!("unsupported OTLP translation strategy {name:?}"),
        ),
        Some(
            TranslationStrategy::NoTranslation | TranslationStrategy::NoUtf8EscapingWithSuffixes,
        ) if validation == NameValidation::Legacy => error_at(
            node,
            format!("OTLP translation strategy {name:?} is not allowed when UTF8 is disabled"),
        ),
        Some(strategy) => Ok(strategy),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<OtlpConfig, String> {
        let config = Config::parse(text, Path::new(""));
        config
            .map(|config| config.otlp)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_section_is_filled_in_and_read_back() {
        assert_eq!(parse("global: {}"), Ok(OtlpConfig::default()));
        assert_eq!(parse("otlp:"), Ok(OtlpConfig::default()));
        let text = "otlp:\n  promote_resource_attributes: [' a.b ', c]\n  translation_strategy: NoTranslation\n  label_name_underscore_sanitization: false\n  convert_histograms_to_nhcb: true";
        let config = parse(text).unwrap();
        assert_eq!(config.promote_resource_attributes, ["a.b", "c"]);
        assert_eq!(
            config.translation_strategy,
            TranslationStrategy::NoTranslation
        );
        assert!(config.convert_histograms_to_nhcb && !config.label_name_underscore_sanitization);
        let shown = Config::parse(text, Path::new("")).unwrap().to_yaml();
        assert!(
            shown.ends_with(
                "otlp:\n  promote_resource_attributes:\n  - a.b\n  - c\n  translation_strategy: NoTranslation\n  convert_histograms_to_nhcb: true\n  label_name_preserve_multiple_underscores: true\n"
            ),
            "{shown}"
        );
        // What is false is left out there, and so reads back as the default, which is true: as in Prometheus.
        let all = "otlp: {promote_all_resource_attributes: true, ignore_resource_attributes: [x]}";
        let config = parse(all).unwrap();
        assert_eq!(config.ignore_resource_attributes, ["x"]);
        assert_eq!(
            parse("otlp: {translation_strategy: ''}")
                .unwrap()
                .translation_strategy,
            TranslationStrategy::Unset
        );
    }

    #[test]
    fn contradictions_are_errors_in_prometheus_words() {
        for (text, message) in [
            (
                "otlp: {promote_resource_attributes: [a, '', a]}",
                "invalid 'promote_resource_attributes': empty promoted OTel resource attribute\nduplicated promoted OTel resource attribute \"a\"",
            ),
            (
                "otlp: {promote_all_resource_attributes: true, promote_resource_attributes: [a]}",
                "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously",
            ),
            (
                "otlp: {ignore_resource_attributes: [a]}",
                "'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true",
            ),
            (
                "otlp: {promote_all_resource_attributes: true, ignore_resource_attributes: [a, a]}",
                "invalid 'ignore_resource_attributes': duplicated ignored OTel resource attribute \"a\"",
            ),
            (
                "otlp: {translation_strategy: None}",
                "unsupported OTLP translation strategy \"None\"",
            ),
            (
                "global: {metric_name_validation_scheme: legacy}\notlp: {translation_strategy: NoTranslation}",
                "OTLP translation strategy \"NoTranslation\" is not allowed when UTF8 is disabled",
            ),
            (
                "otlp: {namespace: x}",
                "field namespace not found in type config.OTLPConfig",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
