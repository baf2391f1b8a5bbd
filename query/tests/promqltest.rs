//! Prometheus's own test scripts, where they are at hand, and ours.
//!
//! Prometheus's are written for an engine that removes metric names at the end of a query; ours in `testdata/delayed_names` are, too. Whoever
//! asks for nothing has names removed at once, so Prometheus's scripts are also run that way, and fail in the places that
//! are about names.
//!
//! `promqltest.counts` and `promqltest.names_at_once.counts` hold how many cases of each upstream file pass; a count may only grow. After
//! an improvement, run with `VARVE_PROMQLTEST_BLESS=1` to write the new counts. `VARVE_PROMQLTEST_SHOW=<file>` prints every case of a
//! file that does not pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use varve_promql::ParseOptions;
use varve_query::promqltest::{Loaded, Outcome, ScriptResult, run_script, run_script_on};
use varve_query::source::SourceCaches;
use varve_query::stored::StoredArchive;
use varve_query::{Archive, EngineOptions};
use varve_storage::keys::TenantKeys;
use varve_storage::wal::{Append, SampleRow, WalOptions, WalWriter};
use varve_storage::{Series, Store};
use varve_table::ArchiveReader;

/// Our folders of scripts, and whether names are removed at the end there.
const OURS: [(&str, bool); 2] = [("testdata", false), ("testdata/delayed_names", true)];

fn options(delayed_name_removal: bool) -> EngineOptions {
    EngineOptions {
        delayed_name_removal,
        parse: ParseOptions::experimental(),
        use_start_timestamps: true,
        ..EngineOptions::default()
    }
}

/// Our scripts, with the options that each is run with.
fn our_scripts() -> Vec<(String, PathBuf, EngineOptions)> {
    let mut all = Vec::new();
    for (folder, delayed) in OURS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let found = scripts(&folder);
        assert!(!found.is_empty(), "no scripts in {}", folder.display());
        all.extend(
            found
                .into_iter()
                .map(|(name, path)| (name, path, options(delayed))),
        );
    }
    all
}

fn scripts(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut scripts: Vec<(String, PathBuf)> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                path,
            )
        })
        .collect();
    scripts.sort();
    scripts
}

async fn run(path: &Path, options: EngineOptions) -> Result<ScriptResult, String> {
    let text = std::fs::read_to_string(path).unwrap();
    run_script(&text, options).await
}

fn show(name: &str, result: &ScriptResult) {
    for case in &result.cases {
        let why = match &case.outcome {
            Outcome::Passed => continue,
            Outcome::Failed(why) => format!("FAILED {why}"),
            Outcome::NotSupported(why) => format!("not supported: {why}"),
        };
        eprintln!("{name}:{}: {}\n    {why}", case.line, case.query);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_scripts_pass() {
    for (name, path, options) in our_scripts() {
        let result = run(&path, options).await.unwrap();
        show(&name, &result);
        let (passed, failed, unsupported) = result.counts();
        assert_eq!((failed, unsupported), (0, 0), "{name}");
        assert!(passed > 0, "{name} has no cases");
    }
}

/// Writes what was loaded as a WAL segment, and reads it as a query of a server does.
async fn stored(loaded: &Loaded) -> Result<Arc<dyn Archive>, String> {
    let store = Store::open(&"memory://".parse().unwrap()).unwrap();
    let keys = TenantKeys::default();
    let writer = WalWriter::open(store.objects(), keys.clone(), 0, WalOptions::default());
    let writer = writer.await.unwrap();
    let mut samples = Vec::new();
    for (labels, values) in loaded.series() {
        let series = Arc::new(Series::new(labels.clone()));
        samples.extend(values.into_iter().map(|sample| SampleRow {
            series: Arc::clone(&series),
            timestamp_ms: sample.timestamp_ms,
            start_timestamp_ms: sample.start_timestamp_ms,
            value: sample.value,
        }));
    }
    let append = Append {
        samples,
        ..Append::default()
    };
    let ticket = writer.append(append).await.unwrap();
    writer.flush().await.unwrap();
    ticket.durable().await.unwrap();
    let reader = Arc::new(ArchiveReader::new(store.clone(), keys));
    let caches = Arc::new(SourceCaches::default());
    let archive: Arc<dyn Archive> = Arc::new(StoredArchive::new(reader, store, caches));
    Ok(archive)
}

#[tokio::test(flavor = "multi_thread")]
async fn our_scripts_pass_on_a_stored_archive() {
    for (name, path, options) in our_scripts() {
        let text = std::fs::read_to_string(path).unwrap();
        let result = run_script_on(&text, options, stored).await.unwrap();
        show(&name, &result);
        let (_, failed, unsupported) = result.counts();
        assert_eq!((failed, unsupported), (0, 0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_scripts_pass_as_far_as_before() {
    upstream("promqltest.counts", options(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_scripts_pass_as_far_as_before_with_names_removed_at_once() {
    upstream("promqltest.names_at_once.counts", options(false)).await;
}

/// Runs Prometheus's scripts and compares how many cases pass with a file of counts.
async fn upstream(counts: &str, options: EngineOptions) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = match std::env::var_os("VARVE_PROMQLTEST_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => manifest.join("../../shared/conformance/promqltest"),
    };
    let scripts = scripts(&folder);
    if scripts.is_empty() {
        eprintln!(
            "skipped: no scripts in {}; set VARVE_PROMQLTEST_DIR to Prometheus's promql/promqltest/testdata",
            folder.display()
        );
        return;
    }
    let counts_path = manifest.join("tests").join(counts);
    let known: BTreeMap<String, usize> = std::fs::read_to_string(&counts_path)
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        })
        .collect();
    let wanted = std::env::var("VARVE_PROMQLTEST_SHOW").ok();
    let mut table =
        String::from("# file, cases that pass, that fail, that are not supported yet\n");
    let mut worse = Vec::new();
    let all = wanted.as_deref() == Some("all");
    let runs: Vec<_> = scripts
        .into_iter()
        .map(|(name, path)| (name, tokio::spawn(async move { run(&path, options).await })))
        .collect();
    for (name, running) in runs {
        // A notation that cannot be read leaves a whole file for later.
        let result = match running.await.unwrap() {
            Ok(result) => result,
            Err(error) => {
                eprintln!("{name} cannot be read: {error}");
                ScriptResult::default()
            }
        };
        let chosen = |wanted: &String| name.starts_with(wanted.as_str());
        if all || wanted.as_ref().is_some_and(chosen) {
            show(&name, &result);
        }
        let (passed, failed, unsupported) = result.counts();
        writeln!(table, "{name:28} {passed:5} {failed:5} {unsupported:5}").unwrap();
        if passed < known.get(&name).copied().unwrap_or(0) {
            show(&name, &result);
            worse.push(name);
        }
    }
    eprintln!("{table}");
    if std::env::var_os("VARVE_PROMQLTEST_BLESS").is_some() {
        std::fs::write(&counts_path, table).unwrap();
    }
    assert!(
        worse.is_empty(),
        "fewer cases pass than before in {worse:?}"
    );
}
