//! `/api/v1/status/tsdb`: how many series there are, by name and by label.
//!
//! Prometheus answers from its head block, which holds the last hours. Here the series with samples in the last two hours are
//! counted, from the archive; there are no chunks.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use varve_promql::METRIC_NAME;
use varve_storage::Labels;

use super::backend::LabelQuery;
use super::params::{Form, parse_integer};
use super::respond::{ApiError, success_with};
use super::{Api, now_ms};

/// What stands for the head block.
const WINDOW_MS: i64 = 2 * 3_600_000;
/// The length of each list unless `limit` is given.
const LIMIT: usize = 10;
/// The largest `limit`.
const LIMIT_MAX: usize = 10_000;

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    head_stats: HeadStats,
    series_count_by_metric_name: Vec<Count>,
    label_value_count_by_label_name: Vec<Count>,
    memory_in_bytes_by_label_name: Vec<Count>,
    series_count_by_label_value_pair: Vec<Count>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadStats {
    num_series: usize,
    num_label_pairs: usize,
    chunk_count: usize,
    min_time: i64,
    max_time: i64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Count {
    name: String,
    value: usize,
}

/// `/api/v1/status/tsdb`, by `limit`.
pub(super) async fn status(State(api): State<Api>, form: Form) -> Result<Response, ApiError> {
    let limit = limit(form.value("limit"))?;
    let end_ms = now_ms();
    let query = LabelQuery {
        matchers: Vec::new(),
        start_ms: end_ms - WINDOW_MS,
        end_ms,
        limit: None,
    };
    let (series, warnings) = api.backend().series(&query).await?;
    success_with(&count(&series, (query.start_ms, end_ms), limit), &warnings)
}

fn limit(text: &str) -> Result<usize, ApiError> {
    if text.is_empty() {
        return Ok(LIMIT);
    }
    let number = parse_integer(text).ok().filter(|number| *number >= 1);
    let Some(number) = number else {
        return Err(ApiError::bad_data("limit must be a positive number"));
    };
    match usize::try_from(number) {
        Ok(limit) if limit <= LIMIT_MAX => Ok(limit),
        _ => Err(ApiError::bad_data(format!(
            "limit must not exceed {LIMIT_MAX}"
        ))),
    }
}

fn count(series: &[Labels], (min_ms, max_ms): (i64, i64), limit: usize) -> Status {
    let mut pairs = BTreeMap::<(&str, &str), usize>::new();
    for pair in series.iter().flat_map(Labels::iter) {
        *pairs.entry(pair).or_default() += 1;
    }
    let mut values = BTreeMap::<&str, usize>::new();
    let mut bytes = BTreeMap::<&str, usize>::new();
    for ((name, value), series) in &pairs {
        *values.entry(name).or_default() += 1;
        *bytes.entry(name).or_default() += series * value.len();
    }
    let metrics = pairs
        .iter()
        .filter(|((name, _), _)| *name == METRIC_NAME)
        .map(|((_, value), series)| ((*value).to_owned(), *series));
    let owned = |(name, count): (&str, usize)| (name.to_owned(), count);
    // An empty head has the extreme times the other way round.
    let (min_time, max_time) = match series {
        [] => (i64::MAX, i64::MIN),
        _ => (min_ms, max_ms),
    };
    Status {
        head_stats: HeadStats {
            num_series: series.len(),
            num_label_pairs: pairs.len(),
            chunk_count: 0,
            min_time,
            max_time,
        },
        series_count_by_metric_name: most(metrics, limit),
        label_value_count_by_label_name: most(values.into_iter().map(owned), limit),
        memory_in_bytes_by_label_name: most(bytes.into_iter().map(owned), limit),
        series_count_by_label_value_pair: most(
            pairs
                .iter()
                .map(|((name, value), series)| (format!("{name}={value}"), *series)),
            limit,
        ),
    }
}

/// The largest counts, descending; equal ones by name.
fn most(counts: impl Iterator<Item = (String, usize)>, limit: usize) -> Vec<Count> {
    let mut counts = counts
        .map(|(name, value)| Count { name, value })
        .collect::<Vec<_>>();
    counts.sort_by(|a, b| (Reverse(a.value), &a.name).cmp(&(Reverse(b.value), &b.name)));
    counts.truncate(limit);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_counted_by_name_and_label() {
        let series = [("up", "a"), ("up", "bb"), ("down", "a")]
            .map(|(name, job)| Labels::from_pairs([("__name__", name), ("job", job)]));
        let status = count(&series, (1, 2), 1);
        let only = |name: &str, value| {
            vec![Count {
                name: name.to_owned(),
                value,
            }]
        };
        assert_eq!(
            status,
            Status {
                head_stats: HeadStats {
                    num_series: 3,
                    num_label_pairs: 4,
                    chunk_count: 0,
                    min_time: 1,
                    max_time: 2,
                },
                series_count_by_metric_name: only("up", 2),
                label_value_count_by_label_name: only("__name__", 2),
                memory_in_bytes_by_label_name: only("__name__", 8),
                series_count_by_label_value_pair: only("__name__=up", 2),
            }
        );
        let nothing = count(&[], (1, 2), 1);
        assert_eq!(nothing.head_stats.min_time, i64::MAX);
        assert_eq!(nothing.series_count_by_metric_name, []);
    }
}
