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
        let entries = names(&folder)?.ok_or_else(|| Error::Vanished {
            path: folder.display().to_string(),
        })?;
        for (_, name) in segments(entries) {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_log_is_the_last_checkpoint_and_what_follows_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        };
        assert!(log_files(&folder.path().join("wal")).unwrap().is_empty());
        for name in [
            "checkpoint.00000002/00000000",
            "checkpoint.00000010/00000000",
            "checkpoint.00000010/00000001",
            "checkpoint.00000011.tmp/00000000",
            "00000009",
            "00000010",
            "00000011",
            "00000012",
        ] {
            write(name);
        }
        let files = log_files(folder.path()).unwrap();
        let names: Vec<String> = files
            .iter()
            .map(|file| {
                file.path
                    .strip_prefix(folder.path())
                    .unwrap()
                    .display()
                    .to_string()
            })
            .collect();
        let expected = [
            "checkpoint.00000010/00000000",
            "checkpoint.00000010/00000001",
            "00000011",
            "00000012",
        ];
        assert_eq!(names, expected);
        let last: Vec<bool> = files.iter().map(|file| file.last).collect();
        assert_eq!(last, [false, false, false, true]);
        write("00000014");
        let error = log_files(folder.path()).unwrap_err().to_string();
        assert!(error.contains("segment 13 is missing"), "{error}");
    }
}
