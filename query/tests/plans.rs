//! The logical plans of query shapes over a small fixed archive, and properties that all plans must have.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;
use varve_promql::ParseOptions;
use varve_query::memory::MemoryArchive;
use varve_query::{Engine, EngineOptions, QueryOptions, QueryValue};
use varve_storage::Labels;

/// Series of two jobs with three instances, a histogram and a dimension to join.
fn archive() -> MemoryArchive {
    let mut series = Vec::new();
    let mut add = |name: &str, labels: &[(&str, &str)], start: f64, step: f64| {
        let mut pairs = vec![("__name__", name)];
        pairs.extend_from_slice(labels);
        let samples = (0..41).map(|i| (i * 30_000, start + step * i as f64));
        series.push((Labels::from_pairs(pairs), samples.collect()));
    };
    for (i, (job, instance)) in [("a", "1"), ("a", "2"), ("b", "3")].iter().enumerate() {
        let labels = [("job", *job), ("instance", *instance)];
        let i = i as f64;
        add("requests_total", &labels, 0.1 * i, 3.7 + i);
        add("errors_total", &labels, 0.0, 0.3 + 0.1 * i);
        add("memory", &labels, 100.0 - i, -0.7);
    }
    for (le, step) in [("0.1", 1.0), ("1", 3.0), ("+Inf", 4.0)] {
        add("latency_bucket", &[("job", "a"), ("le", le)], 0.0, step);
    }
    add("owner", &[("job", "a"), ("team", "x")], 1.0, 0.0);
    add("owner", &[("job", "b"), ("team", "y")], 1.0, 0.0);
    MemoryArchive::new(series)
}

fn engine(change: impl FnOnce(&mut EngineOptions)) -> Engine {
    let mut options = EngineOptions {
        parse: ParseOptions::experimental(),
        ..EngineOptions::default()
    };
    change(&mut options);
    Engine::new(Arc::new(archive()), options)
}

const SHAPES: [(&str, &str); 27] = [
    ("selector", "requests_total{job=\"a\"}"),
    ("selector_without_series", "nothing"),
    ("offset_and_at", "memory @ 600 offset 1m"),
    ("range_function", "rate(requests_total[5m])"),
    (
        "range_function_of_many_names",
        "rate({__name__=~\"requests_total|errors_total\"}[5m])",
    ),
    ("instant_function", "clamp(round(memory), 1, 99)"),
    ("vector_scalar", "memory * 2 > 10"),
    ("scalar_of_a_vector", "memory / scalar(sum(memory))"),
    ("scalars", "1 + time() / 2"),
    ("sum_by", "sum by (job) (rate(requests_total[5m]))"),
    ("sum_without", "sum without (instance) (memory)"),
    ("avg", "avg(memory)"),
    ("stddev", "stddev by (job) (memory)"),
    ("topk", "topk by (job) (1, memory)"),
    ("quantile", "quantile by (job) (0.9, memory)"),
    ("count_values", "count_values by (job) (\"mb\", memory)"),
    ("one_to_one", "errors_total / requests_total"),
    (
        "one_to_one_checked",
        "sum by (job, instance) (errors_total) / on (job, instance) memory",
    ),
    ("group_left", "memory * on (job) group_left (team) owner"),
    (
        "comparison_of_vectors",
        "memory > on (job) group_left owner",
    ),
    ("and", "memory and on (job) owner{team=\"x\"}"),
    ("or", "memory or errors_total"),
    ("unless", "memory unless on (job) owner{team=\"x\"}"),
    ("subquery", "max_over_time(rate(requests_total[2m])[5m:1m])"),
    ("absent", "absent(memory{job=\"c\"})"),
    (
        "label_replace",
        "label_replace(memory, \"job\", \"$1-x\", \"job\", \"(.*)\")",
    ),
    (
        "histogram_quantile",
        "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))",
    ),
];

/// Queries in which names that go at the end are mixed with names that stay.
const MIXED_NAMES: [&str; 5] = [
    "rate(memory[5m]) or errors_total",
    "sum by (__name__) (rate(memory[5m]) or errors_total)",
    "topk by (job) (1, -memory or on (instance, job, __name__) requests_total)",
    "label_replace(rate({__name__=~\"requests_total|errors_total\"}[5m]), \"__name__\", \"$1\", \"__name__\", \"(r).*\")",
    "quantile by (__name__, job) (0.3, label_replace(-memory, \"__name__\", \"set\", \"instance\", \"2\"))",
];

#[tokio::test]
async fn plans_have_their_shapes() {
    let engine = engine(|_| {});
    for (name, query) in SHAPES {
        let options = QueryOptions::default();
        let plan = engine
            .explain(query, 600_000, 900_000, 60_000, &options)
            .await;
        let plan = plan.unwrap_or_else(|error| panic!("{query}: {error}"));
        insta::with_settings!({ description => query, omit_expression => true }, {
            insta::assert_snapshot!(name, plan.logical);
        });
    }
}

/// All samples of a result with the bits of their values.
fn bits(value: QueryValue) -> Vec<(String, Vec<(i64, u64)>)> {
    let QueryValue::Matrix(matrix) = value else {
        panic!("a range query gives a matrix")
    };
    matrix
        .into_iter()
        .map(|series| {
            let samples = series.samples.into_iter();
            let samples = samples.map(|(t, v)| (t, if v.is_nan() { 0 } else { v.to_bits() }));
            (series.labels.to_string(), samples.collect())
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// However a plan is cut and spread, its result (or error) is the same to the last bit. Means and deviations of several partial states
    /// are not: they are computed on one partition.
    #[test]
    fn results_do_not_depend_on_execution(
        shape in 0..SHAPES.len() + MIXED_NAMES.len(),
        delayed in any::<bool>(),
        partitions in 1_usize..5,
        batch_rows in 1_usize..4,
        slice_steps in 16_usize..40,
        step_ms in 1_000_i64..20_000,
    ) {
        let (name, query) = match SHAPES.get(shape) {
            Some(shape) => *shape,
            None => ("mixed_names", MIXED_NAMES[shape - SHAPES.len()]),
        };
        prop_assume!(name != "avg" && name != "stddev");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let range = |engine: Engine| runtime.block_on(async move {
            let options = QueryOptions::default();
            let result = engine.range(query, 300_000, 1_200_000, step_ms, &options).await;
            result.map(|result| bits(result.value)).map_err(|error| error.to_string())
        });
        let whole = range(engine(|options| options.delayed_name_removal = delayed));
        let cut = range(engine(|options| {
            options.delayed_name_removal = delayed;
            options.partitions = partitions;
            options.batch_rows = Some(batch_rows);
            options.slice_cells = slice_steps;
        }));
        prop_assert_eq!(whole, cut, "{}", query);
    }
}

#[tokio::test]
async fn limits_end_a_query_with_a_reason() {
    let run = |engine: Engine, query: &'static str| async move {
        let options = QueryOptions::default();
        let result = engine.range(query, 0, 1_200_000, 1_000, &options).await;
        result.map(|result| result.stats)
    };
    let few_cells = engine(|options| options.cells_max = 100);
    let error = run(few_cells, "memory").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "query processing would load too many samples into memory in query execution"
    );
    let little_memory = engine(|options| options.memory_bytes_max = 10_000);
    let error = run(little_memory, "sum by (instance) (memory)")
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("query needs more memory than its limit allows"),
        "{error}"
    );
    let stats = run(engine(|_| {}), "sum by (instance) (memory)")
        .await
        .unwrap();
    assert!(stats.memory_peak_bytes > 10_000, "{stats:?}");
    assert_eq!((stats.series_selected, stats.series_returned), (3, 3));
}

/// Expressions as deep as the parser allows are planned and run without exhausting a stack, however small the caller's.
#[test]
fn deep_expressions_are_planned() {
    let nested = |depth: usize, before: &str, inner: &str, after: &str| {
        format!("{}{inner}{}", before.repeat(depth), after.repeat(depth))
    };
    let depth = ParseOptions::experimental().depth_max - 2;
    let deepest = [
        nested(depth, "memory + ", "memory", ""),
        nested(depth, "memory unless ", "memory", ""),
        nested(depth, "abs(", "memory", ")"),
        nested(depth, "sum by (job, instance) (", "memory", ")"),
        nested(depth / 4, "memory or ", "errors_total", ""),
        nested(depth / 4, "scalar(memory) + ", "scalar(memory)", ""),
        nested(depth / 3, "max_over_time(", "memory", "[1m:1m])"),
    ];
    let caller = std::thread::Builder::new().stack_size(1 << 20);
    let caller = caller.spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(1 << 20)
            .enable_all()
            .build()
            .unwrap();
        for query in deepest {
            let engine = engine(|options| options.partitions = 3);
            let options = QueryOptions::default();
            let result = runtime.block_on(engine.instant(&query, 0, &options));
            result.unwrap_or_else(|error| panic!("{query}: {error}"));
        }
    });
    caller.unwrap().join().unwrap();
}
