//! Histograms for properties.

use proptest::prelude::*;

use super::{CounterResetHint, FloatHistogram, SCHEMA_CUSTOM, Span};

fn hint() -> impl Strategy<Value = CounterResetHint> {
    prop_oneof![
        Just(CounterResetHint::Unknown),
        Just(CounterResetHint::CounterReset),
        Just(CounterResetHint::NotCounterReset),
        Just(CounterResetHint::Gauge),
    ]
}

/// Anything that the type can hold, spans that contradict the buckets included.
pub(super) fn any_histogram() -> impl Strategy<Value = FloatHistogram> {
    let spans = || {
        let span = (
            prop_oneof![-3..4i32, any::<i32>()],
            prop_oneof![0..5u32, any::<u32>()],
        );
        let span = span.prop_map(|(offset, length)| Span { offset, length });
        prop::collection::vec(span, 0..5)
    };
    let float = || {
        prop_oneof![
            any::<f64>(),
            (0..5u8).prop_map(f64::from),
            any::<u64>().prop_map(f64::from_bits)
        ]
    };
    let floats = move || prop::collection::vec(float(), 0..12);
    let schema = prop_oneof![-4..9i32, Just(SCHEMA_CUSTOM), any::<i32>()];
    (
        (hint(), schema, float(), float(), float(), float()),
        (spans(), floats(), spans(), floats(), floats()),
    )
        .prop_map(|(numbers, lists)| FloatHistogram {
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

/// A valid histogram with any counts, some of them 0.
pub(super) fn valid_histogram() -> impl Strategy<Value = FloatHistogram> {
    let count = prop_oneof![2 => Just(0.0), 3 => (1..100u32).prop_map(f64::from), 3 => 0.0..1e6f64, 1 => 0.0..1e300f64];
    histogram_with(count.boxed())
}

/// A valid histogram with counts that add up without rounding.
pub(super) fn whole_histogram() -> impl Strategy<Value = FloatHistogram> {
    exponential((0..1000u32).prop_map(f64::from).boxed())
}

fn histogram_with(count: BoxedStrategy<f64>) -> impl Strategy<Value = FloatHistogram> {
    prop_oneof![3 => exponential(count.clone()), 1 => custom(count)]
}

fn side(
    offset: std::ops::Range<i32>,
    count: BoxedStrategy<f64>,
) -> impl Strategy<Value = (Vec<Span>, Vec<f64>)> {
    let span = (0..4i32, prop::collection::vec(count, 0..5));
    (offset, prop::collection::vec(span, 0..4)).prop_map(|(first, spans)| {
        let mut offset = first;
        let (mut lengths, mut buckets) = (Vec::new(), Vec::new());
        for (gap, counts) in spans {
            let length = counts.len() as u32;
            lengths.push(Span { offset, length });
            offset = gap;
            buckets.extend(counts);
        }
        (lengths, buckets)
    })
}

fn exponential(count: BoxedStrategy<f64>) -> impl Strategy<Value = FloatHistogram> {
    let threshold = prop_oneof![Just(0.0), Just(0.001), Just(0.5), Just(1.0), 0.0..20.0f64];
    (
        hint(),
        -4..9i32,
        threshold,
        count.clone(),
        -1e6..1e6f64,
        side(-8..9, count.clone()),
        side(-8..9, count),
    )
        .prop_map(
            |(counter_reset_hint, schema, zero_threshold, zero_count, sum, positive, negative)| {
                let counts = positive.1.iter().chain(&negative.1);
                FloatHistogram {
                    counter_reset_hint,
                    schema,
                    zero_threshold,
                    zero_count,
                    count: counts.sum::<f64>() + zero_count,
                    sum,
                    positive_spans: positive.0,
                    positive_buckets: positive.1,
                    negative_spans: negative.0,
                    negative_buckets: negative.1,
                    custom_values: Vec::new(),
                }
            },
        )
}

fn custom(count: BoxedStrategy<f64>) -> impl Strategy<Value = FloatHistogram> {
    let bounds = prop::collection::btree_set(-5..10i8, 5..14);
    (hint(), bounds, side(0..2, count), -1e6..1e6f64).prop_map(
        |(counter_reset_hint, bounds, (spans, buckets), sum)| {
            let mut bounds: Vec<f64> = bounds.into_iter().map(f64::from).collect();
            // Enough for the longest side.
            bounds.extend((0..16).map(|nth| 100.0 + f64::from(nth)));
            FloatHistogram {
                counter_reset_hint,
                schema: SCHEMA_CUSTOM,
                count: buckets.iter().sum(),
                sum,
                positive_spans: spans,
                positive_buckets: buckets,
                custom_values: bounds,
                ..FloatHistogram::default()
            }
        },
    )
}
