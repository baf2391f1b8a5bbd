//! The state of an S3 endpoint: buckets, objects and unfinished uploads, without any HTTP.
//!
//! Every method runs to its end under the caller's mutex, so a precondition and the write that depends on it are one step,
//! as they are on S3.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use s3s::dto::{ETag, ETagCondition};
use s3s::{S3Error, S3Result, s3_error};
use sha2::{Digest, Sha256};

/// The least size of every part of an upload but the last, in bytes, as on S3.
const PART_BYTES_MIN: usize = 5 << 20;

/// One object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    /// A hash of the bytes, without quotes: equal content has an equal tag, as on S3.
    pub(super) e_tag: String,
    pub(super) modified: SystemTime,
}

impl Object {
    fn new(bytes: Bytes) -> Self {
        Self {
            e_tag: hash(&bytes),
            bytes,
            modified: SystemTime::now(),
        }
    }

    /// Fails as a conditional GET or HEAD does.
    pub(super) fn check_read(
        &self,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<()> {
        if if_match.is_some_and(|condition| !self.meets(condition)) {
            return Err(s3_error!(PreconditionFailed));
        }
        if if_none_match.is_some_and(|condition| self.meets(condition)) {
            return Err(s3_error!(NotModified));
        }
        Ok(())
    }

    fn meets(&self, condition: &ETagCondition) -> bool {
        match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(tag) => tag.value() == self.e_tag,
        }
    }
}

fn hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest[..16].iter().map(|b| format!("{b:02x}")).collect()
}

#[derive(Debug, Default)]
struct Bucket {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
}

#[derive(Debug)]
struct Upload {
    key: String,
    parts: BTreeMap<i32, Object>,
}

/// What a write demands of the object that it replaces.
#[derive(Debug, Default)]
pub(super) struct WriteCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

/// One page of a listing.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Page {
    /// Keys with their objects' e-tags, sizes and times, or common prefixes, in order.
    pub(super) entries: Vec<Entry>,
    /// Where the next page starts, exclusive; `None` at the end.
    pub(super) next: Option<String>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Entry {
    Key {
        key: String,
        e_tag: String,
        size: usize,
        modified: SystemTime,
    },
    Prefix(String),
}

/// All buckets of an endpoint.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    buckets: BTreeMap<String, Bucket>,
    uploads_started: u64,
}

impl Buckets {
    pub(super) fn create(&mut self, name: &str) -> S3Result<()> {
        if self.buckets.contains_key(name) {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        self.buckets.insert(name.to_owned(), Bucket::default());
        Ok(())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.buckets.keys().map(String::as_str)
    }

    pub(super) fn check(&self, name: &str) -> S3Result<()> {
        self.bucket(name).map(|_| ())
    }

    fn bucket(&self, name: &str) -> S3Result<&Bucket> {
        self.buckets.get(name).ok_or_else(|| no_bucket(name))
    }

    fn bucket_mut(&mut self, name: &str) -> S3Result<&mut Bucket> {
        self.buckets.get_mut(name).ok_or_else(|| no_bucket(name))
    }

    pub(super) fn get(&self, bucket: &str, key: &str) -> S3Result<Object> {
        let object = self.bucket(bucket)?.objects.get(key);
        object
            .cloned()
            .ok_or_else(|| s3_error!(NoSuchKey, "the specified key does not exist: {key}"))
    }

    /// Writes an object if its predecessor meets the condition; gives the new e-tag.
    pub(super) fn put(
        &mut self,
        bucket: &str,
        key: &str,
        bytes: Bytes,
        condition: &WriteCondition,
    ) -> S3Result<String> {
        let bucket = self.bucket_mut(bucket)?;
        bucket.check_write(key, condition)?;
        let object = Object::new(bytes);
        let e_tag = object.e_tag.clone();
        bucket.objects.insert(key.to_owned(), object);
        Ok(e_tag)
    }

    /// Deletes an object; one that does not exist is no error, as on S3.
    pub(super) fn delete(
        &mut self,
        bucket: &str,
        key: &str,
        if_match: Option<ETagCondition>,
    ) -> S3Result<()> {
        let bucket = self.bucket_mut(bucket)?;
        if if_match.is_some() {
            let condition = WriteCondition {
                if_match,
                if_none_match: None,
            };
            bucket.check_write(key, &condition)?;
        }
        bucket.objects.remove(key);
        Ok(())
    }

    /// Lists keys under `prefix` that are greater than `after`, with everything up to `delimiter` rolled into one entry.
    pub(super) fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        delimiter: Option<&str>,
        entries_max: usize,
    ) -> S3Result<Page> {
        let mut page = Page::default();
        let mut last: Option<String> = None;
        let objects = &self.bucket(bucket)?.objects;
        for (key, object) in objects.range(prefix.to_owned()..) {
            let Some(rest) = key.strip_prefix(prefix) else {
                break;
            };
            let rolled = delimiter.and_then(|d| rest.find(d).map(|at| &rest[..at + d.len()]));
            let name = rolled.map_or_else(|| key.clone(), |part| format!("{prefix}{part}"));
            if name.as_str() <= after || last.as_ref() == Some(&name) {
                continue;
            }
            if page.entries.len() == entries_max {
                page.next = last;
                break;
            }
            last = Some(name.clone());
            page.entries.push(match rolled {
                Some(_) => Entry::Prefix(name),
                None => Entry::Key {
                    key: name,
                    e_tag: object.e_tag.clone(),
                    size: object.bytes.len(),
                    modified: object.modified,
                },
            });
        }
        Ok(page)
    }

    pub(super) fn start_upload(&mut self, bucket: &str, key: &str) -> S3Result<String> {
        self.uploads_started += 1;
        let id = format!("upload-{}", self.uploads_started);
        let upload = Upload {
            key: key.to_owned(),
            parts: BTreeMap::new(),
        };
        self.bucket_mut(bucket)?.uploads.insert(id.clone(), upload);
        Ok(id)
    }

    pub(super) fn put_part(
        &mut self,
        bucket: &str,
        key: &str,
        upload: &str,
        number: i32,
        bytes: Bytes,
    ) -> S3Result<String> {
        let upload = self.bucket_mut(bucket)?.upload(key, upload)?;
        let part = Object::new(bytes);
        let e_tag = part.e_tag.clone();
        upload.parts.insert(number, part);
        Ok(e_tag)
    }

    pub(super) fn abort_upload(&mut self, bucket: &str, key: &str, id: &str) -> S3Result<()> {
        let bucket = self.bucket_mut(bucket)?;
        bucket.upload(key, id)?;
        bucket.uploads.remove(id);
        Ok(())
    }

    /// Joins the parts into an object if its predecessor meets the condition; a failed condition leaves the upload as it is.
    pub(super) fn complete_upload(
        &mut self,
        bucket: &str,
        key: &str,
        id: &str,
        parts: &[(i32, Option<ETag>)],
        condition: &WriteCondition,
    ) -> S3Result<String> {
        let bucket = self.bucket_mut(bucket)?;
        let upload = bucket.upload(key, id)?;
        let mut bytes = BytesMut::new();
        let mut previous = 0;
        for (place, (number, e_tag)) in parts.iter().enumerate() {
            if *number <= previous {
                return Err(s3_error!(InvalidPartOrder));
            }
            previous = *number;
            let part = upload.parts.get(number);
            let part = part.ok_or_else(|| s3_error!(InvalidPart, "no part {number}"))?;
            if e_tag.as_ref().is_some_and(|tag| tag.value() != part.e_tag) {
                return Err(s3_error!(InvalidPart, "part {number} has another e-tag"));
            }
            if part.bytes.len() < PART_BYTES_MIN && place + 1 < parts.len() {
                return Err(s3_error!(EntityTooSmall));
            }
            bytes.extend_from_slice(&part.bytes);
        }
        if parts.is_empty() {
            return Err(s3_error!(MalformedXML, "an upload needs one part or more"));
        }
        bucket.check_write(key, condition)?;
        let object = Object {
            e_tag: format!("{}-{}", hash(&bytes), parts.len()),
            ..Object::new(bytes.freeze())
        };
        let e_tag = object.e_tag.clone();
        bucket.uploads.remove(id);
        bucket.objects.insert(key.to_owned(), object);
        Ok(e_tag)
    }
}

impl Bucket {
    fn upload(&mut self, key: &str, id: &str) -> S3Result<&mut Upload> {
        let upload = self.uploads.get_mut(id).filter(|u| u.key == key);
        upload.ok_or_else(|| s3_error!(NoSuchUpload))
    }

    fn check_write(&self, key: &str, condition: &WriteCondition) -> S3Result<()> {
        let object = self.objects.get(key);
        if let Some(tag) = &condition.if_match {
            // S3 answers "no such key", not "precondition failed", to If-Match on nothing.
            let object = object.ok_or_else(|| s3_error!(NoSuchKey))?;
            if !object.meets(tag) {
                return Err(s3_error!(PreconditionFailed));
            }
        }
        match (&condition.if_none_match, object) {
            (Some(ETagCondition::Any), Some(_)) => Err(s3_error!(PreconditionFailed)),
            (Some(ETagCondition::ETag(_)), _) => {
                Err(s3_error!(NotImplemented, "If-None-Match takes * on a PUT"))
            }
            _ => Ok(()),
        }
    }
}

fn no_bucket(name: &str) -> S3Error {
    s3_error!(NoSuchBucket, "the specified bucket does not exist: {name}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn with_keys(keys: &[&str]) -> Buckets {
        let mut buckets = Buckets::default();
        buckets.create("b").unwrap();
        for key in keys {
            let bytes = Bytes::from_static(b"x");
            let any = WriteCondition::default();
            buckets.put("b", key, bytes, &any).unwrap();
        }
        buckets
    }

    fn names(page: &Page) -> Vec<&str> {
        let entries = page.entries.iter();
        let names = entries.map(|entry| match entry {
            Entry::Key { key, .. } | Entry::Prefix(key) => key.as_str(),
        });
        names.collect()
    }

    #[test]
    fn pages_of_a_listing_join_without_gap_or_repetition() {
        let buckets = with_keys(&["a/1", "a/2", "b", "c/1/x", "c/2", "d"]);
        for (delimiter, expected) in [
            (None, vec!["a/1", "a/2", "b", "c/1/x", "c/2", "d"]),
            (Some("/"), vec!["a/", "b", "c/", "d"]),
        ] {
            for entries_max in 1..=7 {
                let mut all = Vec::new();
                let mut after = String::new();
                loop {
                    let page = buckets
                        .list("b", "", &after, delimiter, entries_max)
                        .unwrap();
                    assert!(page.entries.len() <= entries_max);
                    all.extend(names(&page).into_iter().map(str::to_owned));
                    match page.next {
                        Some(next) => after = next,
                        None => break,
                    }
                }
                assert_eq!(all, expected, "pages of {entries_max}");
            }
        }
    }

    #[test]
    fn a_listing_stays_below_its_prefix() {
        let buckets = with_keys(&["a", "a/1", "a/2/x", "ab"]);
        let page = buckets.list("b", "a/", "", Some("/"), 10).unwrap();
        assert_eq!(names(&page), ["a/1", "a/2/"]);
        let page = buckets.list("b", "a/", "a/1", None, 10).unwrap();
        assert_eq!(names(&page), ["a/2/x"]);
    }

    #[test]
    fn a_failed_condition_changes_nothing() {
        let mut buckets = with_keys(&["k"]);
        let absent = WriteCondition {
            if_none_match: Some(ETagCondition::Any),
            ..WriteCondition::default()
        };
        let error = buckets.put("b", "k", Bytes::new(), &absent).unwrap_err();
        assert_eq!(error.code().as_str(), "PreconditionFailed");
        let stale = WriteCondition {
            if_match: Some(ETagCondition::ETag(ETag::Strong("other".to_owned()))),
            ..WriteCondition::default()
        };
        let error = buckets.put("b", "k", Bytes::new(), &stale).unwrap_err();
        assert_eq!(error.code().as_str(), "PreconditionFailed");
        let error = buckets.put("b", "new", Bytes::new(), &stale).unwrap_err();
        assert_eq!(error.code().as_str(), "NoSuchKey");
        assert_eq!(buckets.get("b", "k").unwrap().bytes.as_ref(), b"x");
        let error = buckets.get("other", "k").unwrap_err();
        assert_eq!(error.code().as_str(), "NoSuchBucket");
    }
}
