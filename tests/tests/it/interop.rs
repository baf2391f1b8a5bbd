//! The tables are anybody's: DuckDB and delta-rs open them and see every sample that was appended.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use varve_storage::wal::Append;
use varve_storage::{MetricMetadata, MetricType};
use varve_tests::archive::{Archive, expected};
use varve_tests::process;
use varve_tests::samples::{self, START_MS};
use varve_tests::stores::TestStore;

/// What `delta_check.py` says of each engine.
fn check(python: &Path, tenant: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/delta_check.py");
    let mut command = Command::new(python);
    let output = command.arg(script).arg(tenant).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "delta_check.py: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Samples and the sum of the finite ones, by metric.
fn summary(archive: &varve_tests::archive::Samples) -> BTreeMap<String, (u64, f64)> {
    let mut summary: BTreeMap<String, (u64, f64)> = BTreeMap::new();
    for (labels, samples) in archive {
        let entry = summary.entry(labels.metric_name().to_owned()).or_default();
        for bits in samples.values() {
            let value = f64::from_bits(*bits);
            entry.0 += 1;
            entry.1 += if value.is_finite() { value } else { 0.0 };
        }
    }
    summary
}

async fn assert_agrees(archive: &Archive, python: &Path, folder: &Path, stage: &str) {
    let wanted = summary(&archive.contents().await.unwrap().samples);
    let tenant = folder.join(archive.keys.tenant());
    let seen = check(python, &tenant);
    for engine in ["duckdb", "deltalake"] {
        let metrics = seen[engine]["metrics"].as_object();
        let metrics = metrics.unwrap_or_else(|| panic!("{stage}: {engine} in {seen}"));
        assert_eq!(metrics.len(), wanted.len(), "{stage}, {engine}: metrics");
        for (name, (samples, sum)) in &wanted {
            let metric = &metrics[name];
            assert_eq!(metric["samples"], *samples, "{stage}, {engine}: {name}");
            let seen = metric["sum"].as_f64().unwrap();
            let near = (seen - sum).abs() <= 1e-9 * sum.abs();
            assert!(near, "{stage}, {engine}: {name}: {seen} against {sum}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_engines_read_the_tables() {
    let Some(python) = process::python(&["duckdb", "deltalake", "pyarrow"]) else {
        return;
    };
    let store = TestStore::file().unwrap();
    let folder = store.folder.as_ref().unwrap().path().to_owned();
    let rows = samples::invented(9, 120);
    let (first, second) = rows.split_at(rows.len() / 2);
    let archive = &store.archive;
    let writer = archive.writer(0).await.unwrap();
    let append = Append {
        metadata: vec![MetricMetadata {
            family: "up".to_owned(),
            kind: MetricType::Gauge,
            unit: String::new(),
            help: "Whether the target answered.".to_owned(),
        }],
        ..Append::default()
    };
    writer.append(append).await.unwrap();
    writer.close().await.unwrap();
    archive.append(0, first, 1_000).await.unwrap();
    archive.compact(START_MS).await.unwrap();
    assert_agrees(archive, &python, &folder, "one commit").await;
    archive.append(0, second, 300).await.unwrap();
    archive.append(0, &first[..200], 300).await.unwrap();
    archive.compact(START_MS).await.unwrap();
    assert_agrees(archive, &python, &folder, "late duplicates").await;
    for hours in [24, 96] {
        archive.compact(START_MS + hours * 3_600_000).await.unwrap();
    }
    assert_agrees(archive, &python, &folder, "merged").await;
    let contents = archive.contents().await.unwrap();
    assert!(contents.samples == expected(&rows));
}
