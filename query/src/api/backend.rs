//! What the API needs from the rest of the process, as two traits.
//!
//! [`QueryBackend`] is [`crate::Engine`] in production and a table of fixed answers in tests. [`Host`] is the process
//! around the API: its targets, its configuration, its life. A query function without targets implements it with empty lists.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use serde::{Serialize, Serializer};
use varve_promql::format::format_time;
use varve_promql::{Expr, Matcher, ParseError};
use varve_storage::{Labels, MetricMetadata};

use crate::exemplars::{ExemplarQuery, SeriesExemplars};
use crate::selector::SelectorSpec;
use crate::{Explanation, QueryOptions, QueryResult, RawStream};

/// A query's time grid; for an instant query `start_ms == end_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeGrid {
    /// The first step.
    pub start_ms: i64,
    /// No step is later than this.
    pub end_ms: i64,
    /// The distance of two steps, above 0.
    pub step_ms: i64,
}

/// Which series a question about labels is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelQuery {
    /// Sets of matchers of which a series must fulfil at least one; none means every series.
    pub matchers: Vec<Vec<Matcher>>,
    /// Series with a sample at or after this time.
    pub start_ms: i64,
    /// Series with a sample at or before this time.
    pub end_ms: i64,
    /// The most results that are of use; one more tells the API that it must truncate.
    pub limit: Option<usize>,
}

/// A list with the warnings that arose on the way.
pub type Listed<T> = crate::Result<(Vec<T>, Vec<String>)>;

/// Answers queries. Dropping a future cancels the work behind it.
#[async_trait]
pub trait QueryBackend: Send + Sync + 'static {
    /// Evaluates at one time.
    async fn instant(
        &self,
        query: &str,
        time_ms: i64,
        options: &QueryOptions,
    ) -> crate::Result<QueryResult>;
    /// Evaluates at every step of a grid.
    async fn range(
        &self,
        query: &str,
        grid: TimeGrid,
        options: &QueryOptions,
    ) -> crate::Result<QueryResult>;
    /// The plans of a query.
    async fn explain(
        &self,
        query: &str,
        grid: TimeGrid,
        options: &QueryOptions,
    ) -> crate::Result<Explanation>;
    /// The label sets of series, ascending.
    async fn series(&self, query: &LabelQuery) -> Listed<Labels>;
    /// The names of labels, ascending.
    async fn label_names(&self, query: &LabelQuery) -> Listed<String>;
    /// The values of one label, ascending.
    async fn label_values(&self, name: &str, query: &LabelQuery) -> Listed<String>;
    /// The stored samples of the series that fulfil all matchers, in the closed range of time.
    fn raw(&self, selector: SelectorSpec) -> RawStream;
    /// Reads an expression with the extensions of the language that queries may use.
    fn parse(&self, query: &str) -> Result<Expr, ParseError> {
        varve_promql::parse(query)
    }
    /// Exemplars by series, in the order of label sets; series without any are left out.
    async fn exemplars(&self, query: &ExemplarQuery) -> Listed<SeriesExemplars>;
    /// What the archive knows about a metric family, or about all of them where the name is "": each entry once, those of one family
    /// newest first.
    async fn metadata(&self, family: &str) -> Listed<MetricMetadata>;
}

/// A point in time in milliseconds since the epoch; `None` is Go's zero time, year 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallTime(pub Option<i64>);

/// As Go's RFC 3339 with as many fractional digits as needed, in UTC.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time_ms) => f.write_str(&format_time(time_ms)),
            None => f.write_str("0001-01-01T00:00:00Z"),
        }
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How the last scrape of a target went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetHealth {
    /// Not scraped yet.
    Unknown,
    /// It succeeded.
    Up,
    /// It failed.
    Down,
}

/// A target that is scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveTarget {
    /// Labels before relabelling.
    pub discovered_labels: Labels,
    /// Labels that its series get.
    pub labels: Labels,
    /// The job name of its scrape configuration.
    pub scrape_pool: String,
    /// Where it is scraped.
    pub scrape_url: String,
    /// The same with a host name that other machines can reach.
    pub global_url: String,
    /// The error of the last scrape, "" where it succeeded.
    pub last_error: String,
    /// When it was last scraped.
    pub last_scrape: WallTime,
    /// How long that took, in seconds.
    pub last_scrape_duration: f64,
    /// Whether it succeeded.
    pub health: TargetHealth,
    /// As written in the configuration.
    pub scrape_interval: String,
    /// As written in the configuration.
    pub scrape_timeout: String,
}

/// A target that relabelling dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedTarget {
    /// Labels before relabelling.
    pub discovered_labels: Labels,
    /// The job name of its scrape configuration.
    pub scrape_pool: String,
}

/// All targets, in the order in which they are shown: by pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// Those that are scraped.
    pub active: Vec<ActiveTarget>,
    /// Those that relabelling dropped.
    pub dropped: Vec<DroppedTarget>,
    /// The number of dropped targets by pool; a pool without any has 0.
    pub dropped_counts: BTreeMap<String, usize>,
}

/// What one target says about its metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetMetadata {
    /// The target's labels.
    pub target: Labels,
    /// Its metric families, by name.
    pub metadata: Vec<MetricMetadata>,
}

/// The answer of `/api/v1/status/buildinfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildInfo {
    /// The version of the Prometheus API that is served; clients derive from it what they may ask.
    pub version: String,
    /// The commit, or "unknown".
    pub revision: String,
    /// The branch, or "unknown".
    pub branch: String,
    /// Who built it.
    pub build_user: String,
    /// When it was built.
    pub build_date: String,
    /// The compiler, under the name that clients expect.
    pub go_version: String,
}

/// The answer of `/api/v1/status/runtimeinfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuntimeInfo {
    /// When the process started.
    #[serde(rename = "startTime")]
    pub start_time: WallTime,
    /// The working directory.
    #[serde(rename = "CWD")]
    pub working_directory: String,
    /// The machine's name.
    pub hostname: String,
    /// Now.
    #[serde(rename = "serverTime")]
    pub server_time: WallTime,
    /// Whether the last reload succeeded.
    #[serde(rename = "reloadConfigSuccess")]
    pub reload_config_success: bool,
    /// When the configuration was last loaded.
    #[serde(rename = "lastConfigTime")]
    pub last_config_time: WallTime,
    /// Corrupt objects met since the start.
    #[serde(rename = "corruptionCount")]
    pub corruption_count: u64,
    /// Threads of the process, under the name that clients expect.
    #[serde(rename = "goroutineCount")]
    pub thread_count: usize,
    /// Cores that the process may use.
    #[serde(rename = "GOMAXPROCS")]
    pub core_count: usize,
    /// The memory limit of queries in bytes.
    #[serde(rename = "GOMEMLIMIT")]
    pub memory_limit_bytes: u64,
    /// Always "": there is no garbage collector.
    #[serde(rename = "GOGC")]
    pub garbage_collector: String,
    /// Always "".
    #[serde(rename = "GODEBUG")]
    pub debug: String,
    /// How long samples are kept.
    #[serde(rename = "storageRetention")]
    pub storage_retention: String,
}

/// The process around the API.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Whether everything has started, so that queries can be answered.
    fn is_ready(&self) -> bool;
    /// The targets.
    fn targets(&self) -> Targets;
    /// What the active targets say about their metrics, in the order in which targets are shown.
    fn metadata(&self) -> Vec<TargetMetadata>;
    /// The effective configuration of a job as YAML, secrets hidden. An error says why there is none.
    fn scrape_pool_config(&self, pool: &str) -> Result<String, String> {
        Err(format!("unknown scrape pool {pool:?}"))
    }
    /// What each relabelling rule of a job does to the labels of a target, as JSON: a list of `rule`, `output` and `keep`.
    fn relabel_steps(&self, pool: &str, labels: &Labels) -> Result<serde_json::Value, String> {
        let _ = labels;
        Err(format!("unknown scrape pool {pool:?}"))
    }
    /// The loaded configuration as YAML, secrets hidden.
    fn config_yaml(&self) -> String;
    /// The labels that the configuration adds to whatever leaves this server, `global.external_labels`.
    fn external_labels(&self) -> Labels;
    /// The command line's settings by name, without `--`.
    fn flags(&self) -> BTreeMap<String, String>;
    /// What was built.
    fn build_info(&self) -> BuildInfo;
    /// How the process is doing.
    fn runtime_info(&self) -> RuntimeInfo;
    /// Appends the process's own metrics in the Prometheus text format.
    fn write_metrics(&self, out: &mut String);
    /// Loads the configuration again; on an error, which is returned as text, the old one stays.
    async fn reload(&self) -> Result<(), String>;
    /// Asks the process to stop.
    fn quit(&self);
}

/// A host without a process to speak of: an archive is asked and nothing is scraped.
#[derive(Clone, Debug)]
pub struct ReadOnlyHost {
    /// What is answered about the build.
    pub build_info: BuildInfo,
    /// What is answered about the runtime.
    pub runtime_info: RuntimeInfo,
}

#[async_trait]
impl Host for ReadOnlyHost {
    fn is_ready(&self) -> bool {
        true
    }

    fn targets(&self) -> Targets {
        Targets::default()
    }

    fn metadata(&self) -> Vec<TargetMetadata> {
        Vec::new()
    }

    fn config_yaml(&self) -> String {
        String::new()
    }

    fn external_labels(&self) -> Labels {
        Labels::empty()
    }

    fn flags(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn build_info(&self) -> BuildInfo {
        self.build_info.clone()
    }

    fn runtime_info(&self) -> RuntimeInfo {
        self.runtime_info.clone()
    }

    fn write_metrics(&self, _: &mut String) {}

    async fn reload(&self) -> Result<(), String> {
        Err("there is no configuration".to_owned())
    }

    fn quit(&self) {}
}
