//! A target for each task that has an address.

use std::collections::{BTreeMap, BTreeSet};

use futures::try_join;

use super::api::{Cluster, EcsApi, EcsService, Task};
use crate::discovery::aws::ec2_api::{Instance, put_tags};
use crate::discovery::labels::host_port;
use crate::discovery::{ADDRESS, DiscoveryError, LabelMap};

const PREFIX: &str = "__meta_ecs_";

/// The tasks of a cluster, and what they refer to.
pub(super) struct ClusterTasks<'a> {
    cluster: &'a Cluster,
    tasks: Vec<Task>,
    /// By name.
    services: BTreeMap<String, EcsService>,
    /// The EC2 instances of container instances.
    instances_of: BTreeMap<String, String>,
    /// EC2 instances by identifier.
    instances: BTreeMap<String, Instance>,
    /// Public addresses by network interface.
    public_ips: BTreeMap<String, String>,
}

impl<'a> ClusterTasks<'a> {
    pub(super) async fn describe(
        api: &EcsApi<'_>,
        cluster: &'a Cluster,
        services: &[String],
        tasks: &[String],
    ) -> Result<Self, DiscoveryError> {
        let arn = &cluster.cluster_arn;
        let (services, tasks) = try_join!(api.services(arn, services), api.tasks(arn, tasks))?;
        let (instances_of, public_ips) =
            try_join!(api.instances_of(arn, &tasks), api.public_ips(&tasks))?;
        let ids: BTreeSet<_> = instances_of.values().collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let instances = api.ec2_instances(&ids).await?;
        Ok(Self {
            cluster,
            tasks,
            services,
            instances_of,
            instances,
            public_ips,
        })
    }
}

/// The targets of a cluster.
pub(super) fn targets(cluster: &ClusterTasks<'_>, region: &str, port: i64) -> Vec<LabelMap> {
    let tasks = cluster.tasks.iter();
    tasks
        .filter_map(|task| target(cluster, task, region, port))
        .collect()
}

fn target(known: &ClusterTasks<'_>, task: &Task, region: &str, port: i64) -> Option<LabelMap> {
    let host_id = task.container_instance_arn.as_ref();
    let host_id = host_id.and_then(|arn| known.instances_of.get(arn));
    let host = host_id.and_then(|id| known.instances.get(id));
    let host_private_ip = host.and_then(|host| host.private_ip_address.as_deref());
    let host_public_ip = host.and_then(|host| host.ip_address.as_deref());
    // A task has an interface of its own, or the addresses of its host.
    let (mode, address, public_ip, subnet) = match task.interface() {
        Some(interface) => (
            "awsvpc",
            interface.detail("privateIPv4Address"),
            interface
                .detail("networkInterfaceId")
                .and_then(|id| known.public_ips.get(id))
                .map(String::as_str),
            interface.detail("subnetId"),
        ),
        None => (
            "bridge",
            host_private_ip,
            host_public_ip,
            host.map(|host| host.subnet_id.as_str()),
        ),
    };
    let address = address.filter(|address| !address.is_empty())?;
    let mut labels = LabelMap::from([(ADDRESS.to_owned(), host_port(address, port))]);
    let mut put = |name: &str, value: &str| {
        labels.insert(format!("{PREFIX}{name}"), value.to_owned());
    };
    put("ip_address", address);
    put("region", region);
    put("launch_type", &task.launch_type);
    put("health_status", &task.health_status);
    put("network_mode", mode);
    put("cluster_arn", &known.cluster.cluster_arn);
    let group = task.group.as_deref();
    let service = group.and_then(|group| group.strip_prefix("service:"));
    let service = service.and_then(|name| known.services.get(name));
    for (name, value) in [
        ("cluster", known.cluster.cluster_name.as_deref()),
        ("task_group", group),
        ("task_arn", task.task_arn.as_deref()),
        ("task_definition", task.task_definition_arn.as_deref()),
        ("availability_zone", task.availability_zone.as_deref()),
        ("desired_status", task.desired_status.as_deref()),
        ("last_status", task.last_status.as_deref()),
        ("subnet_id", subnet),
        (
            "container_instance_arn",
            task.container_instance_arn.as_deref(),
        ),
        ("ec2_instance_id", host_id.map(String::as_str)),
        (
            "ec2_instance_type",
            host.map(|host| host.instance_type.as_str()),
        ),
        ("ec2_instance_private_ip", host_private_ip),
        ("ec2_instance_public_ip", host_public_ip),
        ("public_ip", public_ip),
        ("platform_family", task.platform_family.as_deref()),
        ("platform_version", task.platform_version.as_deref()),
        ("service", service.and_then(|s| s.service_name.as_deref())),
        (
            "service_arn",
            service.and_then(|s| s.service_arn.as_deref()),
        ),
        ("service_status", service.and_then(|s| s.status.as_deref())),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            put(name, value);
        }
    }
    for (of, tags) in [
        ("cluster", Some(&known.cluster.tags)),
        ("service", service.map(|service| &service.tags)),
        ("task", Some(&task.tags)),
        ("ec2", host.map(|host| &host.tag_set.item)),
    ] {
        let tags = tags.map_or(&[][..], Vec::as_slice);
        put_tags(&mut labels, &format!("{PREFIX}tag_{of}_"), tags);
    }
    Some(labels)
}
