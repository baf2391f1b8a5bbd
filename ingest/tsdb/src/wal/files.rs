//! Which files a log consists of.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const CHECKPOINT: &str = "checkpoint.";

/// One segment to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFile {
    /// The file.
    pub(crate) path: PathBuf,
    /// How many bytes it had when it was listed; later ones are not read, so that all passes over a log see the same.
    pub(crate) bytes: u64,
    /// Whether it was being written when Prometheus stopped: its last record may be torn.
    pub(crate) last: bool,
}

/// The segments of a log in the order of replay: those of the last checkpoint, then those behind it. None if there is no log.
pub(crate) fn log_files(folder: &Path) -> Result<Vec<LogFile>> {
    let Some(entries) = names(folder)? else {
        return Ok(Vec::new());
    };
    let checkpoint = entries
        .iter()
        .filter_map(|name| Some((name.strip_prefix(CHECKPOINT)?.parse::<u64>().ok()?, name)))
        .max();
    let mut files = Vec::new();
    if let Some((_, name)) = checkpoint {
        let folder = folder.join(name);
        for (_, name) in segments(names(&folder)?.unwrap_or_default()) {
            files.push(log_file(folder.join(name))?);
        }
    }
    let covered = checkpoint.map(|(number, _)| number);
    let mut rest = segments(entries.clone());
    rest.retain(|(number, _)| covered.is_none_or(|covered| *number > covered));
    for (pair, next) in rest.iter().zip(rest.iter().skip(1)) {
        if pair.0 + 1 != next.0 {
            return Err(Error::corrupt(
                &folder.display().to_string(),
                0,
                format!("segment {} is missing", pair.0 + 1),
            ));
        }
    }
    let count = rest.len();
    for (place, (_, name)) in rest.into_iter().enumerate() {
        let mut file = log_file(folder.join(name))?;
        file.last = place + 1 == count;
        files.push(file);
    }
    Ok(files)
}

/// The names in a folder, `None` if it does not exist.
fn names(folder: &Path) -> Result<Option<Vec<String>>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("list", folder)(error)),
    };
    let names: std::io::Result<Vec<String>> = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect();
    names.map(Some).map_err(Error::io("list", folder))
}

/// The names that are numbers, ascending.
fn segments(names: Vec<String>) -> Vec<(u64, String)> {
    let mut segments: Vec<(u64, String)> = names
        .into_iter()
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|name| Some((name.parse().ok()?, name)))
        .collect();
    segments.sort_unstable();
    segments
}

fn log_file(path: PathBuf) -> Result<LogFile> {
    match std::fs::metadata(&path) {
        Ok(metadata) => Ok(LogFile {
            path,
            bytes: metadata.len(),
            last: false,
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::Vanished {
            path: path.display().to_string(),
        }),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}
