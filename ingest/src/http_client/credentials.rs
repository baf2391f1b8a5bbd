//! What a request proves itself with: read for every request, so that rotated secrets take effect.

use std::path::Path;

use base64::Engine as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::config::{CustomHeader, HttpClientConfig, Source};
use crate::error::{Error, Result};

/// The `Authorization` header, where the configuration has one.
pub(super) async fn authorization(config: &HttpClientConfig) -> Result<Option<HeaderValue>> {
    let value = if let Some(basic) = &config.basic_auth {
        let username = read(basic.username.as_ref(), String::as_str).await?;
        let password = read(basic.password.as_ref(), |secret| secret.reveal()).await?;
        let pair =
            base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
        format!("Basic {pair}")
    } else if let Some(authorization) = &config.authorization {
        let credentials =
            read(authorization.credentials.as_ref(), |secret| secret.reveal()).await?;
        format!("{} {credentials}", authorization.kind)
    } else {
        return Ok(None);
    };
    header(&value).map(Some)
}

/// A header's value.
pub(crate) fn header(value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value).map_err(|_| {
        Error::Body("a header value has characters that HTTP does not allow".to_owned())
    })
}

/// Adds the values of a header from the configuration.
pub(super) async fn add_header(headers: &mut HeaderMap, custom: &CustomHeader) -> Result<()> {
    let name = HeaderName::from_bytes(custom.name.as_bytes())
        .map_err(|_| Error::Body(format!("{:?} is not a valid header name", custom.name)))?;
    let mut add = |value: &str| -> Result<()> {
        let mut value = header(value)?;
        value.set_sensitive(true);
        headers.append(&name, value);
        Ok(())
    };
    custom.values.iter().try_for_each(|value| add(value))?;
    let mut secrets = custom.secrets.iter();
    secrets.try_for_each(|secret| add(secret.reveal()))?;
    for file in &custom.files {
        add(&read_secret(file).await?)?;
    }
    Ok(())
}

/// A value, from wherever it is; empty where there is none.
pub(super) async fn read<T>(
    source: Option<&Source<T>>,
    inline: impl Fn(&T) -> &str,
) -> Result<String> {
    match source {
        None => Ok(String::new()),
        Some(Source::Inline(value)) => Ok(inline(value).to_owned()),
        Some(Source::File(path)) => read_secret(path).await,
    }
}

async fn read_secret(path: &Path) -> Result<String> {
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|source| Error::ReadFile {
        path: path.display().to_string(),
        source,
    })?;
    Ok(text.trim().to_owned())
}
