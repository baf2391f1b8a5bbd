//! Members of services that register with ZooKeeper: of Twitter's server sets (`serverset_sd_configs`) and of AirBnB's Nerve
//! (`nerve_sd_configs`).
//!
//! All nodes below the configured paths are read, with a watch on each. When one of them changes they are read again.

mod client;
mod member;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use self::client::Connection;
use self::member::Read;
use super::kind::Kind;
use super::{Discovery, DiscoveryError, Failures, LabelMap, TargetGroup};
use crate::config::ConfigError;
use crate::config::decode::{Fields, duration, error_at, strings};
use crate::config::write::{Entries, Yaml};
use crate::config::yaml::Node;
use crate::duration::format_duration;

/// How long after a failure another attempt is made.
const RETRY: Duration = Duration::from_secs(10);

/// How long changes are collected before the nodes are read again.
const GATHERING: Duration = Duration::from_millis(200);

/// Nodes that are read at most.
const NODES_MAX: usize = 1_000_000;

/// The settings of both kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZookeeperSettings {
    /// The servers.
    pub servers: Vec<String>,
    /// The paths below which members register.
    pub paths: Vec<String>,
    /// How long a session outlives its connection.
    pub timeout: Duration,
}

/// One entry of `serverset_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServersetConfig(pub ZookeeperSettings);

/// One entry of `nerve_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NerveConfig(pub ZookeeperSettings);

impl ZookeeperSettings {
    fn decode(node: &Node, kind: &str) -> Result<Self, ConfigError> {
        let mut fields = Fields::of(node, "zookeeper.plain")?;
        let timeout = fields.read("timeout", duration)?;
        let settings = Self {
            servers: fields.read("servers", strings)?.unwrap_or_default(),
            paths: fields.read("paths", strings)?.unwrap_or_default(),
            timeout: timeout.unwrap_or(Duration::from_secs(10)),
        };
        fields.finish(&[])?;
        if settings.servers.is_empty() {
            let message = format!("{kind} SD config must contain at least one Zookeeper server");
            return error_at(node, message);
        }
        if settings.paths.is_empty() {
            return error_at(
                node,
                format!("{kind} SD config must contain at least one path"),
            );
        }
        match settings.paths.iter().find(|path| !path.starts_with('/')) {
            Some(path) => error_at(
                node,
                format!("{kind} SD config paths must begin with '/': {path}"),
            ),
            None => Ok(settings),
        }
    }

    fn render(&self, entries: &mut Entries) {
        let texts = |texts: &[String]| Yaml::List(texts.iter().cloned().map(Yaml::Text).collect());
        entries
            .put("servers", texts(&self.servers))
            .put("paths", texts(&self.paths));
        if !self.timeout.is_zero() {
            entries.text("timeout", format_duration(self.timeout));
        }
    }

    fn discovery(&self, read: Read, failures: Failures) -> Box<dyn Discovery> {
        Box::new(Zookeeper {
            settings: self.clone(),
            read,
            failures,
            connection: None,
            attempts: 0,
            incomplete: false,
        })
    }
}

impl Kind for ServersetConfig {
    const NAME: &'static str = "serverset";

    fn decode(node: &Node, _: &Path) -> Result<Self, ConfigError> {
        ZookeeperSettings::decode(node, Self::NAME).map(Self)
    }

    fn render(&self, entries: &mut Entries) {
        self.0.render(entries);
    }

    fn discovery(&self, failures: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        Ok(self.0.discovery(member::serverset, failures))
    }
}

impl Kind for NerveConfig {
    const NAME: &'static str = "nerve";

    fn decode(node: &Node, _: &Path) -> Result<Self, ConfigError> {
        ZookeeperSettings::decode(node, Self::NAME).map(Self)
    }

    fn render(&self, entries: &mut Entries) {
        self.0.render(entries);
    }

    fn discovery(&self, failures: Failures) -> Result<Box<dyn Discovery>, DiscoveryError> {
        Ok(self.0.discovery(member::nerve, failures))
    }
}

#[derive(Debug)]
struct Zookeeper {
    settings: ZookeeperSettings,
    read: Read,
    failures: Failures,
    connection: Option<Connection>,
    /// Connections that were tried: each begins with another server.
    attempts: usize,
    /// Whether a path was missing.
    incomplete: bool,
}

#[async_trait]
impl Discovery for Zookeeper {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        // The session may have ended since it was last used.
        if let Some(connection) = self.connection.take()
            && let Ok(groups) = self.groups(connection).await
        {
            return Ok(groups);
        }
        let connection = self.connect().await?;
        self.groups(connection).await
    }

    async fn changed(&mut self) {
        let Some(connection) = &mut self.connection else {
            return tokio::time::sleep(RETRY).await;
        };
        let waited = match self.incomplete {
            true => tokio::time::timeout(RETRY, connection.changed()).await,
            false => Ok(connection.changed().await),
        };
        match waited {
            Ok(Ok(())) => tokio::time::sleep(GATHERING).await,
            Ok(Err(error)) => {
                tracing::info!(%error, "lost the connection to ZooKeeper");
                self.connection = None;
            }
            Err(_) => {}
        }
    }
}

impl Zookeeper {
    /// Connects to the first server that answers.
    async fn connect(&mut self) -> Result<Connection, DiscoveryError> {
        let servers = &self.settings.servers;
        let first = self.attempts % servers.len().max(1);
        self.attempts = self.attempts.wrapping_add(1);
        let order = servers.iter().cycle().skip(first).take(servers.len());
        let mut last = DiscoveryError::Setup("there are no ZooKeeper servers".to_owned());
        for server in order {
            match Connection::open(server, self.settings.timeout).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = DiscoveryError::Answer(format!("{server}: {error}")),
            }
        }
        Err(last)
    }

    /// Reads all nodes. A connection that fails is not kept.
    async fn groups(
        &mut self,
        mut connection: Connection,
    ) -> Result<Vec<TargetGroup>, DiscoveryError> {
        connection.begin();
        let mut groups = Vec::new();
        let mut missing = false;
        for path in &self.settings.paths {
            if !read_tree(&mut connection, path, self.read, &mut groups).await? {
                tracing::error!(path, "a path does not exist in ZooKeeper");
                self.failures.count();
                missing = true;
            }
        }
        self.incomplete = missing;
        self.connection = Some(connection);
        Ok(groups)
    }
}

/// Reads a node and all that are below it. False if it is not there.
async fn read_tree(
    connection: &mut Connection,
    root: &str,
    read: Read,
    groups: &mut Vec<TargetGroup>,
) -> Result<bool, DiscoveryError> {
    let failed =
        |error: client::ZookeeperError| DiscoveryError::Answer(format!("ZooKeeper: {error}"));
    let mut waiting = vec![root.to_owned()];
    let mut seen = 0_usize;
    while let Some(path) = waiting.pop() {
        seen += 1;
        if seen > NODES_MAX {
            let message = format!("more than {NODES_MAX} nodes in ZooKeeper below {root}");
            return Err(DiscoveryError::Answer(message));
        }
        let Some(data) = connection.data(&path).await.map_err(failed)? else {
            match path == root {
                true => return Ok(false),
                false => continue,
            }
        };
        // Nodes on the way to the members have no data, or other data.
        if let Some(labels) = read(&data, &path) {
            groups.push(TargetGroup {
                source: path.clone(),
                targets: vec![labels],
                labels: LabelMap::new(),
            });
        }
        let mut children = connection.children(&path).await.map_err(failed)?;
        children.sort_unstable_by(|a, b| b.cmp(a));
        let parent = path.trim_end_matches('/');
        waiting.extend(children.iter().map(|child| format!("{parent}/{child}")));
    }
    Ok(true)
}
