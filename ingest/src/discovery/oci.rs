//! Instances of Oracle's cloud (`oci_sd_configs`).

mod api;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use self::api::{Instance, OciApi, Vnic};
use super::api_client::{ApiClient, PATIENCE};
use super::cloud::{Target, group};
use super::kind::{Kind, render_interval};
use super::labels::sanitized;
use super::periodic::{Periodic, Refresh};
use super::{Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::decode::{Fields, duration, error_at, integer, string, strings};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig, Secret, Source, render};

const PREFIX: &str = "__meta_oci_";

/// How questions are proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OciAuth {
    /// By the key of a user.
    ApiKey(OciKey),
    /// By the place where this process runs.
    InstancePrincipal,
}

/// The key of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciKey {
    /// The tenancy.
    pub tenancy: String,
    /// The user.
    pub user: String,
    /// The fingerprint of the key.
    pub fingerprint: String,
    /// The file with the key, PEM.
    pub key_file: std::path::PathBuf,
    /// What the file is encrypted with.
    pub passphrase: Option<Source<Secret>>,
}

/// One entry of `oci_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciConfig {
    /// How questions are proved.
    pub auth: OciAuth,
    /// The region.
    pub region: String,
    /// The compartments whose instances count; all of the tenancy if there is none.
    pub compartments: Vec<String>,
    /// How requests are made.
    pub http: HttpClientConfig,
    /// The port of targets.
    pub port: i64,
    /// How often instances are looked for.
    pub refresh_interval: Duration,
}

const API_KEY: &str = "api_key";
const INSTANCE_PRINCIPAL: &str = "instance_principal";

/// Takes what belongs to a way to prove questions; the error is a message.
fn take_auth(
    fields: &mut Fields<'_>,
    directory: &Path,
) -> Result<Result<OciAuth, String>, ConfigError> {
    let method = fields.read("auth", string)?;
    let mut text = |name| Ok(fields.read(name, string)?.unwrap_or_default());
    let tenancy: String = text("tenancy")?;
    let user = text("user")?;
    let fingerprint = text("fingerprint")?;
    let key_file = text("key_file")?;
    let file = text("key_passphrase_file")?;
    let secret = fields.take_text("key_passphrase").map(Secret::decode);
    let secret = secret.transpose()?;
    let given = [&tenancy, &user, &fingerprint, &key_file, &file];
    let is_given = secret.is_some() || given.iter().any(|text| !text.is_empty());
    Ok(match method.as_deref().unwrap_or(API_KEY) {
        API_KEY => {
            let required = [
                ("tenancy", &tenancy),
                ("user", &user),
                ("fingerprint", &fingerprint),
                ("key_file", &key_file),
            ];
            let missing = required.iter().find(|(_, text)| text.is_empty());
            if let Some((name, _)) = missing {
                return Ok(Err(format!("oci_sd: api_key auth requires {name}")));
            }
            let passphrase = match (secret, file.is_empty()) {
                (Some(_), false) => {
                    return Ok(Err("oci_sd: at most one of key_passphrase and key_passphrase_file must be configured".to_owned()));
                }
                (Some(secret), true) => Some(Source::Inline(secret)),
                (None, false) => Some(Source::File(directory.join(file))),
                (None, true) => None,
            };
            Ok(OciAuth::ApiKey(OciKey {
                tenancy,
                user,
                fingerprint,
                key_file: directory.join(key_file),
                passphrase,
            }))
        }
        INSTANCE_PRINCIPAL if is_given => Err("oci_sd: instance_principal auth must not have tenancy, user, fingerprint, key_file, key_passphrase, or key_passphrase_file set".to_owned()),
        INSTANCE_PRINCIPAL => Ok(OciAuth::InstancePrincipal),
        other => Err(format!(
            "oci_sd: unknown auth method {other:?}, expected \"api_key\" or \"instance_principal\""
        )),
    })
}

impl Kind for OciConfig {
    const NAME: &'static str = "oci";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "oci.plain")?;
        let region = fields.read("region", string)?.unwrap_or_default();
        let auth = take_auth(&mut fields, directory)?;
        let compartments = fields.read("compartments", strings)?.unwrap_or_default();
        let port = fields.read("port", integer)?.unwrap_or(80);
        let interval = fields.read("refresh_interval", duration)?;
        let http = HttpClientConfig::take(&mut fields, node, directory)?;
        fields.finish(&[])?;
        if region.is_empty() {
            return error_at(node, "oci_sd: region is required");
        }
        let auth = match auth {
            Ok(auth) => auth,
            Err(message) => return error_at(node, message),
        };
        if let Some(i) = compartments.iter().position(String::is_empty) {
            let message = format!("oci_sd: compartments[{i}] must not be empty");
            return error_at(node, message);
        }
        if interval.is_some_and(|interval| interval.is_zero()) {
            return error_at(node, "oci_sd: refresh_interval must be positive, got 0s");
        }
        Ok(Self {
            auth,
            region,
            compartments,
            http,
            port,
            refresh_interval: interval.unwrap_or(Duration::from_secs(60)),
        })
    }

    fn render(&self, entries: &mut Entries) {
        match &self.auth {
            OciAuth::InstancePrincipal => {
                entries.text("auth", INSTANCE_PRINCIPAL);
            }
            OciAuth::ApiKey(key) => {
                entries
                    .text("auth", API_KEY)
                    .text("tenancy", &key.tenancy)
                    .text("user", &key.user)
                    .text("fingerprint", &key.fingerprint)
                    .text("key_file", key.key_file.display().to_string());
                render::hidden(entries, "key_passphrase", key.passphrase.as_ref());
            }
        }
        let compartments = self.compartments.iter().cloned().map(Yaml::Text);
        entries
            .text("region", &self.region)
            .list_if_set("compartments", compartments.collect());
        render::http(entries, &self.http);
        entries.put("port", Yaml::Raw(self.port.to_string()));
        render_interval(entries, self.refresh_interval);
    }

    fn discovery(&self, failures: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let domain = match self.region.as_str() {
            region if region.starts_with("uk-gov-") => "oraclegovcloud.uk",
            region if region.starts_with("us-gov-") => "oraclegovcloud.com",
            "us-langley-1" | "us-luke-1" => "oraclegovcloud.com",
            _ => "oraclecloud.com",
        };
        let region = &self.region;
        self.discovery_at(
            &format!("https://identity.{region}.oci.{domain}"),
            &format!("https://iaas.{region}.{domain}"),
            failures,
        )
    }
}

impl OciConfig {
    /// The discovery that asks the services at two URLs.
    pub(crate) fn discovery_at(
        &self,
        identity: &str,
        iaas: &str,
        failures: Failures,
    ) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let unsupported = |what: &str| {
            Err(DiscoveryError::Setup(format!(
                "oci_sd: not supported yet: {what}"
            )))
        };
        let OciAuth::ApiKey(key) = &self.auth else {
            return unsupported(
                "auth instance_principal, which needs an RSA key pair to be generated (there is api_key)",
            );
        };
        if key.passphrase.is_some() {
            return unsupported("keys with a passphrase");
        }
        let discovery = Oci {
            api: OciApi {
                client: ApiClient::new(&self.http, PATIENCE)?,
                identity: identity.to_owned(),
                iaas: iaas.to_owned(),
                key: key.clone(),
            },
            config: self.clone(),
            failures,
        };
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct Oci {
    api: OciApi,
    config: OciConfig,
    failures: Failures,
}

#[async_trait]
impl Refresh for Oci {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let session = self.api.session().await?;
        let mut compartments = self.config.compartments.clone();
        if compartments.is_empty() {
            compartments = session.compartments().await?;
        }
        let mut targets = Vec::new();
        for compartment in &compartments {
            let found = session.instances(compartment).await;
            let instances = found.map_err(|error| {
                DiscoveryError::Answer(format!(
                    "listing OCI instances in compartment {compartment}: {error}"
                ))
            })?;
            for instance in &instances {
                let vnic = match session.primary_vnic(instance).await {
                    Ok(vnic) => vnic.unwrap_or_default(),
                    Err(error) => {
                        self.failures.count();
                        tracing::warn!(
                            discovery = "oci",
                            instance = instance.id,
                            %error,
                            "cannot find the addresses of an instance; it is left out"
                        );
                        continue;
                    }
                };
                targets.extend(target(
                    instance,
                    vnic,
                    &self.api.key.tenancy,
                    self.config.port,
                ));
            }
        }
        Ok(group("OCI", targets))
    }
}

/// The target of an instance; none where it has no address.
fn target(instance: &Instance, mut vnic: Vnic, tenancy: &str, port: i64) -> Option<Target> {
    vnic.ipv6_addresses.sort_unstable();
    let addresses = [&vnic.private_ip, &vnic.public_ip];
    let mut addresses = addresses.into_iter().chain(vnic.ipv6_addresses.first());
    let address = addresses.find(|address| !address.is_empty())?;
    let mut target = Target::new(PREFIX);
    target.address(address, port);
    let ipv6 = match vnic.ipv6_addresses.is_empty() {
        true => String::new(),
        false => format!(",{},", vnic.ipv6_addresses.join(",")),
    };
    for (name, value) in [
        ("instance_id", instance.id.as_str()),
        ("instance_name", &instance.display_name),
        ("instance_state", &instance.lifecycle_state),
        ("instance_shape", &instance.shape),
        ("availability_domain", &instance.availability_domain),
        ("fault_domain", &instance.fault_domain),
        ("region", &instance.region),
        ("tenancy_id", tenancy),
        ("compartment_id", &instance.compartment_id),
        ("image_id", &instance.image_id),
        ("vnic_id", &vnic.id),
        ("private_ip", &vnic.private_ip),
        ("public_ip", &vnic.public_ip),
        ("hostname_label", &vnic.hostname_label),
        ("ipv6_addresses", &ipv6),
    ] {
        target.put(name, value);
    }
    for (name, value) in &instance.freeform_tags {
        target.put(&format!("tag_{}", sanitized(name)), value);
    }
    for (namespace, tags) in &instance.defined_tags {
        for (name, value) in tags {
            let value = match value {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Bool(flag) => flag.to_string(),
                serde_json::Value::Number(number) => match number.as_f64() {
                    Some(number) => number.to_string(),
                    None => continue,
                },
                _ => continue,
            };
            let name = format!("defined_tag_{}_{}", sanitized(namespace), sanitized(name));
            target.put(&name, value);
        }
    }
    Some(target)
}
