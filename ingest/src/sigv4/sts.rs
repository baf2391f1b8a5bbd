//! Credentials of a role, from the Security Token Service.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::{Credentials, Scope, SigningError, form, sign};
use crate::config::Secret;
use crate::discovery::api_client::{ApiAnswer, ApiClient};
use crate::environment::Environment;

/// Where a service of a region is, unless the environment says otherwise.
pub(crate) fn endpoint(environment: &Environment, service: &str, region: &str) -> String {
    let own = format!("AWS_ENDPOINT_URL_{}", service.to_uppercase());
    let given = environment.get(&own);
    if let Some(url) = given.or_else(|| environment.get("AWS_ENDPOINT_URL")) {
        return url;
    }
    let domain = match region.split_once('-') {
        Some(("cn", _)) => "amazonaws.com.cn",
        Some(("us", rest)) if rest.starts_with("iso-") => "c2s.ic.gov",
        Some(("us", rest)) if rest.starts_with("isob-") => "sc2s.sgov.gov",
        _ => "amazonaws.com",
    };
    format!("https://{service}.{region}.{domain}")
}

/// Where STS is. In the regions of the government all endpoints conform to FIPS 140, and have no other name for it.
fn sts_endpoint(environment: &Environment, region: &str, fips: bool) -> String {
    let url = endpoint(environment, "sts", region);
    match fips && !region.starts_with("us-gov-") {
        true => url.replacen("https://sts.", "https://sts-fips.", 1),
        false => url,
    }
}

/// Asks for credentials.
pub(super) struct Sts<'a> {
    pub(super) client: &'a ApiClient,
    pub(super) environment: &'a Environment,
    pub(super) region: &'a str,
    /// Whether the endpoint must conform to FIPS 140.
    pub(super) fips: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResponse {
    assume_role_result: AssumeRoleResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleWithWebIdentityResponse {
    assume_role_with_web_identity_result: AssumeRoleResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResult {
    credentials: Answer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: Option<DateTime<Utc>>,
}

impl From<Answer> for Credentials {
    fn from(answer: Answer) -> Self {
        Self {
            access_key: answer.access_key_id,
            secret_key: Secret::new(answer.secret_access_key),
            session_token: Some(Secret::new(answer.session_token)),
            expires: answer.expiration,
        }
    }
}

impl Sts<'_> {
    /// The credentials of a role that those who have `credentials` may take on.
    pub(super) async fn assume_role(
        &self,
        credentials: &Credentials,
        role_arn: &str,
        external_id: &str,
    ) -> Result<Credentials, SigningError> {
        let session = session_name();
        let mut parameters = vec![
            ("Action", "AssumeRole"),
            ("RoleArn", role_arn),
            ("RoleSessionName", &session),
            ("DurationSeconds", "900"),
        ];
        if !external_id.is_empty() {
            parameters.push(("ExternalId", external_id));
        }
        let body = self.ask(&parameters, Some(credentials)).await?;
        let answer: AssumeRoleResponse = xml(&body)?;
        Ok(answer.assume_role_result.credentials.into())
    }

    /// The credentials of a role that the bearer of a token may take on.
    pub(super) async fn assume_role_with_web_identity(
        &self,
        token: &str,
        role_arn: &str,
        session: Option<String>,
    ) -> Result<Credentials, SigningError> {
        let session = session.unwrap_or_else(session_name);
        let parameters = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("RoleArn", role_arn),
            ("RoleSessionName", &session),
            ("WebIdentityToken", token),
        ];
        let body = self.ask(&parameters, None).await?;
        let answer: AssumeRoleWithWebIdentityResponse = xml(&body)?;
        Ok(answer
            .assume_role_with_web_identity_result
            .credentials
            .into())
    }

    async fn ask(
        &self,
        parameters: &[(&str, &str)],
        credentials: Option<&Credentials>,
    ) -> Result<String, SigningError> {
        let failed = |error: &dyn std::fmt::Display| SigningError(error.to_string());
        let url = sts_endpoint(self.environment, self.region, self.fips);
        let url = Url::parse(&url).map_err(|e| failed(&format!("{url}: {e}")))?;
        let body = form([("Version", "2011-06-15")].iter().chain(parameters));
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, form)]);
        if let Some(credentials) = credentials {
            let scope = Scope {
                region: self.region,
                service: "sts",
            };
            let request = ("POST", &url);
            let bytes = body.as_bytes();
            sign(request, &mut headers, bytes, credentials, scope, Utc::now())?;
        }
        let body = Bytes::from(body);
        let answer = self.client.send(Method::POST, url.as_str(), headers, body);
        let answer = answer.await.map_err(|e| failed(&e))?;
        let action = parameters.first().map_or("", |(_, action)| action);
        if answer.status != StatusCode::OK {
            let error = xml_error(&answer);
            return Err(failed(&format!("operation error STS: {action}, {error}")));
        }
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }
}

fn session_name() -> String {
    Utc::now().timestamp_micros().to_string()
}

fn xml<'a, T: Deserialize<'a>>(body: &'a str) -> Result<T, SigningError> {
    quick_xml::de::from_str(body).map_err(|error| SigningError(format!("STS: {error}")))
}

/// What an answer in XML says about an error.
pub(crate) fn xml_error(answer: &ApiAnswer) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    let text = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        Some(text)
    };
    format!(
        "https response error StatusCode: {}, api error {}: {}",
        answer.status.as_u16(),
        text("Code").unwrap_or("UnknownError"),
        text("Message").unwrap_or("UnknownError")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_have_their_own_endpoints() {
        let nothing = Environment::of(&[]);
        for (region, expected) in [
            ("eu-west-1", "https://ec2.eu-west-1.amazonaws.com"),
            ("cn-north-1", "https://ec2.cn-north-1.amazonaws.com.cn"),
            ("us-iso-east-1", "https://ec2.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", "https://ec2.us-isob-east-1.sc2s.sgov.gov"),
            ("us-gov-west-1", "https://ec2.us-gov-west-1.amazonaws.com"),
        ] {
            assert_eq!(endpoint(&nothing, "ec2", region), expected);
        }
        for (region, expected) in [
            ("us-east-1", "https://sts-fips.us-east-1.amazonaws.com"),
            ("us-gov-west-1", "https://sts.us-gov-west-1.amazonaws.com"),
        ] {
            assert_eq!(sts_endpoint(&nothing, region, true), expected);
        }
        let given = [
            ("AWS_ENDPOINT_URL", "http://all"),
            ("AWS_ENDPOINT_URL_STS", "http://sts"),
        ];
        let given = Environment::of(&given);
        assert_eq!(endpoint(&given, "ec2", "r"), "http://all");
        assert_eq!(endpoint(&given, "sts", "r"), "http://sts");
    }
}
