#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;
use varve_storage::histogram::{CounterResetHint, Span};
use varve_storage::{FloatHistogram, Labels, SampleValue, stale_nan};

use super::*;
use crate::block::{Block, read_index};
use crate::chunk::Sample;
use crate::source::Folder;

fn labels() -> impl Strategy<Value = Labels> {
    let pair = ("[a-d]{1,3}", "[a-zé]{1,3}");
    prop::collection::vec(pair, 1..5).prop_map(Labels::from_pairs)
}

fn histogram(count: u32, offset: i32, gauge: bool) -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: if gauge {
            CounterResetHint::Gauge
        } else {
            CounterResetHint::Unknown
        },
        count: f64::from(count),
        sum: f64::from(count) * 1.5,
        positive_spans: vec![Span { offset, length: 2 }],
        positive_buckets: vec![f64::from(count), 0.0],
        ..FloatHistogram::default()
    }
}

fn value() -> impl Strategy<Value = SampleValue> {
    let histogram = (0..50u32, -1..3i32, any::<bool>()).prop_map(|(count, offset, gauge)| {
        SampleValue::Histogram(Arc::new(histogram(count, offset, gauge)))
    });
    prop_oneof![
        4 => (-9.0..9.0f64).prop_map(SampleValue::Float),
        1 => Just(SampleValue::Float(stale_nan())),
        3 => histogram,
        1 => Just(SampleValue::Histogram(Arc::new(FloatHistogram { sum: stale_nan(), ..FloatHistogram::default() }))),
    ]
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let start = prop_oneof![Just(0i64), Just(7)];
    // Runs of one kind, as real series have.
    let run = (value(), start, 1..150usize);
    prop::collection::vec(run, 0..4).prop_map(|runs| {
        let mut time = 0;
        let mut samples = Vec::new();
        for (value, start_timestamp_ms, length) in runs {
            for number in 0..length {
                time += 5;
                let value = match &value {
                    SampleValue::Float(value) if !value.is_nan() => {
                        SampleValue::Float(value + number as f64)
                    }
                    other => other.clone(),
                };
                samples.push(Sample {
                    timestamp_ms: time,
                    start_timestamp_ms,
                    value,
                });
            }
        }
        samples
    })
}

/// The same data, whatever a chunk knows of counter resets and however many empty buckets it has.
fn same(a: &SampleValue, b: &SampleValue) -> bool {
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => a.to_bits() == b.to_bits(),
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => {
            let populated = |h: &FloatHistogram| -> Vec<(String, u64)> {
                h.positive_ascending()
                    .filter(|b| b.count != 0.0)
                    .map(|b| (format!("{}", b.upper), b.count.to_bits()))
                    .collect()
            };
            a.sum.to_bits() == b.sum.to_bits()
                && a.count == b.count
                && populated(a) == populated(b)
                && (a.counter_reset_hint == CounterResetHint::Gauge)
                    == (b.counter_reset_hint == CounterResetHint::Gauge)
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn blocks_read_back(series in prop::collection::btree_map(labels(), samples(), 0..8), start_timestamps in any::<bool>(), small in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let chunks_file_bytes_max = if small { 200 } else { 1 << 20 };
        let options = BlockOptions { start_timestamps, chunks_file_bytes_max };
        let mut writer = BlockWriter::create(folder.path(), (0, 7_200_000), options).unwrap();
        for (labels, samples) in &series {
            writer.append(labels, samples.clone()).unwrap();
        }
        let expected: Vec<_> = series.iter().filter(|(_, samples)| !samples.is_empty()).collect();
        let Some(meta) = writer.finish().unwrap() else {
            prop_assert!(expected.is_empty());
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
            return Ok(());
        };
        prop_assert_eq!(meta.stats.num_series as usize, expected.len());
        let mut block = Block::open(&Folder::Local(folder.path().join(meta.ulid.as_str()))).unwrap();
        prop_assert_eq!(block.meta(), &meta);
        let mut cursor = block.series();
        for (labels, samples) in expected {
            let read = cursor.next().unwrap().unwrap();
            prop_assert_eq!(&read.labels, labels);
            let mut read = block.samples(read);
            for sample in samples {
                let back = read.next().unwrap().unwrap();
                prop_assert_eq!(back.timestamp_ms, sample.timestamp_ms);
                prop_assert_eq!(back.start_timestamp_ms, if start_timestamps { sample.start_timestamp_ms } else { 0 });
                prop_assert!(same(&back.value, &sample.value), "{:?} {:?}", back, sample);
            }
            prop_assert_eq!(read.next().unwrap(), None);
        }
        prop_assert_eq!(cursor.next().unwrap(), None);
    }

    #[test]
    fn no_damage_of_an_index_panics(series in prop::collection::btree_map(labels(), 1..3usize, 1..6), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = BlockWriter::create(folder.path(), (0, 10), BlockOptions::default()).unwrap();
        for (labels, samples) in &series {
            let sample = |t: usize| Sample { timestamp_ms: t as i64, start_timestamp_ms: 0, value: SampleValue::Float(1.0) };
            writer.append(labels, (0..*samples).map(sample).collect()).unwrap();
        }
        let meta = writer.finish().unwrap().unwrap();
        let mut bytes = std::fs::read(folder.path().join(meta.ulid.as_str()).join("index")).unwrap();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let _ = read_index(bytes.into());
    }

    #[test]
    fn no_bytes_are_an_index_that_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_index(bytes.into());
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = BlockWriter::create(folder.path(), (0, 10), BlockOptions::default()).unwrap();
    let sample = |timestamp_ms| Sample {
        timestamp_ms,
        start_timestamp_ms: 0,
        value: SampleValue::Float(1.0),
    };
    let (a, b) = (
        Labels::from_pairs([("a", "1")]),
        Labels::from_pairs([("a", "2")]),
    );
    writer.append(&b, vec![sample(1)]).unwrap();
    for (labels, samples, message) in [
        (&a, vec![sample(1)], "order of labels"),
        (&b, vec![sample(1)], "order of labels"),
        (
            &Labels::from_pairs([("c", "1")]),
            vec![sample(10)],
            "outside",
        ),
        (
            &Labels::from_pairs([("c", "1")]),
            vec![sample(2), sample(2)],
            "do not ascend",
        ),
    ] {
        let error = writer.append(labels, samples).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
