//! From the labels that a series is exposed with to those that it is stored with.

use std::collections::BTreeSet;

use varve_storage::limits::{LABEL_BYTES_PER_SERIES_MAX, LABELS_PER_SERIES_MAX};
use varve_storage::{Labels, LabelsBuilder, METRIC_NAME};

use super::append::PassContext;
use super::metrics::add;
use crate::error::{Error, Result};
use crate::names::NameValidation;
use crate::relabel::relabel;

/// The label set of an exposed series: the target's labels added, metric rules applied. `None` if it is dropped.
pub(super) fn final_labels(
    exposed: &[(String, String)],
    context: &PassContext<'_>,
) -> Result<Option<Labels>> {
    let mut labels = LabelsBuilder::default();
    for (name, value) in exposed {
        labels.set(name, value);
    }
    if context.config.honor_labels {
        // An empty label in the exposition counts: it keeps the target's label away.
        let names: BTreeSet<&str> = exposed.iter().map(|(name, _)| name.as_str()).collect();
        for (name, value) in context.target.iter() {
            if !names.contains(name) {
                labels.set(name, value);
            }
        }
    } else {
        let mut conflicts: Vec<(&str, String)> = Vec::new();
        for (name, value) in context.target.iter() {
            if let Some(own) = labels.get(name) {
                conflicts.push((name, own.to_owned()));
            }
            labels.set(name, value);
        }
        conflicts.sort_by_key(|(name, _)| name.len());
        for (name, value) in conflicts {
            let mut renamed = format!("exported_{name}");
            while labels.get(&renamed).is_some() {
                renamed.insert_str(0, "exported_");
            }
            labels.set(&renamed, &value);
        }
    }
    if !relabel(&mut labels, &context.config.metric_relabel_configs) {
        return Ok(None);
    }
    let labels = labels.build();
    // The builder leaves a nameless label out; Prometheus finds it in what is left after the rules.
    if exposed
        .iter()
        .any(|(name, value)| name.is_empty() && !value.is_empty())
    {
        return Err(Error::Series(format!(
            "invalid metric name or label names: {labels}"
        )));
    }
    Ok(Some(labels).filter(|labels| !labels.is_empty()))
}

/// Checks a label set against names and limits.
pub(super) fn check_labels(labels: &Labels, context: &PassContext<'_>) -> Result<()> {
    let Some(metric) = labels.get(METRIC_NAME) else {
        return Err(Error::Series(
            "missing metric name (__name__ label)".to_owned(),
        ));
    };
    let validation = context.config.validation;
    let valid = validation == NameValidation::Utf8
        || (validation.is_metric_name(metric)
            && labels
                .iter()
                .all(|(name, _)| validation.is_label_name(name)));
    if !valid {
        return Err(Error::Series(format!(
            "invalid metric name or label names: {labels}"
        )));
    }
    let limits = &context.config.limits;
    let exceeded = |limit: u64, length: usize| limit > 0 && length as u64 > limit;
    let short = |text: &str| text.chars().take(50).collect::<String>();
    let fail = |message: String| {
        add(&context.metrics.label_limit_exceeded, 1);
        Err(Error::Limit(message))
    };
    if exceeded(limits.labels, labels.len()) {
        return fail(format!(
            "label_limit exceeded (metric: {}, number of labels: {}, limit: {})",
            short(metric),
            labels.len(),
            limits.labels
        ));
    }
    for (name, value) in labels.iter() {
        if exceeded(limits.label_name_bytes, name.len()) {
            return fail(format!(
                "label_name_length_limit exceeded (metric: {}, label name: {}, length: {}, limit: {})",
                short(metric),
                short(name),
                name.len(),
                limits.label_name_bytes
            ));
        }
        if exceeded(limits.label_value_bytes, value.len()) {
            return fail(format!(
                "label_value_length_limit exceeded (metric: {}, label name: {}, value: {:?}, length: {}, limit: {})",
                short(metric),
                short(name),
                short(value),
                value.len(),
                limits.label_value_bytes
            ));
        }
    }
    // What no store of Varve takes, whatever the configuration says.
    if labels.len() > LABELS_PER_SERIES_MAX || labels.heap_bytes() > LABEL_BYTES_PER_SERIES_MAX {
        return fail(format!(
            "a series of metric {} has {} labels of {} bytes; at most {LABELS_PER_SERIES_MAX} labels of {LABEL_BYTES_PER_SERIES_MAX} bytes can be stored",
            short(metric),
            labels.len(),
            labels.heap_bytes()
        ));
    }
    Ok(())
}
