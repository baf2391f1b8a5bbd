//! Selectors over archives: what is found, what is read, and that it does not matter how samples lie.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use proptest::prelude::*;
use varve_promql::MatchOp;
use varve_storage::rows::SeriesSamples;
use varve_storage::{FloatHistogram, Labels, SampleValue, Series, SeriesId, SeriesRef, stale_nan};

use super::ArchiveSource;
use super::fixture::{Fixture, execute, matcher, named, notes, resolve, series, session, slice};
use crate::grid::StepGrid;
use crate::kernels::{Lookback, RangeFunction, Samples, Scratch, StepOutput, WindowGrid};
use crate::selector::{Evaluation, SelectorSource};
use crate::window::WindowKernel;
use crate::{Archive, Engine, EngineOptions, QueryOptions, QueryValue, Snapshot};

fn windows(start: i64, end: i64, step: i64, range_ms: i64) -> WindowGrid {
    WindowGrid {
        grid: StepGrid::range(start, end, step),
        range_ms,
        offset_ms: 0,
        at_ms: None,
    }
}

fn range(function: RangeFunction) -> Evaluation {
    Evaluation::Range {
        function,
        args: Vec::new(),
    }
}

const INSTANT: Evaluation = Evaluation::Instant(Lookback::Value);

fn texts(labels: &[Option<&str>]) -> Vec<Option<String>> {
    labels.iter().map(|l| l.map(str::to_owned)).collect()
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[tokio::test]
async fn slices_of_files_and_tail_become_one_row_per_series() {
    let (a, b) = (
        series(&[("__name__", "up"), ("job", "a")]),
        series(&[("__name__", "up"), ("job", "b"), ("env", "x")]),
    );
    let other = series(&[("__name__", "other")]);
    let mut fixture = Fixture::new();
    fixture
        .add_file(vec![
            slice(&a, &[(10, 1.0), (20, 2.0)]),
            slice(&other, &[(10, 9.0)]),
        ])
        .await;
    fixture
        .add_file(vec![
            slice(&a, &[(20, 2.5), (30, 3.0)]),
            slice(&b, &[(30, 7.0)]),
        ])
        .await;
    fixture.add_wal(vec![
        slice(&a, &[(40, 4.0)]),
        slice(&b, &[(40, stale_nan())]),
    ]);
    let rows = fixture
        .evaluate(
            &named("up"),
            &["job", "env"],
            INSTANT,
            windows(10, 50, 10, 15),
        )
        .await
        .unwrap();
    assert_eq!(
        rows,
        [
            (
                texts(&[Some("a"), None]),
                vec![Some(1.0), Some(2.5), Some(3.0), Some(4.0), Some(4.0)]
            ),
            (
                texts(&[Some("b"), Some("x")]),
                vec![None, None, Some(7.0), None, None]
            ),
        ]
    );
    let sums = fixture
        .evaluate(
            &named("up"),
            &["job"],
            range(RangeFunction::SumOverTime),
            windows(40, 40, 1, 100),
        )
        .await
        .unwrap();
    assert_eq!(sums[0].1, [Some(10.5)]);
    assert_eq!(sums[1].1, [Some(7.0)]);
}

#[tokio::test]
async fn series_are_found_by_every_kind_of_matcher() {
    let all = [
        series(&[("__name__", "a_total"), ("job", "x")]),
        series(&[("__name__", "a_total"), ("job", "y"), ("env", "p")]),
        series(&[("__name__", "b_total"), ("job", "x")]),
        series(&[("job", "nameless")]),
    ];
    let mut fixture = Fixture::new();
    fixture
        .add_file(vec![
            slice(&all[0], &[(1, 1.0)]),
            slice(&all[2], &[(1, 1.0)]),
        ])
        .await;
    fixture.add_wal(vec![
        slice(&all[0], &[(2, 1.0)]),
        slice(&all[1], &[(2, 1.0)]),
        slice(&all[3], &[(2, 1.0)]),
    ]);
    let (source, _) = fixture.source();
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    for (matchers, want) in [
        (vec![("__name__", Equal, "a_total")], vec![0, 1]),
        (vec![("__name__", Regex, "a_total|b_total")], vec![0, 1, 2]),
        (vec![("__name__", Regex, "a.*")], vec![0, 1]),
        (
            vec![("__name__", Regex, ".*_t.+l"), ("job", NotEqual, "y")],
            vec![0, 2],
        ),
        (
            vec![("env", Equal, ""), ("job", Regex, ".+")],
            vec![0, 2, 3],
        ),
        (vec![("env", NotRegex, ".*")], vec![]),
        (
            vec![("__name__", Equal, ""), ("job", NotEqual, "")],
            vec![3],
        ),
        (
            vec![
                ("__name__", Equal, "a_total"),
                ("__name__", NotEqual, "a_total"),
            ],
            vec![],
        ),
    ] {
        let matchers: Vec<_> = matchers.iter().map(|m| matcher(m.0, m.1, m.2)).collect();
        let found = resolve(&source, &matchers, &windows(5, 5, 1, 10))
            .await
            .unwrap();
        let mut want: Vec<&Labels> = want.into_iter().map(|i: usize| &all[i].labels).collect();
        want.sort();
        let got: Vec<&Labels> = found.series.iter().map(|s| &s.labels).collect();
        assert_eq!(got, want, "{matchers:?}");
    }
    // Only the tail has samples at 2.
    let late = resolve(&source, &named("b_total"), &windows(3, 3, 1, 1))
        .await
        .unwrap();
    assert!(late.series.is_empty());
}

#[tokio::test]
async fn two_label_sets_with_one_id_are_an_error() {
    let a = series(&[("__name__", "up"), ("job", "a")]);
    let forged = Arc::new(Series {
        id: a.id,
        labels: Labels::from_pairs([("__name__", "up"), ("job", "b")]),
    });
    let mut fixture = Fixture::new();
    fixture.add_file(vec![slice(&a, &[(1, 1.0)])]).await;
    fixture.add_wal(vec![slice(&forged, &[(2, 1.0)])]);
    let (source, _) = fixture.source();
    let error = resolve(&source, &named("up"), &windows(5, 5, 1, 10))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("two label sets")
            && error.contains(r#"job="a""#)
            && error.contains(r#"job="b""#),
        "{error}"
    );
}

#[tokio::test]
async fn finding_series_does_not_touch_samples() {
    let mut fixture = Fixture::new();
    fixture
        .add_file(vec![
            slice(&series(&[("__name__", "up"), ("job", "a")]), &[(1, 1.0)]),
            slice(&series(&[("__name__", "down"), ("job", "c")]), &[(1, 1.0)]),
        ])
        .await;
    fixture.put_bytes("samples/0.parquet", Vec::new()).await;
    let (source, counters) = fixture.source();
    let window = windows(5, 5, 1, 10);
    for (matchers, want) in [(named("up"), 1), (named("down"), 1), (Vec::new(), 2)] {
        let found = resolve(&source, &matchers, &window).await.unwrap();
        assert_eq!(found.series.len(), want);
    }
    // The one file of series, once for all questions.
    assert_eq!(counters.snapshot().get, 1);
}

#[tokio::test]
async fn raw_samples_are_merged_and_without_stale_markers() {
    let up = series(&[("__name__", "up")]);
    let mut fixture = Fixture::new();
    fixture
        .add_file(vec![slice(&up, &[(1, 1.0), (3, stale_nan())])])
        .await;
    fixture.add_wal(vec![slice(&up, &[(2, 2.0), (3, stale_nan()), (9, 9.0)])]);
    let (source, _) = fixture.source();
    let resolved = resolve(&source, &named("up"), &windows(5, 5, 1, 10))
        .await
        .unwrap();
    let samples = source.samples(&resolved, 1, 8).await.unwrap();
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[0].samples, [(1, 1.0), (2, 2.0)]);
}

/// A snapshot of a fixture, whose requests are not counted.
#[derive(Debug)]
pub(super) struct Opened(pub(super) Arc<ArchiveSource>);

#[async_trait]
impl Archive for Opened {
    async fn open(&self) -> crate::Result<Snapshot> {
        Ok(Snapshot {
            source: Arc::clone(&self.0) as Arc<dyn SelectorSource>,
            warnings: Vec::new(),
            bill: None,
        })
    }
}

#[tokio::test]
async fn native_histograms_are_read_once_they_are_found() {
    let latency = series(&[("__name__", "latency")]);
    let histogram = |count| {
        SampleValue::Histogram(Arc::new(FloatHistogram {
            count,
            sum: count,
            ..FloatHistogram::default()
        }))
    };
    let mut old = slice(&latency, &[(1_000, 1.0)]);
    old.push(5_000, &histogram(5.0));
    let mut new = slice(&latency, &[]);
    new.push(5_000, &histogram(6.0));
    new.push(8_000, &histogram(stale_nan()));
    let mut fixture = Fixture::new();
    fixture.add_file(vec![old]).await;
    fixture.add_wal(vec![new]);
    let (source, _) = fixture.source();
    let source = Arc::new(source);

    // The leaf alone does not take a gap for what it was not to read.
    let (matchers, window) = (named("latency"), windows(6_000, 6_000, 1, 3_000));
    let resolved = || resolve(&source, &matchers, &window);
    assert!(!resolved().await.unwrap().histograms);
    let leaf = fixture.evaluate(&matchers, &[], INSTANT, window);
    let error = leaf.await.unwrap_err();
    assert!(matches!(&error, crate::Error::HistogramsFound(name) if name == "latency"));

    let engine = Engine::new(
        Arc::new(Opened(Arc::clone(&source))),
        EngineOptions::default(),
    );
    let options = QueryOptions::default();
    for (query, time_ms, expected) in [
        ("histogram_count(latency)", 6_000, Some(6.0)),
        ("histogram_sum(sum(latency + latency))", 6_000, Some(12.0)),
        ("latency", 3_000, Some(1.0)),
        ("histogram_count(latency)", 9_000, None),
        ("count_over_time(latency[10s])", 9_000, Some(2.0)),
    ] {
        let result = engine.instant(query, time_ms, &options).await.unwrap();
        let QueryValue::Vector(samples) = result.value else {
            unreachable!()
        };
        let values = samples.iter().map(|sample| sample.value.float());
        let expected: Vec<_> = expected.map(Some).into_iter().collect();
        assert_eq!(values.collect::<Vec<_>>(), expected, "{query}");
    }
    assert!(resolved().await.unwrap().histograms);
    let raw = engine.instant("latency[10s]", 9_000, &options).await;
    let QueryValue::Matrix(raw) = raw.unwrap().value else {
        unreachable!()
    };
    assert_eq!(raw[0].samples, [(1_000, 1.0)]);
    assert_eq!(raw[0].histograms.len(), 1);
}

/// A table of `metrics` metrics with `per_metric` series each, in files of two hours, a sample every 15 s.
async fn large_table(metrics: usize, per_metric: usize, files: i64) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.row_group_rows = 2_000;
    for file in 0..files {
        let mut rows = Vec::new();
        for metric in 0..metrics {
            for instance in 0..per_metric {
                let series = series(&[
                    ("__name__", &format!("metric_{metric:03}")),
                    ("instance", &format!("host-{instance:03}")),
                ]);
                let start = file * 7_200_000;
                let samples: Vec<(i64, f64)> = (0..480)
                    .map(|i| {
                        (
                            start + i * 15_000,
                            ((i * 7919 + file) * (instance as i64 + 3)) as f64 * 0.37,
                        )
                    })
                    .collect();
                rows.push(slice(&series, &samples));
            }
        }
        fixture.add_file(rows).await;
    }
    fixture
}

#[tokio::test]
async fn a_query_on_one_metric_reads_a_small_share_of_a_large_table() {
    let fixture = large_table(100, 40, 3).await;
    let table_bytes: u64 = fixture.parts.samples.iter().map(|f| f.size_bytes).sum();
    let windows = windows(600_000, 3 * 7_200_000 - 15_000, 60_000, 300_000);
    let query = |fixture: &Fixture, matchers: Vec<varve_promql::Matcher>| {
        let (source, counters) = fixture.source();
        async move {
            let resolved = resolve(&source, &matchers, &windows).await.unwrap();
            let before = counters.snapshot();
            let labels = ["instance".to_owned()];
            let plan = source
                .plan(
                    &resolved,
                    &labels,
                    &range(RangeFunction::Rate),
                    &windows,
                    &notes(),
                )
                .unwrap();
            let rows = execute(&source, &plan, usize::MAX >> 1, 2).await.unwrap();
            let after = counters.snapshot();
            (
                rows.len(),
                after.get - before.get,
                after.bytes_read - before.bytes_read,
            )
        }
    };
    // Cold: per file a request for the footer, one for the filter columns of the row group, one for the lists.
    let (rows, gets, bytes) = query(&fixture, named("metric_042")).await;
    assert_eq!(rows, 40);
    assert!(gets <= 3 * 4, "{gets} GETs");
    assert!(bytes * 20 < table_bytes, "{bytes} of {table_bytes} bytes");
    // Warm: footers are known.
    let (_, gets, bytes) = query(&fixture, named("metric_042")).await;
    assert!(gets <= 3 * 3, "{gets} GETs");
    assert!(bytes * 25 < table_bytes, "{bytes} of {table_bytes} bytes");
    // One series of the metric: not the lists of its neighbours' pages.
    let mut one = named("metric_042");
    one.push(matcher("instance", MatchOp::Equal, "host-007"));
    let (rows, gets_one, bytes_one) = query(&fixture, one).await;
    assert_eq!(rows, 1);
    assert!(
        gets_one <= gets && bytes_one <= bytes,
        "{bytes_one} and {bytes} bytes"
    );
}

#[tokio::test]
async fn evaluation_streams_under_a_memory_limit() {
    // 2,000 series of 1,440 samples: 46 MB of samples; at 4 steps each the result is small.
    let fixture = large_table(1, 2_000, 3).await;
    let (source, _) = fixture.source();
    let windows = windows(7_200_000, 21_000_000, 4_600_000, 7_200_000);
    let resolved = resolve(&source, &named("metric_000"), &windows)
        .await
        .unwrap();
    let plan = source
        .plan(
            &resolved,
            &["instance".to_owned()],
            &range(RangeFunction::SumOverTime),
            &windows,
            &notes(),
        )
        .unwrap();
    let rows = execute(&source, &plan, 40 << 20, 1).await.unwrap();
    assert_eq!(rows.len(), 2_000);
    // The run of a series alone is more than this.
    let error = execute(&source, &plan, 10 << 10, 1).await.unwrap_err();
    assert!(matches!(error, crate::Error::Memory(_)), "{error}");
}

#[tokio::test]
async fn a_corrupt_file_is_named_and_only_queries_that_need_it_fail() {
    let mut fixture = Fixture::new();
    let (a, b) = (series(&[("__name__", "a")]), series(&[("__name__", "b")]));
    let samples: Vec<(i64, f64)> = (0..2000).map(|i| (i, (i * i % 977) as f64)).collect();
    fixture.add_file(vec![slice(&a, &samples)]).await;
    fixture.add_file(vec![slice(&b, &samples)]).await;
    let objects = fixture.store.objects();
    let key = fixture.parts.samples[0].key.clone();
    let good = object_store::ObjectStoreExt::get(&objects, &key)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let sum = |name: &str| {
        let matchers = named(name);
        let fixture = &fixture;
        async move {
            fixture
                .evaluate(
                    &matchers,
                    &[],
                    range(RangeFunction::SumOverTime),
                    windows(1999, 1999, 1, 5000),
                )
                .await
        }
    };
    for damage in ["truncated", "footer", "pages", "missing"] {
        let fresh = Fixture {
            store: fixture.store.clone(),
            parts: fixture.parts.clone(),
            caches: Arc::default(),
            row_group_rows: 0,
            start_column: true,
        };
        let mut bytes = good.to_vec();
        match damage {
            "truncated" => bytes.truncate(good.len() / 2),
            "footer" => {
                let end = bytes.len() - 12;
                bytes[end - 200..end].fill(0xab);
            }
            "pages" => bytes[4..good.len() / 2].fill(0xcd),
            _ => object_store::ObjectStoreExt::delete(&objects, &key)
                .await
                .unwrap(),
        }
        if damage != "missing" {
            fresh.put_bytes(key.as_ref(), bytes).await;
        }
        let error = fresh
            .evaluate(
                &named("a"),
                &[],
                range(RangeFunction::SumOverTime),
                windows(1999, 1999, 1, 5000),
            )
            .await
            .unwrap_err();
        assert!(
            matches!(error, crate::Error::Storage(_)),
            "{damage}: {error:?}"
        );
        assert!(
            error.to_string().contains(key.as_ref()),
            "{damage}: {error}"
        );
        assert_eq!(sum("b").await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn plans_show_every_parameter() {
    let mut fixture = Fixture::new();
    let rows = || {
        vec![
            slice(
                &series(&[("__name__", "up"), ("job", "a")]),
                &[(1_000, 1.0)],
            ),
            slice(
                &series(&[("__name__", "up"), ("job", "b")]),
                &[(1_000, 1.0)],
            ),
        ]
    };
    fixture.add_file(rows()).await;
    fixture.add_file(rows()).await;
    fixture.add_wal(rows());
    let (source, _) = fixture.source();
    let windows = WindowGrid {
        offset_ms: 500,
        at_ms: Some(1_700),
        ..windows(1_000, 3_000, 1_000, 600)
    };
    let labels = ["job".to_owned()];
    let mut matchers = named("up");
    matchers.push(matcher("job", MatchOp::NotEqual, "c"));
    let resolved = resolve(&source, &matchers, &windows).await.unwrap();
    let evaluation = Evaluation::Range {
        function: RangeFunction::QuantileOverTime,
        args: vec![crate::kernels::StepArg::Constant(0.9)],
    };
    let plan = source
        .plan(&resolved, &labels, &evaluation, &windows, &notes())
        .unwrap();
    let mut text = plan.display_indent().to_string();
    for partitions in [1, 4] {
        let state = session(&source, usize::MAX >> 1, partitions);
        let physical = state
            .create_physical_plan(&state.optimize(&plan).unwrap())
            .await
            .unwrap();
        let indent = datafusion::physical_plan::displayable(physical.as_ref())
            .indent(false)
            .to_string();
        text.push_str(&format!("\n\n{partitions} partitions:\n{indent}"));
    }
    insta::assert_snapshot!(text);
}

/// Samples of a few series, and a way to cut them: for each sample where it goes and whether it goes there twice.
fn any_archive() -> impl Strategy<Value = Vec<(usize, i64, f64, usize, bool)>> {
    proptest::collection::vec(
        (
            0..4usize,
            0..200i64,
            (0..50i32).prop_map(f64::from),
            0..6usize,
            any::<bool>(),
        ),
        1..150,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_cut_into_files_slices_and_tail_gives_the_same_bits(
        samples in any_archive(),
        partitions in 1..4usize,
    ) {
        let all: Vec<SeriesRef> = (0..4)
            .map(|i| series(&[("__name__", ["x", "y"][i % 2]), ("n", &i.to_string())]))
            .collect();
        // Places 0-3 are files, 4 and 5 WAL segments; in a file, every fourth slice boundary is at a multiple of 50.
        let mut places: [BTreeMap<(SeriesId, i64), Vec<_>>; 6] = Default::default();
        let mut merged: Vec<BTreeMap<i64, f64>> = vec![Default::default(); 4];
        for (s, t, v, place, twice) in &samples {
            let t = *t * 10;
            merged[*s].entry(t).and_modify(|w| *w = w.max(*v)).or_insert(*v);
            for place in [Some(*place), twice.then_some((place + 1) % 6)].into_iter().flatten() {
                let window = if place < 4 { t / 500 } else { 0 };
                places[place].entry((all[*s].id, window)).or_default().push((t, *v));
            }
        }
        let mut fixture = Fixture::new();
        fixture.row_group_rows = 3;
        let result = run(async {
            for (number, place) in places.into_iter().enumerate() {
                let rows: Vec<SeriesSamples> = place
                    .into_iter()
                    .map(|((id, _), mut pairs)| {
                        // In one slice timestamps are strictly increasing, the greater value stands.
                        pairs.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
                        pairs.dedup_by_key(|p| p.0);
                        slice(all.iter().find(|s| s.id == id).unwrap(), &pairs)
                    })
                    .collect();
                if number < 4 {
                    fixture.add_file(rows).await;
                } else if !rows.is_empty() {
                    fixture.add_wal(rows);
                }
            }
            let windows = windows(100, 2_000, 70, 333);
            let (source, _) = fixture.source();
            let resolved = resolve(&source, &[matcher("n", MatchOp::Regex, ".+")], &windows).await.unwrap();
            let plan = source.plan(&resolved, &["n".to_owned()], &range(RangeFunction::Rate), &windows, &notes()).unwrap();
            execute(&source, &plan, usize::MAX >> 1, partitions * 2 - 1).await.unwrap()
        });
        let kernel = WindowKernel {
            windows: windows(100, 2_000, 70, 333),
            evaluation: range(RangeFunction::Rate),
            statistics_only: false,
            notes: notes(),
        };
        let mut want = Vec::new();
        for (i, samples) in merged.iter().enumerate() {
            let timestamps: Vec<i64> = samples.keys().copied().collect();
            let values: Vec<f64> = samples.values().copied().collect();
            let steps = kernel.windows.grid.steps;
            let (mut out, mut present) = (vec![0.0; steps], vec![false; steps]);
            kernel.evaluate(
                Samples { timestamps: &timestamps, values: &values },
                &mut Scratch::default(),
                &mut StepOutput { values: &mut out, present: &mut present },
            ).unwrap();
            if present.contains(&true) {
                let bits: Vec<Option<u64>> = out.iter().zip(&present).map(|(v, p)| p.then(|| v.to_bits())).collect();
                want.push((vec![Some(i.to_string())], bits));
            }
        }
        let got: Vec<_> = result
            .into_iter()
            .map(|(labels, values)| (labels, values.into_iter().map(|v| v.map(f64::to_bits)).collect::<Vec<_>>()))
            .collect();
        prop_assert_eq!(got, want);
    }
}
