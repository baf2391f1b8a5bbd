//! Compares results with what a script expects.

use std::collections::BTreeMap;

use varve_histogram::approximate::{nearly_equal, nearly_same};
use varve_histogram::text::test_expression;
use varve_storage::{Labels, SampleValue};

use super::script::{Eval, Pattern};
use super::series::Item;
use crate::result::{MatrixSeries, QueryResult, QueryValue};

/// Every pattern must match some message, and every message some pattern.
pub(super) fn missing(kind: &str, patterns: &[Pattern], messages: &[String]) -> Result<(), String> {
    for pattern in patterns {
        if !messages.iter().any(|message| pattern.matches(message)) {
            return Err(format!("expected {kind} {pattern:?}, got {messages:?}"));
        }
    }
    for message in messages {
        if !patterns.iter().any(|pattern| pattern.matches(message)) {
            return Err(format!("unexpected {kind}: {message}"));
        }
    }
    Ok(())
}

/// Compares a whole result; the error is the difference.
pub(super) fn result(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    if eval.no_warn && !result.warnings.is_empty() {
        return Err(format!("unexpected warnings: {:?}", result.warnings));
    }
    if eval.no_info && !result.infos.is_empty() {
        return Err(format!("unexpected infos: {:?}", result.infos));
    }
    if !eval.warn.is_empty() {
        missing("warning", &eval.warn, &result.warnings)?;
    }
    if !eval.info.is_empty() {
        missing("info", &eval.info, &result.infos)?;
    }
    match &result.value {
        QueryValue::Scalar { value, .. } => match eval.scalar {
            Some(expected) if nearly_equal(expected, *value) => Ok(()),
            expected => Err(format!("expected {expected:?}, got scalar {value}")),
        },
        QueryValue::String { value, .. } => match &eval.string {
            Some(expected) if expected == value => Ok(()),
            expected => Err(format!("expected {expected:?}, got string {value:?}")),
        },
        QueryValue::Vector(samples) => {
            let series_of = |sample: &crate::VectorSample| {
                let mut series = MatrixSeries::new(sample.labels.clone());
                series.push(eval.start_ms, sample.value.clone());
                series
            };
            let got: Vec<MatrixSeries> = samples.iter().map(series_of).collect();
            series(eval, &got)
        }
        QueryValue::Matrix(got) => {
            if !got.is_sorted_by(|a, b| a.labels < b.labels) {
                return Err("the matrix is not sorted".to_owned());
            }
            series(eval, got)
        }
    }
}

/// Compares one number with the only sample of the only series.
pub(super) fn number(expected: f64, got: &[MatrixSeries]) -> Result<(), String> {
    match got {
        [series]
            if series
                .samples
                .iter()
                .all(|(_, v)| nearly_equal(expected, *v)) =>
        {
            Ok(())
        }
        got => Err(format!("expected {expected}, got {}", texts(got))),
    }
}

fn texts(series: &[MatrixSeries]) -> String {
    let texts: Vec<String> = series.iter().map(text).collect();
    texts.join("; ")
}

/// A series in the notation of scripts, with times in seconds.
fn text(series: &MatrixSeries) -> String {
    let mut times: Vec<i64> = series.samples.iter().map(|(t, _)| *t).collect();
    times.extend(series.histograms.iter().map(|(t, _)| *t));
    times.sort_unstable();
    let items = times.into_iter().map(|time_ms| {
        let value = match series.at(time_ms) {
            Some(SampleValue::Float(value)) => value.to_string(),
            Some(SampleValue::Histogram(histogram)) => test_expression(&histogram),
            None => "_".to_owned(),
        };
        format!("{value} @{}", time_ms as f64 / 1000.0)
    });
    let items: Vec<String> = items.collect();
    format!("{} {}", series.labels, items.join(", "))
}

/// What a script expects at a time.
fn is_expected(item: &Item, value: &SampleValue) -> bool {
    match (item, value) {
        (Item::Float(expected), SampleValue::Float(value)) => nearly_equal(*expected, *value),
        (Item::Histogram(expected), SampleValue::Histogram(value)) => nearly_same(expected, value),
        _ => false,
    }
}

fn item_text(item: &Item) -> String {
    match item {
        Item::Float(value) => value.to_string(),
        Item::Histogram(written) => test_expression(&written.histogram),
        Item::Omitted => "_".to_owned(),
    }
}

/// Compares series, and their order if it matters.
pub(super) fn series(eval: &Eval, got: &[MatrixSeries]) -> Result<(), String> {
    if let Some(expected) = eval.scalar {
        return Err(format!(
            "expected scalar {expected}, got series {}",
            texts(got)
        ));
    }
    let (start_ms, step_ms) = match (eval.range_vector, eval.step_ms) {
        (Some((start_ms, step_ms)), _) => (start_ms, step_ms),
        (None, step_ms) => (eval.start_ms, step_ms.unwrap_or(1)),
    };
    let mut expected: BTreeMap<&Labels, Vec<(i64, &Item)>> = BTreeMap::new();
    for line in &eval.series {
        let places = line.items.iter().enumerate();
        let items = places.filter(|(_, item)| !matches!(item, Item::Omitted));
        let items: Vec<_> = items
            .map(|(place, item)| (start_ms + step_ms * place as i64, item))
            .collect();
        if !items.is_empty() {
            expected.insert(&line.labels, items);
        }
    }
    for found in got {
        let Some(wanted) = expected.remove(&found.labels) else {
            return Err(format!("unexpected series {}", text(found)));
        };
        let equal = |(time_ms, item): &(i64, &Item)| {
            found
                .at(*time_ms)
                .is_some_and(|value| is_expected(item, &value))
        };
        if found.len() != wanted.len() || !wanted.iter().all(equal) {
            let wanted = wanted
                .iter()
                .map(|(t, item)| format!("{} @{}", item_text(item), *t as f64 / 1000.0));
            let wanted: Vec<String> = wanted.collect();
            return Err(format!(
                "expected {}, got {}",
                wanted.join(", "),
                text(found)
            ));
        }
    }
    if let Some(labels) = expected.keys().next() {
        return Err(format!("series {labels} is missing"));
    }
    if eval.ordered {
        let wanted: Vec<&Labels> = eval.series.iter().map(|line| &line.labels).collect();
        let order: Vec<&Labels> = got.iter().map(|series| &series.labels).collect();
        if wanted != order {
            return Err(format!("expected the order {wanted:?}, got {order:?}"));
        }
    }
    Ok(())
}
