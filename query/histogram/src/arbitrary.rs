//! Histograms for tests.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use varve_storage::FloatHistogram;
use varve_storage::histogram::{CounterResetHint, SCHEMA_CUSTOM, Span};

use crate::parse::parse_histogram;
use crate::sample::{Point, Sample};

/// A histogram in the notation of test scripts.
pub(crate) fn parsed(text: &str) -> FloatHistogram {
    parse_histogram(text).unwrap().0.histogram
}

/// Samples that are a minute apart, the first at one minute.
pub(crate) fn window(values: &[FloatHistogram]) -> Vec<Point<'_>> {
    (1..)
        .zip(values)
        .map(|(minute, value)| Point::new(minute * 60_000, Sample::Histogram(value)))
        .collect()
}

fn hint() -> impl Strategy<Value = CounterResetHint> {
    prop_oneof![
        Just(CounterResetHint::Unknown),
        Just(CounterResetHint::CounterReset),
        Just(CounterResetHint::NotCounterReset),
        Just(CounterResetHint::Gauge),
    ]
}

/// Anything that the type can hold.
pub(crate) fn any_histogram() -> impl Strategy<Value = FloatHistogram> {
    let spans = || {
        let span = (
            prop_oneof![-3..4i32, any::<i32>()],
            prop_oneof![0..5u32, any::<u32>()],
        );
        let span = span.prop_map(|(offset, length)| Span { offset, length });
        prop::collection::vec(span, 0..5)
    };
    let float = || prop_oneof![any::<f64>(), (0..5u8).prop_map(f64::from)];
    let floats = move || prop::collection::vec(float(), 0..12);
    let schema = prop_oneof![-4..9i32, Just(SCHEMA_CUSTOM), any::<i32>()];
    let numbers = (hint(), schema, float(), float(), float(), float());
    let lists = (spans(), floats(), spans(), floats(), floats());
    (numbers, lists).prop_map(|(numbers, lists)| FloatHistogram {
        counter_reset_hint: numbers.0,
        schema: numbers.1,
        zero_threshold: numbers.2,
        zero_count: numbers.3,
        count: numbers.4,
        sum: numbers.5,
        positive_spans: lists.0,
        positive_buckets: lists.1,
        negative_spans: lists.2,
        negative_buckets: lists.3,
        custom_values: lists.4,
    })
}

/// A valid histogram with exponential buckets.
pub(crate) fn valid_histogram() -> impl Strategy<Value = FloatHistogram> {
    let count = || prop_oneof![Just(0.0), 0.0..1e6f64, (0..100u32).prop_map(f64::from)];
    let side = move || {
        (
            -20..20i32,
            prop::collection::vec(count(), 0..8),
            0..3i32,
            prop::collection::vec(count(), 0..3),
        )
    };
    (
        hint(),
        -4..9i32,
        prop_oneof![Just(0.0), 0.0..1.0f64],
        count(),
        -1e9..1e9f64,
        side(),
        side(),
    )
        .prop_map(
            |(counter_reset_hint, schema, zero_threshold, zero_count, sum, positive, negative)| {
                let spans = |(first, a, gap, b): &(i32, Vec<f64>, i32, Vec<f64>)| {
                    let spans = [(*first, a.len()), (*gap, b.len())];
                    let spans = spans.map(|(offset, length)| Span {
                        offset,
                        length: length as u32,
                    });
                    (spans.to_vec(), [a.as_slice(), b.as_slice()].concat())
                };
                let (positive_spans, positive_buckets) = spans(&positive);
                let (negative_spans, negative_buckets) = spans(&negative);
                FloatHistogram {
                    counter_reset_hint,
                    schema,
                    zero_threshold,
                    zero_count,
                    count: positive_buckets
                        .iter()
                        .chain(&negative_buckets)
                        .sum::<f64>()
                        + zero_count,
                    sum,
                    positive_spans,
                    positive_buckets,
                    negative_spans,
                    negative_buckets,
                    custom_values: Vec::new(),
                }
            },
        )
}
