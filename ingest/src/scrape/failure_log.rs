//! The logs of failed scrapes (`scrape_failure_log_file`): a line of JSON for each scrape whose response could not be had.
//!
//! Jobs may share a file. Files are opened anew whenever a configuration is applied, so that they can be rotated.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::worker::lock;
use crate::error::{Error, Result};

/// The logs that are open.
#[derive(Debug, Default)]
pub(super) struct FailureLogs {
    files: Mutex<BTreeMap<PathBuf, Arc<File>>>,
}

/// One failed scrape.
#[derive(Debug)]
pub(super) struct Failure<'a> {
    pub(super) time: SystemTime,
    pub(super) job: &'a str,
    pub(super) url: &'a str,
    pub(super) error: &'a str,
}

impl FailureLogs {
    /// Opens the logs of these files and closes all others. If one cannot be opened, nothing is changed. An empty path is no file.
    pub(super) fn open<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> Result<()> {
        let mut opened = BTreeMap::new();
        for path in paths.filter(|path| !path.as_os_str().is_empty()) {
            if opened.contains_key(path) {
                continue;
            }
            let file = File::options().create(true).append(true).open(path);
            let file = file.map_err(|source| Error::OpenLog {
                path: path.display().to_string(),
                source,
            })?;
            opened.insert(path.to_owned(), Arc::new(file));
        }
        *lock(&self.files) = opened;
        Ok(())
    }

    /// Writes a failure. It is written by a thread that may wait for the disk; where that fails, the failure is in the process's log alone.
    pub(super) fn write(&self, path: &Path, failure: &Failure<'_>) {
        let Some(file) = lock(&self.files).get(path).cloned() else {
            return;
        };
        let line = line(failure);
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || {
            // One call, so that lines of several loops do not mix.
            if let Err(error) = file.as_ref().write_all(line.as_bytes()) {
                tracing::error!(path = %path.display(), %error, "cannot log a failed scrape");
            }
        });
    }
}

/// The line, in the fields and the order of Prometheus's.
fn line(failure: &Failure<'_>) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    // A time that has a year of four digits can be written.
    let time = OffsetDateTime::from(failure.time).format(&Rfc3339);
    format!(
        "{{\"time\":{},\"level\":\"ERROR\",\"source\":{},\"msg\":{},\"job_name\":{},\"target\":{}}}\n",
        text(&time.unwrap_or_default()),
        text(concat!("failure_log.rs:", line!())),
        text(failure.error),
        text(failure.job),
        text(failure.url),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_line_is_json_whatever_the_error_says() {
        let line = line(&Failure {
            time: UNIX_EPOCH + Duration::from_millis(951_782_400_120),
            job: "j",
            url: "http://h/metrics",
            error: "Get \"http://h/metrics\":\nno",
        });
        let start = "{\"time\":\"2000-02-29T00:00:00.12Z\",\"level\":\"ERROR\",\"source\":\"failure_log.rs:";
        assert!(line.starts_with(start), "{line}");
        let end = "\"msg\":\"Get \\\"http://h/metrics\\\":\\nno\",\"job_name\":\"j\",\"target\":\"http://h/metrics\"}\n";
        assert!(line.ends_with(end), "{line}");
    }

    #[test]
    fn a_file_that_cannot_be_opened_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let logs = FailureLogs::default();
        let good = folder.path().join("good");
        logs.open([good.as_path(), Path::new(""), good.as_path()].into_iter())
            .unwrap();
        let bad = folder.path().join("none/bad");
        let error = logs.open([bad.as_path()].into_iter()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("can't create json log file: open ")
        );
        assert_eq!(lock(&logs.files).len(), 1);
    }
}
