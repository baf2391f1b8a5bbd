//! Targets from the catalog of Consul (`consul_sd_configs`).
//!
//! The first refresh asks for every service once. From then on [`watch`] keeps one blocking query open for the catalog and
//! one for each service, and a refresh is what these have found.

mod api;
mod config;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use tokio::sync::watch::{Receiver, Sender};
use tokio::task::JoinSet;

use self::api::ConsulApi;
pub use self::config::ConsulConfig;
use super::{Discovery, DiscoveryError, Failures, TargetGroup};

/// How long to wait after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(15);

/// Services that the first refresh asks for at the same time.
const REQUESTS_AT_ONCE: usize = 16;

/// What the discovery shares with its watches.
#[derive(Debug)]
struct Shared {
    api: ConsulApi,
    config: ConsulConfig,
    found: Mutex<BTreeMap<String, Found>>,
    changes: Sender<()>,
    failures: Failures,
}

/// A service as it was last seen.
#[derive(Clone, Debug, Default)]
struct Found {
    /// Has no source where the service was not read yet.
    group: TargetGroup,
    /// The index of the answer; 0 where there was none yet.
    index: u64,
}

impl Shared {
    fn found(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, what: &str, error: &DiscoveryError) {
        self.failures.count();
        tracing::error!(%error, "error refreshing {what} of Consul");
    }
}

#[derive(Debug)]
struct ConsulDiscovery {
    shared: Arc<Shared>,
    changes: Receiver<()>,
    /// Where and how far the catalog was read; `None` before the first refresh that succeeded.
    start: Option<Start>,
    /// The watches, once there are any.
    watches: JoinSet<()>,
}

/// From where watches go on.
#[derive(Clone, Debug)]
struct Start {
    datacenter: String,
    /// The index of the list of services; 0 where it is not watched.
    catalog_index: u64,
}

impl ConsulDiscovery {
    fn new(config: ConsulConfig, failures: Failures) -> Result<Self, DiscoveryError> {
        let changes = Sender::new(());
        Ok(Self {
            changes: changes.subscribe(),
            shared: Arc::new(Shared {
                api: ConsulApi::new(&config)?,
                config,
                found: Mutex::default(),
                changes,
                failures,
            }),
            start: None,
            watches: JoinSet::new(),
        })
    }

    /// Asks for everything once. Services that cannot be read keep what they had; if that is all of them, it is an error.
    async fn read_all(&mut self) -> Result<(), DiscoveryError> {
        let shared = &self.shared;
        let datacenter = shared.api.datacenter().await?;
        let mut catalog_index = 0;
        let services: Vec<String> = if shared.config.watches_catalog() {
            let catalog = shared.api.services(0).await?;
            catalog_index = catalog.index;
            let wanted = catalog.value.into_iter();
            let wanted = wanted.filter(|(name, tags)| shared.config.wants(name, tags));
            wanted.map(|(name, _)| name).collect()
        } else {
            shared.config.services.clone()
        };
        shared.found().retain(|name, _| services.contains(name));
        let (mut read, mut error) = (services.is_empty(), None);
        let requests = services.into_iter().map(|name| {
            let datacenter = &datacenter;
            async move {
                let answer = shared.api.group(&name, datacenter, 0).await;
                (name, answer)
            }
        });
        let mut answers = futures::stream::iter(requests).buffer_unordered(REQUESTS_AT_ONCE);
        while let Some((name, answer)) = answers.next().await {
            match answer {
                Ok(answer) => {
                    read = true;
                    let (group, index) = (answer.value, answer.index);
                    shared.found().insert(name, Found { group, index });
                }
                Err(failed) => {
                    shared.failed("a service", &failed);
                    shared.found().entry(name).or_default().index = 0;
                    error = Some(failed);
                }
            }
        }
        match error {
            Some(error) if !read => Err(error),
            _ => {
                self.start = Some(Start {
                    datacenter: datacenter.clone(),
                    catalog_index,
                });
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Discovery for ConsulDiscovery {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, DiscoveryError> {
        self.changes.borrow_and_update();
        if self.watches.is_empty() {
            self.read_all().await?;
        }
        let found = self.shared.found();
        let groups = found.values().map(|found| &found.group);
        let read = groups.filter(|group| !group.source.is_empty());
        Ok(read.cloned().collect())
    }

    async fn changed(&mut self) {
        let Some(start) = &self.start else {
            tokio::time::sleep(RETRY_INTERVAL).await;
            return;
        };
        if self.watches.is_empty() {
            let watches = watch::watch_all(Arc::clone(&self.shared), start.clone());
            self.watches.spawn(watches);
        }
        // The sender lives as long as `self`.
        let _ = self.changes.changed().await;
    }
}
