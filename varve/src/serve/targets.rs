//! The scrape loops as the API and `/metrics` show them.

use std::time::UNIX_EPOCH;

use serde_json::{Map, Value, json};
use varve_ingest::discovery::DiscoveryMetrics;
use varve_ingest::relabel::RelabelStep;
use varve_ingest::scrape::{self, ScrapeMetrics, TargetsSnapshot};
use varve_query::api::{ActiveTarget, DroppedTarget, TargetHealth, Targets, WallTime};

use super::exposition::{Exposition, Sample};

/// The targets in the API's form.
pub(super) fn shown(snapshot: TargetsSnapshot) -> Targets {
    let dropped = snapshot.dropped.into_iter().map(|target| DroppedTarget {
        discovered_labels: target.discovered_labels,
        scrape_pool: target.scrape_pool,
    });
    Targets {
        active: snapshot.active.into_iter().map(active).collect(),
        dropped: dropped.collect(),
        dropped_counts: snapshot.dropped_counts,
    }
}

fn active(target: scrape::ActiveTarget) -> ActiveTarget {
    let since_epoch = target
        .last_scrape
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    ActiveTarget {
        discovered_labels: target.discovered_labels,
        labels: target.labels,
        scrape_pool: target.scrape_pool,
        scrape_url: target.scrape_url,
        global_url: target.global_url,
        last_error: target.last_error,
        last_scrape: WallTime(since_epoch.and_then(|time| i64::try_from(time.as_millis()).ok())),
        last_scrape_duration: target.last_scrape_duration.as_secs_f64(),
        health: match target.health {
            scrape::TargetHealth::Unknown => TargetHealth::Unknown,
            scrape::TargetHealth::Up => TargetHealth::Up,
            scrape::TargetHealth::Down => TargetHealth::Down,
        },
        scrape_interval: target.scrape_interval,
        scrape_timeout: target.scrape_timeout,
    }
}

/// Counters about scraping.
pub(super) fn write_metrics(exposition: &mut Exposition<'_>, metrics: &ScrapeMetrics) {
    for (name, help, value) in [
        ("varve_scrapes_total", "Scrapes begun.", &metrics.scrapes),
        (
            "varve_scrapes_failed_total",
            "Scrapes that failed.",
            &metrics.scrapes_failed,
        ),
        (
            "varve_scrape_samples_total",
            "Samples scraped, before relabelling.",
            &metrics.samples_scraped,
        ),
        (
            "varve_scrape_samples_appended_total",
            "Samples handed to the WAL, reports and stale markers included.",
            &metrics.samples_appended,
        ),
        (
            "varve_scrape_body_bytes_total",
            "Bytes of scraped responses after decompression.",
            &metrics.body_bytes,
        ),
        (
            "varve_scrape_sample_limit_exceeded_total",
            "Scrapes that exceeded sample_limit.",
            &metrics.sample_limit_exceeded,
        ),
        (
            "varve_scrape_histogram_bucket_limit_exceeded_total",
            "Scrapes with a histogram that exceeded native_histogram_bucket_limit.",
            &metrics.histogram_bucket_limit_exceeded,
        ),
        (
            "varve_scrape_body_size_limit_exceeded_total",
            "Scrapes that exceeded body_size_limit.",
            &metrics.body_size_limit_exceeded,
        ),
        (
            "varve_scrape_label_limit_exceeded_total",
            "Scrapes that exceeded a limit on labels.",
            &metrics.label_limit_exceeded,
        ),
        (
            "varve_scrape_target_limit_exceeded_total",
            "Times that a job had more targets than target_limit.",
            &metrics.target_limit_exceeded,
        ),
        (
            "varve_scrape_samples_duplicate_total",
            "Samples dropped because their series had one for the time already.",
            &metrics.samples_duplicate,
        ),
        (
            "varve_scrape_samples_out_of_order_total",
            "Samples dropped because their series had a later one.",
            &metrics.samples_out_of_order,
        ),
        (
            "varve_scrape_exemplars_out_of_order_total",
            "Exemplars dropped because their series had a later one.",
            &metrics.exemplars_out_of_order,
        ),
        (
            "varve_scrape_samples_out_of_bounds_total",
            "Samples dropped because they are too far ahead of time.",
            &metrics.samples_out_of_bounds,
        ),
        (
            "varve_scrape_stale_markers_total",
            "Stale markers written.",
            &metrics.stale_markers,
        ),
        (
            "varve_scrape_appends_failed_total",
            "Scrapes that the WAL refused.",
            &metrics.appends_failed,
        ),
        (
            "varve_scrape_append_wait_milliseconds_total",
            "Time that scrape loops waited for the WAL.",
            &metrics.append_wait_ms,
        ),
        (
            "varve_scrape_ticks_missed_total",
            "Scrapes left out because the one before, or the WAL, took longer than the interval.",
            &metrics.ticks_missed,
        ),
        (
            "varve_scrape_targets_invalid_total",
            "Targets whose labels or settings were wrong.",
            &metrics.targets_invalid,
        ),
    ] {
        exposition.atomic(name, help, value);
    }
    write_discovery_metrics(exposition, &metrics.discovery);
}

/// Counters about service discovery, by the names that Prometheus gives them.
fn write_discovery_metrics(exposition: &mut Exposition<'_>, metrics: &DiscoveryMetrics) {
    let failures = metrics.refresh_failures();
    let labels: Vec<_> = failures.keys().map(|kind| [("mechanism", *kind)]).collect();
    let samples: Vec<Sample<'_>> = labels
        .iter()
        .zip(failures.values())
        .map(|(labels, count)| (&labels[..], *count as f64))
        .collect();
    exposition.family(
        "prometheus_sd_refresh_failures_total",
        "counter",
        "Refreshes of target lists that failed, as a whole or in part.",
        &samples,
    );
    let found = metrics.discovered_targets();
    let labels: Vec<_> = found
        .keys()
        .map(|job| [("name", "scrape"), ("config", job.as_str())])
        .collect();
    let samples: Vec<Sample<'_>> = labels
        .iter()
        .zip(found.values())
        .map(|(labels, count)| (&labels[..], *count as f64))
        .collect();
    exposition.family(
        "prometheus_sd_discovered_targets",
        "gauge",
        "Targets found for a job, before relabelling.",
        &samples,
    );
}

/// A step of relabelling as the API shows it. What a rule leaves at nothing is left out.
pub(super) fn relabel_step(step: &RelabelStep) -> Value {
    let rule = &step.rule;
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    if !rule.source_labels.is_empty() {
        put("source_labels", json!(rule.source_labels));
    }
    put("separator", json!(rule.separator));
    if let Some(regex) = &rule.regex {
        put("regex", json!(regex.as_str()));
    }
    if rule.modulus != 0 {
        put("modulus", json!(rule.modulus));
    }
    if !rule.target_label.is_empty() {
        put("target_label", json!(rule.target_label));
    }
    put("replacement", json!(rule.replacement));
    put("action", json!(rule.action.as_str()));
    let output: Map<String, Value> = step
        .output
        .iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    json!({ "rule": shown, "output": output, "keep": step.keep })
}
