//! `info`: labels of info metrics, such as `target_info`, for the series that they are about.
//!
//! Which labels a result has depends on data at every step: on the newest info series with the same identifying labels. So the inputs
//! are evaluated before the plan of the query is made ([`crate::plan::Planner::pending`]), and what [`enrich`] makes of them is a leaf of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use varve_promql::{MatchOp, Matcher};
use varve_storage::{Labels, LabelsBuilder, METRIC_NAME, SampleValue};

use crate::source::CompiledMatchers;
use crate::{Error, Result};

/// The labels that tell what an info series is about.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// A series with its samples at each step.
pub type Row = (Labels, Vec<Option<SampleValue>>);

/// Which info series, and which of their labels.
#[derive(Clone, Debug)]
pub struct InfoMatchers {
    /// What names of info metrics fulfil.
    pub names: Vec<Matcher>,
    /// What the labels of info series fulfil. If there are any, only the labels named here are added.
    pub data: Vec<Matcher>,
}

impl InfoMatchers {
    /// Of the second argument of `info`, if it has one.
    pub fn new(selector: Option<&[Matcher]>) -> Self {
        let (mut names, data): (Vec<Matcher>, Vec<Matcher>) = selector
            .unwrap_or_default()
            .iter()
            .cloned()
            .partition(|matcher| matcher.name == METRIC_NAME);
        let positive = |m: &Matcher| matches!(m.op, MatchOp::Equal | MatchOp::Regex);
        if names.is_empty() {
            names.push(Matcher::new(METRIC_NAME, MatchOp::Equal, "target_info"));
        } else if !names.iter().any(positive) {
            names.push(Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info"));
        }
        Self { names, data }
    }

    /// All conditions of the selector of info series.
    pub fn all(&self) -> Vec<Matcher> {
        self.names.iter().chain(&self.data).cloned().collect()
    }
}

/// The values of identifying labels with the name of the info metric.
type Signature = (String, [String; 2]);

fn value(labels: &Labels, name: &str) -> String {
    labels.get(name).unwrap_or_default().to_owned()
}

fn signature(name: &str, labels: &Labels) -> Signature {
    (
        name.to_owned(),
        IDENTIFYING.map(|label| value(labels, label)),
    )
}

/// Adds labels of info series to `base`. The values of `info` are the times of their samples in seconds.
///
/// # Errors
/// Where two info series of one time answer to one signature, info metrics contradict each other, or two results are one series.
pub fn enrich(
    base: &[Row],
    info: &[Row],
    matchers: &InfoMatchers,
    steps: usize,
) -> Result<Vec<Row>> {
    let names = CompiledMatchers::new(&matchers.names)?;
    let is_info = |labels: &Labels| {
        let name = Labels::from_pairs([(METRIC_NAME, labels.metric_name())]);
        names.matches(&name)
    };
    let plain: Vec<bool> = base.iter().map(|(labels, _)| is_info(labels)).collect();
    let info = about(base, &plain, info);
    let has_histograms = |row: &Row| {
        let mut samples = row.1.iter();
        samples.any(|sample| matches!(sample, Some(SampleValue::Histogram(_))))
    };
    if let Some((row, _)) = info.iter().find(|(row, _)| has_histograms(row)) {
        let labels = &row.0;
        return Err(Error::Execution(format!(
            "this should be an info metric, with float samples: {labels}"
        )));
    }
    let unmatched_stay = CompiledMatchers::new(&matchers.data)?.matches(&Labels::empty());
    let data: BTreeSet<&str> = matchers.data.iter().map(|m| m.name.as_str()).collect();
    let metrics: BTreeSet<&str> = info.iter().map(|(row, _)| row.0.metric_name()).collect();
    let of_metrics = |labels: &Labels| -> Vec<Signature> {
        let metrics = metrics.iter();
        metrics.map(|name| signature(name, labels)).collect()
    };
    let wanted: Vec<Vec<Signature>> = base.iter().map(|(labels, _)| of_metrics(labels)).collect();
    let mut results: BTreeMap<Labels, Vec<Option<SampleValue>>> = BTreeMap::new();
    for step in 0..steps {
        let newest = newest(&info, step)?;
        for (((labels, samples), plain), wanted) in base.iter().zip(&plain).zip(&wanted) {
            let Some(sample) = samples.get(step).cloned().flatten() else {
                continue;
            };
            let result = if *plain {
                labels.clone()
            } else {
                let found = wanted.iter().filter_map(|signature| newest.get(signature));
                let found: Vec<&Labels> = found.map(|(_, labels)| *labels).collect();
                if found.is_empty() && !unmatched_stay {
                    continue;
                }
                with_data(labels, &found, &data)?
            };
            let vector = results.entry(result).or_insert_with(|| vec![None; steps]);
            match vector.get_mut(step) {
                Some(Some(_)) => {
                    let text = "vector cannot contain metrics with the same labelset";
                    return Err(Error::Execution(text.to_owned()));
                }
                Some(item) => *item = Some(sample),
                None => {}
            }
        }
    }
    Ok(results.into_iter().collect())
}

/// The info series whose identifying labels have values that some series to be enriched has, with their signatures.
fn about<'a>(base: &[Row], plain: &[bool], info: &'a [Row]) -> Vec<(&'a Row, Signature)> {
    let enriched = base.iter().zip(plain).filter(|(_, plain)| !**plain);
    let enriched: Vec<&Labels> = enriched.map(|((labels, _), _)| labels).collect();
    let known = IDENTIFYING.map(|label| {
        let values = enriched.iter().filter_map(|labels| labels.get(label));
        values.collect::<BTreeSet<&str>>()
    });
    if known.iter().all(BTreeSet::is_empty) {
        return Vec::new();
    }
    let fits = |labels: &Labels| {
        let mut pairs = IDENTIFYING.iter().zip(&known);
        pairs.all(|(label, known)| {
            known.is_empty() || known.contains(labels.get(label).unwrap_or_default())
        })
    };
    info.iter()
        .filter(|(labels, _)| fits(labels))
        .map(|row| (row, signature(row.0.metric_name(), &row.0)))
        .collect()
}

/// The info series with the newest sample of each signature at a step.
fn newest<'a>(
    info: &'a [(&'a Row, Signature)],
    step: usize,
) -> Result<HashMap<&'a Signature, (i64, &'a Labels)>> {
    let mut newest: HashMap<&Signature, (i64, &Labels)> = HashMap::new();
    for ((labels, times), signature) in info {
        let seconds = times.get(step).and_then(Option::as_ref);
        let Some(seconds) = seconds.and_then(SampleValue::float) else {
            continue;
        };
        let time_ms = (seconds * 1000.0).round() as i64;
        match newest.get(signature) {
            Some((known_ms, known)) if *known_ms == time_ms => {
                return Err(Error::Execution(format!(
                    "found duplicate series for info metric: existing {known} @ {known_ms}, new {labels} @ {time_ms}"
                )));
            }
            Some((known_ms, _)) if *known_ms > time_ms => {}
            _ => {
                newest.insert(signature, (time_ms, labels));
            }
        }
    }
    Ok(newest)
}

/// A label set with the labels of info series that it does not have.
fn with_data(base: &Labels, found: &[&Labels], data: &BTreeSet<&str>) -> Result<Labels> {
    let mut added: BTreeMap<&str, &str> = BTreeMap::new();
    for labels in found {
        for (name, value) in labels.iter() {
            if name == METRIC_NAME || (!data.is_empty() && !data.contains(name)) {
                continue;
            }
            if added.get(name).is_some_and(|known| *known != value) {
                return Err(Error::Execution(format!("conflicting label: {name}")));
            }
            if base.get(name).is_none() {
                added.insert(name, value);
            }
        }
    }
    let mut builder = LabelsBuilder::from(base);
    for (name, value) in added {
        builder.set(name, value);
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn row(labels: &[(&str, &str)], samples: &[Option<f64>]) -> Row {
        let samples = samples.iter().map(|s| s.map(SampleValue::Float));
        (
            Labels::from_pairs(labels.iter().copied()),
            samples.collect(),
        )
    }

    #[test]
    fn the_newest_info_series_counts_at_each_step() {
        let base = [row(
            &[("__name__", "m"), ("job", "a")],
            &[Some(1.0), Some(2.0)],
        )];
        let info = [
            row(
                &[("__name__", "target_info"), ("job", "a"), ("v", "1")],
                &[Some(5.0), Some(5.0)],
            ),
            row(
                &[("__name__", "target_info"), ("job", "a"), ("v", "2")],
                &[None, Some(9.0)],
            ),
        ];
        let all = InfoMatchers::new(None);
        let got = enrich(&base, &info, &all, 2).unwrap();
        let want = [
            row(
                &[("__name__", "m"), ("job", "a"), ("v", "1")],
                &[Some(1.0), None],
            ),
            row(
                &[("__name__", "m"), ("job", "a"), ("v", "2")],
                &[None, Some(2.0)],
            ),
        ];
        assert_eq!(got, want);

        let twice = [
            info[0].clone(),
            row(&[("__name__", "target_info"), ("job", "a")], &[Some(5.0)]),
        ];
        let error = enrich(&base, &twice, &all, 2).unwrap_err().to_string();
        assert!(
            error.starts_with("found duplicate series for info metric"),
            "{error}"
        );
        assert!(enrich(&[info[0].clone()], &info, &all, 2).unwrap() == [info[0].clone()]);
    }
}
