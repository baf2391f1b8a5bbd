//! Tokens from an OAuth 2.0 server: asked for when there is none or it ends soon, and when the secret has changed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::form_urlencoded;
use uuid::Uuid;

use super::connector::Connector;
use super::credentials::read;
use super::{AGENT, chain, jwt};
use crate::config::{OAuth2Config, OAuth2Grant};

/// A token is not used any more so long before it ends.
const MARGIN: Duration = Duration::from_secs(10);

/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How long a signed assertion is valid.
const ASSERTION_SECONDS: u64 = 600;

/// Asks for tokens and keeps the last one.
#[derive(Debug)]
pub(super) struct TokenSource {
    config: OAuth2Config,
    client: Client,
    kept: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    /// The whole header value.
    header: String,
    /// When it is not used any more.
    ends: Option<Instant>,
    /// The secret that it was asked for with.
    secret: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// Where the client's id and secret stand in a request: servers want one or the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Header,
    Body,
}

impl TokenSource {
    pub(super) fn new(config: OAuth2Config) -> Result<Self, String> {
        let client = Connector::of_tokens(&config.tls, &config.proxy).client()?;
        Ok(Self {
            config,
            client,
            kept: Mutex::new(None),
        })
    }

    /// The value of the header `Authorization`.
    pub(super) async fn token(&self) -> Result<String, String> {
        let secret = self.secret().await?;
        let mut kept = self.kept.lock().await;
        if let Some(token) = kept.as_ref()
            && token.secret == secret
            && token.ends.is_none_or(|ends| Instant::now() < ends)
        {
            return Ok(token.header.clone());
        }
        let token = self.ask(&secret).await?;
        let header = token.header.clone();
        *kept = Some(token);
        Ok(header)
    }

    async fn secret(&self) -> Result<String, String> {
        let source = match &self.config.grant {
            OAuth2Grant::ClientCredentials { secret } => secret,
            OAuth2Grant::JwtBearer { key, .. } => key,
        };
        read(source.as_ref(), |secret| secret.reveal())
            .await
            .map_err(|error| format!("unable to read oauth2 client secret: {error}"))
    }

    async fn ask(&self, secret: &str) -> Result<Token, String> {
        let (form, style) = self.form(secret)?;
        let answer = self.send(&form, secret, style).await;
        match answer {
            // Some servers do not look at the header.
            Err(_) if style.is_some() => self.send(&form, secret, Some(Style::Body)).await,
            answer => answer,
        }
    }

    /// The body of a request, and where the id and the secret go.
    fn form(&self, secret: &str) -> Result<(String, Option<Style>), String> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        let style = match &self.config.grant {
            OAuth2Grant::ClientCredentials { .. } => {
                form.append_pair("grant_type", "client_credentials");
                Some(Style::Header)
            }
            OAuth2Grant::JwtBearer { .. } => {
                form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                form.append_pair("assertion", &self.assertion(secret)?);
                None
            }
        };
        if !self.config.scopes.is_empty() {
            form.append_pair("scope", &self.config.scopes.join(" "));
        }
        for (name, value) in &self.config.endpoint_params {
            form.append_pair(name, value);
        }
        Ok((form.finish(), style))
    }

    async fn send(&self, form: &str, secret: &str, style: Option<Style>) -> Result<Token, String> {
        let failed = |reason: String| format!("oauth2: cannot fetch token: {reason}");
        let encode =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let mut body = form.to_owned();
        let mut request = self
            .client
            .post(&self.config.token_url)
            .timeout(TIMEOUT)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let id = &self.config.client_id;
        match style {
            Some(Style::Header) => {
                let pair = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
                request = request.header(AUTHORIZATION, format!("Basic {pair}"));
            }
            Some(Style::Body) => {
                body.push_str(&format!("&client_id={}", encode(id)));
                if !secret.is_empty() {
                    body.push_str(&format!("&client_secret={}", encode(secret)));
                }
            }
            None => {}
        }
        let mut response = request
            .body(body)
            .send()
            .await
            .map_err(|error| failed(chain(&error)))?;
        let status = response.status();
        let kind = response.headers().get(CONTENT_TYPE);
        let is_form = kind.is_some_and(|kind| {
            let kind = String::from_utf8_lossy(kind.as_bytes());
            kind.starts_with("application/x-www-form-urlencoded") || kind.starts_with("text/plain")
        });
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| failed(chain(&error)))?
        {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(failed("the answer is too long".to_owned()));
            }
            bytes.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            let text: String = String::from_utf8_lossy(&bytes).chars().take(200).collect();
            return Err(failed(format!("{status}\nResponse: {text}")));
        }
        parse(&bytes, is_form, secret).map_err(failed)
    }

    /// A signed assertion (RFC 7523).
    fn assertion(&self, key_pem: &str) -> Result<String, String> {
        let OAuth2Grant::JwtBearer {
            key_id,
            algorithm,
            issuer,
            audience,
            claims,
            ..
        } = &self.config.grant
        else {
            return Err("oauth2: no assertion for this grant".to_owned());
        };
        let or = |text: &str, other: &str| match text.is_empty() {
            true => other.to_owned(),
            false => text.to_owned(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let mut body = json!({
            "iss": or(issuer, &self.config.client_id),
            "sub": self.config.client_id,
            "jti": Uuid::new_v4().to_string(),
            "aud": or(audience, &self.config.token_url),
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        });
        if !self.config.scopes.is_empty() {
            body["scope"] = Value::String(self.config.scopes.join(" "));
        }
        for (name, value) in claims {
            body[name] = value.clone();
        }
        let mut header = json!({});
        if !key_id.is_empty() {
            header["kid"] = Value::String(key_id.clone());
        }
        jwt::signed(key_pem, algorithm, header, &body)
            .map_err(|reason| format!("oauth2: the client certificate key: {reason}"))
    }
}

/// Reads a server's answer.
fn parse(bytes: &[u8], is_form: bool, secret: &str) -> Result<Token, String> {
    let fields: Value = match is_form {
        true => {
            let pairs = form_urlencoded::parse(bytes);
            let pairs =
                pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
            Value::Object(pairs.collect())
        }
        false => serde_json::from_slice(bytes).map_err(|error| error.to_string())?,
    };
    let text = |name: &str| fields[name].as_str().unwrap_or_default();
    let token = text("access_token");
    if token.is_empty() {
        return Err("server response missing access_token".to_owned());
    }
    let kind = match text("token_type").to_ascii_lowercase().as_str() {
        "" | "bearer" => "Bearer".to_owned(),
        "mac" => "MAC".to_owned(),
        "basic" => "Basic".to_owned(),
        _ => text("token_type").to_owned(),
    };
    // A number, or a text with one.
    let seconds = match &fields["expires_in"] {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let ends = seconds.filter(|seconds| *seconds > 0).map(|seconds| {
        let life = Duration::from_secs(seconds.min(365 * 24 * 3600));
        Instant::now() + life.saturating_sub(MARGIN)
    });
    Ok(Token {
        header: format!("{kind} {token}"),
        ends,
        secret: secret.to_owned(),
    })
}
