#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use varve_storage::histogram::{CounterResetHint, SCHEMA_CUSTOM, Span};
use varve_storage::{FloatHistogram, SampleValue, stale_nan};

use super::histogram::encode_histograms;
use super::*;

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-3..3i32).prop_map(f64::from),
        2 => (-1000..1000i32).prop_map(|v| f64::from(v) / 10.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_nan()),
    ]
}

/// Times that ascend, mostly by steady intervals; some leaps need every size of the encoding.
fn times(samples: usize) -> impl Strategy<Value = Vec<i64>> {
    let interval = prop_oneof![
        8 => Just(15_000i64),
        4 => 14_990..15_010i64,
        2 => 1..40_000i64,
        1 => 1..3_000_000i64,
        1 => 1..1i64 << 40,
    ];
    (
        -5_000_000_000i64..5_000_000_000,
        prop::collection::vec(interval, samples),
    )
        .prop_map(|(mut time, intervals)| {
            intervals
                .into_iter()
                .map(|interval| {
                    time += interval;
                    time
                })
                .collect()
        })
}

fn starts(samples: usize) -> impl Strategy<Value = Vec<i64>> {
    let start =
        prop_oneof![3 => Just(0i64), 3 => Just(1_000), 1 => any::<i32>().prop_map(i64::from)];
    prop_oneof![
        start.clone().prop_map(move |start| vec![start; samples]),
        prop::collection::vec(start, samples),
    ]
}

fn floats() -> impl Strategy<Value = (Vec<i64>, Vec<i64>, Vec<f64>)> {
    (0..300usize).prop_flat_map(|samples| {
        (
            times(samples),
            starts(samples),
            prop::collection::vec(float(), samples),
        )
    })
}

fn side() -> impl Strategy<Value = Vec<Span>> {
    prop::collection::vec((0..6i32, 0..4u32), 0..4).prop_map(|spans| {
        spans
            .into_iter()
            .map(|(offset, length)| Span { offset, length })
            .collect()
    })
}

/// Histograms of one layout with whole counts, which an integer chunk and a float chunk can hold.
fn histograms() -> impl Strategy<Value = (Vec<i64>, Vec<i64>, Vec<Arc<FloatHistogram>>)> {
    let layout = (
        prop_oneof![3 => -4..9i32, 1 => Just(SCHEMA_CUSTOM)],
        prop_oneof![Just(0.0), Just(2f64.powi(-128)), Just(0.001)],
        side(),
        side(),
    );
    (layout, 0..200usize).prop_flat_map(|((schema, threshold, positive, negative), samples)| {
        let buckets = |spans: &[Span]| spans.iter().map(|span| span.length as usize).sum::<usize>();
        let counts = |number| prop::collection::vec(0..1_000_000u32, number..=number);
        let one = (
            counts(buckets(&positive)),
            counts(buckets(&negative)),
            -5.0..5.0f64,
            0..9u32,
            any::<bool>(),
        );
        let histograms = prop::collection::vec(one, samples).prop_map(move |values| {
            // Behind a stale marker there are only stale markers in a chunk.
            let mut stale = false;
            let last = values.len().saturating_sub(2);
            values
                .into_iter()
                .enumerate()
                .map(|(number, (p, n, sum, zero, stale_at_end))| {
                    stale |= stale_at_end && number >= last;
                    if stale && number > 0 {
                        return Arc::new(FloatHistogram {
                            sum: stale_nan(),
                            ..FloatHistogram::default()
                        });
                    }
                    stale = false;
                    let floats = |v: Vec<u32>| v.into_iter().map(f64::from).collect::<Vec<_>>();
                    Arc::new(FloatHistogram {
                        counter_reset_hint: CounterResetHint::Unknown,
                        schema,
                        zero_threshold: threshold,
                        zero_count: f64::from(zero),
                        count: f64::from(zero) * 7.0,
                        sum,
                        positive_spans: positive.clone(),
                        positive_buckets: floats(p),
                        negative_spans: negative.clone(),
                        negative_buckets: floats(n),
                        custom_values: if schema == SCHEMA_CUSTOM {
                            vec![0.005, 0.1, 1.0, 1e9]
                        } else {
                            Vec::new()
                        },
                    })
                })
                .collect::<Vec<_>>()
        });
        (times(samples), starts(samples), histograms)
    })
}

fn read(encoding: Encoding, data: Vec<u8>) -> Vec<Sample> {
    ChunkSamples::new(encoding, Bytes::from(data))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn bits(samples: &[Sample]) -> Vec<(i64, i64, u64)> {
    samples
        .iter()
        .map(|s| {
            (
                s.timestamp_ms,
                s.start_timestamp_ms,
                s.value.float().unwrap().to_bits(),
            )
        })
        .collect()
}

fn check_histograms(
    read: &[Sample],
    written: &[TimedHistogram],
    with_starts: bool,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(read.len(), written.len());
    for (number, (sample, (time, start, histogram))) in read.iter().zip(written).enumerate() {
        prop_assert_eq!(sample.timestamp_ms, *time);
        prop_assert_eq!(
            sample.start_timestamp_ms,
            if with_starts { *start } else { 0 }
        );
        let SampleValue::Histogram(read) = &sample.value else {
            return Err(TestCaseError::fail("a float"));
        };
        prop_assert!(read.same_data(histogram), "{:?} {:?}", read, histogram);
        let hint = if number == 0 || sample.value.is_stale() {
            CounterResetHint::Unknown
        } else {
            CounterResetHint::NotCounterReset
        };
        prop_assert_eq!(read.counter_reset_hint, hint);
    }
    Ok(())
}

proptest! {
    #[test]
    fn floats_read_back((times, starts, values) in floats()) {
        let (mut xor, mut xor2) = (XorWriter::new(), Xor2Writer::new());
        for ((time, start), value) in times.iter().zip(&starts).zip(&values) {
            xor.append(*time, *value);
            xor2.append(*time, *start, *value);
        }
        let expected: Vec<_> = times.iter().zip(&starts).zip(&values).map(|((t, s), v)| (*t, *s, v.to_bits())).collect();
        prop_assert_eq!(bits(&read(Encoding::Xor2, xor2.finish())), expected.clone());
        let without: Vec<_> = expected.into_iter().map(|(t, _, v)| (t, 0, v)).collect();
        prop_assert_eq!(bits(&read(Encoding::Xor, xor.finish())), without);
    }

    #[test]
    fn histograms_read_back((times, starts, histograms) in histograms()) {
        let samples: Vec<TimedHistogram> = times.into_iter().zip(starts).zip(histograms).map(|((t, s), h)| (t, s, h)).collect();
        for (encoding, with_starts) in [(Encoding::FloatHistogram, false), (Encoding::FloatHistogramStarts, true)] {
            let data = encode_float_histograms(&samples, CounterReset::Yes, with_starts);
            check_histograms(&read(encoding, data), &samples, with_starts)?;
        }
        for (encoding, with_starts) in [(Encoding::Histogram, false), (Encoding::HistogramStarts, true)] {
            let data = encode_histograms(&samples, CounterReset::No, with_starts);
            check_histograms(&read(encoding, data), &samples, with_starts)?;
        }
    }

    #[test]
    fn no_bytes_panic(encoding in 1..7u8, data in prop::collection::vec(any::<u8>(), 0..200)) {
        let encoding = Encoding::from_byte(encoding).unwrap();
        if let Ok(samples) = ChunkSamples::new(encoding, Bytes::from(data)) {
            samples.take(70_000).for_each(drop);
        }
    }

    #[test]
    fn no_damage_panics((times, starts, histograms) in histograms(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let samples: Vec<TimedHistogram> = times.into_iter().zip(starts).zip(histograms).map(|((t, s), h)| (t, s, h)).collect();
        let mut data = encode_float_histograms(&samples, CounterReset::Yes, true);
        let place = place.index(data.len());
        data[place] = byte;
        for encoding in [Encoding::FloatHistogramStarts, Encoding::Histogram] {
            ChunkSamples::new(encoding, Bytes::from(data.clone())).unwrap().for_each(drop);
        }
    }
}

#[test]
fn gauges_stay_gauges() {
    let samples: Vec<TimedHistogram> = (0..3)
        .map(|t| (t, 0, Arc::new(FloatHistogram::default())))
        .collect();
    let data = encode_float_histograms(&samples, CounterReset::Gauge, false);
    for sample in read(Encoding::FloatHistogram, data) {
        let SampleValue::Histogram(histogram) = sample.value else {
            unreachable!()
        };
        assert_eq!(histogram.counter_reset_hint, CounterResetHint::Gauge);
    }
}
