//! `varve version`

use clap::Args;
use varve_query::api::BuildInfo;

use crate::failure::Failure;
use crate::output;

/// The version of this build.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version, and which Prometheus its answers are modelled on.
pub(crate) const LONG: &str = concat!(env!("CARGO_PKG_VERSION"), " (Prometheus API 3.14)");

/// The commit, where the build was told.
pub(crate) const REVISION: &str = match option_env!("VARVE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The version of Prometheus whose API and query language are served.
const PROMETHEUS_VERSION: &str = "3.14.0";

/// What the API says about the build. Clients derive from the version which questions they may ask, so it is
/// that of the Prometheus that is modelled.
pub(crate) fn build_info() -> BuildInfo {
    BuildInfo {
        version: PROMETHEUS_VERSION.to_owned(),
        revision: REVISION.to_owned(),
        branch: format!("varve {VERSION}"),
        build_user: String::new(),
        build_date: String::new(),
        go_version: String::new(),
    }
}

#[derive(Debug, Args)]
pub(crate) struct VersionArguments {
    /// Only the number
    #[arg(long)]
    short: bool,
}

pub(crate) fn run(arguments: &VersionArguments) -> Result<(), Failure> {
    let text = match arguments.short {
        true => VERSION.to_owned(),
        false => format!("varve {LONG}"),
    };
    Ok(output::line(&text)?)
}
