//! Tokens from an OAuth 2.0 server.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use super::decode::{Fields, error_at, map, string, strings};
use super::error::ConfigError;
use super::http::{Secret, Source, TlsConfig, source};
use super::proxy::ProxyConfig;
use super::yaml::{Node, Value};

/// The grant of RFC 7523.
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How a token is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OAuth2Grant {
    /// With a secret that client and server know.
    ClientCredentials {
        /// The secret.
        secret: Option<Source<Secret>>,
    },
    /// With a signed assertion (RFC 7523).
    JwtBearer {
        /// The RSA key, PEM.
        key: Option<Source<Secret>>,
        /// The key's id.
        key_id: String,
        /// `RS256`, `RS384` or `RS512`.
        algorithm: String,
        /// Who issues the assertion; the client where nobody is named.
        issuer: String,
        /// For whom it is meant; the token URL where nobody is named.
        audience: String,
        /// Further claims.
        claims: BTreeMap<String, Json>,
    },
}

/// Where tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2Config {
    /// The client's id.
    pub client_id: String,
    /// What it proves itself with.
    pub grant: OAuth2Grant,
    /// What the token is for.
    pub scopes: Vec<String>,
    /// Where it comes from.
    pub token_url: String,
    /// Further parameters of the request.
    pub endpoint_params: BTreeMap<String, String>,
    /// TLS settings of that request.
    pub tls: TlsConfig,
    /// The proxy of that request.
    pub proxy: ProxyConfig,
}

impl OAuth2Config {
    pub(super) fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "config.OAuth2")?;
        let client_id = fields.read("client_id", string)?.unwrap_or_default();
        let token_url = fields.read("token_url", string)?.unwrap_or_default();
        if client_id.is_empty() {
            return error_at(node, "oauth2 client_id must be configured");
        }
        if token_url.is_empty() {
            return error_at(node, "oauth2 token_url must be configured");
        }
        let grant_type = fields.read("grant_type", string)?.unwrap_or_default();
        let jwt = grant_type == JWT_BEARER;
        let secret = source(
            &mut fields,
            "client_secret",
            directory,
            Secret::decode,
            "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using grant-type=client_credentials",
        )?;
        let key = source(
            &mut fields,
            "client_certificate_key",
            directory,
            Secret::decode,
            "at most one of oauth2 client_certificate_key, client_certificate_key_file & client_certificate_key_ref must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer",
        )?;
        let mut text = |name| Ok::<_, ConfigError>(fields.read(name, string)?.unwrap_or_default());
        let key_id = text("client_certificate_key_id")?;
        let algorithm = text("signature_algorithm")?;
        let issuer = text("iss")?;
        let audience = text("audience")?;
        let claims = fields
            .read("claims", |node| map(node, |_, value| claim(value)))?
            .unwrap_or_default();
        if jwt && !["", "RS256", "RS384", "RS512"].contains(&algorithm.as_str()) {
            return error_at(
                node,
                "valid signature algorithms are RS256, RS384 and RS512",
            );
        }
        let grant = match jwt {
            true => OAuth2Grant::JwtBearer {
                key,
                key_id,
                algorithm,
                issuer,
                audience,
                claims,
            },
            false => OAuth2Grant::ClientCredentials { secret },
        };
        let config = Self {
            client_id,
            grant,
            scopes: fields.read("scopes", strings)?.unwrap_or_default(),
            token_url,
            endpoint_params: fields
                .read("endpoint_params", |node| {
                    map(node, |_, value| string(value))
                })?
                .unwrap_or_default(),
            tls: fields
                .read("tls_config", |node| TlsConfig::decode(node, directory))?
                .unwrap_or_default(),
            proxy: ProxyConfig::take(&mut fields, node)?,
        };
        fields.finish(&["client_secret_ref", "client_certificate_key_ref"])?;
        Ok(config)
    }
}

/// A claim: any value, as JSON.
fn claim(node: &Node) -> Result<Json, ConfigError> {
    Ok(match &node.value {
        _ if node.is_null() => Json::Null,
        Value::Scalar { text, plain: true } => {
            // Numbers and booleans stay what they are.
            serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone()))
        }
        Value::Scalar { text, .. } => Json::String(text.clone()),
        Value::Sequence(items) => Json::Array(items.iter().map(claim).collect::<Result<_, _>>()?),
        Value::Mapping(_) => {
            let entries = map(node, |_, value| claim(value))?;
            Json::Object(entries.into_iter().collect())
        }
    })
}
