//! Questions to OpenStack's services, after a login.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::OpenStackConfig;
use super::keystone::Session;
use crate::discovery::DiscoveryError;
use crate::discovery::api_client::{ApiClient, nullable};
use crate::discovery::cloud::PAGES_MAX;

pub(super) struct OpenStackApi<'a> {
    pub(super) client: &'a ApiClient,
    pub(super) session: &'a Session,
    pub(super) config: &'a OpenStackConfig,
}

/// An address that can be reached from outside.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct FloatingIp {
    #[serde(deserialize_with = "nullable")]
    pub(super) port_id: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) fixed_ip_address: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) floating_ip_address: String,
}

impl OpenStackApi<'_> {
    /// The URL of a service.
    pub(super) fn service(&self, name: &'static str) -> Result<String, DiscoveryError> {
        let (kinds, what): (&[&str], _) = match name {
            "compute" => (&["compute"], "compute"),
            "network" => (&["network"], "network"),
            _ => (&["load-balancer", "load_balancer"], "load balancer"),
        };
        let OpenStackConfig {
            region,
            availability,
            ..
        } = self.config;
        let url = self.session.endpoint(kinds, region, availability);
        let url = url.ok_or_else(|| {
            DiscoveryError::Answer(format!(
                "could not create OpenStack {what} session: No suitable endpoint could be found in the service catalog."
            ))
        })?;
        Ok(match name {
            "compute" => url,
            _ => format!("{}v2.0/", url.trim_end_matches("v2.0/")),
        })
    }

    /// All pages of a list, which is below a name in the answers.
    pub(super) async fn all<T: DeserializeOwned>(
        &self,
        url: &str,
        name: &str,
    ) -> Result<Vec<T>, DiscoveryError> {
        let mut url = url.to_owned();
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let token = self.session.token.clone();
            let headers = HeaderMap::from_iter([(HeaderName::from_static("x-auth-token"), token)]);
            let answer = self.client.send(Method::GET, &url, headers, Bytes::new());
            let mut page: Value = answer.await?.json(&url)?;
            let items = page.get_mut(name).map(Value::take).unwrap_or_default();
            let items: Option<Vec<T>> = serde_json::from_value(items)
                .map_err(|error| DiscoveryError::Answer(format!("{url}: {error}")))?;
            let items = items.unwrap_or_default();
            let links = page[format!("{name}_links")].as_array();
            let mut links = links.into_iter().flatten();
            let next = links.find(|link| link["rel"] == "next");
            let next = next.and_then(|link| link["href"].as_str());
            let empty = items.is_empty();
            all.extend(items);
            match next {
                Some(next) if !empty => url = self.next_page(&url, next)?,
                _ => break,
            }
        }
        Ok(all)
    }

    /// The URL of the next page. The token must not go to another host.
    fn next_page(&self, url: &str, next: &str) -> Result<String, DiscoveryError> {
        let wrong = |reason: String| DiscoveryError::Answer(format!("{url}: {reason}"));
        let this = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        let next = this.join(next).map_err(|error| wrong(error.to_string()))?;
        match next.host() == this.host() {
            true => Ok(next.into()),
            false => Err(wrong(format!("a page is on another server: {next}"))),
        }
    }

    pub(super) async fn floating_ips(
        &self,
        network: &str,
    ) -> Result<Vec<FloatingIp>, DiscoveryError> {
        self.all(&format!("{network}floatingips"), "floatingips")
            .await
    }
}
