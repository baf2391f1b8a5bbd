//! Import and export against the programs of Prometheus, and through an archive in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod archive;
mod dump;
mod head;
mod import;
mod promtool;
mod server;
