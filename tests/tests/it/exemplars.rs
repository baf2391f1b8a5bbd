//! Exemplars of one target, scraped by Varve and by a real Prometheus: both answer the same, also when they are in the table.

use std::time::{Duration, Instant};

use varve_tests::exporter::FixedPage;
use varve_tests::http_api::ApiClient;
use varve_tests::prometheus::Prometheus;
use varve_tests::server::{ServerSetup, scrape_config};

/// How long a scrape may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// What both are asked for.
const QUERIES: [&str; 4] = [
    "seconds_bucket",
    r#"rate(requests_total{code="200"}[5m]) / on () sum(seconds_bucket)"#,
    r#"{__name__=~".+"}"#,
    "seconds_count",
];

/// Exemplars with times of their own, at the end of the last hour; of a target that always says the same.
fn page(now_ms: i64) -> String {
    let time = |seconds: i64| format!("{}.5", now_ms / 1000 - seconds);
    format!(
        "# TYPE seconds histogram
seconds_bucket{{le=\"0.1\"}} 3 # {{trace_id=\"a\"}} 0.05 {}
seconds_bucket{{le=\"1.0\"}} 5 # {{trace_id=\"b\",span_id=\"ü\"}} 0.5 {}
seconds_bucket{{le=\"+Inf\"}} 6 # {{}} 1e3 {}
seconds_count 6
seconds_sum 1001.2
# TYPE requests counter
requests_total{{code=\"200\"}} 17 # {{trace_id=\"d\"}} 1.0 {}
requests_total{{code=\"500\"}} 1 # {{trace_id=\"e\"}} 1.0 {}
# EOF
",
        time(30),
        time(20),
        time(25),
        time(40),
        time(10)
    )
}

/// The answers to all queries, without what only one of them says: the target's address is the same for both.
async fn answers(client: &ApiClient, start_s: i64) -> Vec<serde_json::Value> {
    let mut answers = Vec::new();
    for query in QUERIES {
        let (start, end) = (start_s.to_string(), (start_s + 7_200).to_string());
        let parameters = [("query", query), ("start", &start), ("end", &end)];
        let answer = client.get("/api/v1/query_exemplars", &parameters).await;
        answers.push(answer.unwrap()["data"].clone());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus: .ci/run end_to_end"]
async fn exemplars_are_those_that_prometheus_has() {
    let folder = tempfile::tempdir().unwrap();
    let now_ms = varve_tests::server::now_ms();
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let target = FixedPage::start(openmetrics, page(now_ms)).await.unwrap();
    let config = scrape_config("300ms", &[("traced", &target.target())]);
    let peer = Prometheus::start_with(folder.path(), &config, "exemplar-storage").await;
    let Some(peer) = peer.unwrap() else {
        return;
    };
    let setup = ServerSetup::new(folder.path(), &config).unwrap();
    let setup = setup.arguments(&["--compactor.interval=1d"]);
    let varve = setup.start().await.unwrap();
    let start_s = now_ms / 1000 - 3_600;
    let started = Instant::now();
    let theirs = loop {
        let theirs = answers(&peer.client, start_s).await;
        if theirs[2].as_array().is_some_and(|series| series.len() == 5) {
            break theirs;
        }
        assert!(started.elapsed() < PATIENCE, "{theirs:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    loop {
        let ours = answers(&setup.client(), start_s).await;
        if ours == theirs {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{ours:?} against {theirs:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Several scrapes, each of which has the same exemplars.
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(varve);
    setup.run(&["compact", "--storage.url=./data"]).unwrap();
    let _varve = setup.start().await.unwrap();
    assert_eq!(
        answers(&setup.client(), start_s).await,
        theirs,
        "in the table"
    );
}
