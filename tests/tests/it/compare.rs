//! Varve beside Debian's Prometheus: the same samples must give the same answers, bit by bit; the same targets alike ones.
//!
//! Prometheus 2.42 differs from 3, whose semantics Varve has, in ways that the query lists name. Two more are kept out
//! by the grids: windows became left-open, so no sample lies at the edge of one; and a dot in a regular expression
//! matches a newline now, of which no label value has one. With `VARVE_TEST_PROMETHEUS=/path/to/prometheus` of version 3 there is
//! no tolerance, and more queries.

use std::collections::BTreeMap;
use std::time::Duration;

use varve_storage::wal::SampleRow;
use varve_tests::archive::Archive;
use varve_tests::http_api::{Answer, ApiClient, Grid};
use varve_tests::prometheus::{self, Prometheus};
use varve_tests::query_list::{self, ListedQuery};
use varve_tests::remote_write;
use varve_tests::samples::{self, INTERVAL_MS, START_MS};
use varve_tests::server::{ServerSetup, now_ms, scrape_config};

/// Queries that a Prometheus 2 answers otherwise.
pub(crate) const VERSION_3: &str = include_str!("../../queries/version3.txt");

/// What both sides are asked for.
pub(crate) const FEATURES: &str = "promql-experimental-functions";

/// A configuration without targets.
pub(crate) const NOTHING_TO_SCRAPE: &str = "global:\n  scrape_interval: 15s\n";

/// Runs queries on both sides; gives the differences and how many answers held samples. Texts of errors, warnings and infos count if
/// asked for: they changed between versions.
pub(crate) async fn differences(
    varve: &ApiClient,
    peer: &ApiClient,
    queries: &[ListedQuery],
    grids: &[Grid],
    words: bool,
) -> (Vec<String>, usize) {
    let mut differences = Vec::new();
    let mut telling = 0;
    let order = |answer: Answer, query: &ListedQuery| match query.ordered {
        true => answer,
        false => answer.sorted(),
    };
    for query in queries {
        let text = &query.text;
        let mut compare = |what: String, ours: Answer, theirs: Answer| {
            telling += usize::from(theirs.samples() > 0);
            if let Some(difference) = ours.difference(&theirs, query.tolerance) {
                differences.push(format!("{text}  ({what}): {difference}"));
            } else if words
                && query.words
                && (&ours.kind, &ours.notes) != (&theirs.kind, &theirs.notes)
            {
                differences.push(format!(
                    "{text}  ({what}): {} {:?} against {} {:?}",
                    ours.kind, ours.notes, theirs.kind, theirs.notes
                ));
            }
        };
        for grid in grids {
            let ours = varve.range(text, *grid).await.unwrap().sorted();
            let theirs = peer.range(text, *grid).await.unwrap().sorted();
            compare(format!("{grid:?}"), ours, theirs);
            let at = grid.end_ms;
            let ours = order(varve.instant(text, at).await.unwrap(), query);
            let theirs = order(peer.instant(text, at).await.unwrap(), query);
            compare(format!("at {at}"), ours, theirs);
        }
    }
    (differences, telling)
}

/// The queries of a list, and of one for version 3 only, that a peer can answer as Varve does. The tolerances are for version 2.
pub(crate) fn queries(list: &str, version_3: &str, peer: &Prometheus) -> Vec<ListedQuery> {
    let mut queries = query_list::parse(list).unwrap();
    if peer.major_version >= 3 {
        queries.extend(query_list::parse(version_3).unwrap());
        queries.iter_mut().for_each(|query| query.tolerance = 0.0);
    }
    assert!(queries.len() >= 50);
    queries
}

pub(crate) fn assert_none(differences: &[String], stage: &str) {
    assert!(
        differences.is_empty(),
        "{stage}: {} differences, Varve first:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// Feeds samples to both and compares all queries, with half of the samples in Varve's WAL, and with all in merged files.
async fn compare_exactly(
    rows: &[SampleRow],
    list: &str,
    version_3: &str,
    grids: &[Grid],
    features: &str,
) {
    let folder = tempfile::tempdir().unwrap();
    let Some(peer) = Prometheus::start_with(folder.path(), NOTHING_TO_SCRAPE, features)
        .await
        .unwrap()
    else {
        return;
    };
    if list.is_empty() && peer.major_version < 3 {
        return;
    }
    let queries = queries(list, version_3, &peer);
    let queries = &queries[..];
    remote_write::write(peer.client.base_url(), rows)
        .await
        .unwrap();

    let setup = ServerSetup::new(folder.path(), NOTHING_TO_SCRAPE).unwrap();
    // The compactor of the server stays out of the way; the test compacts when it wants to.
    let setup = setup.arguments(&[
        "--compactor.interval=1d",
        &format!("--enable-feature={features}"),
    ]);
    let url = format!("file://{}/data", folder.path().display());
    let archive = Archive::new(varve_storage::Store::open(&url.parse().unwrap()).unwrap());
    let (first, second) = rows.split_at(rows.len() / 2);
    let end_ms = START_MS + 24 * 3_600_000;
    archive.append(0, first, 5_000).await.unwrap();
    archive.compact(START_MS).await.unwrap();
    for stage in ["half in the WAL", "merged"] {
        if stage == "merged" {
            archive.compact(end_ms).await.unwrap();
            archive.compact(end_ms + 48 * 3_600_000).await.unwrap();
        }
        let _varve = setup.start().await.unwrap();
        if stage != "merged" {
            remote_write::write(&setup.base_url(), second)
                .await
                .unwrap();
        }
        let (found, telling) = differences(
            &setup.client(),
            &peer.client,
            queries,
            grids,
            peer.major_version >= 3,
        )
        .await;
        eprintln!(
            "{stage}: {} queries, {telling} answers with samples, {} differ",
            queries.len(),
            found.len()
        );
        assert_none(&found, stage);
        assert!(telling > queries.len(), "{stage}: most answers were empty");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus and a minute: .ci/run end_to_end"]
async fn invented_samples_give_the_answers_of_prometheus() {
    let rows = samples::invented(11, 600);
    // 7 seconds past a quarter minute, where no subquery of the list has a step.
    let grid = |from: i64, minutes: i64, step_ms| Grid {
        start_ms: START_MS + from * 60_000 + 7_000,
        end_ms: START_MS + (from + minutes) * 60_000 + 7_000,
        step_ms,
    };
    // The second crosses midnight, where the table has another partition; the last ends after the samples.
    let grids = [
        grid(30, 60, 60_000),
        grid(120, 20, 15_000),
        grid(145, 30, 30_000),
    ];
    let list = include_str!("../../queries/invented.txt");
    compare_exactly(&rows, list, VERSION_3, &grids, FEATURES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus 3 and a minute: .ci/run end_to_end"]
async fn names_removed_at_the_end_give_the_answers_of_prometheus() {
    let rows = samples::invented(11, 200);
    let grid = |from: i64, minutes: i64, step_ms| Grid {
        start_ms: START_MS + from * 60_000 + 7_000,
        end_ms: START_MS + (from + minutes) * 60_000 + 7_000,
        step_ms,
    };
    // The first begins before there is anything to take a rate of.
    let grids = [grid(0, 10, 15_000), grid(20, 20, 60_000)];
    let list = include_str!("../../queries/delayed_names.txt");
    let features = format!("{FEATURES},promql-delayed-name-removal");
    compare_exactly(&rows, "", list, &grids, &features).await;
}

/// Records a node exporter so many times, and gives each record the time that it would have at the usual interval.
async fn record(target: &str, scrapes: i64) -> Vec<SampleRow> {
    let url = format!("http://{target}/metrics");
    let mut known = BTreeMap::new();
    let mut rows = Vec::new();
    for scrape in 0..scrapes {
        let text = reqwest::get(&url).await.unwrap().bytes().await.unwrap();
        let at = START_MS + scrape * INTERVAL_MS + 321;
        rows.extend(samples::recorded(&text, at, "node", target, &mut known).unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus and a minute: .ci/run end_to_end"]
async fn recorded_scrapes_give_the_answers_of_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let exporter = prometheus::node_exporter(folder.path()).await.unwrap();
    let Some((_exporter, target)) = exporter else {
        return;
    };
    let rows = record(&target, 60).await;
    let grid = Grid {
        start_ms: START_MS + 127_000,
        end_ms: START_MS + 7_000 + 59 * INTERVAL_MS,
        step_ms: 15_000,
    };
    let list = include_str!("../../queries/node.txt");
    compare_exactly(&rows, list, "", &[grid], FEATURES).await;
}

/// What can be equal although the two scrape at different instants: the series, and roughly the values.
fn alike(ours: &Answer, theirs: &Answer) -> Option<String> {
    let (ours, theirs) = (ours.clone().sorted(), theirs.clone().sorted());
    let labels = |answer: &Answer| -> Vec<String> {
        let labels = answer.series.iter().map(|(labels, _)| labels.clone());
        labels.collect()
    };
    if ours.kind != theirs.kind || labels(&ours) != labels(&theirs) {
        return Some(format!(
            "{} {:?} against {} {:?}",
            ours.kind,
            labels(&ours),
            theirs.kind,
            labels(&theirs)
        ));
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus and two minutes: .ci/run end_to_end"]
async fn side_by_side_both_see_the_same_exporter() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_exporter, target)) = prometheus::node_exporter(folder.path()).await.unwrap() else {
        return;
    };
    let config = scrape_config("1s", &[("node", &target)]);
    let Some(peer) = Prometheus::start(folder.path(), &config).await.unwrap() else {
        return;
    };
    let setup = ServerSetup::new(folder.path(), &config).unwrap();
    let _varve = setup.start().await.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;

    let queries = query_list::parse(include_str!("../../queries/node.txt")).unwrap();
    // Some seconds back, so that what Varve scraped has been flushed.
    let end_ms = now_ms() / 1_000 * 1_000 - 6_000;
    let grid = Grid {
        start_ms: end_ms - 20_000,
        end_ms,
        step_ms: 2_000,
    };
    let varve = setup.client();
    let mut compared = 0;
    let mut unlike = Vec::new();
    for query in &queries {
        let text = &query.text;
        // Values are part of these labels or of the choice of series, and values differ.
        if ["topk", "count_values"].iter().any(|f| text.starts_with(f)) {
            continue;
        }
        let ours = varve.range(text, grid).await.unwrap();
        let theirs = peer.client.range(text, grid).await.unwrap();
        unlike.extend(alike(&ours, &theirs).map(|d| format!("{text} (range): {d}")));
        let ours = varve.instant(text, end_ms).await.unwrap();
        let theirs = peer.client.instant(text, end_ms).await.unwrap();
        unlike.extend(alike(&ours, &theirs).map(|d| format!("{text} (instant): {d}")));
        compared += 2;
    }
    assert!(compared >= 80, "{compared} compared");
    assert_none(&unlike, "side by side");

    // Values of slow quantities, and of rates over most of the time that both have scraped.
    for (query, tolerance) in [
        ("up", 0.0),
        ("node_memory_MemTotal_bytes", 0.0),
        ("node_boot_time_seconds", 1e-6),
        ("count(node_cpu_seconds_total)", 0.0),
        ("sum(rate(node_cpu_seconds_total[80s]))", 0.1),
        (
            "sum by (mode) (increase(node_cpu_seconds_total{mode=\"idle\"}[80s])) + 10",
            0.3,
        ),
        ("sum(increase(node_context_switches_total[80s]))", 0.2),
        ("count_over_time(node_load1[80s])", 0.05),
        ("avg_over_time(node_load1[80s])", 0.1),
        ("max_over_time(node_memory_MemAvailable_bytes[80s])", 0.1),
    ] {
        let ours = varve.number(query, end_ms).await.unwrap();
        let theirs = peer.client.number(query, end_ms).await.unwrap();
        let near = (ours - theirs).abs() <= tolerance * theirs.abs();
        assert!(near, "{query}: {ours} against {theirs}");
    }
}
