//! How fast an exposition becomes samples, on one core: bytes and samples per second.
//!
//! `lex`: the parser alone, no series known. `first scrape`: everything, each series decoded, relabelled and hashed. `next
//! scrape`: everything, the series known: what a scrape loop does nearly always. Each for a node-like exposition of about
//! 1,500 series, in both formats.
//!
//! `cargo bench -p varve-ingest --bench exposition`; with `EXPOSITION=<file>`, for a recorded text exposition instead.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use varve_ingest::config::{Config, ScrapeConfig};
use varve_ingest::exposition::{Entry, Format, Parser};
use varve_ingest::scrape::TargetReader;
use varve_storage::Labels;

/// Families and series like those of a Node Exporter on a machine with 16 cores.
fn exposition(format: Format, round: u64) -> String {
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, series: Vec<(String, f64)>| {
        let stem = match format {
            Format::OpenMetrics | Format::Protobuf => name.strip_suffix("_total").unwrap_or(name),
            Format::Text => name,
        };
        out.push_str(&format!(
            "# HELP {stem} What {name} says about this machine.\n# TYPE {stem} {kind}\n"
        ));
        for (labels, value) in series {
            out.push_str(&format!("{name}{labels} {value}\n"));
        }
    };
    let modes = [
        "idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user",
    ];
    let cpu = (0..16).flat_map(|cpu| {
        modes.iter().map(move |mode| {
            let value = (cpu * 1000 + round) as f64 + 0.25;
            (format!("{{cpu=\"{cpu}\",mode=\"{mode}\"}}"), value)
        })
    });
    family("node_cpu_seconds_total", "counter", cpu.collect());
    for i in 0..40 {
        let devices = (0..24).map(|device| {
            let value = (device * 7_919 * (i + 1)) as f64 + round as f64 * 17.0;
            (format!("{{device=\"dm-{device}\"}}"), value)
        });
        family(
            &format!("node_disk_statistic_{i}_total"),
            "counter",
            devices.collect(),
        );
    }
    for i in 0..240 {
        let value = (i * 123_456_789 + round) as f64 / 4.0;
        family(
            &format!("node_memory_Item_{i}_bytes"),
            "gauge",
            vec![(String::new(), value)],
        );
    }
    let buckets = (0..160).map(|i| {
        (
            format!(
                "{{handler=\"/api/v1/query\",le=\"{}\"}}",
                f64::from(i) * 0.5
            ),
            (i as u64 * round) as f64,
        )
    });
    family(
        "http_request_duration_seconds_bucket",
        "histogram",
        buckets.collect(),
    );
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn job() -> Arc<ScrapeConfig> {
    let config = Config::parse("scrape_configs: [{job_name: node}]", Path::new(""));
    let config = config.unwrap_or_default();
    Arc::clone(&config.scrape_configs[0])
}

fn reader(job: &Arc<ScrapeConfig>) -> TargetReader {
    let labels = Labels::from_pairs([("instance", "localhost:9100"), ("job", "node")]);
    TargetReader::new(Arc::clone(job), labels)
}

fn lex(body: &[u8], format: Format) -> u64 {
    let mut parser = Parser::new(body, format);
    let mut samples = 0;
    while let Ok(Some(entry)) = parser.next(b"") {
        samples += u64::from(matches!(black_box(entry), Entry::Series(_)));
    }
    samples
}

fn measure(criterion: &mut Criterion, name: &str, format: Format, bodies: &[String; 2]) {
    let job = job();
    let samples = lex(bodies[0].as_bytes(), format);
    for per_byte in [true, false] {
        let unit = if per_byte { "bytes" } else { "samples" };
        let mut group = criterion.benchmark_group(format!(
            "{name} ({samples} samples, {} bytes), {unit}",
            bodies[0].len()
        ));
        group.throughput(match per_byte {
            true => Throughput::Bytes(bodies[0].len() as u64),
            false => Throughput::Elements(samples),
        });
        group.bench_function("lex", |bencher| {
            bencher.iter(|| lex(black_box(bodies[0].as_bytes()), format));
        });
        group.bench_function("first scrape", |bencher| {
            let first = |mut reader: TargetReader| reader.read(bodies[0].as_bytes(), format, 1);
            bencher.iter_batched(|| reader(&job), first, BatchSize::SmallInput);
        });
        group.bench_function("next scrape", |bencher| {
            let mut reader = reader(&job);
            let mut round = 0;
            bencher.iter(|| {
                round += 1;
                reader.read(bodies[round % 2].as_bytes(), format, round as i64)
            });
        });
        group.finish();
    }
}

fn benches(criterion: &mut Criterion) {
    if let Ok(path) = std::env::var("EXPOSITION") {
        let body = std::fs::read_to_string(&path).unwrap_or_default();
        measure(criterion, &path, Format::Text, &[body.clone(), body]);
        return;
    }
    for (name, format) in [("text", Format::Text), ("openmetrics", Format::OpenMetrics)] {
        let bodies = [exposition(format, 1), exposition(format, 2)];
        measure(criterion, name, format, &bodies);
    }
}

criterion_group!(all, benches);
criterion_main!(all);
