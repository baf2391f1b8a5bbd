//! Health, readiness, reload and quit under `/-`, and `/metrics`.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;

pub(super) async fn healthy() -> &'static str {
    "Varve is Healthy.\n"
}

pub(super) async fn ready(State(api): State<Api>) -> Response {
    if api.host().is_ready() {
        "Varve is Ready.\n".into_response()
    } else {
        not_ready()
    }
}

fn not_ready() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable").into_response()
}

/// Turns requests away until the process is ready.
pub(super) async fn require_ready(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Response {
    if api.host().is_ready() {
        next.run(request).await
    } else {
        not_ready()
    }
}

const DISABLED: (StatusCode, &str) = (StatusCode::FORBIDDEN, "Lifecycle API is not enabled.");

pub(super) async fn reload(State(api): State<Api>) -> Response {
    if !api.options().lifecycle {
        return DISABLED.into_response();
    }
    match api.host().reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("failed to reload config: {error}\n"),
        )
            .into_response(),
    }
}

pub(super) async fn quit(State(api): State<Api>) -> Response {
    if !api.options().lifecycle {
        return DISABLED.into_response();
    }
    api.host().quit();
    "Requesting termination... Goodbye!".into_response()
}

pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let mut text = String::new();
    api.host().write_metrics(&mut text);
    let content_type = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}
