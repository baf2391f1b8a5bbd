//! Receivers, sections that nothing acts on, files of jobs, histograms.

use std::path::Path;
use std::time::Duration;

use super::{Config, ScrapeConfig, Source, parse};
use crate::config::{ScrapeProtocol, WriteMessage};

#[test]
fn receivers_have_prometheus_defaults_and_are_shown_without_secrets() {
    let text = "remote_write:
- url: https://me:pw@x.example/api/v1/write
  name: far
  headers: {X-Scope: t}
  send_exemplars: true
  protobuf_message: io.prometheus.write.v2.Request
  oauth2:
    client_id: me
    client_secret: s
    token_url: https://t
    scopes: [a]
  proxy_url: http://u:p@proxy:3128
  no_proxy: 10.0.0.0/8
  queue_config: {max_shards: 7}
- url: http://y
";
    let config = parse(text).unwrap();
    let [first, second] = &config.remote_write[..] else {
        unreachable!("two receivers");
    };
    assert_eq!(first.message, WriteMessage::V2);
    assert_eq!(second.remote_timeout, Duration::from_secs(30));
    assert_eq!(
        (first.label().as_str(), second.label().as_str()),
        ("far", "http://y")
    );
    let shown = config.to_yaml();
    let expected = "remote_write:
- url: https://me:xxxxx@x.example/api/v1/write
  remote_timeout: 30s
  headers:
    X-Scope: t
  name: far
  send_exemplars: true
  protobuf_message: io.prometheus.write.v2.Request
  oauth2:
    client_id: me
    client_secret: <secret>
    scopes:
    - a
    token_url: https://t
  follow_redirects: true
  enable_http2: false
  proxy_url: http://u:xxxxx@proxy:3128
  no_proxy: 10.0.0.0/8
  queue_config:
    capacity: 10000
    max_shards: 7
    min_shards: 1
    max_samples_per_send: 2000
    batch_send_deadline: 5s
    min_backoff: 30ms
    max_backoff: 5s
  metadata_config:
    send: true
    send_interval: 1m
    max_samples_per_send: 2000
";
    let start = shown.find("remote_write:").unwrap();
    assert!(shown[start..].starts_with(expected), "{shown}");
    // What is shown can be read again.
    assert!(parse(&shown).is_ok());
    for (receiver, message) in [
        ("{}", "url for remote_write is empty"),
        (
            "{url: 'http://x', headers: {Authorization: a}}",
            "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter",
        ),
        (
            "{url: 'http://x', headers: {Host: a}}",
            "Host is a reserved header. It must not be changed",
        ),
        (
            "{url: 'http://x', queue_config: {max_shards: 0}}",
            "remote write queue max_shards must be positive",
        ),
        (
            "{url: 'http://x', queue_config: {min_shards: 51}}",
            "remote write queue min_shards must not be greater than max_shards",
        ),
        (
            "{url: 'http://x', protobuf_message: y}",
            "invalid protobuf_message value: unknown type for remote write protobuf message y, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request",
        ),
        ("{url: 'ftp://x'}", "unsupported protocol scheme \"ftp\""),
        (
            "{url: 'http://x', failed_request_logging: true}",
            "not supported yet: failed_request_logging",
        ),
        ("null", "empty or null remote write config section"),
        (
            "{url: 'http://x', write_relabel_configs: [null]}",
            "empty or null relabeling rule in remote write config",
        ),
    ] {
        let error = parse(&format!("remote_write: [{receiver}]")).unwrap_err();
        assert!(error.to_string().ends_with(message), "{error}");
    }
    let twice = "remote_write: [{url: 'http://x', name: a}, {url: 'http://y', name: a}]";
    let error = parse(twice).unwrap_err().to_string();
    assert!(
        error.ends_with("found multiple remote write configs with job name \"a\""),
        "{error}"
    );
}

#[test]
fn sections_that_nothing_acts_on_are_noted() {
    let config = parse(
        "rule_files: [a.yml, 'r/*.yml']
alerting: {alertmanagers: [{static_configs: [{targets: [a:1]}]}]}
tracing: {endpoint: x}
storage: {tsdb: {out_of_order_time_window: 1h, retention: {time: 30d}}, exemplars: {max_exemplars: 5}}
global: {query_log_file: q.log, rule_query_offset: 5s}
",
    )
    .unwrap();
    assert_eq!(
        config.notes,
        [
            "rule_files: rules are not evaluated yet",
            "alerting: no alerts are sent yet",
            "tracing: traces are not sent yet",
            "storage.tsdb.retention: nothing is deleted by age or size yet",
            "global.query_log_file: queries are not logged yet",
        ]
    );
    assert!(
        config
            .to_yaml()
            .contains("rule_files:\n- a.yml\n- r/*.yml\n")
    );
    for (text, message) in [
        (
            "rule_files: ['a*/b.yml']",
            "invalid rule file path \"a*/b.yml\"",
        ),
        (
            "scrape_config_files: ['a*/b']",
            "invalid scrape config file path \"a*/b\"",
        ),
        (
            "alerting: {x: 1}",
            "field x not found in type config.AlertingConfig",
        ),
        (
            "storage: {tsdb: {x: 1}}",
            "field x not found in type config.TSDBConfig",
        ),
    ] {
        assert!(
            parse(text).unwrap_err().to_string().ends_with(message),
            "{text}"
        );
    }
}

#[test]
fn further_jobs_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("more")).unwrap();
    write(
        "prometheus.yml",
        "global: {scrape_interval: 7s}\nscrape_config_files: ['more/*.yml']\nscrape_configs: [{job_name: a}]\n",
    );
    write(
        "more/b.yml",
        "scrape_configs:\n- job_name: b\n  basic_auth: {username: u, password_file: p}\n",
    );
    write("more/c.yml", "scrape_configs: [{job_name: c}]\n");
    write("more/empty.yml", "");
    let load = || Config::load(&folder.path().join("prometheus.yml"));
    let config = load().unwrap();
    let names: Vec<_> = config
        .scrape_configs
        .iter()
        .map(|job| job.job_name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    let b = &config.scrape_configs[1];
    assert_eq!(b.scrape_interval, Duration::from_secs(7));
    let password = b.http.basic_auth.clone().unwrap().password;
    assert_eq!(password, Some(Source::File(folder.path().join("more/p"))));
    for (text, message) in [
        (
            "scrape_configs: [{job_name: a}]",
            "found multiple scrape configs with job name \"a\"",
        ),
        (
            "global: {}",
            "field global not found in type config.ScrapeConfigs",
        ),
    ] {
        write("more/c.yml", text);
        let error = load().unwrap_err().to_string();
        assert!(
            error.contains("c.yml") && error.ends_with(message),
            "{error}"
        );
    }
}

#[test]
fn native_histograms_are_asked_for_first_where_they_are_wanted() {
    let text = "global: {scrape_native_histograms: true, always_scrape_classic_histograms: true, scrape_failure_log_file: fails.log}
scrape_configs:
- job_name: a
- job_name: b
  scrape_native_histograms: false
  convert_classic_histograms_to_nhcb: true
  native_histogram_bucket_limit: 160
  native_histogram_min_bucket_factor: 1.1
  scrape_failure_log_file: /var/b.log
- job_name: c
  scrape_protocols: [PrometheusText0.0.4]
";
    let config = parse(text).unwrap();
    let [a, b, c] = &config.scrape_configs[..] else {
        unreachable!("three jobs");
    };
    assert_eq!(a.scrape_protocols[0], ScrapeProtocol::PrometheusProto);
    assert_eq!(a.scrape_protocols.len(), 5);
    assert_eq!(b.scrape_protocols, ScrapeProtocol::DEFAULT);
    assert_eq!(c.scrape_protocols, [ScrapeProtocol::PrometheusText0_0_4]);
    assert!(a.histograms.native && a.histograms.always_classic && !a.histograms.convert_classic);
    assert!(!b.histograms.native && b.histograms.convert_classic);
    assert_eq!(
        (b.histograms.bucket_limit, b.histograms.schema_max()),
        (160, 2)
    );
    let log = |job: &ScrapeConfig| job.scrape_failure_log_file.clone().unwrap();
    assert_eq!(log(a), Path::new("/etc/varve/fails.log"));
    assert_eq!(log(b), Path::new("/var/b.log"));
    let shown = config.to_yaml();
    for line in [
        "  scrape_native_histograms: true\n",
        "  always_scrape_classic_histograms: true\n",
        "  convert_classic_histograms_to_nhcb: true\n",
        "  native_histogram_bucket_limit: 160\n",
        "  native_histogram_min_bucket_factor: 1.1\n",
        "  scrape_failure_log_file: /var/b.log\n",
    ] {
        assert!(shown.contains(line), "{line}{shown}");
    }
    assert_eq!(
        ScrapeProtocol::accept_header(&a.scrape_protocols[..2], "allow-utf-8"),
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
         application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.4"
    );
}

#[test]
fn sections_that_nothing_acts_on_are_checked_all_the_same() {
    let server = "url: 'http://u:secret@x/read?token=a', remote_timeout: 5s, chunked_read_limit: 9, headers: {a: b}, read_recent: true, required_matchers: {a: b}, filter_external_labels: false, basic_auth: {username: x}";
    let config = parse(&format!("remote_read: [{{{server}}}]")).unwrap();
    assert_eq!(config.notes.len(), 1);
    assert!(
        config.notes[0].starts_with("remote_read: http://"),
        "{:?}",
        config.notes
    );
    assert!(!config.notes[0].contains("secret"), "{:?}", config.notes);
    for (text, message) in [
        (
            "remote_read: [null]",
            "empty or null remote read config section",
        ),
        (
            "remote_read: [{read_recent: true}]",
            "url for remote_read is empty",
        ),
        (
            "remote_read: [{url: 'http://x', name: a}, {url: 'http://y', name: a}]",
            "found multiple remote read configs with job name \"a\"",
        ),
        (
            "remote_read: [{url: 'http://x', headers: {Host: a}}]",
            "Host is a reserved header. It must not be changed",
        ),
        (
            "tracing: {sampling_fraction: 1}",
            "tracing endpoint must be set",
        ),
        (
            "tracing: {endpoint: x, compression: foo}",
            "invalid compression type foo provided, valid options: gzip",
        ),
        (
            "tracing: {endpoint: x, client_type: foo}",
            "expected tracing client type to be to be http or grpc, but got foo",
        ),
        (
            "tracing: {endpoint: x, headers: {X-Prometheus-Remote-Write-Version: a}}",
            "X-Prometheus-Remote-Write-Version is a reserved header. It must not be changed",
        ),
        (
            "tracing: {endpoint: x, headers: {authorization: a}}",
            "authorization header configuration is not yet supported",
        ),
        (
            "storage: {tsdb: {chunk_encoding: {floats: XOR}}}",
            "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted entirely, got \"XOR\"",
        ),
        (
            "storage: {tsdb: {retention: {percentage: 101}}}",
            "'storage.tsdb.retention.percentage' must be in the range [0, 100], got 101",
        ),
        (
            "storage: {tsdb: {retention: {size: -1GB}}}",
            "'storage.tsdb.retention.size' must be greater than or equal to 0, got -1GB",
        ),
        (
            "alerting: {alertmanagers: [{api_version: v1}]}",
            "expected Alertmanager api version to be one of [v2] but got v1",
        ),
        (
            "alerting: {alertmanagers: [{sigv4: {region: a}, basic_auth: {username: b}}]}",
            "at most one of basic_auth, authorization, oauth2, & sigv4 must be configured",
        ),
        (
            "alerting: {alertmanagers: [{static_configs: [{targets: ['http://a/']}]}]}",
            "\"http://a/\" is not a valid hostname",
        ),
        (
            "alerting: {alert_relabel_configs: [null]}",
            "empty or null alert relabeling rule",
        ),
        (
            "alerting: {alertmanagers: [{timeout: 10}]}",
            "not a valid duration string: \"10\"",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.message(), message, "{text}");
    }
}
