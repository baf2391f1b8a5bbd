//! Virtual machines of Microsoft's cloud (`azure_sd_configs`).

mod api;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use self::api::{AzureApi, Interface, Machine, resource};
use super::api_client::{ApiClient, PATIENCE};
use super::cloud::{Target, group};
use super::kind::{Kind, refresh_interval, render_interval};
use super::labels::sanitized;
use super::periodic::{Periodic, Refresh};
use super::{Discovery, DiscoveryError, Failures, TargetGroup};
use crate::config::decode::{Fields, error_at, integer, string};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig, Secret, render};
use crate::environment::Environment;
use crate::identity::{AzureCloud, AzureIdentity, AzureTokens};

const PREFIX: &str = "__meta_azure_";

/// Questions at the same time.
const CONCURRENCY: usize = 32;

/// One entry of `azure_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureConfig {
    /// The cloud.
    pub environment: String,
    /// The port of targets.
    pub port: i64,
    /// The subscription.
    pub subscription_id: String,
    /// The tenant of the application.
    pub tenant_id: String,
    /// The application, or the managed identity.
    pub client_id: String,
    /// The secret of the application.
    pub client_secret: Option<Secret>,
    /// How often machines are looked for.
    pub refresh_interval: Duration,
    /// How the identity is proved: `OAuth`, `ManagedIdentity`, `SDK` or `WorkloadIdentity`.
    pub authentication_method: String,
    /// The resource group that machines must be in; any if empty.
    pub resource_group: String,
    /// How requests are made.
    pub http: HttpClientConfig,
}

impl Kind for AzureConfig {
    const NAME: &'static str = "azure";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "azure.plain")?;
        let mut text = |name, default: &str| {
            Ok(fields
                .read(name, string)?
                .unwrap_or_else(|| default.to_owned()))
        };
        let config = Self {
            environment: text("environment", "AzurePublicCloud")?,
            subscription_id: text("subscription_id", "")?,
            tenant_id: text("tenant_id", "")?,
            client_id: text("client_id", "")?,
            authentication_method: text("authentication_method", "OAuth")?,
            resource_group: text("resource_group", "")?,
            client_secret: fields
                .take_text("client_secret")
                .map(Secret::decode)
                .transpose()?,
            port: fields.read("port", integer)?.unwrap_or(80),
            refresh_interval: refresh_interval(&mut fields, Duration::from_secs(300))?,
            http: HttpClientConfig::take(&mut fields, node, directory)?,
        };
        fields.finish(&[])?;
        let method = config.authentication_method.as_str();
        let oauth = method == "OAuth";
        for (is_missing, name) in [
            (config.subscription_id.is_empty(), "subscription_id"),
            (oauth && config.tenant_id.is_empty(), "tenant_id"),
            (oauth && config.client_id.is_empty(), "client_id"),
            (oauth && config.client_secret.is_none(), "client_secret"),
        ] {
            if is_missing {
                return error_at(node, format!("azure SD configuration requires a {name}"));
            }
        }
        if !["OAuth", "ManagedIdentity", "SDK", "WorkloadIdentity"].contains(&method) {
            return error_at(
                node,
                format!(
                    "unknown authentication_type {method:?}. Supported types are \"OAuth\", \"ManagedIdentity\", \"SDK\" or \"WorkloadIdentity\""
                ),
            );
        }
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        entries
            .text_if_set("environment", &self.environment)
            .put("port", Yaml::Raw(self.port.to_string()))
            .text("subscription_id", &self.subscription_id)
            .text_if_set("tenant_id", &self.tenant_id)
            .text_if_set("client_id", &self.client_id);
        if let Some(secret) = &self.client_secret {
            entries.text("client_secret", secret.to_string());
        }
        render_interval(entries, self.refresh_interval);
        entries
            .text_if_set("authentication_method", &self.authentication_method)
            .text_if_set("resource_group", &self.resource_group);
        render::http(entries, &self.http);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = self.azure(Environment::default())?;
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

impl AzureConfig {
    fn cloud(&self) -> Option<AzureCloud> {
        match self.environment.to_uppercase().as_str() {
            "AZURECLOUD" | "AZUREGERMANCLOUD" | "AZUREPUBLICCLOUD" => Some(AzureCloud::Public),
            "AZUREUSGOVERNMENT" | "AZUREUSGOVERNMENTCLOUD" => Some(AzureCloud::Government),
            "AZURECHINACLOUD" => Some(AzureCloud::China),
            _ => None,
        }
    }

    fn identity(&self) -> AzureIdentity {
        match self.authentication_method.as_str() {
            "ManagedIdentity" => AzureIdentity::ManagedIdentity {
                client_id: self.client_id.clone(),
            },
            "SDK" => AzureIdentity::Sdk {
                tenant_id: self.tenant_id.clone(),
            },
            // Here all of it comes from the environment.
            "WorkloadIdentity" => AzureIdentity::WorkloadIdentity {
                client_id: String::new(),
                tenant_id: String::new(),
                token_file_path: String::new(),
            },
            _ => AzureIdentity::OAuth {
                client_id: self.client_id.clone(),
                client_secret: self
                    .client_secret
                    .clone()
                    .unwrap_or_else(|| Secret::new("")),
                tenant_id: self.tenant_id.clone(),
            },
        }
    }

    fn azure(&self, environment: Environment) -> Result<Azure, DiscoveryError> {
        let cloud = self.cloud().ok_or_else(|| {
            DiscoveryError::Setup(format!(
                "could not create Azure client: there is no cloud configuration matching the name {:?}",
                self.environment.to_uppercase()
            ))
        })?;
        let scope = cloud.resource_manager_scope();
        Ok(Azure {
            api: AzureApi {
                client: ApiClient::new(&self.http, PATIENCE)?,
                tokens: AzureTokens::new(self.identity(), cloud, scope, environment)?,
                url: cloud.resource_manager().to_owned(),
                subscription_id: self.subscription_id.clone(),
                resource_group: self.resource_group.clone(),
                interfaces: api::InterfaceCache::new(self.refresh_interval),
            },
            config: self.clone(),
        })
    }

    /// The discovery that asks a server of a test.
    #[cfg(test)]
    pub(crate) fn discovery_at(&self, url: &str) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let mut discovery = self.azure(Environment::of(&[]))?;
        url.clone_into(&mut discovery.api.url);
        discovery.api.tokens = discovery.api.tokens.at(url);
        Ok(Periodic::boxed(self.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct Azure {
    api: AzureApi,
    config: AzureConfig,
}

fn failed(what: &str, error: &DiscoveryError) -> DiscoveryError {
    DiscoveryError::Answer(format!("{what}: {error}"))
}

#[async_trait]
impl Refresh for Azure {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let found = self.api.machines().await;
        let mut machines = found.map_err(|e| failed("could not get virtual machines", &e))?;
        let what = "could not get virtual machine scale sets";
        let scale_sets = self.api.scale_sets().await.map_err(|e| failed(what, &e))?;
        for scale_set in &scale_sets {
            let what = "could not get virtual machine scale set vms";
            let found = self.api.machines_of(scale_set).await;
            machines.extend(found.map_err(|e| failed(what, &e))?);
        }
        let targets: Vec<_> = machines
            .iter()
            .map(|machine| self.target(machine))
            .collect();
        let targets = stream::iter(targets).buffered(CONCURRENCY);
        let targets: Vec<Option<Target>> = targets
            .try_collect()
            .await
            .map_err(|e| failed("unable to complete Azure service discovery", &e))?;
        Ok(group("", targets.into_iter().flatten()))
    }
}

impl Azure {
    /// The target of a machine; none while it has no resources, or no interface.
    async fn target(&self, machine: &Machine) -> Result<Option<Target>, DiscoveryError> {
        let id = resource(&machine.id)?;
        let mut target = Target::new(PREFIX);
        for (name, value) in [
            ("subscription_id", self.config.subscription_id.as_str()),
            ("tenant_id", &self.config.tenant_id),
            ("machine_id", &machine.id),
            ("machine_name", &machine.name),
            ("machine_computer_name", machine.computer_name()),
            ("machine_os_type", machine.os_type()),
            ("machine_location", &machine.location),
            ("machine_resource_group", id.group),
            ("machine_size", machine.size()),
        ] {
            target.put(name, value);
        }
        if !machine.scale_set.is_empty() {
            target.put("machine_scale_set", &machine.scale_set);
        }
        for (name, value) in &machine.tags {
            target.put(&format!("machine_tag_{}", sanitized(name)), value);
        }
        for id in machine.interfaces() {
            let Some(interface) = self.api.interface(machine, id).await? else {
                tracing::warn!(interface = id, "Network interface does not exist");
                return Ok(None);
            };
            let Some(properties) = &interface.properties else {
                continue;
            };
            match properties.primary {
                // A machine that is deallocated.
                None => return Ok(None),
                Some(false) => continue,
                Some(true) => {}
            }
            if self.put_addresses(&mut target, machine, &interface)? {
                return Ok(Some(target));
            }
        }
        Ok(None)
    }

    /// Whether the interface has addresses at all, which are those of its first configuration.
    fn put_addresses(
        &self,
        target: &mut Target,
        machine: &Machine,
        interface: &Interface,
    ) -> Result<bool, DiscoveryError> {
        let properties = interface.properties.iter();
        let mut configurations = properties.flat_map(|p| &p.ip_configurations);
        let Some(configuration) = configurations.next() else {
            return Ok(false);
        };
        let addresses = configuration.properties.as_ref();
        let public = addresses.and_then(|a| a.public_ip_address.as_ref());
        let public = public.and_then(|p| p.properties.as_ref()?.ip_address.as_ref());
        target.put_known("machine_public_ip", public);
        let private = addresses.and_then(|a| a.private_ip_address.as_ref());
        let Some(private) = private else {
            return Err(DiscoveryError::Answer(format!(
                "unable to find a private IP for VM {}",
                machine.name
            )));
        };
        target.put("machine_private_ip", private);
        target.address(private, self.config.port);
        Ok(true)
    }
}
