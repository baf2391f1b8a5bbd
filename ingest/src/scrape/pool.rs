//! The targets of one job: one loop for each.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
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
use crate::discovery::Subscription;
use crate::http_client::HttpClient;

/// The targets of one job.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    state: Mutex<PoolState>,
    forced_error: Arc<Mutex<Option<String>>>,
    /// Tells the task that follows the discoveries about others.
    reloaded: watch::Sender<()>,
    /// Ends that task.
    stop: watch::Sender<bool>,
}

#[derive(Debug)]
struct PoolState {
    config: Arc<ScrapeConfig>,
    client: HttpClient,
    discoveries: Vec<Subscription>,
    loops: HashMap<u64, Arc<LoopState>>,
    dropped: Vec<Labels>,
    dropped_count: usize,
}

/// What a pool runs with.
#[derive(Debug)]
pub(super) struct PoolSettings {
    pub(super) config: Arc<ScrapeConfig>,
    pub(super) client: HttpClient,
    /// Those of `config.discoveries`.
    pub(super) discoveries: Vec<Subscription>,
}

impl Pool {
    /// Makes the pool of a job and starts its loops.
    pub(super) fn start(shared: &Arc<Shared>, settings: PoolSettings) -> Arc<Self> {
        let pool = Arc::new(Self {
            shared: Arc::clone(shared),
            state: Mutex::new(PoolState {
                config: Arc::clone(&settings.config),
                client: settings.client.clone(),
                discoveries: Vec::new(),
                loops: HashMap::new(),
                dropped: Vec::new(),
                dropped_count: 0,
            }),
            forced_error: Arc::default(),
            reloaded: watch::Sender::new(()),
            stop: watch::Sender::new(false),
        });
        pool.reload(settings);
        shared.spawn(Arc::clone(&pool).follow_discoveries());
        pool
    }

    /// The configuration that the pool runs with.
    pub(super) fn config(&self) -> Arc<ScrapeConfig> {
        Arc::clone(&lock(&self.state).config)
    }

    /// Takes new settings: loops whose targets and scraping stay the same are not touched, others are replaced.
    pub(super) fn reload(&self, settings: PoolSettings) {
        let mut state = lock(&self.state);
        let previous = std::mem::replace(&mut state.config, settings.config);
        state.client = settings.client;
        state.discoveries = settings.discoveries;
        self.sync(&mut state, &previous);
        drop(state);
        self.reloaded.send_replace(());
    }

    /// Makes targets of what the discoveries find, as it changes.
    async fn follow_discoveries(self: Arc<Self>) {
        let mut stop = self.stop.subscribe();
        let mut shutdown = self.shared.shutdown.subscribe();
        let mut reloaded = self.reloaded.subscribe();
        let mut throttle = Throttle::default();
        loop {
            // Clones: what `sync` has seen up to now is not new to them either.
            let discoveries = lock(&self.state).discoveries.clone();
            let update = async {
                any_changed(discoveries).await;
                throttle.wait().await;
            };
            tokio::select! {
                () = update => {
                    let mut state = lock(&self.state);
                    let config = Arc::clone(&state.config);
                    self.sync(&mut state, &config);
                }
                _ = reloaded.changed() => {}
                _ = stop.wait_for(|stop| *stop) => return,
                _ = shutdown.wait_for(|down| *down) => return,
            }
        }
    }

    /// Makes the loops those of the groups as they are now. `previous` is the configuration that the loops run with.
    fn sync(&self, state: &mut PoolState, previous: &ScrapeConfig) {
        let config = Arc::clone(&state.config);
        let same_scrapes = config.same_scrapes_as(previous);
        let same_series = config.same_series_as(previous);
        let wanted = self.wanted_targets(state);
        self.set_forced_error(wanted.len() as u64, config.limits.targets);
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
            match self.start_loop(state, target, replaced) {
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

    /// The targets of all groups by their hashes; notes the dropped ones.
    fn wanted_targets(&self, state: &mut PoolState) -> BTreeMap<u64, Target> {
        let config = Arc::clone(&state.config);
        state.dropped.clear();
        state.dropped_count = 0;
        let lists: Vec<_> = state
            .discoveries
            .iter_mut()
            .map(Subscription::groups)
            .collect();
        let found = lists.iter().flat_map(|groups| groups.iter());
        let mut wanted: BTreeMap<u64, Target> = BTreeMap::new();
        let mut count = 0;
        for result in config
            .static_configs
            .iter()
            .chain(found)
            .flat_map(|group| populate_group(group, &config))
        {
            count += 1;
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
        let discovery = &self.shared.metrics.discovery;
        discovery.set_discovered(&config.job_name, Some(count));
        wanted
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
        let shared = &self.shared;
        let starts = shared.start_timestamps();
        let client = TargetClient::new(&state.client, config, &target, &shared.metrics, starts)?;
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
        self.stop_discoveries();
        let mut state = lock(&self.state);
        for (_, running) in state.loops.drain() {
            running.stop.send_replace(true);
        }
        let discovery = &self.shared.metrics.discovery;
        discovery.set_discovered(&state.config.job_name, None);
    }

    /// Looks for targets no more.
    pub(super) fn stop_discoveries(&self) {
        self.stop.send_replace(true);
        lock(&self.state).discoveries.clear();
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

/// Returns when any of the discoveries has something new.
async fn any_changed(mut discoveries: Vec<Subscription>) {
    let changes: FuturesUnordered<_> = discoveries.iter_mut().map(Subscription::changed).collect();
    let mut changes = std::pin::pin!(changes);
    if changes.next().await.is_none() {
        // There are none.
        std::future::pending::<()>().await;
    }
}

/// Spaces updates that come in quick succession, more and more: the first one waits for a moment in which others may
/// come too, and in the long run there is one in five seconds.
#[derive(Debug, Default)]
struct Throttle {
    /// When the last wait ended, and how long it was.
    last: Option<(Instant, Duration)>,
}

impl Throttle {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    fn next_wait(&self, now: Instant) -> Duration {
        match self.last {
            Some((ended, wait)) if now.duration_since(ended) <= Self::LONGEST => {
                wait.mul_f64(1.5).min(Self::LONGEST)
            }
            _ => Self::SHORTEST,
        }
    }

    async fn wait(&mut self) {
        let wait = self.next_wait(Instant::now());
        tokio::time::sleep(wait).await;
        self.last = Some((Instant::now(), wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_in_quick_succession_are_spaced_more_and_more() {
        let mut throttle = Throttle::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..20 {
            let wait = throttle.next_wait(now);
            now += wait;
            throttle.last = Some((now, wait));
            waits.push(wait.as_millis());
        }
        assert_eq!(waits[..4], [100, 150, 225, 337]);
        assert_eq!(waits[19], 5_000);
        now += Duration::from_millis(5_001);
        assert_eq!(throttle.next_wait(now), Throttle::SHORTEST);
    }
}
