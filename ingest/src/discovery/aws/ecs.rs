//! Tasks of ECS.

mod api;
mod targets;

use std::path::Path;

use async_trait::async_trait;
use futures::future::join_all;
use futures::{FutureExt as _, try_join};

use self::api::EcsApi;
use self::targets::{ClusterTasks, targets};
use super::AwsSettings;
use super::api::AwsClient;
use crate::config::decode::{Fields, integer, strings};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::config::{ConfigError, render};
use crate::discovery::kind::{Kind, render_interval};
use crate::discovery::periodic::{Periodic, Refresh};
use crate::discovery::{Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::environment::Environment;

/// Questions at the same time, by default: those that Amazon answers in a second.
pub(super) const REQUEST_CONCURRENCY: i64 = 20;

/// One entry of `ecs_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcsConfig {
    /// What all services of Amazon have.
    pub aws: AwsSettings,
    /// The ARNs of the clusters that count; all if there is none.
    pub clusters: Vec<String>,
    /// How many questions of one kind are asked at the same time.
    pub request_concurrency: i64,
}

impl Kind for EcsConfig {
    const NAME: &'static str = "ecs";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "aws.plain")?;
        let config = Self {
            clusters: fields.read("clusters", strings)?.unwrap_or_default(),
            request_concurrency: fields
                .read("request_concurrency", integer)?
                .unwrap_or(REQUEST_CONCURRENCY),
            aws: AwsSettings::take(&mut fields, node, directory)?,
        };
        fields.finish(&[])?;
        Ok(config)
    }

    fn render(&self, entries: &mut Entries) {
        entries
            .text("region", &self.aws.region)
            .text("endpoint", &self.aws.endpoint);
        self.aws.render_credentials(entries);
        let clusters = self.clusters.iter().cloned().map(Yaml::Text);
        entries.list_if_set("clusters", clusters.collect());
        self.aws.render_port(entries);
        render_interval(entries, self.aws.refresh_interval);
        if self.request_concurrency != 0 {
            let concurrency = Yaml::Raw(self.request_concurrency.to_string());
            entries.put("request_concurrency", concurrency);
        }
        render::http(entries, &self.aws.http);
    }

    fn discovery(&self, failures: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        self.discovery_in(Environment::default(), failures)
    }
}

impl EcsConfig {
    /// The discovery with other environment variables than those of the process.
    pub(crate) fn discovery_in(
        &self,
        environment: Environment,
        failures: Failures,
    ) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = EcsDiscovery {
            client: AwsClient::new(&self.aws, environment)?,
            config: self.clone(),
            failures,
        };
        Ok(Periodic::boxed(self.aws.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct EcsDiscovery {
    client: AwsClient,
    config: EcsConfig,
    failures: Failures,
}

#[async_trait]
impl Refresh for EcsDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let ecs = self.client.service("ECS", "ecs").await?;
        let ec2 = self.client.other_service("EC2", "ec2").await?;
        let api = EcsApi {
            client: &self.client,
            concurrency: usize::try_from(self.config.request_concurrency)
                .unwrap_or(usize::MAX)
                .max(1),
            ecs: &ecs,
            ec2: &ec2,
        };
        let mut arns = self.config.clusters.clone();
        if arns.is_empty() {
            arns = api.list_clusters().await?;
        }
        let (clusters, services, tasks) = try_join!(
            api.clusters(&arns),
            api.list_all("ListServices", "services", &arns),
            api.list_all("ListTasks", "tasks", &arns),
        )?;
        let busy = tasks.iter().filter(|(_, tasks)| !tasks.is_empty());
        let described = busy.filter_map(|(arn, tasks)| {
            let Some(cluster) = clusters.get(arn) else {
                tracing::warn!(discovery = "ecs", cluster = arn, "no cluster has this ARN");
                return None;
            };
            let services = services.get(arn).map_or(&[][..], Vec::as_slice);
            Some(ClusterTasks::describe(&api, cluster, services, tasks).boxed())
        });
        let described: Vec<_> = described.collect();
        let mut found = Vec::new();
        for described in join_all(described).await {
            match described {
                Ok(cluster) => found.extend(targets(&cluster, &ecs.region, self.config.aws.port)),
                Err(error) => {
                    self.failures.count();
                    tracing::error!(discovery = "ecs", %error, "cannot describe a cluster; it is left out");
                }
            }
        }
        Ok(vec![TargetGroup {
            source: ecs.region,
            targets: found,
            labels: LabelMap::new(),
        }])
    }
}
