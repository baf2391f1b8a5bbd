//! From what a discovery found to a target.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use varve_storage::{Labels, LabelsBuilder};

use crate::config::ScrapeConfig;
use crate::discovery::{ADDRESS, LabelMap, TargetGroup};
use crate::duration::{format_duration, parse_duration};
use crate::exposition::ReadOptions;
use crate::relabel::relabel;

const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const CONVERT_CLASSIC: &str = "__convert_classic_histograms_to_nhcb__";
const ALWAYS_CLASSIC: &str = "__always_scrape_classic_histograms__";
const NATIVE: &str = "__scrape_native_histograms__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";

/// One endpoint, after relabelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Labels before relabelling.
    pub(super) discovered: Labels,
    /// Labels of its series.
    pub(super) labels: Labels,
    pub(super) url: String,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    /// Interval and timeout as they were written; for display.
    pub(super) interval_text: String,
    pub(super) timeout_text: String,
    /// What is read of its histograms.
    pub(super) options: ReadOptions,
    /// Identifies the target within its pool, and places it within the interval.
    pub(super) hash: u64,
}

/// What becomes of what was found.
#[derive(Debug)]
pub(super) enum Populated {
    Active(Box<Target>),
    /// Dropped by a rule; with the labels before relabelling.
    Dropped(Labels),
}

/// Makes a target of each one that a group lists; a wrong one is an error text that names it.
pub(super) fn populate_group<'a>(
    group: &'a TargetGroup,
    config: &'a ScrapeConfig,
) -> impl Iterator<Item = Result<Populated, String>> + 'a {
    group.targets.iter().enumerate().map(move |(i, found)| {
        populate(found, group, config)
            .map_err(|reason| format!("instance {i} in group {}: {reason}", group.source))
    })
}

fn populate(
    found: &LabelMap,
    group: &TargetGroup,
    config: &ScrapeConfig,
) -> Result<Populated, String> {
    let discovered = discovered_labels(found, group, config);
    let mut labels = LabelsBuilder::from(&discovered);
    if !relabel(&mut labels, &config.relabel_configs) {
        return Ok(Populated::Dropped(discovered));
    }
    let address = labels.get(ADDRESS).unwrap_or("").to_owned();
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    let time = |name: &str, what: &str| {
        let text = labels.get(name).unwrap_or("");
        let duration =
            parse_duration(text).map_err(|e| format!("error parsing scrape {what}: {e}"))?;
        if duration.is_zero() {
            return Err(format!("scrape {what} cannot be 0"));
        }
        Ok((duration, text.to_owned()))
    };
    let (interval, interval_text) = time(INTERVAL, "interval")?;
    let (timeout, timeout_text) = time(TIMEOUT, "timeout")?;
    if timeout > interval {
        return Err(format!(
            "scrape timeout cannot be greater than scrape interval ({timeout_text:?} > {interval_text:?})"
        ));
    }
    let defaults = config.read_options();
    let flag = |name: &str, what: &str, default: bool| {
        let text = labels.get(name).unwrap_or("");
        match text {
            "" => Ok(default),
            text => parse_bool(text).map_err(|e| format!("error parsing {what}: {e}")),
        }
    };
    let options = ReadOptions {
        convert_classic_histograms: flag(
            CONVERT_CLASSIC,
            "convert classic histograms to nhcb",
            defaults.convert_classic_histograms,
        )?,
        classic_histograms: flag(
            ALWAYS_CLASSIC,
            "always scrape classic histograms",
            defaults.classic_histograms,
        )?,
        native_histograms: flag(
            NATIVE,
            "scrape native histograms",
            defaults.native_histograms,
        )?,
        ..defaults
    };
    labels.retain(|name, _| !name.starts_with(META_PREFIX));
    if labels.get("instance").is_none() {
        labels.set("instance", &address);
    }
    let url = url(&labels, &address, config);
    let hash = hash(&labels, &url);
    labels.retain(|name, _| !name.starts_with("__"));
    let labels = labels.build();
    if labels.is_empty() {
        return Ok(Populated::Dropped(discovered));
    }
    Ok(Populated::Active(Box::new(Target {
        discovered,
        labels,
        url,
        interval,
        timeout,
        interval_text,
        timeout_text,
        options,
        hash,
    })))
}

fn word(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// A boolean in Go's notations.
fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!(
            "strconv.ParseBool: parsing {text:?}: invalid syntax"
        )),
    }
}

/// The labels that relabelling starts from: the target's, its group's, and the job's settings as labels.
fn discovered_labels(found: &LabelMap, group: &TargetGroup, config: &ScrapeConfig) -> Labels {
    let mut labels = LabelsBuilder::default();
    for (name, value) in group.labels.iter().chain(found) {
        labels.set(name, value);
    }
    let interval = format_duration(config.scrape_interval);
    let timeout = format_duration(config.scrape_timeout);
    let mut settings = vec![
        ("job".to_owned(), config.job_name.as_str()),
        (INTERVAL.to_owned(), &interval),
        (TIMEOUT.to_owned(), &timeout),
        (METRICS_PATH.to_owned(), &config.metrics_path),
        (SCHEME.to_owned(), &config.scheme),
        (
            CONVERT_CLASSIC.to_owned(),
            word(config.histograms.convert_classic),
        ),
        (
            ALWAYS_CLASSIC.to_owned(),
            word(config.histograms.always_classic),
        ),
        (NATIVE.to_owned(), word(config.histograms.native)),
    ];
    for (name, values) in &config.params {
        if let Some(first) = values.first() {
            settings.push((format!("{PARAM_PREFIX}{name}"), first));
        }
    }
    for (name, value) in settings {
        if labels.get(&name).is_none() {
            labels.set(&name, value);
        }
    }
    labels.build()
}

/// The URL: scheme, address and path from labels; parameters from the job, the first value of each from labels.
fn url(labels: &LabelsBuilder, address: &str, config: &ScrapeConfig) -> String {
    let mut params = config.params.clone();
    for (name, value) in labels.iter() {
        if let Some(param) = name.strip_prefix(PARAM_PREFIX) {
            let values = params.entry(param.to_owned()).or_default();
            match values.first_mut() {
                Some(first) => value.clone_into(first),
                None => values.push(value.to_owned()),
            }
        }
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, values) in &params {
        for value in values {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    let scheme = labels.get(SCHEME).unwrap_or("");
    let path = escape_path(labels.get(METRICS_PATH).unwrap_or(""));
    let slash = if path.is_empty() || path.starts_with('/') {
        ""
    } else {
        "/"
    };
    let question = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{address}{slash}{path}{question}{query}")
}

/// Escapes what would end the path or is no part of a URL.
fn escape_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'='
            | b'@' | b'!' | b'\'' | b'(' | b')' | b'*' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// FNV-1a, 64 bits.
#[derive(Debug)]
pub(super) struct Fnv(u64);

impl Fnv {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self
    }

    pub(super) fn finish(&self) -> u64 {
        self.0
    }
}

fn hash(labels: &LabelsBuilder, url: &str) -> u64 {
    let mut hash = Fnv::new();
    for (name, value) in labels.iter() {
        hash.write(name.as_bytes())
            .write(b"\xff")
            .write(value.as_bytes())
            .write(b"\xff");
    }
    hash.write(url.as_bytes()).finish()
}

impl Target {
    /// How long to wait from `now` until the target's place in the interval. The place is fixed in absolute time, by the
    /// target's hash and the process's seed, so that a restart keeps it and targets spread over the interval.
    pub(super) fn offset(&self, seed: u64, now: SystemTime) -> Duration {
        let interval = u64::try_from(self.interval.as_nanos())
            .unwrap_or(u64::MAX)
            .max(1);
        let since_epoch = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        let into = (since_epoch % u128::from(interval)) as u64;
        let place = (self.hash ^ seed) % interval;
        let wait = (interval - into).saturating_add(place);
        Duration::from_nanos(if wait > interval {
            wait - interval
        } else {
            wait
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    fn targets(job: &str) -> Vec<Result<Populated, String>> {
        let text = format!("scrape_configs: [{{job_name: j, {job}}}]");
        let config = Config::parse(&text, Path::new("")).unwrap();
        let config = &config.scrape_configs[0];
        populate_group(&config.static_configs[0], config).collect()
    }

    fn only(job: &str) -> Target {
        match targets(job).pop() {
            Some(Ok(Populated::Active(target))) => *target,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn labels_and_url_come_from_configuration_and_rules() {
        let target = only(
            "params: {m: [a b, c], n: [d]}, metrics_path: /x y?, static_configs: [{targets: ['h:1'], labels: {env: p, __param_m: q}}]",
        );
        assert_eq!(
            target.labels.to_string(),
            r#"{env="p", instance="h:1", job="j"}"#
        );
        assert_eq!(target.url, "http://h:1/x%20y%3F?m=q&m=c&n=d");
        assert_eq!(target.discovered.get("__address__"), Some("h:1"));
        assert_eq!(target.discovered.get("__scrape_timeout__"), Some("10s"));
        let target = only(
            "static_configs: [{targets: [h], labels: {__meta_x: 'y', __tmp_a: b}}], relabel_configs: [\
             {source_labels: [__meta_x], target_label: x}, {target_label: __scheme__, replacement: https}, \
             {target_label: __scrape_interval__, replacement: 20s}, {target_label: instance, replacement: i}]",
        );
        // No port is added, meta and internal labels are gone.
        assert_eq!(target.url, "https://h/metrics");
        assert_eq!(
            target.labels.to_string(),
            r#"{instance="i", job="j", x="y"}"#
        );
        assert_eq!(target.interval, Duration::from_secs(20));
    }

    #[test]
    fn wrong_targets_are_named_and_dropped_ones_counted() {
        let rule = |rule: &str| {
            targets(&format!(
                "static_configs: [{{targets: [h]}}], relabel_configs: [{rule}]"
            ))
            .pop()
            .unwrap()
        };
        for (yaml, message) in [
            (
                "{target_label: __address__, replacement: ''}",
                "instance 0 in group 0: no address",
            ),
            (
                "{target_label: __address__, replacement: a/b}",
                "instance 0 in group 0: \"a/b\" is not a valid hostname",
            ),
            (
                "{target_label: __scrape_interval__, replacement: x}",
                "instance 0 in group 0: error parsing scrape interval: not a valid duration string: \"x\"",
            ),
            (
                "{target_label: __scrape_timeout__, replacement: '0'}",
                "instance 0 in group 0: scrape timeout cannot be 0",
            ),
            (
                "{target_label: __scrape_timeout__, replacement: 2m}",
                "instance 0 in group 0: scrape timeout cannot be greater than scrape interval (\"2m\" > \"1m\")",
            ),
        ] {
            assert_eq!(rule(yaml).unwrap_err(), message);
        }
        assert!(
            matches!(rule("{action: drop}"), Ok(Populated::Dropped(labels)) if labels.get("job") == Some("j"))
        );
    }

    #[test]
    fn the_offset_is_fixed_in_absolute_time() {
        let target = only("static_configs: [{targets: [h]}]");
        let at = |ms: u64| {
            let now = UNIX_EPOCH + Duration::from_millis(ms);
            (now + target.offset(7, now))
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_nanos()
        };
        let place = at(0) % 60_000_000_000;
        for ms in [1, 59_999, 60_000, 1_700_000_123_456] {
            assert_eq!(at(ms) % 60_000_000_000, place, "{ms}");
            assert!(at(ms) <= u128::from(ms + 60_000) * 1_000_000);
        }
        assert_ne!(target.offset(7, UNIX_EPOCH), target.offset(8, UNIX_EPOCH));
    }
}
