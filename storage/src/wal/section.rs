//! One section of a segment: an Arrow IPC stream of at most one record batch.
//!
//! Arrow's reader trusts lengths that a stream states. So the messages of a stream are walked first: what it claims to hold when
//! decompressed is added up and limited, and only then is it decoded.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::ipc::{CompressionType, MessageHeader, root_as_message};
use bytes::Bytes;

use crate::limits::SEGMENT_DECODED_BYTES_MAX;

/// The word in front of every message of a stream.
const CONTINUATION: u32 = 0xffff_ffff;

/// Encodes a batch as a stream.
pub(super) fn encode(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options)?;
    if batch.num_rows() > 0 {
        writer.write(batch)?;
    }
    writer.finish()?;
    writer.into_inner()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// What the batches of a stream take when decompressed.
fn decoded_bytes(stream: &[u8]) -> Result<u64, String> {
    let cut = || "a stream is cut off".to_owned();
    let mut at = 0_usize;
    let mut total = 0_u64;
    let mut messages = 0;
    loop {
        if word(stream, at).ok_or_else(cut)? != CONTINUATION {
            return Err("a message does not begin as one".to_owned());
        }
        let length = word(stream, at + 4).ok_or_else(cut)? as usize;
        at += 8;
        if length == 0 {
            break;
        }
        let head = stream.get(at..at + length).ok_or_else(cut)?;
        let message = root_as_message(head).map_err(|e| format!("a message is broken: {e}"))?;
        at += length;
        let body_length =
            usize::try_from(message.bodyLength()).map_err(|_| "a body has a negative length")?;
        let end = at.checked_add(body_length).ok_or_else(cut)?;
        let body = stream.get(at..end).ok_or_else(cut)?;
        at = end;
        match (messages, message.header_type()) {
            (0, MessageHeader::Schema) => {}
            (1, MessageHeader::RecordBatch) => {
                let batch = message
                    .header_as_record_batch()
                    .ok_or("a record batch has no header")?;
                let compressed = batch.compression().is_some();
                for buffer in batch.buffers().iter().flatten() {
                    total = total.saturating_add(buffer_bytes(
                        body,
                        buffer.offset(),
                        buffer.length(),
                        compressed,
                    )?);
                }
                let rows = u64::try_from(batch.length()).map_err(|_| "a negative row count")?;
                total = total.saturating_add(rows);
            }
            (n, kind) => {
                return Err(format!("message {n} of a stream is {kind:?}"));
            }
        }
        messages += 1;
    }
    if messages == 0 {
        return Err("a stream has no schema".to_owned());
    }
    if at != stream.len() {
        return Err(format!(
            "{} bytes follow the end of a stream",
            stream.len() - at
        ));
    }
    Ok(total)
}

/// What one buffer takes when decompressed: compressed buffers begin with that number, or -1 for "stored as it is".
fn buffer_bytes(body: &[u8], offset: i64, length: i64, compressed: bool) -> Result<u64, String> {
    let outside = || "a buffer lies outside its body".to_owned();
    let start = usize::try_from(offset).map_err(|_| outside())?;
    let length = usize::try_from(length).map_err(|_| outside())?;
    let end = start.checked_add(length).ok_or_else(outside)?;
    let buffer = body.get(start..end).ok_or_else(outside)?;
    if !compressed || buffer.is_empty() {
        return Ok(length as u64);
    }
    let prefix = buffer
        .first_chunk::<8>()
        .ok_or("a compressed buffer is cut off")?;
    match i64::from_le_bytes(*prefix) {
        -1 => Ok(length as u64 - 8),
        stated => u64::try_from(stated).map_err(|_| "a buffer states a negative size".to_owned()),
    }
}

/// Decodes a stream that must have the fields of `schema` and at most one batch; no batch is an empty one.
/// The result has exactly `schema`. Returns the batch and its decompressed size, at most `limit_bytes`.
pub(super) fn decode(
    stream: Bytes,
    schema: &SchemaRef,
    limit_bytes: usize,
) -> Result<(RecordBatch, usize), String> {
    let size = decoded_bytes(&stream)?;
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size <= limit_bytes)
        .ok_or_else(|| {
            format!(
                "it holds {size} bytes when decompressed, more than the limit of {SEGMENT_DECODED_BYTES_MAX}"
            )
        })?;
    let batch = read(stream, schema)?;
    let batch = batch.unwrap_or_else(|| RecordBatch::new_empty(SchemaRef::clone(schema)));
    Ok((batch, size))
}

fn read(stream: Bytes, schema: &SchemaRef) -> Result<Option<RecordBatch>, String> {
    let broken = |error: ArrowError| format!("Arrow cannot read it: {error}");
    let attempt = || -> Result<(Option<Schema>, Option<RecordBatch>), ArrowError> {
        let mut decoder = StreamDecoder::new();
        let mut buffer = Buffer::from(stream);
        let batch = decoder.decode(&mut buffer)?;
        while !buffer.is_empty() {
            decoder.decode(&mut buffer)?;
        }
        decoder.finish()?;
        let schema = decoder.schema().map(|schema| schema.as_ref().clone());
        Ok((schema, batch))
    };
    // Arrow's reader has panicked on malformed streams. The checksum keeps accidents out; this keeps a forged object from
    // taking a process down.
    let (found, batch) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt))
        .map_err(|_| "Arrow's reader panicked on it".to_owned())?
        .map_err(broken)?;
    if found.is_none_or(|found| found.fields() != schema.fields()) {
        return Err("its columns are not those of the format".to_owned());
    }
    match batch {
        Some(batch) => RecordBatch::try_new(SchemaRef::clone(schema), batch.columns().to_vec())
            .map(Some)
            .map_err(broken),
        None => Ok(None),
    }
}
