//! What the kinds for services that Amazon runs for its users have in common: settings, and labels out of XML. The settings are those of ECS, too.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::AwsSettings;
use super::api::{AwsClient, Service};
use crate::config::decode::{Fields, integer, strings};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, render};
use crate::discovery::cloud::PAGES_MAX;
use crate::discovery::kind::render_interval;
use crate::discovery::labels::sanitized;
use crate::discovery::xml::{self, Element};
use crate::discovery::{DiscoveryError, LabelMap};

/// Questions at the same time, by default; ECS has another number.
pub(super) const REQUEST_CONCURRENCY: i64 = 10;

/// The settings that each of these kinds has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedSettings {
    /// What all services of Amazon have.
    pub aws: AwsSettings,
    /// The ARNs of the clusters that count; all if there is none.
    pub clusters: Vec<String>,
    /// How many questions of one kind are asked at the same time.
    pub request_concurrency: i64,
}

impl ManagedSettings {
    /// Takes the settings, with the number of questions at the same time where there is none.
    pub(super) fn take(
        fields: &mut Fields<'_>,
        node: &Node,
        directory: &Path,
        request_concurrency: i64,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            clusters: fields.read("clusters", strings)?.unwrap_or_default(),
            request_concurrency: fields
                .read("request_concurrency", integer)?
                .unwrap_or(request_concurrency),
            aws: AwsSettings::take(fields, node, directory)?,
        })
    }

    /// Writes the settings, with a list of filters among them if there is one.
    pub(super) fn render(&self, entries: &mut Entries, filters: Option<Vec<Yaml>>) {
        entries
            .text("region", &self.aws.region)
            .text("endpoint", &self.aws.endpoint);
        self.aws.render_credentials(entries);
        let clusters = self.clusters.iter().cloned().map(Yaml::Text);
        entries.list_if_set("clusters", clusters.collect());
        self.aws.render_port(entries);
        render_interval(entries, self.aws.refresh_interval);
        if let Some(filters) = filters {
            entries.put("filters", Yaml::List(filters));
        }
        if self.request_concurrency != 0 {
            let concurrency = Yaml::Raw(self.request_concurrency.to_string());
            entries.put("request_concurrency", concurrency);
        }
        render::http(entries, &self.aws.http);
    }

    pub(super) fn concurrency(&self) -> usize {
        let concurrency = usize::try_from(self.request_concurrency);
        concurrency.unwrap_or(usize::MAX).max(1)
    }
}

/// A part of an element, as names with slashes between them, and the end of the name of its label.
pub(super) type Field = (&'static str, &'static str);

/// The part of an element at a path.
fn part<'a>(element: &'a Element, path: &str) -> Option<&'a Element> {
    let mut names = path.split('/');
    names.try_fold(element, |element, name| element.last(name))
}

/// The text of the part of an element at a path.
pub(super) fn text<'a>(element: &'a Element, path: &str) -> Option<&'a str> {
    part(element, path).map(|part| part.text.as_str())
}

/// The items of a list that is a part of an element.
pub(super) fn items<'a>(element: &'a Element, path: &str) -> &'a [Element] {
    part(element, path).map_or(&[], |list| &list.children)
}

/// Puts a label for each of the parts that are there.
pub(super) fn put_texts(labels: &mut LabelMap, prefix: &str, element: &Element, fields: &[Field]) {
    for (path, name) in fields {
        if let Some(text) = text(element, path) {
            labels.insert(format!("{prefix}{name}"), text.to_owned());
        }
    }
}

/// The same for times, which are written without fractions of a second.
pub(super) fn put_times(labels: &mut LabelMap, prefix: &str, element: &Element, fields: &[Field]) {
    for (path, name) in fields {
        let time = text(element, path).and_then(|text| text.parse::<DateTime<Utc>>().ok());
        if let Some(time) = time {
            let time = time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
            labels.insert(format!("{prefix}{name}"), time);
        }
    }
}

/// Puts a label for each tag of a list.
pub(super) fn put_tags(labels: &mut LabelMap, prefix: &str, tags: &[Element]) {
    for tag in tags {
        if let (Some(key), Some(value)) = (text(tag, "Key"), text(tag, "Value")) {
            labels.insert(format!("{prefix}{}", sanitized(key)), value.to_owned());
        }
    }
}

/// Asks by a form; the answer is the element with the result.
pub(super) async fn ask(
    client: &AwsClient,
    service: &Service,
    action: &str,
    version: &str,
    parameters: &[(String, String)],
) -> Result<Element, DiscoveryError> {
    let answer = client.ask_for_text(service, action, version, parameters);
    let answer = answer.await?;
    let failed =
        |reason: &str| DiscoveryError::Answer(format!("{}: {action}: {reason}", service.name));
    let root = xml::parse(answer.as_bytes()).map_err(|reason| failed(&reason))?;
    let result = root.last(&format!("{action}Result")).cloned();
    result.ok_or_else(|| failed("the answer has no result"))
}

/// Asks for all pages of a list. `marker` is the name of what leads to the next one.
pub(super) async fn ask_for_all(
    client: &AwsClient,
    service: &Service,
    (action, version): (&str, &str),
    parameters: &[(String, String)],
    (list, marker): (&str, &str),
) -> Result<Vec<Element>, DiscoveryError> {
    let mut all = Vec::new();
    let mut next = None;
    for _ in 0..PAGES_MAX {
        let mut parameters = parameters.to_vec();
        parameters.extend(next.map(|next| (marker.to_owned(), next)));
        let page = ask(client, service, action, version, &parameters).await?;
        all.extend_from_slice(items(&page, list));
        next = text(&page, marker)
            .filter(|next| !next.is_empty())
            .map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    Ok(all)
}

/// Parameters by name.
pub(super) fn parameters(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
