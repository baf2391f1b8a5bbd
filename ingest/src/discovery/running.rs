//! Discoveries that run: one task for each configuration.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Discovery, DiscoveryConfig, DiscoveryError, DiscoveryMetrics, Failures, TargetGroup};

/// The latest list; `None` until the first refresh is over.
type Latest = Option<Arc<Vec<TargetGroup>>>;

/// The discoveries of a process. Equal configurations share one, whoever has them, and one that somebody still subscribes to
/// goes on undisturbed when the configuration is read again.
#[derive(Debug, Default)]
pub struct Discoveries {
    running: Mutex<Vec<Weak<Running>>>,
    metrics: Arc<DiscoveryMetrics>,
}

#[derive(Debug)]
struct Running {
    config: DiscoveryConfig,
    latest: watch::Sender<Latest>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}

/// The lists of one discovery, which runs as long as anybody has one of these.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Keeps it running.
    _running: Arc<Running>,
    latest: watch::Receiver<Latest>,
}

impl Discoveries {
    /// No discovery yet.
    pub fn new(metrics: Arc<DiscoveryMetrics>) -> Self {
        Self {
            running: Mutex::default(),
            metrics,
        }
    }

    /// Subscribes to the discovery of a configuration, and starts it if it does not run. Must be called within a runtime.
    pub fn subscribe(&self, config: &DiscoveryConfig) -> Result<Subscription, DiscoveryError> {
        let mut known = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|running| running.strong_count() > 0);
        let mut alive = known.iter().filter_map(Weak::upgrade);
        let running = match alive.find(|running| running.config == *config) {
            Some(running) => running,
            None => {
                let running = start(config, self.metrics.failures(config.kind()))?;
                known.push(Arc::downgrade(&running));
                running
            }
        };
        // What was found before this subscription is new to it.
        let mut latest = running.latest.subscribe();
        latest.mark_changed();
        Ok(Subscription {
            latest,
            _running: running,
        })
    }
}

fn start(config: &DiscoveryConfig, failures: Failures) -> Result<Arc<Running>, DiscoveryError> {
    let discovery = config.discovery(failures.clone())?;
    let latest = watch::Sender::new(None);
    let task = tokio::spawn(run(discovery, config.kind(), failures, latest.clone()));
    Ok(Arc::new(Running {
        config: config.clone(),
        latest,
        task: Mutex::new(Some(task)),
    }))
}

/// Refreshes for ever.
async fn run(
    mut discovery: Box<dyn Discovery>,
    kind: &'static str,
    failures: Failures,
    latest: watch::Sender<Latest>,
) {
    loop {
        match discovery.refresh().await {
            Ok(groups) => {
                latest.send_if_modified(|latest| {
                    let differs = latest.as_deref() != Some(&groups);
                    if differs {
                        *latest = Some(Arc::new(groups));
                    }
                    differs
                });
            }
            Err(error) => {
                failures.count();
                tracing::error!(
                    discovery = kind,
                    %error,
                    "cannot refresh targets; those found before stay"
                );
                latest.send_if_modified(|latest| {
                    let first = latest.is_none();
                    latest.get_or_insert_default();
                    first
                });
            }
        }
        discovery.changed().await;
    }
}

impl Subscription {
    /// The latest groups; none before the first refresh is over, or if none succeeded.
    pub fn groups(&mut self) -> Arc<Vec<TargetGroup>> {
        self.latest.borrow_and_update().clone().unwrap_or_default()
    }

    /// Returns when the first refresh is over, well or not.
    pub async fn first(&self) {
        // The sender lives as long as `self`.
        let _ = self.latest.clone().wait_for(Option::is_some).await;
    }

    /// Returns when there are groups that [`Self::groups`] has not given yet.
    pub async fn changed(&mut self) {
        let _ = self.latest.changed().await;
    }
}
