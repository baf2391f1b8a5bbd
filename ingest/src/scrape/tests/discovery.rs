//! Targets that service discovery finds.

use std::sync::atomic::Ordering;

use super::fixture::Fixture;
use crate::discovery::tests::server::Server;

const GLOBAL: &str = "global: {scrape_interval: 100ms}\n";

/// Waits until a condition holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(30), wait).await;
    assert!(waited.is_ok(), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_come_and_go_with_what_a_discovery_finds() {
    let fixture = Fixture::start().await;
    fixture.server.say("a 1\n");
    let known = Server::start().await;
    known.say("/", "[]");
    let job = format!(
        "{GLOBAL}scrape_configs: [{{job_name: j, http_sd_configs: [{{url: 'http://{}/', refresh_interval: 50ms}}]}}]",
        known.address
    );
    fixture.apply_text(&job).await;
    let metrics = &fixture.manager.metrics().discovery;
    assert_eq!(metrics.discovered_targets()["j"], 0);
    let group = format!(
        r#"[{{"targets": ["{}"], "labels": {{"zone": "z"}}}}]"#,
        fixture.server.address
    );
    known.say("/", &group);
    fixture.wait("up", |value| value == 1.0).await;
    let shown = fixture.manager.targets().active.remove(0);
    assert_eq!(shown.labels.get("zone"), Some("z"));
    let url = format!("http://{}/", known.address);
    assert_eq!(shown.discovered_labels.get("__meta_url"), Some(&*url));
    assert_eq!(metrics.discovered_targets()["j"], 1);
    // A server that fails takes nothing away.
    known.answer("/", 503, "");
    until("a failure is counted", || {
        metrics.refresh_failures()["http"] > 0
    })
    .await;
    assert_eq!(fixture.manager.targets().active.len(), 1);
    // The same once more: nobody notices.
    fixture.apply_text(&job).await;
    assert_eq!(fixture.sink.count(|_, value| value.is_nan()), 0);
    known.say("/", "[]");
    fixture.wait("a", f64::is_nan).await;
    fixture.wait("up", f64::is_nan).await;
    assert!(fixture.manager.targets().active.is_empty());
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discoveries_survive_a_reload_and_are_shared_and_end() {
    let fixture = Fixture::start().await;
    let known = Server::start().await;
    known.say("/", r#"[{"targets": ["localhost:1"]}]"#);
    let job = |name: &str, fields: &str| {
        format!(
            "{{job_name: {name}, {fields} http_sd_configs: [{{url: 'http://{}/', refresh_interval: 1h}}]}}",
            known.address
        )
    };
    let text = format!("scrape_configs: [{}, {}]", job("a", ""), job("b", ""));
    fixture.apply_text(&text).await;
    assert_eq!(fixture.manager.targets().active.len(), 2);
    let text = format!(
        "scrape_configs: [{}]",
        job("b", "relabel_configs: [{target_label: x, replacement: y}],")
    );
    fixture.apply_text(&text).await;
    let shown = fixture.manager.targets().active;
    assert_eq!((shown.len(), shown[0].labels.get("x")), (1, Some("y")));
    assert_eq!(known.requests().len(), 1);
    fixture.apply_text("scrape_configs: []").await;
    fixture.apply_text(&text).await;
    assert_eq!(known.requests().len(), 2);
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_delays_nobody() {
    let fixture = Fixture::start().await;
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    fixture.server.say("a 1\n");
    fixture
        .apply_text(&format!(
            "{GLOBAL}scrape_configs: [{{job_name: a, http_sd_configs: [{{url: 'http://{address}/'}}]}}, \
             {{job_name: b, static_configs: [{{targets: ['{}']}}]}}]",
            fixture.server.address
        ))
        .await;
    fixture.wait("up", |value| value == 1.0).await;
    let invalid = &fixture.manager.metrics().targets_invalid;
    assert_eq!(invalid.load(Ordering::Relaxed), 0);
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relabelling_is_explained_step_by_step() {
    let fixture = Fixture::start().await;
    fixture
        .apply("relabel_configs: [{target_label: x, replacement: y}, {action: drop, source_labels: [x], regex: y}], keep_dropped_targets: 5")
        .await;
    assert_eq!(fixture.manager.scrape_pools(), ["j"]);
    let snapshot = fixture.manager.targets();
    let dropped = &snapshot.dropped[0].discovered_labels;
    for (name, value) in [
        ("__metrics_path__", "/metrics"),
        ("__scheme__", "http"),
        ("__scrape_interval__", "100ms"),
        ("__scrape_timeout__", "100ms"),
        ("job", "j"),
    ] {
        assert_eq!(dropped.get(name), Some(value), "{name}");
    }
    let steps = fixture.manager.relabel_steps("j", dropped).unwrap();
    assert_eq!(steps[0].output.get("x"), Some("y"));
    assert_eq!(
        (steps.len(), steps[0].keep, steps[1].keep),
        (2, true, false)
    );
    let error = fixture.manager.relabel_steps("k", dropped).unwrap_err();
    assert_eq!(error.to_string(), "scrape pool \"k\" not found");
    let shown = fixture.manager.scrape_pool_config("j").unwrap().to_yaml();
    assert!(shown.starts_with("job_name: j\n"), "{shown}");
    fixture.manager.shutdown().await;
}
