//! The logical plans of query shapes over a small fixed archive, and properties that all plans must have.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use varve_promql::{ParseOptions, parse_with};
use varve_query::annotations::Annotations;
use varve_query::memory::MemoryArchive;
use varve_query::plan::selectors::Resolved;
use varve_query::plan::{Planner, Settings};
use varve_query::source::SourceCaches;
use varve_query::{
    Archive, Engine, EngineOptions, QueryOptions, QueryValue, StepGrid, StoredArchive,
};
use varve_storage::histogram::Span;
use varve_storage::keys::TenantKeys;
use varve_storage::wal::{Append, SampleRow, WalOptions, WalWriter};
use varve_storage::{FloatHistogram, Labels, SampleValue, Series, Store, stale_nan};
use varve_table::ArchiveReader;

/// A native histogram of the observations 1.5 and 3 times a count.
fn native(count: f64) -> FloatHistogram {
    let run = Span {
        offset: 1,
        length: 2,
    };
    FloatHistogram {
        count: 2.0 * count,
        sum: 4.5 * count,
        positive_spans: vec![run],
        positive_buckets: vec![count, count],
        ..FloatHistogram::default()
    }
}

/// Series of two jobs with three instances, histograms of both kinds, and dimensions to join.
fn series() -> Vec<(Labels, Vec<(i64, SampleValue)>)> {
    let mut series = Vec::new();
    let mut add = |name: &str, labels: &[(&str, &str)], sample: &dyn Fn(f64) -> SampleValue| {
        let mut pairs = vec![("__name__", name)];
        pairs.extend_from_slice(labels);
        let samples = (0..41).map(|i| (i * 30_000, sample(i as f64)));
        let samples: Vec<(i64, SampleValue)> = samples.collect();
        series.push((Labels::from_pairs(pairs), samples));
    };
    let line = |start: f64, step: f64| move |i: f64| SampleValue::Float(start + step * i);
    for (n, (job, instance)) in [("a", "1"), ("a", "2"), ("b", "3")].iter().enumerate() {
        let labels = [("job", *job), ("instance", *instance)];
        let n = n as f64;
        add("requests_total", &labels, &line(0.1 * n, 3.7 + n));
        add("errors_total", &labels, &line(0.0, 0.3 + 0.1 * n));
        add("memory", &labels, &line(100.0 - n, -0.7));
        let histogram = |i: f64| SampleValue::Histogram(Arc::new(native((n + 1.0) * (i + 1.0))));
        add("sizes", &labels, &histogram);
        let with_version = [labels[0], labels[1], ("version", "1")];
        add("target_info", &with_version, &line(1.0, 0.0));
    }
    for (le, step) in [("0.1", 1.0), ("1", 3.0), ("+Inf", 4.0)] {
        let labels = [("job", "a"), ("le", le)];
        add("latency_bucket", &labels, &line(0.0, step));
    }
    add("owner", &[("job", "a"), ("team", "x")], &line(1.0, 0.0));
    add("owner", &[("job", "b"), ("team", "y")], &line(1.0, 0.0));
    // Of two teams, one takes over from the other.
    for (team, steps) in [("x", 0.0..25.0), ("z", 25.0..41.0)] {
        let sample = |i: f64| match steps.contains(&i) {
            true => SampleValue::Float(2.0),
            false => SampleValue::Float(stale_nan()),
        };
        add("moved", &[("job", "a"), ("team", team)], &sample);
    }
    series
}

fn archive() -> MemoryArchive {
    MemoryArchive::with_samples(series())
}

/// The same series as a WAL segment, read as a server reads it.
async fn stored() -> StoredArchive {
    let store = Store::open(&"memory://".parse().unwrap()).unwrap();
    let keys = TenantKeys::default();
    let writer = WalWriter::open(store.objects(), keys.clone(), 0, WalOptions::default());
    let writer = writer.await.unwrap();
    let mut samples = Vec::new();
    for (labels, values) in series() {
        let series = Arc::new(Series::new(labels));
        samples.extend(values.into_iter().map(|(timestamp_ms, value)| SampleRow {
            series: Arc::clone(&series),
            timestamp_ms,
            start_timestamp_ms: 0,
            value,
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
    StoredArchive::new(reader, store, Arc::new(SourceCaches::default()))
}

fn engine(change: impl FnOnce(&mut EngineOptions)) -> Engine {
    let mut options = EngineOptions {
        parse: ParseOptions::experimental(),
        ..EngineOptions::default()
    };
    change(&mut options);
    Engine::new(Arc::new(archive()), options)
}

const SHAPES: [(&str, &str); 139] = [
    // Selectors and range functions.
    ("selector", r#"requests_total{job="a"}"#),
    ("selector_without_series", "nothing"),
    (
        "selector_of_many_names",
        r#"{__name__=~"requests_total|errors_total"}"#,
    ),
    ("offset", "memory offset 1m"),
    ("offset_and_at", "memory @ 600 offset 1m"),
    ("range_function", "rate(requests_total[5m])"),
    (
        "range_function_of_many_names",
        r#"rate({__name__=~"requests_total|errors_total"}[5m])"#,
    ),
    (
        "range_function_with_argument",
        "quantile_over_time(0.9, memory[5m])",
    ),
    (
        "range_function_that_warns",
        "quantile_over_time(1.5, memory[5m])",
    ),
    (
        "range_function_of_a_step_argument",
        "predict_linear(memory[5m], time())",
    ),
    (
        "range_function_of_a_vector_argument",
        "predict_linear(memory[5m], scalar(sum(owner)))",
    ),
    (
        "range_function_that_keeps_names",
        "last_over_time(memory[5m])",
    ),
    ("rate_of_a_gauge", "sum(rate(memory[5m]))"),
    ("anchored", "increase(requests_total[5m] anchored)"),
    ("smoothed", "rate(requests_total[5m] smoothed)"),
    ("smoothed_selector", "memory smoothed"),
    ("subquery", "max_over_time(rate(requests_total[2m])[5m:1m])"),
    (
        "subquery_of_a_subquery",
        "max_over_time(avg_over_time(rate(requests_total[2m])[5m:1m])[10m:2m])",
    ),
    (
        "subquery_with_offset_and_at",
        "sum_over_time(memory[5m:1m] @ 600 offset 1m)",
    ),
    (
        "subquery_with_offset",
        "sum_over_time(memory[5m:1m] offset 1m)",
    ),
    (
        "subquery_of_a_scalar",
        "sum_over_time(vector(time())[5m:1m])",
    ),
    ("subquery_of_a_counter", "rate(requests_total[5m:1m])"),
    (
        "subquery_of_many_names",
        r#"max_over_time({__name__=~"requests_total|errors_total"}[5m:1m])"#,
    ),
    // Parts that do not depend on the step.
    ("at_start", "memory - memory @ start()"),
    (
        "step_invariant_aggregation",
        "memory / on (job) group_left sum by (job) (rate(requests_total[5m] @ end()))",
    ),
    (
        "step_invariant_operation",
        "memory @ start() - memory @ end()",
    ),
    // Functions of each sample.
    ("instant_function", "clamp(round(memory), 1, 99)"),
    (
        "instant_function_of_many_names",
        r#"abs({__name__=~"requests_total|errors_total"})"#,
    ),
    (
        "instant_function_of_a_vector_argument",
        r#"clamp_max(memory, scalar(owner{team="x"}))"#,
    ),
    ("unary_minus", "-memory"),
    ("date", "hour(memory)"),
    ("date_of_the_step", "day_of_week()"),
    ("timestamp_of_a_selector", "timestamp(memory)"),
    ("timestamp_of_a_vector", "timestamp(memory * 1)"),
    ("vector_scalar", "memory * 2 > 10"),
    ("scalar_vector", "10 < memory"),
    ("vector_scalar_bool", "memory > bool 10"),
    ("scalars", "1 + time() / 2"),
    ("scalar_of_a_vector", "memory / scalar(sum(memory))"),
    (
        "scalars_of_vectors",
        r#"-scalar(memory{instance="1"}) + scalar(owner{team="x"}) * 2"#,
    ),
    ("vector_of_a_scalar", "vector(time())"),
    (
        "vector_of_a_vector",
        r#"vector(scalar(memory{instance="1"}))"#,
    ),
    ("sort", "sort(memory)"),
    ("sort_by_label", r#"sort_by_label(memory, "instance")"#),
    // Aggregations.
    ("sum", "sum(memory)"),
    ("sum_by", "sum by (job) (rate(requests_total[5m]))"),
    ("sum_without", "sum without (instance) (memory)"),
    (
        "sum_of_many_names",
        r#"sum by (job) ({__name__=~"requests_total|errors_total"})"#,
    ),
    (
        "sum_of_rates_of_many_names",
        r#"sum by (job) (rate({__name__=~"requests_total|errors_total"}[5m]))"#,
    ),
    ("sum_of_a_sum", "sum(sum by (job, instance) (memory))"),
    ("count", "count by (job) (memory)"),
    ("group", "group without (job) (memory)"),
    ("min", "min(memory)"),
    ("max", "max(memory)"),
    ("avg", "avg(memory)"),
    ("stddev", "stddev by (job) (memory)"),
    ("stdvar", "stdvar(memory)"),
    ("topk", "topk by (job) (1, memory)"),
    (
        "topk_of_a_vector_parameter",
        "topk(scalar(count(owner)), memory)",
    ),
    ("bottomk", "bottomk(time() / 300, memory)"),
    ("limitk", "limitk without (instance) (1, memory)"),
    ("limit_ratio", "limit_ratio(0.5, memory)"),
    ("quantile", "quantile by (job) (0.9, memory)"),
    (
        "quantile_of_a_vector_parameter",
        r#"quantile(scalar(memory{instance="1"}) / 100, memory)"#,
    ),
    ("count_values", r#"count_values by (job) ("mb", memory)"#),
    // Matching.
    ("one_to_one", "errors_total / requests_total"),
    (
        "one_to_one_on",
        "errors_total / on (job, instance) requests_total",
    ),
    (
        "one_to_one_ignoring",
        r#"sum by (job) (errors_total) / ignoring (team) sum by (job, team) (owner{team="x"})"#,
    ),
    (
        "one_to_one_of_aggregations",
        "sum by (job, instance) (errors_total) / on (job, instance) memory",
    ),
    ("one_to_one_checked", "moved / on (job) moved"),
    ("one_to_one_checked_filter", "moved >= on (job) moved"),
    (
        "one_to_one_by_series",
        r#"errors_total{instance!="2"} / on (job) memory{instance!="2"}"#,
    ),
    ("one_to_one_bool", "errors_total < bool requests_total"),
    ("one_to_one_filter", "errors_total < requests_total"),
    (
        "one_to_one_without_labels",
        "sum(errors_total) / sum(requests_total)",
    ),
    ("one_to_one_of_a_part", "memory + memory"),
    ("group_left", "memory * on (job) group_left (team) owner"),
    (
        "group_left_proven",
        "memory / on (job) group_left sum by (job) (memory)",
    ),
    (
        "group_left_checked",
        "memory * on (job) group_left (team) moved",
    ),
    (
        "group_left_of_many_names",
        r#"{__name__=~"requests_total|errors_total"} * on (job) group_left owner"#,
    ),
    ("group_left_bool", "memory > bool on (job) group_left owner"),
    ("group_right", "owner * on (job) group_right (team) memory"),
    (
        "group_right_checked",
        "moved * on (job) group_right (team) memory",
    ),
    (
        "comparison_of_vectors",
        "memory > on (job) group_left owner",
    ),
    (
        "comparison_of_many_names",
        r#"{__name__=~"requests_total|errors_total"} > on (job) group_left (team) owner"#,
    ),
    (
        "comparison_checked",
        "memory > on (job) group_left (instance) owner",
    ),
    (
        "fill",
        "sum by (job) (errors_total) + fill(0) sum by (job) (owner)",
    ),
    (
        "fill_left",
        r#"errors_total{job="a"} + fill_left(0) requests_total"#,
    ),
    (
        "fill_right",
        r#"errors_total + fill_right(0) requests_total{job="a"}"#,
    ),
    (
        "fill_of_a_group",
        r#"memory * on (job) group_left (team) fill_right(1) owner{team="x"}"#,
    ),
    // Set operators.
    ("and", r#"memory and on (job) owner{team="x"}"#),
    ("and_ignoring", "memory and ignoring (team) errors_total"),
    ("and_without_labels", "memory and on () vector(1)"),
    ("or", "memory or errors_total"),
    ("or_on", "memory or on (job) owner"),
    ("or_ignoring", "memory or ignoring (team) owner"),
    ("unless", r#"memory unless on (job) owner{team="x"}"#),
    ("unless_ignoring", "memory unless ignoring (instance) owner"),
    // Functions of all series together, and of labels.
    ("absent", r#"absent(memory{job="a"})"#),
    ("absent_without_series", r#"absent(memory{job="c"})"#),
    (
        "absent_over_time",
        r#"absent_over_time(memory{job="a"}[5m])"#,
    ),
    (
        "label_replace",
        r#"label_replace(memory, "job", "$1-x", "job", "(.*)")"#,
    ),
    (
        "label_replace_of_a_new_label",
        r#"label_replace(memory, "zone", "$1", "instance", "(.*)")"#,
    ),
    (
        "label_join",
        r#"label_join(memory, "place", "/", "job", "instance")"#,
    ),
    ("info", "info(memory)"),
    (
        "info_of_some_labels",
        r#"sum by (version) (info(memory, {version=~".+"}))"#,
    ),
    (
        "histogram_quantile",
        "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))",
    ),
    (
        "histogram_quantile_of_a_selector",
        "histogram_quantile(0.9, latency_bucket)",
    ),
    (
        "histogram_quantiles",
        r#"histogram_quantiles(latency_bucket, "q", 0.5, 0.9)"#,
    ),
    (
        "histogram_fraction",
        "histogram_fraction(0, 1, rate(latency_bucket[5m]))",
    ),
    // Native histograms.
    ("native_selector", "sizes"),
    ("native_rate", "rate(sizes[5m])"),
    ("native_subquery", "rate(sizes[5m:1m])"),
    ("native_timestamp", "timestamp(sizes)"),
    ("native_count_over_time", "count_over_time(sizes[5m])"),
    ("native_operation", "sizes - sizes @ start()"),
    ("native_vector_scalar", "-sizes * 2"),
    ("native_trim", "sizes </ 2 >/ 1"),
    ("native_sum", "sum by (job) (rate(sizes[5m]))"),
    ("native_avg", "avg(sizes)"),
    ("native_count", "count(sizes)"),
    ("native_max", "max(sizes)"),
    ("native_topk", "topk(1, sizes)"),
    ("native_limitk", "limitk(1, sizes)"),
    ("native_limit_ratio", "limit_ratio(0.5, sizes)"),
    ("native_quantile_of_floats", "quantile(0.9, sizes)"),
    ("native_count_values", r#"count_values("value", sizes)"#),
    ("native_sort", "sort(sizes)"),
    ("native_absent", "absent(sizes)"),
    ("native_or", "memory or sizes"),
    ("native_and", "memory and sizes"),
    (
        "native_sum_of_both_kinds",
        r#"sum by (job) ({__name__=~"memory|sizes"})"#,
    ),
    (
        "native_histogram_quantile",
        "histogram_quantile(0.9, sum by (job) (rate(sizes[5m])))",
    ),
    (
        "native_histogram_quantiles",
        r#"histogram_quantiles(sizes, "q", 0.5, 0.9)"#,
    ),
    (
        "native_histogram_fraction",
        "histogram_fraction(0, 2, sizes)",
    ),
    ("native_histogram_count", "histogram_count(rate(sizes[5m]))"),
    (
        "native_histogram_avg",
        "histogram_avg(sum by (job) (sizes))",
    ),
    ("native_histogram_stddev", "histogram_stddev(sizes)"),
    ("native_fill", r#"sizes + fill_right(0) memory{job="a"}"#),
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

/// Plans down to the samples, and how they are executed.
#[tokio::test]
async fn plans_reach_the_archive() {
    let shapes = [
        ("stored_sum", "sum by (job) (rate(requests_total[5m]))"),
        ("stored_histograms", "histogram_count(sizes)"),
        ("stored_scalar", "memory * scalar(sum(owner))"),
        (
            "stored_matching",
            "memory * on (job) group_left sum by (job) (owner)",
        ),
        ("stored_set", "memory unless on (job) owner"),
        ("stored_rank", "topk by (job) (1, memory)"),
    ];
    let options = EngineOptions {
        parse: ParseOptions::experimental(),
        ..EngineOptions::default()
    };
    let engine = Engine::new(Arc::new(stored().await), options);
    // The histograms that show in a parameter have it planned anew.
    let parameter = "topk(scalar(count(sizes)), memory)";
    let by = QueryOptions::default();
    let plan = engine.explain(parameter, 600_000, 900_000, 60_000, &by);
    let logical = plan.await.unwrap().logical;
    assert!(logical.contains("topk(value, Float64(3))"), "{logical}");
    for (name, query) in shapes {
        let (options, grid) = (QueryOptions::default(), (600_000, 900_000, 60_000));
        // Which metrics have native histograms is known from the first query on.
        let run = engine.range(query, grid.0, grid.1, grid.2, &options).await;
        run.unwrap_or_else(|error| panic!("{query}: {error}"));
        let plan = engine
            .explain(query, grid.0, grid.1, grid.2, &options)
            .await;
        let plan = plan.unwrap_or_else(|error| panic!("{query}: {error}"));
        insta::with_settings!({ description => query, omit_expression => true }, {
            insta::assert_snapshot!(name, format!("{}\n\n{}", plan.logical, plan.physical));
        });
    }
}

/// The plan that is made when one that fails at any duplicate has failed: it looks where the other side has samples.
#[tokio::test]
async fn duplicates_are_looked_at_where_they_matter() {
    let query = "errors_total * on (job) group_left memory";
    let expr = parse_with(query, &ParseOptions::experimental()).unwrap();
    let grid = StepGrid::range(600_000, 900_000, 60_000);
    let settings = Settings {
        lookback_ms: 300_000,
        subquery_step_ms: 60_000,
        delayed_name_removal: false,
        use_start_timestamps: false,
    };
    let source = archive().open().await.unwrap().source;
    let resolved = Resolved::of(&expr, grid, settings, source.as_ref());
    let resolved = resolved.await.unwrap();
    let notes = Annotations::new(query);
    let planner = Planner::new(source.as_ref(), &resolved, &notes, grid, settings);
    let plan = planner.lenient(true).vector(&expr, grid).unwrap().plan;
    let plan = SessionContext::new().state().optimize(&plan).unwrap();
    insta::with_settings!({ description => query, omit_expression => true }, {
        insta::assert_snapshot!("lenient", plan.display_indent());
    });
}

/// Samples as (time, bits of the value).
type Samples = Vec<(i64, Vec<u8>)>;

/// All samples of a result by series.
fn bits(value: QueryValue) -> Vec<(String, Samples)> {
    let QueryValue::Matrix(matrix) = value else {
        panic!("a range query gives a matrix")
    };
    let float = |v: f64| if v.is_nan() { f64::NAN } else { v };
    matrix
        .into_iter()
        .map(|series| {
            let floats = series.samples.into_iter();
            let floats = floats.map(|(t, v)| (t, float(v).to_bits().to_le_bytes().to_vec()));
            let histograms = series.histograms.iter().map(|(t, h)| (*t, h.encode()));
            let samples = floats.chain(histograms).collect();
            (series.labels.to_string(), samples)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
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
        prop_assume!(!["avg", "stddev", "stdvar"].contains(&name));
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
