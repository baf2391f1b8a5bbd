//! Requests to AWS: signatures of version 4, and the credentials that they are made with.
//!
//! A signature is an HMAC over a *canonical request*: method, path, query, the signed headers and a hash of the body. Its key
//! is derived from the secret key, the day, the region and the service.

mod credentials;
mod metadata;
mod profile;
mod sts;

use chrono::{DateTime, Utc};
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use ring::{digest, hmac};
use thiserror::Error;
use url::Url;

pub(crate) use self::credentials::{Credentials, CredentialsSettings, Provider};
pub(crate) use self::metadata::region as metadata_region;
pub(crate) use self::profile::region as profile_region;
pub(crate) use self::sts::{endpoint, xml_error};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Why a request cannot be signed.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct SigningError(pub(crate) String);

/// What a signature is good for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// The region.
    pub(crate) region: &'a str,
    /// The service, as signatures name it (`ec2`, `aps`).
    pub(crate) service: &'a str,
}

/// Adds the headers of a signature to those of a request. All headers that are there already are signed, so this comes last.
pub(crate) fn sign(
    (method, url): (&str, &Url),
    headers: &mut HeaderMap,
    body: &[u8],
    credentials: &Credentials,
    scope: Scope<'_>,
    now: DateTime<Utc>,
) -> Result<(), SigningError> {
    let time = now.format("%Y%m%dT%H%M%SZ").to_string();
    let day = now.format("%Y%m%d").to_string();
    headers.insert("x-amz-date", value(&time)?);
    if let Some(token) = &credentials.session_token {
        let mut token = value(token.reveal())?;
        token.set_sensitive(true);
        headers.insert("x-amz-security-token", token);
    }
    let mut signed: Vec<(&str, String)> = headers.iter().map(canonical_header).collect();
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return Err(SigningError(format!("{url}: no host"))),
    };
    signed.retain(|(name, _)| *name != HOST.as_str());
    signed.push((HOST.as_str(), host));
    signed.sort();
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines = signed
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"));
    let canonical = format!(
        "{method}\n{}\n{}\n{}\n{names}\n{}",
        canonical_path(url.path()),
        canonical_query(url),
        lines.collect::<String>(),
        hash(body)
    );
    let Scope { region, service } = scope;
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let text = format!(
        "{ALGORITHM}\n{time}\n{scope}\n{}",
        hash(canonical.as_bytes())
    );
    let secret = format!("AWS4{}", credentials.secret_key.reveal());
    let mut key = mac(secret.as_bytes(), &day);
    for part in [region, service, "aws4_request"] {
        key = mac(key.as_ref(), part);
    }
    let signature = hex(mac(key.as_ref(), &text).as_ref());
    let access_key = &credentials.access_key;
    let mut authorization = value(&format!(
        "{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    ))?;
    authorization.set_sensitive(true);
    headers.insert(AUTHORIZATION, authorization);
    Ok(())
}

fn value(text: &str) -> Result<HeaderValue, SigningError> {
    HeaderValue::from_str(text).map_err(|_| {
        SigningError("credentials have characters that a header must not have".to_owned())
    })
}

/// A header with runs of spaces as one.
fn canonical_header<'a>((name, value): (&'a HeaderName, &HeaderValue)) -> (&'a str, String) {
    let value = String::from_utf8_lossy(value.as_bytes());
    let words: Vec<_> = value.split(' ').filter(|word| !word.is_empty()).collect();
    (name.as_str(), words.join(" "))
}

/// The path of a URL, which is encoded already, encoded once more: all services but S3 want that.
fn canonical_path(path: &str) -> String {
    let parts: Vec<_> = path.split('/').map(encoded).collect();
    parts.join("/")
}

fn canonical_query(url: &Url) -> String {
    let pairs = url.query_pairs();
    let mut pairs: Vec<_> = pairs.map(|(k, v)| (encoded(&k), encoded(&v))).collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.join("&")
}

/// Pairs as a form. The serializer must not live across an await, so it is in here.
pub(crate) fn form<'a>(pairs: impl Iterator<Item = &'a (&'a str, &'a str)>) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs);
    form.finish()
}

/// All but letters, digits and `-._~` as `%XX`.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Secret;

    fn signed(
        (method, url): (&str, &str),
        given: &[(&'static str, &str)],
        body: &str,
        service: &str,
        token: Option<&str>,
    ) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.insert(*name, value.parse().unwrap());
        }
        let credentials = Credentials {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: token.map(Secret::new),
            expires: None,
        };
        let scope = Scope {
            region: "us-east-1",
            service,
        };
        let now = "2015-08-30T12:36:00Z".parse().unwrap();
        let url = Url::parse(url).unwrap();
        sign(
            (method, &url),
            &mut headers,
            body.as_bytes(),
            &credentials,
            scope,
            now,
        )
        .unwrap();
        headers
    }

    #[test]
    fn signatures_are_those_of_the_published_examples() {
        const FORM: &str = "application/x-www-form-urlencoded";
        let form_utf8 = format!("{FORM}; charset=utf-8");
        let host = "https://example.amazonaws.com";
        for (request, given, body, service, names, signature) in [
            (
                ("GET", format!("{host}/")),
                vec![],
                "",
                "service",
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                ("GET", format!("{host}/?Param2=value2&Param1=value1")),
                vec![],
                "",
                "service",
                "host;x-amz-date",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                ("POST", format!("{host}/")),
                vec![],
                "",
                "service",
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                ("POST", format!("{host}/")),
                vec![("content-type", FORM)],
                "Param1=value1",
                "service",
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                (
                    "GET",
                    "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08".to_owned(),
                ),
                vec![("content-type", form_utf8.as_str())],
                "",
                "iam",
                "content-type;host;x-amz-date",
                "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            ),
        ] {
            let (method, url) = &request;
            let headers = signed((method, url), &given, body, service, None);
            assert_eq!(headers["x-amz-date"], "20150830T123600Z");
            assert_eq!(
                headers["authorization"],
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, SignedHeaders={names}, Signature={signature}"
                ),
                "{request:?}"
            );
        }
    }

    #[test]
    fn a_session_token_is_sent_and_signed() {
        let headers = signed(("GET", "http://h:81/"), &[], "", "ec2", Some("token"));
        assert_eq!(headers["x-amz-security-token"], "token");
        let authorization = headers["authorization"].to_str().unwrap();
        assert!(authorization.contains("SignedHeaders=host;x-amz-date;x-amz-security-token,"));
    }

    #[test]
    fn requests_are_brought_into_one_form() {
        assert_eq!(canonical_path("/a%20b/c"), "/a%2520b/c");
        let url = Url::parse("http://h/?b=2&a=x%20y&a=%2F&c").unwrap();
        assert_eq!(canonical_query(&url), "a=%2F&a=x%20y&b=2&c=");
        let header = (&HOST, &HeaderValue::from_static(" a   b "));
        assert_eq!(canonical_header(header), ("host", "a b".to_owned()));
    }
}
