//! All kinds of discovery.

use std::path::Path;

use super::aws::{
    AwsConfig, Ec2Config, EcsConfig, ElasticacheConfig, LightsailConfig, MskConfig, RdsConfig,
};
use super::azure::AzureConfig;
use super::consul::ConsulConfig;
use super::digitalocean::DigitalOceanConfig;
use super::dns::DnsConfig;
use super::docker::DockerConfig;
use super::dockerswarm::DockerSwarmConfig;
use super::eureka::EurekaConfig;
use super::file::FileConfig;
use super::gce::GceConfig;
use super::hetzner::HetznerConfig;
use super::http::HttpConfig;
use super::ionos::IonosConfig;
use super::kind::Kind;
use super::kubernetes::KubernetesConfig;
use super::kuma::KumaConfig;
use super::linode::LinodeConfig;
use super::marathon::MarathonConfig;
use super::nomad::NomadConfig;
use super::oci::OciConfig;
use super::openstack::OpenStackConfig;
use super::outscale::OutscaleConfig;
use super::ovhcloud::OvhCloudConfig;
use super::puppetdb::PuppetDbConfig;
use super::scaleway::ScalewayConfig;
use super::stackit::StackitConfig;
use super::triton::TritonConfig;
use super::uyuni::UyuniConfig;
use super::vultr::VultrConfig;
use super::zookeeper::{NerveConfig, ServersetConfig};
use super::{Discovery, DiscoveryError, Failures};
use crate::config::ConfigError;
use crate::config::decode::{Fields, error_at, list};
use crate::config::write::{Entries, Yaml};

macro_rules! kinds {
    ($($variant:ident($settings:ty),)*) => {
        /// One entry of some `<kind>_sd_configs`.
        #[derive(Clone, Debug, PartialEq)]
        pub enum DiscoveryConfig {
            $(
                #[doc = concat!("One of kind ", stringify!($variant), ".")]
                $variant(Box<$settings>),
            )*
        }

        /// The names of the kinds, in order.
        const SUPPORTED: &[&str] = &[$(<$settings as Kind>::NAME),*];

        impl DiscoveryConfig {
            /// The name of the kind.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => <$settings as Kind>::NAME,)*
                }
            }

            /// Makes the discovery. It asks nobody anything before its first refresh. Failures that leave the rest of a
            /// list usable are counted in `failures`. An error: a certificate cannot be read, for one.
            pub fn discovery(&self, failures: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
                match self {
                    $(Self::$variant(settings) => settings.discovery(failures),)*
                }
            }

            /// Takes all entries of all kinds, ordered by kind.
            pub(crate) fn take_all(fields: &mut Fields<'_>, directory: &Path) -> Result<Vec<Self>, ConfigError> {
                let mut all = Vec::new();
                $(
                    let found = take::<$settings>(fields, directory)?;
                    all.extend(found.into_iter().map(|settings| Self::$variant(Box::new(settings))));
                )*
                Ok(all)
            }

            fn render(&self, entries: &mut Entries) {
                match self {
                    $(Self::$variant(settings) => settings.render(entries),)*
                }
            }
        }
    };
}

kinds! {
    Aws(AwsConfig),
    Azure(AzureConfig),
    Consul(ConsulConfig),
    DigitalOcean(DigitalOceanConfig),
    Dns(DnsConfig),
    Docker(DockerConfig),
    DockerSwarm(DockerSwarmConfig),
    Ec2(Ec2Config),
    Ecs(EcsConfig),
    Elasticache(ElasticacheConfig),
    Eureka(EurekaConfig),
    File(FileConfig),
    Gce(GceConfig),
    Hetzner(HetznerConfig),
    Http(HttpConfig),
    Ionos(IonosConfig),
    Kubernetes(KubernetesConfig),
    Kuma(KumaConfig),
    Lightsail(LightsailConfig),
    Linode(LinodeConfig),
    Marathon(MarathonConfig),
    Msk(MskConfig),
    Nerve(NerveConfig),
    Nomad(NomadConfig),
    Oci(OciConfig),
    OpenStack(OpenStackConfig),
    Outscale(OutscaleConfig),
    OvhCloud(OvhCloudConfig),
    PuppetDb(PuppetDbConfig),
    Rds(RdsConfig),
    Scaleway(ScalewayConfig),
    Serverset(ServersetConfig),
    Stackit(StackitConfig),
    Triton(TritonConfig),
    Uyuni(UyuniConfig),
    Vultr(VultrConfig),
}

fn take<K: Kind>(fields: &mut Fields<'_>, directory: &Path) -> Result<Vec<K>, ConfigError> {
    let name = field(K::NAME);
    let found = fields.read(&name, |node| {
        list(node, |item| match item.is_null() {
            true => error_at(item, format!("empty or null section in {name}")),
            false => K::decode(item, directory),
        })
    })?;
    Ok(found.unwrap_or_default())
}

fn field(kind: &str) -> String {
    format!("{kind}_sd_configs")
}

impl DiscoveryConfig {
    /// Writes entries, those of each kind together; `statics` is the list of `static_configs`, which has its place among them.
    pub(crate) fn render_all(all: &[Self], statics: Vec<Yaml>, entries: &mut Entries) {
        const STATIC: &str = "static_configs";
        let mut lists: Vec<(String, Vec<Yaml>)> = vec![(STATIC.to_owned(), statics)];
        for kind in SUPPORTED {
            let of_kind = all.iter().filter(|config| config.kind() == *kind);
            let rendered = of_kind.map(|config| {
                let mut entries = Entries::default();
                config.render(&mut entries);
                entries.map()
            });
            lists.push((field(kind), rendered.collect()));
        }
        lists.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, list) in lists {
            entries.list_if_set(&name, list);
        }
    }
}
