//! Questions to ECS, in as many calls as its limits ask for.

use std::collections::BTreeMap;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::discovery::DiscoveryError;
use crate::discovery::api_client::nullable;
use crate::discovery::aws::api::{AwsClient, Service};
use crate::discovery::aws::ec2_api::{self, Tag};

const TARGET: &str = "AmazonEC2ContainerServiceV20141113";

/// Clusters, tasks or instances that one call describes, and results on one page.
const BATCH: usize = 100;

/// Services that one call describes.
const SERVICES_BATCH: usize = 10;

pub(super) struct EcsApi<'a> {
    pub(super) client: &'a AwsClient,
    pub(super) concurrency: usize,
    pub(super) ecs: &'a Service,
    pub(super) ec2: &'a Service,
}

macro_rules! answers {
    ($($name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            #[derive(Debug, Default, Deserialize)]
            #[serde(default, rename_all = "camelCase")]
            pub(super) struct $name {
                $(
                    #[serde(deserialize_with = "nullable")]
                    pub(super) $field: $type,
                )*
            }
        )*
    };
}

answers! {
    Arns { cluster_arns: Vec<String>, service_arns: Vec<String>, task_arns: Vec<String>, next_token: Option<String>, }
    Clusters { clusters: Vec<Cluster>, }
    Cluster { cluster_arn: String, cluster_name: Option<String>, tags: Vec<Tag>, }
    Services { services: Vec<EcsService>, }
    EcsService { service_arn: Option<String>, service_name: Option<String>, status: Option<String>, tags: Vec<Tag>, }
    Tasks { tasks: Vec<Task>, }
    Task {
        attachments: Vec<Attachment>,
        availability_zone: Option<String>,
        container_instance_arn: Option<String>,
        desired_status: Option<String>,
        group: Option<String>,
        health_status: String,
        last_status: Option<String>,
        launch_type: String,
        platform_family: Option<String>,
        platform_version: Option<String>,
        tags: Vec<Tag>,
        task_arn: Option<String>,
        task_definition_arn: Option<String>,
    }
    Attachment { r#type: String, details: Vec<Detail>, }
    Detail { name: Option<String>, value: Option<String>, }
    ContainerInstances { container_instances: Vec<ContainerInstance>, }
    ContainerInstance { container_instance_arn: Option<String>, ec2_instance_id: Option<String>, }
}

impl Attachment {
    /// A detail by its name.
    pub(super) fn detail(&self, name: &str) -> Option<&str> {
        let mut details = self.details.iter();
        let detail = details.rfind(|d| d.name.as_deref() == Some(name) && d.value.is_some());
        detail.and_then(|detail| detail.value.as_deref())
    }
}

impl Task {
    /// The network interface that the task has for itself.
    pub(super) fn interface(&self) -> Option<&Attachment> {
        let mut attachments = self.attachments.iter();
        attachments.find(|attachment| attachment.r#type == "ElasticNetworkInterface")
    }
}

/// Adds to an error what was tried.
fn while_at(what: impl std::fmt::Display) -> impl Fn(DiscoveryError) -> DiscoveryError {
    move |error| DiscoveryError::Answer(format!("could not {what}: {error}"))
}

impl EcsApi<'_> {
    async fn ask<T: DeserializeOwned>(
        &self,
        action: &str,
        body: Value,
    ) -> Result<T, DiscoveryError> {
        self.client.json(self.ecs, TARGET, action, &body).await
    }

    /// All pages of a list of ARNs.
    async fn pages(
        &self,
        action: &str,
        cluster: Option<&str>,
    ) -> Result<Vec<String>, DiscoveryError> {
        let mut all = Vec::new();
        let mut token = None;
        loop {
            let mut body = json!({"maxResults": BATCH});
            if let Some(cluster) = cluster {
                body["cluster"] = json!(cluster);
            }
            if let Some(token) = token {
                body["nextToken"] = json!(token);
            }
            let page: Arns = self.ask(action, body).await?;
            all.extend(page.cluster_arns);
            all.extend(page.service_arns);
            all.extend(page.task_arns);
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(all);
            }
        }
    }

    pub(super) async fn list_clusters(&self) -> Result<Vec<String>, DiscoveryError> {
        let listed = self.pages("ListClusters", None).await;
        listed.map_err(while_at("list clusters"))
    }

    /// The ARNs of what clusters have, by the cluster's.
    pub(super) async fn list_all(
        &self,
        action: &str,
        what: &str,
        clusters: &[String],
    ) -> Result<BTreeMap<String, Vec<String>>, DiscoveryError> {
        let lists: Vec<_> = clusters
            .iter()
            .map(|cluster| self.list_of(action, what, cluster).boxed())
            .collect();
        let lists = stream::iter(lists).buffer_unordered(self.concurrency);
        lists.try_collect().await
    }

    async fn list_of(
        &self,
        action: &str,
        what: &str,
        cluster: &str,
    ) -> Result<(String, Vec<String>), DiscoveryError> {
        let listed = self.pages(action, Some(cluster)).await;
        let listed = listed.map_err(while_at(format!("list {what} for cluster {cluster:?}")))?;
        Ok((cluster.to_owned(), listed))
    }

    /// Describes items, some at a time; in the order of the items.
    async fn described<T: DeserializeOwned + Send>(
        &self,
        action: &str,
        items: &[String],
        batch: usize,
        body: impl Fn(&[String]) -> Value,
    ) -> Result<Vec<T>, DiscoveryError> {
        let calls: Vec<_> = items
            .chunks(batch)
            .map(|batch| self.ask(action, body(batch)).boxed())
            .collect();
        stream::iter(calls)
            .buffered(self.concurrency)
            .try_collect()
            .await
    }

    /// Clusters by ARN.
    pub(super) async fn clusters(
        &self,
        arns: &[String],
    ) -> Result<BTreeMap<String, Cluster>, DiscoveryError> {
        let body = |batch: &[String]| json!({"clusters": batch, "include": ["TAGS"]});
        let described = self.described("DescribeClusters", arns, BATCH, body).await;
        let described: Vec<Clusters> = described.map_err(while_at("describe clusters"))?;
        let clusters = described.into_iter().flat_map(|page| page.clusters);
        Ok(clusters.map(|c| (c.cluster_arn.clone(), c)).collect())
    }

    /// Services by name.
    pub(super) async fn services(
        &self,
        cluster: &str,
        arns: &[String],
    ) -> Result<BTreeMap<String, EcsService>, DiscoveryError> {
        let body =
            |batch: &[String]| json!({"cluster": cluster, "services": batch, "include": ["TAGS"]});
        let described = self.described("DescribeServices", arns, SERVICES_BATCH, body);
        let wrong = while_at(format!("describe services for cluster {cluster:?}"));
        let described: Vec<Services> = described.await.map_err(wrong)?;
        let services = described.into_iter().flat_map(|page| page.services);
        Ok(services
            .filter_map(|service| Some((service.service_name.clone()?, service)))
            .collect())
    }

    pub(super) async fn tasks(
        &self,
        cluster: &str,
        arns: &[String],
    ) -> Result<Vec<Task>, DiscoveryError> {
        let body =
            |batch: &[String]| json!({"cluster": cluster, "tasks": batch, "include": ["TAGS"]});
        let described = self.described("DescribeTasks", arns, BATCH, body);
        let wrong = while_at(format!("describe tasks in cluster {cluster:?}"));
        let described: Vec<Tasks> = described.await.map_err(wrong)?;
        Ok(described.into_iter().flat_map(|page| page.tasks).collect())
    }

    /// The EC2 instances of container instances, by the ARNs of these.
    pub(super) async fn instances_of(
        &self,
        cluster: &str,
        tasks: &[Task],
    ) -> Result<BTreeMap<String, String>, DiscoveryError> {
        let mut arns: Vec<String> = tasks
            .iter()
            .filter_map(|task| task.container_instance_arn.clone())
            .collect();
        arns.sort_unstable();
        arns.dedup();
        let body = |batch: &[String]| json!({"cluster": cluster, "containerInstances": batch});
        let described = self.described("DescribeContainerInstances", &arns, BATCH, body);
        let wrong = while_at("describe container instances");
        let described: Vec<ContainerInstances> = described.await.map_err(wrong)?;
        let instances = described
            .into_iter()
            .flat_map(|page| page.container_instances);
        Ok(instances
            .filter_map(|i| i.container_instance_arn.zip(i.ec2_instance_id))
            .collect())
    }

    /// EC2 instances with a private address, by identifier.
    pub(super) async fn ec2_instances(
        &self,
        ids: &[&String],
    ) -> Result<BTreeMap<String, ec2_api::Instance>, DiscoveryError> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let parameters = ec2_api::numbered("InstanceId", ids.iter().copied());
        let found = ec2_api::instances(self.client, self.ec2, &parameters).await;
        let reservations = found.map_err(while_at("describe EC2 instances"))?;
        let instances = reservations.into_iter().flat_map(|r| r.instances_set.item);
        let instances = instances.filter(|instance| instance.private_ip_address.is_some());
        Ok(instances.map(|i| (i.instance_id.clone(), i)).collect())
    }

    /// The public addresses of the network interfaces of tasks, by identifier.
    pub(super) async fn public_ips(
        &self,
        tasks: &[Task],
    ) -> Result<BTreeMap<String, String>, DiscoveryError> {
        let interfaces = tasks.iter().filter_map(Task::interface);
        let ids: Vec<String> = interfaces
            .filter_map(|interface| interface.detail("networkInterfaceId"))
            .map(str::to_owned)
            .collect();
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let parameters = ec2_api::numbered("NetworkInterfaceId", &ids);
        let found = ec2_api::network_interfaces(self.client, self.ec2, &parameters).await;
        let interfaces = found.map_err(while_at("describe network interfaces"))?;
        Ok(interfaces
            .into_iter()
            .filter_map(|i| Some((i.network_interface_id, i.association.public_ip?)))
            .collect())
    }
}
