//! The `varve` command: one sub-command per job, one file per sub-command.
//!
//! Exit codes, for scripts: 0 when the job is done, 1 when it failed, 2 when the command line makes no sense. Results go to
//! standard output, everything else to standard error.

mod archive;
mod arguments;
mod check;
mod compact;
mod export;
mod failure;
mod import;
mod logging;
mod output;
mod query;
mod serve;
mod storage;
mod test;
mod version;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::failure::Failure;

/// A pass of the compactor takes much memory for a short time; this allocator gives it back, the C library's keeps it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A Prometheus on object storage.
#[derive(Debug, Parser)]
#[command(
    name = "varve",
    version = version::LONG,
    arg_required_else_help = true,
    after_help = "Most settings can also be given in the environment: --storage.url as VARVE_STORAGE_URL, and so on."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Scrape, store, compact and answer queries, all in one process
    Serve(Box<serve::ServeArguments>),
    /// Ask a question in PromQL, of a server or of an archive
    Query(Box<query::QueryArguments>),
    /// Take the WAL over into the tables, merge files and clean up, once
    Compact(compact::CompactArguments),
    /// Take samples of other stores over into an archive
    Import(Box<import::ImportArguments>),
    /// Write an archive's samples in formats of other stores
    Export(Box<export::ExportArguments>),
    /// Make, check or list the place where an archive lies
    Storage(storage::StorageArguments),
    /// Check files before they are used
    Check(check::CheckArguments),
    /// Run tests of PromQL expressions
    Test(test::TestArguments),
    /// Show the version
    Version(version::VersionArguments),
}

impl Command {
    async fn run(self, matches: &ArgMatches) -> Result<(), Failure> {
        match self {
            Self::Serve(arguments) => {
                let flags = arguments::flags(Cli::command(), matches);
                serve::run(*arguments, flags).await
            }
            Self::Query(arguments) => query::run(*arguments).await,
            Self::Compact(arguments) => compact::run(&arguments).await,
            Self::Import(arguments) => import::run(*arguments).await,
            Self::Export(arguments) => export::run(*arguments).await,
            Self::Storage(arguments) => storage::run(&arguments).await,
            Self::Check(arguments) => check::run(&arguments),
            Self::Test(arguments) => test::run(&arguments).await,
            Self::Version(arguments) => version::run(&arguments),
        }
    }
}

fn main() -> ExitCode {
    // One TLS implementation for the object store and for scrapes, chosen before anything can ask for the default. It
    // fails only where one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return Failure::error(format!("cannot start threads: {error}")).report(),
    };
    match runtime.block_on(cli.command.run(&matches)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
