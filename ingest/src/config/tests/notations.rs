//! The notations of YAML 1.1 and the empty values that Prometheus takes.

use super::*;

#[test]
fn numbers_are_those_of_yaml() {
    for (text, expected) in [
        ("5", 5),
        ("+5", 5),
        ("0x10", 16),
        ("010", 8),
        ("0o10", 8),
        ("0b11", 3),
        ("1e3", 1000),
        ("1_000", 1000),
        ("1.9", 1),
        ("018", 18),
        ("18446744073709551615", u64::MAX),
    ] {
        let job = job(&format!("  sample_limit: {text}\n")).unwrap();
        assert_eq!(job.limits.samples, expected, "{text}");
    }
    for text in ["-1", "x", "'5'", "0x", "true", "1e", "inf", "[]"] {
        assert!(job(&format!("  sample_limit: {text}\n")).is_err(), "{text}");
    }
    assert!(parse("runtime: {gogc: -1}").is_ok());
}

#[test]
fn null_is_no_default() {
    let job = job("  honor_timestamps:\n  enable_compression: ~\n  follow_redirects: null\n  metrics_path:\n  params: {a: null}\n  relabel_configs: [{target_label: a, separator: , replacement: }]\n  static_configs: [{targets: [h], labels: {x: null}}]\n").unwrap();
    assert!(!job.honor_timestamps && !job.enable_compression && !job.http.follow_redirects);
    assert_eq!((job.metrics_path.as_str(), job.params["a"].len()), ("", 0));
    let rule = &job.relabel_configs[0];
    assert_eq!(
        (rule.separator.as_str(), rule.replacement.as_str()),
        ("", "")
    );
    assert_eq!(job.static_configs[0].labels["x"], "");
    for text in [
        "  relabel_configs: [{target_label: a, action: null}]\n",
        "  oauth2: {}\n",
        "  http_sd_configs: [{}]\n",
        "  relabel_configs: [{action: labelkeep, regex: a, source_labels: []}]\n",
    ] {
        assert!(super::job(text).is_err(), "{text}");
    }
    assert!(parse("remote_read: [{}]").is_err());
}

#[test]
fn empty_texts_count_as_absent() {
    for text in [
        "  fallback_scrape_protocol: ''\n",
        "  metric_name_validation_scheme: ''\n  metric_name_escaping_scheme: ''\n",
        "  bearer_token: ''\n  basic_auth: {username: '', username_file: f}\n",
        "  authorization: {credentials: '', credentials_file: f}\n",
    ] {
        assert!(job(text).is_ok(), "{text}");
    }
    assert!(job("  tls_config: {cert: '', key: k}\n").is_err());
}

#[test]
fn headers_that_a_scrape_sets_itself_are_refused() {
    let error = job("  http_headers: {user-agent: {values: [a]}}\n").unwrap_err();
    assert_eq!(
        error.message(),
        "setting header \"User-Agent\" is not allowed"
    );
    assert!(error.position().is_some());
    assert!(job("  http_headers: {X: {values: a}}\n").is_err());
    assert!(job("  http_headers: {X: {other: [a]}}\n").is_err());
    assert!(job("  http_headers: {X: null}\n").is_ok());
}

#[test]
fn discovery_files_may_be_patterns() {
    for (file, valid) in [
        ("a*b*.json", true),
        (".json", true),
        ("a.YAML", true),
        ("a.Json", false),
        ("a*/b.json", false),
    ] {
        let result = job(&format!("  file_sd_configs: [{{files: ['{file}']}}]\n"));
        assert_eq!(result.is_ok(), valid, "{file}");
    }
}

#[test]
fn binary_values_are_text_too() {
    let labels = |value: &str| {
        parse(&format!(
            "global: {{external_labels: {{a: !!binary {value}}}}}"
        ))
    };
    let config = labels("w7xiZXI=").unwrap();
    assert_eq!(config.global.external_labels.get("a"), Some("über"));
    for (value, message) in [
        ("/w==", r#"yaml: "\xff" is not valid UTF-8"#),
        ("_", "yaml: !!binary value contains invalid base64 data"),
    ] {
        assert_eq!(labels(value).unwrap_err().message(), message);
    }
}

#[test]
fn a_tag_of_ones_own_makes_a_text() {
    let rules = |name: &str| {
        job(&format!(
            "  relabel_configs: [{{source_labels: [{name} ], target_label: b}}]\n"
        ))
    };
    for text in ["!", "!a", "!<x>", "!!str"] {
        let error = rules(text).unwrap_err();
        assert_eq!(error.message(), r#""" is not a valid label name"#, "{text}");
    }
    // Nothing at all is taken, as Prometheus takes it, and so is what is shown of it.
    for nothing in ["~", "null", "!!null"] {
        rules(nothing).unwrap();
        let text = format!(
            "scrape_configs:\n- job_name: j\n  relabel_configs: [{{source_labels: [{nothing} ], target_label: b}}]\n"
        );
        let shown = parse(&text).unwrap().to_yaml();
        parse(&shown).unwrap();
    }
}
