//! What `/api/v1/targets` and `/api/v1/metadata` show.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use varve_storage::{Labels, MetricMetadata};

/// How the last scrape of a target went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetHealth {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// It succeeded.
    Up,
    /// It failed.
    Down,
}

impl TargetHealth {
    /// The word in the HTTP API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
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
    /// When it was last scraped; `None` before the first time.
    pub last_scrape: Option<SystemTime>,
    /// How long that took.
    pub last_scrape_duration: Duration,
    /// Whether it succeeded.
    pub health: TargetHealth,
    /// The interval, as in a configuration.
    pub scrape_interval: String,
    /// The timeout, as in a configuration.
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

/// All targets, by pool and URL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetsSnapshot {
    /// Those that are scraped.
    pub active: Vec<ActiveTarget>,
    /// Those that relabelling dropped, as many as `keep_dropped_targets` allows.
    pub dropped: Vec<DroppedTarget>,
    /// The number of dropped targets by pool; a pool without any has 0.
    pub dropped_counts: BTreeMap<String, usize>,
}

/// What one target says about its metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetMetadata {
    /// The target's labels.
    pub target: Labels,
    /// Its metric families, by name.
    pub metadata: Vec<MetricMetadata>,
}
