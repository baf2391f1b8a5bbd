//! Samples for tests.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::{Append, SampleRow, SegmentContent};
use crate::columns::NO_START_MS;
use crate::exemplar::Exemplar;
use crate::histogram::{CounterResetHint, FloatHistogram, Span};
use crate::labels::{Labels, Series, SeriesRef};
use crate::metadata::{MetricMetadata, MetricType};
use crate::rows::SampleSet;
use crate::sample::{SampleValue, stale_nan};

pub(super) fn series(pairs: &[(&str, &str)]) -> SeriesRef {
    Arc::new(Series::new(Labels::from_pairs(pairs.iter().copied())))
}

pub(super) fn counter(number: usize) -> SeriesRef {
    let number = number.to_string();
    series(&[("__name__", "requests_total"), ("path", &number)])
}

pub(super) fn float(series: &SeriesRef, timestamp_ms: i64, value: f64) -> SampleRow {
    SampleRow {
        series: Arc::clone(series),
        timestamp_ms,
        start_timestamp_ms: NO_START_MS,
        value: SampleValue::Float(value),
    }
}

pub(super) fn histogram(count: f64) -> Arc<FloatHistogram> {
    Arc::new(FloatHistogram {
        counter_reset_hint: CounterResetHint::NotCounterReset,
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 2.0,
        count,
        sum: 17.25,
        positive_spans: vec![
            Span {
                offset: -2,
                length: 2,
            },
            Span {
                offset: 3,
                length: 1,
            },
        ],
        positive_buckets: vec![1.0, 2.0, count],
        negative_spans: Vec::new(),
        negative_buckets: Vec::new(),
        custom_values: Vec::new(),
    })
}

/// One sample of a counter, different for every number.
pub(super) fn append(number: usize) -> Append {
    Append {
        samples: vec![float(
            &counter(number),
            1_000 + number as i64,
            number as f64,
        )],
        ..Append::default()
    }
}

/// A segment with everything in it: floats, markers, histograms, names outside ASCII, metadata, exemplars.
pub(super) fn everything() -> SegmentContent {
    let mut set = SampleSet::default();
    let up = series(&[("__name__", "up"), ("job", "node"), ("instance", "a:9100")]);
    let latency = series(&[("__name__", "latency_seconds"), ("Zone", "zürich")]);
    let nameless = series(&[("job", "rule"), ("A", "b")]);
    let push = |set: &mut SampleSet, series: &SeriesRef, at, value| {
        set.push(series, at, &value).unwrap();
    };
    push(&mut set, &up, 1_000, SampleValue::Float(1.0));
    push(&mut set, &up, 16_000, SampleValue::Float(stale_nan()));
    push(&mut set, &up, -5, SampleValue::Float(f64::NEG_INFINITY));
    push(&mut set, &latency, 1_000, SampleValue::Float(0.25));
    push(
        &mut set,
        &latency,
        2_000,
        SampleValue::Histogram(histogram(9.0)),
    );
    push(&mut set, &nameless, 3_000, SampleValue::Float(-0.0));
    SegmentContent {
        rows: set.into_rows(),
        metadata: vec![
            MetricMetadata {
                family: "latency_seconds".to_owned(),
                kind: MetricType::Histogram,
                unit: "seconds".to_owned(),
                help: "How long it took.".to_owned(),
            },
            MetricMetadata {
                family: "up".to_owned(),
                kind: MetricType::Gauge,
                unit: String::new(),
                help: String::new(),
            },
        ],
        exemplars: vec![Exemplar {
            series: latency,
            labels: Labels::from_pairs([("trace_id", "4bf92f35")]),
            timestamp_ms: 2_000,
            value: 0.5,
        }],
    }
}

/// [`everything`] with start timestamps: of some samples of two series.
pub(super) fn everything_with_starts() -> SegmentContent {
    let mut content = everything();
    for row in &mut content.rows {
        match row.series.labels.metric_name() {
            "up" => row.start_timestamps = vec![-5, NO_START_MS, 9_000],
            "latency_seconds" => row.start_timestamps = vec![NO_START_MS, 1_999],
            _ => {}
        }
    }
    content
}
