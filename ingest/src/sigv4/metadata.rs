//! Credentials and region from where this process runs: the metadata of a container or of an instance.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Credentials, SigningError};
use crate::config::{HttpClientConfig, Secret};
use crate::discovery::api_client::{ApiAnswer, ApiClient};
use crate::environment::Environment;

/// Both kinds of metadata are next door, or there are none.
const TIMEOUT: Duration = Duration::from_secs(5);

const INSTANCE_METADATA: &str = "http://169.254.169.254";
const CONTAINER_METADATA: &str = "http://169.254.170.2";

/// How long a token for an instance's metadata is good for; one is fetched for each use.
const TOKEN_SECONDS: &str = "300";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<DateTime<Utc>>,
}

impl From<Answer> for Credentials {
    fn from(answer: Answer) -> Self {
        Self {
            access_key: answer.access_key_id,
            secret_key: Secret::new(answer.secret_access_key),
            session_token: answer.token.map(Secret::new),
            expires: answer.expiration,
        }
    }
}

fn failed(error: impl std::fmt::Display) -> SigningError {
    SigningError(error.to_string())
}

fn client() -> Result<ApiClient, SigningError> {
    let config = HttpClientConfig::default();
    ApiClient::new(&config, TIMEOUT).map_err(failed)
}

/// The credentials of the container, or of the pod, that this process runs in; `None` where the environment names none.
pub(super) async fn of_container(
    environment: &Environment,
) -> Result<Option<Credentials>, SigningError> {
    let relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let full = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let url = match (relative, full) {
        (Some(path), _) => format!("{CONTAINER_METADATA}{path}"),
        (None, Some(url)) => url,
        (None, None) => return Ok(None),
    };
    let token = match environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => {
            let token = tokio::fs::read_to_string(&path).await;
            let token = token.map_err(|error| failed(format!("cannot read {path}: {error}")))?;
            Some(token.trim().to_owned())
        }
        None => environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let token = HeaderValue::from_str(&token).map_err(failed)?;
        headers.insert(AUTHORIZATION, token);
    }
    let client = client()?;
    let answer = client.send(Method::GET, &url, headers, Bytes::new());
    let answer: Answer = json(&answer.await.map_err(failed)?, &url)?;
    Ok(Some(answer.into()))
}

/// The credentials of the role of the instance that this process runs on.
pub(super) async fn of_instance(environment: &Environment) -> Result<Credentials, SigningError> {
    const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
    let metadata = InstanceMetadata::open(environment).await?;
    let (answer, url) = metadata.get(ROLES).await?;
    if answer.status != StatusCode::OK {
        return Err(failed(format!(
            "no EC2 IMDS role found: {url}: server returned HTTP status {}",
            answer.status
        )));
    }
    let roles = String::from_utf8_lossy(&answer.body);
    let role = roles.lines().next().unwrap_or_default();
    let (answer, url) = metadata.get(&format!("{ROLES}{role}")).await?;
    Ok(json::<Answer>(&answer, &url)?.into())
}

/// The region of the instance that this process runs on.
pub(crate) async fn region(environment: &Environment) -> Result<String, SigningError> {
    #[derive(Deserialize)]
    struct Document {
        region: String,
    }
    let metadata = InstanceMetadata::open(environment).await?;
    let document = "/latest/dynamic/instance-identity/document";
    let (answer, url) = metadata.get(document).await?;
    Ok(json::<Document>(&answer, &url)?.region)
}

fn json<T: DeserializeOwned>(answer: &ApiAnswer, url: &str) -> Result<T, SigningError> {
    answer.json(url).map_err(failed)
}

struct InstanceMetadata {
    client: ApiClient,
    server: String,
    headers: HeaderMap,
}

impl InstanceMetadata {
    /// Fetches a token. Where there are none (version 1 of the service) questions go without.
    async fn open(environment: &Environment) -> Result<Self, SigningError> {
        let disabled = environment.get("AWS_EC2_METADATA_DISABLED");
        if disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(failed(
                "access disabled to EC2 IMDS via client option, or \"AWS_EC2_METADATA_DISABLED\" environment variable",
            ));
        }
        let server = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let server = server.unwrap_or_else(|| INSTANCE_METADATA.to_owned());
        let client = client()?;
        let ttl = HeaderValue::from_static(TOKEN_SECONDS);
        let ttl = HeaderMap::from_iter([(
            reqwest::header::HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds"),
            ttl,
        )]);
        let url = format!("{server}/latest/api/token");
        let answer = client.send(Method::PUT, &url, ttl, Bytes::new()).await;
        let answer = answer.map_err(failed)?;
        let mut headers = HeaderMap::new();
        if answer.status == StatusCode::OK {
            let token = HeaderValue::from_bytes(&answer.body).map_err(failed)?;
            headers.insert("x-aws-ec2-metadata-token", token);
        }
        Ok(Self {
            client,
            server,
            headers,
        })
    }

    async fn get(&self, path: &str) -> Result<(ApiAnswer, String), SigningError> {
        let url = format!("{}{path}", self.server);
        let headers = self.headers.clone();
        let answer = self.client.send(Method::GET, &url, headers, Bytes::new());
        Ok((answer.await.map_err(failed)?, url))
    }
}
