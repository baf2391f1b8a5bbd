//! Targets that Kubernetes knows (`kubernetes_sd_configs`).
//!
//! Flow: [`access`](mod@access) says where the API server is and how to talk to it; for each resource that a role needs, in each
//! namespace, a [`Watched`](watched::Watched) keeps its objects up to date; whenever some changed, [`units`] makes groups
//! of all of them.

mod access;
mod endpoints;
mod groups;
mod labels;
mod objects;
mod selector;
mod units;
mod watched;

use std::fmt;
use std::path::{Path, PathBuf};

use self::access::Access;
use self::units::Units;
use super::kind::Kind;
use super::urls::redacted;
use super::{Discovery, DiscoveryError, Failures};
use crate::config::decode::{Fields, boolean, error_at, list, string, strings};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, HttpClientConfig, render};

/// What targets are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The nodes of the cluster.
    Node,
    /// The containers of pods.
    Pod,
    /// The ports of services.
    Service,
    /// The addresses in endpoints objects.
    Endpoints,
    /// The addresses in endpoint slices.
    EndpointSlice,
    /// The paths of ingresses.
    Ingress,
}

impl Role {
    const ALL: [Self; 6] = [
        Self::Node,
        Self::Pod,
        Self::Service,
        Self::Endpoints,
        Self::EndpointSlice,
        Self::Ingress,
    ];

    /// The name in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Pod => "pod",
            Self::Service => "service",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslice",
            Self::Ingress => "ingress",
        }
    }

    fn decode(node: &Node) -> Result<Self, ConfigError> {
        let name = string(node)?;
        let mut all = Self::ALL.into_iter();
        all.find(|role| role.as_str() == name).map_or_else(
            || error_at(node, format!("unknown Kubernetes SD role {name:?}")),
            Ok,
        )
    }

    /// The roles whose objects may be selected, in the order of the message.
    fn selectable(self) -> &'static [Self] {
        match self {
            Self::Pod => &[Self::Pod, Self::Node],
            Self::Service => &[Self::Service],
            Self::EndpointSlice => &[Self::Pod, Self::Service, Self::EndpointSlice],
            Self::Endpoints => &[Self::Pod, Self::Service, Self::Endpoints],
            Self::Node => &[Self::Node],
            Self::Ingress => &[Self::Ingress],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which objects of a role count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The role.
    pub role: Role,
    /// What their labels must be.
    pub label: String,
    /// What their fields must be.
    pub field: String,
}

/// What is added to targets from objects that they refer to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachMetadata {
    /// Labels and annotations of the node.
    pub node: bool,
    /// Labels and annotations of the namespace.
    pub namespace: bool,
    /// The name of the deployment of a pod.
    pub deployment: bool,
    /// The name of the job of a pod.
    pub job: bool,
    /// The name of the cron job of a pod.
    pub cronjob: bool,
}

/// One entry of `kubernetes_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// The API server; without it and `kubeconfig`, that of the cluster which this process runs in.
    pub api_server: Option<String>,
    /// What targets are made of.
    pub role: Role,
    /// The file that says where the API server is and how to talk to it.
    pub kubeconfig: Option<PathBuf>,
    /// How requests are made to `api_server`.
    pub http: HttpClientConfig,
    /// Whether objects of this process's own namespace count.
    pub own_namespace: bool,
    /// The namespaces whose objects count; all if there is none and `own_namespace` is not set.
    pub namespaces: Vec<String>,
    /// Which objects count, by role.
    pub selectors: Vec<Selector>,
    /// What is added to targets.
    pub attach: AttachMetadata,
}

impl Kind for KubernetesConfig {
    const NAME: &'static str = "kubernetes";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "kubernetes.plain")?;
        let api_server = fields.read("api_server", string)?;
        let role = fields.read("role", Role::decode)?;
        let kubeconfig = fields.take_text("kubeconfig_file");
        let kubeconfig = kubeconfig
            .map(|node| string(node).map(|name| directory.join(name)))
            .transpose()?;
        let namespaces = fields.read("namespaces", namespaces)?;
        let (own_namespace, namespaces) = namespaces.unwrap_or_default();
        let selectors = fields.read("selectors", |node| list(node, raw_selector))?;
        let attach = fields.read("attach_metadata", AttachMetadata::decode)?;
        let http = HttpClientConfig::take(&mut fields, node, directory)?;
        fields.finish(&[])?;
        let Some(role) = role else {
            return error_at(
                node,
                "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)",
            );
        };
        let config = Self {
            selectors: check_selectors(node, role, selectors.unwrap_or_default())?,
            api_server,
            role,
            kubeconfig,
            http,
            own_namespace,
            namespaces,
            attach: attach.unwrap_or_default(),
        };
        if let Some(message) = config.conflict() {
            return error_at(node, message);
        }
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        if let Some(url) = &self.api_server {
            entries.text("api_server", redacted(url));
        }
        let kubeconfig = self.kubeconfig.as_ref();
        let kubeconfig = kubeconfig.map_or(String::new(), |path| path.display().to_string());
        entries
            .text("role", self.role.as_str())
            .text("kubeconfig_file", kubeconfig);
        render::http(entries, &self.http);
        if self.own_namespace || !self.namespaces.is_empty() {
            let names = self.namespaces.iter().cloned().map(Yaml::Text);
            let mut section = Entries::default();
            section
                .flag("own_namespace", self.own_namespace)
                .put("names", Yaml::List(names.collect()));
            entries.put("namespaces", section.map());
        }
        let selectors = self.selectors.iter().map(|selector| {
            let mut entries = Entries::default();
            entries
                .text("role", selector.role.as_str())
                .text_if_set("label", &selector.label)
                .text_if_set("field", &selector.field)
                .map()
        });
        entries.list_if_set("selectors", selectors.collect());
        if self.attach != AttachMetadata::default() {
            let mut section = Entries::default();
            section
                .flag("node", self.attach.node)
                .flag("namespace", self.attach.namespace)
                .flag("deployment", self.attach.deployment)
                .flag("job", self.attach.job)
                .flag("cronjob", self.attach.cronjob);
            entries.put("attach_metadata", section.map());
        }
    }

    fn discovery(&self, failures: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let access = Access::of(self).map_err(DiscoveryError::Setup)?;
        Ok(Box::new(Units::new(self, &access, failures)?))
    }
}

impl KubernetesConfig {
    /// What cannot be together.
    fn conflict(&self) -> Option<&'static str> {
        let custom_http = self.http != HttpClientConfig::default();
        let server = self.api_server.is_some();
        let kubeconfig = self.kubeconfig.is_some();
        let conflicts = [
            (
                server && kubeconfig,
                "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
            ),
            (
                kubeconfig && custom_http,
                "cannot use a custom HTTP client configuration together with 'kubeconfig_file'",
            ),
            (
                !server && custom_http,
                "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
            ),
            (
                server && self.own_namespace,
                "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
            ),
            (
                kubeconfig && self.own_namespace,
                "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
            ),
        ];
        let mut conflicts = conflicts.into_iter();
        conflicts.find_map(|(is, message)| is.then_some(message))
    }

    /// The selectors for the objects of a role: of labels and of fields.
    fn selectors_of(&self, role: Role) -> (&str, &str) {
        let mut selectors = self.selectors.iter();
        let selector = selectors.find(|selector| selector.role == role);
        selector.map_or(("", ""), |selector| (&selector.label, &selector.field))
    }
}

fn namespaces(node: &Node) -> Result<(bool, Vec<String>), ConfigError> {
    let mut fields = Fields::of(node, "kubernetes.plain")?;
    let own = fields.read("own_namespace", boolean)?;
    let names = fields.read("names", strings)?;
    fields.finish(&[])?;
    Ok((own.unwrap_or_default(), names.unwrap_or_default()))
}

impl AttachMetadata {
    fn decode(node: &Node) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "kubernetes.AttachMetadataConfig")?;
        let mut flag = |name| Ok(fields.read(name, boolean)?.unwrap_or_default());
        let attach = Self {
            node: flag("node")?,
            namespace: flag("namespace")?,
            deployment: flag("deployment")?,
            job: flag("job")?,
            cronjob: flag("cronjob")?,
        };
        fields.finish(&[])?;
        Ok(attach)
    }
}

/// A selector whose role may be missing.
type RawSelector = (Option<Role>, String, String);

fn raw_selector(node: &Node) -> Result<RawSelector, ConfigError> {
    let mut fields = Fields::of(node, "kubernetes.SelectorConfig")?;
    let selector = (
        fields.read("role", Role::decode)?,
        fields.read("label", string)?.unwrap_or_default(),
        fields.read("field", string)?.unwrap_or_default(),
    );
    fields.finish(&[])?;
    Ok(selector)
}

fn check_selectors(
    node: &Node,
    role: Role,
    raw: Vec<RawSelector>,
) -> Result<Vec<Selector>, ConfigError> {
    let mut selectors: Vec<Selector> = Vec::new();
    for (of, label, field) in raw {
        if selectors.iter().any(|selector| Some(selector.role) == of) {
            let of = of.map_or("", Role::as_str);
            return error_at(node, format!("duplicated selector role: {of}"));
        }
        let Some(of) = of.filter(|of| role.selectable().contains(of)) else {
            let names: Vec<_> = role.selectable().iter().map(|role| role.as_str()).collect();
            let names = names.join(", ");
            return error_at(node, format!("{role} role supports only {names} selectors"));
        };
        selector::check_field(&field).or_else(|message| error_at(node, message))?;
        selector::check_label(&label).or_else(|message| error_at(node, message))?;
        selectors.push(Selector {
            role: of,
            label,
            field,
        });
    }
    Ok(selectors)
}

/// The discovery of a configuration with an API server, which tells changes at once.
#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
pub(crate) fn quick(config: &super::DiscoveryConfig) -> Box<dyn Discovery> {
    let super::DiscoveryConfig::Kubernetes(config) = config else {
        panic!("{config:?}");
    };
    let access = Access::of(config).unwrap();
    let units = Units::new(config, &access, Failures::default()).unwrap();
    Box::new(units.gathering_for(std::time::Duration::ZERO))
}
