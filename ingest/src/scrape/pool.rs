//! The targets of one job: one loop for each.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use varve_storage::Labels;

use super::client::TargetClient;
use super::manager::Shared;
use super::metrics::add;
use super::report::ReportSeries;
use super::status::{ActiveTarget, DroppedTarget, TargetMetadata, TargetsSnapshot};
use super::target::{Populated, Target, populate_group};
use super::worker::{LastScrape, LoopState, Worker, lock};
use crate::config::ScrapeConfig;
use crate::discovery::{FileDiscovery, POLL_INTERVAL, TargetGroup};
use crate::http_client::HttpClient;

/// The targets of one job.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    state: Mutex<PoolState>,
    /// The discoveries of files; one poll at a time.
    files: tokio::sync::Mutex<Vec<FileDiscovery>>,
    forced_error: Arc<Mutex<Option<String>>>,
    /// Ends the polling of files.
    stop: watch::Sender<bool>,
}

#[derive(Debug)]
struct PoolState {
    config: Arc<ScrapeConfig>,
    client: Arc<HttpClient>,
    loops: HashMap<u64, Arc<LoopState>>,
    dropped: Vec<Labels>,
    dropped_count: usize,
}

impl Pool {
    /// Makes the pool of a job and starts its loops.
    pub(super) async fn start(
        shared: &Arc<Shared>,
        config: Arc<ScrapeConfig>,
        client: Arc<HttpClient>,
    ) -> Arc<Self> {
        let pool = Arc::new(Self {
            shared: Arc::clone(shared),
            state: Mutex::new(PoolState {
                config: Arc::clone(&config),
                client: client.clone(),
                loops: HashMap::new(),
                dropped: Vec::new(),
                dropped_count: 0,
            }),
            files: tokio::sync::Mutex::new(Vec::new()),
            forced_error: Arc::default(),
            stop: watch::Sender::new(false),
        });
        pool.reload(config, client).await;
        let poller = Arc::clone(&pool);
        shared.spawn(async move { poller.poll_files().await });
        pool
    }

    /// The configuration that the pool runs with.
    pub(super) fn config(&self) -> Arc<ScrapeConfig> {
        Arc::clone(&lock(&self.state).config)
    }

    /// Takes a new configuration: loops whose targets and scraping stay the same are not touched, others are replaced.
    pub(super) async fn reload(
        self: &Arc<Self>,
        config: Arc<ScrapeConfig>,
        client: Arc<HttpClient>,
    ) {
        let mut files = self.files.lock().await;
        let mut old = std::mem::take(&mut *files);
        for wanted in &config.file_sd_configs {
            let kept = old.iter().position(|found| found.config() == wanted);
            files.push(match kept {
                Some(index) => old.swap_remove(index),
                None => FileDiscovery::new(wanted.clone()),
            });
        }
        let _ = self.poll(&mut files).await;
        let groups = all_groups(&config, &files);
        self.sync(config, client, &groups);
    }

    /// Looks at the files now and then; new groups become targets.
    async fn poll_files(self: Arc<Self>) {
        let mut stop = self.stop.subscribe();
        let mut shutdown = self.shared.shutdown.subscribe();
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                _ = stop.wait_for(|stop| *stop) => return,
                _ = shutdown.wait_for(|down| *down) => return,
            }
            let mut files = self.files.lock().await;
            if self.poll(&mut files).await {
                let (config, client) = {
                    let state = lock(&self.state);
                    (Arc::clone(&state.config), state.client.clone())
                };
                let groups = all_groups(&config, &files);
                self.sync(config, client, &groups);
            }
        }
    }

    /// Polls all files on a blocking thread; `true` if any group changed.
    async fn poll(&self, files: &mut Vec<FileDiscovery>) -> bool {
        if files.is_empty() {
            return false;
        }
        let mut moved = std::mem::take(files);
        let errors_before: u64 = moved.iter().map(FileDiscovery::errors).sum();
        let polled = tokio::task::spawn_blocking(move || {
            // No short-circuit: every discovery must be polled.
            let changed = moved.iter_mut().map(FileDiscovery::poll);
            let changed = changed.fold(false, |any, one| any | one);
            (moved, changed)
        });
        match polled.await {
            Ok((back, changed)) => {
                *files = back;
                let errors: u64 = files.iter().map(FileDiscovery::errors).sum();
                let failed = errors - errors_before;
                add(&self.shared.metrics.file_discovery_errors, failed);
                changed
            }
            Err(error) => {
                tracing::error!(%error, "polling files with targets failed");
                false
            }
        }
    }

    /// Makes the loops those of the groups under a configuration.
    fn sync(&self, config: Arc<ScrapeConfig>, client: Arc<HttpClient>, groups: &[TargetGroup]) {
        let mut state = lock(&self.state);
        let same_scrapes = config.same_scrapes_as(&state.config);
        let same_series = config.same_series_as(&state.config);
        state.dropped.clear();
        state.dropped_count = 0;
        let mut wanted: BTreeMap<u64, Target> = BTreeMap::new();
        for result in groups
            .iter()
            .flat_map(|group| populate_group(group, &config))
        {
            match result {
                Ok(Populated::Active(target)) => {
                    wanted.entry(target.hash).or_insert(*target);
                }
                Ok(Populated::Dropped(labels)) => {
                    let kept_max = config.limits.kept_dropped_targets;
                    if kept_max == 0 || (state.dropped.len() as u64) < kept_max {
                        state.dropped.push(labels);
                    }
                    state.dropped_count += 1;
                }
                Err(reason) => {
                    add(&self.shared.metrics.targets_invalid, 1);
                    tracing::error!(job = config.job_name, reason, "creating target failed");
                }
            }
        }
        self.set_forced_error(wanted.len() as u64, config.limits.targets);
        state.config = Arc::clone(&config);
        state.client = client;
        state.loops.retain(|hash, running| {
            let keep = wanted.contains_key(hash);
            if !keep {
                running.stop.send_replace(true);
            }
            keep
        });
        for (hash, target) in wanted {
            let running = state.loops.get(&hash).cloned();
            if let Some(running) = &running
                && same_scrapes
            {
                // What relabelling took away may have changed; it is only shown.
                *lock(&running.discovered) = target.discovered;
                continue;
            }
            let replaced = running.map(|running| (running, same_series));
            match self.start_loop(&state, target, replaced) {
                Ok(started) => {
                    state.loops.insert(hash, started);
                }
                Err(error) => {
                    add(&self.shared.metrics.targets_invalid, 1);
                    tracing::error!(job = config.job_name, %error, "creating target failed");
                }
            }
        }
    }

    fn set_forced_error(&self, targets: u64, limit: u64) {
        let error = (limit > 0 && targets > limit).then(|| {
            add(&self.shared.metrics.target_limit_exceeded, 1);
            format!("target_limit exceeded (number of targets: {targets}, limit: {limit})")
        });
        *lock(&self.forced_error) = error;
    }

    /// Starts a loop; `replaced` is the one before it, and whether its cache stays valid.
    fn start_loop(
        &self,
        state: &PoolState,
        target: Target,
        replaced: Option<(Arc<LoopState>, bool)>,
    ) -> crate::Result<Arc<LoopState>> {
        let config = &state.config;
        let client = TargetClient::new(&state.client, config, &target, &self.shared.metrics)?;
        let mut cache = Arc::default();
        let mut last = LastScrape::default();
        let mut after = None;
        if let Some((replaced, same_series)) = replaced {
            after = Some(replaced.stopped.subscribe());
            last = lock(&replaced.last).clone();
            if same_series {
                cache = Arc::clone(&replaced.cache);
                replaced.succeeded.store(true, Ordering::Relaxed);
            }
            replaced.stop.send_replace(true);
        }
        let report = ReportSeries::new(
            &target.labels,
            config.extra_scrape_metrics,
            target.timeout,
            config.limits.samples,
        );
        let loop_state = Arc::new(LoopState {
            discovered: Mutex::new(target.discovered.clone()),
            target: Arc::new(target),
            cache,
            last: Mutex::new(last),
            report,
            stop: watch::Sender::new(false),
            succeeded: AtomicBool::new(false),
            stopped: watch::Sender::new(false),
        });
        self.shared.remember(&loop_state);
        let worker = Worker {
            shared: Arc::clone(&self.shared),
            config: Arc::clone(config),
            state: Arc::clone(&loop_state),
            client,
            forced_error: Arc::clone(&self.forced_error),
        };
        self.shared.spawn(worker.run(after));
        Ok(loop_state)
    }

    /// Stops all loops; they end their series in their own time.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
        for (_, running) in lock(&self.state).loops.drain() {
            running.stop.send_replace(true);
        }
    }

    /// Adds the pool's targets to a snapshot.
    pub(super) fn show(&self, snapshot: &mut TargetsSnapshot) {
        let state = lock(&self.state);
        let job = &state.config.job_name;
        let mut active: Vec<_> = state
            .loops
            .values()
            .map(|running| {
                let target = &running.target;
                let last = lock(&running.last).clone();
                ActiveTarget {
                    discovered_labels: lock(&running.discovered).clone(),
                    labels: target.labels.clone(),
                    scrape_pool: job.clone(),
                    scrape_url: target.url.clone(),
                    global_url: self.shared.global_url(&target.url),
                    last_error: last.error,
                    last_scrape: last.time,
                    last_scrape_duration: last.duration,
                    health: last.health,
                    scrape_interval: target.interval_text.clone(),
                    scrape_timeout: target.timeout_text.clone(),
                }
            })
            .collect();
        active.sort_by(|a, b| (&a.scrape_url, &a.labels).cmp(&(&b.scrape_url, &b.labels)));
        snapshot.active.extend(active);
        snapshot
            .dropped
            .extend(state.dropped.iter().map(|labels| DroppedTarget {
                discovered_labels: labels.clone(),
                scrape_pool: job.clone(),
            }));
        snapshot
            .dropped_counts
            .insert(job.clone(), state.dropped_count);
    }

    /// What the pool's targets say about their metrics.
    pub(super) fn metadata(&self) -> Vec<TargetMetadata> {
        let state = lock(&self.state);
        let mut out: Vec<_> = state
            .loops
            .values()
            .map(|running| TargetMetadata {
                target: running.target.labels.clone(),
                metadata: lock(&running.cache).metadata(),
            })
            .collect();
        out.sort_by(|a, b| a.target.cmp(&b.target));
        out
    }
}

fn all_groups(config: &ScrapeConfig, files: &[FileDiscovery]) -> Vec<TargetGroup> {
    let found = files.iter().flat_map(FileDiscovery::groups);
    config.static_configs.iter().chain(found).cloned().collect()
}
