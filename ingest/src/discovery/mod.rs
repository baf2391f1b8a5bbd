//! Service discovery: where targets come from.
//!
//! Vocabulary: a *target* is an address with labels of its own; a *group* is a list of targets with labels in common; a
//! *kind* is a way to find groups (`consul`, `dns`, …), configured by the entries of its `<kind>_sd_configs`.
//!
//! Flow: a [`DiscoveryConfig`] makes a [`Discovery`], which gives all of its groups at once whenever it is asked. A function
//! asks once. A server has [`Discoveries`] ask again and again: one task for each configuration, whatever the number of jobs
//! that have it, which watch the latest list through a [`Subscription`].
//!
//! To add a kind: a file with its settings, which implement [`Kind`](kind::Kind), and a line in `kinds.rs`.
//! Labels, defaults, checks and messages are Prometheus's.

pub(crate) mod api_client;
mod aws;
mod azure;
mod cloud;
mod consul;
mod digitalocean;
mod dns;
mod docker;
mod dockerswarm;
mod eureka;
mod file;
mod gce;
mod hetzner;
mod http;
mod ionos;
mod kind;
mod kinds;
mod kubernetes;
mod kuma;
mod labels;
mod linode;
mod marathon;
mod metrics;
mod nomad;
mod oci;
mod openstack;
mod outscale;
mod ovhcloud;
mod periodic;
mod puppetdb;
mod running;
mod scaleway;
mod stackit;
mod triton;
mod urls;
mod uyuni;
mod vultr;
mod xml;
mod zookeeper;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::fmt::Debug;

use async_trait::async_trait;
use thiserror::Error;

pub use self::aws::{
    AwsConfig, AwsRole, AwsSettings, Ec2Config, EcsConfig, ElasticacheConfig, Filter as Ec2Filter,
    LightsailConfig, ManagedSettings, MskConfig, RdsConfig,
};
pub use self::azure::AzureConfig;
pub use self::cloud::CloudSettings;
pub use self::consul::ConsulConfig;
pub use self::digitalocean::{DigitalOceanConfig, DigitalOceanRole};
pub use self::dns::DnsConfig;
pub use self::docker::DockerConfig;
pub use self::docker::api::{Filter, HostSettings};
pub use self::dockerswarm::{DockerSwarmConfig, SwarmRole};
pub use self::eureka::EurekaConfig;
pub use self::file::FileConfig;
pub(crate) use self::file::files_matching;
#[doc(hidden)]
pub use self::file::read_any as read_any_file;
pub use self::gce::GceConfig;
pub use self::hetzner::{HetznerConfig, HetznerRole};
pub use self::http::HttpConfig;
pub use self::ionos::IonosConfig;
pub use self::kinds::DiscoveryConfig;
pub use self::kubernetes::{
    AttachMetadata, KubernetesConfig, Role as KubernetesRole, Selector as KubernetesSelector,
};
pub use self::kuma::KumaConfig;
pub use self::linode::LinodeConfig;
pub use self::marathon::MarathonConfig;
pub use self::metrics::{DiscoveryMetrics, Failures};
pub use self::nomad::NomadConfig;
pub use self::oci::{OciAuth, OciConfig, OciKey};
pub use self::openstack::{OpenStackConfig, OpenStackRole};
pub use self::outscale::OutscaleConfig;
pub use self::ovhcloud::{OvhCloudConfig, OvhService};
pub use self::puppetdb::PuppetDbConfig;
pub use self::running::{Discoveries, Subscription};
pub use self::scaleway::{ScalewayConfig, ScalewayRole};
pub use self::stackit::StackitConfig;
pub use self::triton::{TritonConfig, TritonRole};
pub use self::uyuni::UyuniConfig;
pub use self::vultr::VultrConfig;
pub use self::zookeeper::{NerveConfig, ServersetConfig, ZookeeperSettings};
use crate::error::Error;

/// The label that holds a target's address.
pub const ADDRESS: &str = "__address__";

/// Labels by name.
pub type LabelMap = BTreeMap<String, String>;

/// Targets with labels in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// Where the group comes from, for messages: a number within the configuration, `<file>:<number>`, a service.
    pub source: String,
    /// The labels of each target: `__address__` (`host:port`), and what is known about it (`__meta_…`). They win over `labels`.
    pub targets: Vec<LabelMap>,
    /// Labels of all of them.
    pub labels: LabelMap,
}

impl TargetGroup {
    /// A group of targets of which nothing but the address is known.
    pub fn of_addresses(
        source: impl Into<String>,
        addresses: impl IntoIterator<Item = String>,
        labels: LabelMap,
    ) -> Self {
        let target = |address| LabelMap::from([(ADDRESS.to_owned(), address)]);
        Self {
            source: source.into(),
            targets: addresses.into_iter().map(target).collect(),
            labels,
        }
    }

    /// The addresses of the targets.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let targets = self.targets.iter();
        targets.map(|target| target.get(ADDRESS).map_or("", String::as_str))
    }
}

/// Finds target groups.
#[async_trait]
pub trait Discovery: Debug + Send {
    /// All groups as they are now. After an error the caller goes on with the last list.
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError>;

    /// Returns when it is worth asking again: after an interval, or when something is known to have changed. Is not
    /// called before the first [`refresh`](Self::refresh), and may be dropped at any time.
    async fn changed(&mut self);
}

/// Why there is no list of groups.
#[derive(Debug, Error)]
pub enum DiscoveryError {
    /// The configuration, or a file that it names, is wrong.
    #[error("{0}")]
    Setup(String),
    /// A request failed.
    #[error(transparent)]
    Request(#[from] Error),
    /// A server answered, but not as it should.
    #[error("{0}")]
    Answer(String),
}

impl DiscoveryError {
    /// The error of this crate for a discovery that a job cannot have.
    pub(crate) fn of_job(&self, kind: &'static str, job: &str) -> Error {
        Error::Discovery {
            job: job.to_owned(),
            kind,
            reason: self.to_string(),
        }
    }
}
