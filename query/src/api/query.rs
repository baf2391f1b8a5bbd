//! Everything that evaluates an expression: `/api/v1/query`, `query_range` and `explain`.

use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures::{StreamExt, stream};
use serde::Serialize;
use varve_promql::format::quote;

use super::backend::TimeGrid;
use super::params::{Form, parse_duration_ns};
use super::respond::{
    ApiError, ErrorType, TRUNCATED, json_response, push_success_head, push_success_tail, success,
};
use super::{Api, now_ms};
use crate::json::push_json;
use crate::json::result::{ResultChunks, result_type};
use crate::{QueryOptions, QueryResult, QueryStats, QueryValue};

/// The most steps of a range query: a week at 60 s, a year at 1 h.
const STEPS_MAX: i64 = 11_000;

/// In a millisecond.
const NANOSECONDS: i64 = 1_000_000;

const REQUESTS: HeaderName = HeaderName::from_static("x-varve-requests");
const BYTES_READ: HeaderName = HeaderName::from_static("x-varve-bytes-read");
const SAMPLES: HeaderName = HeaderName::from_static("x-varve-samples");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

pub(super) async fn instant(State(api): State<Api>, form: Form) -> Result<Response, ApiError> {
    let limit = form.limit()?;
    let time_ms = form.time_ms("time")?.unwrap_or_else(now_ms);
    let options = query_options(&api, &form, limit)?;
    let query = form.value("query");
    let started = Instant::now();
    let result = run(
        &api,
        &options,
        api.backend().instant(query, time_ms, &options),
    )
    .await?;
    Ok(respond(result, limit, form.value("stats"), started))
}

pub(super) async fn range(State(api): State<Api>, form: Form) -> Result<Response, ApiError> {
    let limit = form.limit()?;
    let grid = grid(&form)?;
    let options = query_options(&api, &form, limit)?;
    let query = form.value("query");
    let started = Instant::now();
    let result = run(&api, &options, api.backend().range(query, grid, &options)).await?;
    Ok(respond(result, limit, form.value("stats"), started))
}

/// The plans of a query: of an instant query at `time`, of a range query where `step` is given.
pub(super) async fn explain(State(api): State<Api>, form: Form) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Plans {
        logical: String,
        physical: String,
    }
    let grid = if form.value("step").is_empty() {
        let time_ms = form.time_ms("time")?.unwrap_or_else(now_ms);
        TimeGrid {
            start_ms: time_ms,
            end_ms: time_ms,
            step_ms: 1,
        }
    } else {
        grid(&form)?
    };
    let options = query_options(&api, &form, None)?;
    let query = form.value("query");
    let plans = run(&api, &options, api.backend().explain(query, grid, &options)).await?;
    success(&Plans {
        logical: plans.logical,
        physical: plans.physical,
    })
}

/// `start`, `end` and `step` of a range query.
fn grid(form: &Form) -> Result<TimeGrid, ApiError> {
    let start_ms = form.required_time_ms("start")?;
    let end_ms = form.required_time_ms("end")?;
    if end_ms < start_ms {
        return Err(ApiError::invalid_parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let step_ns = parse_duration_ns(form.value("step"))
        .map_err(|e| ApiError::invalid_parameter("step", e))?;
    let not_positive = || {
        ApiError::invalid_parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        )
    };
    if step_ns <= 0 {
        return Err(not_positive());
    }
    let range_ns = (i128::from(end_ms) - i128::from(start_ms)) * i128::from(NANOSECONDS);
    if range_ns / i128::from(step_ns) > i128::from(STEPS_MAX) {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. \
             Try decreasing the query resolution (?step=XX)",
        ));
    }
    match step_ns / NANOSECONDS {
        // Less than a millisecond: there are no such steps.
        0 => Err(not_positive()),
        step_ms => Ok(TimeGrid {
            start_ms,
            end_ms,
            step_ms,
        }),
    }
}

/// `timeout`, `lookback_delta`, and the limit, one above what is returned so that truncation shows.
fn query_options(api: &Api, form: &Form, limit: Option<usize>) -> Result<QueryOptions, ApiError> {
    let mut timeout = api.options().query_timeout;
    if !form.value("timeout").is_empty() {
        let asked_ns = parse_duration_ns(form.value("timeout"))
            .map_err(|e| ApiError::invalid_parameter("timeout", e))?;
        timeout = timeout.min(Duration::from_nanos(u64::try_from(asked_ns).unwrap_or(0)));
    }
    let lookback_ms = match form.value("lookback_delta") {
        "" => None,
        text => {
            let lookback_ns = parse_duration_ns(text).map_err(|e| {
                ApiError::bad_data(format!("error parsing lookback delta duration: {e}"))
            })?;
            // Zero and less mean the default, as in Prometheus.
            Some(lookback_ns / NANOSECONDS).filter(|ms| *ms > 0)
        }
    };
    Ok(QueryOptions {
        lookback_ms,
        timeout: Some(timeout),
        limit: limit.map(|limit| limit.saturating_add(1)),
    })
}

/// Waits for a free place, then runs a query, both within the query's time limit.
pub(super) async fn run<T>(
    api: &Api,
    options: &QueryOptions,
    query: impl Future<Output = crate::Result<T>>,
) -> Result<T, ApiError> {
    let timeout = options.timeout.unwrap_or(api.options().query_timeout);
    let timed_out =
        |stage: &str| ApiError::new(ErrorType::Timeout, format!("query timed out in {stage}"));
    if timeout.is_zero() {
        return Err(timed_out("query execution"));
    }
    let deadline = tokio::time::Instant::now() + timeout;
    let _place = tokio::time::timeout_at(deadline, api.query_places().acquire())
        .await
        .map_err(|_| timed_out("query queue"))?
        .map_err(|_| ApiError::new(ErrorType::Unavailable, "the server is stopping"))?;
    tokio::time::timeout_at(deadline, query)
        .await
        .map_err(|_| timed_out("expression evaluation"))?
        .map_err(ApiError::of_query)
}

/// Shortens the value to `limit` series; returns whether something was cut off.
fn truncate(value: &mut QueryValue, limit: usize) -> bool {
    match value {
        QueryValue::Vector(samples) if samples.len() > limit => samples.truncate(limit),
        QueryValue::Matrix(series) if series.len() > limit => series.truncate(limit),
        _ => return false,
    }
    true
}

/// The warning about a value of `stats` that Prometheus will refuse one day.
fn stats_warning(stats: &str) -> Option<String> {
    (!matches!(stats, "" | "true" | "all")).then(|| {
        format!(
            "value {} for parameter \"stats\" is deprecated and will be rejected in the next major release, \
             use \"true\" or \"all\"",
            quote(stats)
        )
    })
}

fn respond(
    mut result: QueryResult,
    limit: Option<usize>,
    stats: &str,
    started: Instant,
) -> Response {
    if limit.is_some_and(|limit| truncate(&mut result.value, limit)) {
        let known = result.warnings.iter().any(|warning| warning == TRUNCATED);
        if !known {
            result.warnings.push(TRUNCATED.to_owned());
        }
    }
    result.warnings.extend(stats_warning(stats));

    let mut head = Vec::new();
    push_success_head(&mut head);
    head.extend_from_slice(b"{\"resultType\":\"");
    head.extend_from_slice(result_type(&result.value).as_bytes());
    head.extend_from_slice(b"\",\"result\":");
    let mut tail = Vec::new();
    if !stats.is_empty() {
        tail.extend_from_slice(b",\"stats\":");
        // Numbers always serialize.
        let _ = push_json(&mut tail, &Stats::from(&result.stats));
    }
    tail.push(b'}');
    push_success_tail(&mut tail, &result.warnings, &result.infos);

    let mut chunks = ResultChunks::new(head, result.value, tail);
    let first = chunks.next().unwrap_or_default();
    // A small answer goes out whole, with its length.
    let body = match chunks.next() {
        None => Body::from(first),
        Some(second) => Body::from_stream(
            stream::iter([first, second].into_iter().chain(chunks))
                .map(Ok::<Bytes, std::convert::Infallible>),
        ),
    };
    let mut response = json_response(StatusCode::OK, body);
    push_cost_headers(response.headers_mut(), &result.stats, started.elapsed());
    response
}

fn push_cost_headers(headers: &mut HeaderMap, stats: &QueryStats, total: Duration) {
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let timing = format!(
        "total;dur={:.3}, eval;dur={:.3}, cpu;dur={:.3}",
        milliseconds(total),
        milliseconds(stats.elapsed),
        milliseconds(stats.cpu)
    );
    if let Ok(timing) = HeaderValue::from_str(&timing) {
        headers.insert(SERVER_TIMING, timing);
    }
    headers.insert(REQUESTS, HeaderValue::from(requests(stats)));
    headers.insert(BYTES_READ, HeaderValue::from(stats.bytes_read));
    headers.insert(SAMPLES, HeaderValue::from(stats.samples_read));
}

fn requests(stats: &QueryStats) -> u64 {
    stats.get_requests + stats.head_requests + stats.list_requests
}

/// The member `stats`: Prometheus's timings and samples, then what the object store was asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    timings: Timings,
    samples: Samples,
    storage: Storage,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Timings {
    eval_total_time: f64,
    result_sort_time: f64,
    query_preparation_time: f64,
    inner_eval_time: f64,
    exec_queue_time: f64,
    exec_total_time: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Samples {
    total_queryable_samples: u64,
    samples_read: u64,
    peak_samples: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Storage {
    requests: u64,
    list_requests: u64,
    bytes_read: u64,
    rows_scanned: u64,
    series_selected: u64,
    series_returned: u64,
    cpu_time: f64,
    peak_memory_bytes: u64,
}

impl From<&QueryStats> for Stats {
    fn from(stats: &QueryStats) -> Self {
        let elapsed = stats.elapsed.as_secs_f64();
        Self {
            timings: Timings {
                eval_total_time: elapsed,
                inner_eval_time: elapsed,
                exec_total_time: elapsed,
                ..Timings::default()
            },
            // Samples are never held one by one, so all that were read is the honest upper bound of the peak.
            samples: Samples {
                total_queryable_samples: stats.samples_read,
                samples_read: stats.samples_read,
                peak_samples: stats.samples_read,
            },
            storage: Storage {
                requests: requests(stats),
                list_requests: stats.list_requests,
                bytes_read: stats.bytes_read,
                rows_scanned: stats.rows_scanned,
                series_selected: stats.series_selected,
                series_returned: stats.series_returned,
                cpu_time: stats.cpu.as_secs_f64(),
                peak_memory_bytes: stats.memory_peak_bytes,
            },
        }
    }
}
