//! The paths of a Pushgateway.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::path::GroupKey;
use super::{Mode, PushGateway};
use crate::exposition::Format;
use crate::push::body::{from_gzip, from_snappy_frames};
use crate::push::metrics::add;
use crate::push::routes::{Refused, count, now_ms, read};

/// `POST`, `PUT` and `DELETE` of everything under `/metrics/job/` and `/metrics/job@base64/`.
pub fn router(gateway: Arc<PushGateway>) -> Router {
    let group = post(change).put(change).delete(change);
    Router::new()
        .route("/metrics/job/{*labels}", group.clone())
        .route("/metrics/job@base64/{*labels}", group)
        .with_state(gateway)
}

async fn change(State(gateway): State<Arc<PushGateway>>, request: Request) -> Response {
    add(&gateway.receiver.metrics().requests, 1);
    match handle(&gateway, request).await {
        Ok(status) => status.into_response(),
        Err(refused) => {
            count(&gateway.receiver, &refused);
            refused.into_response()
        }
    }
}

async fn handle(gateway: &PushGateway, request: Request) -> Result<StatusCode, Refused> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let path = path.strip_prefix("/metrics/").unwrap_or_default();
    let key = GroupKey::parse(path).map_err(Refused::bad_request)?;
    let mode = match parts.method {
        Method::DELETE => {
            gateway.delete(&key, now_ms()).await?;
            return Ok(StatusCode::ACCEPTED);
        }
        Method::PUT => Mode::Replace,
        _ => Mode::Add,
    };
    let options = gateway.receiver.options();
    let body = read(body, options).await?;
    let body = decompressed(&parts.headers, &body, options.body_bytes_max)?;
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let format = Format::of(content_type, Some(Format::Text)).map_err(Refused::unsupported)?;
    gateway.push(key, mode, format, &body, now_ms()).await?;
    Ok(StatusCode::OK)
}

fn decompressed(headers: &HeaderMap, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refused> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    match encoding.map(|encoding| encoding.as_bytes()) {
        Some(b"gzip") => from_gzip(body, bytes_max),
        Some(b"snappy") => from_snappy_frames(body, bytes_max),
        None | Some(b"" | b"identity") => Ok(body.to_vec()),
        Some(other) => Err(Refused::unsupported(format!(
            "unsupported compression: {}; only gzip, snappy or none",
            String::from_utf8_lossy(other)
        ))),
    }
}
