//! The effective configuration as YAML, in the order and style of Prometheus's own rendering: what a reader of
//! `/api/v1/status/config` or a diff against Prometheus expects.

use std::path::Path;

use url::Url;

use super::headers::CustomHeader;
use super::http::{Authorization, BasicAuth, HttpClientConfig, Secret, Source, TlsConfig};
use super::oauth2::{JWT_BEARER, OAuth2Config, OAuth2Grant};
use super::proxy::ProxyConfig;
use super::scrape::ScrapeConfig;
use super::write::{Entries, Yaml};
use super::{Config, GlobalConfig, OtlpConfig, ScrapeLimits, ScrapeProtocol, remote_write};
use crate::discovery::{DiscoveryConfig, TargetGroup};
use crate::duration::format_duration;
use crate::relabel::{Action, RelabelRule};

/// Writes a configuration.
pub(super) fn config(config: &Config) -> String {
    let mut entries = Entries::default();
    entries.put("global", global(&config.global));
    let texts = |texts: &[String]| texts.iter().cloned().map(Yaml::Text).collect();
    entries
        .list_if_set("rule_files", texts(&config.rule_files))
        .list_if_set("scrape_config_files", texts(&config.scrape_config_files));
    let jobs = config.scrape_configs.iter().map(|job| scrape(job).map());
    entries.list_if_set("scrape_configs", jobs.collect());
    let receivers = config.remote_write.iter().map(|r| remote_write::render(r));
    entries
        .list_if_set("remote_write", receivers.collect())
        .put("otlp", otlp(&config.otlp));
    entries.document()
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
    if !global.rule_query_offset.is_zero() {
        entries.text(
            "rule_query_offset",
            format_duration(global.rule_query_offset),
        );
    }
    entries.text_if_set("query_log_file", &global.query_log_file);
    if let Some(file) = &global.scrape_failure_log_file {
        entries.text("scrape_failure_log_file", path(file));
    }
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
        .flag("scrape_native_histograms", global.scrape_native_histograms)
        .flag_if_set(
            "convert_classic_histograms_to_nhcb",
            global.convert_classic_histograms,
        )
        .flag_if_set(
            "always_scrape_classic_histograms",
            global.always_scrape_classic_histograms,
        )
        .flag("extra_scrape_metrics", global.extra_scrape_metrics)
        .map()
}

/// Writes one job.
pub(super) fn job(job: &ScrapeConfig) -> String {
    scrape(job).document()
}

fn scrape(job: &ScrapeConfig) -> Entries {
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
        .flag("scrape_native_histograms", job.histograms.native)
        .flag(
            "always_scrape_classic_histograms",
            job.histograms.always_classic,
        )
        .flag(
            "convert_classic_histograms_to_nhcb",
            job.histograms.convert_classic,
        )
        .text_if_set("metrics_path", &job.metrics_path)
        .text_if_set("scheme", &job.scheme)
        .flag("enable_compression", job.enable_compression);
    if let Some(file) = &job.scrape_failure_log_file {
        entries.text("scrape_failure_log_file", path(file));
    }
    limits(&mut entries, &job.limits);
    entries.number_if_set("native_histogram_bucket_limit", job.histograms.bucket_limit);
    if job.histograms.min_bucket_factor != 0.0 {
        let factor = job.histograms.min_bucket_factor.to_string();
        entries.put("native_histogram_min_bucket_factor", Yaml::Raw(factor));
    }
    entries
        .text("metric_name_validation_scheme", job.validation.as_str())
        .text("metric_name_escaping_scheme", job.escaping.as_str())
        .flag("extra_scrape_metrics", job.extra_scrape_metrics);
    http(&mut entries, &job.http);
    let rules = |rules: &[RelabelRule]| rules.iter().map(rule).collect();
    entries
        .list_if_set("relabel_configs", rules(&job.relabel_configs))
        .list_if_set("metric_relabel_configs", rules(&job.metric_relabel_configs));
    let statics = job.static_configs.iter().map(group).collect();
    DiscoveryConfig::render_all(&job.discoveries, statics, &mut entries);
    entries
}

/// A URL without its password, and without a slash that may not have been there.
pub(super) fn shown_url(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        // It has a host, and so can have a password.
        let _ = url.set_password(Some("xxxxx"));
    }
    let text = url.to_string();
    match url.path() {
        "/" => text.trim_end_matches('/').to_owned(),
        _ => text,
    }
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

pub(crate) fn hidden(entries: &mut Entries, name: &str, source: Option<&Source<Secret>>) {
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

pub(crate) fn shown(entries: &mut Entries, name: &str, source: Option<&Source<String>>) {
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

/// Writes the fields of an HTTP client among those of the section that it is part of.
pub(crate) fn http(entries: &mut Entries, http: &HttpClientConfig) {
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
    if let Some(oauth2) = &http.oauth2 {
        entries.put("oauth2", oauth2_section(oauth2));
    }
    tls(entries, &http.tls);
    entries
        .flag("follow_redirects", http.follow_redirects)
        .flag("enable_http2", http.enable_http2);
    proxy(entries, &http.proxy);
    if !http.headers.is_empty() {
        let headers = http.headers.iter();
        let headers = headers.map(|header| (header.name.clone(), custom_header(header)));
        entries.put("http_headers", Yaml::Map(headers.collect()));
    }
}

pub(crate) fn tls(entries: &mut Entries, tls: &TlsConfig) {
    if *tls == TlsConfig::default() {
        return;
    }
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

fn proxy(entries: &mut Entries, proxy: &ProxyConfig) {
    if let Some(url) = &proxy.proxy_url {
        entries.text("proxy_url", shown_url(url));
    }
    entries
        .text_if_set("no_proxy", &proxy.no_proxy)
        .flag_if_set("proxy_from_environment", proxy.from_environment);
    if !proxy.connect_headers.is_empty() {
        let headers = proxy.connect_headers.iter().map(|(name, values)| {
            let values = values.iter().map(|value| Yaml::Text(value.to_string()));
            (name.clone(), Yaml::List(values.collect()))
        });
        entries.put("proxy_connect_header", Yaml::Map(headers.collect()));
    }
}

fn oauth2_section(oauth2: &OAuth2Config) -> Yaml {
    let mut entries = Entries::default();
    entries.text("client_id", &oauth2.client_id);
    match &oauth2.grant {
        OAuth2Grant::ClientCredentials { secret } => {
            hidden(&mut entries, "client_secret", secret.as_ref());
        }
        OAuth2Grant::JwtBearer {
            key,
            key_id,
            algorithm,
            issuer,
            audience,
            claims,
        } => {
            entries.text_if_set("client_certificate_key_id", key_id);
            hidden(&mut entries, "client_certificate_key", key.as_ref());
            entries
                .text("grant_type", JWT_BEARER)
                .text_if_set("signature_algorithm", algorithm)
                .text_if_set("iss", issuer)
                .text_if_set("audience", audience);
            if !claims.is_empty() {
                let claims = claims.iter();
                // JSON is YAML too.
                let claims =
                    claims.map(|(name, value)| (name.clone(), Yaml::Raw(value.to_string())));
                entries.put("claims", Yaml::Map(claims.collect()));
            }
        }
    }
    let scopes = oauth2.scopes.iter().cloned().map(Yaml::Text);
    entries
        .list_if_set("scopes", scopes.collect())
        .text("token_url", &oauth2.token_url);
    if !oauth2.endpoint_params.is_empty() {
        let params = oauth2.endpoint_params.iter();
        let params = params.map(|(name, value)| (name.clone(), Yaml::Text(value.clone())));
        entries.put("endpoint_params", Yaml::Map(params.collect()));
    }
    tls(&mut entries, &oauth2.tls);
    proxy(&mut entries, &oauth2.proxy);
    entries.map()
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

pub(super) fn rule(rule: &RelabelRule) -> Yaml {
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

fn group(group: &TargetGroup) -> Yaml {
    let targets = group.addresses();
    let targets = targets
        .map(|address| Yaml::Text(address.to_owned()))
        .collect();
    let mut entries = Entries::default();
    entries.put("targets", Yaml::List(targets));
    if !group.labels.is_empty() {
        let labels = group.labels.iter();
        let labels = labels.map(|(name, value)| (name.clone(), Yaml::Text(value.clone())));
        entries.put("labels", Yaml::Map(labels.collect()));
    }
    entries.map()
}
