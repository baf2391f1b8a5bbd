//! What requests to the receivers of clouds prove themselves with, beside what any HTTP server may ask for.

use std::time::Duration;

use chrono::Utc;
use reqwest::Url;
use reqwest::header::HeaderMap;
use tokio::sync::Mutex;

use crate::config::{AzureAdConfig, CloudAuth, HttpClientConfig, SigV4Config};
use crate::discovery::api_client::ApiClient;
use crate::environment::Environment;
use crate::identity::{self, AzureCloud, AzureTokens, GoogleCredentials, GoogleTokens};
use crate::sigv4::{CredentialsSettings, Provider, Scope, profile_region, sign};

/// How long a service of credentials may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The service of Amazon that receives samples.
const SERVICE: &str = "aps";

/// What a token of Google must be good for.
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/monitoring.write";

/// Proves requests to one receiver.
#[derive(Debug)]
pub(super) enum Proof {
    /// By a signature.
    Signature(Box<Signer>),
    /// By a token of Microsoft.
    Azure(Box<AzureTokens>),
    /// By a token of Google.
    Google(Box<GoogleTokens>),
}

/// Signs requests to a service of Amazon.
#[derive(Debug)]
pub(super) struct Signer {
    config: SigV4Config,
    environment: Environment,
    provider: Mutex<Provider>,
}

impl Proof {
    /// What a configuration asks for. Asks nobody anything yet.
    pub(super) fn of(auth: &CloudAuth, environment: Environment) -> Result<Self, String> {
        Ok(match auth {
            CloudAuth::SigV4(config) => {
                Self::Signature(Box::new(Signer::new(config, environment)?))
            }
            CloudAuth::AzureAd(config) => {
                let tokens = azure_tokens(config, environment)?;
                Self::Azure(Box::new(tokens))
            }
            CloudAuth::GoogleIam(config) => {
                let file = config.credentials_file.clone();
                let credentials = match file.is_empty() {
                    true => GoogleCredentials::Default,
                    false => GoogleCredentials::ServiceAccountFile(file),
                };
                let tokens = GoogleTokens::new(credentials, GOOGLE_SCOPE, environment);
                Self::Google(Box::new(tokens.map_err(|error| error.to_string())?))
            }
        })
    }

    /// The URL that requests go to.
    pub(super) fn url(&self, url: &Url) -> Url {
        match self {
            Self::Signature(_) => with_single_slashes(url),
            Self::Azure(_) | Self::Google(_) => url.clone(),
        }
    }

    /// Adds the proof to the headers of a request. No header of those that are there may change afterwards.
    pub(super) async fn add(
        &self,
        url: &Url,
        headers: &mut HeaderMap,
        body: &[u8],
    ) -> Result<(), String> {
        let token = match self {
            Self::Signature(signer) => return signer.sign(url, headers, body).await,
            Self::Azure(tokens) => tokens.header().await,
            Self::Google(tokens) => tokens.header().await,
        };
        identity::add(headers, token.map_err(|error| error.to_string())?);
        Ok(())
    }
}

fn azure_tokens(config: &AzureAdConfig, environment: Environment) -> Result<AzureTokens, String> {
    let (cloud, audience) = match config.cloud.as_str() {
        "AzureChina" => (AzureCloud::China, "https://monitor.azure.cn//.default"),
        "AzureGovernment" => (AzureCloud::Government, "https://monitor.azure.us//.default"),
        _ => (AzureCloud::Public, "https://monitor.azure.com//.default"),
    };
    let scope = match config.scope.is_empty() {
        true => audience,
        false => config.scope.as_str(),
    };
    AzureTokens::new(config.identity.clone(), cloud, scope, environment)
        .map_err(|error| error.to_string())
}

/// A URL whose path has no two slashes in a row: such a one cannot be signed.
fn with_single_slashes(url: &Url) -> Url {
    let mut path = url.path().to_owned();
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    let mut url = url.clone();
    url.set_path(&path);
    url
}

impl Signer {
    fn new(config: &SigV4Config, environment: Environment) -> Result<Self, String> {
        let client = ApiClient::new(&HttpClientConfig::default(), TIMEOUT);
        let client = client.map_err(|error| error.to_string())?;
        let settings = CredentialsSettings {
            access_key: config.access_key.clone(),
            secret_key: config.secret_key.clone(),
            profile: config.profile.clone(),
            role_arn: config.role_arn.clone(),
            external_id: config.external_id.clone(),
            use_fips_sts_endpoint: config.use_fips_sts_endpoint,
        };
        Ok(Self {
            provider: Mutex::new(Provider::new(settings, environment.clone(), client)),
            config: config.clone(),
            environment,
        })
    }

    async fn region(&self) -> Result<String, String> {
        let given = Some(self.config.region.clone()).filter(|region| !region.is_empty());
        let given = given
            .or_else(|| self.environment.get("AWS_REGION"))
            .or_else(|| self.environment.get("AWS_DEFAULT_REGION"));
        if let Some(region) = given {
            return Ok(region);
        }
        let region = profile_region(&self.environment, &self.config.profile).await;
        let region = region.map_err(|error| error.to_string())?;
        region.ok_or_else(|| {
            "region not configured in sigv4 or in default credentials chain".to_owned()
        })
    }

    async fn sign(&self, url: &Url, headers: &mut HeaderMap, body: &[u8]) -> Result<(), String> {
        let region = self.region().await?;
        let credentials = self.provider.lock().await.credentials(&region).await;
        let credentials =
            credentials.map_err(|error| format!("error retrieving credentials: {error}"))?;
        let service = match self.config.service_name.is_empty() {
            true => SERVICE,
            false => &self.config.service_name,
        };
        let scope = Scope {
            region: &region,
            service,
        };
        sign(
            ("POST", url),
            headers,
            body,
            &credentials,
            scope,
            Utc::now(),
        )
        .map_err(|error| format!("failed to sign request: {error}"))
    }
}
