//! How a job's requests are made: authentication, TLS, redirects.

use std::fmt;
use std::path::{Path, PathBuf};

use super::decode::{Fields, boolean, error_at, string};
use super::error::ConfigError;
use super::headers::{CustomHeader, custom_headers};
use super::oauth2::OAuth2Config;
use super::proxy::ProxyConfig;
use super::yaml::Node;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn decode(node: &Node) -> Result<Self, ConfigError> {
        string(node).map(Self)
    }

    /// A secret that comes from elsewhere than the configuration.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the request that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// A value that stands in the configuration or in a file that is read at every use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source<T> {
    /// The value itself.
    Inline(T),
    /// The file that holds it.
    File(PathBuf),
}

/// User name and password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasicAuth {
    /// The user.
    pub username: Option<Source<String>>,
    /// The password.
    pub password: Option<Source<Secret>>,
}

/// An `Authorization` header of one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// The scheme, "Bearer" by default.
    pub kind: String,
    /// What follows the scheme.
    pub credentials: Option<Source<Secret>>,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.0: the oldest that a configuration may name; connections use 1.2 or later in any case.
    Tls10,
    /// 1.1, likewise.
    Tls11,
    /// 1.2.
    Tls12,
    /// 1.3.
    Tls13,
}

impl TlsVersion {
    /// The name in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls10 => "TLS10",
            Self::Tls11 => "TLS11",
            Self::Tls12 => "TLS12",
            Self::Tls13 => "TLS13",
        }
    }

    fn decode(node: &Node) -> Result<Self, ConfigError> {
        let name = string(node)?;
        [Self::Tls10, Self::Tls11, Self::Tls12, Self::Tls13]
            .into_iter()
            .find(|version| version.as_str() == name)
            .map_or_else(
                || error_at(node, format!("unknown TLS version: {name}")),
                Ok,
            )
    }
}

/// TLS settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificates that sign the server's, PEM; the system's where none are given.
    pub ca: Option<Source<String>>,
    /// The client's certificate, PEM.
    pub cert: Option<Source<String>>,
    /// The client's key, PEM.
    pub key: Option<Source<Secret>>,
    /// The name that the server's certificate must have, instead of the URL's.
    pub server_name: String,
    /// Whether any certificate is taken.
    pub insecure_skip_verify: bool,
    /// The oldest version to use.
    pub min_version: Option<TlsVersion>,
    /// The newest version to use.
    pub max_version: Option<TlsVersion>,
}

/// How a job's requests are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpClientConfig {
    /// Basic authentication.
    pub basic_auth: Option<BasicAuth>,
    /// An `Authorization` header; the deprecated `bearer_token` ends up here too.
    pub authorization: Option<Authorization>,
    /// Tokens from an OAuth 2.0 server.
    pub oauth2: Option<OAuth2Config>,
    /// The proxy.
    pub proxy: ProxyConfig,
    /// Headers that every request gets besides those that a scrape has (`http_headers`).
    pub headers: Vec<CustomHeader>,
    /// TLS settings.
    pub tls: TlsConfig,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether HTTP/2 may be negotiated.
    pub enable_http2: bool,
    /// Whether each connection begins with another address of the host. In Prometheus only `remote_write` has this.
    pub round_robin_dns: bool,
}

impl Default for HttpClientConfig {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            proxy: ProxyConfig::default(),
            headers: Vec::new(),
            tls: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            round_robin_dns: false,
        }
    }
}

/// Takes `name`, or `name_file` as a path, of which at most one may be given.
pub(super) fn source<T>(
    fields: &mut Fields<'_>,
    name: &str,
    directory: &Path,
    inline: impl Fn(&Node) -> Result<T, ConfigError>,
    conflict: &str,
) -> Result<Option<Source<T>>, ConfigError> {
    let value = fields.take_text(name);
    let file = fields.take_text(&format!("{name}_file"));
    match (value, file) {
        (Some(_), Some(second)) => error_at(second, conflict),
        (Some(value), None) => inline(value).map(|v| Some(Source::Inline(v))),
        (None, Some(file)) => Ok(Some(Source::File(directory.join(string(file)?)))),
        (None, None) => Ok(None),
    }
}

impl HttpClientConfig {
    /// Takes the fields of an HTTP client out of the mapping that they are part of.
    pub(crate) fn take(
        fields: &mut Fields<'_>,
        owner: &Node,
        directory: &Path,
    ) -> Result<Self, ConfigError> {
        let bearer_node = fields.take_text("bearer_token");
        let bearer_file_node = fields.take_text("bearer_token_file");
        let basic_node = fields.take("basic_auth");
        let authorization_node = fields.take("authorization");
        if bearer_node.is_some() && bearer_file_node.is_some() {
            return error_at(
                owner,
                "at most one of bearer_token & bearer_token_file must be configured",
            );
        }
        let bearer = match (bearer_node, bearer_file_node) {
            (Some(node), _) => Some(Source::Inline(Secret::decode(node)?)),
            (None, Some(node)) => Some(Source::File(directory.join(string(node)?))),
            (None, None) => None,
        };
        let oauth2_node = fields.take("oauth2");
        if (basic_node.is_some() || oauth2_node.is_some()) && bearer.is_some() {
            return error_at(
                owner,
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
            );
        }
        if authorization_node.is_some() && bearer.is_some() {
            return error_at(
                owner,
                "authorization is not compatible with bearer_token & bearer_token_file",
            );
        }
        let kinds = [basic_node, authorization_node, oauth2_node];
        if kinds.iter().flatten().count() > 1 {
            return error_at(
                owner,
                "at most one of basic_auth, oauth2 & authorization must be configured",
            );
        }
        let authorization = match authorization_node {
            Some(node) => Some(Authorization::decode(node, directory)?),
            None => bearer.map(|token| Authorization {
                kind: "Bearer".to_owned(),
                credentials: Some(token),
            }),
        };
        Ok(Self {
            basic_auth: basic_node
                .map(|node| BasicAuth::decode(node, directory))
                .transpose()?,
            authorization,
            oauth2: oauth2_node
                .map(|node| OAuth2Config::decode(node, directory))
                .transpose()?,
            proxy: ProxyConfig::take(fields, owner)?,
            headers: fields
                .read("http_headers", |node| custom_headers(node, directory))?
                .unwrap_or_default(),
            tls: fields
                .read("tls_config", |node| TlsConfig::decode(node, directory))?
                .unwrap_or_default(),
            follow_redirects: fields
                .read_even_null("follow_redirects", boolean)?
                .unwrap_or(true),
            enable_http2: fields
                .read_even_null("enable_http2", boolean)?
                .unwrap_or(true),
            round_robin_dns: false,
        })
    }
}

impl BasicAuth {
    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "config.BasicAuth")?;
        let basic = Self {
            username: source(
                &mut fields,
                "username",
                directory,
                string,
                "at most one of basic_auth username & username_file must be configured",
            )?,
            password: source(
                &mut fields,
                "password",
                directory,
                Secret::decode,
                "at most one of basic_auth password & password_file must be configured",
            )?,
        };
        fields.finish(&["username_ref", "password_ref"])?;
        Ok(basic)
    }
}

impl Authorization {
    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "config.Authorization")?;
        let kind = fields.read("type", string)?.unwrap_or_default();
        let kind = match kind.trim() {
            "" => "Bearer".to_owned(),
            kind if kind.eq_ignore_ascii_case("basic") => {
                return error_at(
                    node,
                    "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
                );
            }
            kind => kind.to_owned(),
        };
        let credentials = source(
            &mut fields,
            "credentials",
            directory,
            Secret::decode,
            "at most one of authorization credentials & credentials_file must be configured",
        )?;
        fields.finish(&["credentials_ref"])?;
        Ok(Self { kind, credentials })
    }
}

impl TlsConfig {
    pub(crate) fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "config.TLSConfig")?;
        let conflict =
            |name: &str| format!("at most one of {name} and {name}_file must be configured");
        let tls = Self {
            ca: source(&mut fields, "ca", directory, string, &conflict("ca"))?,
            cert: source(&mut fields, "cert", directory, string, &conflict("cert"))?,
            key: source(
                &mut fields,
                "key",
                directory,
                Secret::decode,
                &conflict("key"),
            )?,
            server_name: fields.read("server_name", string)?.unwrap_or_default(),
            insecure_skip_verify: fields
                .read("insecure_skip_verify", boolean)?
                .unwrap_or(false),
            min_version: fields.read("min_version", TlsVersion::decode)?,
            max_version: fields.read("max_version", TlsVersion::decode)?,
        };
        if tls.cert.is_some() && tls.key.is_none() {
            return error_at(
                node,
                "exactly one of key or key_file must be configured when a client certificate is configured",
            );
        }
        if tls.key.is_some() && tls.cert.is_none() {
            return error_at(
                node,
                "exactly one of cert or cert_file must be configured when a client key is configured",
            );
        }
        fields.finish(&["ca_ref", "cert_ref", "key_ref"])?;
        Ok(tls)
    }
}
