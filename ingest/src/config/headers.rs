//! Headers that a configuration adds to requests (`http_headers`).

use std::path::{Path, PathBuf};

use super::decode::{Fields, list, map, string, strings};
use super::error::ConfigError;
use super::http::Secret;
use super::yaml::{Key, Node};

/// A header with all its values: each becomes a line of its own, in the order of the fields here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomHeader {
    /// The name as it was written. A scrape fails if HTTP does not allow it.
    pub name: String,
    /// Values that may be shown.
    pub values: Vec<String>,
    /// Values that are never shown.
    pub secrets: Vec<Secret>,
    /// Files that hold a value each and are read at every request.
    pub files: Vec<PathBuf>,
}

/// Headers that a request has in any case, or that describe the connection, in their canonical form.
const RESERVED: [&str; 18] = [
    "Authorization",
    "Host",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "User-Agent",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Www-Authenticate",
    "Accept-Encoding",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];

/// Reads the section. File names are relative to `directory`.
pub(super) fn custom_headers(
    node: &Node,
    directory: &Path,
) -> Result<Vec<CustomHeader>, ConfigError> {
    let by_name = map(node, |key, node| custom_header(key, node, directory))?;
    Ok(by_name.into_values().collect())
}

fn custom_header(key: &Key, node: &Node, directory: &Path) -> Result<CustomHeader, ConfigError> {
    let mut reserved = RESERVED.iter();
    if let Some(name) = reserved.find(|name| name.eq_ignore_ascii_case(&key.name)) {
        return Err(ConfigError::new(
            Some(key.at),
            format!("setting header {name:?} is not allowed"),
        ));
    }
    let mut header = CustomHeader {
        name: key.name.clone(),
        values: Vec::new(),
        secrets: Vec::new(),
        files: Vec::new(),
    };
    if !node.is_null() {
        let mut fields = Fields::of(node, "config.Header")?;
        header.values = fields.read("values", strings)?.unwrap_or_default();
        let secrets = fields.read("secrets", |node| list(node, Secret::decode))?;
        header.secrets = secrets.unwrap_or_default();
        let files = fields.read("files", |node| {
            list(node, |item| Ok(directory.join(string(item)?)))
        })?;
        header.files = files.unwrap_or_default();
        fields.finish(&[])?;
    }
    Ok(header)
}
