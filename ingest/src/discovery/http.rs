//! Targets from a web server that knows them (`http_sd_configs`).
//!
//! The server answers with a list of groups in JSON, always all of them.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use regex::Regex;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use super::api_client::{ApiAnswer, ApiClient, nullable};
use super::kind::{Kind, refresh_interval, render_interval};
use super::periodic::{Periodic, Refresh};
use super::urls::check_http_url;
use super::{Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::config::decode::{Fields, error_at, string};
use crate::config::write::Entries;
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig, render};
use crate::http_client::header;

/// One entry of `http_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where the list of groups is.
    pub url: String,
    /// How often the server is asked; also how long it may take to answer.
    pub refresh_interval: Duration,
    /// How requests are made.
    pub http: HttpClientConfig,
}

impl Kind for HttpConfig {
    const NAME: &'static str = "http";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "http.plain")?;
        let config = Self {
            url: fields.read("url", string)?.unwrap_or_default(),
            refresh_interval: refresh_interval(&mut fields, Duration::from_secs(60))?,
            http: HttpClientConfig::take(&mut fields, node, directory)?,
        };
        fields.finish(&[])?;
        if config.url.is_empty() {
            return error_at(node, "URL is missing");
        }
        check_http_url(&config.url).or_else(|message| error_at(node, message))?;
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        render::http(entries, &self.http);
        render_interval(entries, self.refresh_interval);
        entries.text("url", &self.url);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let mut client = ApiClient::new(&self.http, self.refresh_interval)?;
        let seconds = header(&self.refresh_interval.as_secs_f64().to_string())?;
        let headers = client.headers_mut();
        headers.insert("x-prometheus-refresh-interval-seconds", seconds);
        let discovery = HttpDiscovery {
            url: self.url.clone(),
            client,
        };
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct HttpDiscovery {
    url: String,
    client: ApiClient,
}

#[async_trait]
impl Refresh for HttpDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let answer = self.client.get(&self.url).await?;
        groups(&answer, &self.url)
    }
}

/// A group as it stands in the answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonGroup {
    #[serde(default, alias = "Targets", deserialize_with = "nullable")]
    targets: Vec<String>,
    #[serde(default, alias = "Labels", deserialize_with = "nullable")]
    labels: LabelMap,
}

fn groups(answer: &ApiAnswer, url: &str) -> Result<Vec<TargetGroup>, DiscoveryError> {
    let wrong = |message: String| Err(DiscoveryError::Answer(message));
    if answer.status != StatusCode::OK {
        return wrong(format!("server returned HTTP status {}", answer.status));
    }
    let content_type = answer
        .headers
        .get(CONTENT_TYPE)
        .map(|value| value.as_bytes());
    let content_type = String::from_utf8_lossy(content_type.unwrap_or_default());
    if !is_json(&content_type) {
        return wrong(format!("unsupported content type {content_type:?}"));
    }
    let parsed: Result<Option<Vec<Option<JsonGroup>>>, _> = serde_json::from_slice(&answer.body);
    let parsed = parsed.map_err(|error| DiscoveryError::Answer(error.to_string()))?;
    let mut groups = Vec::new();
    for (i, group) in parsed.unwrap_or_default().into_iter().enumerate() {
        let Some(mut group) = group else {
            return wrong("nil target group item found".to_owned());
        };
        if group.labels.contains_key("") {
            return wrong("\"\" is not a valid label name".to_owned());
        }
        group.labels.insert("__meta_url".to_owned(), url.to_owned());
        let source = format!("{url}:{i}");
        groups.push(TargetGroup::of_addresses(
            source,
            group.targets,
            group.labels,
        ));
    }
    Ok(groups)
}

/// Whether a `Content-Type` is that of JSON in UTF-8, with nothing else to it.
pub(super) fn is_json(content_type: &str) -> bool {
    static JSON: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r#"^(?i-u:application/json(;\s*charset=("utf-8"|utf-8))?)$"#).ok()
    });
    JSON.as_ref()
        .is_some_and(|json| json.is_match(content_type.trim()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use reqwest::header::HeaderMap;

    fn answer(status: u16, content_type: &str, body: &str) -> Result<Vec<TargetGroup>, String> {
        let answer = ApiAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]),
            body: body.as_bytes().to_vec(),
        };
        groups(&answer, "http://sd/x").map_err(|e| e.to_string())
    }

    #[test]
    fn groups_get_the_url_as_a_label() {
        let body = r#"[{"targets": ["a:1", "b:2"], "labels": {"x": "y"}}, {"targets": ["c:3"], "labels": null}, {}]"#;
        let groups = answer(200, "application/json", body).unwrap();
        assert_eq!(groups.len(), 3);
        assert_eq!(groups[0].addresses().collect::<Vec<_>>(), ["a:1", "b:2"]);
        assert_eq!(groups[0].labels["x"], "y");
        assert_eq!(groups[1].labels["__meta_url"], "http://sd/x");
        assert_eq!(groups[2].source, "http://sd/x:2");
        assert_eq!(answer(200, "application/json", "null").unwrap(), []);
    }

    #[test]
    fn other_answers_are_errors() {
        for (status, content_type, body, expected) in [
            (
                503,
                "application/json",
                "[]",
                "server returned HTTP status 503 Service Unavailable",
            ),
            (
                201,
                "application/json",
                "[]",
                "server returned HTTP status 201 Created",
            ),
            (
                200,
                "text/plain",
                "[]",
                "unsupported content type \"text/plain\"",
            ),
            (
                200,
                "application/json",
                "[null]",
                "nil target group item found",
            ),
            (
                200,
                "application/json",
                "[{\"labels\": {\"\": \"x\"}}]",
                "\"\" is not a valid label name",
            ),
            (
                200,
                "application/json",
                "[{\"x\": 1}]",
                "unknown field `x`, expected one of `Targets`, `targets`, `Labels`, `labels` at line 1 column 5",
            ),
            (
                200,
                "application/json",
                "{}",
                "invalid type: map, expected a sequence at line 1 column 0",
            ),
        ] {
            assert_eq!(answer(status, content_type, body).unwrap_err(), expected);
        }
    }

    #[test]
    fn the_content_type_may_say_utf_8_and_nothing_else() {
        for (content_type, expected) in [
            ("application/json", true),
            (" Application/JSON ", true),
            ("application/json;charset=utf-8", true),
            ("application/json; charset=\"UTF-8\"", true),
            ("application/json; charset=latin1", false),
            ("application/json;", false),
            ("application/json; charset=utf-8; x=y", false),
            ("application/jsonx", false),
            ("", false),
        ] {
            assert_eq!(is_json(content_type), expected, "{content_type}");
        }
    }
}
