//! Databases of RDS that belong to clusters.

mod labels;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use self::labels::{CLUSTER_TEXTS, CLUSTER_TIMES, INSTANCE_TEXTS, INSTANCE_TIMES};
use super::api::{AwsClient, Service};
use super::ec2::{Filter, filters, rendered};
use super::managed::{
    ManagedSettings, REQUEST_CONCURRENCY, ask_for_all, items, parameters, put_tags, put_texts,
    put_times, text,
};
use crate::config::ConfigError;
use crate::config::decode::Fields;
use crate::config::write::Entries;
use crate::config::yaml::Node;
use crate::discovery::kind::Kind;
use crate::discovery::labels::host_port;
use crate::discovery::periodic::{Periodic, Refresh};
use crate::discovery::xml::Element;
use crate::discovery::{ADDRESS, Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::environment::Environment;

const VERSION: &str = "2014-10-31";
const CLUSTER_PREFIX: &str = "__meta_rds_cluster_";
const INSTANCE_PREFIX: &str = "__meta_rds_instance_";

/// One entry of `rds_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdsConfig {
    /// What all such services have.
    pub settings: ManagedSettings,
    /// What instances must be like.
    pub filters: Vec<Filter>,
}

impl Kind for RdsConfig {
    const NAME: &'static str = "rds";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "aws.plain")?;
        let config = Self {
            filters: fields.read("filters", filters)?.unwrap_or_default(),
            settings: ManagedSettings::take(&mut fields, node, directory, REQUEST_CONCURRENCY)?,
        };
        fields.finish(&[])?;
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        self.settings.render(entries, Some(rendered(&self.filters)));
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = RdsDiscovery {
            client: AwsClient::new(&self.settings.aws, Environment::default())?,
            config: self.clone(),
        };
        let interval = self.settings.aws.refresh_interval;
        Ok(Periodic::boxed(interval, discovery))
    }
}

#[derive(Debug)]
struct RdsDiscovery {
    client: AwsClient,
    config: RdsConfig,
}

#[async_trait]
impl Refresh for RdsDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let service = self.client.service("RDS", "rds").await?;
        let clusters = self.clusters(&service).await?;
        let instances = clusters
            .values()
            .map(|cluster| self.instances(&service, cluster));
        let instances = stream::iter(instances.collect::<Vec<_>>());
        let instances = instances.buffered(self.config.settings.concurrency());
        let instances: Vec<Vec<Element>> = instances.try_collect().await?;
        let port = self.config.settings.aws.port;
        let mut targets = Vec::new();
        for (cluster, instances) in clusters.values().zip(&instances) {
            targets.extend(
                instances
                    .iter()
                    .map(|instance| target(cluster, instance, port)),
            );
        }
        Ok(vec![TargetGroup {
            source: service.region,
            targets,
            labels: LabelMap::new(),
        }])
    }
}

impl RdsDiscovery {
    async fn list(
        &self,
        service: &Service,
        (action, list): (&str, &str),
        mut pairs: Vec<(String, String)>,
    ) -> Result<Vec<Element>, DiscoveryError> {
        pairs.extend(parameters(&[("MaxRecords", "100")]));
        let action = (action, VERSION);
        ask_for_all(&self.client, service, action, &pairs, (list, "Marker")).await
    }

    /// The clusters that count, by their ARN.
    async fn clusters(
        &self,
        service: &Service,
    ) -> Result<BTreeMap<String, Element>, DiscoveryError> {
        const ACTION: (&str, &str) = ("DescribeDBClusters", "DBClusters");
        let given = &self.config.settings.clusters;
        if given.is_empty() {
            let clusters = self
                .list(service, ACTION, Vec::new())
                .await
                .map_err(|error| {
                    DiscoveryError::Answer(format!(
                        "error describing all DB clusters: failed to describe DB clusters: {error}"
                    ))
                })?;
            let by_arn = clusters.into_iter().filter_map(|cluster| {
                let arn = text(&cluster, "DBClusterArn")?.to_owned();
                Some((arn, cluster))
            });
            return Ok(by_arn.collect());
        }
        let asked = given.iter().map(|arn| async move {
            let pairs = parameters(&[("DBClusterIdentifier", arn)]);
            let found = self.list(service, ACTION, pairs).await;
            let found = found.map_err(|error| {
                DiscoveryError::Answer(format!(
                    "error describing DB clusters: failed to describe DB cluster {arn}: {error}"
                ))
            })?;
            let cluster = found.into_iter().next_back().ok_or_else(|| {
                DiscoveryError::Answer(format!(
                    "error describing DB clusters: no DB cluster found for ARN {arn}"
                ))
            })?;
            Ok::<_, DiscoveryError>((arn.clone(), cluster))
        });
        let asked = stream::iter(asked.collect::<Vec<_>>());
        asked
            .buffered(self.config.settings.concurrency())
            .try_collect()
            .await
    }

    async fn instances(
        &self,
        service: &Service,
        cluster: &Element,
    ) -> Result<Vec<Element>, DiscoveryError> {
        let arn = text(cluster, "DBClusterArn").unwrap_or_default();
        let own = Filter {
            name: "db-cluster-id".to_owned(),
            values: vec![arn.to_owned()],
        };
        let mut pairs = Vec::new();
        for (i, filter) in [&own].into_iter().chain(&self.config.filters).enumerate() {
            let name = format!("Filters.Filter.{}", i + 1);
            pairs.push((format!("{name}.Name"), filter.name.clone()));
            let values = filter.values.iter().enumerate();
            pairs.extend(
                values.map(|(j, value)| (format!("{name}.Values.Value.{}", j + 1), value.clone())),
            );
        }
        let action = ("DescribeDBInstances", "DBInstances");
        self.list(service, action, pairs).await.map_err(|error| {
            DiscoveryError::Answer(format!(
                "error describing DB instances: failed to describe DB instances for cluster ARN {arn}: {error}"
            ))
        })
    }
}

fn target(cluster: &Element, instance: &Element, port: i64) -> LabelMap {
    let mut labels = LabelMap::new();
    put_texts(&mut labels, CLUSTER_PREFIX, cluster, CLUSTER_TEXTS);
    put_times(&mut labels, CLUSTER_PREFIX, cluster, CLUSTER_TIMES);
    put_tags(
        &mut labels,
        "__meta_rds_cluster_tag_",
        items(cluster, "TagList"),
    );
    put_texts(&mut labels, INSTANCE_PREFIX, instance, INSTANCE_TEXTS);
    put_times(&mut labels, INSTANCE_PREFIX, instance, INSTANCE_TIMES);
    put_tags(
        &mut labels,
        "__meta_rds_instance_tag_",
        items(instance, "TagList"),
    );
    let own = text(instance, "DBInstanceIdentifier");
    let mut members = items(cluster, "DBClusterMembers").iter();
    let member = members.find(|member| text(member, "DBInstanceIdentifier") == own);
    if let Some(is_writer) = member.and_then(|member| text(member, "IsClusterWriter")) {
        let name = format!("{INSTANCE_PREFIX}is_cluster_writer");
        labels.insert(name, is_writer.to_owned());
    }
    let address = text(instance, "Endpoint/Address");
    if let (Some(address), Some(_)) = (address, text(instance, "Endpoint/Port")) {
        labels.insert(ADDRESS.to_owned(), host_port(address, port));
    }
    labels
}
