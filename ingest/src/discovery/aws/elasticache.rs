//! Caches of ElastiCache: nodes of clusters, and serverless ones.

mod labels;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream, try_join};

use super::api::{AwsClient, Service};
use super::managed::{
    ManagedSettings, REQUEST_CONCURRENCY, ask, ask_for_all, items, parameters, text,
};
use crate::config::ConfigError;
use crate::config::decode::Fields;
use crate::config::write::Entries;
use crate::config::yaml::Node;
use crate::discovery::kind::Kind;
use crate::discovery::periodic::{Periodic, Refresh};
use crate::discovery::xml::Element;
use crate::discovery::{Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::environment::Environment;

const VERSION: &str = "2015-02-02";

/// One entry of `elasticache_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticacheConfig(pub ManagedSettings);

impl Kind for ElasticacheConfig {
    const NAME: &'static str = "elasticache";

    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "aws.plain")?;
        let settings = ManagedSettings::take(&mut fields, node, directory, REQUEST_CONCURRENCY)?;
        fields.finish(&[])?;
        Ok(Self(settings))
    }

    fn render(&self, entries: &mut Entries) {
        self.0.render(entries, None);
    }

    fn discovery(&self, _: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        let discovery = ElasticacheDiscovery {
            client: AwsClient::new(&self.0.aws, Environment::default())?,
            settings: self.0.clone(),
        };
        Ok(Periodic::boxed(self.0.aws.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct ElasticacheDiscovery {
    client: AwsClient,
    settings: ManagedSettings,
}

/// A list to ask for: its action, its name in the answer, what leads to the next page, and what it has to have in common.
struct List {
    action: &'static str,
    list: &'static str,
    marker: &'static str,
    /// The parameter that names one item.
    id: &'static str,
    parameters: &'static [(&'static str, &'static str)],
    /// One and many in messages.
    names: [&'static str; 2],
}

const SERVERLESS: List = List {
    action: "DescribeServerlessCaches",
    list: "ServerlessCaches",
    marker: "NextToken",
    id: "ServerlessCacheName",
    parameters: &[("MaxResults", "50")],
    names: ["serverless cache", "serverless caches"],
};

/// All clusters, and then once more those that are not replicated: a cluster that is named may be found one way only.
const CLUSTERS: [List; 2] = [clusters("false"), clusters("true")];

const fn clusters(not_replicated: &'static str) -> List {
    List {
        action: "DescribeCacheClusters",
        list: "CacheClusters",
        marker: "Marker",
        id: "CacheClusterId",
        parameters: match not_replicated.as_bytes() {
            b"true" => &[
                ("MaxRecords", "100"),
                ("ShowCacheNodeInfo", "true"),
                ("ShowCacheClustersNotInReplicationGroups", "true"),
            ],
            _ => &[
                ("MaxRecords", "100"),
                ("ShowCacheNodeInfo", "true"),
                ("ShowCacheClustersNotInReplicationGroups", "false"),
            ],
        },
        names: ["cache cluster", "cache clusters"],
    }
}

#[async_trait]
impl Refresh for ElasticacheDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let service = self.client.service("ElastiCache", "elasticache").await?;
        let (serverless, clusters) = split(&self.settings.clusters);
        let [all, not_replicated] = &CLUSTERS;
        let (caches, mut found, more) = try_join!(
            self.list(&service, &SERVERLESS, &serverless),
            self.list(&service, all, &clusters),
            self.list(&service, not_replicated, &clusters),
        )?;
        for cluster in more {
            if !found.contains(&cluster) {
                found.push(cluster);
            }
        }
        let tags = self.tags(&service, caches.iter().chain(&found)).await?;
        let tags_of = |element: &Element| {
            let arn = text(element, "ARN").unwrap_or_default();
            tags.get(arn).map_or(&[][..], Vec::as_slice)
        };
        let caches = caches
            .iter()
            .map(|cache| labels::serverless(cache, tags_of(cache)));
        let mut targets: Vec<_> = caches.collect();
        for cluster in &found {
            labels::add_nodes(&mut targets, cluster, tags_of(cluster));
        }
        Ok(vec![TargetGroup {
            source: service.region,
            targets,
            labels: LabelMap::new(),
        }])
    }
}

/// The names of serverless caches and those of replicated ones among ARNs.
fn split(arns: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut serverless, mut replicated) = (Vec::new(), Vec::new());
    for arn in arns.iter().filter(|arn| !arn.is_empty()) {
        let parts: Vec<_> = arn.split(':').collect();
        match parts.get(5..7) {
            Some(["serverlesscache", name]) => serverless.push((*name).to_owned()),
            Some(["replicationgroup", name]) => replicated.push((*name).to_owned()),
            Some(_) => {}
            None => tracing::warn!(arn, "Skipping invalid ElastiCache ARN"),
        }
    }
    (serverless, replicated)
}

impl ElasticacheDiscovery {
    /// The items of these names, or all of the list if there are none.
    async fn list(
        &self,
        service: &Service,
        list: &List,
        names: &[String],
    ) -> Result<Vec<Element>, DiscoveryError> {
        let [one, many] = list.names;
        let ask = async |parameters: &[(String, String)]| {
            let action = (list.action, VERSION);
            let place = (list.list, list.marker);
            ask_for_all(&self.client, service, action, parameters, place).await
        };
        let common = parameters(list.parameters);
        if names.is_empty() {
            return ask(&common).await.map_err(|error| {
                DiscoveryError::Answer(format!(
                    "failed to describe {many}: failed to describe {many}: {error}"
                ))
            });
        }
        let mut all = Vec::new();
        for name in names {
            let mut parameters = common.clone();
            parameters.push((list.id.to_owned(), name.clone()));
            all.extend(ask(&parameters).await.map_err(|error| {
                DiscoveryError::Answer(format!(
                    "failed to describe {many}: failed to describe {one} {name}: {error}"
                ))
            })?);
        }
        Ok(all)
    }

    /// The tags of caches, by ARN.
    async fn tags(
        &self,
        service: &Service,
        caches: impl Iterator<Item = &Element>,
    ) -> Result<BTreeMap<String, Vec<Element>>, DiscoveryError> {
        let arns = caches.filter_map(|cache| text(cache, "ARN").map(str::to_owned));
        let asked: Vec<_> = arns
            .map(|arn| async move {
                let parameters = parameters(&[("ResourceName", &arn)]);
                let action = "ListTagsForResource";
                let answer = ask(&self.client, service, action, VERSION, &parameters).await;
                let answer = answer.map_err(|error| {
                    DiscoveryError::Answer(format!(
                        "failed to list tags for resources: failed to list tags for resource {arn}: {error}"
                    ))
                })?;
                Ok::<_, DiscoveryError>((arn, items(&answer, "TagList").to_vec()))
            })
            .collect();
        let asked = stream::iter(asked).buffered(self.settings.concurrency());
        asked.try_collect().await
    }
}
