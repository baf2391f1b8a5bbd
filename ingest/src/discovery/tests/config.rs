//! Entries of `<kind>_sd_configs`: what is refused, and how what is accepted is shown.

use std::path::Path;

use crate::config::Config;
use crate::discovery::DiscoveryConfig;

/// A configuration with one entry of a kind.
pub(crate) fn parse(kind: &str, entry: &str) -> Result<Config, String> {
    let text = format!("scrape_configs: [{{job_name: j, {kind}_sd_configs: [{entry}]}}]");
    Config::parse(&text, Path::new("/etc/varve")).map_err(|e| e.message().to_owned())
}

pub(crate) fn entry(kind: &str, entry: &str) -> DiscoveryConfig {
    let config = parse(kind, entry).unwrap();
    config.scrape_configs[0].discoveries[0].clone()
}

/// Checks what is said about wrong entries.
pub(crate) fn refused(kind: &str, table: &[(&str, &str)]) {
    for (entry, expected) in table {
        assert_eq!(parse(kind, entry).unwrap_err(), *expected, "{entry}");
    }
}

/// Checks how an entry is shown, and that this reads back as the same.
pub(crate) fn shown(kind: &str, entry: &str, expected: &str) {
    let yaml = parse(kind, entry).unwrap().to_yaml();
    let (_, list) = yaml.split_once(&format!("  {kind}_sd_configs:\n")).unwrap();
    let (list, _) = list.split_once("otlp:\n").unwrap();
    let expected: Vec<_> = expected.lines().map(|line| format!("  {line}\n")).collect();
    assert_eq!(list, expected.concat(), "{entry}");
    let again = Config::parse(&yaml, Path::new("/etc/varve")).unwrap();
    assert_eq!(again.to_yaml(), yaml);
}
