//! Counters about service discovery.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts what failed in the discoveries of one kind. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Failures(Arc<AtomicU64>);

impl Failures {
    /// Counts one.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of all discoveries.
#[derive(Debug, Default)]
pub struct DiscoveryMetrics {
    failures: Mutex<BTreeMap<&'static str, Failures>>,
    discovered: Mutex<BTreeMap<String, u64>>,
}

impl DiscoveryMetrics {
    /// The failures of a kind.
    pub fn failures(&self, kind: &'static str) -> Failures {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.entry(kind).or_default().clone()
    }

    /// Failures so far, by kind: refreshes that failed, and parts of them (one of several files, one of several names). Kinds
    /// that were never configured are left out.
    pub fn refresh_failures(&self) -> BTreeMap<&'static str, u64> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures
            .iter()
            .map(|(k, count)| (*k, count.total()))
            .collect()
    }

    /// Targets found, by job, before relabelling; those of `static_configs` are among them.
    pub fn discovered_targets(&self) -> BTreeMap<String, u64> {
        self.discovered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sets the number of targets found for a job; `None` for a job that is gone.
    pub(crate) fn set_discovered(&self, job: &str, targets: Option<u64>) {
        let mut discovered = self
            .discovered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match targets {
            Some(targets) => discovered.insert(job.to_owned(), targets),
            None => discovered.remove(job),
        };
    }
}
