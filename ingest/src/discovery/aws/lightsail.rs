//! Instances of Lightsail.

use std::path::Path;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use super::AwsSettings;
use super::api::AwsClient;
use super::ec2_api::{Tag, put_tags};
use crate::config::decode::Fields;
use crate::config::write::Entries;
use crate::config::yaml::Node;
use crate::config::{ConfigError, render};
use crate::discovery::api_client::nullable;
use crate::discovery::kind::{Kind, render_interval};
use crate::discovery::labels::host_port;
use crate::discovery::periodic::{Periodic, Refresh};
use crate::discovery::{ADDRESS, Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::environment::Environment;

const PREFIX: &str = "__meta_lightsail_";

/// One entry of `lightsail_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LightsailConfig {
    /// What all services of Amazon have.
    pub aws: AwsSettings,
}

impl Kind for LightsailConfig {
    const NAME: &'static str = "lightsail";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "aws.plain")?;
        let aws = AwsSettings::take(&mut fields, node, directory)?;
        fields.finish(&[])?;
        Ok(Self { aws })
    }

    fn render(&self, entries: &mut Entries) {
        entries
            .text("endpoint", &self.aws.endpoint)
            .text("region", &self.aws.region);
        self.aws.render_credentials(entries);
        render_interval(entries, self.aws.refresh_interval);
        self.aws.render_port(entries);
        render::http(entries, &self.aws.http);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = LightsailDiscovery {
            client: AwsClient::new(&self.aws, Environment::default())?,
            port: self.aws.port,
        };
        Ok(Periodic::boxed(self.aws.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct LightsailDiscovery {
    client: AwsClient,
    port: i64,
}

#[derive(Deserialize)]
struct Instances {
    #[serde(default, deserialize_with = "nullable")]
    instances: Vec<Instance>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Instance {
    name: Option<String>,
    private_ip_address: Option<String>,
    public_ip_address: Option<String>,
    #[serde(deserialize_with = "nullable")]
    ipv6_addresses: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    location: Location,
    #[serde(deserialize_with = "nullable")]
    state: State,
    blueprint_id: Option<String>,
    bundle_id: Option<String>,
    support_code: Option<String>,
    #[serde(deserialize_with = "nullable")]
    tags: Vec<Tag>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Location {
    availability_zone: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    name: Option<String>,
}

#[async_trait]
impl Refresh for LightsailDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let service = self.client.service("Lightsail", "lightsail").await?;
        let target = "Lightsail_20161128";
        let everything = json!({});
        let asked = self
            .client
            .json(&service, target, "GetInstances", &everything);
        let found: Instances = asked
            .await
            .map_err(|error| DiscoveryError::Answer(format!("could not get instances: {error}")))?;
        let instances = found.instances.iter();
        Ok(vec![TargetGroup {
            targets: instances
                .filter_map(|instance| target_of(instance, self.port, &service.region))
                .collect(),
            source: service.region,
            labels: LabelMap::new(),
        }])
    }
}

/// The target of an instance; none where it has no address.
fn target_of(instance: &Instance, port: i64, region: &str) -> Option<LabelMap> {
    let private_ip = instance.private_ip_address.as_ref()?;
    let mut labels = LabelMap::from([(ADDRESS.to_owned(), host_port(private_ip, port))]);
    let addresses = &instance.ipv6_addresses;
    let addresses = match addresses.is_empty() {
        true => None,
        false => Some(format!(",{},", addresses.join(","))),
    };
    for (name, value) in [
        ("private_ip", Some(private_ip)),
        ("region", Some(&region.to_owned())),
        (
            "availability_zone",
            instance.location.availability_zone.as_ref(),
        ),
        ("blueprint_id", instance.blueprint_id.as_ref()),
        ("bundle_id", instance.bundle_id.as_ref()),
        ("instance_name", instance.name.as_ref()),
        ("instance_state", instance.state.name.as_ref()),
        ("instance_support_code", instance.support_code.as_ref()),
        ("public_ip", instance.public_ip_address.as_ref()),
        ("ipv6_addresses", addresses.as_ref()),
    ] {
        if let Some(value) = value {
            labels.insert(format!("{PREFIX}{name}"), value.clone());
        }
    }
    put_tags(&mut labels, &format!("{PREFIX}tag_"), &instance.tags);
    Some(labels)
}
