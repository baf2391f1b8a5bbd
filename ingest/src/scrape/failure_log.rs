//! The log of failed scrapes (`scrape_failure_log_file`): a line of JSON for each.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Appends a line to a file. A file that cannot be written is told in the general log.
pub(super) async fn log(file: PathBuf, job: String, target: String, error: String) {
    let now = OffsetDateTime::now_utc().format(&Rfc3339);
    let line = json!({
        // It has a year of four digits, and so can be written.
        "time": now.unwrap_or_default(),
        "level": "ERROR",
        "msg": error,
        "job_name": job,
        "target": target,
    });
    let shown = file.display().to_string();
    let written = tokio::task::spawn_blocking(move || {
        let mut options = std::fs::File::options();
        let mut file = options.create(true).append(true).open(file)?;
        // One write, so that lines of several targets do not mix.
        file.write_all(format!("{line}\n").as_bytes())
    });
    if let Ok(Err(error)) = written.await {
        tracing::error!(file = shown, %error, "can't write to the log of failed scrapes");
    }
}
