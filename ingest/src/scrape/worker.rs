//! The loop of one target.
//!
//! A loop waits for its place in the interval, then scrapes at every tick; a scrape that takes longer than the interval
//! delays the next one, and ticks in between are left out. At most one scrape of a target is under way, and it holds at most
//! one response and one append. A loop that is stopped finishes its scrape; a shutdown abandons it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use varve_storage::Labels;
use varve_storage::wal::{Append, SampleRow};

use super::append::{PassContext, empty_pass, pass};
use super::cache::ScrapeCache;
use super::client::{Answer, TargetClient};
use super::failure_log::Failure;
use super::manager::Shared;
use super::metrics::add;
use super::report::{Report, ReportSeries};
use super::status::TargetHealth;
use super::target::Target;
use crate::config::ScrapeConfig;
use crate::error::{Error, Result};

/// How far a scrape's time may be off its tick to be put onto it: times with equal distances compress better.
const ALIGNMENT_MAX: Duration = Duration::from_millis(2);

/// Locks a mutex; a panic elsewhere does not make its data unusable here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the last scrape went.
#[derive(Clone, Debug, Default)]
pub(super) struct LastScrape {
    pub(super) health: TargetHealth,
    pub(super) error: String,
    pub(super) time: Option<SystemTime>,
    pub(super) duration: Duration,
}

/// What a loop shares with its pool and with loops that end.
#[derive(Debug)]
pub(super) struct LoopState {
    pub(super) target: Arc<Target>,
    /// The target's labels before relabelling, as of the last discovery; for display.
    pub(super) discovered: Mutex<Labels>,
    pub(super) cache: Arc<Mutex<ScrapeCache>>,
    pub(super) last: Mutex<LastScrape>,
    pub(super) report: ReportSeries,
    /// Tells the loop to stop.
    pub(super) stop: watch::Sender<bool>,
    /// Set where another loop goes on with this one's series, so that this one must not end them.
    pub(super) succeeded: AtomicBool,
    /// Set when the loop scrapes no more.
    pub(super) stopped: watch::Sender<bool>,
}

/// The loop of one target.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) config: Arc<ScrapeConfig>,
    pub(super) state: Arc<LoopState>,
    pub(super) client: TargetClient,
    /// The error that every scrape of the pool has for now (`target_limit`).
    pub(super) forced_error: Arc<Mutex<Option<String>>>,
}

fn unix_ms(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

impl Worker {
    /// Runs until stopped, then ends the series. `after`: the loop that this one replaces; it must stop first.
    pub(super) async fn run(self, after: Option<watch::Receiver<bool>>) {
        if let Some(mut after) = after {
            // An error means that the other loop is gone altogether.
            let _ = after.wait_for(|stopped| *stopped).await;
        }
        let ticker = self.scrape_until_stopped().await;
        self.state.stopped.send_replace(true);
        if let Some(ticker) = ticker
            && !self.shared.is_shut_down()
        {
            self.end_series(ticker).await;
        }
        self.shared.forget(&self.state);
    }

    /// Scrapes at every tick; gives the ticker if there was any scrape.
    async fn scrape_until_stopped(&self) -> Option<Interval> {
        let mut stop = self.state.stop.subscribe();
        let mut shutdown = self.shared.shutdown.subscribe();
        let offset = self.shared.offset(&self.state.target);
        tokio::select! {
            () = tokio::time::sleep(offset) => {}
            _ = stop.wait_for(|stop| *stop) => return None,
            _ = shutdown.wait_for(|down| *down) => return None,
        }
        let interval = self.state.target.interval;
        let mut ticker = tokio::time::interval(interval);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut aligned = SystemTime::now();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Some(ticker),
                _ = shutdown.wait_for(|down| *down) => return Some(ticker),
                tick = ticker.tick() => {
                    if tick.elapsed() > interval {
                        add(&self.shared.metrics.ticks_missed, 1);
                    }
                }
            }
            let mut time = SystemTime::now();
            while time
                .duration_since(aligned)
                .is_ok_and(|late| late >= interval)
            {
                aligned += interval;
            }
            let tolerance = ALIGNMENT_MAX.min(interval / 100);
            if time.duration_since(aligned).unwrap_or_default() <= tolerance {
                time = aligned;
            }
            // On the heap only while it lasts: with its request it is most of what a loop takes, and most loops wait most of the time.
            Box::pin(self.scrape(time)).await;
        }
    }

    /// One scrape: fetch, parse, append, report.
    async fn scrape(&self, time: SystemTime) {
        let start = Instant::now();
        let metrics = &self.shared.metrics;
        add(&metrics.scrapes, 1);
        let forced = lock(&self.forced_error).clone();
        let answer = match forced {
            Some(error) => Err(Error::Limit(error)),
            None => {
                let mut shutdown = self.shared.shutdown.subscribe();
                let answer = tokio::select! {
                    answer = self.client.fetch() => answer,
                    _ = shutdown.wait_for(|down| *down) => return,
                };
                self.log_failure(&answer);
                answer
            }
        };
        let (mut append, mut report, result) = self.read(answer, unix_ms(time));
        add(&metrics.samples_scraped, report.scraped);
        report.healthy = result.is_ok();
        report.duration = start.elapsed();
        if result.is_err() {
            add(&metrics.scrapes_failed, 1);
        }
        append
            .samples
            .extend(self.state.report.rows(&report, unix_ms(time)));
        let stored = self.append(append).await;
        let result = match stored {
            Ok(()) => result,
            Err(error) => {
                self.store_failed(&error, &report, unix_ms(time)).await;
                Err(error)
            }
        };
        self.note(time, start.elapsed(), result.err());
    }

    /// Logs that there is no answer, where the job has a log for that.
    fn log_failure(&self, answer: &Result<Answer>) {
        let (Err(error), Some(file)) = (answer, &self.config.scrape_failure_log_file) else {
            return;
        };
        let failure = Failure {
            time: SystemTime::now(),
            job: &self.config.job_name,
            url: &self.state.target.url,
            error: &error.to_string(),
        };
        self.shared.failure_logs.write(file, &failure);
    }

    /// Makes one append of an answer. After an error it has stale markers only.
    fn read(&self, answer: Result<Answer>, time_ms: i64) -> (Append, Report, Result<()>) {
        let context = PassContext {
            config: &self.config,
            target: &self.state.target.labels,
            metrics: &self.shared.metrics,
            time_ms,
            options: self.shared.read_options(&self.state.target),
            starts: self.shared.start_timestamps(),
        };
        let mut report = Report::default();
        let mut append = Append::default();
        let mut cache = lock(&self.state.cache);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let too_large = matches!(&error, Error::Limit(m) if m.starts_with("body size"));
                report.body_bytes = if too_large { -1 } else { 0 };
                append.samples = empty_pass(&mut cache, &context);
                return (append, report, Err(error));
            }
        };
        report.body_bytes = i64::try_from(answer.body.len()).unwrap_or(i64::MAX);
        if answer.body.is_empty() {
            append.samples = empty_pass(&mut cache, &context);
            return (append, report, Ok(()));
        }
        let format = match answer.format {
            Ok(format) => format,
            Err(reason) => {
                append.samples = empty_pass(&mut cache, &context);
                return (append, report, Err(Error::ContentType(reason)));
            }
        };
        let (found, result) = pass(&answer.body, format, &mut cache, &context);
        report.scraped = found.scraped;
        report.post_relabeling = found.post_relabeling;
        report.series_added = found.series_added;
        if result.is_ok() {
            append.samples = found.samples;
            append.exemplars = found.exemplars;
            append.metadata = cache.take_changed_metadata();
        } else {
            append.samples = empty_pass(&mut cache, &context);
        }
        (append, report, result)
    }

    /// Hands an append to the store and waits until it is taken. At a shutdown the wait ends after a grace period.
    async fn append(&self, append: Append) -> Result<()> {
        let samples = append.samples.len() as u64;
        let start = Instant::now();
        let stored = tokio::select! {
            stored = self.shared.sink.append(append) => stored.map_err(Error::from),
            () = self.shared.shutdown_grace() => Err(Error::Body(
                "the store took no samples until the process had to end".to_owned(),
            )),
        };
        let metrics = &self.shared.metrics;
        add(
            &metrics.append_wait_ms,
            u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        );
        match &stored {
            Ok(()) => add(&metrics.samples_appended, samples),
            Err(_) => add(&metrics.appends_failed, 1),
        }
        stored
    }

    /// After the store refused a scrape: says so in the log, and tries to store at least the report of a failed scrape.
    async fn store_failed(&self, error: &Error, report: &Report, time_ms: i64) {
        tracing::error!(
            job = self.config.job_name,
            url = self.state.target.url,
            %error,
            "a scrape could not be stored"
        );
        lock(&self.state.cache).not_stored();
        let report = Report {
            healthy: false,
            ..*report
        };
        let refused = matches!(error, Error::Store(source) if matches!(
            source.kind(),
            varve_storage::ErrorKind::Limit | varve_storage::ErrorKind::Invalid
        ));
        if refused {
            let rows = self.state.report.rows(&report, time_ms);
            if let Err(error) = self.append(rows_only(rows)).await {
                tracing::error!(%error, "nor could its report");
            }
        }
    }

    fn note(&self, time: SystemTime, duration: Duration, error: Option<Error>) {
        let health = match error {
            None => TargetHealth::Up,
            Some(_) => TargetHealth::Down,
        };
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        let last = LastScrape {
            health,
            error: error.clone(),
            time: Some(time),
            duration,
        };
        let before = std::mem::replace(&mut *lock(&self.state.last), last).health;
        let (job, url) = (&self.config.job_name, &self.state.target.url);
        match (before, health) {
            (TargetHealth::Down, TargetHealth::Up) => {
                tracing::info!(job, url, "target is up again")
            }
            (TargetHealth::Up | TargetHealth::Unknown, TargetHealth::Down) => {
                tracing::warn!(job, url, error, "target is down");
            }
            _ => {}
        }
    }

    /// Ends the series of a loop that was stopped, unless another one writes them. Waits a bit more than two intervals
    /// first: the target may come back.
    async fn end_series(&self, mut ticker: Interval) {
        let mut shutdown = self.shared.shutdown.subscribe();
        let interval = self.state.target.interval;
        let wait = async {
            ticker.tick().await;
            let time_ms = unix_ms(SystemTime::now());
            ticker.tick().await;
            tokio::time::sleep(interval / 10).await;
            time_ms
        };
        let time_ms = tokio::select! {
            time_ms = wait => time_ms,
            _ = shutdown.wait_for(|down| *down) => return,
        };
        if self.state.succeeded.load(Ordering::Relaxed) {
            return;
        }
        let context = PassContext {
            config: &self.config,
            target: &self.state.target.labels,
            metrics: &self.shared.metrics,
            time_ms,
            options: self.shared.read_options(&self.state.target),
            starts: self.shared.start_timestamps(),
        };
        let mut rows = empty_pass(&mut lock(&self.state.cache), &context);
        rows.extend(self.state.report.stale_rows(time_ms));
        self.shared.retain_ended(&self.state, &mut rows);
        if rows.is_empty() {
            return;
        }
        if let Err(error) = self.append(rows_only(rows)).await {
            tracing::error!(
                job = self.config.job_name,
                url = self.state.target.url,
                %error,
                "the series of a target that is gone could not be ended"
            );
        }
    }
}

fn rows_only(samples: Vec<SampleRow>) -> Append {
    Append {
        samples,
        ..Append::default()
    }
}
