//! A receiver in the effective configuration.

use crate::config::render::{http, rule, shown_url};
use crate::config::write::{Entries, Yaml};
use crate::config::{MetadataConfig, QueueConfig, RemoteWriteConfig};
use crate::duration::format_duration;

/// Writes one receiver, in Prometheus's order.
pub(in crate::config) fn remote_write(config: &RemoteWriteConfig) -> Yaml {
    let mut entries = Entries::default();
    entries
        .text("url", shown_url(&config.url))
        .text("remote_timeout", format_duration(config.remote_timeout));
    if !config.headers.is_empty() {
        let headers = config.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), Yaml::Text(value.clone())));
        entries.put("headers", Yaml::Map(headers.collect()));
    }
    entries
        .list_if_set(
            "write_relabel_configs",
            config.write_relabel_configs.iter().map(rule).collect(),
        )
        .text_if_set("name", &config.name)
        .flag_if_set("send_exemplars", config.send_exemplars)
        .flag_if_set("send_native_histograms", config.send_native_histograms)
        .flag_if_set("round_robin_dns", config.http.round_robin_dns)
        .text("protobuf_message", config.message.as_str());
    http(&mut entries, &config.http);
    entries
        .put("queue_config", queue(&config.queue))
        .put("metadata_config", metadata(&config.metadata));
    if let Some(auth) = &config.cloud_auth {
        auth.render(&mut entries);
    }
    entries.map()
}

fn number(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn queue(queue: &QueueConfig) -> Yaml {
    let mut entries = Entries::default();
    entries
        .number_if_set("capacity", queue.capacity)
        .number_if_set("max_shards", number(queue.max_shards))
        .number_if_set("min_shards", number(queue.min_shards))
        .number_if_set("max_samples_per_send", number(queue.max_samples_per_send))
        .text(
            "batch_send_deadline",
            format_duration(queue.batch_send_deadline),
        )
        .text("min_backoff", format_duration(queue.min_backoff))
        .text("max_backoff", format_duration(queue.max_backoff))
        .flag_if_set("retry_on_http_429", queue.retry_on_rate_limit);
    if !queue.sample_age_limit.is_zero() {
        entries.text("sample_age_limit", format_duration(queue.sample_age_limit));
    }
    entries.map()
}

fn metadata(metadata: &MetadataConfig) -> Yaml {
    Entries::default()
        .flag("send", metadata.send)
        .text("send_interval", format_duration(metadata.send_interval))
        .number_if_set(
            "max_samples_per_send",
            number(metadata.max_samples_per_send),
        )
        .map()
}
