//! Storage URLs: what a user writes to say where the archive lies.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

use crate::error::{Error, Result};

/// Where an archive lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StorageKind {
    /// A folder on this machine.
    Local(PathBuf),
    /// This process's memory; gone when it ends.
    Memory,
    /// A prefix in an S3 bucket.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix, "" for the whole bucket, without slashes at either end.
        prefix: String,
    },
}

/// A parsed storage URL: `file:///path`, a plain path, `memory://` or `s3://bucket/prefix`.
///
/// It never holds a secret, so it may be printed and logged. Its text parses back into an equal URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StorageUrl {
    kind: StorageKind,
}

impl StorageUrl {
    /// A folder on this machine.
    pub fn local(path: impl Into<PathBuf>) -> Self {
        Self {
            kind: StorageKind::Local(path.into()),
        }
    }

    /// A store in memory.
    pub fn memory() -> Self {
        Self {
            kind: StorageKind::Memory,
        }
    }

    /// Where it points.
    pub fn kind(&self) -> &StorageKind {
        &self.kind
    }

    /// Whether requests leave this machine; flush intervals depend on it.
    pub fn is_remote(&self) -> bool {
        matches!(self.kind, StorageKind::S3 { .. })
    }
}

fn invalid(text: &str, reason: impl fmt::Display) -> Error {
    Error::Invalid(format!("storage URL {text:?}: {reason}"))
}

fn parse_file(text: &str, url: &Url) -> Result<StorageKind> {
    if let Some(host) = url
        .host_str()
        .filter(|h| !h.is_empty() && *h != "localhost")
    {
        let hint = format!(
            "{host:?} stands where a host would; write file:///{host}… for an absolute path, or a plain relative path"
        );
        return Err(invalid(text, hint));
    }
    let path = url
        .to_file_path()
        .map_err(|()| invalid(text, "is not an absolute path; write file:///path"))?;
    Ok(StorageKind::Local(path))
}

fn parse_s3(text: &str, url: &Url) -> Result<StorageKind> {
    let bucket = url.host_str().unwrap_or_default();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if bucket.is_empty() {
        return Err(invalid(
            text,
            "names no bucket; write s3://bucket or s3://bucket/prefix",
        ));
    }
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(allowed) {
        let reason = format!(
            "{bucket:?} cannot be a bucket: 3 to 63 lower-case letters, digits, dots and hyphens"
        );
        return Err(invalid(text, reason));
    }
    let prefix =
        object_store::path::Path::from_url_path(url.path()).map_err(|e| invalid(text, e))?;
    Ok(StorageKind::S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.to_string(),
    })
}

impl FromStr for StorageUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            let hint = "a storage URL is empty; write a folder, file:///path, s3://bucket/prefix or memory://";
            return Err(Error::Invalid(hint.to_owned()));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            if text == "~" || text.starts_with("~/") {
                return Err(invalid(
                    text,
                    "~ was not expanded by the shell; write the whole path or $HOME",
                ));
            }
            return Ok(Self::local(text));
        };
        // The text may hold credentials here, so this message does not repeat it.
        if rest.split('/').next().is_some_and(|a| a.contains('@')) {
            let hint = format!(
                "a storage URL ({scheme}://…) must not hold credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            );
            return Err(Error::Invalid(hint));
        }
        let url = Url::parse(text).map_err(|e| invalid(text, e))?;
        if url.query().is_some() || url.fragment().is_some() {
            let reason = "has a query or a fragment; write ? as %3F and # as %23";
            return Err(invalid(text, reason));
        }
        let kind = match scheme {
            "file" => parse_file(text, &url)?,
            "s3" => parse_s3(text, &url)?,
            "memory" if rest.is_empty() || rest == "/" => StorageKind::Memory,
            "memory" => return Err(invalid(text, "takes no path; write memory://")),
            _ => {
                let reason = format!(
                    "the scheme {scheme:?} is not supported; write a folder, file:///path, s3://bucket/prefix or memory://"
                );
                return Err(invalid(text, reason));
            }
        };
        Ok(Self { kind })
    }
}

fn display_path(path: &Path) -> String {
    let plain = path.to_string_lossy();
    let ambiguous = plain.contains("://") || plain.starts_with('~');
    match Url::from_file_path(path) {
        Ok(url) if ambiguous => url.to_string(),
        _ => plain.into_owned(),
    }
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            StorageKind::Local(path) => f.write_str(&display_path(path)),
            StorageKind::Memory => f.write_str("memory://"),
            StorageKind::S3 { bucket, prefix } if prefix.is_empty() => {
                write!(f, "s3://{bucket}")
            }
            StorageKind::S3 { bucket, prefix } => {
                let mut url = Url::parse(&format!("s3://{bucket}/")).map_err(|_| fmt::Error)?;
                if let Ok(mut segments) = url.path_segments_mut() {
                    segments.clear().extend(prefix.split('/'));
                }
                f.write_str(url.as_str())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parse(text: &str) -> StorageKind {
        text.parse::<StorageUrl>().unwrap().kind().clone()
    }

    fn s3(bucket: &str, prefix: &str) -> StorageKind {
        StorageKind::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        }
    }

    #[test]
    fn every_form_is_understood() {
        let local = |path: &str| StorageKind::Local(PathBuf::from(path));
        assert_eq!(parse("./data"), local("./data"));
        assert_eq!(parse("/var/lib/varve"), local("/var/lib/varve"));
        assert_eq!(parse("file:///var/lib/varve"), local("/var/lib/varve"));
        assert_eq!(parse("file://localhost/x"), local("/x"));
        assert_eq!(parse("file:///with%20space/a"), local("/with space/a"));
        assert_eq!(parse("memory://"), StorageKind::Memory);
        assert_eq!(parse("s3://metrics"), s3("metrics", ""));
        assert_eq!(parse("s3://metrics/"), s3("metrics", ""));
        assert_eq!(parse("s3://metrics/a/b/"), s3("metrics", "a/b"));
        assert_eq!(parse("s3://metrics/a%20b"), s3("metrics", "a b"));
    }

    #[test]
    fn the_text_of_a_url_parses_back() {
        for text in [
            "./data",
            "/a b",
            "memory://",
            "s3://metrics",
            "s3://metrics/a%20b/c",
            "file:///a%3A//b",
        ] {
            let url: StorageUrl = text.parse().unwrap();
            assert_eq!(url.to_string().parse::<StorageUrl>().unwrap(), url, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_a_way_out() {
        for (text, want) in [
            ("", "is empty"),
            ("~/data", "not expanded"),
            ("file://data", "file:///data"),
            ("s3://", "names no bucket"),
            ("s3://a", "cannot be a bucket"),
            ("gs://bucket", "not supported"),
            ("memory://x", "takes no path"),
            ("s3://bucket/a?b=c", "query"),
        ] {
            let error = text.parse::<StorageUrl>().unwrap_err();
            assert!(error.to_string().contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_repeated() {
        let error = "s3://AKIA:topsecret@bucket/x"
            .parse::<StorageUrl>()
            .unwrap_err()
            .to_string();
        assert!(error.contains("must not hold credentials"), "{error}");
        assert!(!error.contains("topsecret"), "{error}");
    }
}
