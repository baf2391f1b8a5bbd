//! From targets to the write-ahead log: configuration, discovery, relabelling, scraping.
//!
//! Vocabulary: a *job* is one entry of `scrape_configs`; a *target* is one endpoint of a job after relabelling; a
//! *scrape* is one request to a target and becomes one append to the store, all or nothing.
//!
//! Reading order: [`config`] reads `prometheus.yml`, [`discovery`] finds addresses, [`relabel`] makes label sets,
//! [`exposition`] parses what a target answers, [`scrape`] runs the loops and writes to a [`sink`]; [`push`] takes what others send.
//!
//! Prometheus's behaviour is the specification throughout: defaults, validation, timing, staleness, messages.

pub mod config;
pub mod discovery;
pub mod duration;
mod environment;
pub mod error;
pub mod exposition;
pub mod forward;
mod http_client;
mod identity;
pub mod names;
pub mod push;
pub mod relabel;
pub mod scrape;
mod sigv4;
pub mod sink;

pub use config::Config;
pub use error::{Error, ErrorKind, Result};
pub use scrape::{ScrapeManager, ScrapeOptions, StartTimestamps};
pub use sink::SampleSink;
