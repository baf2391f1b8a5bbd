//! The configuration of every kind, and discoveries against servers.
#![allow(clippy::unwrap_used)]

pub(crate) mod config;
pub(crate) mod server;

mod cloud;
mod consul;
mod dns;
mod docker;
mod dockerswarm;
mod eureka;
mod http;
mod kubernetes;
mod kuma;
mod marathon;
mod nomad;
mod puppetdb;
