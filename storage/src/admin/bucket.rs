//! The SDK's client, with the same environment and credentials as the store's own.

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::store::S3Settings;

/// A client for calls about one bucket.
pub(super) struct Bucket {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) region: String,
    /// Whether another provider than AWS is asked.
    pub(super) custom_endpoint: bool,
}

impl Bucket {
    pub(super) async fn connect(name: &str) -> Result<Self> {
        let settings = S3Settings::from_env(name)?;
        let keys = settings
            .credentials
            .get_credential()
            .await
            .map_err(|error| {
                Error::Invalid(format!(
                    "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role gives them ({error})"
                ))
            })?;
        let credentials = Credentials::new(
            keys.key_id.clone(),
            keys.secret_key.clone(),
            keys.token.clone(),
            None,
            "varve",
        );
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_timeout(Duration::from_secs(60))
            .build();
        let mut config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(settings.region.clone()))
            .credentials_provider(credentials)
            .http_client(http)
            .retry_config(RetryConfig::standard())
            .timeout_config(timeouts)
            .force_path_style(settings.path_style);
        if let Some(endpoint) = &settings.endpoint {
            config = config.endpoint_url(endpoint);
        }
        Ok(Self {
            client: Client::from_conf(config.build()),
            name: name.to_owned(),
            region: settings.region,
            custom_endpoint: settings.endpoint.is_some(),
        })
    }
}

/// What a failed call says, in one line.
pub(super) fn reason<E>(error: &SdkError<E>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => causes(error),
    }
}

/// What an error and those below it say; the SDK's own text tells little, and its long form fills a screen.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let this = error.to_string();
        if !text.ends_with(&this) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&this);
        }
        next = error.source();
    }
    text
}

/// The HTTP status of a failed call, where there was an answer.
pub(super) fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

/// The region that S3 names when it is asked in the wrong one.
pub(super) fn region_hint<E>(error: &SdkError<E>) -> Option<String> {
    let answer = error.raw_response()?;
    let region = answer.headers().get("x-amz-bucket-region")?;
    Some(region.to_owned())
}
