//! The effective configuration as YAML, in the order and style of Prometheus's own rendering: what a reader of
//! `/api/v1/status/config` or a diff against Prometheus expects.

use std::path::Path;

use super::headers::CustomHeader;
use super::http::{Authorization, BasicAuth, HttpClientConfig, Secret, Source, TlsConfig};
use super::scrape::{FileDiscoveryConfig, ScrapeConfig};
use super::{Config, GlobalConfig, OtlpConfig, ScrapeLimits, ScrapeProtocol};
use crate::discovery::TargetGroup;
use crate::duration::format_duration;
use crate::relabel::{Action, RelabelRule};

/// A value to be written.
enum Yaml {
    /// A boolean or number, written as it is.
    Raw(String),
    /// A string, quoted where it has to be.
    Text(String),
    List(Vec<Yaml>),
    /// A list on one line.
    Flow(Vec<String>),
    Map(Vec<(String, Yaml)>),
}

/// Entries of a mapping in the order of writing.
#[derive(Default)]
struct Entries(Vec<(String, Yaml)>);

impl Entries {
    fn put(&mut self, name: &str, value: Yaml) -> &mut Self {
        self.0.push((name.to_owned(), value));
        self
    }

    fn text(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.put(name, Yaml::Text(value.into()))
    }

    fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.put(name, Yaml::Raw(value.to_string()))
    }

    fn flag_if_set(&mut self, name: &str, value: bool) -> &mut Self {
        if value { self.flag(name, true) } else { self }
    }

    fn text_if_set(&mut self, name: &str, value: &str) -> &mut Self {
        if value.is_empty() {
            self
        } else {
            self.text(name, value)
        }
    }

    fn number_if_set(&mut self, name: &str, value: u64) -> &mut Self {
        match value {
            0 => self,
            _ => self.put(name, Yaml::Raw(value.to_string())),
        }
    }

    fn list_if_set(&mut self, name: &str, items: Vec<Yaml>) -> &mut Self {
        if items.is_empty() {
            self
        } else {
            self.put(name, Yaml::List(items))
        }
    }

    fn map(&mut self) -> Yaml {
        Yaml::Map(std::mem::take(&mut self.0))
    }
}

/// Writes a configuration.
pub(super) fn config(config: &Config) -> String {
    let mut entries = Entries::default();
    entries.put("global", global(&config.global));
    let jobs = config.scrape_configs.iter().map(|job| scrape(job));
    entries
        .list_if_set("scrape_configs", jobs.collect())
        .put("otlp", otlp(&config.otlp));
    let mut out = String::new();
    write_map(&mut out, &entries.0, 0);
    out
}

fn limits(entries: &mut Entries, limits: &ScrapeLimits) {
    if limits.body_size.0 > 0 {
        entries.text("body_size_limit", limits.body_size.to_string());
    }
    entries
        .number_if_set("sample_limit", limits.samples)
        .number_if_set("target_limit", limits.targets)
        .number_if_set("label_limit", limits.labels)
        .number_if_set("label_name_length_limit", limits.label_name_bytes)
        .number_if_set("label_value_length_limit", limits.label_value_bytes)
        .number_if_set("keep_dropped_targets", limits.kept_dropped_targets);
}

fn protocols(protocols: &[ScrapeProtocol]) -> Vec<Yaml> {
    let name = |protocol: &ScrapeProtocol| Yaml::Text(protocol.as_str().to_owned());
    protocols.iter().map(name).collect()
}

fn global(global: &GlobalConfig) -> Yaml {
    let mut entries = Entries::default();
    entries
        .text("scrape_interval", format_duration(global.scrape_interval))
        .text("scrape_timeout", format_duration(global.scrape_timeout))
        .list_if_set(
            "scrape_protocols",
            protocols(global.scrape_protocols.as_deref().unwrap_or_default()),
        )
        .text(
            "evaluation_interval",
            format_duration(global.evaluation_interval),
        );
    if !global.external_labels.is_empty() {
        let labels = global.external_labels.iter();
        let labels = labels.map(|(name, value)| (name.to_owned(), Yaml::Text(value.to_owned())));
        entries.put("external_labels", Yaml::Map(labels.collect()));
    }
    limits(&mut entries, &global.limits);
    entries.text("metric_name_validation_scheme", global.validation.as_str());
    if let Some(escaping) = global.escaping {
        entries.text("metric_name_escaping_scheme", escaping.as_str());
    }
    entries
        .flag("scrape_native_histograms", false)
        .flag("extra_scrape_metrics", global.extra_scrape_metrics)
        .map()
}

fn scrape(job: &ScrapeConfig) -> Yaml {
    let mut entries = Entries::default();
    entries
        .text("job_name", &job.job_name)
        .flag_if_set("honor_labels", job.honor_labels)
        .flag("honor_timestamps", job.honor_timestamps)
        .flag("track_timestamps_staleness", job.track_timestamps_staleness);
    if !job.params.is_empty() {
        let params = job.params.iter().map(|(name, values)| {
            let values = values.iter().cloned().map(Yaml::Text).collect();
            (name.clone(), Yaml::List(values))
        });
        entries.put("params", Yaml::Map(params.collect()));
    }
    entries
        .text("scrape_interval", format_duration(job.scrape_interval))
        .text("scrape_timeout", format_duration(job.scrape_timeout))
        .list_if_set("scrape_protocols", protocols(&job.scrape_protocols));
    if let Some(fallback) = job.fallback_scrape_protocol {
        entries.text("fallback_scrape_protocol", fallback.as_str());
    }
    entries
        .flag("scrape_native_histograms", false)
        .flag("always_scrape_classic_histograms", false)
        .flag("convert_classic_histograms_to_nhcb", false)
        .text_if_set("metrics_path", &job.metrics_path)
        .text_if_set("scheme", &job.scheme)
        .flag("enable_compression", job.enable_compression);
    limits(&mut entries, &job.limits);
    entries
        .text("metric_name_validation_scheme", job.validation.as_str())
        .text("metric_name_escaping_scheme", job.escaping.as_str())
        .flag("extra_scrape_metrics", job.extra_scrape_metrics);
    http(&mut entries, &job.http);
    let rules = |rules: &[RelabelRule]| rules.iter().map(rule).collect();
    entries
        .list_if_set("relabel_configs", rules(&job.relabel_configs))
        .list_if_set("metric_relabel_configs", rules(&job.metric_relabel_configs))
        .list_if_set(
            "file_sd_configs",
            job.file_sd_configs.iter().map(file_discovery).collect(),
        )
        .list_if_set(
            "static_configs",
            job.static_configs.iter().map(group).collect(),
        )
        .map()
}

fn otlp(otlp: &OtlpConfig) -> Yaml {
    let texts = |texts: &[String]| texts.iter().cloned().map(Yaml::Text).collect();
    Entries::default()
        .flag_if_set(
            "promote_all_resource_attributes",
            otlp.promote_all_resource_attributes,
        )
        .list_if_set(
            "promote_resource_attributes",
            texts(&otlp.promote_resource_attributes),
        )
        .list_if_set(
            "ignore_resource_attributes",
            texts(&otlp.ignore_resource_attributes),
        )
        .text_if_set("translation_strategy", otlp.translation_strategy.as_str())
        .flag_if_set(
            "keep_identifying_resource_attributes",
            otlp.keep_identifying_resource_attributes,
        )
        .flag_if_set(
            "convert_histograms_to_nhcb",
            otlp.convert_histograms_to_nhcb,
        )
        .flag_if_set("promote_scope_metadata", otlp.promote_scope_metadata)
        .flag_if_set(
            "label_name_underscore_sanitization",
            otlp.label_name_underscore_sanitization,
        )
        .flag_if_set(
            "label_name_preserve_multiple_underscores",
            otlp.label_name_preserve_multiple_underscores,
        )
        .map()
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn hidden(entries: &mut Entries, name: &str, source: Option<&Source<Secret>>) {
    match source {
        None => {}
        Some(Source::Inline(secret)) => {
            entries.text(name, secret.to_string());
        }
        Some(Source::File(file)) => {
            entries.text(&format!("{name}_file"), path(file));
        }
    }
}

fn shown(entries: &mut Entries, name: &str, source: Option<&Source<String>>) {
    match source {
        None => {}
        Some(Source::Inline(text)) => {
            entries.text(name, text);
        }
        Some(Source::File(file)) => {
            entries.text(&format!("{name}_file"), path(file));
        }
    }
}

fn http(entries: &mut Entries, http: &HttpClientConfig) {
    if let Some(BasicAuth { username, password }) = &http.basic_auth {
        let mut basic = Entries::default();
        shown(&mut basic, "username", username.as_ref());
        hidden(&mut basic, "password", password.as_ref());
        entries.put("basic_auth", basic.map());
    }
    if let Some(Authorization { kind, credentials }) = &http.authorization {
        let mut authorization = Entries::default();
        authorization.text("type", kind);
        hidden(&mut authorization, "credentials", credentials.as_ref());
        entries.put("authorization", authorization.map());
    }
    if http.tls != TlsConfig::default() {
        let tls = &http.tls;
        let mut section = Entries::default();
        shown(&mut section, "ca", tls.ca.as_ref());
        shown(&mut section, "cert", tls.cert.as_ref());
        hidden(&mut section, "key", tls.key.as_ref());
        section
            .text_if_set("server_name", &tls.server_name)
            .flag("insecure_skip_verify", tls.insecure_skip_verify);
        if let Some(version) = tls.min_version {
            section.text("min_version", version.as_str());
        }
        if let Some(version) = tls.max_version {
            section.text("max_version", version.as_str());
        }
        entries.put("tls_config", section.map());
    }
    entries
        .flag("follow_redirects", http.follow_redirects)
        .flag("enable_http2", http.enable_http2);
    if !http.headers.is_empty() {
        let headers = http.headers.iter();
        let headers = headers.map(|header| (header.name.clone(), custom_header(header)));
        entries.put("http_headers", Yaml::Map(headers.collect()));
    }
}

fn custom_header(header: &CustomHeader) -> Yaml {
    let texts = |texts: Vec<String>| texts.into_iter().map(Yaml::Text).collect();
    let mut entries = Entries::default();
    entries
        .list_if_set("values", texts(header.values.clone()))
        .list_if_set(
            "secrets",
            texts(header.secrets.iter().map(Secret::to_string).collect()),
        )
        .list_if_set(
            "files",
            texts(header.files.iter().map(|file| path(file)).collect()),
        )
        .map()
}

fn rule(rule: &RelabelRule) -> Yaml {
    let mut entries = Entries::default();
    if !rule.source_labels.is_empty() {
        entries.put("source_labels", Yaml::Flow(rule.source_labels.clone()));
    }
    entries.text("separator", &rule.separator);
    if let Some(regex) = &rule.regex {
        entries.text("regex", regex.as_str());
    }
    entries
        .number_if_set("modulus", rule.modulus)
        .text_if_set("target_label", &rule.target_label)
        .text("replacement", &rule.replacement)
        .text("action", Action::as_str(rule.action))
        .map()
}

fn file_discovery(config: &FileDiscoveryConfig) -> Yaml {
    let files = config.files.iter().map(|file| Yaml::Text(path(file)));
    Entries::default()
        .put("files", Yaml::List(files.collect()))
        .text("refresh_interval", format_duration(config.refresh_interval))
        .map()
}

fn group(group: &TargetGroup) -> Yaml {
    let targets = group.targets.iter().cloned().map(Yaml::Text).collect();
    let mut entries = Entries::default();
    entries.put("targets", Yaml::List(targets));
    if !group.labels.is_empty() {
        let labels = group.labels.iter();
        let labels = labels.map(|(name, value)| (name.clone(), Yaml::Text(value.clone())));
        entries.put("labels", Yaml::Map(labels.collect()));
    }
    entries.map()
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn write_map(out: &mut String, entries: &[(String, Yaml)], depth: usize) {
    for (i, (name, value)) in entries.iter().enumerate() {
        // The first entry of a list item stands after its dash.
        if i > 0 || !out.ends_with("- ") {
            indent(out, depth);
        }
        out.push_str(&quoted(name, false));
        out.push(':');
        write_value(out, value, depth);
    }
}

fn write_value(out: &mut String, value: &Yaml, depth: usize) {
    match value {
        Yaml::Raw(text) => out.push_str(&format!(" {text}\n")),
        Yaml::Text(text) => out.push_str(&format!(" {}\n", quoted(text, false))),
        Yaml::Flow(items) => {
            let items: Vec<_> = items.iter().map(|item| quoted(item, true)).collect();
            out.push_str(&format!(" [{}]\n", items.join(", ")));
        }
        Yaml::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Yaml::Map(entries) => {
            out.push('\n');
            write_map(out, entries, depth + 1);
        }
        Yaml::List(items) if items.is_empty() => out.push_str(" []\n"),
        Yaml::List(items) => {
            out.push('\n');
            for item in items {
                indent(out, depth);
                match item {
                    Yaml::Map(entries) if !entries.is_empty() => {
                        out.push_str("- ");
                        write_map(out, entries, depth + 1);
                    }
                    other => {
                        out.push('-');
                        write_value(out, other, depth);
                    }
                }
            }
        }
    }
}

/// A string as a scalar: plain where that reads back as the same string, else in single quotes, and in double quotes
/// where it would read as another type or has characters that need escapes.
fn quoted(text: &str, flow: bool) -> String {
    if text.chars().any(char::is_control) || reads_as_other_type(text) {
        let mut out = String::from("\"");
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
                c => out.push(c),
            }
        }
        out.push('"');
        return out;
    }
    if is_plain(text, flow) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn reads_as_other_type(text: &str) -> bool {
    let words = [
        "", "~", "null", "true", "false", "y", "n", "yes", "no", "on", "off", ".nan", ".inf",
        "-.inf", "+.inf", "<<", "=",
    ];
    let lower = text.to_ascii_lowercase();
    words.contains(&lower.as_str())
        || (text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
            && (text.replace('_', "").parse::<f64>().is_ok()
                || text.starts_with("0x")
                || text.starts_with("0b")
                || text.starts_with("0o")
                || is_base_60(text)
                || is_date(text)))
}

/// `12:30:45`: a number to YAML 1.1.
fn is_base_60(text: &str) -> bool {
    text.contains(':')
        && text
            .split(':')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-'
}

fn is_plain(text: &str, flow: bool) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    let second_is_space = text.chars().nth(1).is_none_or(char::is_whitespace);
    if "#,[]{}&*!|>'\"%@`".contains(first)
        || (matches!(first, '-' | '?' | ':') && (flow || second_is_space))
        || text.starts_with("---")
        || text.starts_with("...")
        || text.starts_with(' ')
        || text.ends_with([' ', ':'])
    {
        return false;
    }
    if flow && text.contains([',', '?', '[', ']', '{', '}', ':']) {
        return false;
    }
    !text.contains(": ") && !text.contains(" #")
}
