//! The resources that a role needs, namespace by namespace, and the groups that are made of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{join_all, pending, select_all};
use tokio::time::{Instant, timeout_at};

use super::access::Access;
use super::endpoints::Behind;
use super::labels::Known;
use super::objects::{EndpointSlice, Endpoints, Ingress, Node, Object, Plain, Pod, Service};
use super::watched::{Resource, Store, Watched};
use super::{AttachMetadata, KubernetesConfig, Role, endpoints, groups};
use crate::discovery::api_client::ApiClient;
use crate::discovery::{Discovery, DiscoveryError, Failures, TargetGroup};

/// How long a request may take, and a watch to begin.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long changes are gathered before groups are made of them: as long as Prometheus gathers them.
const GATHERING_TIME: Duration = Duration::from_secs(5);

/// The discovery of one configuration.
pub(super) struct Units {
    role: Role,
    attach: AttachMetadata,
    failures: Failures,
    nodes: Option<Watched<Node>>,
    namespaces: Option<Watched<Plain>>,
    units: Vec<Unit>,
    gathering_time: Duration,
    /// When the changes that are there already shall be told.
    due: Option<Instant>,
}

/// The resources of one namespace, or of all; those that the role needs are set.
#[derive(Default)]
struct Unit {
    services: Option<Watched<Service>>,
    pods: Option<Watched<Pod>>,
    endpoints: Option<Watched<Endpoints>>,
    slices: Option<Watched<EndpointSlice>>,
    ingresses: Option<Watched<Ingress>>,
    replica_sets: Option<Watched<Plain>>,
    jobs: Option<Watched<Plain>>,
}

impl fmt::Debug for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Units")
            .field("role", &self.role)
            .field("namespaces", &self.units.len())
            .finish_non_exhaustive()
    }
}

/// Makes resources.
struct Server<'a> {
    config: &'a KubernetesConfig,
    url: &'a str,
    client: Arc<ApiClient>,
    failures: Failures,
}

impl Server<'_> {
    /// The objects of a kind in a namespace (all if empty), selected as those of a role.
    fn watched<T: Object>(
        &self,
        api: &str,
        namespace: &str,
        kind: &str,
        role: Option<Role>,
    ) -> Option<Watched<T>> {
        let server = self.url;
        let url = match namespace {
            "" => format!("{server}/{api}/{kind}"),
            _ => format!("{server}/{api}/namespaces/{namespace}/{kind}"),
        };
        let selectors = role.map_or(("", ""), |role| self.config.selectors_of(role));
        let client = Arc::clone(&self.client);
        Some(Watched::new(client, self.failures.clone(), &url, selectors))
    }

    fn unit(&self, namespace: &str) -> Unit {
        let attach = self.config.attach;
        let mut unit = Unit::default();
        let pods = || self.watched("api/v1", namespace, "pods", Some(Role::Pod));
        let services = || self.watched("api/v1", namespace, "services", Some(Role::Service));
        let role = self.config.role;
        match role {
            Role::Node => {}
            Role::Pod => unit.pods = pods(),
            Role::Service => unit.services = services(),
            Role::Endpoints => {
                unit.endpoints = self.watched("api/v1", namespace, "endpoints", Some(role));
                (unit.pods, unit.services) = (pods(), services());
            }
            Role::EndpointSlice => {
                let api = "apis/discovery.k8s.io/v1";
                unit.slices = self.watched(api, namespace, "endpointslices", Some(role));
                (unit.pods, unit.services) = (pods(), services());
            }
            Role::Ingress => {
                let api = "apis/networking.k8s.io/v1";
                unit.ingresses = self.watched(api, namespace, "ingresses", Some(role));
            }
        }
        if unit.pods.is_some() && attach.deployment {
            unit.replica_sets = self.watched("apis/apps/v1", namespace, "replicasets", None);
        }
        if unit.pods.is_some() && (attach.job || attach.cronjob) {
            unit.jobs = self.watched("apis/batch/v1", namespace, "jobs", None);
        }
        unit
    }
}

impl Units {
    pub(super) fn new(
        config: &KubernetesConfig,
        access: &Access,
        failures: Failures,
    ) -> Result<Self, DiscoveryError> {
        let client = ApiClient::new(&access.http, REQUEST_TIMEOUT)?;
        let server = Server {
            config,
            url: &access.server,
            client: Arc::new(client),
            failures: failures.clone(),
        };
        let mut names: Vec<&str> = config.namespaces.iter().map(String::as_str).collect();
        names.extend(access.own_namespace.as_deref());
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            names.push("");
        }
        let role = config.role;
        let attach = config.attach;
        let has_nodes = match role {
            Role::Node => true,
            Role::Pod | Role::Endpoints | Role::EndpointSlice => attach.node,
            Role::Service | Role::Ingress => false,
        };
        let nodes = || server.watched("api/v1", "", "nodes", Some(Role::Node));
        let namespaces = || server.watched("api/v1", "", "namespaces", None);
        let has_namespaces = attach.namespace && role != Role::Node;
        let units = names.iter().map(|name| server.unit(name));
        Ok(Self {
            role,
            attach,
            nodes: has_nodes.then(nodes).flatten(),
            namespaces: has_namespaces.then(namespaces).flatten(),
            units: match role {
                Role::Node => Vec::new(),
                _ => units.collect(),
            },
            failures,
            gathering_time: GATHERING_TIME,
            due: None,
        })
    }

    #[cfg(test)]
    pub(super) fn gathering_for(mut self, time: Duration) -> Self {
        self.gathering_time = time;
        self
    }

    fn resources(&mut self) -> Vec<&mut dyn Resource> {
        fn some<T: Object>(resource: &mut Option<Watched<T>>) -> Option<&mut dyn Resource> {
            resource
                .as_mut()
                .map(|resource| resource as &mut dyn Resource)
        }
        let mut resources = vec![some(&mut self.nodes), some(&mut self.namespaces)];
        for unit in &mut self.units {
            resources.extend([
                some(&mut unit.services),
                some(&mut unit.pods),
                some(&mut unit.endpoints),
                some(&mut unit.slices),
                some(&mut unit.ingresses),
                some(&mut unit.replica_sets),
                some(&mut unit.jobs),
            ]);
        }
        resources.into_iter().flatten().collect()
    }

    /// Returns when an object changed, or, unless only `live` resources count, when something is to be listed again.
    async fn next_change(&mut self, live: bool) {
        let resources = self.resources().into_iter();
        let resources = resources.filter(|resource| !live || !resource.is_stale());
        let advances: Vec<_> = resources.map(|resource| resource.advance()).collect();
        match advances.is_empty() {
            true => pending().await,
            false => drop(select_all(advances).await),
        }
    }

    /// The groups of all namespaces that are listed; `None` if none is.
    fn groups(&self) -> Option<Vec<TargetGroup>> {
        let nodes = wanted(&self.nodes)?;
        let namespaces = wanted(&self.namespaces)?;
        let known = Known {
            attach: &self.attach,
            nodes,
            namespaces,
            replica_sets: None,
            jobs: None,
        };
        if self.role == Role::Node {
            let nodes = nodes.into_iter().flat_map(Store::values);
            return Some(nodes.filter_map(groups::node).collect());
        }
        let listed: Vec<_> = self
            .units
            .iter()
            .filter_map(|unit| unit.groups(known))
            .collect();
        match listed.is_empty() {
            true => None,
            false => Some(listed.concat()),
        }
    }
}

/// The objects of a resource if it is wanted; `None` if they are not listed.
fn wanted<T: Object>(resource: &Option<Watched<T>>) -> Option<Option<&Store<T>>> {
    match resource {
        None => Some(None),
        Some(resource) => resource.objects().map(Some),
    }
}

impl Unit {
    /// The groups of the namespace; `None` if something is not listed.
    fn groups<'a>(&'a self, mut known: Known<'a>) -> Option<Vec<TargetGroup>> {
        let services = wanted(&self.services)?;
        let pods = wanted(&self.pods)?;
        known.replica_sets = wanted(&self.replica_sets)?;
        known.jobs = wanted(&self.jobs)?;
        let endpoints = wanted(&self.endpoints)?;
        let slices = wanted(&self.slices)?;
        let ingresses = wanted(&self.ingresses)?;
        if let (Some(services), Some(pods)) = (services, pods) {
            let behind = Behind {
                known,
                services,
                pods,
            };
            let endpoints = endpoints.into_iter().flat_map(Store::values);
            let endpoints = endpoints.map(|object| endpoints::endpoints(object, &behind));
            let slices = slices.into_iter().flat_map(Store::values);
            let slices = slices.map(|object| endpoints::slice(object, &behind));
            return Some(endpoints.chain(slices).collect());
        }
        let pods = pods.into_iter().flat_map(Store::values);
        let pods = pods.map(|pod| groups::pod(pod, &known));
        let services = services.into_iter().flat_map(Store::values);
        let services = services.map(|service| groups::service(service, &known));
        let ingresses = ingresses.into_iter().flat_map(Store::values);
        let ingresses = ingresses.map(|ingress| groups::ingress(ingress, &known));
        Some(pods.chain(services).chain(ingresses).collect())
    }
}

#[async_trait]
impl Discovery for Units {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let resources = self.resources().into_iter();
        let listed = join_all(resources.map(|resource| resource.sync())).await;
        let mut errors = listed.into_iter().filter_map(Result::err);
        let Some(groups) = self.groups() else {
            return Err(errors.next().unwrap_or_else(|| {
                DiscoveryError::Answer("the objects are not listed yet".to_owned())
            }));
        };
        for error in errors {
            self.failures.count();
            tracing::error!(discovery = "kubernetes", %error, "cannot list objects; those of before count");
        }
        Ok(groups)
    }

    async fn changed(&mut self) {
        let due = match self.due {
            Some(due) => due,
            None => {
                self.next_change(false).await;
                *self.due.insert(Instant::now() + self.gathering_time)
            }
        };
        while timeout_at(due, self.next_change(true)).await.is_ok() {}
        self.due = None;
    }
}
