//! `/api/v1/query_exemplars`: the exemplars of all series that an expression selects.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use varve_storage::Exemplar;

use super::Api;
use super::params::Form;
use super::query::run;
use super::respond::{ApiError, json_response, push_success_head, push_success_tail};
use crate::QueryOptions;
use crate::exemplars::{ExemplarQuery, SeriesExemplars};
use crate::json::number::{push_sample_value, push_timestamp};
use crate::json::push_list;
use crate::json::text::push_labels;

/// Offsets, `@` and ranges of selectors mean nothing here: exemplars lie from `start` to `end`, both included. Clients ask along with
/// every panel.
pub(super) async fn query(State(api): State<Api>, form: Form) -> Result<Response, ApiError> {
    let (start_ms, end_ms) = form.time_range_ms()?;
    if end_ms < start_ms {
        return Err(ApiError::bad_data(
            "end timestamp must not be before start timestamp",
        ));
    }
    let expr = api.backend().parse(form.value("query"));
    let expr = expr.map_err(|e| ApiError::bad_data(e.to_string()))?;
    let selectors = expr.selectors().into_iter();
    let query = ExemplarQuery {
        matchers: selectors
            .map(|selector| selector.matchers.clone())
            .collect(),
        start_ms,
        end_ms,
    };
    if query.matchers.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let options = QueryOptions {
        timeout: Some(api.options().query_timeout),
        ..QueryOptions::default()
    };
    let (found, warnings) = run(&api, &options, api.backend().exemplars(&query)).await?;
    let mut body = Vec::new();
    push_success_head(&mut body);
    push_list(&mut body, &found, push_series);
    push_success_tail(&mut body, &warnings, &[]);
    Ok(json_response(StatusCode::OK, Body::from(body)))
}

fn push_series(out: &mut Vec<u8>, of: &SeriesExemplars) {
    out.extend_from_slice(b"{\"seriesLabels\":");
    push_labels(out, &of.series.labels);
    out.extend_from_slice(b",\"exemplars\":");
    push_list(out, &of.exemplars, push_exemplar);
    out.push(b'}');
}

fn push_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    out.extend_from_slice(b"{\"labels\":");
    push_labels(out, &exemplar.labels);
    out.extend_from_slice(b",\"value\":\"");
    push_sample_value(out, exemplar.value);
    out.extend_from_slice(b"\",\"timestamp\":");
    push_timestamp(out, exemplar.timestamp_ms);
    out.push(b'}');
}
