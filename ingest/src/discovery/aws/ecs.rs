//! Tasks of ECS.

mod api;
mod targets;

use std::path::Path;

use async_trait::async_trait;
use futures::future::join_all;
use futures::{FutureExt as _, try_join};

use self::api::EcsApi;
use self::targets::{ClusterTasks, targets};
use super::api::AwsClient;
use super::managed::ManagedSettings;
use crate::config::ConfigError;
use crate::config::decode::Fields;
use crate::config::write::Entries;
use crate::config::yaml::Node;
use crate::discovery::kind::Kind;
use crate::discovery::periodic::{Periodic, Refresh};
use crate::discovery::{Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::environment::Environment;

/// Questions at the same time, by default: those that Amazon answers in a second.
pub(super) const REQUEST_CONCURRENCY: i64 = 20;

/// One entry of `ecs_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcsConfig(pub ManagedSettings);

impl Kind for EcsConfig {
    const NAME: &'static str = "ecs";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "aws.plain")?;
        let settings = ManagedSettings::take(&mut fields, node, directory, REQUEST_CONCURRENCY)?;
        fields.finish(&[])?;
        Ok(Self(settings))
    }

    fn render(&self, entries: &mut Entries) {
        self.0.render(entries, None);
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
            client: AwsClient::new(&self.0.aws, environment)?,
            settings: self.0.clone(),
            failures,
        };
        Ok(Periodic::boxed(self.0.aws.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct EcsDiscovery {
    client: AwsClient,
    settings: ManagedSettings,
    failures: Failures,
}

#[async_trait]
impl Refresh for EcsDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let ecs = self.client.service("ECS", "ecs").await?;
        let ec2 = self.client.other_service("EC2", "ec2").await?;
        let api = EcsApi {
            client: &self.client,
            concurrency: self.settings.concurrency(),
            ecs: &ecs,
            ec2: &ec2,
        };
        let mut arns = self.settings.clusters.clone();
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
                Ok(cluster) => found.extend(targets(&cluster, &ecs.region, self.settings.aws.port)),
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
