//! Hypervisors, instances and load balancers of OpenStack (`openstack_sd_configs`).

mod api;
mod instance;
mod keystone;
mod loadbalancer;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use self::api::OpenStackApi;
use self::keystone::Login;
use super::api_client::{ApiClient, nullable};
use super::cloud::{Target, group};
use super::kind::{Kind, refresh_interval, render_interval};
use super::periodic::{Periodic, Refresh};
use super::{Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::decode::{Fields, boolean, error_at, integer, string};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig, Secret, TlsConfig, render};
use crate::environment::Environment;

const PREFIX: &str = "__meta_openstack_";

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenStackRole {
    /// Machines that run instances.
    Hypervisor,
    /// Virtual machines.
    Instance,
    /// Load balancers that show metrics of their own.
    LoadBalancer,
}

/// One entry of `openstack_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenStackConfig {
    /// The URL of Keystone; if empty, this and all credentials come from the environment.
    pub identity_endpoint: String,
    /// The user's name.
    pub username: String,
    /// The user's id, instead of the name.
    pub userid: String,
    /// The user's password.
    pub password: Option<Secret>,
    /// The project's name.
    pub project_name: String,
    /// The project's id, instead of the name.
    pub project_id: String,
    /// The name of the domain of user and project.
    pub domain_name: String,
    /// The id of that domain, instead of the name.
    pub domain_id: String,
    /// The name of an application credential.
    pub application_credential_name: String,
    /// Its id, instead of the name.
    pub application_credential_id: String,
    /// Its secret.
    pub application_credential_secret: Option<Secret>,
    /// What is looked for.
    pub role: OpenStackRole,
    /// The region.
    pub region: String,
    /// How often it is looked for.
    pub refresh_interval: Duration,
    /// The port of targets.
    pub port: i64,
    /// Whether instances of all projects count.
    pub all_tenants: bool,
    /// TLS settings.
    pub tls: TlsConfig,
    /// Which of the addresses of services are used: `public`, `internal` or `admin`.
    pub availability: String,
}

impl OpenStackRole {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hypervisor => "hypervisor",
            Self::Instance => "instance",
            Self::LoadBalancer => "loadbalancer",
        }
    }

    fn decode(node: &Node) -> Result<Self, ConfigError> {
        match string(node)?.as_str() {
            "hypervisor" => Ok(Self::Hypervisor),
            "instance" => Ok(Self::Instance),
            "loadbalancer" => Ok(Self::LoadBalancer),
            other => error_at(node, format!("unknown OpenStack SD role {other:?}")),
        }
    }
}

impl Kind for OpenStackConfig {
    const NAME: &'static str = "openstack";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "openstack.plain")?;
        let role = fields.read("role", OpenStackRole::decode)?;
        let mut text = |name| Ok(fields.read(name, string)?.unwrap_or_default());
        let identity_endpoint = text("identity_endpoint")?;
        let username = text("username")?;
        let userid = text("userid")?;
        let project_name = text("project_name")?;
        let project_id = text("project_id")?;
        let domain_name = text("domain_name")?;
        let domain_id = text("domain_id")?;
        let application_credential_name = text("application_credential_name")?;
        let application_credential_id = text("application_credential_id")?;
        let region: String = text("region")?;
        let availability = fields.read("availability", string)?;
        let availability = availability.unwrap_or_else(|| "public".to_owned());
        let mut secret = |name| fields.take_text(name).map(Secret::decode).transpose();
        let config = Self {
            identity_endpoint,
            username,
            userid,
            password: secret("password")?,
            project_name,
            project_id,
            domain_name,
            domain_id,
            application_credential_name,
            application_credential_id,
            application_credential_secret: secret("application_credential_secret")?,
            role: role.unwrap_or(OpenStackRole::Instance),
            region,
            refresh_interval: refresh_interval(&mut fields, Duration::from_secs(60))?,
            port: fields.read("port", integer)?.unwrap_or(80),
            all_tenants: fields.read("all_tenants", boolean)?.unwrap_or(false),
            tls: fields
                .read("tls_config", |node| TlsConfig::decode(node, directory))?
                .unwrap_or_default(),
            availability,
        };
        fields.finish(&[])?;
        let availability = &config.availability;
        if !["public", "internal", "admin"].contains(&availability.as_str()) {
            return error_at(
                node,
                format!(
                    "unknown availability {availability}, must be one of admin, internal or public"
                ),
            );
        }
        if role.is_none() {
            return error_at(
                node,
                "role missing (one of: instance, hypervisor, loadbalancer)",
            );
        }
        if config.region.is_empty() {
            return error_at(node, "openstack SD configuration requires a region");
        }
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        let hidden =
            |secret: &Option<Secret>| secret.as_ref().map_or_else(String::new, Secret::to_string);
        entries
            .text("identity_endpoint", &self.identity_endpoint)
            .text("username", &self.username)
            .text("userid", &self.userid)
            .text("password", hidden(&self.password))
            .text("project_name", &self.project_name)
            .text("project_id", &self.project_id)
            .text("domain_name", &self.domain_name)
            .text("domain_id", &self.domain_id)
            .text(
                "application_credential_name",
                &self.application_credential_name,
            )
            .text("application_credential_id", &self.application_credential_id)
            .text(
                "application_credential_secret",
                hidden(&self.application_credential_secret),
            )
            .text("role", self.role.as_str())
            .text("region", &self.region);
        render_interval(entries, self.refresh_interval);
        entries
            .put("port", Yaml::Raw(self.port.to_string()))
            .flag_if_set("all_tenants", self.all_tenants);
        render::tls(entries, &self.tls);
        entries.text_if_set("availability", &self.availability);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let http = HttpClientConfig {
            tls: self.tls.clone(),
            enable_http2: false,
            ..HttpClientConfig::default()
        };
        let discovery = OpenStack {
            client: ApiClient::new(&http, self.refresh_interval)?,
            login: Login::of(self, &Environment::default())?,
            config: self.clone(),
        };
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct OpenStack {
    client: ApiClient,
    login: Login,
    config: OpenStackConfig,
}

#[async_trait]
impl Refresh for OpenStack {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let session = self.login.session(&self.client).await.map_err(|error| {
            DiscoveryError::Answer(format!("could not authenticate to OpenStack: {error}"))
        })?;
        let api = OpenStackApi {
            client: &self.client,
            session: &session,
            config: &self.config,
        };
        let targets = match self.config.role {
            OpenStackRole::Hypervisor => hypervisors(&api).await?,
            OpenStackRole::Instance => instance::targets(&api).await?,
            OpenStackRole::LoadBalancer => loadbalancer::targets(&api).await?,
        };
        Ok(group(&format!("OS_{}", self.config.region), targets))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Hypervisor {
    /// A number, or a text in newer versions.
    id: Value,
    #[serde(deserialize_with = "nullable")]
    hypervisor_hostname: String,
    #[serde(deserialize_with = "nullable")]
    host_ip: String,
    #[serde(deserialize_with = "nullable")]
    status: String,
    #[serde(deserialize_with = "nullable")]
    state: String,
    #[serde(deserialize_with = "nullable")]
    hypervisor_type: String,
}

async fn hypervisors(api: &OpenStackApi<'_>) -> Result<Vec<Target>, DiscoveryError> {
    let compute = api.service("compute")?;
    let url = format!("{compute}os-hypervisors/detail");
    let hypervisors: Vec<Hypervisor> = api.all(&url, "hypervisors").await?;
    let targets = hypervisors.iter().map(|hypervisor| {
        let id = match &hypervisor.id {
            Value::String(id) => id.clone(),
            other => other.to_string(),
        };
        let mut target = Target::new(PREFIX);
        target.address(&hypervisor.host_ip, api.config.port);
        target.put("hypervisor_id", id);
        target.put("hypervisor_hostname", &hypervisor.hypervisor_hostname);
        target.put("hypervisor_host_ip", &hypervisor.host_ip);
        target.put("hypervisor_status", &hypervisor.status);
        target.put("hypervisor_state", &hypervisor.state);
        target.put("hypervisor_type", &hypervisor.hypervisor_type);
        target
    });
    Ok(targets.collect())
}
