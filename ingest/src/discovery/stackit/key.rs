//! Tokens for the key of a service account.

use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::StackitConfig;
use crate::environment::Environment;
use crate::http_client::jwt;
use crate::identity::{AssertionTokens, IdentityError, read_file};

/// Where tokens come from.
pub(super) const TOKEN_URL: &str = "https://service-account.api.stackit.cloud/token";

/// How long a signed assertion is valid.
const ASSERTION_SECONDS: i64 = 600;

/// Gives tokens.
#[derive(Debug)]
pub(super) struct KeyTokens {
    config: StackitConfig,
    environment: Environment,
    url: String,
    tokens: AssertionTokens,
}

#[derive(Deserialize)]
struct ServiceAccountKey {
    credentials: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    kid: String,
    iss: String,
    sub: String,
    aud: String,
    private_key: Option<String>,
}

/// The file that has credentials, or the paths of files.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CredentialsFile {
    #[serde(rename = "STACKIT_PRIVATE_KEY")]
    private_key: String,
    #[serde(rename = "STACKIT_PRIVATE_KEY_PATH")]
    private_key_path: String,
}

impl KeyTokens {
    pub(super) fn new(
        config: &StackitConfig,
        url: &str,
        environment: Environment,
    ) -> Result<Self, IdentityError> {
        Ok(Self {
            config: config.clone(),
            environment,
            url: url.to_owned(),
            tokens: AssertionTokens::new()?,
        })
    }

    /// The value of the header `Authorization`.
    pub(super) async fn header(&self) -> Result<HeaderValue, IdentityError> {
        self.tokens.header(&self.url, self.assertion()).await
    }

    async fn assertion(&self) -> Result<String, IdentityError> {
        let text = match &self.config.service_account_key {
            Some(key) => key.reveal().to_owned(),
            None => read_file(&self.config.service_account_key_path).await?,
        };
        let key: ServiceAccountKey = serde_json::from_str(&text).map_err(|error| {
            IdentityError::new(format!("unmarshalling service account key: {error}"))
        })?;
        let Credentials {
            kid,
            iss,
            sub,
            aud,
            private_key,
        } = key.credentials;
        let private_key = self.private_key(private_key).await?;
        let now = chrono::Utc::now().timestamp();
        let claims = json!({
            "iss": iss,
            "sub": sub,
            "aud": aud,
            "jti": Uuid::new_v4().to_string(),
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        });
        jwt::signed(&private_key, "RS512", json!({ "kid": kid }), &claims)
            .map_err(|reason| IdentityError::new(format!("private key: {reason}")))
    }

    /// The RSA key: that of the configuration, of the key of the service account, of the environment, or of the file with credentials.
    async fn private_key(&self, own: Option<String>) -> Result<String, IdentityError> {
        if let Some(key) = &self.config.private_key {
            return Ok(key.reveal().to_owned());
        }
        if !self.config.private_key_path.is_empty() {
            return read_file(&self.config.private_key_path).await;
        }
        if let Some(key) = own.filter(|key| !key.is_empty()) {
            return Ok(key);
        }
        if let Some(key) = self.environment.get("STACKIT_PRIVATE_KEY") {
            return Ok(key);
        }
        if let Some(path) = self.environment.get("STACKIT_PRIVATE_KEY_PATH") {
            return read_file(&path).await;
        }
        let missing = || IdentityError::new("private key not found");
        let path = self.config.credentials_file_path.clone();
        let path = Some(path).filter(|path| !path.is_empty());
        let path = path.or_else(|| self.environment.get("STACKIT_CREDENTIALS_PATH"));
        let path = path.ok_or_else(missing)?;
        let file: CredentialsFile = serde_json::from_str(&read_file(&path).await?)
            .map_err(|error| IdentityError::new(format!("{path}: {error}")))?;
        if !file.private_key.is_empty() {
            return Ok(file.private_key);
        }
        match file.private_key_path.is_empty() {
            true => Err(missing()),
            false => read_file(&file.private_key_path).await,
        }
    }
}
