//! The configuration of every kind, and discoveries against servers.
#![allow(clippy::unwrap_used)]

mod config;
pub(crate) mod server;

mod dns;
mod http;
