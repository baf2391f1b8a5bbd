//! What the process says about itself: targets, configuration, build, runtime.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use varve_storage::Labels;

use super::Api;
use super::backend::{ActiveTarget, DroppedTarget, TargetHealth, WallTime};
use super::params::Form;
use super::respond::{ApiError, json_response, push_success_head, push_success_tail, success};
use crate::json::text::push_labels;
use crate::json::{push_json, push_list};

#[derive(Serialize)]
struct Yaml {
    yaml: String,
}

/// `/api/v1/status/config`
pub(super) async fn config(State(api): State<Api>) -> Result<Response, ApiError> {
    success(&Yaml {
        yaml: api.host().config_yaml(),
    })
}

/// `/api/v1/status/flags`
pub(super) async fn flags(State(api): State<Api>) -> Result<Response, ApiError> {
    success(&api.host().flags())
}

/// `/api/v1/status/buildinfo`
pub(super) async fn build_info(State(api): State<Api>) -> Result<Response, ApiError> {
    success(&api.host().build_info())
}

/// `/api/v1/status/runtimeinfo`
pub(super) async fn runtime_info(State(api): State<Api>) -> Result<Response, ApiError> {
    success(&api.host().runtime_info())
}

/// `/version`: the same without an envelope.
pub(super) async fn version(State(api): State<Api>) -> String {
    let mut body = Vec::new();
    // Strings always serialize, to UTF-8.
    let _ = push_json(&mut body, &api.host().build_info());
    body.push(b'\n');
    String::from_utf8(body).unwrap_or_default()
}

/// `/api/v1/status/walreplay`: there is nothing to replay before queries can be answered.
pub(super) async fn wal_replay() -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Segments {
        min: u64,
        max: u64,
        current: u64,
    }
    success(&Segments {
        min: 0,
        max: 0,
        current: 0,
    })
}

/// `/api/v1/targets`, by `state` (active, dropped, any) and `scrapePool`.
pub(super) async fn targets(State(api): State<Api>, form: Form) -> Result<Response, ApiError> {
    let mut targets = api.host().targets();
    let pool = form.value("scrapePool");
    let state = form.value("state").to_lowercase();
    let everything = state.is_empty() || state == "any";
    let (active, dropped) = (state == "active", state == "dropped");
    let shown = |name: &str| pool.is_empty() || pool == name;
    targets
        .active
        .retain(|target| (everything || active) && shown(&target.scrape_pool));
    targets
        .dropped
        .retain(|target| (everything || dropped) && shown(&target.scrape_pool));
    let counts = (everything || dropped).then_some(&targets.dropped_counts);

    let mut body = Vec::new();
    push_success_head(&mut body);
    body.extend_from_slice(b"{\"activeTargets\":");
    push_list(&mut body, &targets.active, push_active_target);
    body.extend_from_slice(b",\"droppedTargets\":");
    push_list(&mut body, &targets.dropped, push_dropped_target);
    body.extend_from_slice(b",\"droppedTargetCounts\":");
    // Maps of strings to numbers, and `null`, always serialize.
    let _ = push_json(&mut body, &counts);
    body.push(b'}');
    push_success_tail(&mut body, &[], &[]);
    Ok(json_response(StatusCode::OK, Body::from(body)))
}

/// Label sets are written by hand: unlike every other text, Prometheus does not escape them for HTML.
fn push_active_target(out: &mut Vec<u8>, target: &ActiveTarget) {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct AfterLabels<'a> {
        scrape_pool: &'a str,
        scrape_url: &'a str,
        global_url: &'a str,
        last_error: &'a str,
        last_scrape: WallTime,
        last_scrape_duration: f64,
        health: TargetHealth,
        scrape_interval: &'a str,
        scrape_timeout: &'a str,
    }
    out.extend_from_slice(b"{\"discoveredLabels\":");
    push_labels(out, &target.discovered_labels);
    out.extend_from_slice(b",\"labels\":");
    push_labels(out, &target.labels);
    let rest = AfterLabels {
        scrape_pool: &target.scrape_pool,
        scrape_url: &target.scrape_url,
        global_url: &target.global_url,
        last_error: &target.last_error,
        last_scrape: target.last_scrape,
        last_scrape_duration: target.last_scrape_duration,
        health: target.health,
        scrape_interval: &target.scrape_interval,
        scrape_timeout: &target.scrape_timeout,
    };
    push_members(out, &rest);
}

fn push_dropped_target(out: &mut Vec<u8>, target: &DroppedTarget) {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct AfterLabels<'a> {
        scrape_pool: &'a str,
    }
    out.extend_from_slice(b"{\"discoveredLabels\":");
    push_labels(out, &target.discovered_labels);
    push_members(
        out,
        &AfterLabels {
            scrape_pool: &target.scrape_pool,
        },
    );
}

/// Continues an open object with the members of a struct, and closes it.
pub(super) fn push_members<T: Serialize>(out: &mut Vec<u8>, members: &T) {
    let start = out.len();
    // Structs of texts and numbers always serialize.
    let _ = push_json(out, members);
    if let Some(brace) = out.get_mut(start) {
        *brace = b',';
    }
}

/// `/api/v1/scrape_pools`
pub(super) async fn scrape_pools(State(api): State<Api>) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Pools {
        scrape_pools: BTreeSet<String>,
    }
    let targets = api.host().targets();
    let active = targets.active.into_iter().map(|target| target.scrape_pool);
    success(&Pools {
        scrape_pools: active.chain(targets.dropped_counts.into_keys()).collect(),
    })
}

/// The job that a question is about.
fn scrape_pool(form: &Form) -> Result<&str, ApiError> {
    match form.value("scrapePool") {
        "" => Err(ApiError::bad_data("no scrapePool parameter provided")),
        pool => Ok(pool),
    }
}

/// `/api/v1/scrape_pools/config`, by `scrapePool`.
pub(super) async fn scrape_pool_config(
    State(api): State<Api>,
    form: Form,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Config {
        yaml: String,
    }
    let yaml = api.host().scrape_pool_config(scrape_pool(&form)?);
    let yaml = yaml
        .map_err(|error| ApiError::bad_data(format!("error retrieving scrape config: {error}")))?;
    success(&Config { yaml })
}

/// `/api/v1/targets/relabel_steps`, by `scrapePool` and `labels`.
pub(super) async fn relabel_steps(
    State(api): State<Api>,
    form: Form,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Steps {
        steps: serde_json::Value,
    }
    let pool = scrape_pool(&form)?;
    let labels = match form.value("labels") {
        "" => return Err(ApiError::bad_data("no labels parameter provided")),
        labels => labels,
    };
    let labels: BTreeMap<String, String> = serde_json::from_str(labels)
        .map_err(|error| ApiError::bad_data(format!("error parsing labels: {error}")))?;
    let steps = api
        .host()
        .relabel_steps(pool, &Labels::from_pairs(labels))
        .map_err(|error| ApiError::bad_data(format!("error retrieving scrape config: {error}")))?;
    success(&Steps { steps })
}
