//! The leaf of a plan: range functions on one series, and a scan with its windows over a day of a metric.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;

use async_trait::async_trait;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datafusion::catalog::Session;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use object_store::memory::InMemory;
use object_store::path::Path;
use varve_promql::{MatchOp, Matcher, Span};
use varve_query::StepGrid;
use varve_query::annotations::{Annotations, NotesAt};
use varve_query::kernels::{
    RangeFunction, Samples, Scratch, StepArg, StepOutput, WindowGrid, evaluate_range,
};
use varve_query::selector::{Evaluation, ResolvedSelector, SelectorSource, SelectorSpec};
use varve_query::source::{ArchiveFile, ArchiveParts, ArchiveSource, SourceCaches};
use varve_query::window::SeriesWindowPlanner;
use varve_storage::rows::{SeriesSamples, samples_batch};
use varve_storage::store::Store;
use varve_storage::{Labels, Series, SeriesRef};
use varve_table::{TableFileWriter, TableKind};

const DAY_MS: i64 = 86_400_000;
const SCRAPE_MS: i64 = 15_000;
const SLICE_MS: i64 = 7_200_000;
const SERIES: usize = 1_000;

/// A counter that is reset every few hours.
fn value(series: usize, time_ms: i64) -> f64 {
    let since_reset = time_ms % (5_400_000 + 60_000 * series as i64);
    (since_reset / 100 * (1 + series as i64 % 17)) as f64
}

fn windows() -> WindowGrid {
    WindowGrid {
        grid: StepGrid::range(0, DAY_MS - 1, 60_000),
        range_ms: 300_000,
        offset_ms: 0,
        at_ms: None,
    }
}

fn kernels(c: &mut Criterion) {
    let timestamps: Vec<i64> = (0..DAY_MS / SCRAPE_MS).map(|i| i * SCRAPE_MS).collect();
    let values: Vec<f64> = timestamps.iter().map(|t| value(3, *t)).collect();
    let windows = windows();
    let steps = windows.grid.steps;
    let (mut out, mut present) = (vec![0.0; steps], vec![false; steps]);
    let mut scratch = Scratch::default();
    let mut group = c.benchmark_group("kernel/day_of_15s_range_5m_step_1m");
    group.throughput(Throughput::Elements(timestamps.len() as u64));
    for function in [
        RangeFunction::Rate,
        RangeFunction::SumOverTime,
        RangeFunction::MaxOverTime,
        RangeFunction::AvgOverTime,
        RangeFunction::Deriv,
        RangeFunction::QuantileOverTime,
    ] {
        // Only a quantile has an argument.
        let args = vec![StepArg::Constant(0.9); function.scalar_args()];
        group.bench_function(function.name(), |b| {
            b.iter(|| {
                evaluate_range(
                    function,
                    &args,
                    black_box(Samples {
                        timestamps: &timestamps,
                        values: &values,
                    }),
                    &windows,
                    &mut scratch,
                    &mut StepOutput {
                        values: &mut out,
                        present: &mut present,
                    },
                )
            });
        });
    }
    group.finish();
}

struct Planner;

impl std::fmt::Debug for Planner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Planner")
    }
}

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(SeriesWindowPlanner)])
            .create_physical_plan(plan, session)
            .await
    }
}

/// A day file of one metric, and the selector of all its series.
async fn day_file(store: &Store) -> (ArchiveParts, ResolvedSelector) {
    let mut series: Vec<SeriesRef> = (0..SERIES)
        .map(|i| {
            let instance = format!("host-{i:04}:9100");
            let job = format!("job-{}", i % 10);
            let pairs = [
                ("__name__", "requests_total"),
                ("instance", &instance),
                ("job", &job),
            ];
            Arc::new(Series::new(Labels::from_pairs(pairs)))
        })
        .collect();
    series.sort_by_key(|s| s.id);
    let date = "1970-01-01".parse().unwrap();
    let mut writer = TableFileWriter::new(TableKind::Samples, date, 2);
    for (number, one) in series.iter().enumerate() {
        let slices: Vec<SeriesSamples> = (0..DAY_MS / SLICE_MS)
            .map(|slice| {
                let mut rows = SeriesSamples::new(Arc::clone(one));
                rows.timestamps = (0..SLICE_MS / SCRAPE_MS)
                    .map(|i| slice * SLICE_MS + i * SCRAPE_MS)
                    .collect();
                rows.values = rows.timestamps.iter().map(|t| value(number, *t)).collect();
                rows
            })
            .collect();
        writer.write(&samples_batch(&slices).unwrap()).unwrap();
    }
    let file = writer.finish(0).unwrap().unwrap();
    let root = Path::from("samples");
    file.put(store.objects().as_ref(), &root).await.unwrap();
    let name = Some("requests_total".to_owned());
    let parts = ArchiveParts {
        samples: vec![Arc::new(ArchiveFile {
            key: file
                .path
                .split('/')
                .fold(root, |path, part| path.join(part)),
            size_bytes: file.bytes.len() as u64,
            min_name: name.clone(),
            max_name: name,
            min_time_ms: 0,
            max_time_ms: DAY_MS - 1,
        })],
        ..ArchiveParts::default()
    };
    let spec = SelectorSpec {
        matchers: vec![Matcher::new("__name__", MatchOp::Equal, "requests_total")],
        min_ms: 0,
        max_ms: DAY_MS,
    };
    let series = series.into();
    let resolved = ResolvedSelector {
        spec,
        series,
        histograms: false,
        statistics_only: false,
        start_timestamps: false,
    };
    (parts, resolved)
}

fn scan(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Store::from_object_store(Arc::new(InMemory::new()));
    let (parts, resolved) = runtime.block_on(day_file(&store));
    let source = ArchiveSource::new(
        Arc::new(parts),
        store.objects(),
        Arc::new(SourceCaches::default()),
    );
    let evaluation = Evaluation::Range {
        function: RangeFunction::Rate,
        args: Vec::new(),
    };
    let labels = ["job".to_owned()];
    let notes = NotesAt {
        annotations: Annotations::new(""),
        span: Span::new(0, 0),
    };
    let plan = source
        .plan(&resolved, &labels, &evaluation, &windows(), &notes)
        .unwrap();
    let mut group = c.benchmark_group("scan_and_rate/1000_series_day_of_15s");
    group.sample_size(10);
    group.throughput(Throughput::Elements(
        (SERIES as i64 * DAY_MS / SCRAPE_MS) as u64,
    ));
    for partitions in [1, 2] {
        let environment = Arc::new(RuntimeEnv::default());
        source.register(&environment);
        let config = SessionConfig::new()
            .with_target_partitions(partitions)
            .with_prefer_existing_sort(partitions > 1)
            .with_batch_size(1024);
        let state = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_runtime_env(environment)
            .with_query_planner(Arc::new(Planner))
            .build();
        group.bench_function(format!("{partitions}_partitions"), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let optimized = state.optimize(&plan).unwrap();
                    let physical = state.create_physical_plan(&optimized).await.unwrap();
                    collect(physical, state.task_ctx()).await.unwrap()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, kernels, scan);
criterion_main!(benches);
