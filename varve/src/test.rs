//! `varve test promql`: runs test scripts for PromQL, in Prometheus's format, on the way that samples and queries really take.
//!
//! What a script loads becomes an archive in memory of the process: the first half of the time is compacted into the tables, the second
//! stays in the write-ahead log. Every query goes through the engine of `varve serve`, with all experimental parts of the language
//! and with metric names removed at the end, as Prometheus runs such scripts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use varve_compactor::{Compactor, CompactorOptions, RunOptions};
use varve_promql::ParseOptions;
use varve_query::promqltest::{Loaded, Outcome, ScriptResult, run_script_on};
use varve_query::{Archive, EngineOptions, StoredArchive};
use varve_storage::keys::TenantKeys;
use varve_storage::wal::{Append, SampleRow, WalOptions, WalWriter};
use varve_storage::{Series, StorageUrl, Store};
use varve_table::ArchiveReader;

use crate::failure::Failure;
use crate::output;
use crate::output::table::Table;

#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run test scripts (`load`, `eval`, `clear`; see Prometheus's promql/promqltest)
    Promql {
        /// Script files, and folders of files that end in .test
        #[arg(required = true, value_name = "FILE OR FOLDER")]
        paths: Vec<PathBuf>,
        /// Also show the cases that need something Varve does not have yet
        #[arg(long)]
        show_unsupported: bool,
    },
}

pub(crate) async fn run(arguments: &TestArguments) -> Result<(), Failure> {
    let What::Promql {
        paths,
        show_unsupported,
    } = &arguments.what;
    let options = EngineOptions {
        delayed_name_removal: true,
        parse: ParseOptions::experimental(),
        use_start_timestamps: true,
        ..EngineOptions::default()
    };
    let mut table = Table::new(["file", "passed>", "failed>", "not supported>"]);
    let mut all_pass = true;
    for path in scripts(paths)? {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::error(format!("{name}: {error}")))?;
        let (passed, failed, unsupported) = match run_script_on(&text, options, stored).await {
            Ok(result) => {
                show(&name, &result, *show_unsupported);
                result.counts()
            }
            Err(error) => {
                output::complain(&format!("{name}: {error}"));
                (0, 1, 0)
            }
        };
        all_pass &= failed == 0 && unsupported == 0;
        table.push(vec![
            name,
            passed.to_string(),
            failed.to_string(),
            unsupported.to_string(),
        ]);
    }
    output::line(table.aligned().trim_end())?;
    match all_pass {
        true => Ok(()),
        false => Err(Failure::silent()),
    }
}

/// The files that are meant, those of a folder by name.
fn scripts(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut scripts = Vec::new();
    for path in paths {
        if !path.is_dir() {
            scripts.push(path.clone());
            continue;
        }
        let mut found = in_folder(path)
            .map_err(|error| Failure::error(format!("{}: {error}", path.display())))?;
        if found.is_empty() {
            let name = path.display();
            return Err(Failure::error(format!(
                "{name}: no files that end in .test"
            )));
        }
        found.sort();
        scripts.extend(found);
    }
    Ok(scripts)
}

fn in_folder(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "test")
        {
            found.push(path);
        }
    }
    Ok(found)
}

fn show(name: &str, result: &ScriptResult, show_unsupported: bool) {
    for case in &result.cases {
        let why = match &case.outcome {
            Outcome::Passed => continue,
            Outcome::Failed(why) => why.clone(),
            Outcome::NotSupported(what) if show_unsupported => {
                format!("not supported yet: {what}")
            }
            Outcome::NotSupported(_) => continue,
        };
        output::complain(&format!("{name}:{}: {}\n    {why}", case.line, case.query));
    }
}

/// An archive of what was loaded.
async fn stored(loaded: &Loaded) -> Result<Arc<dyn Archive>, String> {
    write(loaded).await.map_err(|error| error.to_string())
}

async fn write(loaded: &Loaded) -> Result<Arc<dyn Archive>, Box<dyn std::error::Error>> {
    let store = Store::open(&"memory://".parse::<StorageUrl>()?)?;
    let keys = TenantKeys::default();
    let mut rows = Vec::new();
    for (labels, samples) in loaded.series() {
        let series = Arc::new(Series::new(labels.clone()));
        rows.extend(samples.into_iter().map(|sample| SampleRow {
            series: Arc::clone(&series),
            timestamp_ms: sample.timestamp_ms,
            start_timestamp_ms: sample.start_timestamp_ms,
            value: sample.value,
        }));
    }
    rows.sort_by_key(|row| row.timestamp_ms);
    let newer = rows.split_off(rows.len() / 2);
    append(&store, &keys, rows).await?;
    let compactor = Compactor::new(store.clone(), keys.clone(), CompactorOptions::default());
    compactor.run_once(&RunOptions::default()).await?;
    append(&store, &keys, newer).await?;
    let reader = Arc::new(ArchiveReader::new(store.clone(), keys));
    Ok(Arc::new(StoredArchive::new(reader, store, Arc::default())))
}

async fn append(
    store: &Store,
    keys: &TenantKeys,
    samples: Vec<SampleRow>,
) -> Result<(), Box<dyn std::error::Error>> {
    if samples.is_empty() {
        return Ok(());
    }
    let options = WalOptions::default();
    let writer = WalWriter::open(store.objects(), keys.clone(), 0, options).await?;
    let append = Append {
        samples,
        ..Append::default()
    };
    let ticket = writer.append(append).await?;
    writer.flush().await?;
    ticket.durable().await?;
    writer.close().await?;
    Ok(())
}
