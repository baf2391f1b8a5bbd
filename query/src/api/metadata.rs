//! What is known about metric families: `/api/v1/metadata` and `/api/v1/targets/metadata`.
//!
//! The first is about targets and archive, so that it knows what was pushed and what belongs to targets that are gone. Of one family, what
//! an active target says comes first, so that whoever asks for one entry gets the one that holds today.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use varve_promql::parse_matchers;
use varve_storage::{Labels, MetricMetadata};

use super::Api;
use super::params::{Form, parse_integer};
use super::respond::{ApiError, json_response, push_success_head, push_success_tail, success_with};
use super::status::push_members;
use crate::json::text::push_labels;
use crate::source::CompiledMatchers;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: &'static str,
    unit: String,
    help: String,
}

/// Entries by family, each with its rank: the least comes first, equal ones by their texts.
#[derive(Default)]
struct Families(BTreeMap<String, BTreeMap<Entry, usize>>);

impl Families {
    /// Adds entries about `metric`, or about any if that is "", with ranks by their place in the list. An entry keeps the first one.
    fn add_all(&mut self, list: Vec<MetricMetadata>, metric: &str, rank: impl Fn(usize) -> usize) {
        for (place, metadata) in list.into_iter().enumerate() {
            if !metric.is_empty() && metadata.family != metric {
                continue;
            }
            let entry = Entry {
                kind: metadata.kind.as_str(),
                unit: metadata.unit,
                help: metadata.help,
            };
            let entries = self.0.entry(metadata.family).or_default();
            entries.entry(entry).or_insert_with(|| rank(place));
        }
    }

    fn shown(self, families: usize, entries: usize) -> BTreeMap<String, Vec<Entry>> {
        let first = |of: BTreeMap<Entry, usize>| {
            let mut of: Vec<(Entry, usize)> = of.into_iter().collect();
            // A stable sort, so that equal ranks stay in the order of texts.
            of.sort_by_key(|(_, rank)| *rank);
            of.into_iter().map(|(entry, _)| entry).take(entries)
        };
        let shown = self.0.into_iter().take(families);
        shown
            .map(|(family, of)| (family, first(of).collect()))
            .collect()
    }
}

/// `/api/v1/metadata`, by `metric`, `limit` and `limit_per_metric`: what the active targets say, then what the archive knows.
pub(super) async fn families(State(api): State<Api>, form: Form) -> Result<Response, ApiError> {
    let limit = limit_of(&form, "limit")?.unwrap_or(usize::MAX);
    let limit_per_metric = limit_of(&form, "limit_per_metric")?
        .filter(|limit| *limit > 0)
        .unwrap_or(usize::MAX);
    let metric = form.value("metric");

    let mut known = Families::default();
    for target in api.host().metadata() {
        known.add_all(target.metadata, metric, |_| 0);
    }
    let (of_archive, warnings) = api.backend().metadata(metric).await?;
    known.add_all(of_archive, metric, |place| place + 1);
    success_with(&known.shown(limit, limit_per_metric), &warnings)
}

/// A limit of metadata, `None` where it is missing or negative.
fn limit_of(form: &Form, name: &str) -> Result<Option<usize>, ApiError> {
    match form.value(name) {
        "" => Ok(None),
        text => match parse_integer(text) {
            Ok(number) => Ok(usize::try_from(number).ok()),
            Err(_) => Err(ApiError::bad_data(format!("{name} must be a number"))),
        },
    }
}

/// `/api/v1/targets/metadata`, by `match_target`, `metric` and `limit`. No target is begun when the limit is reached, so
/// that there may be more entries than that.
pub(super) async fn of_targets(State(api): State<Api>, form: Form) -> Result<Response, ApiError> {
    let limit = limit_of(&form, "limit")?.unwrap_or(usize::MAX);
    let matchers = match form.value("match_target") {
        "" => CompiledMatchers::new(&[])?,
        text => target_matchers(text)?,
    };
    let metric = form.value("metric");
    let mut body = Vec::new();
    push_success_head(&mut body);
    body.push(b'[');
    let mut entries = 0;
    for target in api.host().metadata() {
        if entries >= limit || !matchers.matches(&target.target) {
            continue;
        }
        for metadata in &target.metadata {
            if !metric.is_empty() && metadata.family != metric {
                continue;
            }
            if entries > 0 {
                body.push(b',');
            }
            entries += 1;
            push_target_metadata(&mut body, &target.target, metadata, metric.is_empty());
        }
    }
    body.push(b']');
    push_success_tail(&mut body, &[], &[]);
    Ok(json_response(StatusCode::OK, Body::from(body)))
}

fn target_matchers(text: &str) -> Result<CompiledMatchers, ApiError> {
    let invalid = |reason: String| ApiError::invalid_parameter("match_target", reason);
    let matchers = parse_matchers(text).map_err(|e| invalid(e.to_string()))?;
    CompiledMatchers::new(&matchers).map_err(|e| invalid(e.to_string()))
}

/// One entry; the name of the metric is left out where the question was about one.
fn push_target_metadata(
    out: &mut Vec<u8>,
    target: &Labels,
    metadata: &MetricMetadata,
    with_name: bool,
) {
    #[derive(Serialize)]
    struct AfterTarget<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        metric: Option<&'a str>,
        #[serde(rename = "type")]
        kind: &'static str,
        help: &'a str,
        unit: &'a str,
    }
    out.extend_from_slice(b"{\"target\":");
    push_labels(out, target);
    push_members(
        out,
        &AfterTarget {
            metric: with_name.then_some(&metadata.family),
            kind: metadata.kind.as_str(),
            help: &metadata.help,
            unit: &metadata.unit,
        },
    );
}
