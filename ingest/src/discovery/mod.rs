//! Service discovery: where targets come from.
//!
//! A *target group* is a list of addresses with labels in common. Groups have a source, unique within a job; a job's
//! targets are those of its latest group of each source.

mod file;

use std::collections::BTreeMap;

pub(crate) use self::file::files_matching;
pub use self::file::{FileDiscovery, POLL_INTERVAL};

/// Addresses with labels in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// Where the group comes from, for messages: a number within the configuration, or `<file>:<number>`.
    pub source: String,
    /// Addresses, `host:port`.
    pub targets: Vec<String>,
    /// Labels of all of them. A label of a target itself (`__address__`) wins.
    pub labels: BTreeMap<String, String>,
}
