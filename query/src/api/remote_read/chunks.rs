//! The answer of type STREAMED_XOR_CHUNKS: frames, each with some chunks of one series.
//!
//! A frame is the length of a message, its CRC-32C, and the message, a `prometheus.ChunkedReadResponse`. Only one series at a time is
//! encoded, and the next one only when the client has taken the frames before.

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use varve_storage::Labels;
use varve_storage::columns::NO_START_MS;
use varve_storage::protobuf::encode::Message;
use varve_tsdb::{EncodedChunk, Sample, crc32c, encode_chunks};

use super::super::Api;
use super::samples::{with_stale_histograms, write_label, write_labels};
use super::{Selection, merged};
use crate::{RawSeries, Result};

/// The frames of all queries, one query after the other.
pub(super) fn frames(
    api: Api,
    selections: Vec<Selection>,
    external: Labels,
) -> impl Stream<Item = Result<Bytes>> + Send {
    let frame_bytes = api.options().remote_read.frame_bytes;
    let numbered = stream::iter((0..).zip(selections));
    numbered.flat_map(move |(query, selection)| {
        let series = match selection.selector {
            Some(selector) => api.backend().raw(selector),
            None => stream::empty().boxed(),
        };
        let external = external.clone();
        series
            .map_ok(move |series| {
                let frames = series_frames(query, &series, &external, frame_bytes);
                stream::iter(frames.into_iter().map(Ok))
            })
            .try_flatten()
    })
}

/// The frames of one series.
fn series_frames(
    query: i64,
    series: &RawSeries,
    external: &Labels,
    frame_bytes: usize,
) -> Vec<Bytes> {
    let mut labels = Message::default();
    write_labels(&mut labels, &series.labels, external);
    let room = frame_bytes.saturating_sub(label_bytes(&series.labels, external));
    let mut frames = Vec::new();
    // The fields of a `ChunkedSeries` behind the labels, and the sizes of the chunks in them.
    let mut message = Message::default();
    let mut chunk_bytes = 0;
    for chunk in chunks(series) {
        let chunk = encoded(&chunk);
        message.bytes(2, chunk.as_bytes());
        chunk_bytes += chunk.as_bytes().len();
        // The chunk that exceeds the room is the last one.
        if chunk_bytes >= room {
            frames.push(frame(query, &labels, &message));
            message.clear();
            chunk_bytes = 0;
        }
    }
    if !message.as_bytes().is_empty() {
        frames.push(frame(query, &labels, &message));
    }
    frames
}

fn chunks(series: &RawSeries) -> Vec<EncodedChunk> {
    let samples = with_stale_histograms(&series.samples);
    let samples = samples.map(|(timestamp_ms, value)| Sample {
        timestamp_ms,
        start_timestamp_ms: NO_START_MS,
        value,
    });
    encode_chunks(samples, false)
}

/// The sizes of the labels' messages, without what stands before each. Prometheus counts frames so.
fn label_bytes(labels: &Labels, external: &Labels) -> usize {
    let sizes = merged(labels, external).into_iter().map(|(name, value)| {
        let mut label = Message::default();
        write_label(&mut label, name, value);
        label.as_bytes().len()
    });
    sizes.sum()
}

/// A `Chunk`.
fn encoded(chunk: &EncodedChunk) -> Message {
    let mut message = Message::default();
    message.int64(1, chunk.min_time);
    message.int64(2, chunk.max_time);
    message.uint64(3, chunk.encoding as u64);
    message.bytes(4, &chunk.data);
    message
}

fn frame(query: i64, labels: &Message, chunks: &Message) -> Bytes {
    let mut response = Message::default();
    response.message(1, |series| {
        series.append(labels);
        series.append(chunks);
    });
    response.int64(2, query);
    let response = response.into_bytes();
    let mut head = Message::default();
    head.varint(response.len() as u64);
    let checksum = crc32c(&response).to_be_bytes();
    [head.as_bytes(), &checksum, &response].concat().into()
}
