//! Creating the place where an archive lies, and checking that it is fit for one: `varve storage init` and `varve storage check`.
//!
//! Only this module links the AWS SDK, for the calls about buckets that object_store does not make. Providers other than AWS
//! lack some of these calls; what cannot be asked is a warning, never a failure.

mod bucket;
mod bucket_check;
mod bucket_init;
mod folder;
mod lifecycle;

use std::fmt;

use crate::error::Result;
use crate::store::{StorageKind, StorageUrl, Store, probe_conditional_put};

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, but look at it; or it could not be asked.
    Warn,
    /// Varve cannot work so, or data is in danger.
    Error,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

/// One thing that was done or looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a few words: "bucket", "conditional put", "free space".
    pub name: &'static str,
    /// How it is.
    pub status: Status,
    /// What was found, and what to do about it.
    pub detail: String,
}

impl Finding {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, detail)
    }

    fn warn(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Warn, detail)
    }

    fn error(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Error, detail)
    }

    fn new(name: &'static str, status: Status, detail: impl Into<String>) -> Self {
        Self {
            name,
            status,
            detail: detail.into(),
        }
    }
}

fn memory() -> Vec<Finding> {
    vec![Finding::warn(
        "memory",
        "an archive in memory is gone when the process ends",
    )]
}

/// Makes the folder or the bucket if it is missing, and then checks it as [`check`] does. Settings of a bucket that
/// existed before are not touched.
///
/// # Errors
/// Where not even the first call could be made: credentials that cannot be had, a setting that cannot be used. All else is
/// a finding.
pub async fn init(url: &StorageUrl) -> Result<Vec<Finding>> {
    let mut findings = match url.kind() {
        StorageKind::Local(folder) => vec![folder::create(folder)],
        StorageKind::Memory => return Ok(memory()),
        StorageKind::S3 { bucket, .. } => bucket_init::init(bucket).await?,
    };
    if findings.iter().all(|f| f.status != Status::Error) {
        findings.extend(check(url).await?);
    }
    Ok(findings)
}

/// Looks at everything that an archive rests on. Writes and deletes one small object, nothing else.
///
/// # Errors
/// As [`init`].
pub async fn check(url: &StorageUrl) -> Result<Vec<Finding>> {
    let mut findings = match url.kind() {
        StorageKind::Local(folder) => folder::check(folder),
        StorageKind::Memory => return Ok(memory()),
        StorageKind::S3 { bucket, prefix } => bucket_check::check(bucket, prefix).await?,
    };
    // Without a place there is nothing to probe.
    if findings
        .first()
        .is_some_and(|place| place.status != Status::Error)
    {
        findings.push(probe(url).await);
    }
    Ok(findings)
}

async fn probe(url: &StorageUrl) -> Finding {
    const NAME: &str = "conditional put";
    let probed = match Store::open_existing(url) {
        Ok(store) => probe_conditional_put(&store.objects()).await,
        Err(error) => Err(error),
    };
    match probed {
        Ok(()) if url.is_remote() => Finding::ok(
            NAME,
            "a second write under one name is refused, as it must be",
        ),
        Ok(()) => Finding::ok(
            NAME,
            "an object can be written, synced and deleted, and a second write under its name is refused",
        ),
        Err(error) => Finding::error(NAME, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn named<'a>(findings: &'a [Finding], name: &str) -> &'a Finding {
        findings.iter().find(|f| f.name == name).unwrap()
    }

    #[tokio::test]
    async fn a_folder_is_made_and_found_fit() {
        let folder = tempfile::tempdir().unwrap();
        let url = StorageUrl::local(folder.path().join("a/b"));
        let findings = check(&url).await.unwrap();
        let missing = named(&findings, "folder");
        assert_eq!(missing.status, Status::Error);
        assert!(missing.detail.contains("varve storage init"), "{missing:?}");
        assert_eq!(findings.len(), 1);

        let findings = init(&url).await.unwrap();
        assert_eq!(named(&findings, "folder").status, Status::Ok);
        assert_eq!(named(&findings, "conditional put").status, Status::Ok);
        let space = named(&findings, "free space");
        assert!(
            space.detail.contains("GiB") || space.detail.contains("MiB"),
            "{space:?}"
        );
        // Nothing is left behind.
        let left: Vec<_> = std::fs::read_dir(folder.path().join("a/b/probe"))
            .unwrap()
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[tokio::test]
    async fn memory_comes_with_a_warning() {
        let findings = init(&StorageUrl::memory()).await.unwrap();
        assert_eq!(findings[0].status, Status::Warn);
    }
}
