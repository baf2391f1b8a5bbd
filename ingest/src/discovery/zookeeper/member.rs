//! What members say about themselves.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::discovery::api_client::nullable;
use crate::discovery::labels::{host_port, sanitized};
use crate::discovery::{ADDRESS, LabelMap};

/// Reads the data of a node, which is at a path; `None` if it is no member.
pub(super) type Read = fn(&[u8], &str) -> Option<LabelMap>;

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServersetMember {
    #[serde(
        rename = "serviceEndpoint",
        alias = "ServiceEndpoint",
        deserialize_with = "nullable"
    )]
    service_endpoint: Endpoint,
    #[serde(
        rename = "additionalEndpoints",
        alias = "AdditionalEndpoints",
        deserialize_with = "nullable"
    )]
    additional_endpoints: BTreeMap<String, Endpoint>,
    #[serde(deserialize_with = "nullable")]
    status: String,
    #[serde(deserialize_with = "nullable")]
    shard: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(alias = "Host", deserialize_with = "nullable")]
    host: String,
    #[serde(alias = "Port", deserialize_with = "nullable")]
    port: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NerveMember {
    #[serde(deserialize_with = "nullable")]
    host: String,
    #[serde(deserialize_with = "nullable")]
    port: i64,
    #[serde(deserialize_with = "nullable")]
    name: String,
}

fn labels(prefix: &str, address: String, pairs: Vec<(String, String)>) -> LabelMap {
    let pairs = pairs.into_iter();
    let mut labels: LabelMap = pairs
        .map(|(name, value)| (format!("{prefix}{name}"), value))
        .collect();
    labels.insert(ADDRESS.to_owned(), address);
    labels
}

/// A member of a server set.
pub(super) fn serverset(data: &[u8], path: &str) -> Option<LabelMap> {
    let member: ServersetMember = serde_json::from_slice(data).ok()?;
    let Endpoint { host, port } = member.service_endpoint;
    let address = host_port(&host, port);
    let mut pairs = vec![
        ("path".to_owned(), path.to_owned()),
        ("endpoint_host".to_owned(), host),
        ("endpoint_port".to_owned(), port.to_string()),
        ("status".to_owned(), member.status),
        ("shard".to_owned(), member.shard.to_string()),
    ];
    for (name, endpoint) in member.additional_endpoints {
        let name = sanitized(&name);
        pairs.push((format!("endpoint_host_{name}"), endpoint.host));
        pairs.push((format!("endpoint_port_{name}"), endpoint.port.to_string()));
    }
    Some(labels("__meta_serverset_", address, pairs))
}

/// A member of Nerve.
pub(super) fn nerve(data: &[u8], path: &str) -> Option<LabelMap> {
    let NerveMember { host, port, name } = serde_json::from_slice(data).ok()?;
    let address = host_port(&host, port);
    let pairs = vec![
        ("path".to_owned(), path.to_owned()),
        ("endpoint_host".to_owned(), host),
        ("endpoint_port".to_owned(), port.to_string()),
        ("endpoint_name".to_owned(), name),
    ];
    Some(labels("__meta_nerve_", address, pairs))
}
