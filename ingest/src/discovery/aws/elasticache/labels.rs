//! The labels of caches.

use crate::discovery::aws::managed::{Field, items, put_tags, put_texts, put_times, text};
use crate::discovery::labels::host_port;
use crate::discovery::xml::Element;
use crate::discovery::{ADDRESS, LabelMap};

const SERVERLESS_PREFIX: &str = "__meta_elasticache_serverless_cache_";
const CLUSTER_PREFIX: &str = "__meta_elasticache_cache_cluster_";
const NODE_PREFIX: &str = "__meta_elasticache_cache_cluster_node_";
const DEPLOYMENT: &str = "__meta_elasticache_deployment_option";

/// The parts of a serverless cache.
const SERVERLESS_TEXTS: &[Field] = &[
    ("ARN", "arn"),
    (
        "CacheUsageLimits/DataStorage/Maximum",
        "cache_usage_limit_data_storagemaximum",
    ),
    (
        "CacheUsageLimits/DataStorage/Minimum",
        "cache_usage_limit_data_storageminimum",
    ),
    (
        "CacheUsageLimits/DataStorage/Unit",
        "cache_usage_limit_data_storageunit",
    ),
    (
        "CacheUsageLimits/ECPUPerSecond/Maximum",
        "cache_usage_limit_ecpu_per_secondmaximum",
    ),
    (
        "CacheUsageLimits/ECPUPerSecond/Minimum",
        "cache_usage_limit_ecpu_per_secondminimum",
    ),
    ("DailySnapshotTime", "daily_snapshot_time"),
    ("Description", "description"),
    ("Endpoint/Address", "endpoint_address"),
    ("Endpoint/Port", "endpoint_port"),
    ("Engine", "engine"),
    ("FullEngineVersion", "full_engine_version"),
    ("KmsKeyId", "kms_key_id"),
    ("MajorEngineVersion", "major_engine_version"),
    ("ReaderEndpoint/Address", "endpoint_reader_address"),
    ("ReaderEndpoint/Port", "endpoint_reader_port"),
    ("ServerlessCacheName", "name"),
    ("SnapshotRetentionLimit", "snapshot_retention_limit"),
    ("Status", "status"),
    ("UserGroupId", "user_group_id"),
];

/// Those that are times.
const SERVERLESS_TIMES: &[Field] = &[("CreateTime", "create_time")];

/// The parts of a cluster.
const CLUSTER_TEXTS: &[Field] = &[
    ("ARN", "arn"),
    ("AtRestEncryptionEnabled", "at_rest_encryption_enabled"),
    ("AuthTokenEnabled", "auth_token_enabled"),
    ("AutoMinorVersionUpgrade", "auto_minor_version_upgrade"),
    ("CacheClusterId", "cache_cluster_id"),
    ("CacheClusterStatus", "cache_cluster_status"),
    ("CacheNodeType", "cache_node_type"),
    (
        "CacheParameterGroup/CacheParameterGroupName",
        "cache_parameter_group",
    ),
    ("CacheSubnetGroupName", "cache_subnet_group_name"),
    ("ClientDownloadLandingPage", "client_download_landing_page"),
    (
        "ConfigurationEndpoint/Address",
        "configuration_endpoint_address",
    ),
    ("ConfigurationEndpoint/Port", "configuration_endpoint_port"),
    ("Engine", "engine"),
    ("EngineVersion", "engine_version"),
    ("IpDiscovery", "ip_discovery"),
    ("NetworkType", "network_type"),
    (
        "NotificationConfiguration/TopicArn",
        "notification_topic_arn",
    ),
    (
        "NotificationConfiguration/TopicStatus",
        "notification_topic_status",
    ),
    ("NumCacheNodes", "num_cache_nodes"),
    (
        "PendingModifiedValues/AuthTokenStatus",
        "pending_modified_values_auth_token_status",
    ),
    (
        "PendingModifiedValues/CacheNodeType",
        "pending_modified_values_cache_node_type",
    ),
    (
        "PendingModifiedValues/EngineVersion",
        "pending_modified_values_engine_version",
    ),
    (
        "PendingModifiedValues/NumCacheNodes",
        "pending_modified_values_num_cache_nodes",
    ),
    (
        "PendingModifiedValues/TransitEncryptionEnabled",
        "pending_modified_values_transit_encryption_enabled",
    ),
    (
        "PendingModifiedValues/TransitEncryptionMode",
        "pending_modified_values_transit_encryption_mode",
    ),
    ("PreferredAvailabilityZone", "preferred_availability_zone"),
    ("PreferredMaintenanceWindow", "preferred_maintenance_window"),
    ("PreferredOutpostArn", "preferred_outpost_arn"),
    ("ReplicationGroupId", "replication_group_id"),
    (
        "ReplicationGroupLogDeliveryEnabled",
        "replication_group_log_delivery_enabled",
    ),
    ("SnapshotRetentionLimit", "snapshot_retention_limit"),
    ("SnapshotWindow", "snapshot_window"),
    ("TransitEncryptionEnabled", "transit_encryption_enabled"),
    ("TransitEncryptionMode", "transit_encryption_mode"),
];

/// Those that are times.
const CLUSTER_TIMES: &[Field] = &[
    ("AuthTokenLastModifiedDate", "auth_token_last_modified"),
    ("CacheClusterCreateTime", "cache_cluster_create_time"),
];

/// The parts of a node.
const NODE_TEXTS: &[Field] = &[
    ("CacheNodeId", "id"),
    ("CacheNodeStatus", "status"),
    ("CustomerAvailabilityZone", "availability_zone"),
    ("CustomerOutpostArn", "customer_outpost_arn"),
    ("Endpoint/Address", "endpoint_address"),
    ("Endpoint/Port", "endpoint_port"),
    ("ParameterGroupStatus", "parameter_group_status"),
    ("SourceCacheNodeId", "source_cache_node_id"),
];

/// Those that are times.
const NODE_TIMES: &[Field] = &[("CacheNodeCreateTime", "create_time")];

/// The parts of one way in which a cluster's logs are delivered; the labels have its number at the end.
const LOG_DELIVERY: &[Field] = &[
    ("DestinationType", "destination_type"),
    ("LogFormat", "log_format"),
    ("LogType", "log_type"),
    ("Status", "status"),
    ("Message", "message"),
    (
        "DestinationDetails/CloudWatchLogsDetails/LogGroup",
        "log_group",
    ),
    (
        "DestinationDetails/KinesisFirehoseDetails/DeliveryStream",
        "delivery_stream",
    ),
];

/// The parts of one security group of a cluster, likewise.
const SECURITY_GROUP: &[Field] = &[("SecurityGroupId", "id"), ("Status", "status")];

/// Puts labels that have a number at the end.
fn put_numbered(labels: &mut LabelMap, prefix: &str, elements: &[Element], fields: &[Field]) {
    for (i, element) in elements.iter().enumerate() {
        for (path, name) in fields {
            if let Some(text) = text(element, path) {
                labels.insert(format!("{prefix}{name}_{i}"), text.to_owned());
            }
        }
    }
}

/// Puts the address, if there is one.
fn put_address(labels: &mut LabelMap, element: &Element) {
    let host = text(element, "Endpoint/Address");
    if let (Some(host), Some(port)) = (host, text(element, "Endpoint/Port")) {
        labels.insert(ADDRESS.to_owned(), host_port(host, port));
    }
}

/// The target of a serverless cache.
pub(super) fn serverless(cache: &Element, tags: &[Element]) -> LabelMap {
    let mut labels = LabelMap::from([(DEPLOYMENT.to_owned(), "serverless".to_owned())]);
    put_texts(&mut labels, SERVERLESS_PREFIX, cache, SERVERLESS_TEXTS);
    put_times(&mut labels, SERVERLESS_PREFIX, cache, SERVERLESS_TIMES);
    for (list, name) in [
        ("SecurityGroupIds", "security_group_id"),
        ("SubnetIds", "subnet_id"),
    ] {
        for (i, id) in items(cache, list).iter().enumerate() {
            labels.insert(format!("{SERVERLESS_PREFIX}{name}_{i}"), id.text.clone());
        }
    }
    put_tags(&mut labels, &format!("{SERVERLESS_PREFIX}tag_"), tags);
    put_address(&mut labels, cache);
    labels
}

/// Adds the targets of a cluster: one for each node.
pub(super) fn add_nodes(targets: &mut Vec<LabelMap>, cluster: &Element, tags: &[Element]) {
    let mut common = LabelMap::from([(DEPLOYMENT.to_owned(), "node".to_owned())]);
    put_texts(&mut common, CLUSTER_PREFIX, cluster, CLUSTER_TEXTS);
    put_times(&mut common, CLUSTER_PREFIX, cluster, CLUSTER_TIMES);
    put_numbered(
        &mut common,
        &format!("{CLUSTER_PREFIX}log_delivery_configuration_"),
        items(cluster, "LogDeliveryConfigurations"),
        LOG_DELIVERY,
    );
    put_numbered(
        &mut common,
        &format!("{CLUSTER_PREFIX}security_group_membership_"),
        items(cluster, "SecurityGroups"),
        SECURITY_GROUP,
    );
    let leaving = items(cluster, "PendingModifiedValues/CacheNodeIdsToRemove");
    if !leaving.is_empty() {
        let leaving: Vec<_> = leaving.iter().map(|id| id.text.as_str()).collect();
        let name = format!("{CLUSTER_PREFIX}pending_modified_values_cache_node_ids_to_remove");
        common.insert(name, leaving.join(","));
    }
    put_tags(&mut common, &format!("{CLUSTER_PREFIX}tag_"), tags);
    for node in items(cluster, "CacheNodes") {
        let mut labels = common.clone();
        put_texts(&mut labels, NODE_PREFIX, node, NODE_TEXTS);
        put_times(&mut labels, NODE_PREFIX, node, NODE_TIMES);
        put_address(&mut labels, node);
        targets.push(labels);
    }
}
