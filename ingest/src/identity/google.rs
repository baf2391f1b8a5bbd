//! Tokens of Google Cloud.

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use super::{
    IdentityError, Kept, Token, TokenAnswer, ask_by_assertion, ask_by_form, client, read_file,
};
use crate::discovery::api_client::ApiClient;
use crate::environment::Environment;
use crate::http_client::jwt;

/// Where an instance asks about itself.
const METADATA: &str = "169.254.169.254";

/// Where tokens come from unless a file says otherwise.
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";

/// How long a signed assertion is valid.
const ASSERTION_SECONDS: i64 = 3600;

/// What an identity is proved with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GoogleCredentials {
    /// The key of a service account, in this file.
    ServiceAccountFile(String),
    /// The file that the environment names, that of Google's tools, or else the instance that this process runs on.
    Default,
}

/// A file with credentials.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CredentialsFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key: String,
    private_key_id: String,
    token_uri: String,
    client_id: String,
    client_secret: String,
    refresh_token: String,
}

/// Gives tokens for one scope.
#[derive(Debug)]
pub(crate) struct GoogleTokens {
    credentials: GoogleCredentials,
    scope: &'static str,
    environment: Environment,
    client: ApiClient,
    kept: Kept,
}

impl GoogleTokens {
    pub(crate) fn new(
        credentials: GoogleCredentials,
        scope: &'static str,
        environment: Environment,
    ) -> Result<Self, IdentityError> {
        Ok(Self {
            credentials,
            scope,
            environment,
            client: client()?,
            kept: Kept::default(),
        })
    }

    /// The value of the header `Authorization`.
    pub(crate) async fn header(&self) -> Result<HeaderValue, IdentityError> {
        self.kept.header(self.ask()).await
    }

    async fn ask(&self) -> Result<Token, IdentityError> {
        if let GoogleCredentials::ServiceAccountFile(path) = &self.credentials {
            let file = credentials_file(&read_file(path).await?, path)?;
            return match file.kind.as_str() {
                "service_account" => self.of_service_account(&file).await,
                kind => Err(IdentityError(format!(
                    "{path}: the credentials are of type {kind:?}, not \"service_account\""
                ))),
            };
        }
        let failed = |error: &dyn std::fmt::Display| {
            IdentityError(format!("error finding default Google credentials: {error}"))
        };
        let named = self.environment.get("GOOGLE_APPLICATION_CREDENTIALS");
        let file = match named {
            Some(path) => Some((read_file(&path).await.map_err(|e| failed(&e))?, path)),
            None => self.of_tools().await,
        };
        let Some((text, path)) = file else {
            return self.of_instance().await.map_err(|error| failed(&error));
        };
        let file = credentials_file(&text, &path).map_err(|error| failed(&error))?;
        match file.kind.as_str() {
            "service_account" => self.of_service_account(&file).await,
            "authorized_user" => self.of_user(&file).await,
            kind => Err(failed(&format!(
                "{path}: not supported yet: credentials of type {kind:?} (there are service_account, authorized_user)"
            ))),
        }
    }

    /// The file that Google's tools write for their user.
    async fn of_tools(&self) -> Option<(String, String)> {
        let home = self.environment.get("HOME")?;
        let path = format!("{home}/.config/gcloud/application_default_credentials.json");
        let text = tokio::fs::read_to_string(&path).await.ok()?;
        Some((text, path))
    }

    async fn of_service_account(&self, file: &CredentialsFile) -> Result<Token, IdentityError> {
        let url = token_url(file);
        let now = chrono::Utc::now().timestamp();
        let claims = json!({
            "iss": file.client_email,
            "scope": self.scope,
            "aud": url,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        });
        let mut head = json!({});
        if !file.private_key_id.is_empty() {
            head["kid"] = json!(file.private_key_id);
        }
        let assertion = jwt::signed(&file.private_key, "RS256", head, &claims);
        let assertion =
            assertion.map_err(|reason| IdentityError(format!("private_key: {reason}")))?;
        ask_by_assertion(&self.client, url, &assertion).await
    }

    async fn of_user(&self, file: &CredentialsFile) -> Result<Token, IdentityError> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", file.client_id.as_str()),
            ("client_secret", file.client_secret.as_str()),
            ("refresh_token", file.refresh_token.as_str()),
        ];
        ask_by_form(&self.client, token_url(file), &fields).await
    }

    async fn of_instance(&self) -> Result<Token, IdentityError> {
        let host = self.environment.get("GCE_METADATA_HOST");
        let host = host.as_deref().unwrap_or(METADATA);
        let scope = [("scopes", self.scope)];
        let url = format!(
            "http://{host}/computeMetadata/v1/instance/service-accounts/default/token?{}",
            crate::sigv4::form(scope.iter())
        );
        let google = HeaderValue::from_static("Google");
        let headers = HeaderMap::from_iter([(HeaderName::from_static("metadata-flavor"), google)]);
        let answer = self
            .client
            .send(Method::GET, &url, headers, Default::default());
        TokenAnswer::of(&answer.await?, &url)
    }
}

fn credentials_file(text: &str, path: &str) -> Result<CredentialsFile, IdentityError> {
    serde_json::from_str(text).map_err(|error| IdentityError(format!("{path}: {error}")))
}

fn token_url(file: &CredentialsFile) -> &str {
    match file.token_uri.is_empty() {
        true => TOKEN_URL,
        false => &file.token_uri,
    }
}
