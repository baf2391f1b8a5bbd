#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::error::ErrorKind;
use crate::rows::SampleRows;
use crate::sample::{SampleValue, is_stale_nan};
use crate::wal::fixtures::{counter, everything, everything_with_starts, histogram};
use proptest::prelude::*;

fn writer() -> Uuid {
    Uuid::from_bytes(*b"sixteen bytes ok")
}

fn key() -> Path {
    TenantKeys::default().wal_segment(2, 7)
}

fn encoded() -> Vec<u8> {
    encode_segment(writer(), 2, 7, &everything())
        .unwrap()
        .to_vec()
}

/// Puts the right checksum under changed bytes.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let place = bytes.len() - 12;
    let checksum = crc32fast::hash(&bytes[..place]).to_le_bytes();
    bytes[place..place + 4].copy_from_slice(&checksum);
    bytes
}

/// [`everything`], and start timestamps.
fn encoded_with_starts() -> Vec<u8> {
    encode_segment(writer(), 2, 7, &everything_with_starts())
        .unwrap()
        .to_vec()
}

#[test]
fn everything_survives_the_round_trip() {
    assert_is_everything(&decode_segment(&key(), encoded().into()).unwrap());
    let bytes = encoded_with_starts();
    assert_is(
        &decode_segment(&key(), bytes.into()).unwrap(),
        &everything_with_starts(),
    );
}

#[test]
fn a_segment_without_start_timestamps_is_what_it_always_was() {
    let version = |bytes: &[u8]| bytes[bytes.len() - 16];
    let golden = include_bytes!("../../../testdata/wal-v1.arrow");
    assert_eq!((version(&encoded()), version(golden)), (1, 1));
    let (new, old) = (encoded().len(), golden.len());
    assert!(new.abs_diff(old) < 64, "{new} bytes instead of {old}");
    assert_eq!(version(&encoded_with_starts()), 2);

    // The version says which columns there are.
    for (mut bytes, other) in [(encoded(), 2), (encoded_with_starts(), 1)] {
        let place = bytes.len() - 16;
        bytes[place] = other;
        let error = decode_segment(&key(), resealed(bytes).into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("columns"), "{error}");
    }
}

#[test]
fn the_golden_segment_of_version_2_is_read_for_ever() {
    let bytes = include_bytes!("../../../testdata/wal-v2.arrow");
    let segment = decode_segment(&key(), Bytes::from_static(bytes)).unwrap();
    assert_is(&segment, &everything_with_starts());
}

#[test]
fn the_golden_segment_of_version_1_is_read_for_ever() {
    let bytes = include_bytes!("../../../testdata/wal-v1.arrow");
    assert_is_everything(&decode_segment(&key(), Bytes::from_static(bytes)).unwrap());
}

fn assert_is_everything(segment: &Segment) {
    assert_is(segment, &everything());
}

fn assert_is(segment: &Segment, content: &SegmentContent) {
    assert_eq!((segment.shard, segment.sequence), (2, 7));
    assert_eq!(segment.writer, writer());
    assert_eq!(segment.metadata, content.metadata);
    assert_eq!(segment.time_range_ms, Some((-5, 16_000)));
    assert_eq!(segment.sample_count, 6);
    assert_eq!(segment.exemplars.len(), 1);
    assert!(
        segment.exemplars[0]
            .total_cmp(&content.exemplars[0])
            .is_eq()
    );

    let rows = SampleRows::new(&segment.samples).unwrap();
    assert_eq!(rows.len(), content.rows.len());
    for ((row, series), want) in rows.iter().zip(&segment.series).zip(&content.rows) {
        assert_eq!(*series, want.series);
        assert_eq!(row.labels().as_ref(), Some(&want.series.labels));
        assert_eq!(row.timestamps(), want.timestamps);
        assert_eq!(row.start_timestamps(), want.start_timestamps);
        for index in 0..row.len() {
            match (row.value(index).unwrap(), want.value(index).unwrap()) {
                (SampleValue::Float(a), SampleValue::Float(b)) => {
                    assert_eq!(a.to_bits(), b.to_bits());
                }
                (SampleValue::Histogram(a), SampleValue::Histogram(b)) => assert_eq!(a, b),
                (a, b) => unreachable!("{a:?} instead of {b:?}"),
            }
        }
    }
    let up = rows.iter().find(|row| row.name() == "up").unwrap();
    assert!(is_stale_nan(up.values()[2]));
}

#[test]
fn equal_content_gives_equal_bytes() {
    assert_eq!(encoded(), encoded());
    let other = encode_segment(Uuid::nil(), 2, 7, &everything()).unwrap();
    assert_ne!(encoded(), other);
}

#[test]
fn a_segment_without_samples_is_valid() {
    let content = SegmentContent {
        rows: Vec::new(),
        ..everything()
    };
    let bytes = encode_segment(writer(), 2, 7, &content).unwrap();
    let segment = decode_segment(&key(), bytes).unwrap();
    assert_eq!(segment.samples.num_rows(), 0);
    assert_eq!(segment.samples.schema(), columns::samples_schema());
    assert_eq!(segment.metadata.len(), 2);
    assert_eq!(segment.time_range_ms, None);
}

#[test]
fn arrow_readers_see_the_samples_of_an_object_opened_as_a_stream() {
    use arrow::ipc::reader::StreamReader;
    let bytes = encoded();
    let mut reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let batch = reader.next().unwrap().unwrap();
    let columns = columns::samples_schema_without_starts();
    assert_eq!(batch.schema().fields(), columns.fields());
    assert_eq!(batch.num_rows(), 3);
    assert!(reader.next().is_none());
}

fn assert_corrupt(bytes: Vec<u8>, what: &str) {
    let error = decode_segment(&key(), bytes.into()).expect_err(what);
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
    assert!(
        error.to_string().contains(key().as_ref()),
        "{what}: {error}"
    );
}

#[test]
fn every_flipped_bit_and_every_cut_is_corrupt_and_names_the_key() {
    let whole = encoded();
    for index in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[index] ^= 1 << (index % 8);
        assert_corrupt(bytes, &format!("bit flipped in byte {index}"));
    }
    for length in 0..whole.len() {
        assert_corrupt(whole[..length].to_vec(), &format!("cut to {length} bytes"));
    }
    assert_corrupt([whole.as_slice(), &[0]].concat(), "one byte too many");
}

#[test]
fn a_forged_segment_never_panics() {
    // With the checksum put right, damage reaches Arrow's reader and our own checks.
    let whole = encoded();
    let mut accepted = 0;
    for index in 0..whole.len() - 12 {
        for bit in [0, 3, 7] {
            let mut bytes = whole.clone();
            bytes[index] ^= 1 << bit;
            accepted += usize::from(decode_segment(&key(), resealed(bytes).into()).is_ok());
        }
    }
    // Some bits mean nothing (padding, the writer's id) or say something else that is valid (a value).
    assert!(
        accepted < whole.len() * 2,
        "{accepted} of {}",
        3 * whole.len()
    );
}

#[test]
fn a_segment_under_anothers_key_is_corrupt() {
    let elsewhere = TenantKeys::default().wal_segment(2, 8);
    let error = decode_segment(&elsewhere, encoded().into()).unwrap_err();
    assert!(
        error.to_string().contains("segment 7 of shard 2"),
        "{error}"
    );
    let quarantined = TenantKeys::default().quarantined_segment(2, 7);
    assert!(decode_segment(&quarantined, encoded().into()).is_ok());
}

#[test]
fn a_newer_version_is_not_corrupt_and_says_upgrade() {
    let mut bytes = encoded();
    let version = bytes.len() - 16;
    bytes[version] = 3;
    let error = decode_segment(&key(), resealed(bytes).into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("upgrade"), "{error}");
}

#[test]
fn rows_must_be_sorted_canonical_and_with_their_own_id() {
    let decode = |rows: Vec<SeriesSamples>| {
        let content = SegmentContent {
            rows,
            ..SegmentContent::default()
        };
        let bytes = encode_segment(writer(), 2, 7, &content).unwrap();
        decode_segment(&key(), bytes).unwrap_err().to_string()
    };
    let mut rows = everything().rows;
    rows.reverse();
    assert!(decode(rows).contains("out of order"));

    let mut rows = everything().rows;
    let labels = rows[0].series.labels.clone();
    rows[0].series = Arc::new(Series {
        id: SeriesId([1; 16]),
        labels,
    });
    assert!(decode(rows).contains("series_id"));

    let mut rows = everything().rows;
    rows.truncate(1);
    rows.push(rows[0].clone());
    assert!(decode(rows).contains("out of order"));
}

#[test]
fn unordered_samples_cannot_be_encoded() {
    let mut content = everything();
    content.rows[0].timestamps.reverse();
    content.rows.retain(|row| row.timestamps.len() > 1);
    content.rows[0].timestamps.sort_by(|a, b| b.cmp(a));
    let error = encode_segment(writer(), 2, 7, &content).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn a_decompression_bomb_is_refused_before_it_is_decompressed() {
    let mut histogram = histogram(1.0).as_ref().clone();
    histogram.custom_values = vec![0.0; SEGMENT_DECODED_BYTES_MAX / 8 + 1];
    let mut row = SeriesSamples::new(counter(1));
    row.push(1, &SampleValue::Histogram(Arc::new(histogram)));
    let content = SegmentContent {
        rows: vec![row],
        ..SegmentContent::default()
    };
    let bytes = encode_segment(writer(), 2, 7, &content).unwrap();
    assert!(bytes.len() < 1 << 20, "{} bytes", bytes.len());
    let error = decode_segment(&key(), bytes).unwrap_err();
    assert!(error.to_string().contains("limit"), "{error}");
}

fn arbitrary_content() -> impl Strategy<Value = SegmentContent> {
    let text = "[a-zA-Zäß_]{0,6}";
    let labels = prop::collection::btree_map("[a-zA-Z_]{1,4}", text, 0..5);
    let value = prop_oneof![
        any::<u64>().prop_map(|bits| SampleValue::Float(f64::from_bits(bits))),
        any::<f64>().prop_map(|count| SampleValue::Histogram(histogram(count))),
    ];
    let start = prop_oneof![4 => Just(columns::NO_START_MS), 1 => any::<i64>()];
    let samples = prop::collection::vec((any::<i64>(), start, value), 1..6);
    let rows = prop::collection::vec((text, labels, samples), 0..8);
    rows.prop_map(|rows| {
        let mut set = crate::rows::SampleSet::default();
        for (name, mut labels, samples) in rows {
            labels.insert(crate::METRIC_NAME.to_owned(), name);
            let series = Arc::new(Series::new(crate::Labels::from_pairs(labels)));
            let place = set.place(&series).unwrap();
            for (timestamp_ms, start_ms, value) in samples {
                set.push_at(place, timestamp_ms, start_ms, &value);
            }
        }
        SegmentContent {
            rows: set.into_rows(),
            ..everything()
        }
    })
}

/// A text in which equal bits, and only they, look equal.
fn printed(rows: &SampleRows<'_>) -> Vec<String> {
    let value = |value: SampleValue| match value {
        SampleValue::Float(float) => format!("{:016x}", float.to_bits()),
        SampleValue::Histogram(h) => format!("{h:?} {:016x}", h.count.to_bits()),
    };
    rows.iter()
        .flat_map(|row| {
            (0..row.len()).map(move |i| {
                let value = value(row.value(i).unwrap());
                let start_ms = row.start_timestamps().get(i);
                let start_ms = start_ms.copied().unwrap_or(columns::NO_START_MS);
                format!(
                    "{:?} {} {start_ms} {value}",
                    row.labels(),
                    row.timestamps()[i]
                )
            })
        })
        .collect()
}

proptest! {
    #[test]
    fn any_content_survives_the_round_trip(content in arbitrary_content()) {
        let bytes = encode_segment(writer(), 2, 7, &content).unwrap();
        let segment = decode_segment(&key(), bytes).unwrap();
        let want = samples_batch(&content.rows).unwrap();
        prop_assert_eq!(
            printed(&SampleRows::new(&segment.samples).unwrap()),
            printed(&SampleRows::new(&want).unwrap())
        );
        prop_assert_eq!(segment.metadata, content.metadata);
    }

    #[test]
    fn arbitrary_bytes_are_corrupt(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let error = decode_segment(&key(), bytes.into()).unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn mutated_segments_never_panic(
        content in arbitrary_content(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut bytes = encode_segment(writer(), 2, 7, &content).unwrap().to_vec();
        let checked = bytes.len() - 12;
        for (place, byte) in changes {
            bytes[place.index(checked)] = byte;
        }
        // Without a panic is what counts; a change of a value is a valid segment.
        if let Err(error) = decode_segment(&key(), resealed(bytes).into()) {
            prop_assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid));
        }
    }
}
