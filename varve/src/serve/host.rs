//! The process as the API sees it: targets, configuration, reload, stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;
use varve_compactor::CompactorMetrics;
use varve_ingest::forward::ForwardManager;
use varve_ingest::push::PushReceiver;
use varve_ingest::{Config, ScrapeManager};
use varve_query::Engine;
use varve_query::api::{
    BuildInfo, Host, HttpMetrics, RuntimeInfo, TargetMetadata, Targets, WallTime,
};
use varve_storage::wal::WalWriter;
use varve_storage::{Labels, Store};

use super::signals::Wish;
use super::{ServeArguments, process, targets};
use crate::arguments::now_ms;
use crate::failure::Failure;
use crate::version;

/// The running parts, for whoever asks how they are.
pub(super) struct Roles {
    pub(super) scrapes: Arc<ScrapeManager>,
    pub(super) forward: ForwardManager,
    pub(super) wal: Arc<WalWriter>,
    pub(super) receiver: Arc<PushReceiver>,
    pub(super) compactor: Arc<CompactorMetrics>,
    pub(super) http: Arc<HttpMetrics>,
    pub(super) store: Store,
    pub(super) engine: Arc<Engine>,
}

impl Roles {
    /// Makes a configuration the one in force.
    pub(super) async fn apply(&self, config: &Config) -> Result<(), String> {
        for note in &config.notes {
            tracing::warn!("not acted on: {note}");
        }
        let interval = config.global.evaluation_interval.as_millis();
        let failed = |e: varve_ingest::Error| e.to_string();
        self.receiver.set_otlp_config(config.otlp.clone());
        self.forward.apply(config).await.map_err(failed)?;
        self.scrapes.apply(config).await.map_err(failed)?;
        self.engine
            .set_subquery_step_ms(i64::try_from(interval).unwrap_or(i64::MAX));
        Ok(())
    }
}

/// The process around the API.
pub(super) struct Process {
    pub(super) roles: Roles,
    config_file: Option<PathBuf>,
    address: SocketAddr,
    hostname: String,
    flags: BTreeMap<String, String>,
    config: Mutex<Config>,
    pub(super) start_time_ms: i64,
    pub(super) reload_success: AtomicBool,
    pub(super) reload_time_ms: AtomicI64,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
    stopping: AtomicBool,
    wishes: mpsc::UnboundedSender<Wish>,
}

impl Process {
    pub(super) fn new(
        arguments: &ServeArguments,
        address: SocketAddr,
        flags: BTreeMap<String, String>,
        config: Config,
        roles: Roles,
        wishes: mpsc::UnboundedSender<Wish>,
    ) -> Self {
        Self {
            roles,
            config_file: arguments.config_file.clone(),
            address,
            hostname: process::hostname(),
            flags,
            config: Mutex::new(config),
            start_time_ms: now_ms(),
            reload_success: AtomicBool::new(true),
            reload_time_ms: AtomicI64::new(now_ms()),
            reloading: tokio::sync::Mutex::new(()),
            stopping: AtomicBool::new(false),
            wishes,
        }
    }

    /// Reads the configuration file again and applies it; on an error everything stays as it is.
    pub(super) async fn reload_config(&self) -> Result<(), String> {
        let _one = self.reloading.lock().await;
        let result = self.try_reload().await;
        self.reload_success.store(result.is_ok(), Ordering::Relaxed);
        match &result {
            Ok(()) => {
                self.reload_time_ms.store(now_ms(), Ordering::Relaxed);
                tracing::info!("configuration reloaded");
            }
            Err(error) => {
                tracing::error!(%error, "the configuration was not reloaded; the old one stays")
            }
        }
        result
    }

    async fn try_reload(&self) -> Result<(), String> {
        let config = match &self.config_file {
            Some(file) => Config::load(file).map_err(|e| e.to_string())?,
            None => Config::builtin(self.address).await,
        };
        self.roles.apply(&config).await?;
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Ends scraping, then writes what is buffered.
    pub(super) async fn stop_writing(&self) -> Result<(), Failure> {
        self.stopping.store(true, Ordering::Relaxed);
        self.roles.scrapes.shutdown().await;
        self.roles
            .wal
            .close()
            .await
            .map_err(|e| Failure::error(format!("the last samples could not be written: {e}")))?;
        self.roles.forward.shutdown().await;
        Ok(())
    }
}

#[async_trait]
impl Host for Process {
    fn is_ready(&self) -> bool {
        !self.stopping.load(Ordering::Relaxed)
    }

    fn targets(&self) -> Targets {
        targets::shown(self.roles.scrapes.targets())
    }

    fn metadata(&self) -> Vec<TargetMetadata> {
        let targets = self.roles.scrapes.metadata().into_iter();
        targets
            .map(|target| TargetMetadata {
                target: target.target,
                metadata: target.metadata,
            })
            .collect()
    }

    fn scrape_pool_config(&self, pool: &str) -> Result<String, String> {
        let config = self.roles.scrapes.scrape_pool_config(pool);
        config
            .map(|config| config.to_yaml())
            .map_err(|e| e.to_string())
    }

    fn relabel_steps(&self, pool: &str, labels: &Labels) -> Result<serde_json::Value, String> {
        let steps = self.roles.scrapes.relabel_steps(pool, labels);
        let steps = steps.map_err(|e| e.to_string())?;
        Ok(steps.iter().map(targets::relabel_step).collect())
    }

    fn config_yaml(&self) -> String {
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        config.to_yaml()
    }

    fn external_labels(&self) -> Labels {
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        config.global.external_labels.clone()
    }

    fn flags(&self) -> BTreeMap<String, String> {
        self.flags.clone()
    }

    fn build_info(&self) -> BuildInfo {
        version::build_info()
    }

    fn runtime_info(&self) -> RuntimeInfo {
        let directory = std::env::current_dir().unwrap_or_default();
        RuntimeInfo {
            start_time: WallTime(Some(self.start_time_ms)),
            working_directory: directory.display().to_string(),
            hostname: self.hostname.clone(),
            server_time: WallTime(Some(now_ms())),
            reload_config_success: self.reload_success.load(Ordering::Relaxed),
            last_config_time: WallTime(Some(self.reload_time_ms.load(Ordering::Relaxed))),
            corruption_count: self
                .roles
                .compactor
                .quarantined_segments
                .load(Ordering::Relaxed),
            thread_count: process::thread_count(),
            core_count: std::thread::available_parallelism().map_or(1, usize::from),
            memory_limit_bytes: 0,
            garbage_collector: String::new(),
            debug: String::new(),
            storage_retention: String::new(),
        }
    }

    fn write_metrics(&self, out: &mut String) {
        super::metrics::write(self, out);
    }

    async fn reload(&self) -> Result<(), String> {
        self.reload_config().await
    }

    fn quit(&self) {
        tracing::info!("stopping, as /-/quit asks");
        // Nobody listens any more only when the process is stopping already.
        let _ = self.wishes.send(Wish::Stop);
    }
}
