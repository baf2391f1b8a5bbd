//! The data folder of a real Prometheus, imported: Varve answers as the Prometheus that wrote it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use varve_tests::exporter::{self, Exporter};
use varve_tests::process;
use varve_tests::prometheus::Prometheus;
use varve_tests::server::{ServerSetup, now_ms, scrape_config};

use crate::compare::NOTHING_TO_SCRAPE;

/// How many samples of the job DuckDB finds in a file with a row per sample.
fn rows_of_job(python: &Path, file: &Path) -> usize {
    let script = "import duckdb, sys
query = \"select count(value) from read_parquet(?) where labels['job'] = 'proof' and __name__ <> ''\"
print(duckdb.execute(query, [sys.argv[1]]).fetchone()[0])";
    let mut command = Command::new(python);
    let output = command.args(["-c", script]).arg(file).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus: .ci/run end_to_end"]
async fn an_imported_folder_answers_as_its_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let exporter = Exporter::start().await.unwrap();
    let config = scrape_config("200ms", &[("proof", &exporter.target())]);
    let Some(mut peer) = Prometheus::start(folder.path(), &config).await.unwrap() else {
        return;
    };
    tokio::time::sleep(Duration::from_secs(8)).await;
    let setup = ServerSetup::new(folder.path(), NOTHING_TO_SCRAPE).unwrap();
    let end_ms = now_ms();
    let queries = [
        r#"{job="proof"}[10m]"#.to_owned(),
        format!("max_over_time({}[10m])", exporter::COUNTER),
        format!("sum by (job) ({})", exporter::GAUGE),
        "count_over_time(up[10m])".to_owned(),
    ];
    let mut theirs = Vec::new();
    for query in &queries {
        let answer = peer.client.instant(query, end_ms).await.unwrap();
        assert!(answer.samples() > 0, "{query}");
        theirs.push(answer.sorted());
    }
    // While it runs, and once more after it was killed, which changes nothing.
    let import = ["import", "prometheus", "peer", "--storage.url=./data"];
    setup.run(&import).unwrap();
    peer.program.kill().unwrap();
    setup.run(&import).unwrap();
    for stage in ["in the WAL", "in the table"] {
        let varve = setup.start().await.unwrap();
        for (query, theirs) in queries.iter().zip(&theirs) {
            let ours = setup
                .client()
                .instant(query, end_ms)
                .await
                .unwrap()
                .sorted();
            assert_eq!(ours.difference(theirs, 0.0), None, "{query} {stage}");
        }
        drop(varve);
        setup.run(&["compact", "--storage.url=./data"]).unwrap();
    }
    // What is written out reads back.
    setup
        .run(&["export", "openmetrics", "all.txt", "--storage.url=./data"])
        .unwrap();
    setup
        .run(&["import", "openmetrics", "all.txt", "--storage.url=./again"])
        .unwrap();
    setup
        .run(&[
            "export",
            "prometheus-blocks",
            "blocks",
            "--storage.url=./again",
        ])
        .unwrap();
    setup
        .run(&["import", "prometheus", "blocks", "--storage.url=./data3"])
        .unwrap();
    let end = format!("--end={}", end_ms as f64 / 1e3);
    setup
        .run(&[
            "export",
            "parquet",
            "all.parquet",
            "--storage.url=./data3",
            &end,
        ])
        .unwrap();
    if let Some(python) = process::python(&["duckdb"]) {
        let rows = rows_of_job(&python, &folder.path().join("all.parquet"));
        assert_eq!(rows, theirs[0].samples());
    }
    let mut last = setup.clone();
    last.storage_url = "./data3".to_owned();
    let _varve = last.start().await.unwrap();
    let ours = last.client().instant(&queries[0], end_ms).await.unwrap();
    assert_eq!(ours.sorted().difference(&theirs[0], 0.0), None);
}
