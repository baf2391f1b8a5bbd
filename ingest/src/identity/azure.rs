//! Tokens of Microsoft Entra.

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use ring::digest;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use uuid::Uuid;

use super::{IdentityError, Kept, Token, TokenAnswer, ask_by_form, client, read_file};
use crate::config::Secret;
use crate::discovery::api_client::ApiClient;
use crate::environment::Environment;
use crate::http_client::{header, jwt};

/// Where the token of a pod is unless somebody says otherwise.
const WORKLOAD_TOKEN_PATH: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// The variable that says otherwise.
const WORKLOAD_TOKEN_VARIABLE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// The kind of an assertion.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long a signed assertion is valid.
const ASSERTION_SECONDS: i64 = 600;

/// What is at the end of a scope, but not of the resource that it belongs to.
const DEFAULT_SCOPE: &str = "/.default";

/// What an identity is proved with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureIdentity {
    /// The place where this process runs.
    ManagedIdentity {
        /// Which of the identities of that place; its own if empty.
        client_id: String,
    },
    /// A token that Kubernetes gives to a pod.
    WorkloadIdentity {
        /// The application; that of the environment if empty.
        client_id: String,
        /// Its tenant; that of the environment if empty.
        tenant_id: String,
        /// Where the token is; where the environment says, or the usual place, if empty.
        token_file_path: String,
    },
    /// The secret of an application.
    OAuth {
        /// The application.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
        /// Its tenant.
        tenant_id: String,
    },
    /// What the environment has: a secret, a certificate, a token of the pod, or else the place where this process runs.
    Sdk {
        /// The tenant; that of the environment if empty.
        tenant_id: String,
    },
    /// The certificate of an application.
    Certificate {
        /// The application.
        client_id: String,
        /// Its tenant.
        tenant_id: String,
        /// The file with the certificate, and with its key if there is no other file. PEM.
        certificate_path: String,
        /// The file with the key; empty if there is none.
        certificate_key_path: String,
        /// The password of the file.
        certificate_password: Option<Secret>,
        /// Whether assertions have the certificates in them.
        send_certificate_chain: bool,
    },
}

/// One of Microsoft's clouds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AzureCloud {
    Public,
    Government,
    China,
}

impl AzureCloud {
    /// Where tokens come from.
    fn login(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::Government => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }

    /// Where resources are asked for.
    pub(crate) fn resource_manager(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com",
            Self::Government => "https://management.usgovcloudapi.net",
            Self::China => "https://management.chinacloudapi.cn",
        }
    }

    /// What a token for that is good for.
    pub(crate) fn resource_manager_scope(self) -> &'static str {
        match self {
            Self::Public => "https://management.core.windows.net//.default",
            Self::Government => "https://management.core.usgovcloudapi.net/.default",
            Self::China => "https://management.core.chinacloudapi.cn/.default",
        }
    }
}

/// Gives tokens for one scope.
#[derive(Debug)]
pub(crate) struct AzureTokens {
    identity: AzureIdentity,
    scope: String,
    environment: Environment,
    login: String,
    metadata: String,
    client: ApiClient,
    kept: Kept,
}

impl AzureTokens {
    pub(crate) fn new(
        identity: AzureIdentity,
        cloud: AzureCloud,
        scope: &str,
        environment: Environment,
    ) -> Result<Self, IdentityError> {
        Ok(Self {
            identity,
            scope: scope.to_owned(),
            environment,
            login: cloud.login().to_owned(),
            metadata: "http://169.254.169.254".to_owned(),
            client: client()?,
            kept: Kept::default(),
        })
    }

    /// The same with servers of a test.
    #[cfg(test)]
    pub(crate) fn at(mut self, url: &str) -> Self {
        url.clone_into(&mut self.login);
        url.clone_into(&mut self.metadata);
        self
    }

    /// The value of the header `Authorization`.
    pub(crate) async fn header(&self) -> Result<HeaderValue, IdentityError> {
        let header = self.kept.header(self.ask(&self.identity)).await;
        header.map_err(|error| IdentityError(format!("Failed to get access token: {error}")))
    }

    async fn ask(&self, identity: &AzureIdentity) -> Result<Token, IdentityError> {
        match identity {
            AzureIdentity::ManagedIdentity { client_id } => self.of_place(client_id).await,
            AzureIdentity::WorkloadIdentity {
                client_id,
                tenant_id,
                token_file_path,
            } => {
                let path = self.or(token_file_path, WORKLOAD_TOKEN_VARIABLE);
                let path = path.unwrap_or_else(|| WORKLOAD_TOKEN_PATH.to_owned());
                let missing = |what| {
                    IdentityError(format!(
                        "no {what} specified. Check pod configuration or set it in the configuration"
                    ))
                };
                let client_id = self.or(client_id, "AZURE_CLIENT_ID");
                let client_id = client_id.ok_or_else(|| missing("client ID"))?;
                let tenant_id = self.or(tenant_id, "AZURE_TENANT_ID");
                let tenant_id = tenant_id.ok_or_else(|| missing("tenant ID"))?;
                let assertion = read_file(&path).await?;
                let proof = [
                    ("client_assertion_type", ASSERTION_TYPE),
                    ("client_assertion", assertion.trim()),
                ];
                self.of_client(&tenant_id, &client_id, &proof).await
            }
            AzureIdentity::OAuth {
                client_id,
                client_secret,
                tenant_id,
            } => {
                let proof = [("client_secret", client_secret.reveal())];
                self.of_client(tenant_id, client_id, &proof).await
            }
            AzureIdentity::Sdk { tenant_id } => {
                Box::pin(self.ask(&self.of_environment(tenant_id))).await
            }
            AzureIdentity::Certificate {
                client_id,
                tenant_id,
                ..
            } => {
                let assertion = self.assertion(identity, tenant_id, client_id).await?;
                let proof = [
                    ("client_assertion_type", ASSERTION_TYPE),
                    ("client_assertion", assertion.as_str()),
                ];
                self.of_client(tenant_id, client_id, &proof).await
            }
        }
    }

    fn or(&self, given: &str, variable: &str) -> Option<String> {
        match given.is_empty() {
            true => self.environment.get(variable),
            false => Some(given.to_owned()),
        }
    }

    /// The identity that the environment has.
    fn of_environment(&self, tenant_id: &str) -> AzureIdentity {
        let variable = |name| self.environment.get(name);
        let client_id = variable("AZURE_CLIENT_ID").unwrap_or_default();
        let own_tenant_id = variable("AZURE_TENANT_ID").unwrap_or_default();
        if !client_id.is_empty() && !own_tenant_id.is_empty() {
            if let Some(secret) = variable("AZURE_CLIENT_SECRET") {
                return AzureIdentity::OAuth {
                    client_id,
                    client_secret: Secret::new(secret),
                    tenant_id: own_tenant_id,
                };
            }
            if let Some(certificate_path) = variable("AZURE_CLIENT_CERTIFICATE_PATH") {
                let chain = variable("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
                let password = variable("AZURE_CLIENT_CERTIFICATE_PASSWORD");
                return AzureIdentity::Certificate {
                    client_id,
                    tenant_id: own_tenant_id,
                    certificate_path,
                    certificate_key_path: String::new(),
                    certificate_password: password.map(Secret::new),
                    send_certificate_chain: chain
                        .is_some_and(|chain| chain == "1" || chain == "true"),
                };
            }
        }
        let has_token = variable(WORKLOAD_TOKEN_VARIABLE).is_some();
        let has_tenant = !tenant_id.is_empty() || !own_tenant_id.is_empty();
        match has_token && has_tenant && !client_id.is_empty() {
            true => AzureIdentity::WorkloadIdentity {
                client_id,
                tenant_id: tenant_id.to_owned(),
                token_file_path: String::new(),
            },
            false => AzureIdentity::ManagedIdentity { client_id },
        }
    }

    /// A token for an application that proves itself.
    async fn of_client(
        &self,
        tenant_id: &str,
        client_id: &str,
        proof: &[(&str, &str)],
    ) -> Result<Token, IdentityError> {
        let url = self.token_url(tenant_id);
        let mut fields = vec![
            ("client_id", client_id),
            ("grant_type", "client_credentials"),
            ("scope", self.scope.as_str()),
        ];
        fields.extend(proof);
        ask_by_form(&self.client, &url, &fields).await
    }

    fn token_url(&self, tenant_id: &str) -> String {
        format!("{}/{tenant_id}/oauth2/v2.0/token", self.login)
    }

    /// A token from the place where this process runs.
    async fn of_place(&self, client_id: &str) -> Result<Token, IdentityError> {
        let variable = |name| self.environment.get(name);
        let resource = self.scope.strip_suffix(DEFAULT_SCOPE);
        let resource = resource.unwrap_or(&self.scope);
        let mut query = vec![("resource", resource)];
        let (url, name, value) = match (variable("IDENTITY_ENDPOINT"), variable("IDENTITY_HEADER"))
        {
            (Some(url), Some(key)) => {
                query.push(("api-version", "2019-08-01"));
                (url, "x-identity-header", header(&key))
            }
            (Some(_), None) if variable("IMDS_ENDPOINT").is_some() => {
                return Err(IdentityError(
                    "not supported yet: managed identities of Azure Arc".to_owned(),
                ));
            }
            _ => {
                query.push(("api-version", "2018-02-01"));
                let url = format!("{}/metadata/identity/oauth2/token", self.metadata);
                (url, "metadata", header("true"))
            }
        };
        if !client_id.is_empty() {
            query.push(("client_id", client_id));
        }
        let query = crate::sigv4::form(query.iter());
        let url = format!("{url}?{query}");
        let value = value.map_err(|error| IdentityError(error.to_string()))?;
        let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value)]);
        let answer = self
            .client
            .send(Method::GET, &url, headers, Default::default());
        TokenAnswer::of(&answer.await?, &url)
    }

    /// An assertion that is signed with the key of a certificate.
    async fn assertion(
        &self,
        identity: &AzureIdentity,
        tenant_id: &str,
        client_id: &str,
    ) -> Result<String, IdentityError> {
        let AzureIdentity::Certificate {
            certificate_path,
            certificate_key_path,
            certificate_password,
            send_certificate_chain,
            ..
        } = identity
        else {
            return Err(IdentityError("no certificate".to_owned()));
        };
        let read = async |what: &str, path: &str| {
            let text = tokio::fs::read(path).await;
            text.map_err(|error| {
                IdentityError(format!("failed to read {what} file {path}: {error}"))
            })
        };
        let wrong =
            |reason: &str| IdentityError(format!("failed to parse certificate data: {reason}"));
        let file = read("certificate", certificate_path).await?;
        let Ok(mut pem) = String::from_utf8(file) else {
            return Err(wrong("not supported yet: PKCS#12 (there is PEM)"));
        };
        if certificate_password.is_some() {
            return Err(wrong("not supported yet: files with a password"));
        }
        if !certificate_key_path.is_empty() {
            let key = read("private key", certificate_key_path).await?;
            pem.push('\n');
            pem.push_str(&String::from_utf8_lossy(&key));
        }
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
        let certificates: Vec<_> = certificates
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(&error.to_string()))?;
        let Some(first) = certificates.first() else {
            return Err(wrong("found no certificate"));
        };
        let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let standard = base64::engine::general_purpose::STANDARD;
        let print = digest::digest(&digest::SHA256, first);
        let mut head = json!({ "x5t#S256": base64::Engine::encode(&url_safe, print) });
        if *send_certificate_chain {
            let chain = certificates.iter();
            let chain = chain.map(|der| base64::Engine::encode(&standard, der));
            head["x5c"] = chain.collect();
        }
        let now = chrono::Utc::now().timestamp();
        let claims = json!({
            "aud": self.token_url(tenant_id),
            "iss": client_id,
            "sub": client_id,
            "jti": Uuid::new_v4().to_string(),
            "nbf": now,
            "exp": now + ASSERTION_SECONDS,
        });
        jwt::signed(&pem, "PS256", head, &claims).map_err(|reason| wrong(&reason))
    }
}
