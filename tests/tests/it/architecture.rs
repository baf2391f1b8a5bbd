//! The arrows between crates are those of ARCHITECTURE.md, and heavy dependencies stay where they belong.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate may use of the others (ARCHITECTURE.md, section 1).
const ARROWS: &[(&str, &[&str])] = &[
    ("varve-storage", &[]),
    ("varve-promql", &[]),
    ("varve-histogram", &["varve-promql", "varve-storage"]),
    ("varve-table", &["varve-storage"]),
    ("varve-ingest", &["varve-storage"]),
    ("varve-tsdb", &["varve-storage"]),
    ("varve-compactor", &["varve-storage", "varve-table"]),
    (
        "varve-query",
        &[
            "varve-histogram",
            "varve-promql",
            "varve-storage",
            "varve-table",
            "varve-tsdb",
        ],
    ),
    ("varve", EVERYTHING),
    ("varve-tests", EVERYTHING),
];

const EVERYTHING: &[&str] = &[
    "varve-compactor",
    "varve-histogram",
    "varve-ingest",
    "varve-promql",
    "varve-query",
    "varve-storage",
    "varve-table",
    "varve-tsdb",
];

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn crates_depend_on_each_other_as_drawn() {
    let metadata = cargo(&["metadata", "--format-version=1", "--no-deps", "--offline"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), allowed.len(), "crates of the workspace");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let dependencies = package["dependencies"].as_array().unwrap();
        for dependency in dependencies {
            let used = dependency["name"].as_str().unwrap();
            // Tests may look at other crates: only what ships makes an arrow.
            let ships = dependency["kind"].as_str() != Some("dev");
            if ships && (used == "varve" || used.starts_with("varve-")) {
                assert!(
                    allowed[name].contains(&used),
                    "a new arrow {used} <- {name}: draw it in ARCHITECTURE.md first"
                );
            }
        }
    }
}

/// The crates that a crate alone would link.
fn linked(name: &str) -> BTreeSet<String> {
    let tree = cargo(&[
        "tree",
        "--package",
        name,
        "--edges=normal",
        "--prefix=none",
        "--format={p}",
        "--offline",
    ]);
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    tree.lines().map(name).collect()
}

#[test]
fn heavy_dependencies_stay_where_they_belong() {
    for (name, banned) in [
        ("varve-promql", &["arrow", "tokio", "datafusion"][..]),
        (
            "varve-storage",
            &["parquet", "datafusion", "aws-sdk-s3", "axum"],
        ),
        (
            "varve-histogram",
            &["parquet", "datafusion", "aws-sdk-s3", "axum"],
        ),
        // What is pushed comes over HTTP, so that it serves.
        ("varve-ingest", &["parquet", "datafusion", "aws-sdk-s3"]),
        (
            "varve-tsdb",
            &["parquet", "datafusion", "aws-sdk-s3", "axum"],
        ),
        ("varve-table", &["datafusion", "aws-sdk-s3", "axum"]),
        ("varve-compactor", &["datafusion", "aws-sdk-s3", "axum"]),
        ("varve-query", &["aws-sdk-s3", "varve-ingest"]),
    ] {
        let linked = linked(name);
        assert!(linked.contains(name), "cargo tree lists {name} itself");
        for banned in banned {
            assert!(!linked.contains(*banned), "{name} links {banned}");
        }
    }
}
