//! Remote read: `POST /api/v1/read`.
//!
//! A request holds queries, each of them matchers and a range of time; the answer has the stored samples of every series, stale markers
//! among them. Series get the external labels that they lack, and matchers for external labels are undone ([`request`]). There are two
//! types of answers: all samples in one message ([`samples`]), and chunks of samples in a stream of frames ([`chunks`]).

mod blocks;
mod chunks;
mod request;
mod samples;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt, stream};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use varve_storage::Labels;

use self::request::{REQUEST_BYTES_MAX, ReadRequest, STREAMED_XOR_CHUNKS};
use super::Api;
use super::routing::plain_error_of;
use crate::selector::SelectorSpec;

/// Limits of remote read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteReadOptions {
    /// Samples that a query may have in an answer of type SAMPLES; 0 is no limit. Answers in chunks have none.
    pub samples_max: usize,
    /// Requests that are answered at once, others wait; 0 is no limit.
    pub concurrency: usize,
    /// Bytes of a frame of chunks; a frame ends with the chunk that exceeds them.
    pub frame_bytes: usize,
}

impl Default for RemoteReadOptions {
    fn default() -> Self {
        Self {
            samples_max: 50_000_000,
            concurrency: 10,
            frame_bytes: 1 << 20,
        }
    }
}

impl RemoteReadOptions {
    pub(super) fn places(&self) -> usize {
        match self.concurrency {
            0 => Semaphore::MAX_PERMITS,
            places => places.min(Semaphore::MAX_PERMITS),
        }
    }
}

/// Why a request is not answered.
#[derive(Debug, Error)]
enum ReadError {
    #[error("{0}")]
    BadRequest(String),
    #[error("exceeded sample limit ({0})")]
    TooManySamples(usize),
    #[error("{0}")]
    Matcher(String),
    #[error(transparent)]
    Query(#[from] crate::Error),
    #[error(transparent)]
    Compression(#[from] snap::Error),
    #[error("the server is stopping")]
    Stopping,
}

impl IntoResponse for ReadError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::BadRequest(_) | Self::TooManySamples(_) => StatusCode::BAD_REQUEST,
            // Prometheus looks at matchers where it looks for series, and has this for whatever goes wrong there.
            Self::Matcher(_) | Self::Query(_) | Self::Compression(_) | Self::Stopping => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        plain_error_of(status, format!("{self}\n"))
    }
}

/// A query of the request, understood.
#[derive(Debug)]
struct Selection {
    /// `None` selects nothing.
    selector: Option<SelectorSpec>,
    only_series: bool,
}

pub(super) async fn read(State(api): State<Api>, request: Request) -> Response {
    answer(api, request.into_body())
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn answer(api: Api, body: Body) -> Result<Response, ReadError> {
    let place = Arc::clone(api.read_places()).acquire_owned();
    let place = place.await.map_err(|_| ReadError::Stopping)?;
    let body = received(body).await.map_err(ReadError::BadRequest)?;
    let request = request::decode(&body).map_err(ReadError::BadRequest)?;
    drop(body);
    let response_type = request.response_type().map_err(ReadError::BadRequest)?;
    let external = api.host().external_labels();
    let selections = selections(&request, &external).map_err(ReadError::Matcher)?;
    drop(request);
    if response_type == STREAMED_XOR_CHUNKS {
        return stream_chunks(api, selections, external, place).await;
    }
    let samples_max = api.options().remote_read.samples_max;
    let body = samples::respond(api.backend(), selections, &external, samples_max).await?;
    const NAMES: [(HeaderName, &str); 2] = [
        (header::CONTENT_TYPE, "application/x-protobuf"),
        (header::CONTENT_ENCODING, "snappy"),
    ];
    Ok((NAMES, body).into_response())
}

/// An answer in chunks. What goes wrong before the first frame is an error; later the connection is cut, so that nobody takes a part for all.
async fn stream_chunks(
    api: Api,
    selections: Vec<Selection>,
    external: Labels,
    place: OwnedSemaphorePermit,
) -> Result<Response, ReadError> {
    let mut frames = chunks::frames(api, selections, external).boxed();
    let first = frames.next().await.transpose()?;
    let rest = frames.inspect_err(move |error| {
        // Held until the last frame is sent.
        let _place = &place;
        tracing::warn!(%error, "a remote read was cut off");
    });
    let body = Body::from_stream(stream::iter(first.map(Ok)).chain(rest));
    let kind = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}

/// The body up to the limit. What is longer is cut, as Prometheus does it, and found corrupt.
async fn received(body: Body) -> Result<Vec<u8>, String> {
    let mut pieces = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| error.to_string())?;
        let room = REQUEST_BYTES_MAX.saturating_sub(bytes.len());
        bytes.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if bytes.len() >= REQUEST_BYTES_MAX {
            break;
        }
    }
    Ok(bytes)
}

fn selections(request: &ReadRequest, external: &Labels) -> Result<Vec<Selection>, String> {
    let queries = request.queries.iter();
    queries
        .map(|query| {
            Ok(Selection {
                selector: query.selector(external)?,
                only_series: query.only_series(),
            })
        })
        .collect()
}

/// The labels of a series with the external ones that it lacks, ascending by name.
fn merged<'a>(labels: &'a Labels, external: &'a Labels) -> Vec<(&'a str, &'a str)> {
    let missing = external
        .iter()
        .filter(|(name, _)| labels.get(name).is_none());
    let mut merged: Vec<_> = labels.iter().chain(missing).collect();
    merged.sort_by_key(|(name, _)| *name);
    merged
}
