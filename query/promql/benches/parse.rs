//! How long it takes to read, print and lay out queries of different lengths.

#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use varve_promql::parse;

const QUERIES: [(&str, &str); 5] = [
    ("metric", "up"),
    (
        "selector",
        "http_requests_total{job=\"api\",instance=~\"node-.*\",code!~\"2..\"}",
    ),
    (
        "rate",
        "sum by (job, instance) (rate(http_requests_total{job=\"api\"}[5m]))",
    ),
    (
        "ratio",
        "sum by (job) (rate(http_requests_total{code=~\"5..\"}[5m] offset 1h)) / on (job) group_left (team) \
         sum by (job) (rate(http_requests_total[5m] offset 1h)) > bool 0.05",
    ),
    (
        "quantile",
        "histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket{env=\"prod\"}[5m]))) \
         and on (job) (avg_over_time(up{env=\"prod\"}[1h:5m] @ end()) > 0.9 unless absent(up{env=\"prod\"} == 0))",
    ),
];

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (name, query) in QUERIES {
        group.throughput(Throughput::Bytes(query.len() as u64));
        group.bench_function(name, |b| b.iter(|| parse(black_box(query)).unwrap()));
    }
    group.finish();

    let mut group = c.benchmark_group("print");
    for (name, query) in QUERIES {
        let expr = parse(query).unwrap();
        group.throughput(Throughput::Bytes(query.len() as u64));
        group.bench_function(name, |b| b.iter(|| black_box(&expr).to_string()));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
