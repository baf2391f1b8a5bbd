//! The paths that clients of InfluxDB know.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::{Parameters, Version, answer, error, receive};
use crate::push::PushReceiver;
use crate::push::metrics::add;
use crate::push::routes::{Refused, count, now_ms, read};

/// `/write` and `/api/v2/write`; `/query`, where Telegraf creates its database; and `/ping` and `/health`, which ask whether anybody is there.
pub(in crate::push) fn router(receiver: Arc<PushReceiver>) -> Router {
    Router::new()
        .route("/write", post(write_v1))
        .route("/api/v2/write", post(write_v2))
        .route("/query", post(query))
        .route("/ping", get(ping))
        .route("/health", get(health))
        .with_state(receiver)
}

/// What clients of InfluxDB look at to know what they talk to.
const VERSION: (&str, &str) = ("X-Influxdb-Version", "1.8.0-varve");

async fn write_v1(State(receiver): State<Arc<PushReceiver>>, request: Request) -> Response {
    write(&receiver, Version::V1, request).await
}

async fn write_v2(State(receiver): State<Arc<PushReceiver>>, request: Request) -> Response {
    write(&receiver, Version::V2, request).await
}

async fn write(receiver: &PushReceiver, version: Version, request: Request) -> Response {
    add(&receiver.metrics().requests, 1);
    match handle_write(receiver, request).await {
        Ok(()) => ([VERSION], StatusCode::NO_CONTENT).into_response(),
        Err(refused) => {
            count(receiver, &refused);
            ([VERSION], error(version, refused)).into_response()
        }
    }
}

async fn handle_write(receiver: &PushReceiver, request: Request) -> Result<(), Refused> {
    enabled(receiver)?;
    let (parts, body) = request.into_parts();
    let parameters = Parameters::of(parts.uri.query().unwrap_or_default(), &parts.headers)?;
    let body = read(body, receiver.options()).await?;
    receive(receiver, &parameters, &body, now_ms()).await
}

fn enabled(receiver: &PushReceiver) -> Result<(), Refused> {
    match receiver.options().influx {
        true => Ok(()),
        false => Err(Refused {
            status: StatusCode::NOT_FOUND,
            message: "the receiver of the InfluxDB line protocol is not enabled".to_owned(),
        }),
    }
}

/// Every statement succeeds: there are no databases to create, and nothing else is asked for that changes anything.
async fn query(State(receiver): State<Arc<PushReceiver>>) -> Response {
    match enabled(&receiver) {
        Ok(()) => (
            [VERSION],
            answer(&json!({"results": [{"statement_id": 0}]})),
        )
            .into_response(),
        Err(refused) => error(Version::V1, refused),
    }
}

async fn ping(State(receiver): State<Arc<PushReceiver>>) -> Response {
    match enabled(&receiver) {
        Ok(()) => ([VERSION], StatusCode::NO_CONTENT).into_response(),
        Err(refused) => error(Version::V1, refused),
    }
}

async fn health(State(receiver): State<Arc<PushReceiver>>) -> Response {
    match enabled(&receiver) {
        Ok(()) => {
            let body = json!({"name": "varve", "message": "ready for writes", "status": "pass", "checks": []});
            ([VERSION], answer(&body)).into_response()
        }
        Err(refused) => error(Version::V2, refused),
    }
}
