//! Brokers and controllers of MSK, Amazon's Kafka.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::api::{AwsClient, Service};
use super::managed::{ManagedSettings, REQUEST_CONCURRENCY};
use crate::config::ConfigError;
use crate::config::decode::Fields;
use crate::config::write::Entries;
use crate::config::yaml::Node;
use crate::discovery::cloud::{PAGES_MAX, Target, answers, group};
use crate::discovery::kind::Kind;
use crate::discovery::labels::sanitized;
use crate::discovery::periodic::{Periodic, Refresh};
use crate::discovery::{Discovery, DiscoveryError, Failures, TargetGroup};
use crate::environment::Environment;
use crate::sigv4::form;

const PREFIX: &str = "__meta_msk_";

/// The clusters that have brokers of their own.
const PROVISIONED: &str = "PROVISIONED";

/// One entry of `msk_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MskConfig(pub ManagedSettings);

impl Kind for MskConfig {
    const NAME: &'static str = "msk";

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
        let discovery = MskDiscovery {
            client: AwsClient::new(&self.0.aws, Environment::default())?,
            settings: self.0.clone(),
        };
        Ok(Periodic::boxed(self.0.aws.refresh_interval, discovery))
    }
}

#[derive(Debug)]
struct MskDiscovery {
    client: AwsClient,
    settings: ManagedSettings,
}

answers! {
    ClusterPage {
        #[serde(rename = "clusterInfoList")]
        clusters: Vec<Cluster>,
        #[serde(rename = "nextToken")]
        next_token: String,
    }
    ClusterAnswer {
        #[serde(rename = "clusterInfo")]
        cluster: Cluster,
    }
    Cluster {
        #[serde(rename = "clusterArn")]
        arn: String,
        #[serde(rename = "clusterName")]
        name: String,
        #[serde(rename = "clusterType")]
        kind: String,
        #[serde(rename = "currentVersion")]
        version: String,
        state: String,
        tags: BTreeMap<String, String>,
        provisioned: Provisioned,
    }
    Provisioned {
        #[serde(rename = "currentBrokerSoftwareInfo")]
        software: Software,
        #[serde(rename = "openMonitoring")]
        monitoring: Monitoring,
    }
    Software {
        #[serde(rename = "configurationArn")]
        configuration_arn: Option<String>,
        #[serde(rename = "configurationRevision")]
        configuration_revision: Option<i64>,
        #[serde(rename = "kafkaVersion")]
        kafka_version: String,
    }
    Monitoring { prometheus: Exporters, }
    Exporters {
        #[serde(rename = "jmxExporter")]
        jmx: Option<Exporter>,
        #[serde(rename = "nodeExporter")]
        node: Option<Exporter>,
    }
    Exporter {
        #[serde(rename = "enabledInBroker")]
        enabled: bool,
    }
    NodePage {
        #[serde(rename = "nodeInfoList")]
        nodes: Vec<KafkaNode>,
        #[serde(rename = "nextToken")]
        next_token: String,
    }
    KafkaNode {
        #[serde(rename = "nodeARN")]
        arn: String,
        #[serde(rename = "addedToClusterTime")]
        added: String,
        #[serde(rename = "instanceType")]
        instance_type: String,
        #[serde(rename = "brokerNodeInfo")]
        broker: Option<Broker>,
        #[serde(rename = "controllerNodeInfo")]
        controller: Option<Controller>,
    }
    Broker {
        #[serde(rename = "attachedENIId")]
        attached_eni: String,
        #[serde(rename = "brokerId")]
        id: f64,
        #[serde(rename = "clientSubnet")]
        client_subnet: String,
        #[serde(rename = "clientVpcIpAddress")]
        client_vpc_ip: String,
        endpoints: Vec<String>,
    }
    Controller { endpoints: Vec<String>, }
}

#[async_trait]
impl Refresh for MskDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        let service = self.client.service("Kafka", "kafka").await?;
        let clusters = match self.settings.clusters.is_empty() {
            true => self.all_clusters(&service).await?,
            false => self.given_clusters(&service).await?,
        };
        let nodes = clusters.iter().map(|cluster| self.nodes(&service, cluster));
        let nodes = stream::iter(nodes.collect::<Vec<_>>());
        let nodes = nodes.buffered(self.settings.concurrency());
        let nodes: Vec<Vec<KafkaNode>> = nodes.try_collect().await?;
        let mut targets = Vec::new();
        for (cluster, nodes) in clusters.iter().zip(&nodes) {
            for node in nodes {
                self.add_targets(&mut targets, cluster, node);
            }
        }
        Ok(group(&service.region, targets))
    }
}

fn encoded(arn: &str) -> String {
    arn.replace(':', "%3A").replace('/', "%2F")
}

impl MskDiscovery {
    async fn all_clusters(&self, service: &Service) -> Result<Vec<Cluster>, DiscoveryError> {
        let mut all = Vec::new();
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let parameters = [
                ("clusterTypeFilter", PROVISIONED),
                ("maxResults", "100"),
                ("nextToken", &token),
            ];
            let query = form(parameters.iter().filter(|(_, value)| !value.is_empty()));
            let path = format!("/api/v2/clusters?{query}");
            let asked = self.client.get(service, "ListClustersV2", &path);
            let page: ClusterPage = asked.await.map_err(|error| {
                DiscoveryError::Answer(format!("could not list clusters: {error}"))
            })?;
            all.extend(page.clusters);
            token = page.next_token;
            if token.is_empty() {
                break;
            }
        }
        Ok(all)
    }

    /// The clusters of the configuration that have brokers of their own.
    async fn given_clusters(&self, service: &Service) -> Result<Vec<Cluster>, DiscoveryError> {
        let asked = self.settings.clusters.iter().map(|arn| async move {
            let path = format!("/api/v2/clusters/{}", encoded(arn));
            let asked = self.client.get(service, "DescribeClusterV2", &path);
            let answer: ClusterAnswer = asked.await.map_err(|error| {
                DiscoveryError::Answer(format!("could not describe cluster {arn}: {error}"))
            })?;
            Ok::<_, DiscoveryError>(answer.cluster)
        });
        let asked = stream::iter(asked.collect::<Vec<_>>());
        let asked = asked.buffered(self.settings.concurrency());
        let mut clusters: Vec<Cluster> = asked.try_collect().await?;
        clusters.retain(|cluster| {
            let provisioned = cluster.kind == PROVISIONED;
            if !provisioned {
                tracing::warn!(
                    cluster = cluster.arn,
                    kind = cluster.kind,
                    "Skipping non-provisioned MSK cluster, only provisioned clusters are supported"
                );
            }
            provisioned
        });
        Ok(clusters)
    }

    async fn nodes(
        &self,
        service: &Service,
        cluster: &Cluster,
    ) -> Result<Vec<KafkaNode>, DiscoveryError> {
        let mut all = Vec::new();
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let parameters = [("maxResults", "100"), ("nextToken", token.as_str())];
            let query = form(parameters.iter().filter(|(_, value)| !value.is_empty()));
            let path = format!("/v1/clusters/{}/nodes?{query}", encoded(&cluster.arn));
            let asked = self.client.get(service, "ListNodes", &path);
            let page: NodePage = asked.await.map_err(|error| {
                let arn = &cluster.arn;
                DiscoveryError::Answer(format!("could not list nodes for cluster {arn}: {error}"))
            })?;
            all.extend(page.nodes);
            token = page.next_token;
            if token.is_empty() {
                break;
            }
        }
        Ok(all)
    }

    /// Adds a target for each endpoint of a node.
    fn add_targets(&self, targets: &mut Vec<Target>, cluster: &Cluster, node: &KafkaNode) {
        let mut target = Target::new(PREFIX);
        let (endpoints, index) = match (&node.broker, &node.controller) {
            (Some(broker), _) => {
                target.put("node_type", "BROKER");
                target.put("node_attached_eni", &broker.attached_eni);
                target.put("broker_id", format!("{:.0}", broker.id));
                target.put("broker_client_subnet", &broker.client_subnet);
                target.put("broker_client_vpc_ip", &broker.client_vpc_ip);
                if let Some(exporter) = &cluster.provisioned.monitoring.prometheus.node {
                    let enabled = exporter.enabled.to_string();
                    target.put("broker_node_exporter_enabled", enabled);
                }
                (&broker.endpoints, "broker_endpoint_index")
            }
            (None, Some(controller)) => {
                target.put("node_type", "CONTROLLER");
                (&controller.endpoints, "controller_endpoint_index")
            }
            (None, None) => return,
        };
        let software = &cluster.provisioned.software;
        for (name, value) in [
            ("cluster_name", &cluster.name),
            ("cluster_arn", &cluster.arn),
            ("cluster_state", &cluster.state),
            ("cluster_type", &cluster.kind),
            ("cluster_version", &cluster.version),
            ("cluster_kafka_version", &software.kafka_version),
            ("node_arn", &node.arn),
            ("node_added_time", &node.added),
            ("node_instance_type", &node.instance_type),
        ] {
            target.put(name, value);
        }
        let arn = software.configuration_arn.as_ref();
        target.put_known("cluster_configuration_arn", arn);
        if let Some(revision) = software.configuration_revision {
            target.put("cluster_configuration_revision", revision.to_string());
        }
        if let Some(exporter) = &cluster.provisioned.monitoring.prometheus.jmx {
            let enabled = exporter.enabled.to_string();
            target.put("cluster_jmx_exporter_enabled", enabled);
        }
        for (name, value) in &cluster.tags {
            target.put(&format!("cluster_tag_{}", sanitized(name)), value);
        }
        for (i, endpoint) in endpoints.iter().enumerate() {
            let mut target = target.clone();
            target.put(index, i.to_string());
            target.address(endpoint, self.settings.aws.port);
            targets.push(target);
        }
    }
}
