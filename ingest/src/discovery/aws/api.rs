//! Signed questions to Amazon's services: the Query protocol (forms, answered in XML) and JSON 1.1.

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use url::Url;

use super::AwsSettings;
use crate::discovery::DiscoveryError;
use crate::discovery::api_client::{ApiAnswer, ApiClient};
use crate::environment::Environment;
use crate::sigv4::{
    Provider, Scope, SigningError, endpoint, form, metadata_region, profile_region, sign, xml_error,
};

/// How long a question may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Codes of errors that other credentials may not have.
const REFUSALS: [&str; 2] = ["AuthFailure", "UnauthorizedOperation"];

/// Asks Amazon's services.
#[derive(Debug)]
pub(super) struct AwsClient {
    settings: AwsSettings,
    environment: Environment,
    client: ApiClient,
    provider: Mutex<Provider>,
    region: Option<String>,
}

/// A service of a region.
#[derive(Clone, Debug)]
pub(super) struct Service {
    /// The name in messages.
    pub(super) name: &'static str,
    /// The name in signatures.
    pub(super) signed_name: &'static str,
    pub(super) region: String,
    pub(super) url: String,
}

impl From<SigningError> for DiscoveryError {
    fn from(error: SigningError) -> Self {
        Self::Answer(error.to_string())
    }
}

impl AwsClient {
    pub(super) fn new(
        settings: &AwsSettings,
        environment: Environment,
    ) -> Result<Self, DiscoveryError> {
        let client = ApiClient::new(&settings.http, TIMEOUT)?;
        let credentials = settings.credentials();
        let provider = Provider::new(credentials, environment.clone(), client.clone());
        Ok(Self {
            settings: settings.clone(),
            environment,
            client,
            provider: Mutex::new(provider),
            region: None,
        })
    }

    /// The region: the configured one, or else that of the environment, the profile or the instance.
    pub(super) async fn region(&mut self) -> Result<String, DiscoveryError> {
        if let Some(region) = &self.region {
            return Ok(region.clone());
        }
        let region = self.find_region().await.map_err(|error| {
            DiscoveryError::Answer(format!("could not determine AWS region: {error}"))
        })?;
        Ok(self.region.insert(region).clone())
    }

    async fn find_region(&self) -> Result<String, SigningError> {
        let configured = Some(&self.settings.region).filter(|region| !region.is_empty());
        let given = configured
            .cloned()
            .or_else(|| self.environment.get("AWS_REGION"))
            .or_else(|| self.environment.get("AWS_DEFAULT_REGION"));
        if let Some(region) = given {
            return Ok(region);
        }
        if let Some(region) = profile_region(&self.environment, &self.settings.profile).await? {
            return Ok(region);
        }
        let region = metadata_region(&self.environment).await;
        region.map_err(|error| SigningError(format!("failed to get region from IMDS: {error}")))
    }

    /// A service of the region at the endpoint that is configured, or else at its usual one.
    pub(super) async fn service(
        &mut self,
        name: &'static str,
        signed_name: &'static str,
    ) -> Result<Service, DiscoveryError> {
        let mut service = self.other_service(name, signed_name).await?;
        if !self.settings.endpoint.is_empty() {
            self.settings.endpoint.clone_into(&mut service.url);
        }
        Ok(service)
    }

    /// A service beside the one that the configured endpoint is of.
    pub(super) async fn other_service(
        &mut self,
        name: &'static str,
        signed_name: &'static str,
    ) -> Result<Service, DiscoveryError> {
        let region = self.region().await?;
        Ok(Service {
            name,
            signed_name,
            url: endpoint(&self.environment, signed_name, &region),
            region,
        })
    }

    /// Asks by a form.
    pub(super) async fn query<T: DeserializeOwned>(
        &self,
        service: &Service,
        action: &str,
        version: &str,
        parameters: &[(String, String)],
    ) -> Result<T, DiscoveryError> {
        let answer = self
            .ask_for_text(service, action, version, parameters)
            .await?;
        quick_xml::de::from_str(&answer)
            .map_err(|error| DiscoveryError::Answer(format!("{}: {action}: {error}", service.name)))
    }

    /// The same, answered by the XML itself.
    pub(super) async fn ask_for_text(
        &self,
        service: &Service,
        action: &str,
        version: &str,
        parameters: &[(String, String)],
    ) -> Result<String, DiscoveryError> {
        let mut pairs = vec![("Action", action), ("Version", version)];
        let parameters = parameters.iter();
        pairs.extend(parameters.map(|(name, value)| (name.as_str(), value.as_str())));
        let body = form(pairs.iter());
        let form_type = "application/x-www-form-urlencoded; charset=utf-8";
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static(form_type)),
            (ACCEPT, HeaderValue::from_static("text/xml")),
        ]);
        let request = (Method::POST, "", action);
        let answer = self.ask(service, request, headers, body, xml_error).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Asks by a JSON document.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        service: &Service,
        target: &str,
        action: &str,
        body: &serde_json::Value,
    ) -> Result<T, DiscoveryError> {
        let target = HeaderValue::from_str(&format!("{target}.{action}"));
        let target = target.map_err(|error| DiscoveryError::Answer(error.to_string()))?;
        let json_type = HeaderValue::from_static("application/x-amz-json-1.1");
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, json_type),
            (HeaderName::from_static("x-amz-target"), target),
        ]);
        let body = body.to_string();
        let request = (Method::POST, "", action);
        let answer = self
            .ask(service, request, headers, body, json_error)
            .await?;
        answer.json(&service.url)
    }

    /// Asks for a document. `path` may have a query.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        service: &Service,
        action: &str,
        path: &str,
    ) -> Result<T, DiscoveryError> {
        let request = (Method::GET, path, action);
        let nothing = String::new();
        let answer = self.ask(service, request, HeaderMap::new(), nothing, json_error);
        answer.await?.json(&service.url)
    }

    async fn ask(
        &self,
        service: &Service,
        (method, path, action): (Method, &str, &str),
        mut headers: HeaderMap,
        body: String,
        error_of: impl Fn(&ApiAnswer) -> String,
    ) -> Result<ApiAnswer, DiscoveryError> {
        let url = match path {
            "" => service.url.clone(),
            path => format!("{}{path}", service.url.trim_end_matches('/')),
        };
        let url =
            Url::parse(&url).map_err(|error| DiscoveryError::Setup(format!("{url}: {error}")))?;
        let mut provider = self.provider.lock().await;
        let credentials = provider.credentials(&service.region).await?;
        drop(provider);
        let scope = Scope {
            region: &service.region,
            service: service.signed_name,
        };
        let bytes = body.as_bytes();
        sign(
            (method.as_str(), &url),
            &mut headers,
            bytes,
            &credentials,
            scope,
            Utc::now(),
        )?;
        let body = Bytes::from(body);
        let answer = self.client.send(method, url.as_str(), headers, body);
        let answer = answer.await?;
        if answer.status == StatusCode::OK {
            return Ok(answer);
        }
        let error = error_of(&answer);
        if REFUSALS.iter().any(|refusal| error.contains(refusal)) {
            self.provider.lock().await.forget();
        }
        let name = service.name;
        Err(DiscoveryError::Answer(format!(
            "operation error {name}: {action}, {error}"
        )))
    }
}

/// What an answer in JSON says about an error.
fn json_error(answer: &ApiAnswer) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Said {
        #[serde(rename = "__type")]
        kind: String,
        #[serde(alias = "Message")]
        message: String,
    }
    let said: Said = serde_json::from_slice(&answer.body).unwrap_or_default();
    let kind = said.kind.rsplit('#').next().unwrap_or_default();
    format!(
        "https response error StatusCode: {}, api error {}: {}",
        answer.status.as_u16(),
        if kind.is_empty() {
            "UnknownError"
        } else {
            kind
        },
        said.message
    )
}
