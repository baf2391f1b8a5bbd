//! Metrics of OpenTelemetry over HTTP (OTLP), in their binary and their JSON form.
//!
//! Vocabulary: a *resource* is what made the metrics, a *scope* the library in it, a *data point* one value or histogram of a metric. A metric's
//! *temporality* is *cumulative* if its data points count from one start on, and *delta* if each counts from the one before.
//!
//! Flow: [`json`] reads [`tokens`] and rewrites a JSON body as a binary one by the names in [`schema`]; [`translate`] walks through it, with [`names`] for names, [`labels`] for label sets and
//! [`points`] for data points, which become samples in [`samples`] and native histograms in [`native`]; [`cumulative`] adds up deltas. Nothing is held but the body, the data point at
//! hand and what is to be stored.
//!
//! As in Prometheus a request is stored as a whole or not at all, and then the answer says what is wrong with it. Such an answer has the status 400, which tells
//! clients not to send it again; Prometheus has 500 for some of them, which several clients take for an invitation to do so. What could not be stored for
//! reasons of ours has 503, which all of them repeat. A data point without a time is refused, for Prometheus finds 1970 out of bounds.

mod cumulative;
mod json;
mod labels;
mod names;
mod native;
mod points;
mod samples;
mod schema;
mod tokens;
mod translate;
mod value;

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use thiserror::Error;

pub(super) use self::cumulative::Totals;
use self::translate::Translation;
use super::body::from_gzip;
use super::metrics::add;
use super::routes::Refused;
use super::{PushReceiver, StoreError};
use crate::config::OtlpConfig;
use varve_storage::protobuf::wire::WireError;

/// What becomes of metrics with delta temporality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpDelta {
    /// A request that has one is refused.
    #[default]
    Refused,
    /// They are added up, in memory, to cumulative ones (`otlp-deltatocumulative`).
    ToCumulative,
    /// They are stored as they are (`otlp-native-delta-ingestion`).
    Native,
}

/// Why a request cannot be stored.
#[derive(Debug, Error)]
pub(super) enum OtlpError {
    /// It is no message.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// There are no series for it.
    #[error("{0}")]
    Untranslatable(String),
}

/// What is odd about a request, and no reason to refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Warning {
    /// A metric without data points.
    EmptyDataPoints,
    /// Attributes that became one label.
    LabelNameCollision,
    /// A histogram without observations and with a sum.
    ZeroCountNonZeroSum,
}

/// The form of a request, and of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Protobuf,
    Json,
}

/// How a body is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    encoding: Encoding,
    gzip: bool,
}

/// The form that a request's headers announce.
pub(super) fn negotiate(headers: &HeaderMap) -> Result<Form, Refused> {
    let text = |name: HeaderName| {
        let value = headers.get(name).map(|value| value.as_bytes());
        String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
    };
    let content_type = text(header::CONTENT_TYPE);
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let encoding = match media_type {
        "application/x-protobuf" => Encoding::Protobuf,
        "application/json" => Encoding::Json,
        _ => {
            return Err(Refused::bad_request(format!(
                "unsupported content type: {content_type}, supported: [application/json, application/x-protobuf]"
            )));
        }
    };
    let gzip = match text(header::CONTENT_ENCODING).as_str() {
        "gzip" => true,
        "" | "identity" => false,
        other => {
            return Err(Refused::bad_request(format!(
                "unsupported compression: {other}. Only \"gzip\" or no compression supported"
            )));
        }
    };
    Ok(Form { encoding, gzip })
}

/// Stores a request; on return it is durable.
pub(super) async fn receive(
    receiver: &PushReceiver,
    form: Form,
    body: &[u8],
    now_ms: i64,
) -> Result<Response, Refused> {
    let config = receiver.otlp_config();
    let (builder, outcome) = translated(receiver, &config, form, body, now_ms)?;
    for warning in outcome.warnings.values() {
        receiver.metrics().warn(*warning);
    }
    if !outcome.warnings.is_empty() {
        let warnings: Vec<&str> = outcome.warnings.keys().map(String::as_str).collect();
        tracing::warn!(warnings = warnings.join("; "), "translating OTLP metrics");
    }
    receiver.store(builder.finish()).await.map_err(retriable)?;
    let metrics = receiver.metrics();
    add(&metrics.samples, outcome.samples);
    add(&metrics.histograms, outcome.histograms);
    add(&metrics.exemplars, outcome.exemplars);
    add(&metrics.rejected, outcome.left_out);
    Ok(match form.encoding {
        // A message without fields.
        Encoding::Protobuf => answer("application/x-protobuf", ""),
        Encoding::Json => answer("application/json", "{}"),
    })
}

/// A request that was not stored. Of the statuses that are our fault, clients of OTLP repeat what gets 503, and drop what gets 500.
fn retriable(error: StoreError) -> Refused {
    let refused = Refused::from(error);
    match refused.status {
        StatusCode::INTERNAL_SERVER_ERROR => Refused {
            status: StatusCode::SERVICE_UNAVAILABLE,
            ..refused
        },
        _ => refused,
    }
}

fn answer(content_type: &'static str, body: &'static str) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

fn translated<'r>(
    receiver: &'r PushReceiver,
    config: &'r OtlpConfig,
    form: Form,
    body: &[u8],
    now_ms: i64,
) -> Result<(super::RequestBuilder<'r>, translate::Outcome), Refused> {
    let bytes_max = receiver.options().body_bytes_max;
    let body = match form.gzip {
        true => Cow::Owned(from_gzip(body, bytes_max)?),
        false => Cow::Borrowed(body),
    };
    add(&receiver.metrics().body_bytes, body.len() as u64);
    let message = match form.encoding {
        Encoding::Protobuf => body,
        Encoding::Json => {
            let message = json::to_protobuf(&body, bytes_max);
            Cow::Owned(message.map_err(|error| Refused::bad_request(error.to_string()))?)
        }
    };
    let mut translation = Translation::new(receiver, config, now_ms);
    let result = translation.request(&message);
    let (builder, mut outcome) = translation.finish();
    if let Err(error) = result {
        outcome.reasons.push(error.to_string());
    }
    if !outcome.reasons.is_empty() {
        builder.abandon();
        return Err(Refused::bad_request(outcome.reasons.join("\n")));
    }
    Ok((builder, outcome))
}

/// Reads a body as a request and forgets it: what tests with arbitrary bytes call. Whether it could be stored.
#[doc(hidden)]
pub fn read_any(receiver: &PushReceiver, body: &[u8], json: bool) -> bool {
    let form = Form {
        encoding: match json {
            true => Encoding::Json,
            false => Encoding::Protobuf,
        },
        gzip: false,
    };
    let config = receiver.otlp_config();
    translated(receiver, &config, form, body, i64::MAX).is_ok()
}

#[cfg(test)]
mod tests;
