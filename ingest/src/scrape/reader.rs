//! Expositions without a network: recorded scrapes, files to import.

use std::sync::Arc;

use varve_storage::Labels;
use varve_storage::wal::Append;

use super::append::{PassContext, StartTimestamps, empty_pass, pass};
use super::cache::ScrapeCache;
use super::metrics::ScrapeMetrics;
use crate::config::ScrapeConfig;
use crate::error::Result;
use crate::exposition::Format;

/// Turns the expositions of one target into appends, as its scrape loop would: labels, rules, limits, stale markers. Report
/// series (`up` and others) are not part of it.
#[derive(Debug)]
pub struct TargetReader {
    config: Arc<ScrapeConfig>,
    target: Labels,
    cache: ScrapeCache,
    metrics: ScrapeMetrics,
}

impl TargetReader {
    /// A reader that has seen nothing yet. `target`: the labels that every series gets.
    pub fn new(config: Arc<ScrapeConfig>, target: Labels) -> Self {
        Self {
            config,
            target,
            cache: ScrapeCache::default(),
            metrics: ScrapeMetrics::default(),
        }
    }

    /// Reads what the target exposed at `time_ms` (ms since the epoch). Where the exposition is wrong, the append ends the
    /// series that were there before, and the error says why.
    pub fn read(&mut self, body: &[u8], format: Format, time_ms: i64) -> (Append, Result<()>) {
        let context = PassContext {
            config: &self.config,
            target: &self.target,
            metrics: &self.metrics,
            time_ms,
            options: self.config.read_options(),
            starts: StartTimestamps::default(),
        };
        let (found, result) = pass(body, format, &mut self.cache, &context);
        let append = match result {
            Ok(()) => Append {
                samples: found.samples,
                metadata: self.cache.take_changed_metadata(),
                exemplars: found.exemplars,
            },
            Err(_) => Append {
                samples: empty_pass(&mut self.cache, &context),
                ..Append::default()
            },
        };
        (append, result)
    }

    /// Counters of what was read.
    pub fn metrics(&self) -> &ScrapeMetrics {
        &self.metrics
    }
}
