//! `/metrics` of Varve itself: the counters of every part under Prometheus's conventions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use varve_compactor::CompactorMetrics;
use varve_ingest::forward::ForwardMetrics;
use varve_ingest::push::PushMetrics;
use varve_query::api::HttpMetrics;
use varve_query::api::metrics::DURATION_BOUNDS_SECONDS;
use varve_storage::store::RequestCounts;
use varve_storage::wal::WalCounts;

use super::exposition::Exposition;
use super::host::Process;
use super::process;
use crate::version;

/// Appends everything.
pub(super) fn write(host: &Process, out: &mut String) {
    let mut exposition = Exposition::new(out);
    let labels: &[(&str, &str)] = &[
        ("version", version::VERSION),
        ("revision", version::REVISION),
    ];
    exposition.family(
        "varve_build_info",
        "gauge",
        "A constant 1, labeled with what was built.",
        &[(labels, 1.0)],
    );
    let success = f64::from(u8::from(host.reload_success.load(Ordering::Relaxed)));
    let reloaded = host.reload_time_ms.load(Ordering::Relaxed) as f64 / 1000.0;
    exposition.gauge(
        "varve_config_last_reload_successful",
        "Whether the last reload of the configuration succeeded.",
        success,
    );
    exposition.gauge(
        "varve_config_last_reload_success_timestamp_seconds",
        "When the configuration was last loaded.",
        reloaded,
    );
    super::targets::write_metrics(&mut exposition, host.roles.scrapes.metrics());
    push(&mut exposition, host.roles.receiver.metrics());
    otlp(&mut exposition, host.roles.receiver.metrics());
    forward(&mut exposition, &host.roles.forward.metrics());
    wal(&mut exposition, &host.roles.wal.metrics().snapshot());
    compactor(&mut exposition, &host.roles.compactor);
    store(&mut exposition, &host.roles.store.counters().snapshot());
    http(&mut exposition, &host.roles.http);
    process::write_metrics(&mut exposition, host.start_time_ms);
}

fn push(exposition: &mut Exposition<'_>, metrics: &PushMetrics) {
    for (name, help, value) in [
        (
            "varve_push_requests_total",
            "Pushed requests begun.",
            &metrics.requests,
        ),
        (
            "varve_push_requests_invalid_total",
            "Pushed requests that were refused, or of which a part was rejected.",
            &metrics.requests_invalid,
        ),
        (
            "varve_push_requests_not_stored_total",
            "Pushed requests that could not be stored and may be sent again.",
            &metrics.requests_not_stored,
        ),
        (
            "varve_push_body_bytes_total",
            "Bytes of pushed bodies after decompression.",
            &metrics.body_bytes,
        ),
        (
            "varve_push_samples_total",
            "Pushed float samples that are stored.",
            &metrics.samples,
        ),
        (
            "varve_push_histograms_total",
            "Pushed histograms that are stored.",
            &metrics.histograms,
        ),
        (
            "varve_push_exemplars_total",
            "Pushed exemplars that are stored.",
            &metrics.exemplars,
        ),
        (
            "varve_push_samples_rejected_total",
            "Pushed samples and histograms that were invalid.",
            &metrics.rejected,
        ),
    ] {
        exposition.atomic(name, help, value);
    }
}

/// What the translation of OpenTelemetry's metrics found remarkable, under Prometheus's own name.
fn otlp(exposition: &mut Exposition<'_>, metrics: &PushMetrics) {
    let name = "prometheus_api_otlp_translation_warnings_total";
    let help = "Warnings of the translation of OTLP metrics, by category.";
    exposition.head(name, "counter", help);
    for (category, value) in [
        ("empty_data_points", &metrics.otlp_empty_data_points),
        ("label_name_collision", &metrics.otlp_label_name_collisions),
        ("zero_count_non_zero_sum", &metrics.otlp_zero_counts),
    ] {
        let value = value.load(Ordering::Relaxed) as f64;
        exposition.sample(name, &[("category", category)], value);
    }
}

/// Counters of every receiver, by Prometheus's names but for the prefix.
fn forward(exposition: &mut Exposition<'_>, receivers: &[(String, Arc<ForwardMetrics>)]) {
    type Counter = fn(&ForwardMetrics) -> &AtomicU64;
    let families: [(&str, &str, &str, Counter); 10] = [
        (
            "varve_remote_storage_samples_total",
            "counter",
            "Samples that a receiver has taken.",
            |metrics| &metrics.samples,
        ),
        (
            "varve_remote_storage_exemplars_total",
            "counter",
            "Exemplars that a receiver has taken.",
            |metrics| &metrics.exemplars,
        ),
        (
            "varve_remote_storage_metadata_total",
            "counter",
            "Entries of metadata that a receiver has taken.",
            |metrics| &metrics.metadata,
        ),
        (
            "varve_remote_storage_samples_failed_total",
            "counter",
            "Samples that a receiver refused for good.",
            |metrics| &metrics.samples_failed,
        ),
        (
            "varve_remote_storage_samples_dropped_total",
            "counter",
            "Samples that were not sent because of their age, their labels or their kind.",
            |metrics| &metrics.samples_dropped,
        ),
        (
            "varve_remote_storage_retries_total",
            "counter",
            "Requests that were repeated.",
            |metrics| &metrics.retries,
        ),
        (
            "varve_remote_storage_bytes_total",
            "counter",
            "Bytes sent, compressed.",
            |metrics| &metrics.bytes,
        ),
        (
            "varve_remote_storage_segments_missed_total",
            "counter",
            "Segments that were deleted before they were sent.",
            |metrics| &metrics.segments_missed,
        ),
        (
            "varve_remote_storage_segments_pending",
            "gauge",
            "Segments that are written and not sent yet.",
            |metrics| &metrics.segments_pending,
        ),
        (
            "varve_remote_storage_highest_sent_timestamp_milliseconds",
            "gauge",
            "The newest sample that was taken.",
            |metrics| &metrics.highest_sent_timestamp_ms,
        ),
    ];
    for (name, kind, help, counter) in families {
        if receivers.is_empty() {
            break;
        }
        exposition.head(name, kind, help);
        for (receiver, metrics) in receivers {
            let value = counter(metrics).load(Ordering::Relaxed) as f64;
            exposition.sample(name, &[("remote_name", receiver)], value);
        }
    }
}

fn wal(exposition: &mut Exposition<'_>, counts: &WalCounts) {
    for (name, help, value) in [
        (
            "varve_wal_segments_total",
            "WAL segments written and durable.",
            counts.segments,
        ),
        (
            "varve_wal_samples_total",
            "Samples in these segments.",
            counts.samples,
        ),
        (
            "varve_wal_bytes_total",
            "Size of these segments in bytes.",
            counts.encoded_bytes,
        ),
        (
            "varve_wal_put_retries_total",
            "Requests of the WAL writer that failed and were tried again.",
            counts.put_retries,
        ),
        (
            "varve_wal_names_taken_total",
            "Sequences that another writer had taken first.",
            counts.names_taken,
        ),
        (
            "varve_wal_late_moves_total",
            "Segments appended again because they landed below the table's mark.",
            counts.late_moves,
        ),
    ] {
        exposition.counter(name, help, value);
    }
    exposition.seconds(
        "varve_wal_flush_seconds_total",
        "Time from encoding a segment until it was durable, summed.",
        counts.flush_time,
    );
    for (name, help, value) in [
        (
            "varve_wal_flush_seconds_max",
            "The longest of these times.",
            counts.flush_time_max.as_secs_f64(),
        ),
        (
            "varve_wal_buffered_bytes",
            "Bytes accepted and not durable yet.",
            counts.buffered_bytes as f64,
        ),
        (
            "varve_wal_last_sequence",
            "The last durable segment.",
            counts.last_sequence as f64,
        ),
    ] {
        exposition.gauge(name, help, value);
    }
}

fn compactor(exposition: &mut Exposition<'_>, metrics: &CompactorMetrics) {
    for (name, help, value) in [
        (
            "varve_compactor_runs_total",
            "Compactions that ended without an error.",
            &metrics.runs,
        ),
        (
            "varve_compactor_failures_total",
            "Compactions that ended with an error.",
            &metrics.failures,
        ),
        (
            "varve_compactor_segments_total",
            "WAL segments whose samples are in the table.",
            &metrics.segments,
        ),
        (
            "varve_compactor_quarantined_segments_total",
            "WAL segments that could not be read.",
            &metrics.quarantined_segments,
        ),
        (
            "varve_compactor_samples_total",
            "Samples committed from the WAL.",
            &metrics.samples,
        ),
        (
            "varve_compactor_files_written_total",
            "Table files committed.",
            &metrics.files_written,
        ),
        (
            "varve_compactor_written_bytes_total",
            "Size of these files in bytes.",
            &metrics.bytes_written,
        ),
        (
            "varve_compactor_merges_total",
            "Merges committed.",
            &metrics.merges,
        ),
        (
            "varve_compactor_lost_races_total",
            "Attempts that another compactor won.",
            &metrics.lost_races,
        ),
        (
            "varve_compactor_deleted_objects_total",
            "Objects deleted by clean-ups.",
            &metrics.deleted_objects,
        ),
    ] {
        exposition.atomic(name, help, value);
    }
    exposition.gauge(
        "varve_compactor_last_success_timestamp_seconds",
        "When a compaction last ended without an error, 0 for never.",
        metrics.last_success_ms.load(Ordering::Relaxed) as f64 / 1000.0,
    );
}

fn store(exposition: &mut Exposition<'_>, counts: &RequestCounts) {
    let class = |name| [("class", name)];
    let (get, head, put) = (class("get"), class("head"), class("put"));
    let (list, delete) = (class("list"), class("delete"));
    exposition.family(
        "varve_object_store_requests_total",
        "counter",
        "Requests to the object store by class.",
        &[
            (&get, counts.get as f64),
            (&head, counts.head as f64),
            (&put, counts.put as f64),
            (&list, counts.list as f64),
            (&delete, counts.delete as f64),
        ],
    );
    exposition.counter(
        "varve_object_store_errors_total",
        "Requests to the object store that failed.",
        counts.errors,
    );
    exposition.counter(
        "varve_object_store_read_bytes_total",
        "Bytes read from the object store.",
        counts.bytes_read,
    );
    exposition.counter(
        "varve_object_store_written_bytes_total",
        "Bytes written to the object store.",
        counts.bytes_written,
    );
}

fn http(exposition: &mut Exposition<'_>, metrics: &HttpMetrics) {
    let handlers = metrics.snapshot();
    let help = "HTTP requests by handler and status code.";
    exposition.head("varve_http_requests_total", "counter", help);
    for handler in &handlers {
        for (code, count) in &handler.codes {
            let code = code.to_string();
            let labels = [("code", code.as_str()), ("handler", &handler.handler)];
            exposition.sample("varve_http_requests_total", &labels, *count as f64);
        }
    }
    let name = "varve_http_request_duration_seconds";
    exposition.head(name, "histogram", "Time until an answer began, by handler.");
    for handler in &handlers {
        let bounds = DURATION_BOUNDS_SECONDS.iter().map(f64::to_string);
        let bounds = bounds.chain(std::iter::once("+Inf".to_owned()));
        for (bound, count) in bounds.zip(&handler.buckets) {
            let labels = [("handler", handler.handler.as_str()), ("le", &bound)];
            exposition.sample(&format!("{name}_bucket"), &labels, *count as f64);
        }
        let labels = [("handler", handler.handler.as_str())];
        let all = handler.buckets.last().copied().unwrap_or(0);
        let sum = handler.duration.as_secs_f64();
        exposition.sample(&format!("{name}_sum"), &labels, sum);
        exposition.sample(&format!("{name}_count"), &labels, all as f64);
    }
    exposition.gauge(
        "varve_http_requests_in_flight",
        "HTTP requests under way.",
        metrics.in_flight() as f64,
    );
}
