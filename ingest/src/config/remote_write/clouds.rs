//! How requests to the receivers of three clouds prove themselves (`sigv4`, `azuread`, `google_iam`).

use std::sync::LazyLock;

use regex::Regex;
use uuid::Uuid;

use crate::config::decode::{Fields, boolean, error_at, string};
use crate::config::error::ConfigError;
use crate::config::http::Secret;
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::identity::AzureIdentity;

/// Signatures that Amazon's services ask for. What is empty comes from where Amazon's tools look for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SigV4Config {
    /// The region of the service.
    pub region: String,
    /// The key that requests are signed with.
    pub access_key: String,
    /// Its secret part.
    pub secret_key: Option<Secret>,
    /// The profile in the files that Amazon's tools share.
    pub profile: String,
    /// The role that is taken on.
    pub role_arn: String,
    /// What the role may ask for.
    pub external_id: String,
    /// Whether the role is asked for at an endpoint that conforms to FIPS 140.
    pub use_fips_sts_endpoint: bool,
    /// The service, as signatures name it; `aps` if empty.
    pub service_name: String,
}

/// Tokens of Microsoft Entra.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureAdConfig {
    /// What the identity is proved with.
    pub identity: AzureIdentity,
    /// The cloud: `AzurePublic`, `AzureGovernment` or `AzureChina`.
    pub cloud: String,
    /// What tokens are for; the cloud's monitoring if empty.
    pub scope: String,
}

/// Tokens of Google Cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoogleIamConfig {
    /// The file with the key of a service account; Google's usual places if empty.
    pub credentials_file: String,
}

/// What a receiver of a cloud asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudAuth {
    /// Amazon's.
    SigV4(SigV4Config),
    /// Microsoft's.
    AzureAd(AzureAdConfig),
    /// Google's.
    GoogleIam(GoogleIamConfig),
}

impl CloudAuth {
    /// The name in a configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SigV4(_) => "sigv4",
            Self::AzureAd(_) => "azuread",
            Self::GoogleIam(_) => "google_iam",
        }
    }

    /// Takes all of these fields that are there.
    pub(super) fn take_all(fields: &mut Fields<'_>) -> Result<Vec<Self>, ConfigError> {
        let sigv4 = fields.read("sigv4", SigV4Config::decode)?;
        let azure = fields.read("azuread", AzureAdConfig::decode)?;
        let google = fields.read("google_iam", GoogleIamConfig::decode)?;
        let all = [
            sigv4.map(Self::SigV4),
            azure.map(Self::AzureAd),
            google.map(Self::GoogleIam),
        ];
        Ok(all.into_iter().flatten().collect())
    }

    pub(super) fn render(&self, entries: &mut Entries) {
        let rendered = match self {
            Self::SigV4(config) => config.rendered(),
            Self::AzureAd(config) => config.rendered(),
            Self::GoogleIam(config) => Entries::default()
                .text_if_set("credentials_file", &config.credentials_file)
                .map(),
        };
        entries.put(self.name(), rendered);
    }
}

fn text(fields: &mut Fields<'_>, name: &str) -> Result<String, ConfigError> {
    Ok(fields.read(name, string)?.unwrap_or_default())
}

fn secret(fields: &mut Fields<'_>, name: &str) -> Result<Option<Secret>, ConfigError> {
    fields.take_text(name).map(Secret::decode).transpose()
}

fn secret_if_set(entries: &mut Entries, name: &str, secret: Option<&Secret>) {
    if let Some(secret) = secret {
        entries.text(name, secret.to_string());
    }
}

impl SigV4Config {
    fn decode(node: &Node) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "sigv4.plain")?;
        let config = Self {
            region: text(&mut fields, "region")?,
            access_key: text(&mut fields, "access_key")?,
            secret_key: secret(&mut fields, "secret_key")?,
            profile: text(&mut fields, "profile")?,
            role_arn: text(&mut fields, "role_arn")?,
            external_id: text(&mut fields, "external_id")?,
            use_fips_sts_endpoint: fields
                .read("use_fips_sts_endpoint", boolean)?
                .unwrap_or(false),
            service_name: text(&mut fields, "service_name")?,
        };
        fields.finish(&[])?;
        if config.access_key.is_empty() != config.secret_key.is_none() {
            return error_at(
                node,
                "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config",
            );
        }
        if !config.external_id.is_empty() && config.role_arn.is_empty() {
            return error_at(node, "external_id can only be used with role_arn");
        }
        Ok(config)
    }

    fn rendered(&self) -> Yaml {
        let mut entries = Entries::default();
        entries
            .text_if_set("region", &self.region)
            .text_if_set("access_key", &self.access_key);
        secret_if_set(&mut entries, "secret_key", self.secret_key.as_ref());
        entries
            .text_if_set("profile", &self.profile)
            .text_if_set("role_arn", &self.role_arn)
            .text_if_set("external_id", &self.external_id)
            .flag_if_set("use_fips_sts_endpoint", self.use_fips_sts_endpoint)
            .text_if_set("service_name", &self.service_name)
            .map()
    }
}

impl GoogleIamConfig {
    fn decode(node: &Node) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "googleiam.Config")?;
        let credentials_file = text(&mut fields, "credentials_file")?;
        fields.finish(&[])?;
        Ok(Self { credentials_file })
    }
}

/// Checks that a text is there.
fn required(node: &Node, value: &str, what: &str) -> Result<(), ConfigError> {
    match value.is_empty() {
        true => error_at(
            node,
            format!("must provide an Azure {what} in the Azure AD config"),
        ),
        false => Ok(()),
    }
}

/// Checks that a text is a UUID.
fn uuid(node: &Node, value: &str, what: &str) -> Result<(), ConfigError> {
    match Uuid::parse_str(value) {
        Ok(_) => Ok(()),
        Err(_) => error_at(node, format!("the provided Azure {what} is invalid")),
    }
}

fn is_scope(text: &str) -> bool {
    static SCOPE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[0-9A-Za-z_\t\n\f\r :/.\-]+$").ok());
    SCOPE.as_ref().is_some_and(|scope| scope.is_match(text))
}

/// Reads one way to prove an identity.
fn identity(name: &str, node: &Node) -> Result<AzureIdentity, ConfigError> {
    let type_name = match name {
        "managed_identity" => "azuread.ManagedIdentityConfig",
        "workload_identity" => "azuread.WorkloadIdentityConfig",
        "oauth" => "azuread.OAuthConfig",
        "sdk" => "azuread.SDKConfig",
        _ => "azuread.CertificateConfig",
    };
    let mut fields = Fields::of(node, type_name)?;
    let identity = match name {
        "managed_identity" => AzureIdentity::ManagedIdentity {
            client_id: text(&mut fields, "client_id")?,
        },
        "workload_identity" => AzureIdentity::WorkloadIdentity {
            client_id: text(&mut fields, "client_id")?,
            tenant_id: text(&mut fields, "tenant_id")?,
            token_file_path: text(&mut fields, "token_file_path")?,
        },
        "oauth" => AzureIdentity::OAuth {
            client_id: text(&mut fields, "client_id")?,
            client_secret: secret(&mut fields, "client_secret")?.unwrap_or_else(|| Secret::new("")),
            tenant_id: text(&mut fields, "tenant_id")?,
        },
        "sdk" => AzureIdentity::Sdk {
            tenant_id: text(&mut fields, "tenant_id")?,
        },
        _ => AzureIdentity::Certificate {
            client_id: text(&mut fields, "client_id")?,
            tenant_id: text(&mut fields, "tenant_id")?,
            certificate_path: text(&mut fields, "certificate_path")?,
            certificate_key_path: text(&mut fields, "certificate_key_path")?,
            certificate_password: secret(&mut fields, "certificate_password")?,
            send_certificate_chain: fields
                .read("send_certificate_chain", boolean)?
                .unwrap_or(false),
        },
    };
    fields.finish(&[])?;
    Ok(identity)
}

/// Checks what must be there to prove an identity.
fn check(node: &Node, identity: &AzureIdentity) -> Result<(), ConfigError> {
    match identity {
        AzureIdentity::ManagedIdentity { client_id } => match client_id.is_empty() {
            true => Ok(()),
            false => uuid(node, client_id, "Managed Identity client_id"),
        },
        AzureIdentity::WorkloadIdentity {
            client_id,
            tenant_id,
            ..
        } => {
            required(node, client_id, "Workload Identity client_id")?;
            required(node, tenant_id, "Workload Identity tenant_id")?;
            uuid(node, client_id, "Workload Identity client_id")?;
            uuid(node, tenant_id, "Workload Identity tenant_id")
        }
        AzureIdentity::OAuth {
            client_id,
            client_secret,
            tenant_id,
        } => {
            required(node, client_id, "OAuth client_id")?;
            required(node, client_secret.reveal(), "OAuth client_secret")?;
            required(node, tenant_id, "OAuth tenant_id")?;
            uuid(node, client_id, "OAuth client_id")
        }
        AzureIdentity::Sdk { .. } => Ok(()),
        AzureIdentity::Certificate {
            client_id,
            tenant_id,
            certificate_path,
            ..
        } => {
            required(node, client_id, "Certificate client_id")?;
            required(node, tenant_id, "Certificate tenant_id")?;
            required(node, certificate_path, "Certificate certificate_path")?;
            uuid(node, client_id, "Certificate client_id")
        }
    }
}

const AZURE_PUBLIC: &str = "AzurePublic";

/// The ways to prove an identity, in order.
const IDENTITIES: [&str; 5] = [
    "managed_identity",
    "workload_identity",
    "oauth",
    "sdk",
    "certificate",
];

impl AzureAdConfig {
    fn decode(node: &Node) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "azuread.plain")?;
        let mut identities = Vec::new();
        for name in IDENTITIES {
            identities.extend(fields.read(name, |node| identity(name, node))?);
        }
        let mut cloud = text(&mut fields, "cloud")?;
        let scope = text(&mut fields, "scope")?;
        fields.finish(&[])?;
        if cloud.is_empty() {
            AZURE_PUBLIC.clone_into(&mut cloud);
        }
        if !["AzureChina", "AzureGovernment", AZURE_PUBLIC].contains(&cloud.as_str()) {
            return error_at(node, "must provide a cloud in the Azure AD config");
        }
        let mut identities = identities.into_iter();
        let identity = match (identities.next(), identities.next()) {
            (None, _) => {
                return error_at(
                    node,
                    "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth, Azure Certificate or Azure SDK in the Azure AD config",
                );
            }
            (Some(_), Some(_)) => {
                return error_at(
                    node,
                    "cannot provide multiple authentication methods in the Azure AD config",
                );
            }
            (Some(identity), None) => identity,
        };
        check(node, &identity)?;
        if !scope.is_empty() && !is_scope(&scope) {
            return error_at(node, "the provided scope contains invalid characters");
        }
        Ok(Self {
            identity,
            cloud,
            scope,
        })
    }

    fn rendered(&self) -> Yaml {
        let mut entries = Entries::default();
        let name = match &self.identity {
            AzureIdentity::ManagedIdentity { client_id } => {
                entries.text_if_set("client_id", client_id);
                "managed_identity"
            }
            AzureIdentity::WorkloadIdentity {
                client_id,
                tenant_id,
                token_file_path,
            } => {
                entries
                    .text_if_set("client_id", client_id)
                    .text_if_set("tenant_id", tenant_id)
                    .text_if_set("token_file_path", token_file_path);
                "workload_identity"
            }
            AzureIdentity::OAuth {
                client_id,
                client_secret,
                tenant_id,
            } => {
                entries.text_if_set("client_id", client_id);
                secret_if_set(&mut entries, "client_secret", Some(client_secret));
                entries.text_if_set("tenant_id", tenant_id);
                "oauth"
            }
            AzureIdentity::Sdk { tenant_id } => {
                entries.text_if_set("tenant_id", tenant_id);
                "sdk"
            }
            AzureIdentity::Certificate {
                client_id,
                tenant_id,
                certificate_path,
                certificate_key_path,
                certificate_password,
                send_certificate_chain,
            } => {
                entries
                    .text_if_set("client_id", client_id)
                    .text_if_set("tenant_id", tenant_id)
                    .text_if_set("certificate_path", certificate_path)
                    .text_if_set("certificate_key_path", certificate_key_path);
                let password = certificate_password.as_ref();
                secret_if_set(&mut entries, "certificate_password", password);
                entries.flag_if_set("send_certificate_chain", *send_certificate_chain);
                "certificate"
            }
        };
        let identity = entries.map();
        Entries::default()
            .put(name, identity)
            .text("cloud", &self.cloud)
            .text_if_set("scope", &self.scope)
            .map()
    }
}
