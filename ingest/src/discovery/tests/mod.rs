//! The configuration of every kind, and discoveries against servers.
#![allow(clippy::unwrap_used)]

pub(crate) mod config;
pub(crate) mod server;

mod azure;
mod cloud;
mod consul;
mod dns;
mod docker;
mod dockerswarm;
mod eureka;
mod gce;
mod http;
mod kubernetes;
mod kuma;
mod marathon;
mod nomad;
mod oci;
mod openstack;
mod outscale;
mod ovhcloud;
mod puppetdb;
mod stackit;
mod triton;
mod uyuni;
