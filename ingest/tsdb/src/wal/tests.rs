#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use varve_storage::histogram::{CounterResetHint, SCHEMA_CUSTOM, Span};
use varve_storage::{FloatHistogram, Labels, SampleValue};

use super::record::{Kinds, LoggedSample};
use super::*;
use crate::crc::crc32c;
use crate::fields::{put_text, put_uvarint, put_varint};
use crate::source::Source;

/// Writes records as Prometheus does: fragments that fill pages, snappy (1), zstd (2) or neither.
pub(crate) fn segment(records: &[(Vec<u8>, u8)]) -> Vec<u8> {
    const PAGE: usize = 32 << 10;
    let mut file = Vec::new();
    for (record, compression) in records {
        let (data, flag) = match compression {
            1 => (
                snap::raw::Encoder::new().compress_vec(record).unwrap(),
                1 << 3,
            ),
            2 => (zstd::encode_all(&record[..], 1).unwrap(), 1 << 4),
            _ => (record.clone(), 0),
        };
        let mut rest = &data[..];
        let mut first = true;
        loop {
            let room = PAGE - file.len() % PAGE;
            if room <= 7 {
                file.resize(file.len() + room, 0);
                continue;
            }
            let (part, left) = rest.split_at(rest.len().min(room - 7));
            rest = left;
            let kind = match (first, rest.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            file.push(kind | flag);
            file.extend_from_slice(&(part.len() as u16).to_be_bytes());
            file.extend_from_slice(&crc32c(part).to_be_bytes());
            file.extend_from_slice(part);
            first = false;
            if rest.is_empty() {
                break;
            }
        }
    }
    file
}

fn reader(bytes: Vec<u8>) -> SegmentReader {
    SegmentReader::new(Source::memory("000001", Bytes::from(bytes)))
}

fn histogram(schema: i32) -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema,
        zero_threshold: if schema == SCHEMA_CUSTOM { 0.0 } else { 0.25 },
        zero_count: 3.0,
        count: 12.0,
        sum: -1.5,
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
        positive_buckets: vec![4.0, 1.0, 4.0],
        negative_spans: Vec::new(),
        negative_buckets: Vec::new(),
        custom_values: if schema == SCHEMA_CUSTOM {
            vec![0.5, 2.0]
        } else {
            Vec::new()
        },
    }
}

fn put_histogram(out: &mut Vec<u8>, histogram: &FloatHistogram, float: bool) {
    let float64 =
        |out: &mut Vec<u8>, value: f64| out.extend_from_slice(&value.to_bits().to_be_bytes());
    out.push(histogram.counter_reset_hint as u8);
    put_varint(out, i64::from(histogram.schema));
    float64(out, histogram.zero_threshold);
    for count in [histogram.zero_count, histogram.count] {
        if float {
            float64(out, count)
        } else {
            put_uvarint(out, count as u64)
        }
    }
    float64(out, histogram.sum);
    for spans in [&histogram.positive_spans, &histogram.negative_spans] {
        put_uvarint(out, spans.len() as u64);
        for span in spans {
            put_varint(out, i64::from(span.offset));
            put_uvarint(out, u64::from(span.length));
        }
    }
    for buckets in [&histogram.positive_buckets, &histogram.negative_buckets] {
        put_uvarint(out, buckets.len() as u64);
        let mut last = 0;
        for bucket in buckets {
            if float {
                float64(out, *bucket)
            } else {
                put_varint(out, *bucket as i64 - last)
            }
            last = *bucket as i64;
        }
    }
    if histogram.schema == SCHEMA_CUSTOM {
        put_uvarint(out, histogram.custom_values.len() as u64);
        histogram
            .custom_values
            .iter()
            .for_each(|value| float64(out, *value));
    }
}

fn sample(
    series: u64,
    timestamp_ms: i64,
    start_timestamp_ms: i64,
    value: SampleValue,
) -> LoggedSample {
    LoggedSample {
        series,
        timestamp_ms,
        start_timestamp_ms,
        value,
    }
}

#[test]
fn samples_of_both_versions() {
    let mut one = vec![2];
    one.extend_from_slice(&10u64.to_be_bytes());
    one.extend_from_slice(&1_000i64.to_be_bytes());
    let mut two = vec![11];
    for (number, (series, time, start)) in
        [(10, 1_000, 5), (8, 1_001, 5), (9, 999, 0), (9, 1_000, 7)]
            .into_iter()
            .enumerate()
    {
        put_varint(&mut one, series - 10);
        put_varint(&mut one, time - 1_000);
        one.extend_from_slice(&2f64.to_bits().to_be_bytes());
        if number == 0 {
            put_varint(&mut two, series);
            put_varint(&mut two, time);
            put_varint(&mut two, start);
        } else {
            put_varint(&mut two, series - [0, 10, 8, 9][number]);
            put_varint(&mut two, time - 1_000);
            match number {
                1 => two.push(1),
                2 => two.push(0),
                _ => {
                    two.push(2);
                    put_varint(&mut two, start - 5);
                }
            }
        }
        two.extend_from_slice(&2f64.to_bits().to_be_bytes());
    }
    let expected = |starts: [i64; 4]| {
        let at = [(10, 1_000), (8, 1_001), (9, 999), (9, 1_000)];
        at.into_iter()
            .zip(starts)
            .map(|((series, time), start)| sample(series, time, start, SampleValue::Float(2.0)))
            .collect()
    };
    assert_eq!(
        Record::decode(&one, Kinds::All),
        Ok(Record::Samples(expected([0; 4])))
    );
    assert_eq!(
        Record::decode(&two, Kinds::All),
        Ok(Record::Samples(expected([5, 5, 0, 7])))
    );
    assert_eq!(
        Record::decode(&two, Kinds::WithoutSamples),
        Ok(Record::Unknown)
    );
}

#[test]
fn histograms_of_all_records() {
    for (kind, float, schema) in [
        (7, false, 3),
        (8, true, 3),
        (9, false, SCHEMA_CUSTOM),
        (10, true, SCHEMA_CUSTOM),
        (12, false, SCHEMA_CUSTOM),
        (13, true, -1),
    ] {
        let mut record = vec![kind];
        let start = if kind >= 12 {
            [6, -5, 4]
                .into_iter()
                .for_each(|number| put_varint(&mut record, number));
            4
        } else {
            record.extend_from_slice(&5u64.to_be_bytes());
            record.extend_from_slice(&(-6i64).to_be_bytes());
            put_varint(&mut record, 1);
            put_varint(&mut record, 1);
            0
        };
        put_histogram(&mut record, &histogram(schema), float);
        let expected = sample(
            6,
            -5,
            start,
            SampleValue::Histogram(Arc::new(histogram(schema))),
        );
        assert_eq!(
            Record::decode(&record, Kinds::All),
            Ok(Record::Samples(vec![expected])),
            "{kind}"
        );
    }
}

#[test]
fn series_tombstones_exemplars_metadata_and_markers() {
    let labels = Labels::from_pairs([("a", "1"), ("b", "2")]);
    let put_labels = |out: &mut Vec<u8>| {
        put_uvarint(out, 2);
        ["a", "1", "b", "2"]
            .into_iter()
            .for_each(|text| put_text(out, text));
    };
    let mut record = vec![1];
    record.extend_from_slice(&7u64.to_be_bytes());
    put_labels(&mut record);
    assert_eq!(
        Record::decode(&record, Kinds::WithoutSamples),
        Ok(Record::Series(vec![(7, labels.clone())]))
    );

    let mut record = vec![3];
    record.extend_from_slice(&7u64.to_be_bytes());
    put_varint(&mut record, i64::MIN);
    put_varint(&mut record, i64::MAX);
    let Ok(Record::Tombstones(stones)) = Record::decode(&record, Kinds::All) else {
        panic!()
    };
    assert_eq!(
        (stones[0].series, stones[0].range),
        (7, (i64::MIN, i64::MAX))
    );

    let mut record = vec![4];
    record.extend_from_slice(&7u64.to_be_bytes());
    record.extend_from_slice(&100i64.to_be_bytes());
    put_varint(&mut record, -1);
    put_varint(&mut record, -2);
    record.extend_from_slice(&0.5f64.to_bits().to_be_bytes());
    put_labels(&mut record);
    let Ok(Record::Exemplars(exemplars)) = Record::decode(&record, Kinds::All) else {
        panic!()
    };
    assert_eq!(
        (
            exemplars[0].series,
            exemplars[0].timestamp_ms,
            exemplars[0].value
        ),
        (6, 98, 0.5)
    );
    assert_eq!(exemplars[0].labels, labels);

    let mut record = vec![6, 7, 1, 3];
    ["UNIT", "seconds", "LATER", "x", "HELP", "Helps."]
        .into_iter()
        .for_each(|text| put_text(&mut record, text));
    let Ok(Record::Metadata(metadata)) = Record::decode(&record, Kinds::All) else {
        panic!()
    };
    assert_eq!(
        (metadata[0].unit.as_str(), metadata[0].help.as_str()),
        ("seconds", "Helps.")
    );

    let mut record = vec![5];
    [7u64, 9]
        .into_iter()
        .for_each(|number| record.extend_from_slice(&number.to_be_bytes()));
    assert_eq!(
        Record::decode(&record, Kinds::All),
        Ok(Record::Markers(vec![(7, 9)]))
    );
    assert_eq!(Record::decode(&[99, 1, 2], Kinds::All), Ok(Record::Unknown));
}

proptest! {
    #[test]
    fn records_read_back(records in prop::collection::vec((prop::collection::vec(0..4u8, 0..90_000), 0..3u8), 0..5)) {
        let mut reader = reader(segment(&records));
        for (record, _) in &records {
            let read = reader.next().unwrap();
            prop_assert_eq!(read.as_ref(), Some(record));
        }
        prop_assert_eq!(reader.next().unwrap(), None);
    }

    #[test]
    fn a_torn_tail_is_an_error_behind_whole_records(records in prop::collection::vec((prop::collection::vec(1..4u8, 1..40_000), 0..3u8), 1..4), cut in 1..100usize) {
        let mut bytes = segment(&records);
        bytes.truncate(bytes.len().saturating_sub(cut));
        let mut reader = reader(bytes);
        let mut read = 0;
        while let Ok(Some(record)) = reader.next() {
            prop_assert_eq!(&record, &records[read].0);
            read += 1;
        }
        prop_assert!(read < records.len());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0..14u8) {
        let mut reader = reader(bytes.clone());
        while let Ok(Some(_)) = reader.next() {}
        let mut record = vec![kind];
        record.extend_from_slice(&bytes);
        let _ = Record::decode(&record, Kinds::All);
    }
}
