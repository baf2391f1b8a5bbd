//! Scraping end to end: a real HTTP server, real loops, a store in memory.

#![allow(clippy::unwrap_used, clippy::panic)]

mod discovery;
mod fixture;
mod formats;

use std::sync::atomic::Ordering;
use std::time::Duration;

use self::fixture::{Exposition, Fixture, REFUSED, gzip};
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_stores_samples_with_labels_and_a_report() {
    let fixture = Fixture::start().await;
    fixture
        .server
        .say("# HELP a Some help.\n# TYPE a counter\na{x=\"1\"} 5\nb 7\n");
    fixture
        .apply("params: {m: [n]}, metrics_path: /custom")
        .await;
    fixture.wait("up", |value| value == 1.0).await;
    let instance = fixture.server.address.clone();
    for (series, value) in [
        (
            format!("{{__name__=\"a\", instance=\"{instance}\", job=\"j\", x=\"1\"}}"),
            5.0,
        ),
        (
            format!("{{__name__=\"b\", instance=\"{instance}\", job=\"j\"}}"),
            7.0,
        ),
        (
            format!("{{__name__=\"scrape_samples_scraped\", instance=\"{instance}\", job=\"j\"}}"),
            2.0,
        ),
        (
            format!(
                "{{__name__=\"scrape_samples_post_metric_relabeling\", instance=\"{instance}\", job=\"j\"}}"
            ),
            2.0,
        ),
        (
            format!("{{__name__=\"scrape_series_added\", instance=\"{instance}\", job=\"j\"}}"),
            2.0,
        ),
    ] {
        assert_eq!(fixture.sink.first(&series), Some(value), "{series}");
    }
    let request = fixture.server.requests().remove(0);
    assert_eq!(request.path, "/custom?m=n");
    for (name, value) in [
        ("accept-encoding", "gzip"),
        ("x-prometheus-scrape-timeout-seconds", "0.1"),
        (
            "accept",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
    assert!(request.header("user-agent").starts_with("Varve/"));
    let shown = fixture.manager.targets();
    let target = &shown.active[0];
    assert_eq!(target.health, TargetHealth::Up);
    assert_eq!(target.last_error, "");
    assert_eq!(target.scrape_url, format!("http://{instance}/custom?m=n"));
    assert!(
        target.global_url.starts_with("http://testhost:"),
        "{}",
        target.global_url
    );
    assert_eq!(
        (
            target.scrape_interval.as_str(),
            target.scrape_timeout.as_str()
        ),
        ("100ms", "100ms")
    );
    assert_eq!(shown.dropped_counts["j"], 0);
    let metadata = fixture.manager.metadata();
    assert_eq!(metadata[0].metadata[0].help, "Some help.");
    assert_eq!(fixture.sink.metadata()[0].family, "a");
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_say_why_and_end_the_series() {
    let fixture = Fixture::start().await;
    fixture.server.say("a 1\n");
    fixture.apply("scrape_timeout: 50ms").await;
    for (exposition, error) in [
        (
            Exposition::text("b 1\na{x=} 1\n"),
            "line 2: expected label value, got \"}\" (\"INVALID\") while parsing: \"a{x=}\"",
        ),
        (
            Exposition {
                status: 503,
                ..Exposition::text("a 1\n")
            },
            "server returned HTTP status 503 Service Unavailable",
        ),
        (
            Exposition {
                content_type: "text/html",
                ..Exposition::text("a 1\n")
            },
            "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target",
        ),
        (
            Exposition {
                gzip: true,
                ..Exposition::text("not gzip")
            },
            "cannot decompress the response",
        ),
        (
            Exposition {
                delay: Duration::from_millis(300),
                ..Exposition::text("a 1\n")
            },
            "context deadline exceeded",
        ),
    ] {
        fixture.server.say("a 1\n");
        fixture.wait("a", |value| value == 1.0).await;
        fixture.sink.clear();
        fixture.server.answer(exposition);
        fixture.wait("up", |value| value == 0.0).await;
        assert!(
            fixture.sink.first_of("a").is_some_and(f64::is_nan),
            "{error}"
        );
        let shown = fixture.manager.targets().active.remove(0);
        assert!(
            shown.last_error.contains(error),
            "{} instead of {error}",
            shown.last_error
        );
        assert_eq!(shown.health, TargetHealth::Down);
    }
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_listens() {
    let fixture = Fixture::start().await;
    let address = fixture.server.address.clone();
    fixture.server.close().await;
    fixture.apply("").await;
    fixture.wait("up", |value| value == 0.0).await;
    let shown = fixture.manager.targets().active.remove(0);
    assert!(
        shown
            .last_error
            .starts_with(&format!("Get \"http://{address}/metrics\": ")),
        "{}",
        shown.last_error
    );
    assert!(shown.last_error.contains("refused"), "{}", shown.last_error);
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_bodies_are_read_and_bombs_refused() {
    let fixture = Fixture::start().await;
    let body = "a 1\n".repeat(3) + "b 2\n";
    fixture.server.answer(Exposition {
        body: gzip(body.as_bytes()),
        gzip: true,
        ..Exposition::text("")
    });
    fixture.apply("body_size_limit: 1MB").await;
    fixture.wait("b", |value| value == 2.0).await;
    // A thousand times as large as what comes over the wire.
    let bomb = gzip("# comment\n".repeat(10 << 20).as_bytes());
    assert!(bomb.len() < 1 << 20);
    fixture.server.answer(Exposition {
        body: bomb,
        gzip: true,
        ..Exposition::text("")
    });
    fixture.wait("up", |value| value == 0.0).await;
    let shown = fixture.manager.targets().active.remove(0);
    assert_eq!(shown.last_error, "body size limit exceeded");
    assert!(
        fixture
            .manager
            .metrics()
            .body_size_limit_exceeded
            .load(Ordering::Relaxed)
            > 0
    );
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_sent_and_files_read_anew() {
    let fixture = Fixture::start().await;
    let secret = fixture.folder.path().join("secret");
    std::fs::write(&secret, "first\n").unwrap();
    fixture.server.say("a 1\n");
    fixture
        .apply("basic_auth: {username: user, password_file: secret}")
        .await;
    fixture.wait("up", |value| value == 1.0).await;
    // base64 of user:first and user:second.
    assert_eq!(
        fixture.server.last_header("authorization"),
        "Basic dXNlcjpmaXJzdA=="
    );
    std::fs::write(&secret, "second\n").unwrap();
    fixture
        .server
        .wait_header("authorization", "Basic dXNlcjpzZWNvbmQ=")
        .await;
    fixture
        .apply("authorization: {type: Token, credentials: x}")
        .await;
    fixture.server.wait_header("authorization", "Token x").await;
    fixture.apply("bearer_token_file: secret").await;
    fixture
        .server
        .wait_header("authorization", "Bearer second")
        .await;
    std::fs::remove_file(&secret).unwrap();
    fixture.sink.clear();
    fixture.wait("up", |value| value == 0.0).await;
    let shown = fixture.manager.targets().active.remove(0);
    assert!(
        shown.last_error.contains("cannot read") && shown.last_error.contains("secret"),
        "{}",
        shown.last_error
    );
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_the_configuration_are_sent() {
    let fixture = Fixture::start().await;
    let file = fixture.folder.path().join("value");
    std::fs::write(&file, " from a file \n").unwrap();
    fixture
        .apply("http_headers: {X-A: {values: [v], secrets: [s], files: [value]}, Accept: {values: [more]}}")
        .await;
    fixture.wait("up", |value| value == 1.0).await;
    let request = fixture.server.requests().remove(0);
    assert_eq!(request.all("x-a"), ["v", "s", "from a file"]);
    assert_eq!(request.all("accept").last().unwrap(), &"more");
    assert!(
        fixture
            .config("http_headers: {X: {secrets: [hush]}}")
            .to_yaml()
            .contains("<secret>")
    );
    fixture
        .apply("http_headers: {'no name': {values: [v]}}")
        .await;
    fixture.wait("up", |value| value == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_closed_meanwhile_costs_no_scrape() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let fixture = Fixture::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Each connection answers one request, and ends when the next one has come.
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let _ = connection.read(&mut request).await;
            let answer =
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\na 1\n";
            let _ = connection.write_all(answer.as_bytes()).await;
            let _ = connection.read(&mut request).await;
        }
    });
    fixture
        .apply_text(&format!(
            "global: {{scrape_interval: 100ms}}\nscrape_configs: [{{job_name: j, static_configs: [{{targets: ['{address}']}}]}}]"
        ))
        .await;
    while fixture.sink.count(|name, _| name == "up") < 6 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        fixture
            .sink
            .count(|name, value| name == "up" && value == 0.0),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_a_format_still_has_a_size() {
    let fixture = Fixture::start().await;
    fixture.server.answer(Exposition {
        content_type: "text/html",
        ..Exposition::text("a 1\n")
    });
    fixture.apply("extra_scrape_metrics: true").await;
    fixture.wait("up", |value| value == 0.0).await;
    fixture
        .wait("scrape_body_size_bytes", |value| value == 4.0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_are_followed_unless_told_otherwise() {
    let fixture = Fixture::start().await;
    fixture.server.say("a 1\n");
    fixture.apply("metrics_path: /redirect").await;
    fixture.wait("up", |value| value == 1.0).await;
    fixture.sink.clear();
    fixture
        .apply("metrics_path: /redirect, follow_redirects: false")
        .await;
    fixture.wait("up", |value| value == 0.0).await;
    let shown = fixture.manager.targets().active.remove(0);
    assert!(
        shown.last_error.contains("HTTP status 307"),
        "{}",
        shown.last_error
    );
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_leaves_alone_what_stays_the_same() {
    let fixture = Fixture::start().await;
    fixture.server.say("a 1\nb 1\n");
    fixture.apply("").await;
    fixture.wait("up", |value| value == 1.0).await;
    // Another credential restarts the loop, but what is known about its series stays.
    let new_series = |fixture: &Fixture| {
        fixture
            .sink
            .count(|name, value| name == "scrape_series_added" && value > 0.0)
    };
    fixture.apply("bearer_token: x").await;
    fixture
        .server
        .wait_header("authorization", "Bearer x")
        .await;
    fixture.sink.clear();
    fixture.wait("up", |value| value == 1.0).await;
    assert_eq!(new_series(&fixture), 0);
    // Another timeout makes it a target of its own; its series go on without a gap.
    fixture.apply("bearer_token: x, scrape_timeout: 90ms").await;
    fixture
        .wait("scrape_series_added", |value| value > 0.0)
        .await;
    // More than the two intervals after which the old target would end its series.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(new_series(&fixture), 1);
    assert_eq!(fixture.sink.count(|_, value| value.is_nan()), 0);
    // A rule that drops `a` makes its series end, and only its.
    fixture
        .apply("metric_relabel_configs: [{source_labels: [__name__], regex: a, action: drop}]")
        .await;
    fixture.sink.clear();
    fixture.wait("a", f64::is_nan).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        fixture
            .sink
            .count(|name, value| name != "a" && value.is_nan()),
        0
    );
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_and_jobs_that_go_end_their_series() {
    let fixture = Fixture::start().await;
    fixture.server.say("a 1\n");
    fixture.apply("").await;
    fixture.wait("up", |value| value == 1.0).await;
    fixture.apply("relabel_configs: [{action: drop}]").await;
    assert_eq!(fixture.manager.targets().active.len(), 0);
    assert_eq!(fixture.manager.targets().dropped_counts["j"], 1);
    fixture.wait("a", f64::is_nan).await;
    fixture.wait("up", f64::is_nan).await;
    fixture.sink.clear();
    fixture.apply("").await;
    fixture.wait("up", |value| value == 1.0).await;
    fixture.sink.clear();
    fixture.apply_text("scrape_configs: []").await;
    fixture.wait("up", f64::is_nan).await;
    assert!(fixture.manager.targets().active.is_empty());
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_leaves_no_stale_markers_and_ends_at_once() {
    let fixture = Fixture::start().await;
    fixture.server.say("a 1\n");
    fixture.apply("").await;
    fixture.wait("up", |value| value == 1.0).await;
    let done = tokio::time::timeout(Duration::from_secs(5), fixture.manager.shutdown());
    done.await.unwrap();
    let before = fixture.sink.count(|_, _| true);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(fixture.sink.count(|_, _| true), before);
    assert_eq!(fixture.sink.count(|_, value| value.is_nan()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_store_delays_scrapes_instead_of_piling_them_up() {
    let fixture = Fixture::start().await;
    fixture.server.say("a 1\n");
    fixture.sink.block();
    fixture.apply("").await;
    fixture.server.wait_header("accept-encoding", "gzip").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // One scrape waits with its samples; no other was begun.
    assert_eq!(fixture.server.requests().len(), 1);
    assert_eq!(fixture.sink.count(|_, _| true), 0);
    fixture.sink.unblock();
    fixture.wait("up", |value| value == 1.0).await;
    assert!(
        fixture
            .manager
            .metrics()
            .append_wait_ms
            .load(Ordering::Relaxed)
            >= 300
    );
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_refuses_is_reported_as_a_failed_scrape() {
    let fixture = Fixture::start().await;
    fixture
        .server
        .say(&format!("# HELP {REFUSED} x\n{REFUSED} 1\n"));
    fixture.apply("").await;
    fixture.wait("up", |value| value == 0.0).await;
    let shown = fixture.manager.targets().active.remove(0);
    assert_eq!(shown.last_error, "cannot store samples: too much");
    fixture.server.say("a 1\n");
    fixture.wait("a", |value| value == 1.0).await;
    // The metadata of the refused append was not lost with it.
    assert!(
        fixture
            .sink
            .metadata()
            .iter()
            .any(|entry| entry.family == REFUSED)
    );
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extra_series_describe_the_scrape() {
    let fixture = Fixture::start().await;
    fixture.server.say("a 1\n");
    fixture
        .apply("extra_scrape_metrics: true, sample_limit: 7")
        .await;
    fixture
        .wait("scrape_timeout_seconds", |value| value == 0.1)
        .await;
    assert_eq!(fixture.sink.first_of("scrape_sample_limit"), Some(7.0));
    assert_eq!(fixture.sink.first_of("scrape_body_size_bytes"), Some(4.0));
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_targets_fail_all_of_them() {
    let fixture = Fixture::start().await;
    fixture.server.say("a 1\n");
    let address = &fixture.server.address;
    fixture
        .apply_text(&format!(
            "global: {{scrape_interval: 100ms}}\nscrape_configs: [{{job_name: j, target_limit: 1, static_configs: [{{targets: ['{address}', 'localhost:1']}}]}}]"
        ))
        .await;
    fixture.wait("up", |value| value == 0.0).await;
    let shown = fixture.manager.targets().active.remove(0);
    assert_eq!(
        shown.last_error,
        "target_limit exceeded (number of targets: 2, limit: 1)"
    );
    assert_eq!(fixture.sink.first_of("a"), None);
    assert!(fixture.server.requests().is_empty());
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_come_and_go_with_files() {
    let fixture = Fixture::start().await;
    fixture.server.say("a 1\n");
    let file = fixture.folder.path().join("targets.yml");
    fixture
        .apply_text("global: {scrape_interval: 100ms}\nscrape_configs: [{job_name: j, file_sd_configs: [{files: ['*.yml']}]}]")
        .await;
    assert!(fixture.manager.targets().active.is_empty());
    let group = format!(
        "- targets: ['{}']\n  labels: {{zone: z}}\n",
        fixture.server.address
    );
    std::fs::write(&file, group).unwrap();
    fixture.wait("up", |value| value == 1.0).await;
    let shown = fixture.manager.targets().active.remove(0);
    assert_eq!(shown.labels.get("zone"), Some("z"));
    assert_eq!(
        shown.discovered_labels.get("__meta_filepath"),
        Some(file.to_str().unwrap())
    );
    std::fs::remove_file(&file).unwrap();
    fixture.wait("a", f64::is_nan).await;
    assert!(fixture.manager.targets().active.is_empty());
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_with_unreadable_certificates_changes_nothing() {
    let fixture = Fixture::start().await;
    fixture.server.say("a 1\n");
    fixture.apply("").await;
    let config = fixture.config("tls_config: {ca_file: missing.pem}");
    let error = fixture
        .manager
        .apply(&config)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("error creating HTTP client for job \"j\"") && error.contains("missing.pem"),
        "{error}"
    );
    assert_eq!(fixture.manager.targets().active.len(), 1);
    fixture.manager.shutdown().await;
}
