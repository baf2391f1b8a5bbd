//! What a kind of discovery has to bring along.

use std::path::Path;
use std::time::Duration;

use super::{Discovery, DiscoveryError, Failures};
use crate::config::ConfigError;
use crate::config::decode::{Fields, duration};
use crate::config::write::Entries;
use crate::config::yaml::Node;
use crate::duration::format_duration;

/// The settings of one entry of `<kind>_sd_configs`.
pub(crate) trait Kind: Sized {
    /// The name of the kind.
    const NAME: &'static str;

    /// Reads the entry, fills in defaults and checks it. File names are relative to `directory`.
    fn decode(node: &Node, directory: &Path) -> Result<Self, ConfigError>;

    /// Writes the entry as the effective configuration shows it: in Prometheus's order, secrets hidden.
    fn render(&self, entries: &mut Entries);

    /// Makes the discovery; it asks nobody anything yet, and needs no runtime. Failures that leave the rest of a list usable are counted in
    /// `failures`.
    fn discovery(&self, failures: Failures) -> Result<Box<dyn Discovery>, DiscoveryError>;
}

/// Takes `refresh_interval`.
pub(crate) fn refresh_interval(
    fields: &mut Fields<'_>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    let given = fields.read("refresh_interval", duration)?;
    Ok(given.filter(|d| !d.is_zero()).unwrap_or(default))
}

/// Writes `refresh_interval`.
pub(crate) fn render_interval(entries: &mut Entries, interval: Duration) {
    entries.text("refresh_interval", format_duration(interval));
}
