//! Where alerts would be sent.

use std::path::Path;

use super::super::decode::{Fields, duration, error_at, list, string};
use super::super::error::ConfigError;
use super::super::http::HttpClientConfig;
use super::super::relabel::rules_or;
use super::super::scrape::static_groups;
use super::super::yaml::Node;
use crate::discovery::DiscoveryConfig;
use crate::names::NameValidation;

pub(super) fn check(
    node: &Node,
    validation: NameValidation,
    directory: &Path,
) -> Result<(), ConfigError> {
    let mut fields = Fields::of(node, "config.AlertingConfig")?;
    fields.read("alert_relabel_configs", |node| {
        rules_or(node, "empty or null alert relabeling rule", validation)
    })?;
    fields.read("alertmanagers", |node| {
        list(node, |item| alertmanager(item, validation, directory))
    })?;
    fields.finish(&[])
}

fn alertmanager(
    node: &Node,
    validation: NameValidation,
    directory: &Path,
) -> Result<(), ConfigError> {
    let mut fields = Fields::of(node, "config.AlertmanagerConfig")?;
    fields.read("scheme", string)?;
    fields.read("path_prefix", string)?;
    fields.read("timeout", duration)?;
    fields.read_even_null("api_version", |node| match string(node)?.as_str() {
        "v2" => Ok(()),
        other => error_at(
            node,
            format!("expected Alertmanager api version to be one of [v2] but got {other}"),
        ),
    })?;
    let sigv4 = fields.take("sigv4");
    let http = HttpClientConfig::take(&mut fields, node, directory)?;
    let is_authenticated =
        http.basic_auth.is_some() || http.authorization.is_some() || http.oauth2.is_some();
    if is_authenticated && sigv4.is_some() {
        return error_at(
            node,
            "at most one of basic_auth, authorization, oauth2, & sigv4 must be configured",
        );
    }
    let relabel = fields.read("relabel_configs", |node| {
        let empty = "empty or null Alertmanager target relabeling rule";
        rules_or(node, empty, validation)
    })?;
    fields.read("alert_relabel_configs", |node| {
        let empty = "empty or null Alertmanager alert relabeling rule";
        rules_or(node, empty, validation)
    })?;
    let check_addresses = relabel.is_none_or(|rules| rules.is_empty());
    fields.read("static_configs", |node| {
        static_groups(node, check_addresses)
    })?;
    DiscoveryConfig::take_all(&mut fields, directory)?;
    fields.finish(&[])
}
