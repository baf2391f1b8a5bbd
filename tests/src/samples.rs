//! Samples to feed into Varve and into Prometheus: invented ones, and those of recorded scrapes.
//!
//! The invented ones hold what makes PromQL hard: counters with resets, histograms, gaps, stale markers, NaN, infinities,
//! labels that exist on some series only. Times are a scrape apart, a few milliseconds late like real ones,
//! and never at a whole second: a window that starts at a whole second then never starts at a sample.

mod native;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use native::native;
use varve_ingest::exposition::{Entry, ExpositionError, Format, Parser};
use varve_storage::columns::NO_START_MS;
use varve_storage::wal::SampleRow;
use varve_storage::{Labels, SampleValue, Series, SeriesRef, stale_nan};

use crate::random::Random;

/// Time between two scrapes, in milliseconds.
pub const INTERVAL_MS: i64 = 15_000;

/// Where invented samples begin: 2026-11-22T21:30:00Z, so that a few hours of them cross midnight.
pub const START_MS: i64 = 1_795_383_000_000;

const INSTANCES: [&str; 3] = ["a.example:9100", "b.example:9100", "c.example:9100"];
const BOUNDS: [&str; 6] = ["0.005", "0.05", "0.25", "1.0", "5.0", "+Inf"];

/// A sample of either kind.
pub fn row(series: &SeriesRef, timestamp_ms: i64, value: SampleValue) -> SampleRow {
    SampleRow {
        series: Arc::clone(series),
        timestamp_ms,
        start_timestamp_ms: NO_START_MS,
        value,
    }
}

/// A float sample.
pub fn float(series: &SeriesRef, timestamp_ms: i64, value: f64) -> SampleRow {
    row(series, timestamp_ms, SampleValue::Float(value))
}

/// A series of some labels.
pub fn series(labels: &[(&str, &str)]) -> SeriesRef {
    Arc::new(Series::new(Labels::from_pairs(labels.iter().copied())))
}

/// The series of one invented target.
#[derive(Debug)]
struct Target {
    up: SeriesRef,
    requests: Vec<(SeriesRef, f64)>,
    temperature: Vec<SeriesRef>,
    buckets: Vec<(SeriesRef, f64)>,
    sum: (SeriesRef, f64),
    count: (SeriesRef, f64),
    session: SeriesRef,
    odd: SeriesRef,
    build: SeriesRef,
    late_ms: i64,
}

impl Target {
    fn new(instance: &str, index: usize) -> Self {
        let one = |name: &str, more: &[(&str, &str)]| {
            let mut labels = vec![("__name__", name), ("instance", instance), ("job", "shop")];
            labels.extend_from_slice(more);
            series(&labels)
        };
        let mut requests = Vec::new();
        for method in ["GET", "POST"] {
            for code in ["200", "404", "500"] {
                let labels = [("code", code), ("method", method)];
                requests.push((one("http_requests_total", &labels), 0.0));
            }
        }
        let buckets = BOUNDS.map(|le| (one("request_seconds_bucket", &[("le", le)]), 0.0));
        let version = if index == 0 { "1.0" } else { "1.1" };
        Self {
            up: one("up", &[]),
            requests,
            temperature: ["in", "out"]
                .map(|at| one("temperature_celsius", &[("sensor", at)]))
                .to_vec(),
            buckets: buckets.to_vec(),
            sum: (one("request_seconds_sum", &[]), 0.0),
            count: (one("request_seconds_count", &[]), 0.0),
            session: one("session_active", &[("user", "ann")]),
            odd: one("odd_value", &[]),
            build: one("build_info", &[("version", version)]),
            late_ms: [3, 211, 977][index % 3],
        }
    }

    fn scrape(&mut self, random: &mut Random, scrape: i64, into: &mut Vec<SampleRow>) {
        let at = START_MS + scrape * INTERVAL_MS + self.late_ms + random.below(5) as i64;
        // A target that does not answer: `up` is 0, all else is stale.
        let down = random.one_in(40);
        into.push(float(&self.up, at, f64::from(u8::from(!down))));
        let mut put = |series: &SeriesRef, value: f64| {
            into.push(float(series, at, if down { stale_nan() } else { value }));
        };
        let restarted = random.one_in(60);
        for (series, total) in &mut self.requests {
            *total = if restarted { 0.0 } else { *total } + random.below(7) as f64;
            put(series, *total);
        }
        for (place, series) in self.temperature.iter().enumerate() {
            let value = 20.0 - 15.0 * place as f64 + 10.0 * random.fraction();
            put(series, (value * 100.0).round() / 100.0);
        }
        let observed = random.below(9);
        for _ in 0..observed {
            let seconds = random.fraction() * random.fraction() * 6.0;
            for ((_, total), bound) in self.buckets.iter_mut().zip(BOUNDS) {
                if bound.parse().is_ok_and(|bound: f64| seconds <= bound) {
                    *total += 1.0;
                }
            }
            self.sum.1 += seconds;
            self.count.1 += 1.0;
        }
        for (series, total) in self.buckets.iter().chain([&self.sum, &self.count]) {
            put(series, *total);
        }
        // A series that comes and goes within a living target, with a marker at its end.
        match scrape % 20 {
            0..12 => put(&self.session, (scrape % 5) as f64),
            12 => put(&self.session, stale_nan()),
            _ => {}
        }
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e300, 0.1];
        if !random.one_in(4) {
            put(&self.odd, *random.choose(&odd));
        }
        put(&self.build, 1.0);
    }
}

/// Scrapes of three invented targets, in order of time.
pub fn invented(seed: u64, scrapes: i64) -> Vec<SampleRow> {
    let mut random = Random::new(seed);
    let targets = INSTANCES.iter().enumerate();
    let mut targets: Vec<_> = targets.map(|(n, name)| Target::new(name, n)).collect();
    let mut rows = Vec::new();
    for scrape in 0..scrapes {
        for target in &mut targets {
            target.scrape(&mut random, scrape, &mut rows);
        }
    }
    // What Prometheus calls NaN in an exposition is one bit pattern; so is ours.
    for row in &mut rows {
        if let SampleValue::Float(value) = &mut row.value
            && value.is_nan()
            && !varve_storage::is_stale_nan(*value)
        {
            *value = f64::from_bits(varve_ingest::exposition::NORMAL_NAN);
        }
    }
    rows
}

/// Scrapes of counters that never come near 0, resets included: `sent_bytes_total` with a path.
///
/// The rate of a counter that begins near 0 depends on the version of Prometheus.
pub fn high_counters(seed: u64, scrapes: i64) -> Vec<SampleRow> {
    const FIRST: f64 = 1_000_000.0;
    let mut random = Random::new(seed);
    let mut counters = Vec::new();
    for instance in INSTANCES {
        for path in ["/a", "/b"] {
            let labels = [
                ("__name__", "sent_bytes_total"),
                ("instance", instance),
                ("job", "shop"),
                ("path", path),
            ];
            counters.push((series(&labels), FIRST, 0));
        }
    }
    let mut rows = Vec::new();
    for scrape in 0..scrapes {
        for (series, total, age) in &mut counters {
            let at = START_MS + scrape * INTERVAL_MS + 400 + random.below(9) as i64;
            *age += 1;
            *total += random.below(1_000) as f64;
            // Not twice in a row: that would bring the extrapolated zero near again.
            if *age > 15 && random.one_in(50) {
                (*total, *age) = (FIRST, 0);
            }
            match random.below(60) {
                0 => rows.push(float(series, at, stale_nan())),
                1 => {}
                _ => rows.push(float(series, at, *total)),
            }
        }
    }
    rows
}

/// Reads one recorded scrape (text format) as samples at a given time, with the labels that a scrape adds.
///
/// # Errors
/// Where the text breaks its grammar.
pub fn recorded(
    text: &[u8],
    timestamp_ms: i64,
    job: &str,
    instance: &str,
    known: &mut BTreeMap<Vec<u8>, SeriesRef>,
) -> Result<Vec<SampleRow>, ExpositionError> {
    let mut parser = Parser::new(text, Format::Text);
    let mut rows = Vec::new();
    while let Some(entry) = parser.next(b"")? {
        let Entry::Series(sample) = entry else {
            continue;
        };
        let series = match known.get(sample.series) {
            Some(series) => Arc::clone(series),
            None => {
                let mut labels = parser.labels()?;
                labels.push(("job".to_owned(), job.to_owned()));
                labels.push(("instance".to_owned(), instance.to_owned()));
                let series = Arc::new(Series::new(Labels::from_pairs(labels)));
                known.insert(sample.series.to_vec(), Arc::clone(&series));
                series
            }
        };
        rows.push(float(&series, timestamp_ms, sample.value));
    }
    Ok(rows)
}
