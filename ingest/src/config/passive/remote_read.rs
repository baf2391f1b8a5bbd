//! Servers whose samples would be read beside those of the archive.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::decode::{Fields, boolean, duration, error_at, labels, list, string, unsigned};
use super::super::error::ConfigError;
use super::super::http::HttpClientConfig;
use super::super::remote_write::headers;
use super::super::yaml::Node;

pub(super) fn check(
    node: &Node,
    directory: &Path,
    notes: &mut Vec<String>,
) -> Result<(), ConfigError> {
    let mut names = BTreeSet::new();
    list(node, |item| {
        if item.is_null() {
            return error_at(item, "empty or null remote read config section");
        }
        let (url, name) = server(item, directory)?;
        if !name.is_empty() && !names.insert(name.clone()) {
            return error_at(
                item,
                format!("found multiple remote read configs with job name {name:?}"),
            );
        }
        notes.push(format!(
            "remote_read: {url} is not asked, queries are answered from the archive alone; import its history with varve import"
        ));
        Ok(())
    })?;
    Ok(())
}

/// The URL, without what may be secret, and the name.
fn server(node: &Node, directory: &Path) -> Result<(String, String), ConfigError> {
    let mut fields = Fields::of(node, "config.RemoteReadConfig")?;
    let Some(url) = fields.take_text("url") else {
        return error_at(node, "url for remote_read is empty");
    };
    let text = string(url)?;
    let shown = match url::Url::parse(&text) {
        Ok(url) => super::super::render::shown_url(&url),
        Err(error) => return error_at(url, format!("parse {text:?}: {error}")),
    };
    fields.read("remote_timeout", duration)?;
    fields.read("chunked_read_limit", unsigned)?;
    fields.read("headers", headers)?;
    fields.read("read_recent", boolean)?;
    fields.read("required_matchers", labels)?;
    fields.read("filter_external_labels", boolean)?;
    let name = fields.read("name", string)?.unwrap_or_default();
    HttpClientConfig::take(&mut fields, node, directory)?;
    fields.finish(&[])?;
    Ok((shown, name))
}
