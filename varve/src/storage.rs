//! `varve storage`: the place where an archive lies — make it, check it, list what is there.

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use varve_promql::format::format_time;
use varve_storage::admin::{self, Finding, Status};
use varve_storage::keys::TenantKeys;
use varve_storage::{StorageUrl, Store};
use varve_table::{ArchiveReader, TableFile, TableSnapshot};

use crate::failure::Failure;
use crate::output::{self, table::Table};

#[derive(Debug, Args)]
pub(crate) struct StorageArguments {
    #[command(subcommand)]
    job: Job,
    /// The archive: a folder, file:///path or s3://bucket/prefix
    #[arg(
        long = "storage.url",
        global = true,
        env = "VARVE_STORAGE_URL",
        value_name = "URL",
        default_value = "./data"
    )]
    storage: StorageUrl,
    /// How to write the list
    #[arg(long, short = 'o', global = true, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns
    Table,
    /// For programs
    Csv,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Job {
    /// Create the folder or bucket if it is missing, then check it
    Init,
    /// Check whether the storage can hold an archive
    Check,
    /// List tables, their files by level, and the WAL
    Ls,
}

pub(crate) async fn run(arguments: &StorageArguments) -> Result<(), Failure> {
    let StorageArguments {
        job,
        storage,
        format,
    } = arguments;
    match job {
        Job::Init => findings(
            &admin::init(storage).await.map_err(Failure::error)?,
            *format,
        ),
        Job::Check => findings(
            &admin::check(storage).await.map_err(Failure::error)?,
            *format,
        ),
        Job::Ls => list(storage, *format).await,
    }
}

fn print(table: &Table, format: Format) -> Result<(), Failure> {
    Ok(output::text(&match format {
        Format::Table => table.aligned(),
        Format::Csv => table.csv(),
    })?)
}

fn findings(findings: &[Finding], format: Format) -> Result<(), Failure> {
    let mut table = Table::new(["status", "what", "finding"]);
    for finding in findings {
        table.push(vec![
            finding.status.to_string(),
            finding.name.to_owned(),
            finding.detail.clone(),
        ]);
    }
    print(&table, format)?;
    match findings
        .iter()
        .any(|finding| finding.status == Status::Error)
    {
        true => Err(Failure::silent()),
        false => Ok(()),
    }
}

/// What a level of a table, or a shard of the WAL, adds up to.
#[derive(Debug, Default)]
struct Sum {
    objects: u64,
    rows: u64,
    samples: u64,
    bytes: u64,
    /// First and last sample.
    times_ms: Option<(i64, i64)>,
}

impl Sum {
    fn span(&mut self, min_ms: i64, max_ms: i64) {
        self.times_ms = Some(match self.times_ms {
            None => (min_ms, max_ms),
            Some((first, last)) => (first.min(min_ms), last.max(max_ms)),
        });
    }

    fn add_file(&mut self, file: &TableFile) {
        self.objects += 1;
        self.rows += file.rows;
        self.samples += file.samples;
        self.bytes += file.size_bytes;
        // Rows of metadata have no time, and their file the widest range.
        if file.min_time_ms > i64::MIN {
            self.span(file.min_time_ms, file.max_time_ms);
        }
    }

    fn row(&self, name: &str, version: String, part: String) -> Vec<String> {
        let (from, to) = match self.times_ms {
            Some((first, last)) => (format_time(first), format_time(last)),
            None => (String::new(), String::new()),
        };
        let number = |number: u64| number.to_string();
        vec![
            name.to_owned(),
            version,
            part,
            number(self.objects),
            number(self.rows),
            number(self.samples),
            number(self.bytes),
            from,
            to,
        ]
    }
}

async fn list(storage: &StorageUrl, format: Format) -> Result<(), Failure> {
    let store = Store::open_existing(storage).map_err(Failure::error)?;
    let reader = ArchiveReader::new(store, TenantKeys::default());
    let snapshot = reader.snapshot().await.map_err(Failure::error)?;
    let mut table = Table::new([
        "name", "version>", "part", "objects>", "rows>", "samples>", "bytes>", "from", "to",
    ]);
    for (name, snapshot) in [
        ("samples", &snapshot.samples),
        ("series", &snapshot.series),
        ("metadata", &snapshot.metadata),
    ] {
        list_table(&mut table, name, snapshot);
    }
    let marks = snapshot.samples.wal_marks();
    let mut shards: BTreeMap<u32, Sum> =
        marks.keys().map(|shard| (*shard, Sum::default())).collect();
    for segment in &snapshot.wal {
        let sum = shards.entry(segment.shard).or_default();
        sum.objects += 1;
        sum.rows += segment.samples.num_rows() as u64;
        sum.samples += segment.sample_count as u64;
        sum.bytes += segment.encoded_bytes as u64;
        if let Some((min_ms, max_ms)) = segment.time_range_ms {
            sum.span(min_ms, max_ms);
        }
    }
    for (shard, sum) in shards {
        let mark = marks.get(&shard).copied().unwrap_or(0);
        table.push(sum.row("wal", mark.to_string(), format!("shard {shard}")));
    }
    print(&table, format)?;
    for warning in &snapshot.warnings {
        output::complain(&format!("warning: {warning}"));
    }
    Ok(())
}

fn list_table(table: &mut Table, name: &str, snapshot: &TableSnapshot) {
    if !snapshot.exists() {
        return;
    }
    let mut levels: BTreeMap<u8, Sum> = BTreeMap::new();
    for file in snapshot.files.values() {
        levels.entry(file.level).or_default().add_file(file);
    }
    for (level, sum) in levels {
        let version = snapshot.version.to_string();
        table.push(sum.row(name, version, format!("level {level}")));
    }
}
