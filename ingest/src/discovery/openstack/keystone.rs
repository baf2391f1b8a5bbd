//! Logging in: version 3 of Keystone's API, which gives a token and a catalogue of services.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::OpenStackConfig;
use crate::config::Secret;
use crate::discovery::DiscoveryError;
use crate::discovery::api_client::{ApiClient, nullable};
use crate::environment::Environment;

/// Who logs in, and where.
#[derive(Debug)]
pub(super) struct Login {
    endpoint: String,
    username: String,
    userid: String,
    password: Option<Secret>,
    project_name: String,
    project_id: String,
    domain_name: String,
    domain_id: String,
    credential_name: String,
    credential_id: String,
    credential_secret: Option<Secret>,
}

/// What a login gives.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) token: HeaderValue,
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Answer {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default, deserialize_with = "nullable")]
    catalog: Vec<Service>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Service {
    #[serde(rename = "type", deserialize_with = "nullable")]
    kind: String,
    #[serde(deserialize_with = "nullable")]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(deserialize_with = "nullable")]
    interface: String,
    #[serde(deserialize_with = "nullable")]
    region: String,
    #[serde(deserialize_with = "nullable")]
    region_id: String,
    #[serde(deserialize_with = "nullable")]
    url: String,
}

impl Session {
    /// The URL of a service, with a slash at the end.
    pub(super) fn endpoint(&self, kinds: &[&str], region: &str, interface: &str) -> Option<String> {
        let services = self.catalog.iter();
        let services = services.filter(|service| kinds.contains(&service.kind.as_str()));
        let mut endpoints = services.flat_map(|service| &service.endpoints);
        let found = endpoints.find(|endpoint| {
            endpoint.interface == interface
                && (endpoint.region == region || endpoint.region_id == region)
        });
        found.map(|endpoint| with_slash(&endpoint.url))
    }
}

fn with_slash(url: &str) -> String {
    format!("{}/", url.trim_end_matches('/'))
}

/// A map of the texts that are not empty.
fn known(pairs: &[(&str, &str)]) -> Value {
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    let pairs = pairs.map(|(name, value)| ((*name).to_owned(), json!(value)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

impl Login {
    /// What a configuration says, or the environment if that has no endpoint.
    pub(super) fn of(
        config: &OpenStackConfig,
        environment: &Environment,
    ) -> Result<Self, DiscoveryError> {
        if !config.identity_endpoint.is_empty() {
            return Ok(Self {
                endpoint: config.identity_endpoint.clone(),
                username: config.username.clone(),
                userid: config.userid.clone(),
                password: config.password.clone(),
                project_name: config.project_name.clone(),
                project_id: config.project_id.clone(),
                domain_name: config.domain_name.clone(),
                domain_id: config.domain_id.clone(),
                credential_name: config.application_credential_name.clone(),
                credential_id: config.application_credential_id.clone(),
                credential_secret: config.application_credential_secret.clone(),
            });
        }
        let first = |names: &[&str]| names.iter().find_map(|name| environment.get(name));
        let text = |names: &[&str]| first(names).unwrap_or_default();
        let Some(endpoint) = environment.get("OS_AUTH_URL") else {
            return Err(DiscoveryError::Setup(
                "missing environment variable [OS_AUTH_URL]".to_owned(),
            ));
        };
        Ok(Self {
            endpoint,
            username: text(&["OS_USERNAME"]),
            userid: text(&["OS_USERID", "OS_USER_ID"]),
            password: first(&["OS_PASSWORD"]).map(Secret::new),
            project_name: text(&["OS_PROJECT_NAME", "OS_TENANT_NAME"]),
            project_id: text(&["OS_PROJECT_ID", "OS_TENANT_ID"]),
            domain_name: text(&["OS_DOMAIN_NAME", "OS_USER_DOMAIN_NAME"]),
            domain_id: text(&["OS_DOMAIN_ID", "OS_USER_DOMAIN_ID"]),
            credential_name: text(&["OS_APPLICATION_CREDENTIAL_NAME"]),
            credential_id: text(&["OS_APPLICATION_CREDENTIAL_ID"]),
            credential_secret: first(&["OS_APPLICATION_CREDENTIAL_SECRET"]).map(Secret::new),
        })
    }

    /// Logs in.
    pub(super) async fn session(&self, client: &ApiClient) -> Result<Session, DiscoveryError> {
        let url = format!("{}auth/tokens", self.version_3(client).await?);
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
        let body = self.question().to_string();
        let answer = client
            .send(Method::POST, &url, headers, body.into())
            .await?;
        if answer.status != StatusCode::CREATED && answer.status != StatusCode::OK {
            return Err(DiscoveryError::Answer(format!(
                "Expected HTTP response code [201] when accessing [POST {url}], but got {} instead: {}",
                answer.status.as_u16(),
                answer.quoted()
            )));
        }
        let Some(token) = answer.headers.get("x-subject-token") else {
            return Err(DiscoveryError::Answer(format!("{url}: no token")));
        };
        let mut token = token.clone();
        token.set_sensitive(true);
        let answer: Answer = serde_json::from_slice(&answer.body)
            .map_err(|error| DiscoveryError::Answer(format!("{url}: {error}")))?;
        Ok(Session {
            token,
            catalog: answer.token.catalog,
        })
    }

    /// The URL of version 3: the endpoint itself, or what it says.
    async fn version_3(&self, client: &ApiClient) -> Result<String, DiscoveryError> {
        let endpoint = with_slash(&self.endpoint);
        if endpoint.ends_with("/v3/") {
            return Ok(endpoint);
        }
        let none = |url: &str| {
            DiscoveryError::Answer(format!(
                "no supported version available from endpoint {url}"
            ))
        };
        if endpoint.ends_with("/v2.0/") {
            return Err(none(&endpoint));
        }
        // 300 is an answer that lists versions.
        let answer = client.get(&endpoint).await?;
        let document: Value = serde_json::from_slice(&answer.body)
            .map_err(|error| DiscoveryError::Answer(format!("{endpoint}: {error}")))?;
        let versions = document["versions"]["values"].as_array();
        let mut versions = versions.into_iter().flatten();
        let version = versions.find(|version| {
            let id = version["id"].as_str().unwrap_or_default();
            let status = version["status"].as_str().unwrap_or_default();
            let usable = ["current", "supported", "stable"];
            id.starts_with("v3") && usable.contains(&status.to_lowercase().as_str())
        });
        let links = version.and_then(|version| version["links"].as_array());
        let mut links = links.into_iter().flatten();
        let link = links.find(|link| link["rel"] == "self");
        let link = link.and_then(|link| link["href"].as_str());
        link.map(with_slash).ok_or_else(|| none(&endpoint))
    }

    /// The body of the request.
    fn question(&self) -> Value {
        let domain = known(&[("id", &self.domain_id), ("name", &self.domain_name)]);
        let mut user = match self.userid.is_empty() {
            false => json!({ "id": self.userid }),
            true => json!({ "name": self.username, "domain": domain }),
        };
        let secret = |secret: &Option<Secret>| {
            secret
                .as_ref()
                .map_or_else(String::new, |s| s.reveal().to_owned())
        };
        if let Some(credential_secret) = &self.credential_secret {
            let mut credential = json!({ "secret": credential_secret.reveal() });
            if self.credential_id.is_empty() {
                credential["name"] = json!(self.credential_name);
                credential["user"] = user;
            } else {
                credential["id"] = json!(self.credential_id);
            }
            // Such a credential belongs to one project anyway.
            return json!({ "auth": { "identity": {
                "methods": ["application_credential"],
                "application_credential": credential,
            }}});
        }
        user["password"] = json!(secret(&self.password));
        let mut auth =
            json!({ "identity": { "methods": ["password"], "password": { "user": user } } });
        if !self.project_id.is_empty() {
            auth["scope"] = json!({ "project": { "id": self.project_id } });
        } else if !self.project_name.is_empty() {
            auth["scope"] = json!({ "project": { "name": self.project_name, "domain": domain } });
        }
        json!({ "auth": auth })
    }
}
