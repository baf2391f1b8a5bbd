//! Instances of EC2.

use std::collections::BTreeSet;
use std::path::Path;

use async_trait::async_trait;

use super::AwsSettings;
use super::api::AwsClient;
use super::ec2_api::{self, Instance, numbered, put_tags};
use crate::config::decode::{Fields, error_at, list, string, strings};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, render};
use crate::discovery::kind::{Kind, render_interval};
use crate::discovery::labels::host_port;
use crate::discovery::periodic::{Periodic, Refresh};
use crate::discovery::{ADDRESS, Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::environment::Environment;

const PREFIX: &str = "__meta_ec2_";

/// What instances must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What is looked at.
    pub name: String,
    /// What it may be.
    pub values: Vec<String>,
}

/// One entry of `ec2_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ec2Config {
    /// What all services of Amazon have.
    pub aws: AwsSettings,
    /// What instances must be like.
    pub filters: Vec<Filter>,
}

/// Reads a list of filters.
pub(super) fn filters(node: &Node) -> Result<Vec<Filter>, ConfigError> {
    list(node, |node| {
        let mut fields = Fields::of(node, "aws.Filter")?;
        let filter = Filter {
            name: fields.read("name", string)?.unwrap_or_default(),
            values: fields.read("values", strings)?.unwrap_or_default(),
        };
        fields.finish(&[])?;
        Ok(filter)
    })
}

/// Writes a list of filters.
pub(super) fn rendered(filters: &[Filter]) -> Vec<Yaml> {
    let filters = filters.iter().map(|filter| {
        let values = filter.values.iter().cloned().map(Yaml::Text).collect();
        let mut entries = Entries::default();
        entries
            .text("name", &filter.name)
            .put("values", Yaml::List(values))
            .map()
    });
    filters.collect()
}

impl Kind for Ec2Config {
    const NAME: &'static str = "ec2";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "aws.plain")?;
        let config = Self {
            filters: fields.read("filters", filters)?.unwrap_or_default(),
            aws: AwsSettings::take(&mut fields, node, directory)?,
        };
        fields.finish(&[])?;
        if config.filters.iter().any(|filter| filter.values.is_empty()) {
            return error_at(node, "EC2 SD configuration filter values cannot be empty");
        }
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        entries
            .text("endpoint", &self.aws.endpoint)
            .text("region", &self.aws.region);
        self.aws.render_credentials(entries);
        render_interval(entries, self.aws.refresh_interval);
        self.aws.render_port(entries);
        entries.put("filters", Yaml::List(rendered(&self.filters)));
        render::http(entries, &self.aws.http);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        self.discovery_in(Environment::default())
    }
}

impl Ec2Config {
    /// The discovery with other environment variables than those of the process.
    pub(crate) fn discovery_in(
        &self,
        environment: Environment,
    ) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = Ec2Discovery {
            client: AwsClient::new(&self.aws, environment)?,
            config: self.clone(),
            zones: None,
        };
        Ok(Periodic::boxed(self.aws.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct Ec2Discovery {
    client: AwsClient,
    config: Ec2Config,
    /// Identifiers of zones by name, once they are known. They hardly change, and not everybody may ask for them.
    zones: Option<LabelMap>,
}

#[async_trait]
impl Refresh for Ec2Discovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let service = self.client.service("EC2", "ec2").await?;
        if self.zones.is_none() {
            match ec2_api::zones(&self.client, &service).await {
                Ok(zones) => self.zones = Some(zones),
                Err(error) => tracing::debug!(%error, "Unable to describe availability zones"),
            }
        }
        let mut parameters = Vec::new();
        for (i, filter) in self.config.filters.iter().enumerate() {
            let name = format!("Filter.{}", i + 1);
            parameters.push((format!("{name}.Name"), filter.name.clone()));
            parameters.extend(numbered(&format!("{name}.Value"), &filter.values));
        }
        let found = ec2_api::instances(&self.client, &service, &parameters).await;
        let reservations = found.map_err(|error| {
            DiscoveryError::Answer(format!("could not describe instances: {error}"))
        })?;
        let mut targets = Vec::new();
        for reservation in &reservations {
            let owner = reservation.owner_id.as_ref();
            let instances = reservation.instances_set.item.iter();
            targets.extend(instances.filter_map(|i| self.target(i, owner, &service.region)));
        }
        Ok(vec![TargetGroup {
            source: service.region,
            targets,
            labels: LabelMap::new(),
        }])
    }
}

/// The values with commas between and around them, so that expressions find each by its commas.
fn between_commas(values: &[&str]) -> String {
    format!(",{},", values.join(","))
}

impl Ec2Discovery {
    /// The target of an instance; none where it has no address.
    fn target(
        &self,
        instance: &Instance,
        owner: Option<&String>,
        region: &str,
    ) -> Option<LabelMap> {
        let addresses = Ipv6Addresses::of(instance);
        let private_ip = instance.private_ip_address.as_deref();
        let private_ip = private_ip.filter(|ip| !ip.is_empty());
        let address = private_ip.or(addresses.default)?;
        let mut labels = LabelMap::new();
        labels.insert(ADDRESS.to_owned(), host_port(address, self.config.aws.port));
        let mut put = |name: &str, value: &str| {
            labels.insert(format!("{PREFIX}{name}"), value.to_owned());
        };
        let zone = &instance.placement.availability_zone;
        let zone_id = self.zones.as_ref().and_then(|zones| zones.get(zone));
        for (name, value) in [
            ("instance_id", instance.instance_id.as_str()),
            ("region", region),
            ("ami", &instance.image_id),
            ("availability_zone", zone),
            ("availability_zone_id", zone_id.map_or("", String::as_str)),
            ("instance_state", &instance.instance_state.name),
            ("instance_type", &instance.instance_type),
        ] {
            put(name, value);
        }
        for (name, value) in [
            ("owner_id", owner.map(String::as_str)),
            ("default_ipv6_address", addresses.default),
            ("private_ip", private_ip),
            ("private_dns_name", instance.private_dns_name.as_deref()),
            ("platform", Some(instance.platform.as_str())),
            ("instance_lifecycle", Some(&instance.instance_lifecycle)),
            ("architecture", Some(&instance.architecture)),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                put(name, value);
            }
        }
        if let Some(ip) = instance.ip_address.as_deref().filter(|ip| !ip.is_empty()) {
            put("public_ip", ip);
            put("public_dns_name", &instance.dns_name);
        }
        for (name, values) in [
            ("primary_ipv6_addresses", &addresses.primary),
            ("ipv6_addresses", &addresses.all),
        ] {
            if !values.is_empty() {
                put(name, &between_commas(values));
            }
        }
        if instance.vpc_id.as_deref().is_some_and(|id| !id.is_empty()) {
            put("vpc_id", instance.vpc_id.as_deref().unwrap_or_default());
            put("primary_subnet_id", &instance.subnet_id);
            let interfaces = instance.network_interface_set.item.iter();
            let subnets = interfaces.filter_map(|interface| interface.subnet_id.as_deref());
            let mut seen = BTreeSet::new();
            let subnets: Vec<_> = subnets.filter(|subnet| seen.insert(*subnet)).collect();
            put("subnet_id", &between_commas(&subnets));
        }
        put_tags(
            &mut labels,
            &format!("{PREFIX}tag_"),
            &instance.tag_set.item,
        );
        Some(labels)
    }
}

/// Network interfaces that one instance may have: far more than any has. It bounds the list of primary addresses.
const INTERFACES_MAX: usize = 1024;

struct Ipv6Addresses<'a> {
    /// At the position of their interface, with empty ones for interfaces without.
    primary: Vec<&'a str>,
    all: Vec<&'a str>,
    /// The first primary one, or else the first.
    default: Option<&'a str>,
}

impl<'a> Ipv6Addresses<'a> {
    fn of(instance: &'a Instance) -> Self {
        let mut primary = Vec::new();
        let mut all = Vec::new();
        let interfaces = match instance.vpc_id.as_deref() {
            None | Some("") => &[][..],
            Some(_) => &instance.network_interface_set.item,
        };
        for interface in interfaces.iter().filter(|i| i.subnet_id.is_some()) {
            let index = interface.attachment.device_index;
            for address in &interface.ipv6_addresses_set.item {
                all.push(address.ipv6_address.as_str());
                if address.is_primary_ipv6 && index < INTERFACES_MAX {
                    primary.resize(primary.len().max(index + 1), "");
                    if let Some(place) = primary.get_mut(index) {
                        *place = address.ipv6_address.as_str();
                    }
                }
            }
        }
        let mut candidates = primary.iter().chain(&all);
        let default = candidates.find(|address| !address.is_empty()).copied();
        Self {
            primary,
            all,
            default,
        }
    }
}
