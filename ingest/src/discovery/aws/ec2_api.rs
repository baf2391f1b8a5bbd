//! What EC2 answers, as far as labels are made of it.

use serde::Deserialize;

use super::api::{AwsClient, Service};
use crate::discovery::labels::sanitized;
use crate::discovery::{DiscoveryError, LabelMap};

const VERSION: &str = "2016-11-15";

/// A list as EC2 writes it.
#[derive(Debug, Deserialize)]
pub(super) struct Set<T> {
    #[serde(default = "Vec::new")]
    pub(super) item: Vec<T>,
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Zones {
    #[serde(default)]
    availability_zone_info: Set<Zone>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Zone {
    zone_name: Option<String>,
    zone_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instances {
    #[serde(default)]
    reservation_set: Set<Reservation>,
    next_token: Option<String>,
}

/// Instances that were started together.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reservation {
    pub(super) owner_id: Option<String>,
    #[serde(default)]
    pub(super) instances_set: Set<Instance>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Instance {
    pub(super) instance_id: String,
    pub(super) image_id: String,
    pub(super) instance_state: State,
    pub(super) instance_type: String,
    pub(super) instance_lifecycle: String,
    pub(super) architecture: String,
    pub(super) platform: String,
    pub(super) placement: Placement,
    pub(super) private_ip_address: Option<String>,
    pub(super) private_dns_name: Option<String>,
    /// The public address.
    pub(super) ip_address: Option<String>,
    /// The public name.
    pub(super) dns_name: String,
    pub(super) vpc_id: Option<String>,
    pub(super) subnet_id: String,
    pub(super) network_interface_set: Set<NetworkInterface>,
    pub(super) tag_set: Set<Tag>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct State {
    pub(super) name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Placement {
    pub(super) availability_zone: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NetworkInterface {
    pub(super) network_interface_id: String,
    pub(super) subnet_id: Option<String>,
    pub(super) attachment: Attachment,
    pub(super) ipv6_addresses_set: Set<Ipv6Address>,
    pub(super) association: Association,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Attachment {
    pub(super) device_index: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Association {
    pub(super) public_ip: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Ipv6Address {
    pub(super) ipv6_address: String,
    pub(super) is_primary_ipv6: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tag {
    pub(super) key: Option<String>,
    pub(super) value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NetworkInterfaces {
    #[serde(default)]
    network_interface_set: Set<NetworkInterface>,
    next_token: Option<String>,
}

/// Adds a label for each tag that has a value.
pub(super) fn put_tags(labels: &mut LabelMap, prefix: &str, tags: &[Tag]) {
    for tag in tags {
        if let (Some(key), Some(value)) = (&tag.key, &tag.value) {
            labels.insert(format!("{prefix}{}", sanitized(key)), value.clone());
        }
    }
}

/// Parameters `<name>.1`, `<name>.2`, ….
pub(super) fn numbered<'a>(
    name: &str,
    values: impl IntoIterator<Item = &'a String>,
) -> Vec<(String, String)> {
    let values = values.into_iter().enumerate();
    values
        .map(|(i, value)| (format!("{name}.{}", i + 1), value.clone()))
        .collect()
}

fn with_token(parameters: &[(String, String)], token: Option<String>) -> Vec<(String, String)> {
    let mut parameters = parameters.to_vec();
    parameters.extend(token.map(|token| ("NextToken".to_owned(), token)));
    parameters
}

fn token_of(token: Option<String>) -> Option<String> {
    token.filter(|token| !token.is_empty())
}

/// The identifiers of the zones of the region, by name.
pub(super) async fn zones(
    client: &AwsClient,
    service: &Service,
) -> Result<LabelMap, DiscoveryError> {
    let action = "DescribeAvailabilityZones";
    let zones: Zones = client.query(service, action, VERSION, &[]).await?;
    let zones = zones.availability_zone_info.item.into_iter();
    Ok(zones
        .filter_map(|zone| zone.zone_name.zip(zone.zone_id))
        .collect())
}

/// All instances that parameters select.
pub(super) async fn instances(
    client: &AwsClient,
    service: &Service,
    parameters: &[(String, String)],
) -> Result<Vec<Reservation>, DiscoveryError> {
    let mut all = Vec::new();
    let mut token = None;
    loop {
        let parameters = with_token(parameters, token);
        let action = "DescribeInstances";
        let page: Instances = client.query(service, action, VERSION, &parameters).await?;
        all.extend(page.reservation_set.item);
        token = token_of(page.next_token);
        if token.is_none() {
            return Ok(all);
        }
    }
}

/// All network interfaces that parameters select.
pub(super) async fn network_interfaces(
    client: &AwsClient,
    service: &Service,
    parameters: &[(String, String)],
) -> Result<Vec<NetworkInterface>, DiscoveryError> {
    let mut all = Vec::new();
    let mut token = None;
    loop {
        let parameters = with_token(parameters, token);
        let action = "DescribeNetworkInterfaces";
        let page: NetworkInterfaces = client.query(service, action, VERSION, &parameters).await?;
        all.extend(page.network_interface_set.item);
        token = token_of(page.next_token);
        if token.is_none() {
            return Ok(all);
        }
    }
}
