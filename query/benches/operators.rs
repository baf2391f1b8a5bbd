//! Operators over vectors: whole queries on series in memory, one core. The leaf, which looks back once per cell, is part of each; `leaf` alone
//! shows its share.

#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use varve_query::memory::MemoryArchive;
use varve_query::{Engine, EngineOptions, QueryOptions};
use varve_storage::{FloatHistogram, Labels, SampleValue, histogram::Span};

const SERIES: usize = 1_000;
const STEPS: i64 = 1_000;
const STEP_MS: i64 = 60_000;
const BOUNDS: [&str; 10] = [
    "0.005", "0.01", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "10", "+Inf",
];

fn series(name: &str, n: usize, more: &[(&str, &str)]) -> Labels {
    let (job, instance) = (format!("job-{}", n % 10), format!("host-{n}:9100"));
    let mut pairs = vec![("__name__", name), ("instance", &instance), ("job", &job)];
    pairs.extend_from_slice(more);
    Labels::from_pairs(pairs)
}

fn samples(slope: f64) -> Vec<(i64, SampleValue)> {
    let value = |step: i64| SampleValue::Float(slope * step as f64);
    (0..STEPS).map(|i| (i * STEP_MS, value(i))).collect()
}

fn histograms(slope: f64) -> Vec<(i64, SampleValue)> {
    let histogram = |step: i64| FloatHistogram {
        count: 8.0 * slope * step as f64,
        sum: slope * step as f64,
        positive_spans: vec![Span {
            offset: -3,
            length: 8,
        }],
        positive_buckets: vec![slope * step as f64; 8],
        ..FloatHistogram::default()
    };
    let value = |step| SampleValue::Histogram(Arc::new(histogram(step)));
    (0..STEPS / 10)
        .map(|i| (i * 10 * STEP_MS, value(i)))
        .collect()
}

fn archive() -> MemoryArchive {
    let mut all = Vec::new();
    for n in 0..SERIES {
        let slope = 1.0 + (n % 17) as f64;
        all.push((series("a", n, &[]), samples(slope)));
        all.push((series("b", n, &[]), samples(slope + 0.5)));
        let (le, instance) = (BOUNDS[n % BOUNDS.len()], n / BOUNDS.len());
        let rank = (n % BOUNDS.len() + 1) as f64;
        all.push((series("buckets", instance, &[("le", le)]), samples(rank)));
        if n < SERIES / 10 {
            all.push((series("native", n, &[]), histograms(slope)));
        }
    }
    MemoryArchive::with_samples(all)
}

fn operators(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine = Engine::new(Arc::new(archive()), EngineOptions::default());
    let mut group = c.benchmark_group("query/1000_series_1000_steps");
    group.sample_size(10);
    let cells = SERIES as u64 * STEPS as u64;
    for (name, query, cells) in [
        ("leaf", "count(a)", cells),
        ("sum_by", "sum by (job) (a)", cells),
        ("avg_by", "avg by (job) (a)", cells),
        ("topk", "count(topk by (job) (5, a))", cells),
        ("join", "count(a / on (instance) b)", 2 * cells),
        ("or", "count(a or b)", 2 * cells),
        (
            "histogram_quantile",
            "count(histogram_quantile(0.9, sum by (le) (buckets)))",
            cells,
        ),
        (
            "native_histogram_sum_by",
            "count(sum by (job) (native))",
            cells / 10,
        ),
    ] {
        group.throughput(Throughput::Elements(cells));
        group.bench_function(name, |b| {
            b.iter(|| {
                let options = QueryOptions::default();
                let end_ms = (STEPS - 1) * STEP_MS;
                let result = engine.range(query, 0, end_ms, STEP_MS, &options);
                black_box(runtime.block_on(result).unwrap())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, operators);
criterion_main!(benches);
