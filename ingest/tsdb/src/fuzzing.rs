//! Ways into the decoders for fuzz targets: each takes any bytes, and must neither panic nor take much memory.

use bytes::Bytes;

use crate::block::read_index;
use crate::chunk::{ChunkSamples, Encoding};
use crate::crc::crc32c;
use crate::source::Source;
use crate::wal::SegmentReader;
use crate::wal::record::{Kinds, Record};

/// Decodes bytes as a chunk; the first byte is its encoding.
pub fn chunk(data: &[u8]) {
    let Some((encoding, data)) = data.split_first() else {
        return;
    };
    let encoding = Encoding::from_byte(encoding % 6 + 1).unwrap_or(Encoding::Xor);
    if let Ok(samples) = ChunkSamples::new(encoding, Bytes::copy_from_slice(data)) {
        samples.for_each(drop);
    }
}

/// Decodes bytes as an index, and as the parts of one whose checksums are right.
pub fn index(data: &[u8]) {
    // What fails here is an error that is of no interest.
    let _ = read_index(Bytes::copy_from_slice(data));
    let Some((split, data)) = data.split_first() else {
        return;
    };
    let (symbols, series) = data.split_at(usize::from(*split).min(data.len()));
    let _ = read_index(whole_index(symbols, series));
}

/// An index with one series entry, its checksums put right, so that what lies behind them is reached.
fn whole_index(symbols: &[u8], series: &[u8]) -> Bytes {
    let mut file = vec![0xba, 0xaa, 0xd7, 0x00, 2];
    let checked = |file: &mut Vec<u8>, bytes: &[u8]| {
        file.extend_from_slice(bytes);
        file.extend_from_slice(&crc32c(bytes).to_be_bytes());
    };
    file.extend_from_slice(&(symbols.len() as u32).to_be_bytes());
    checked(&mut file, symbols);
    let series_at = file.len().next_multiple_of(16);
    file.resize(series_at, 0);
    crate::fields::put_uvarint(&mut file, series.len() as u64);
    checked(&mut file, series);
    let end = file.len() as u64;
    let mut contents = Vec::new();
    for place in [5, series_at as u64, end, end, end, end] {
        contents.extend_from_slice(&place.to_be_bytes());
    }
    checked(&mut file, &contents);
    file.into()
}

/// Decodes bytes as a record of a log.
pub fn wal_record(data: &[u8]) {
    // What fails here is an error that is of no interest.
    let _ = Record::decode(data, Kinds::All);
}

/// Reads bytes as a segment of a log, and once more as fragments whose checksums are right.
pub fn wal_segment(data: &[u8]) {
    let read = |bytes: Vec<u8>| {
        let mut reader = SegmentReader::new(Source::memory("000000", bytes.into()));
        while let Ok(Some(record)) = reader.next() {
            wal_record(&record);
        }
    };
    read(data.to_vec());
    let mut file = Vec::new();
    for part in data.chunks(64) {
        let (kind, part) = (
            part.first().copied().unwrap_or(1),
            part.get(1..).unwrap_or_default(),
        );
        file.push(kind);
        file.extend_from_slice(&(part.len() as u16).to_be_bytes());
        file.extend_from_slice(&crc32c(part).to_be_bytes());
        file.extend_from_slice(part);
    }
    read(file);
}
