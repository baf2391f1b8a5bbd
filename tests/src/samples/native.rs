//! Invented native histograms, with what makes them hard: resets, coarser and finer buckets, wider zero buckets, gauges, custom
//! bounds that change, series that were floats before, and stale markers of both kinds.
//!
//! Counts are whole numbers and sums are eighths, so that sums of them are exact in whatever order and with whatever compensation they
//! are added: versions of Prometheus differ there. Counters begin high, because a version may or may not
//! extrapolate a histogram's rate beyond the time when it would have been empty.

use std::collections::BTreeMap;
use std::sync::Arc;

use varve_storage::histogram::{CounterResetHint, FloatHistogram, SCHEMA_CUSTOM, Span};
use varve_storage::wal::SampleRow;
use varve_storage::{SampleValue, SeriesRef, stale_nan};

use super::{INSTANCES, INTERVAL_MS, START_MS, float, row, series};
use crate::random::Random;

/// Observations that a counter has after a start, at least.
const FIRST: u64 = 3_000;

/// Bounds of custom buckets, and those that a changing series has in turn.
const CUSTOM: [&[f64]; 3] = [
    &[0.1, 0.5, 1.0, 5.0],
    &[0.1, 0.5, 2.0, 5.0, 10.0],
    &[0.5, 5.0],
];

/// What was observed so far.
#[derive(Clone, Debug, Default)]
struct Observed {
    schema: i32,
    zero_threshold: f64,
    zero: f64,
    eighths: f64,
    positive: BTreeMap<i32, f64>,
    negative: BTreeMap<i32, f64>,
    bounds: &'static [f64],
}

impl Observed {
    fn exponential(random: &mut Random, schema: i32) -> Self {
        let mut observed = Self {
            schema,
            ..Self::default()
        };
        observed.observe(random, FIRST);
        observed
    }

    fn custom(random: &mut Random, bounds: &'static [f64]) -> Self {
        let mut observed = Self {
            schema: SCHEMA_CUSTOM,
            bounds,
            ..Self::default()
        };
        observed.observe(random, FIRST);
        observed
    }

    /// So many observations more, some of them in buckets that were empty before.
    fn observe(&mut self, random: &mut Random, number: u64) {
        for _ in 0..number {
            self.eighths += random.below(40) as f64;
            if self.schema == SCHEMA_CUSTOM {
                let index = random.below(self.bounds.len() as u64 + 1) as i32;
                *self.positive.entry(index).or_default() += 1.0;
                continue;
            }
            let doubling = 1 << self.schema;
            let index = random.below(7 * doubling) as i32 - 3 * doubling as i32;
            let hidden = self.zero_threshold > 0.0 && index <= self.lowest();
            match random.below(12) {
                0 => self.zero += 1.0,
                _ if hidden => self.zero += 1.0,
                1 => *self.negative.entry(index / 2).or_default() += 1.0,
                _ => *self.positive.entry(index).or_default() += 1.0,
            }
        }
    }

    /// The last bucket within a zero bucket of a quarter.
    fn lowest(&self) -> i32 {
        -2 << self.schema
    }

    /// Half as many buckets, as clients do when they have too many.
    fn coarser(&mut self) {
        let halve = |side: &BTreeMap<i32, f64>| {
            let mut halved = BTreeMap::new();
            for (index, count) in side {
                *halved.entry(((index - 1) >> 1) + 1).or_default() += count;
            }
            halved
        };
        if self.schema > 0 {
            self.schema -= 1;
            (self.positive, self.negative) = (halve(&self.positive), halve(&self.negative));
        }
    }

    /// A zero bucket up to a quarter, which swallows the buckets below.
    fn wider_zero(&mut self) {
        self.zero_threshold = 0.25;
        let rest = self.lowest() + 1;
        for side in [&mut self.positive, &mut self.negative] {
            let kept = side.split_off(&rest);
            self.zero += side.values().sum::<f64>();
            *side = kept;
        }
    }

    fn histogram(&self, hint: CounterResetHint) -> FloatHistogram {
        let (positive_spans, positive_buckets) = spans(&self.positive);
        let (negative_spans, negative_buckets) = spans(&self.negative);
        let buckets = positive_buckets.iter().chain(&negative_buckets);
        FloatHistogram {
            counter_reset_hint: hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero,
            count: self.zero + buckets.sum::<f64>(),
            sum: self.eighths / 8.0,
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            custom_values: self.bounds.to_vec(),
        }
    }
}

fn spans(side: &BTreeMap<i32, f64>) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = None;
    for index in side.keys() {
        match (spans.last_mut(), next) {
            (Some(span), Some(next)) if next == *index => span.length += 1,
            _ => spans.push(Span {
                offset: index - next.unwrap_or(0),
                length: 1,
            }),
        }
        next = Some(index + 1);
    }
    (spans, side.values().copied().collect())
}

/// The histograms of one invented target.
#[derive(Debug)]
struct Target {
    counters: Vec<(SeriesRef, Observed)>,
    gauge: SeriesRef,
    custom: (SeriesRef, Observed),
    changing: (SeriesRef, Observed),
    mixed: (SeriesRef, Observed),
    late_ms: i64,
}

impl Target {
    fn new(random: &mut Random, instance: &str, index: i64) -> Self {
        let one = |name: &str, more: &[(&str, &str)]| {
            let mut labels = vec![("__name__", name), ("instance", instance), ("job", "shop")];
            labels.extend_from_slice(more);
            series(&labels)
        };
        let paths = ["/a", "/b"].map(|path| {
            let series = one("native_seconds", &[("path", path)]);
            (series, Observed::exponential(random, 2))
        });
        Self {
            counters: paths.to_vec(),
            gauge: one("native_gauge", &[]),
            custom: (
                one("custom_seconds", &[]),
                Observed::custom(random, CUSTOM[0]),
            ),
            changing: (
                one("custom_changing", &[]),
                Observed::custom(random, CUSTOM[0]),
            ),
            mixed: (one("mixed_kind", &[]), Observed::exponential(random, 1)),
            late_ms: 5 + index * 300,
        }
    }

    fn scrape(&mut self, random: &mut Random, scrape: i64, scrapes: i64) -> Vec<SampleRow> {
        let mut rows = Vec::new();
        let at = START_MS + scrape * INTERVAL_MS + self.late_ms + random.below(5) as i64;
        let down = random.one_in(40);
        let mut put = |series: &SeriesRef, histogram: FloatHistogram| {
            let marker = FloatHistogram {
                sum: stale_nan(),
                ..FloatHistogram::default()
            };
            rows.push(match down {
                // A target that went away leaves either kind of marker: Prometheus makes one of the other.
                true if scrape % 2 == 0 => float(series, at, stale_nan()),
                true => row(series, at, SampleValue::Histogram(Arc::new(marker))),
                false => row(series, at, SampleValue::Histogram(Arc::new(histogram))),
            });
        };
        for (series, observed) in &mut self.counters {
            match random.below(90) {
                0 => *observed = Observed::exponential(random, 2),
                1 => *observed = Observed::exponential(random, 3),
                2 => observed.coarser(),
                3 => observed.wider_zero(),
                _ => observed.observe(random, scrape as u64 % 7),
            }
            put(series, observed.histogram(CounterResetHint::Unknown));
        }
        let mut level = Observed {
            schema: random.below(3) as i32,
            ..Observed::default()
        };
        let number = random.below(30);
        level.observe(random, number);
        put(&self.gauge, level.histogram(CounterResetHint::Gauge));
        for (series, observed) in [&mut self.custom, &mut self.changing] {
            if random.one_in(60) {
                *observed = Observed::custom(random, observed.bounds);
            }
            let number = random.below(5);
            observed.observe(random, number);
            put(series, observed.histogram(CounterResetHint::Unknown));
        }
        if random.one_in(50) {
            let bounds = *random.choose::<&'static [f64]>(&CUSTOM);
            self.changing.1 = Observed::custom(random, bounds);
        }
        // Floats first; then histograms; and near the end both in turn.
        let (series, observed) = &mut self.mixed;
        observed.observe(random, 2);
        match scrape * 10 / scrapes {
            0..4 => rows.push(float(series, at, scrape as f64)),
            9 if scrape % 8 < 3 => rows.push(float(series, at, scrape as f64)),
            _ => put(series, observed.histogram(CounterResetHint::Unknown)),
        }
        rows
    }
}

/// Scrapes of the histograms of three invented targets, in order of time, with the hints that Prometheus's storage would give them.
pub fn native(seed: u64, scrapes: i64) -> Vec<SampleRow> {
    let mut random = Random::new(seed);
    let mut targets = Vec::new();
    for (index, instance) in (0..).zip(INSTANCES) {
        targets.push(Target::new(&mut random, instance, index));
    }
    let mut rows = Vec::new();
    for scrape in 0..scrapes {
        for target in &mut targets {
            rows.extend(target.scrape(&mut random, scrape, scrapes));
        }
    }
    hint(&mut rows);
    rows
}

/// Gives every histogram the hint that it has once it is stored behind its predecessor. Rows must be in order of time.
fn hint(rows: &mut [SampleRow]) {
    let mut previous: BTreeMap<_, Arc<FloatHistogram>> = BTreeMap::new();
    for row in rows {
        let labels = row.series.labels.clone();
        match &mut row.value {
            SampleValue::Float(_) => {
                previous.remove(&labels);
            }
            SampleValue::Histogram(histogram) => {
                let before = previous.get(&labels).map(Arc::as_ref);
                let hint = histogram.stored_hint(before);
                Arc::make_mut(histogram).counter_reset_hint = hint;
                previous.insert(labels, Arc::clone(histogram));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn histograms_are_valid_and_of_all_kinds() {
        let rows = native(1, 400);
        let mut hints = BTreeMap::new();
        let mut schemas = BTreeMap::new();
        for row in &rows {
            if let SampleValue::Histogram(histogram) = &row.value
                && !row.value.is_stale()
            {
                histogram.validate().unwrap();
                *hints.entry(histogram.counter_reset_hint).or_insert(0) += 1;
                *schemas.entry(histogram.schema).or_insert(0) += 1;
            }
        }
        assert_eq!(hints.len(), 3, "{hints:?}");
        assert!(schemas.len() >= 4, "{schemas:?}");
        assert!(rows.iter().filter(|row| row.value.is_stale()).count() > 20);
    }
}
