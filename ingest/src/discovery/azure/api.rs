//! Questions to Azure's resource manager.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::discovery::DiscoveryError;
use crate::discovery::api_client::{ApiClient, nullable};
use crate::discovery::cloud::PAGES_MAX;
use crate::identity::{self, AzureTokens};

const COMPUTE_VERSION: &str = "2023-09-01";
const NETWORK_VERSION: &str = "2023-05-01";
const SCALE_SET_NETWORK_VERSION: &str = "2018-10-01";

/// What an interface's answer has in full, and not only by name.
const EXPANDED: &str = "%24expand=IPConfigurations%2FPublicIPAddress";

/// Asks the resource manager about one subscription.
#[derive(Debug)]
pub(super) struct AzureApi {
    pub(super) client: ApiClient,
    pub(super) tokens: AzureTokens,
    pub(super) url: String,
    pub(super) subscription_id: String,
    pub(super) resource_group: String,
    pub(super) interfaces: InterfaceCache,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    value: Option<Vec<T>>,
    next_link: Option<String>,
}

/// A machine, also one of a scale set.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Machine {
    #[serde(deserialize_with = "nullable")]
    pub(super) id: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) name: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) location: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) instance_id: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    properties: MachineProperties,
    /// The name of the scale set; empty if there is none.
    #[serde(skip)]
    pub(super) scale_set: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MachineProperties {
    #[serde(deserialize_with = "nullable")]
    storage_profile: StorageProfile,
    #[serde(deserialize_with = "nullable")]
    network_profile: NetworkProfile,
    #[serde(deserialize_with = "nullable")]
    os_profile: OsProfile,
    #[serde(deserialize_with = "nullable")]
    hardware_profile: HardwareProfile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StorageProfile {
    #[serde(deserialize_with = "nullable")]
    os_disk: OsDisk,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OsDisk {
    #[serde(deserialize_with = "nullable")]
    os_type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NetworkProfile {
    #[serde(deserialize_with = "nullable")]
    network_interfaces: Vec<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    #[serde(deserialize_with = "nullable")]
    id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OsProfile {
    #[serde(deserialize_with = "nullable")]
    computer_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HardwareProfile {
    #[serde(deserialize_with = "nullable")]
    vm_size: String,
}

impl Machine {
    pub(super) fn computer_name(&self) -> &str {
        &self.properties.os_profile.computer_name
    }

    pub(super) fn os_type(&self) -> &str {
        &self.properties.storage_profile.os_disk.os_type
    }

    pub(super) fn size(&self) -> &str {
        &self.properties.hardware_profile.vm_size
    }

    /// The ids of its network interfaces.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &str> {
        let interfaces = &self.properties.network_profile.network_interfaces;
        interfaces.iter().map(|interface| interface.id.as_str())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ScaleSet {
    #[serde(deserialize_with = "nullable")]
    id: String,
    #[serde(deserialize_with = "nullable")]
    name: String,
}

/// A network interface.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Interface {
    pub(super) properties: Option<InterfaceProperties>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct InterfaceProperties {
    pub(super) primary: Option<bool>,
    #[serde(deserialize_with = "nullable")]
    pub(super) ip_configurations: Vec<IpConfiguration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct IpConfiguration {
    pub(super) properties: Option<IpProperties>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct IpProperties {
    #[serde(rename = "privateIPAddress")]
    pub(super) private_ip_address: Option<String>,
    #[serde(rename = "publicIPAddress")]
    pub(super) public_ip_address: Option<PublicIp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PublicIp {
    pub(super) properties: Option<PublicIpProperties>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PublicIpProperties {
    pub(super) ip_address: Option<String>,
}

/// A resource by its id: `/subscriptions/<id>/resourceGroups/<group>/providers/<provider>/<type>/<name>…`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resource<'a> {
    pub(super) group: &'a str,
    name: &'a str,
}

/// Reads the id of a resource.
pub(super) fn resource(id: &str) -> Result<Resource<'_>, DiscoveryError> {
    let parts: Vec<_> = id.split('/').collect();
    match parts.as_slice() {
        ["", subscriptions, _, groups, group, rest @ ..]
            if subscriptions.eq_ignore_ascii_case("subscriptions")
                && groups.eq_ignore_ascii_case("resourceGroups")
                && rest.len() >= 4 =>
        {
            let name = rest.last().copied().unwrap_or_default();
            Ok(Resource { group, name })
        }
        _ => Err(DiscoveryError::Answer(format!(
            "invalid ID '{id}': invalid resource ID"
        ))),
    }
}

impl AzureApi {
    /// The machines that belong to no scale set.
    pub(super) async fn machines(&self) -> Result<Vec<Machine>, DiscoveryError> {
        let list = self.compute("virtualMachines", &self.resource_group);
        self.all(list, "could not list virtual machines").await
    }

    pub(super) async fn scale_sets(&self) -> Result<Vec<ScaleSet>, DiscoveryError> {
        let list = self.compute("virtualMachineScaleSets", &self.resource_group);
        let what = "could not list virtual machine scale sets";
        self.all(list, what).await
    }

    /// The machines of a scale set.
    pub(super) async fn machines_of(
        &self,
        scale_set: &ScaleSet,
    ) -> Result<Vec<Machine>, DiscoveryError> {
        let id = resource(&scale_set.id);
        let id = id.map_err(|error| {
            DiscoveryError::Answer(format!("could not parse scale set ID: {error}"))
        })?;
        let path = format!("virtualMachineScaleSets/{}/virtualMachines", scale_set.name);
        let list = self.compute(&path, id.group);
        let what = "could not list virtual machine scale set vms";
        let mut machines: Vec<Machine> = self.all(list, what).await?;
        for machine in &mut machines {
            scale_set.name.clone_into(&mut machine.scale_set);
        }
        Ok(machines)
    }

    fn resources(&self, provider: &str, path: &str, group: &str) -> String {
        let group = match group.is_empty() {
            true => String::new(),
            false => format!("/resourceGroups/{group}"),
        };
        let subscription = &self.subscription_id;
        format!(
            "{}/subscriptions/{subscription}{group}/providers/{provider}/{path}",
            self.url
        )
    }

    fn compute(&self, path: &str, group: &str) -> String {
        let list = self.resources("Microsoft.Compute", path, group);
        format!("{list}?api-version={COMPUTE_VERSION}")
    }

    /// All pages of a list.
    async fn all<T: DeserializeOwned>(
        &self,
        mut url: String,
        what: &str,
    ) -> Result<Vec<T>, DiscoveryError> {
        let failed =
            |error: &dyn std::fmt::Display| DiscoveryError::Answer(format!("{what}: {error}"));
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let answer = self
                .client
                .send(Method::GET, &url, self.headers().await?, Bytes::new());
            let answer = answer.await.map_err(|error| failed(&error))?;
            let page: Page<T> = answer.json(&url).map_err(|error| failed(&error))?;
            all.extend(page.value.unwrap_or_default());
            match page.next_link.filter(|link| !link.is_empty()) {
                // The token must not go elsewhere.
                Some(next) if !same_origin(&next, &self.url) => {
                    return Err(failed(&format!("a page is on another server: {next}")));
                }
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(all)
    }

    async fn headers(&self) -> Result<HeaderMap, DiscoveryError> {
        let mut headers = HeaderMap::new();
        identity::add(&mut headers, self.tokens.header().await?);
        Ok(headers)
    }

    /// A network interface of a machine; `None` if there is none of this id.
    pub(super) async fn interface(
        &self,
        machine: &Machine,
        id: &str,
    ) -> Result<Option<Arc<Interface>>, DiscoveryError> {
        if let Some(known) = self.interfaces.get(id) {
            return Ok(Some(known));
        }
        let parsed = resource(id).map_err(|error| {
            DiscoveryError::Answer(format!("could not parse network interface ID: {error}"))
        })?;
        let Resource { group, name } = parsed;
        let (url, version) = match machine.scale_set.as_str() {
            "" => {
                let path = format!("networkInterfaces/{name}");
                let url = self.resources("Microsoft.Network", &path, group);
                (url, NETWORK_VERSION)
            }
            scale_set => {
                let index = &machine.instance_id;
                let path = format!(
                    "virtualMachineScaleSets/{scale_set}/virtualMachines/{index}/networkInterfaces/{name}"
                );
                let url = self.resources("microsoft.Compute", &path, group);
                (url, SCALE_SET_NETWORK_VERSION)
            }
        };
        let url = format!("{url}?{EXPANDED}&api-version={version}");
        let answer = self
            .client
            .send(Method::GET, &url, self.headers().await?, Bytes::new());
        let failed = |error: DiscoveryError| {
            DiscoveryError::Answer(format!(
                "failed to retrieve Interface {id} with error: {error}"
            ))
        };
        let answer = answer.await.map_err(failed)?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let interface: Arc<Interface> = Arc::new(answer.json(&url).map_err(failed)?);
        self.interfaces.insert(id, &interface);
        Ok(Some(interface))
    }
}

/// Whether two URLs are on one server. Azure's own links have the port in them.
fn same_origin(a: &str, b: &str) -> bool {
    match (Url::parse(a), Url::parse(b)) {
        (Ok(a), Ok(b)) => a.origin() == b.origin(),
        _ => false,
    }
}

/// Interfaces that were asked for lately: there is one question for each machine, and they hardly change.
#[derive(Debug)]
pub(super) struct InterfaceCache {
    refresh_interval: Duration,
    known: Mutex<HashMap<String, (Arc<Interface>, Instant)>>,
}

/// Interfaces that are kept at most.
const INTERFACES_MAX: usize = 5000;

impl InterfaceCache {
    pub(super) fn new(refresh_interval: Duration) -> Self {
        Self {
            refresh_interval,
            known: Mutex::default(),
        }
    }

    fn get(&self, id: &str) -> Option<Arc<Interface>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (interface, until) = known.get(id)?;
        (Instant::now() < *until).then(|| Arc::clone(interface))
    }

    /// Keeps an interface for ten to thirteen refreshes, which depends on its id: not all of them end at once.
    fn insert(&self, id: &str, interface: &Arc<Interface>) {
        let spread = id.bytes().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        let life = self.refresh_interval.saturating_mul(1000 + spread % 300) / 100;
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= INTERFACES_MAX {
            known.retain(|_, (_, until)| now < *until);
        }
        if known.len() < INTERFACES_MAX
            && let Some(until) = now.checked_add(life)
        {
            known.insert(id.to_owned(), (Arc::clone(interface), until));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_have_a_group_and_a_name() {
        let id = "/subscriptions/S/resourcegroups/G/providers/Microsoft.Compute/virtualMachines/v";
        let expected = Resource {
            group: "G",
            name: "v",
        };
        assert_eq!(resource(id).unwrap(), expected);
        let error = resource("/subscriptions/S").unwrap_err().to_string();
        assert_eq!(error, "invalid ID '/subscriptions/S': invalid resource ID");
    }

    #[test]
    fn links_with_a_port_stay_on_the_server() {
        let server = "https://management.azure.com";
        assert!(same_origin("https://management.azure.com:443/x", server));
        assert!(!same_origin(
            "https://management.azure.com.example/x",
            server
        ));
    }
}
