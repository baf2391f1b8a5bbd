//! `varve check config`: the checks of `promtool check config`, in its words.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use varve_ingest::Config;
use varve_ingest::scrape::check_clients;

use crate::failure::Failure;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check configuration files (prometheus.yml)
    Config {
        /// Only the files themselves, not whether the files exist that they name
        #[arg(long)]
        syntax_only: bool,

        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

pub(crate) fn run(arguments: &CheckArguments) -> Result<(), Failure> {
    let What::Config { syntax_only, files } = &arguments.what;
    let mut failed = false;
    for file in files {
        let name = file.display();
        output::line(&format!("Checking {name}"))?;
        let checked = Config::load(file).and_then(|config| {
            if !syntax_only {
                check_clients(&config)?;
            }
            Ok(config)
        });
        match checked {
            Ok(config) => {
                for note in &config.notes {
                    output::line(&format!(" NOTE: {note}"))?;
                }
                output::line(&format!(
                    " SUCCESS: {name} is valid prometheus config file syntax\n"
                ))?;
            }
            Err(error) => {
                failed = true;
                output::complain(&format!("  FAILED: {error}\n"));
            }
        }
    }
    if failed {
        return Err(Failure::silent());
    }
    Ok(())
}
