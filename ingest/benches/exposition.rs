//! How fast an exposition becomes samples, on one core: bytes and samples per second.
//!
//! `lex`: the parser alone, no series known. `labels`: the same, each series decoded. `first scrape`: everything, each series decoded,
//! relabelled and hashed. `next scrape`: everything, the series known: what a scrape loop does nearly always. Each for a node-like exposition of
//! about 1,500 series, as a text, in OpenMetrics (with and without start timestamps) and in protobuf; and for histograms, native and converted.
//!
//! `cargo bench -p varve-ingest --bench exposition`; with `EXPOSITION=<file>`, for a recorded exposition instead (OpenMetrics if the name ends
//! in `.om`, else text): processor seconds of a few rounds over the file, however large, which compare with those of `promtool check metrics`
//! on a machine that has other work, too.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use varve_ingest::config::{Config, ScrapeConfig};
use varve_ingest::exposition::{
    Details, Entry, Exposed, ExpositionError, Format, Parser, ReadOptions, Visitor, read,
};
use varve_ingest::scrape::TargetReader;
use varve_storage::Labels;
use varve_storage::protobuf::encode::Message;

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

/// The series of [`exposition`] in protobuf.
fn protobuf(round: u64) -> Vec<u8> {
    let text = exposition(Format::Text, round);
    let mut parser = Parser::new(text.as_bytes(), Format::Text);
    let mut body = Message::default();
    while let Ok(Some(entry)) = parser.next(b"") {
        let Entry::Series(sample) = entry else {
            continue;
        };
        let labels = parser.labels().unwrap_or_default();
        body.message(1, |family| {
            family.uint64(3, 3);
            family.string(2, "What it says about this machine.");
            for (_, value) in labels.iter().filter(|(name, _)| name == "__name__") {
                family.string(1, value);
            }
            family.message(4, |metric| {
                for (name, value) in labels.iter().filter(|(name, _)| name != "__name__") {
                    metric.message(1, |label| {
                        label.string(1, name);
                        label.string(2, value);
                    });
                }
                metric.message(5, |untyped| untyped.double(1, sample.value));
            });
        });
    }
    undelimited(&body.into_bytes())
}

/// Messages behind their lengths, out of fields of number 1: without the byte before each that says so.
fn undelimited(fields: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(fields.len());
    let mut rest = fields;
    while let Some((_, message)) = rest.split_first() {
        let (mut length, mut bytes) = (0, 0);
        while let Some(byte) = message.get(bytes) {
            length |= usize::from(byte & 0x7f) << (7 * bytes);
            bytes += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (own, others) = message.split_at((bytes + length).min(message.len()));
        body.extend_from_slice(own);
        rest = others;
    }
    body
}

/// Native histograms of 40 buckets each.
fn native(round: u64) -> Vec<u8> {
    let mut body = Message::default();
    body.message(1, |family| {
        family.string(1, "http_request_duration_seconds");
        family.uint64(3, 4);
        for series in 0..500 {
            let counts: Vec<i64> = (0..40)
                .map(|i| ((series + i * 7) % 5) * 100 + round as i64)
                .collect();
            let deltas: Vec<i64> = std::iter::once(0)
                .chain(counts.iter().copied())
                .zip(&counts)
                .map(|(before, count)| count - before)
                .collect();
            family.message(4, |metric| {
                metric.message(1, |label| {
                    label.string(1, "handler");
                    label.string(2, &format!("/api/v1/{series}"));
                });
                metric.message(7, |histogram| {
                    histogram.uint64(1, counts.iter().sum::<i64>().unsigned_abs());
                    histogram.double(2, 1.5);
                    histogram.sint32(5, 3);
                    histogram.double(6, 1e-128);
                    for (offset, length) in [(-20, 30), (2, 10)] {
                        histogram.message(12, |span| {
                            span.sint32(1, offset);
                            span.uint64(2, length);
                        });
                    }
                    histogram.sint64s(13, &deltas);
                });
            });
        }
    });
    undelimited(&body.into_bytes())
}

/// Classic histograms of 20 buckets each, as text.
fn classic(round: u64) -> Vec<u8> {
    let mut out = String::from("# TYPE h histogram\n");
    for series in 0..100 {
        let handler = format!("handler=\"/api/v1/{series}\"");
        for bucket in 0..20 {
            let count = (bucket + 1) * round;
            out.push_str(&format!(
                "h_bucket{{{handler},le=\"{bucket}.5\"}} {count}\n"
            ));
        }
        let count = 20 * round;
        out.push_str(&format!(
            "h_sum{{{handler}}} 1.5\nh_count{{{handler}}} {count}\n"
        ));
    }
    out.into_bytes()
}

fn job(options: &str) -> Arc<ScrapeConfig> {
    let text = format!("scrape_configs: [{{job_name: node{options}}}]");
    let config = Config::parse(&text, Path::new("")).unwrap_or_default();
    Arc::clone(&config.scrape_configs[0])
}

fn reader(job: &Arc<ScrapeConfig>) -> TargetReader {
    let labels = Labels::from_pairs([("instance", "localhost:9100"), ("job", "node")]);
    TargetReader::new(Arc::clone(job), labels)
}

/// Counts samples, and decodes their labels if that is wanted.
struct Counting {
    samples: u64,
    labels: bool,
}

impl Visitor for Counting {
    type Error = ExpositionError;

    fn expected(&self) -> &[u8] {
        b""
    }

    fn metadata(&mut self, entry: &Entry<'_>) {
        black_box(entry);
    }

    fn sample(&mut self, exposed: &Exposed<'_>, details: &dyn Details) -> Result<(), Self::Error> {
        self.samples += 1;
        black_box(exposed);
        if self.labels {
            black_box(details.labels()?);
        }
        Ok(())
    }
}

fn count(body: &[u8], format: Format, options: &ReadOptions, labels: bool) -> u64 {
    let mut counting = Counting { samples: 0, labels };
    if let Err(error) = read(body, format, options, &mut counting) {
        // A figure would say nothing.
        eprintln!("{error}");
        std::process::exit(1);
    }
    counting.samples
}

fn measure(
    criterion: &mut Criterion,
    name: &str,
    format: Format,
    (job, options): (&Arc<ScrapeConfig>, ReadOptions),
    bodies: &[Vec<u8>; 2],
) {
    let samples = count(&bodies[0], format, &options, false);
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
        for (stage, labels) in [("lex", false), ("labels", true)] {
            group.bench_function(stage, |bencher| {
                bencher.iter(|| count(black_box(&bodies[0]), format, &options, labels));
            });
        }
        if !options.start_timestamps {
            group.bench_function("first scrape", |bencher| {
                let first = |mut reader: TargetReader| reader.read(&bodies[0], format, 1);
                bencher.iter_batched(|| reader(job), first, BatchSize::SmallInput);
            });
            group.bench_function("next scrape", |bencher| {
                let mut reader = reader(job);
                let mut round = 0;
                bencher.iter(|| {
                    round += 1;
                    reader.read(&bodies[round % 2], format, round as i64)
                });
            });
        }
        group.finish();
    }
}

/// Seconds of the processor that this process has had, without the system's on its behalf, where `/proc` tells.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().nth(11);
    // Linux counts in hundredths of a second.
    ticks
        .and_then(|ticks| ticks.parse::<f64>().ok())
        .unwrap_or(f64::NAN)
        / 100.0
}

/// Measures a file, printed for each round: there is no need of many where it is large.
#[expect(clippy::print_stdout, reason = "that is what a benchmark is for")]
fn measure_file(path: &str) {
    let body = std::fs::read(path).unwrap_or_default();
    let format = match path.ends_with(".om") {
        true => Format::OpenMetrics,
        false => Format::Text,
    };
    for (stage, labels) in [("lex", false), ("labels", true)] {
        for _ in 0..3 {
            let before = processor_seconds();
            let samples = count(&body, format, &ReadOptions::default(), labels);
            let seconds = processor_seconds() - before;
            let megabytes = body.len() as f64 / 1e6;
            println!(
                "{stage}: {samples} samples of {megabytes:.1} MB in {seconds:.2} processor seconds, {:.0} MB/s",
                megabytes / seconds
            );
        }
    }
}

fn benches(criterion: &mut Criterion) {
    if let Ok(path) = std::env::var("EXPOSITION") {
        measure_file(&path);
        return;
    }
    let plain = job("");
    let options = plain.read_options();
    for (name, format) in [("text", Format::Text), ("openmetrics", Format::OpenMetrics)] {
        let bodies = [1, 2].map(|round| exposition(format, round).into_bytes());
        measure(criterion, name, format, (&plain, options), &bodies);
    }
    let starts = ReadOptions {
        start_timestamps: true,
        ..options
    };
    let format = Format::OpenMetrics;
    let bodies = [1, 2].map(|round| exposition(format, round).into_bytes());
    measure(
        criterion,
        "openmetrics with starts",
        format,
        (&plain, starts),
        &bodies,
    );
    let bodies = [1, 2].map(protobuf);
    measure(
        criterion,
        "protobuf",
        Format::Protobuf,
        (&plain, options),
        &bodies,
    );
    for (name, field, format, bodies) in [
        (
            "native",
            "scrape_native_histograms",
            Format::Protobuf,
            [1, 2].map(native),
        ),
        (
            "converted",
            "convert_classic_histograms_to_nhcb",
            Format::Text,
            [1, 2].map(classic),
        ),
    ] {
        let job = job(&format!(", {field}: true"));
        let options = job.read_options();
        measure(criterion, name, format, (&job, options), &bodies);
    }
}

criterion_group!(all, benches);
criterion_main!(all);
