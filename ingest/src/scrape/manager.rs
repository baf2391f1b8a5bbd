//! All pools, and what they share.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use varve_storage::Labels;
use varve_storage::wal::SampleRow;

use super::append::StartTimestamps;
use super::client::job_client;
use super::failure_log::FailureLogs;
use super::metrics::ScrapeMetrics;
use super::pool::{Pool, PoolSettings};
use super::status::{TargetMetadata, TargetsSnapshot};
use super::target::{Fnv, Target};
use super::worker::{LoopState, lock};
use crate::config::{Config, ScrapeConfig};
use crate::discovery::Discoveries;
use crate::error::{Error, Result};
use crate::exposition::ReadOptions;
use crate::relabel::{RelabelStep, relabel_steps};
use crate::sink::SampleSink;

/// How long a new configuration waits for the first lists of its discoveries, so that targets in files are scraped at once
/// and stay when a discovery is replaced by another that finds them too.
const FIRST_LISTS_WAIT: Duration = Duration::from_secs(1);

/// Settings of a [`ScrapeManager`] that do not come from the configuration file.
#[derive(Clone, Debug)]
pub struct ScrapeOptions {
    /// This machine's name: it makes the places of targets within their interval differ from those of another
    /// installation with the same configuration, and stands in for `localhost` in URLs for other machines.
    pub host_name: String,
    /// Whether targets are spread over their interval; else every loop starts at once.
    pub spread: bool,
    /// What is made of start timestamps of samples.
    pub start_timestamps: StartTimestamps,
    /// How long a shutdown waits for the store to take what was scraped.
    pub shutdown_grace: Duration,
}

impl Default for ScrapeOptions {
    fn default() -> Self {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = match name.trim() {
            "" => std::env::var("HOSTNAME").unwrap_or_else(|_| "localhost".to_owned()),
            name => name.to_owned(),
        };
        Self {
            host_name: name,
            spread: true,
            start_timestamps: StartTimestamps::default(),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

/// What pools and loops share.
pub(super) struct Shared {
    pub(super) sink: Arc<dyn SampleSink>,
    pub(super) metrics: Arc<ScrapeMetrics>,
    pub(super) shutdown: watch::Sender<bool>,
    pub(super) failure_logs: FailureLogs,
    options: ScrapeOptions,
    seed: Mutex<u64>,
    /// Every loop that has not ended its series yet.
    loops: Mutex<Vec<Arc<LoopState>>>,
    /// A clone goes with every task; when all are gone, all tasks have ended.
    alive: Mutex<Option<mpsc::Sender<()>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Runs a task that a shutdown waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Some(alive) = lock(&self.alive).clone() else {
            return;
        };
        tokio::spawn(async move {
            task.await;
            drop(alive);
        });
    }

    /// What is read of a target.
    pub(super) fn read_options(&self, target: &Target) -> ReadOptions {
        ReadOptions {
            start_timestamps: self.start_timestamps().wanted(),
            ..target.options
        }
    }

    pub(super) fn start_timestamps(&self) -> StartTimestamps {
        self.options.start_timestamps
    }

    pub(super) fn is_shut_down(&self) -> bool {
        *self.shutdown.borrow()
    }

    /// Returns when a shutdown has lasted as long as it may wait for the store.
    pub(super) async fn shutdown_grace(&self) {
        let mut shutdown = self.shutdown.subscribe();
        // The sender lives as long as `self`.
        let _ = shutdown.wait_for(|down| *down).await;
        tokio::time::sleep(self.options.shutdown_grace).await;
    }

    /// How long a loop waits before its first scrape.
    pub(super) fn offset(&self, target: &Target) -> Duration {
        match self.options.spread {
            true => target.offset(*lock(&self.seed), SystemTime::now()),
            false => Duration::ZERO,
        }
    }

    pub(super) fn remember(&self, state: &Arc<LoopState>) {
        lock(&self.loops).push(Arc::clone(state));
    }

    pub(super) fn forget(&self, state: &Arc<LoopState>) {
        lock(&self.loops).retain(|other| !Arc::ptr_eq(other, state));
    }

    /// Leaves out the rows of series that another loop, one that goes on, writes: a stale marker would cut a gap into them.
    pub(super) fn retain_ended(&self, ended: &Arc<LoopState>, rows: &mut Vec<SampleRow>) {
        let loops = lock(&self.loops).clone();
        for other in loops {
            if Arc::ptr_eq(&other, ended) || *other.stop.borrow() {
                continue;
            }
            if lock(&other.last).time.is_some() {
                let reports = other.report.series();
                rows.retain(|row| reports.iter().all(|series| series.id != row.series.id));
            }
            let cache = lock(&other.cache);
            rows.retain(|row| !cache.is_alive(&row.series.id));
        }
    }

    /// A target's URL for other machines.
    pub(super) fn global_url(&self, url: &str) -> String {
        for local in ["localhost", "127.0.0.1", "[::1]"] {
            let Some((scheme, rest)) = url.split_once("://") else {
                break;
            };
            if let Some(after) = rest.strip_prefix(local)
                && (after.is_empty() || after.starts_with([':', '/']))
            {
                return format!("{scheme}://{}{after}", self.options.host_name);
            }
        }
        url.to_owned()
    }
}

impl Drop for ScrapeManager {
    fn drop(&mut self) {
        // Loops outlive their manager only until they notice.
        self.shared.shutdown.send_replace(true);
    }
}

/// Scrapes the targets of a configuration into a sink.
#[derive(Debug)]
pub struct ScrapeManager {
    shared: Arc<Shared>,
    discoveries: Discoveries,
    pools: tokio::sync::Mutex<BTreeMap<String, Arc<Pool>>>,
    /// The pools once more, for readers that must not wait for a reload.
    shown: Mutex<Vec<Arc<Pool>>>,
    ended: Mutex<Option<mpsc::Receiver<()>>>,
}

impl ScrapeManager {
    /// A manager without any job; [`Self::apply`] gives it some.
    pub fn new(sink: Arc<dyn SampleSink>, options: ScrapeOptions) -> Self {
        let (alive, ended) = mpsc::channel(1);
        let metrics = Arc::<ScrapeMetrics>::default();
        Self {
            discoveries: Discoveries::new(Arc::clone(&metrics.discovery)),
            shared: Arc::new(Shared {
                sink,
                metrics,
                shutdown: watch::Sender::new(false),
                failure_logs: FailureLogs::default(),
                options,
                seed: Mutex::new(0),
                loops: Mutex::default(),
                alive: Mutex::new(Some(alive)),
            }),
            pools: tokio::sync::Mutex::default(),
            shown: Mutex::default(),
            ended: Mutex::new(Some(ended)),
        }
    }

    /// Makes the jobs those of a configuration. Jobs, targets and discoveries that stay the same go on undisturbed. On an error
    /// (a certificate that cannot be read, for one) nothing is changed. Logs of failed scrapes are opened anew. Waits a moment for discoveries that are new, so that
    /// what files say is there when this returns; what is found later becomes targets later.
    pub async fn apply(&self, config: &Config) -> Result<()> {
        let mut pools = self.pools.lock().await;
        let mut changed = Vec::new();
        for job in &config.scrape_configs {
            let same = pools
                .get(&job.job_name)
                .is_some_and(|pool| *pool.config() == **job);
            if !same {
                changed.push(self.settings(job)?);
            }
        }
        let jobs = config.scrape_configs.iter();
        let logs = jobs.filter_map(|job| job.scrape_failure_log_file.as_deref());
        self.shared.failure_logs.open(logs)?;
        let mut seed = Fnv::new();
        seed.write(self.shared.options.host_name.as_bytes())
            .write(config.global.external_labels.to_string().as_bytes());
        *lock(&self.shared.seed) = seed.finish();
        pools.retain(|name, pool| {
            let keep = config
                .scrape_configs
                .iter()
                .any(|job| job.job_name == *name);
            if !keep {
                pool.stop();
            }
            keep
        });
        let patience = Instant::now() + FIRST_LISTS_WAIT;
        for settings in &changed {
            for discovery in &settings.discoveries {
                // One that is late has its targets later.
                let _ = tokio::time::timeout_at(patience, discovery.first()).await;
            }
        }
        for settings in changed {
            let name = settings.config.job_name.clone();
            match pools.get(&name) {
                Some(pool) => pool.reload(settings),
                None => {
                    pools.insert(name, Pool::start(&self.shared, settings));
                }
            }
        }
        *lock(&self.shown) = pools.values().cloned().collect();
        Ok(())
    }

    /// What the pool of a job needs; starts discoveries that do not run yet.
    fn settings(&self, job: &Arc<ScrapeConfig>) -> Result<PoolSettings> {
        let client = job_client(job)?;
        let mut discoveries = Vec::with_capacity(job.discoveries.len());
        for config in &job.discoveries {
            let subscription = self.discoveries.subscribe(config);
            let subscription = subscription.map_err(|e| e.of_job(config.kind(), &job.job_name))?;
            discoveries.push(subscription);
        }
        Ok(PoolSettings {
            config: Arc::clone(job),
            client,
            discoveries,
        })
    }

    /// The targets as they are now.
    pub fn targets(&self) -> TargetsSnapshot {
        let mut snapshot = TargetsSnapshot::default();
        for pool in &*lock(&self.shown) {
            pool.show(&mut snapshot);
        }
        snapshot
    }

    /// The names of the jobs, in order.
    pub fn scrape_pools(&self) -> Vec<String> {
        let pools = lock(&self.shown).clone();
        let names = pools.iter().map(|pool| pool.config().job_name.clone());
        names.collect()
    }

    /// The configuration of a job. An error: there is none of that name.
    pub fn scrape_pool_config(&self, pool: &str) -> Result<Arc<ScrapeConfig>> {
        let pools = lock(&self.shown).clone();
        let mut configs = pools.iter().map(|pool| pool.config());
        configs
            .find(|config| config.job_name == pool)
            .ok_or_else(|| Error::UnknownPool(pool.to_owned()))
    }

    /// What each rule of a job's `relabel_configs` does to the labels of a target as they were discovered. An error: there is
    /// no job of that name.
    pub fn relabel_steps(&self, pool: &str, labels: &Labels) -> Result<Vec<RelabelStep>> {
        let config = self.scrape_pool_config(pool)?;
        Ok(relabel_steps(labels, &config.relabel_configs))
    }

    /// What every target says about its metrics now.
    pub fn metadata(&self) -> Vec<TargetMetadata> {
        let pools = lock(&self.shown).clone();
        pools.iter().flat_map(|pool| pool.metadata()).collect()
    }

    /// Counters about scraping.
    pub fn metrics(&self) -> &Arc<ScrapeMetrics> {
        &self.shared.metrics
    }

    /// Ends all loops and waits for them. Scrapes under way are given up, samples that were read are handed to the sink first,
    /// and no stale markers are written: the process will be back. The caller flushes the sink.
    pub async fn shutdown(&self) {
        self.shared.shutdown.send_replace(true);
        for pool in &*lock(&self.shown) {
            pool.stop_discoveries();
        }
        lock(&self.shared.alive).take();
        let ended = lock(&self.ended).take();
        if let Some(mut ended) = ended {
            // Gives `None` when the last task is gone.
            let _ = ended.recv().await;
        }
    }
}
