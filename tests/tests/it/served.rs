//! What other servers take from Varve: a real Prometheus reads its samples, or federates the newest of them.

use std::time::{Duration, Instant};

use varve_storage::wal::SampleRow;
use varve_tests::http_api::{Answer, ApiClient, Grid};
use varve_tests::prometheus::Prometheus;
use varve_tests::remote_write;
use varve_tests::samples::{self, START_MS};
use varve_tests::server::{ServerSetup, now_ms};

use crate::compare::{FEATURES, VERSION_3, assert_none, differences, queries};

/// How long Prometheus may take to scrape what it is to scrape.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that is stored.
const EVERYTHING: &str = r#"{__name__=~".+"}"#;

/// The label that Varve adds to what leaves it.
const WITH_EXTERNAL_LABEL: &str = "global:
  scrape_interval: 15s
  external_labels: {origin: varve}
";

/// Has no samples of its own. It has the same external label as Varve, so that it does not see it.
fn reader_config(url: &str) -> String {
    format!(
        "{WITH_EXTERNAL_LABEL}remote_read:
  - url: {url}/api/v1/read
    read_recent: true
"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus: .ci/run end_to_end"]
async fn prometheus_answers_from_what_it_reads_as_varve_does() {
    let folder = tempfile::tempdir().unwrap();
    let setup = ServerSetup::new(folder.path(), WITH_EXTERNAL_LABEL).unwrap();
    let setup = setup.arguments(&[
        "--compactor.interval=1d",
        "--push.flush-interval=10ms",
        &format!("--enable-feature={FEATURES}"),
    ]);
    let config = reader_config(&setup.base_url());
    let features = format!("{FEATURES},native-histograms");
    let reader = Prometheus::start_with(folder.path(), &config, &features);
    let Some(reader) = reader.await.unwrap() else {
        return;
    };
    let mut rows = samples::invented(17, 400);
    if reader.major_version >= 3 {
        rows.extend(samples::native(17, 400));
    }
    let mut queries = queries(
        include_str!("../../queries/invented.txt"),
        VERSION_3,
        &reader,
    );
    // Prometheus cannot select again while it reads.
    queries.retain(|query| !query.text.contains("info("));
    let grid = |from: i64, minutes: i64, step_ms| Grid {
        start_ms: START_MS + from * 60_000 + 7_000,
        end_ms: START_MS + (from + minutes) * 60_000 + 7_000,
        step_ms,
    };
    let grids = [grid(30, 60, 60_000), grid(80, 25, 30_000)];
    let client = setup.client();
    for stage in ["in the WAL", "in the table"] {
        let _varve = setup.start().await.unwrap();
        if stage == "in the WAL" {
            remote_write::write(&setup.base_url(), &rows).await.unwrap();
        }
        let (found, telling) = differences(&client, &reader.client, &queries, &grids, false).await;
        assert_none(&found, stage);
        assert!(telling > queries.len(), "{stage}: most answers were empty");
        let end_ms = START_MS + 101 * 60_000 + 7_000;
        let query = format!("{EVERYTHING}[2h]");
        let ours = client.instant(&query, end_ms).await.unwrap().sorted();
        let theirs = reader.client.instant(&query, end_ms).await.unwrap();
        assert_eq!(ours.difference(&theirs.sorted(), 0.0), None, "{stage}");
        assert!(ours.samples() > 20_000, "{}", ours.samples());
        if stage == "in the WAL" {
            drop(_varve);
            setup.run(&["compact", "--storage.url=./data"]).unwrap();
        }
    }
}

/// Samples whose newest are some seconds old, also of a series without an instance.
fn recent(rows: Vec<SampleRow>) -> Vec<SampleRow> {
    let plain = samples::series(&[("__name__", "plain"), ("job", "shop")]);
    let mut rows = rows;
    rows.push(samples::float(&plain, START_MS, 1e6));
    let newest_ms = rows.iter().map(|row| row.timestamp_ms).max().unwrap();
    let shift_ms = now_ms() - 5_000 - newest_ms;
    rows.iter_mut().for_each(|row| row.timestamp_ms += shift_ms);
    rows
}

/// The body and the type of a federation.
async fn federated(client: &ApiClient, selector: &str, accept: &str) -> (String, Vec<u8>) {
    let url = format!("{}/federate", client.base_url());
    let request = reqwest::Client::new().get(url);
    let request = request.query(&[("match[]", selector)]);
    let answer = request.header("Accept", accept).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    (kind, answer.bytes().await.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus: .ci/run end_to_end"]
async fn federation_is_that_of_prometheus_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Prometheus::start_with(folder.path(), WITH_EXTERNAL_LABEL, "native-histograms");
    let Some(peer) = peer.await.unwrap() else {
        return;
    };
    let setup = ServerSetup::new(folder.path(), WITH_EXTERNAL_LABEL).unwrap();
    let setup = setup.arguments(&["--push.flush-interval=10ms"]);
    let _varve = setup.start().await.unwrap();
    let mut rows = samples::invented(23, 10);
    if peer.major_version >= 3 {
        rows.extend(samples::native(23, 10));
    }
    let rows = recent(rows);
    for url in [peer.client.base_url(), &setup.base_url()] {
        remote_write::write(url, &rows).await.unwrap();
    }
    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    // Those with custom buckets are left out by some versions.
    let all = r#"{__name__=~".+",__name__!~"custom.*"}"#;
    // Prometheus gives native histograms the buckets of their predecessors, too.
    let floats = r#"{__name__=~".+",__name__!~"custom.*|native.*|mixed.*"}"#;
    let mut cases = vec![(all, "text/plain".to_owned())];
    if peer.major_version >= 3 {
        cases.extend([
            (
                all,
                "text/plain;version=0.0.4;escaping=allow-utf-8".to_owned(),
            ),
            (all, "application/openmetrics-text;version=1.0.0".to_owned()),
            (floats, protobuf.to_owned()),
            (
                floats,
                format!("text/plain;q=0.3,{protobuf};escaping=dots;q=0.4"),
            ),
        ]);
    }
    for (selector, accept) in cases {
        let (our_kind, ours) = federated(&setup.client(), selector, &accept).await;
        let (their_kind, theirs) = federated(&peer.client, selector, &accept).await;
        assert!(ours.len() > 1_000, "{accept}: {}", ours.len());
        let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        assert_eq!(text(&ours), text(&theirs), "{accept}");
        assert_eq!(ours, theirs, "{accept}");
        if peer.major_version >= 3 {
            assert_eq!(our_kind, their_kind, "{accept}");
        }
    }
}

/// Scrapes the newest samples of another server.
fn federating_config(target: &str, settings: &str) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: federation
    honor_labels: true
    metrics_path: /federate
    params: {{'match[]': ['{EVERYTHING}']}}
    {settings}
    static_configs:
      - targets: ['{target}']
"
    )
}

/// The instant vector of what was federated, without the label that federation adds.
async fn vector(client: &ApiClient, time_ms: i64) -> Answer {
    let query = r#"{__name__=~".+",job!="federation"}"#;
    let mut answer = client.instant(query, time_ms).await.unwrap();
    for (labels, _) in &mut answer.series {
        *labels = labels.replace(r#","origin":"varve""#, "");
        *labels = labels.replace(r#",origin="varve""#, "");
    }
    answer.sorted()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus: .ci/run end_to_end"]
async fn prometheus_federates_the_newest_samples() {
    let folder = tempfile::tempdir().unwrap();
    let setup = ServerSetup::new(folder.path(), WITH_EXTERNAL_LABEL).unwrap();
    let setup = setup.arguments(&["--push.flush-interval=10ms"]);
    let _varve = setup.start().await.unwrap();
    let target = format!("127.0.0.1:{}", setup.port);
    let settings = match std::env::var_os("VARVE_TEST_PROMETHEUS") {
        Some(_) => "scrape_protocols: [PrometheusProto, PrometheusText0.0.4]",
        None => "",
    };
    let config = federating_config(&target, settings);
    let mut rows = samples::invented(29, 10);
    if !settings.is_empty() {
        rows.extend(samples::native(29, 10));
        // Federation makes classic histograms of those with custom buckets.
        rows.retain(|row| !row.series.labels.metric_name().starts_with("custom"));
    }
    let rows = recent(rows);
    remote_write::write(&setup.base_url(), &rows).await.unwrap();
    let peer = Prometheus::start_with(folder.path(), &config, "native-histograms");
    let Some(peer) = peer.await.unwrap() else {
        return;
    };
    let started = Instant::now();
    loop {
        let time_ms = now_ms();
        let ours = vector(&setup.client(), time_ms).await;
        let theirs = vector(&peer.client, time_ms).await;
        match ours.difference(&theirs, 0.0) {
            None => {
                assert!(ours.samples() > 40, "{}", ours.samples());
                break;
            }
            Some(difference) => assert!(started.elapsed() < PATIENCE, "{difference}"),
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let url = format!("{}/federate", setup.base_url());
    assert_eq!(reqwest::get(url).await.unwrap().text().await.unwrap(), "");
}
