//! Where traces would be sent.

use std::path::Path;

use super::super::decode::{Fields, boolean, duration, error_at, float, map, string};
use super::super::error::ConfigError;
use super::super::http::TlsConfig;
use super::super::remote_write::is_reserved_header;
use super::super::yaml::Node;

pub(super) fn check(node: &Node, directory: &Path) -> Result<(), ConfigError> {
    let mut fields = Fields::of(node, "config.TracingConfig")?;
    fields.read("client_type", |node| match string(node)?.as_str() {
        "http" | "grpc" => Ok(()),
        other => error_at(
            node,
            format!("expected tracing client type to be to be http or grpc, but got {other}"),
        ),
    })?;
    fields.read("sampling_fraction", float)?;
    fields.read("insecure", boolean)?;
    fields.read("tls_config", |node| TlsConfig::decode(node, directory))?;
    fields.read("headers", |node| {
        map(node, |key, value| {
            if key.name.eq_ignore_ascii_case("authorization") {
                let message = "authorization header configuration is not yet supported";
                return Err(ConfigError::new(Some(key.at), message));
            }
            if is_reserved_header(&key.name) {
                let message = format!("{} is a reserved header. It must not be changed", key.name);
                return Err(ConfigError::new(Some(key.at), message));
            }
            string(value)
        })
    })?;
    fields.read("timeout", duration)?;
    let endpoint = fields.read("endpoint", string)?.unwrap_or_default();
    if endpoint.is_empty() {
        return error_at(node, "tracing endpoint must be set");
    }
    fields.read("compression", |node| match string(node)?.as_str() {
        "" | "gzip" => Ok(()),
        other => error_at(
            node,
            format!("invalid compression type {other} provided, valid options: gzip"),
        ),
    })?;
    fields.finish(&[])
}
