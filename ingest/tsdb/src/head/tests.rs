#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;
use crate::chunk::XorWriter;
use crate::crc::crc32c;
use crate::fields::{put_text, put_uvarint, put_varint};
use crate::wal::tests::segment;

const HEADER: [u8; 8] = [0x01, 0x30, 0xbc, 0x91, 1, 0, 0, 0];

/// Appends a float chunk to a head chunks file, and gives its place.
fn put_chunk(
    file: &mut Vec<u8>,
    series: u64,
    times: &[i64],
    value: f64,
    out_of_order: bool,
) -> u64 {
    let mut chunk = XorWriter::new();
    times.iter().for_each(|time| chunk.append(*time, value));
    let data = chunk.finish();
    let place = file.len();
    file.extend_from_slice(&series.to_be_bytes());
    for time in [times[0], times[times.len() - 1]] {
        file.extend_from_slice(&time.to_be_bytes());
    }
    file.push(1 | if out_of_order { 0x80 } else { 0 });
    put_uvarint(file, data.len() as u64);
    file.extend_from_slice(&data);
    let checksum = crc32c(&file[place..]);
    file.extend_from_slice(&checksum.to_be_bytes());
    place as u64
}

fn series(reference: u64, name: &str) -> Vec<u8> {
    let mut record = vec![1];
    record.extend_from_slice(&reference.to_be_bytes());
    put_uvarint(&mut record, 1);
    put_text(&mut record, "__name__");
    put_text(&mut record, name);
    record
}

fn samples(reference: u64, samples: &[(i64, f64)]) -> Vec<u8> {
    let mut record = vec![2];
    record.extend_from_slice(&reference.to_be_bytes());
    record.extend_from_slice(&0i64.to_be_bytes());
    for (time, value) in samples {
        put_varint(&mut record, 0);
        put_varint(&mut record, *time);
        record.extend_from_slice(&value.to_bits().to_be_bytes());
    }
    record
}

fn tombstone(reference: u64, range: (i64, i64)) -> Vec<u8> {
    let mut record = vec![3];
    record.extend_from_slice(&reference.to_be_bytes());
    put_varint(&mut record, range.0);
    put_varint(&mut record, range.1);
    record
}

fn marker(reference: u64, chunk: u64) -> Vec<u8> {
    let mut record = vec![5];
    record.extend_from_slice(&reference.to_be_bytes());
    record.extend_from_slice(&chunk.to_be_bytes());
    record
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn log(records: &[Vec<u8>]) -> Vec<u8> {
    let records: Vec<_> = records.iter().map(|record| (record.clone(), 1)).collect();
    segment(&records)
}

/// What the head emits: (name, time, value), and warnings.
fn read(folder: &Path, min_valid_time: i64) -> (Vec<(String, i64, f64)>, Vec<String>) {
    let (mut samples, mut warnings) = (Vec::new(), Vec::new());
    let head = Head::open(folder).unwrap();
    let emit = &mut |item| {
        match item {
            HeadItem::Sample(series, sample) => {
                let name = series.labels.metric_name().to_owned();
                samples.push((name, sample.timestamp_ms, sample.value.float().unwrap()));
            }
            HeadItem::Warning(text) => warnings.push(text),
            _ => {}
        }
        Ok(())
    };
    head.read(min_valid_time, emit).unwrap();
    (samples, warnings)
}

fn of(samples: &[(String, i64, f64)], name: &str) -> Vec<(i64, f64)> {
    let own = samples.iter().filter(|(own, ..)| own == name);
    own.map(|(_, time, value)| (*time, *value)).collect()
}

#[test]
fn logs_and_mapped_chunks_are_put_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut chunks = HEADER.to_vec();
    // Before the minimal valid time, across it, and behind it.
    put_chunk(&mut chunks, 1, &[10, 20], 1.0, false);
    put_chunk(&mut chunks, 1, &[90, 100, 110], 1.0, false);
    let late = put_chunk(&mut chunks, 1, &[5, 105], 2.0, true);
    // Of a series that is in no log.
    put_chunk(&mut chunks, 77, &[100], 1.0, false);
    chunks.resize(chunks.len() + 5_000, 0);
    write(folder.path(), "chunks_head/000001", &chunks);
    write(
        folder.path(),
        "wal/checkpoint.00000003/00000000",
        &log(&[
            series(1, "a"),
            series(2, "b"),
            samples(2, &[(95, 7.0), (100, 7.0)]),
        ]),
    );
    let mut last = log(&[
        // What is in the chunks, what is out of order, and what is new.
        samples(
            1,
            &[
                (100, 9.0),
                (110, 9.0),
                (120, 3.0),
                (115, 9.0),
                (120, 9.0),
                (130, 3.0),
            ],
        ),
        tombstone(1, (125, 131)),
        samples(1, &[(140, 3.0)]),
        // The series went away and came back: what was logged before is in blocks.
        samples(2, &[(200, 7.0)]),
        series(9, "b"),
        samples(9, &[(150, 8.0)]),
        samples(2, &[(160, 8.0)]),
        samples(66, &[(160, 8.0)]),
    ]);
    last.extend_from_slice(&[1, 0, 9, 1, 2]);
    write(folder.path(), "wal/00000004", &last);
    write(
        folder.path(),
        "wbl/00000000",
        &log(&[
            samples(1, &[(5, 2.0), (105, 2.0)]),
            marker(1, 1 << 32 | late),
            samples(1, &[(107, 4.0), (6, 4.0), (107, 5.0)]),
            // A chunk that was not there when the chunks were read.
            marker(1, 9 << 32),
            samples(9, &[(3, 4.0)]),
        ]),
    );
    let (emitted, warnings) = read(folder.path(), 100);
    let a = [
        (100, 1.0),
        (110, 1.0),
        (120, 3.0),
        (140, 3.0),
        (5, 2.0),
        (105, 2.0),
        (6, 4.0),
        (107, 4.0),
    ];
    assert_eq!(of(&emitted, "a"), a);
    assert_eq!(of(&emitted, "b"), [(150, 8.0), (160, 8.0), (3, 4.0)]);
    assert_eq!(emitted.len(), a.len() + 3);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("00000004 ends with a record that is not whole"),
        "{}",
        warnings[0]
    );
}

#[test]
fn samples_behind_a_damaged_chunk_come_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut chunks = HEADER.to_vec();
    put_chunk(&mut chunks, 1, &[10, 20], 1.0, false);
    let damaged = put_chunk(&mut chunks, 1, &[30, 40], 1.0, false);
    chunks[damaged as usize + 30] ^= 1;
    put_chunk(&mut chunks, 1, &[50, 60], 1.0, false);
    write(folder.path(), "chunks_head/000001", &chunks);
    let times: Vec<(i64, f64)> = (1..=6).map(|step| (10 * step, 2.0)).collect();
    write(
        folder.path(),
        "wal/00000000",
        &log(&[series(1, "a"), samples(1, &times)]),
    );
    let (emitted, warnings) = read(folder.path(), i64::MIN);
    assert_eq!(
        of(&emitted, "a"),
        [
            (10, 1.0),
            (20, 1.0),
            (30, 2.0),
            (40, 2.0),
            (50, 2.0),
            (60, 2.0)
        ]
    );
    assert!(
        warnings[0].contains("chunks_head/000001 is corrupt at byte"),
        "{warnings:?}"
    );
}

#[test]
fn damage_before_the_last_segment_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = log(&[series(1, "a"), samples(1, &[(1, 1.0)])]);
    let last_byte = first.len() - 1;
    first[last_byte] ^= 1;
    write(folder.path(), "wal/00000000", &first);
    write(
        folder.path(),
        "wal/00000001",
        &log(&[samples(1, &[(2, 1.0)])]),
    );
    let head = Head::open(folder.path()).unwrap();
    let error = head.read(i64::MIN, &mut |_| Ok(())).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("wal/00000000 is corrupt at byte"),
        "{error}"
    );
}

#[test]
fn a_folder_without_a_head_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(read(folder.path(), 0), (Vec::new(), Vec::new()));
}
