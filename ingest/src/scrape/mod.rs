//! Scraping: loops that fetch targets and append what they answer.
//!
//! Vocabulary: a *pool* is the set of targets of one job; a *loop* scrapes one target; a *cache* is what a loop
//! remembers between scrapes, above all which bytes of an exposition stand for which series; a *report* is the handful of
//! series about the scrape itself (`up` and others); a *stale marker* is the sample that ends a series.
//!
//! Flow: [`ScrapeManager::apply`] makes a pool per job; a pool turns target groups into [`target`]s and keeps one loop
//! ([`worker`]) per target; a loop fetches ([`client`]), parses and relabels new series ([`append`], [`cache`]) and hands one
//! append per scrape to the sink.
//!
//! Timing, staleness and limits are Prometheus's, with these differences:
//! - Samples out of order: one that is older than the last one of its series with a timestamp of the exposition is dropped,
//!   as in Prometheus without an out-of-order window; but nothing is refused for being too old.
//! - A whole job that goes away gets stale markers too.
//! - A response of more than 128 MiB fails the scrape even without `body_size_limit`.

mod append;
mod cache;
mod client;
mod exemplars;
mod failure_log;
mod labels;
mod manager;
mod metrics;
mod pool;
mod reader;
mod report;
mod status;
mod target;
mod track;
mod worker;

pub use self::append::StartTimestamps;
pub use self::client::check_clients;
pub use self::manager::{ScrapeManager, ScrapeOptions};
pub use self::metrics::ScrapeMetrics;
pub use self::reader::TargetReader;
pub use self::status::{
    ActiveTarget, DroppedTarget, TargetHealth, TargetMetadata, TargetsSnapshot,
};

#[cfg(test)]
mod tests;
