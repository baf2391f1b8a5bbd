//! What others push, by their own clients: every sample arrives, once, also where Varve is killed meanwhile.

use std::time::{Duration, Instant};

use varve_tests::exporter::{self, Exporter};
use varve_tests::http_api::{Answer, ApiClient};
use varve_tests::process;
use varve_tests::prometheus::Prometheus;
use varve_tests::random::Random;
use varve_tests::remote_write;
use varve_tests::samples::{self, START_MS};
use varve_tests::server::{ServerSetup, now_ms};

use crate::compare::NOTHING_TO_SCRAPE;

/// How long Prometheus may take to send what it has: it waits longer after each refusal.
const PATIENCE: Duration = Duration::from_secs(90);

/// A Prometheus that scrapes an exporter and hands on what it scrapes.
fn sender_config(target: &str, url: &str, message: &str) -> String {
    format!(
        "global:
  scrape_interval: 200ms
  scrape_timeout: 200ms
  external_labels: {{origin: sender}}
scrape_configs:
  - job_name: proof
    static_configs:
      - targets: ['{target}']
remote_write:
  - url: {url}/api/v1/write
    {message}
    queue_config:
      min_backoff: 30ms
      max_backoff: 300ms
      batch_send_deadline: 200ms
"
    )
}

/// Raw samples of everything that was scraped, up to a time. The sender adds its external label to what it sends only.
async fn raw(client: &ApiClient, labels: &str, end_ms: i64) -> Answer {
    let query = format!("{{job=\"proof\"{labels}}}[10m]");
    let mut answer = client.instant(&query, end_ms).await.unwrap().sorted();
    for (labels, _) in &mut answer.series {
        *labels = labels.replace(r#",origin="sender""#, "");
    }
    answer.sorted()
}

/// Kills Varve under a Prometheus that writes to it.
async fn everything_arrives_once(message: &str, least_version: u32) {
    let folder = tempfile::tempdir().unwrap();
    let exporter = Exporter::start().await.unwrap();
    let setup = ServerSetup::new(folder.path(), NOTHING_TO_SCRAPE).unwrap();
    let setup = setup.arguments(&["--push.flush-interval=50ms", "--compactor.interval=1s"]);
    let config = sender_config(&exporter.target(), &setup.base_url(), message);
    let mut varve = setup.start().await.unwrap();
    let peer = Prometheus::start(folder.path(), &config).await.unwrap();
    let Some(peer) = peer.filter(|peer| peer.major_version >= least_version) else {
        return;
    };
    let mut random = Random::printed("everything_arrives_once");
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(500 + random.below(2_000))).await;
        varve.kill().unwrap();
        tokio::time::sleep(Duration::from_millis(random.below(500))).await;
        varve = setup.start().await.unwrap();
    }
    let end_ms = now_ms();
    let theirs = raw(&peer.client, "", end_ms).await;
    assert!(theirs.samples() > 50 * exporter::SERIES, "little was sent");
    let client = setup.client();
    let started = Instant::now();
    loop {
        let ours = raw(&client, r#",origin="sender""#, end_ms).await;
        match ours.difference(&theirs, 0.0) {
            None => break,
            Some(difference) => assert!(started.elapsed() < PATIENCE, "{difference}"),
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    eprintln!("{} samples arrived", theirs.samples());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus and a minute: .ci/run end_to_end"]
async fn what_prometheus_writes_arrives_once_though_varve_is_killed() {
    everything_arrives_once("", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus 3 and a minute: .ci/run end_to_end"]
async fn what_prometheus_writes_in_version_2_arrives_once_though_varve_is_killed() {
    let message = "protobuf_message: io.prometheus.write.v2.Request";
    // An older one does not know the setting and would not start.
    if std::env::var_os("VARVE_TEST_PROMETHEUS").is_none() {
        eprintln!("SKIPPED: VARVE_TEST_PROMETHEUS is not set to a Prometheus 3");
        return;
    }
    everything_arrives_once(message, 3).await;
}

/// Floats and histograms written to both answer alike, bit by bit, before and after they are compacted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus: .ci/run end_to_end"]
async fn the_same_requests_give_the_same_samples() {
    let folder = tempfile::tempdir().unwrap();
    let Some(peer) = Prometheus::start_with(folder.path(), NOTHING_TO_SCRAPE, "native-histograms")
        .await
        .unwrap()
    else {
        return;
    };
    let mut rows = samples::invented(5, 240);
    if peer.major_version >= 3 {
        rows.extend(samples::native(5, 240));
    }
    let setup = ServerSetup::new(folder.path(), NOTHING_TO_SCRAPE).unwrap();
    let setup = setup.arguments(&["--compactor.interval=1d", "--push.flush-interval=10ms"]);
    let varve = setup.start().await.unwrap();
    for url in [peer.client.base_url(), &setup.base_url()] {
        remote_write::write(url, &rows).await.unwrap();
    }
    let end_ms = START_MS + 60 * 60_000;
    let query = r#"{__name__=~".+"}[2h]"#;
    let theirs = peer.client.instant(query, end_ms).await.unwrap().sorted();
    assert!(theirs.samples() > 10_000, "{}", theirs.samples());
    let ours = setup.client().instant(query, end_ms).await.unwrap();
    assert_eq!(ours.sorted().difference(&theirs, 0.0), None, "in the WAL");
    drop(varve);
    setup.run(&["compact", "--storage.url=./data"]).unwrap();
    let _varve = setup.start().await.unwrap();
    let ours = setup.client().instant(query, end_ms).await.unwrap();
    assert_eq!(ours.sorted().difference(&theirs, 0.0), None, "in the table");
}

/// OpenTelemetry's own SDK exports; its metrics are there under Prometheus's names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs OpenTelemetry's SDK for Python: .ci/run end_to_end"]
async fn metrics_of_the_opentelemetry_sdk_arrive() {
    let modules = [
        "opentelemetry.sdk.metrics",
        "opentelemetry.exporter.otlp.proto.http",
    ];
    let Some(python) = process::python(&modules) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let setup = ServerSetup::new(folder.path(), NOTHING_TO_SCRAPE).unwrap();
    let setup = setup.arguments(&["--push.flush-interval=10ms"]);
    let _varve = setup.start().await.unwrap();
    let script = folder.path().join("opentelemetry_client.py");
    std::fs::write(&script, include_str!("opentelemetry.py")).unwrap();
    let endpoint = format!("{}/api/v1/otlp/v1/metrics", setup.base_url());
    let ran = std::process::Command::new(python)
        .arg(&script)
        .arg(endpoint)
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let client = setup.client();
    let now_ms = now_ms();
    for (query, expected) in [
        (r#"orders_total{kind="a",job="shop",instance="i1"}"#, 3.0),
        (r#"queue_length{job="shop"}"#, -2.0),
        (r#"latency_seconds_count{job="shop"}"#, 3.0),
        (r#"latency_seconds_sum{job="shop"}"#, 302.0),
        (r#"latency_seconds_bucket{job="shop",le="5"}"#, 2.0),
        (
            r#"histogram_count(fine_latency_milliseconds{job="shop"})"#,
            3.0,
        ),
        (
            r#"histogram_sum(fine_latency_milliseconds{job="shop"})"#,
            302.0,
        ),
        (r#"target_info{job="shop",instance="i1"}"#, 1.0),
    ] {
        let number = client.number(query, now_ms).await.unwrap();
        assert_eq!(number, expected, "{query}");
    }
}

/// Lines of InfluxDB's protocol, and the push of a job.
#[tokio::test]
async fn lines_and_groups_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let setup = ServerSetup::new(folder.path(), NOTHING_TO_SCRAPE).unwrap();
    let setup = setup.arguments(&["--push.flush-interval=10ms"]);
    let varve = setup.start().await.unwrap();
    let http = reqwest::Client::new();
    let post = |path: &str, body: &'static str| {
        let url = format!("{}{path}", setup.base_url());
        http.post(url)
            .body(body)
            .header("content-type", "text/plain")
            .send()
    };
    let answer = post("/write?db=d", "cpu,host=a user=1.5,idle=2i\n")
        .await
        .unwrap();
    assert_eq!(answer.status(), 204);
    let body = "# TYPE backup_seconds gauge\nbackup_seconds 12\n";
    let answer = post("/metrics/job/backup/db/x", body).await.unwrap();
    assert_eq!(answer.status(), 200);
    drop(varve);
    let _varve = setup.start().await.unwrap();
    for (query, expected) in [
        (r#"cpu_user{host="a",db="d"}"#, 1.5),
        (r#"cpu_idle{host="a"}"#, 2.0),
        (r#"backup_seconds{job="backup",db="x"}"#, 12.0),
    ] {
        let number = setup.client().number(query, now_ms()).await.unwrap();
        assert_eq!(number, expected, "{query}");
    }
}
