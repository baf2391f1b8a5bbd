//! Who this process is, to the clouds of Microsoft and Google: tokens that its requests carry.
//!
//! A *token* is a text that a server takes for a while. It is fetched with what proves an identity (a secret, a signed assertion, or the
//! place where this process runs), and kept for half of its life.

mod azure;
mod google;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::Mutex;

pub use self::azure::AzureIdentity;
pub(crate) use self::azure::{AzureCloud, AzureTokens};
pub(crate) use self::google::{GoogleCredentials, GoogleTokens};
use crate::config::{HttpClientConfig, Secret};
use crate::discovery::DiscoveryError;
use crate::discovery::api_client::{ApiAnswer, ApiClient};
use crate::http_client::header;

/// How long a server of tokens may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no token.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct IdentityError(String);

impl IdentityError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<DiscoveryError> for IdentityError {
    fn from(error: DiscoveryError) -> Self {
        Self(error.to_string())
    }
}

impl From<IdentityError> for DiscoveryError {
    fn from(error: IdentityError) -> Self {
        Self::Answer(error.0)
    }
}

/// A client for servers of tokens.
fn client() -> Result<ApiClient, IdentityError> {
    Ok(ApiClient::new(&HttpClientConfig::default(), TIMEOUT)?)
}

/// A token that was just given.
struct Token {
    text: String,
    life: Duration,
}

/// The token that is in use.
#[derive(Debug, Default)]
struct Kept(Mutex<Option<(Secret, Instant)>>);

impl Kept {
    /// The value of the header `Authorization`. Asks for a token if there is none, or if it is in the second half of its life.
    async fn header(
        &self,
        ask: impl Future<Output = Result<Token, IdentityError>>,
    ) -> Result<HeaderValue, IdentityError> {
        let mut kept = self.0.lock().await;
        let token = match kept.as_ref() {
            Some((token, until)) if Instant::now() < *until => token.clone(),
            _ => {
                let token = ask.await?;
                if token.text.is_empty() {
                    return Err(IdentityError("access token is empty".to_owned()));
                }
                if token.life.is_zero() {
                    let expired = "access token expiry is less than the current time";
                    return Err(IdentityError(expired.to_owned()));
                }
                let until = Instant::now() + token.life / 2;
                let (token, _) = kept.insert((Secret::new(token.text), until));
                token.clone()
            }
        };
        let value = header(&format!("Bearer {}", token.reveal()));
        let mut value = value.map_err(|error| IdentityError(error.to_string()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Puts a token among the headers of a request.
pub(crate) fn add(headers: &mut HeaderMap, token: HeaderValue) {
    headers.insert(AUTHORIZATION, token);
}

/// What servers of tokens answer.
#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    access_token: String,
    /// Seconds: a number or a text with one.
    #[serde(default)]
    expires_in: Value,
    /// Seconds since 1970, likewise.
    #[serde(default)]
    expires_on: Value,
}

/// The longest life of a token that is believed.
const LIFE_SECONDS_MAX: u64 = 365 * 24 * 3600;

impl TokenAnswer {
    fn of(answer: &ApiAnswer, url: &str) -> Result<Token, IdentityError> {
        let answer: Self = answer.json(url)?;
        let seconds = |value: &Value| match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let until = seconds(&answer.expires_on).map(|on| {
            let now = u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(0);
            on.saturating_sub(now)
        });
        let life = until.or_else(|| seconds(&answer.expires_in)).unwrap_or(0);
        Ok(Token {
            text: answer.access_token,
            life: Duration::from_secs(life.min(LIFE_SECONDS_MAX)),
        })
    }
}

/// Asks for a token by a form.
async fn ask_by_form(
    client: &ApiClient,
    url: &str,
    fields: &[(&str, &str)],
) -> Result<Token, IdentityError> {
    let body = Bytes::from(crate::sigv4::form(fields.iter()));
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, form)]);
    let answer = client.send(Method::POST, url, headers, body).await?;
    TokenAnswer::of(&answer, url)
}

/// Reads a file that has to do with an identity.
pub(crate) async fn read_file(path: &str) -> Result<String, IdentityError> {
    let text = tokio::fs::read_to_string(path).await;
    text.map_err(|error| IdentityError(format!("open {path}: {error}")))
}

/// Gives tokens for assertions that somebody else signs (RFC 7523).
#[derive(Debug)]
pub(crate) struct AssertionTokens {
    client: ApiClient,
    kept: Kept,
}

impl AssertionTokens {
    pub(crate) fn new() -> Result<Self, IdentityError> {
        Ok(Self {
            client: client()?,
            kept: Kept::default(),
        })
    }

    /// The value of the header `Authorization`. The token is asked for at a URL, with an assertion that is only made if there has to be a
    /// new one.
    pub(crate) async fn header(
        &self,
        url: &str,
        assertion: impl Future<Output = Result<String, IdentityError>>,
    ) -> Result<HeaderValue, IdentityError> {
        let ask = async {
            let assertion = assertion.await?;
            ask_by_assertion(&self.client, url, &assertion).await
        };
        self.kept.header(ask).await
    }
}

/// Asks for a token with a signed assertion.
async fn ask_by_assertion(
    client: &ApiClient,
    url: &str,
    assertion: &str,
) -> Result<Token, IdentityError> {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", assertion),
    ];
    ask_by_form(client, url, &fields).await
}
