//! The HTTP side of what is pushed, as an axum router for whatever server runs it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::metrics::add;
use super::{PushOptions, PushReceiver, StoreError, influx, otlp, remote_write};

/// A request that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    /// What the client is told; one line.
    pub(super) message: String,
}

impl Refused {
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
        }
    }

    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            message: message.into(),
        }
    }

    pub(super) fn too_large(bytes_max: usize) -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            message: format!("the request has more than {bytes_max} bytes; send less at once"),
        }
    }
}

/// A request that could not be stored: a client repeats what gets a status of 5xx, and drops what gets one of 4xx.
impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self {
            status: match &error {
                error if error.is_permanent() => StatusCode::BAD_REQUEST,
                StoreError::Timeout(_) => StatusCode::SERVICE_UNAVAILABLE,
                StoreError::Wal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            message: error.to_string(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        (self.status, kind, format!("{}\n", self.message)).into_response()
    }
}

/// All receivers under their paths: `/api/v1/write`, `/api/v1/otlp/v1/metrics`, and those of [`influx`].
pub fn router(receiver: Arc<PushReceiver>) -> Router {
    Router::new()
        .route("/api/v1/write", post(write))
        .route("/api/v1/otlp/v1/metrics", post(otlp_metrics))
        .with_state(Arc::clone(&receiver))
        .merge(influx::router(receiver))
}

/// The time now, in milliseconds.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// A whole body, within the limits on its size and on its time.
pub(super) async fn read(body: Body, options: &PushOptions) -> Result<Bytes, Refused> {
    let bytes_max = options.body_bytes_max;
    let whole = axum::body::to_bytes(body, bytes_max);
    let Ok(whole) = tokio::time::timeout(options.body_timeout, whole).await else {
        return Err(Refused {
            status: StatusCode::REQUEST_TIMEOUT,
            message: format!(
                "the body did not arrive within {:?}; send it again",
                options.body_timeout
            ),
        });
    };
    whole.map_err(|error| {
        let mut source: Option<&dyn std::error::Error> = Some(&error);
        while let Some(inner) = source {
            if inner.to_string() == "length limit exceeded" {
                return Refused::too_large(bytes_max);
            }
            source = inner.source();
        }
        Refused::bad_request(format!("the body could not be read: {error}"))
    })
}

/// Counts what came of a request.
pub(super) fn count(receiver: &PushReceiver, refused: &Refused) {
    let metrics = receiver.metrics();
    let counter = match refused.status.is_server_error() {
        true => &metrics.requests_not_stored,
        false => &metrics.requests_invalid,
    };
    add(counter, 1);
    tracing::debug!(
        status = refused.status.as_u16(),
        message = refused.message,
        "a pushed request was refused"
    );
}

async fn write(State(receiver): State<Arc<PushReceiver>>, request: Request) -> Response {
    add(&receiver.metrics().requests, 1);
    let (parts, body) = request.into_parts();
    let handled = handle_write(&receiver, &parts.headers, body).await;
    handled.unwrap_or_else(|refused| {
        count(&receiver, &refused);
        refused.into_response()
    })
}

async fn otlp_metrics(State(receiver): State<Arc<PushReceiver>>, request: Request) -> Response {
    add(&receiver.metrics().requests, 1);
    let (parts, body) = request.into_parts();
    let handled = handle_otlp_metrics(&receiver, &parts.headers, body).await;
    handled.unwrap_or_else(|refused| {
        count(&receiver, &refused);
        refused.into_response()
    })
}

async fn handle_otlp_metrics(
    receiver: &PushReceiver,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    if !receiver.options().otlp {
        return Err(Refused {
            status: StatusCode::NOT_FOUND,
            message: "otlp write receiver needs to be enabled with --web.enable-otlp-receiver"
                .to_owned(),
        });
    }
    let form = otlp::negotiate(headers)?;
    let body = read(body, receiver.options()).await?;
    otlp::receive(receiver, form, &body, now_ms()).await
}

async fn handle_write(
    receiver: &PushReceiver,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    if !receiver.options().remote_write {
        return Err(Refused {
            status: StatusCode::NOT_FOUND,
            message:
                "remote write receiver needs to be enabled with --web.enable-remote-write-receiver"
                    .to_owned(),
        });
    }
    let version = remote_write::negotiate(headers)?;
    let body = read(body, receiver.options()).await?;
    let outcome = remote_write::receive(receiver, version, &body, now_ms()).await?;
    if !outcome.rejected.is_empty() {
        add(&receiver.metrics().requests_invalid, 1);
    }
    Ok(outcome.into_response())
}
