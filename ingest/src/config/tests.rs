#![allow(clippy::unwrap_used)]

mod clouds;
mod notations;
mod sections;

use super::*;
use crate::discovery::{DiscoveryConfig, FileConfig};
use crate::names::NameValidation;
use std::time::Duration;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/varve"))
}

fn job(fields: &str) -> Result<Arc<ScrapeConfig>, ConfigError> {
    let text = format!("scrape_configs:\n- job_name: j\n{fields}");
    parse(&text).map(|config| config.scrape_configs[0].clone())
}

#[test]
fn nothing_is_a_configuration_with_defaults() {
    for text in [
        "",
        "# only a comment\n",
        "global:\n",
        "global: {}\nscrape_configs: []\n",
    ] {
        let config = parse(text).unwrap();
        assert_eq!(config.global.scrape_interval, Duration::from_secs(60));
        assert_eq!(config.global.scrape_timeout, Duration::from_secs(10));
        assert!(config.scrape_configs.is_empty());
    }
}

#[test]
fn jobs_take_what_they_leave_out_from_global() {
    let config = parse(
        "global:\n  scrape_interval: 5s\n  sample_limit: 7\n  body_size_limit: 1MB\n\
         scrape_configs:\n- job_name: a\n- job_name: b\n  scrape_interval: 1m\n  sample_limit: 9\n",
    )
    .unwrap();
    let [a, b] = &config.scrape_configs[..] else {
        unreachable!("two jobs");
    };
    // A timeout that nobody set is never longer than the interval.
    assert_eq!(a.scrape_timeout, Duration::from_secs(5));
    assert_eq!((a.limits.samples, b.limits.samples), (7, 9));
    assert_eq!(a.limits.body_size.0, 1 << 20);
    assert_eq!(b.scrape_interval, Duration::from_secs(60));
    assert_eq!(b.scrape_timeout, Duration::from_secs(5));
    assert_eq!(
        (a.metrics_path.as_str(), a.scheme.as_str()),
        ("/metrics", "http")
    );
    assert!(a.honor_timestamps && !a.honor_labels && a.enable_compression);
    assert!(a.http.follow_redirects && a.http.enable_http2);
}

#[test]
fn errors_name_field_line_and_column() {
    for (text, expected) in [
        (
            "glibal:\n  x: 1\n",
            "line 1, column 1: field glibal not found in type config.Config",
        ),
        (
            "global:\n  nonexistent_field: 1\n",
            "line 2, column 3: field nonexistent_field not found in type config.GlobalConfig",
        ),
        (
            "scrape_configs:\n- job_name: a\n  consult_sd_configs: []\n",
            "line 3, column 3: field consult_sd_configs not found in type config.ScrapeConfig",
        ),
        (
            "scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: [a:1]\n    label: {}\n",
            "line 5, column 5: field label not found in type targetgroup.Group",
        ),
        (
            "scrape_configs:\n- job_name: a\n  tls_config: {cafile: x}\n",
            "line 3, column 16: field cafile not found in type config.TLSConfig",
        ),
        (
            "scrape_configs:\n- job_name: a\n  relabel_configs:\n  - {regx: x}\n",
            "line 4, column 6: field regx not found in type relabel.Config",
        ),
        (
            "global:\n  scrape_interval: 1x\n",
            "line 2, column 20: unknown unit \"x\" in duration \"1x\"",
        ),
        (
            "global:\n  sample_limit: many\n",
            "line 2, column 17: cannot unmarshal !!str `many` into uint",
        ),
        (
            "scrape_configs:\n- job_name: a\n  honor_labels: 3\n",
            "line 3, column 17: cannot unmarshal !!int `3` into bool",
        ),
        (
            "scrape_configs:\n- job_name: a\n  job_name: b\n",
            "line 3, column 3: field job_name already set in type config.ScrapeConfig",
        ),
        (
            "scrape_configs: 7\n",
            "line 1, column 17: cannot unmarshal !!int `7` into list",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn what_prometheus_refuses_is_refused_in_its_words() {
    for (text, expected) in [
        (
            "global: {scrape_interval: 1s, scrape_timeout: 2s}",
            "global scrape timeout greater than scrape interval",
        ),
        (
            "global: {external_labels: {'': x}}",
            r#""" is not a valid label name"#,
        ),
        (
            "scrape_configs: [{honor_labels: true}]",
            "job_name is empty",
        ),
        ("scrape_configs: [~]", "empty or null scrape config section"),
        (
            "scrape_configs: [{job_name: a}, {job_name: a}]",
            "found multiple scrape configs with job name \"a\"",
        ),
        (
            "scrape_configs: [{job_name: a, scrape_interval: 1s, scrape_timeout: 2s}]",
            "scrape timeout greater than scrape interval for scrape config with job name \"a\"",
        ),
        (
            "scrape_configs: [{job_name: a, static_configs: [~]}]",
            "empty or null section in static_configs",
        ),
        (
            "scrape_configs: [{job_name: a, relabel_configs: [~]}]",
            "empty or null target relabeling rule in scrape config",
        ),
        (
            "scrape_configs: [{job_name: a, metric_relabel_configs: [~]}]",
            "empty or null metric relabeling rule in scrape config",
        ),
        (
            "scrape_configs: [{job_name: a, static_configs: [{targets: ['http://bad']}]}]",
            r#""http://bad" is not a valid hostname"#,
        ),
        (
            "scrape_configs: [{job_name: a, bearer_token: x, bearer_token_file: y}]",
            "at most one of bearer_token & bearer_token_file must be configured",
        ),
        (
            "scrape_configs: [{job_name: a, bearer_token: x, basic_auth: {username: y}}]",
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        ),
        (
            "scrape_configs: [{job_name: a, authorization: {type: ' Basic '}}]",
            "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
        ),
        (
            "scrape_configs: [{job_name: a, authorization: {}, basic_auth: {username: y}}]",
            "at most one of basic_auth, oauth2 & authorization must be configured",
        ),
        (
            "scrape_configs: [{job_name: a, tls_config: {cert_file: y}}]",
            "exactly one of key or key_file must be configured when a client certificate is configured",
        ),
        (
            "scrape_configs: [{job_name: a, file_sd_configs: [{}]}]",
            "file service discovery config must contain at least one path name",
        ),
        (
            "scrape_configs: [{job_name: a, file_sd_configs: [{files: [a.txt]}]}]",
            r#"path name "a.txt" is not valid for file discovery"#,
        ),
        (
            "scrape_configs: [{job_name: a, file_sd_configs: [{files: ['*/a.yml']}]}]",
            r#"path name "*/a.yml" is not valid for file discovery"#,
        ),
        (
            "global: {scrape_protocols: []}",
            "scrape_protocols cannot be empty",
        ),
        (
            "global: {scrape_protocols: [PrometheusText0.0.4, PrometheusText0.0.4]}",
            "duplicated protocol in scrape_protocols, got [PrometheusText0.0.4 PrometheusText0.0.4]",
        ),
        (
            "scrape_configs: [{job_name: a, metric_name_validation_scheme: legacy, metric_name_escaping_scheme: allow-utf-8}]",
            "utf8 metric names requested but validation scheme is not set to UTF8",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err().message(), expected, "{text}");
    }
}

#[test]
fn relabelling_rules_are_checked_in_prometheus_words() {
    for (rule, expected) in [
        ("{action: foo}", r#"unknown relabel action "foo""#),
        (
            "{action: replace}",
            "relabel configuration for replace action requires 'target_label' value",
        ),
        (
            "{action: hashmod, target_label: a}",
            "relabel configuration for hashmod requires non-zero modulus",
        ),
        (
            "{action: hashmod, modulus: 8}",
            "relabel configuration for hashmod action requires 'target_label' value",
        ),
        (
            "{action: lowercase}",
            "relabel configuration for lowercase action requires 'target_label' value",
        ),
        (
            "{action: uppercase, target_label: a, replacement: b}",
            "'replacement' can not be set for uppercase action",
        ),
        (
            "{action: keepequal, target_label: a, regex: b}",
            "keepequal action requires only 'source_labels' and `target_label`, and no other fields",
        ),
        (
            "{action: dropequal, target_label: a, separator: b}",
            "dropequal action requires only 'source_labels' and `target_label`, and no other fields",
        ),
        (
            "{action: labeldrop, source_labels: [a]}",
            "labeldrop action requires only 'regex', and no other fields",
        ),
        (
            "{action: labelkeep, target_label: a}",
            "labelkeep action requires only 'regex', and no other fields",
        ),
        (
            "{target_label: a, regex: '('}",
            "error parsing regexp: unclosed group: `(`",
        ),
        (
            "{target_label: a, source_labels: ['']}",
            r#""" is not a valid label name"#,
        ),
    ] {
        let error = job(&format!("  relabel_configs: [{rule}]\n")).unwrap_err();
        assert_eq!(error.message(), expected, "{rule}");
    }
    let legacy = "  metric_name_validation_scheme: legacy\n";
    for (rule, valid) in [
        ("{target_label: 'a-b'}", false),
        ("{target_label: 'a${1}_$x'}", true),
        ("{target_label: '${1'}", false),
        ("{action: labelmap, replacement: 'a-b'}", false),
        ("{action: labelmap, replacement: 'x_$1'}", true),
    ] {
        let result = job(&format!("{legacy}  relabel_configs: [{rule}]\n"));
        assert_eq!(result.is_ok(), valid, "{rule}: {result:?}");
    }
}

#[test]
fn what_varve_lacks_says_so_and_what_says_nothing_passes() {
    let error = job("  basic_auth: {username_ref: x}\n").unwrap_err();
    assert_eq!(error.message(), "not supported yet: username_ref");
    assert!(error.position().is_some());
    // The configuration that comes with Prometheus names alerting and rules without saying anything in them.
    let stock = "global:\n  scrape_interval: 15s\nalerting:\n  alertmanagers:\n    - static_configs:\n        - targets:\n          # - alertmanager:9093\nrule_files:\n  # - first.yml\nruntime:\n  gogc: 75\nscrape_configs:\n  - job_name: prometheus\n    scrape_native_histograms: false\n    proxy_from_environment: false\n    static_configs:\n      - targets: [\"localhost:9090\"]\n        labels:\n          app: prometheus\n";
    let config = parse(stock).unwrap();
    assert_eq!(
        config.scrape_configs[0].static_configs[0].labels["app"],
        "prometheus"
    );
}

#[test]
fn an_unknown_kind_of_discovery_is_refused() {
    let error = job("  mesos_sd_configs: [{server: x}]\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3, column 3: field mesos_sd_configs not found in type config.ScrapeConfig"
    );
    assert!(job("  rds_sd_configs: []\n").is_ok());
    let error = job("  file_sd_configs: [~]\n").unwrap_err();
    assert_eq!(error.message(), "empty or null section in file_sd_configs");
}

#[test]
fn file_names_are_relative_to_the_configuration() {
    let job = job("  basic_auth: {username: u, password_file: secret}\n  tls_config: {ca_file: /abs/ca}\n  file_sd_configs: [{files: ['t/*.yml'], refresh_interval: 1m}]\n").unwrap();
    let basic = job.http.basic_auth.clone().unwrap();
    assert_eq!(
        basic.password,
        Some(Source::File("/etc/varve/secret".into()))
    );
    assert_eq!(job.http.tls.ca, Some(Source::File("/abs/ca".into())));
    let expected = FileConfig {
        files: vec!["/etc/varve/t/*.yml".into()],
        refresh_interval: Duration::from_secs(60),
    };
    assert_eq!(job.discoveries, [DiscoveryConfig::File(Box::new(expected))]);
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prometheus.yml");
    let missing = Config::load(&path).unwrap_err().to_string();
    assert!(
        missing.contains("cannot read") && missing.contains("prometheus.yml"),
        "{missing}"
    );
    std::fs::write(&path, "global:\n  foo: 1\n").unwrap();
    let broken = Config::load(&path).unwrap_err().to_string();
    assert!(
        broken.contains("parsing YAML file")
            && broken.contains("prometheus.yml: line 2, column 3: field foo"),
        "{broken}"
    );
}

#[test]
fn the_effective_configuration_is_shown_without_secrets_and_reads_back() {
    let text = "global:\n  scrape_interval: 15s\n  external_labels: {monitor: codelab, n: \"1\"}\n\
        scrape_configs:\n- job_name: 'service x'\n  honor_labels: true\n  params: {module: [http_2xx]}\n  metrics_path: /my_path\n  scheme: https\n\
        \x20 basic_auth: {username: admin, password: hunter2}\n  tls_config: {insecure_skip_verify: true, min_version: TLS12}\n\
        \x20 sample_limit: 10\n  body_size_limit: 10MB\n\
        \x20 relabel_configs:\n  - source_labels: [job, __meta_dns_name]\n    regex: (.*)some-[regex]\n    target_label: job\n    replacement: foo-${1}\n\
        \x20 - {action: labeldrop, regex: 'a: b'}\n\
        \x20 metric_relabel_configs:\n  - {action: drop, source_labels: [__name__], regex: 'x|y'}\n\
        \x20 file_sd_configs: [{files: [a/*.yml]}]\n  static_configs: [{targets: ['localhost:9090'], labels: {your: label, no: \"yes\"}}]\n\
        - job_name: b\n  authorization: {credentials: hunter2}\n";
    let config = parse(text).unwrap();
    let shown = config.to_yaml();
    assert!(!shown.contains("hunter2"), "{shown}");
    let expected = r#"global:
  scrape_interval: 15s
  scrape_timeout: 10s
  evaluation_interval: 1m
  external_labels:
    monitor: codelab
    "n": "1"
  metric_name_validation_scheme: utf8
  scrape_native_histograms: false
  extra_scrape_metrics: false
scrape_configs:
- job_name: service x
  honor_labels: true
  honor_timestamps: true
  track_timestamps_staleness: false
  params:
    module:
    - http_2xx
  scrape_interval: 15s
  scrape_timeout: 10s
  scrape_protocols:
  - OpenMetricsText1.0.0
  - OpenMetricsText0.0.1
  - PrometheusText1.0.0
  - PrometheusText0.0.4
  scrape_native_histograms: false
  always_scrape_classic_histograms: false
  convert_classic_histograms_to_nhcb: false
  metrics_path: /my_path
  scheme: https
  enable_compression: true
  body_size_limit: 10MiB
  sample_limit: 10
  metric_name_validation_scheme: utf8
  metric_name_escaping_scheme: allow-utf-8
  extra_scrape_metrics: false
  basic_auth:
    username: admin
    password: <secret>
  tls_config:
    insecure_skip_verify: true
    min_version: TLS12
  follow_redirects: true
  enable_http2: true
  relabel_configs:
  - source_labels: [job, __meta_dns_name]
    separator: ;
    regex: (.*)some-[regex]
    target_label: job
    replacement: foo-${1}
    action: replace
  - separator: ;
    regex: 'a: b'
    replacement: $1
    action: labeldrop
  metric_relabel_configs:
  - source_labels: [__name__]
    separator: ;
    regex: x|y
    replacement: $1
    action: drop
  file_sd_configs:
  - files:
    - /etc/varve/a/*.yml
    refresh_interval: 5m
  static_configs:
  - targets:
    - localhost:9090
    labels:
      "no": "yes"
      your: label
- job_name: b
"#;
    assert!(shown.starts_with(expected), "{shown}");
    assert!(
        shown.contains("  authorization:\n    type: Bearer\n    credentials: <secret>\n"),
        "{shown}"
    );
    // What is shown is a configuration, the same but for its secrets.
    assert_eq!(parse(&shown).unwrap().to_yaml(), shown);
}

#[test]
fn series_stay_the_same_where_only_times_and_clients_change() {
    let base = job("").unwrap();
    for (fields, same) in [
        ("  scrape_interval: 7s\n  scrape_timeout: 3s\n", true),
        ("  sample_limit: 7\n  bearer_token: x\n", true),
        ("  label_limit: 7\n", false),
        ("  honor_labels: true\n", false),
        ("  metric_relabel_configs: [{target_label: a}]\n", false),
    ] {
        assert_eq!(job(fields).unwrap().same_series_as(&base), same, "{fields}");
    }
}

#[test]
fn naming_schemes_follow_from_each_other() {
    let of = |fields: &str| {
        let job = job(fields).unwrap();
        (job.validation, job.escaping)
    };
    assert_eq!(of(""), (NameValidation::Utf8, Escaping::AllowUtf8));
    assert_eq!(
        of("  metric_name_validation_scheme: legacy\n"),
        (NameValidation::Legacy, Escaping::Underscores)
    );
    assert_eq!(
        of("  metric_name_escaping_scheme: dots\n"),
        (NameValidation::Utf8, Escaping::Dots)
    );
}

#[test]
fn discovery_files_give_groups_with_their_path() {
    let groups = parse_target_groups(
        "[{\"targets\": [\"a:1\", \"b:2\"], \"labels\": {\"x\": \"y\"}}, {\"targets\": [\"c:3\"]}]",
        "/t/a.json",
    )
    .unwrap();
    assert_eq!(groups.len(), 2);
    assert_eq!(groups[0].labels["__meta_filepath"], "/t/a.json");
    assert_eq!(groups[1].source, "/t/a.json:1");
    assert!(parse_target_groups("- ~\n", "f").is_err());
    assert!(parse_target_groups("targets: [a]\n", "f").is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_panics_and_what_is_accepted_is_shown_as_a_configuration(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "global:", "scrape_configs:", "- job_name: a", "  scrape_interval: 5s", "  external_labels: {a: 'b c'}",
                "  sample_limit: 7", "  relabel_configs: [{action: drop, regex: 'x: y'}]", "  params: {a: [b, '']}", "  static_configs:",
                "  - targets: [a, 'b:1']", "    labels: {c: \"1\\n\"}", "  body_size_limit: 1MB", "  <<: *x", "  tls_config: &x {server_name: s}",
                "  authorization: {credentials: '#s'}", "---", "[", "{", "}", "'", "\t", "? a", ": b", "é: ~", "  scheme: 'yes'", "- job_name: '-'",
            ]),
            0..10,
        ),
    ) {
        if let Ok(config) = parse(&pieces.join("\n")) {
            let shown = config.to_yaml();
            proptest::prop_assert_eq!(parse(&shown).unwrap().to_yaml(), shown);
        }
    }
}
