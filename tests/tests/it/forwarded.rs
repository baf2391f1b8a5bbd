//! What Varve forwards to a real Prometheus: everything arrives, also where Varve is killed meanwhile.

use std::time::{Duration, Instant};

use varve_tests::exporter::{self, Exporter};
use varve_tests::prometheus::Prometheus;
use varve_tests::random::Random;
use varve_tests::server::{ServerSetup, now_ms, scrape_config};

use crate::compare::NOTHING_TO_SCRAPE;

const PATIENCE: Duration = Duration::from_secs(60);

/// Kills a Varve that scrapes and forwards.
async fn everything_arrives(message: &str, least_version: u32) {
    let folder = tempfile::tempdir().unwrap();
    let exporter = Exporter::start().await.unwrap();
    let peer = Prometheus::start(folder.path(), NOTHING_TO_SCRAPE)
        .await
        .unwrap();
    let Some(peer) = peer.filter(|peer| peer.major_version >= least_version) else {
        return;
    };
    let config = format!(
        "{}remote_write:\n- url: {}/api/v1/write\n  protobuf_message: {message}\n  queue_config: {{max_backoff: 100ms}}\n",
        scrape_config("200ms", &[("proof", &exporter.target())]),
        peer.client.base_url(),
    );
    let setup = ServerSetup::new(folder.path(), &config).unwrap();
    let setup = setup.arguments(&[
        "--storage.flush-interval=300ms",
        "--compactor.interval=1s",
        // Segments are deleted at once, unless they are still to be sent.
        "--compactor.grace=0s",
    ]);
    let mut random = Random::printed("everything_arrives");
    let mut varve = setup.start().await.unwrap();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(500 + random.below(2_500))).await;
        varve.kill().unwrap();
        varve = setup.start().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    // What Varve does not show yet may not be stored, and then it is not forwarded either.
    let end_ms = now_ms() - 3_000;
    let query = r#"{job="proof"}[10m]"#;
    let ours = setup
        .client()
        .instant(query, end_ms)
        .await
        .unwrap()
        .sorted();
    assert!(ours.samples() > 50 * exporter::SERIES, "little was scraped");
    let started = Instant::now();
    loop {
        let theirs = peer.client.instant(query, end_ms).await.unwrap().sorted();
        match ours.difference(&theirs, 0.0) {
            None => break,
            Some(difference) => {
                assert!(
                    started.elapsed() < PATIENCE,
                    "{difference}\n{}",
                    varve.log()
                );
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    eprintln!("{} samples arrived", ours.samples());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus and a minute: .ci/run end_to_end"]
async fn what_is_forwarded_arrives_though_varve_is_killed() {
    everything_arrives("prometheus.WriteRequest", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus 3 and a minute: .ci/run end_to_end"]
async fn what_is_forwarded_in_version_2_arrives_though_varve_is_killed() {
    everything_arrives("io.prometheus.write.v2.Request", 3).await;
}
