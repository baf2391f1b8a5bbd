//! All receivers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use md5::{Digest, Md5};
use object_store::ObjectStore;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use varve_storage::keys::TenantKeys;
use varve_storage::wal::{WalHolds, WalMetrics};
use varve_storage::{Labels, MetricMetadata};

use super::client::ReceiverClient;
use super::metrics::ForwardMetrics;
use super::outgoing::Outgoing;
use super::position::PositionStore;
use super::worker::Worker;
use crate::config::{Config, RemoteWriteConfig};
use crate::error::{Error, Result};

/// Gives what the targets say about their metrics now.
pub type MetadataSource = Arc<dyn Fn() -> Vec<MetricMetadata> + Send + Sync>;

/// How long a receiver's last request may take when it is stopped, before it is cut off.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What forwarding reads from.
#[derive(Clone)]
pub struct ForwardOptions {
    /// Where the WAL lies.
    pub store: Arc<dyn ObjectStore>,
    /// Whose WAL.
    pub keys: TenantKeys,
    /// The shard that this process writes.
    pub shard: u32,
    /// The counters of its writer, which say how far the WAL goes.
    pub wal: Arc<WalMetrics>,
    /// What keeps segments from being deleted.
    pub holds: Arc<WalHolds>,
    /// What the targets say about their metrics.
    pub metadata: MetadataSource,
}

impl std::fmt::Debug for ForwardOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForwardOptions")
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Running {
    config: Arc<RemoteWriteConfig>,
    external_labels: Labels,
    metrics: Arc<ForwardMetrics>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    async fn end(self) {
        self.stop.send_replace(true);
        let mut task = self.task;
        if tokio::time::timeout(STOP_TIMEOUT, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// Forwards to all receivers of a configuration.
#[derive(Debug)]
pub struct ForwardManager {
    options: ForwardOptions,
    /// One change at a time.
    applying: tokio::sync::Mutex<()>,
    running: Mutex<BTreeMap<String, Running>>,
}

impl ForwardManager {
    /// A manager without receivers; [`Self::apply`] gives it some.
    pub fn new(options: ForwardOptions) -> Self {
        Self {
            options,
            applying: tokio::sync::Mutex::default(),
            running: Mutex::default(),
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the receivers those of a configuration. Those that stay the same go on undisturbed; one whose settings change, but
    /// not its name or URL, goes on where it was.
    ///
    /// # Errors
    /// Settings with which no request can be made, and a position that cannot be read: then nothing is changed.
    pub async fn apply(&self, config: &Config) -> Result<()> {
        let _one = self.applying.lock().await;
        let external_labels = &config.global.external_labels;
        let mut wanted = BTreeMap::new();
        for receiver in &config.remote_write {
            let metrics = Arc::new(ForwardMetrics::default());
            let (_, stop) = watch::channel(false);
            // Only to see that it can be made.
            ReceiverClient::new(receiver, &metrics, stop)?;
            wanted.insert(id(receiver), Arc::clone(receiver));
        }
        let ended: Vec<Running> = {
            let mut running = self.running();
            let changed: Vec<String> = running
                .iter()
                .filter(|(id, running)| {
                    let same = wanted
                        .get(*id)
                        .is_some_and(|config| *config == running.config);
                    !same || running.external_labels != *external_labels
                })
                .map(|(id, _)| id.clone())
                .collect();
            changed.iter().filter_map(|id| running.remove(id)).collect()
        };
        for running in ended {
            running.end().await;
        }
        for (id, config) in wanted {
            if !self.running().contains_key(&id) {
                let running = self.start(&id, config, external_labels.clone()).await?;
                self.running().insert(id, running);
            }
        }
        let running: Vec<String> = self.running().keys().cloned().collect();
        self.options
            .holds
            .retain(|reader| running.iter().any(|id| id == reader));
        Ok(())
    }

    async fn start(
        &self,
        id: &str,
        config: Arc<RemoteWriteConfig>,
        external_labels: Labels,
    ) -> Result<Running> {
        let options = &self.options;
        let store = Arc::clone(&options.store);
        let position = PositionStore::new(Arc::clone(&store), &options.keys, id, options.shard);
        let stored = position.load().await.map_err(|error| Error::Client {
            owner: format!("remote write to {}", config.label()),
            reason: format!("its position cannot be read: {error}"),
        })?;
        let done = stored.unwrap_or_else(|| options.wal.snapshot().last_sequence);
        options.holds.set(id, options.shard, done);
        let metrics = Arc::new(ForwardMetrics::default());
        let (stop, stopped) = watch::channel(false);
        let worker = Worker {
            client: ReceiverClient::new(&config, &metrics, stopped.clone())?,
            outgoing: Outgoing::new(Arc::clone(&config), external_labels.clone()),
            config: Arc::clone(&config),
            id: id.to_owned(),
            store,
            keys: options.keys.clone(),
            shard: options.shard,
            wal: Arc::clone(&options.wal),
            holds: Arc::clone(&options.holds),
            position,
            metadata: Arc::clone(&options.metadata),
            metrics: Arc::clone(&metrics),
            stop: stopped,
            done,
        };
        Ok(Running {
            config,
            external_labels,
            metrics,
            stop,
            task: tokio::spawn(worker.run()),
        })
    }

    /// The counters of every receiver, by its name or URL.
    pub fn metrics(&self) -> Vec<(String, Arc<ForwardMetrics>)> {
        let running = self.running();
        let metrics = running.values();
        metrics
            .map(|running| (running.config.label(), Arc::clone(&running.metrics)))
            .collect()
    }

    /// Ends all of them. Requests under way are given up; what was not sent is sent after the next start.
    pub async fn shutdown(&self) {
        let _one = self.applying.lock().await;
        let ended = std::mem::take(&mut *self.running());
        for running in ended.into_values() {
            running.end().await;
        }
    }
}

/// What a receiver's position is stored under: it stays the same as long as name and URL do.
fn id(config: &RemoteWriteConfig) -> String {
    let mut hash = Md5::new();
    hash.update(config.name.as_bytes());
    hash.update([0]);
    if config.name.is_empty() {
        hash.update(config.url.as_str().as_bytes());
    }
    let hash = hash.finalize();
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
