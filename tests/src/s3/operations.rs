//! The S3 operations that Varve's clients use, on top of [`Buckets`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use s3s::dto::*;
use s3s::{Body, S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::objects::{Buckets, Entry, WriteCondition};

/// Entries of a listing's page where the client does not ask for fewer, as on S3.
const PAGE_ENTRIES: i32 = 1_000;

/// Serves [`Buckets`] as S3.
#[derive(Clone, Debug)]
pub(super) struct Operations {
    pub(super) buckets: Arc<Mutex<Buckets>>,
}

impl Operations {
    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read_body(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else {
        return Ok(Bytes::new());
    };
    let mut bytes = BytesMut::new();
    let mut body = std::pin::pin!(body);
    while let Some(chunk) = body.try_next().await.map_err(incomplete)? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn incomplete(error: s3s::StdError) -> S3Error {
    s3_error!(IncompleteBody, "{error}")
}

fn check_length(bytes: &Bytes, content_length: Option<i64>) -> S3Result<()> {
    match content_length {
        Some(length) if usize::try_from(length) != Ok(bytes.len()) => {
            Err(s3_error!(IncompleteBody))
        }
        _ => Ok(()),
    }
}

fn blob(bytes: Bytes) -> StreamingBlob {
    StreamingBlob::from(Body::from(bytes))
}

fn strong(e_tag: String) -> Option<ETag> {
    Some(ETag::Strong(e_tag))
}

fn length(bytes: usize) -> Option<i64> {
    i64::try_from(bytes).ok()
}

fn reply<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

#[async_trait::async_trait]
impl S3 for Operations {
    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        self.lock().create(&request.input.bucket)?;
        reply(CreateBucketOutput {
            location: Some(format!("/{}", request.input.bucket)),
        })
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.lock().check(&request.input.bucket)?;
        reply(HeadBucketOutput::default())
    }

    async fn list_buckets(
        &self,
        _request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let bucket = |name: &str| Bucket {
            name: Some(name.to_owned()),
            ..Default::default()
        };
        reply(ListBucketsOutput {
            buckets: Some(self.lock().names().map(bucket).collect()),
            ..Default::default()
        })
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.lock().check(&request.input.bucket)?;
        reply(GetBucketLocationOutput::default())
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        self.lock().check(&request.input.bucket)?;
        reply(GetBucketVersioningOutput::default())
    }

    async fn get_bucket_lifecycle_configuration(
        &self,
        request: S3Request<GetBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
        self.lock().check(&request.input.bucket)?;
        Err(s3_error!(NoSuchLifecycleConfiguration))
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        self.lock().check(&input.bucket)?;
        let bytes = read_body(input.body).await?;
        check_length(&bytes, input.content_length)?;
        let condition = WriteCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
        };
        let e_tag = self
            .lock()
            .put(&input.bucket, &input.key, bytes, &condition)?;
        reply(PutObjectOutput {
            e_tag: strong(e_tag),
            ..Default::default()
        })
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let object = self.lock().get(&input.bucket, &input.key)?;
        object.check_read(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let whole = object.bytes.len();
        let (bytes, content_range) = match input.range {
            None => (object.bytes, None),
            Some(range) => {
                let bytes = range.check(whole as u64)?;
                let said = format!("bytes {}-{}/{whole}", bytes.start, bytes.end - 1);
                let bytes = object.bytes.slice(bytes.start as usize..bytes.end as usize);
                (bytes, Some(said))
            }
        };
        reply(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: length(bytes.len()),
            body: Some(blob(bytes)),
            content_range,
            e_tag: strong(object.e_tag),
            last_modified: Some(object.modified.into()),
            ..Default::default()
        })
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let object = self.lock().get(&input.bucket, &input.key)?;
        object.check_read(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        reply(HeadObjectOutput {
            content_length: length(object.bytes.len()),
            e_tag: strong(object.e_tag),
            last_modified: Some(object.modified.into()),
            ..Default::default()
        })
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = request.input;
        let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
            return Err(s3_error!(NotImplemented, "only buckets are copied from"));
        };
        let mut buckets = self.lock();
        let object = buckets.get(bucket, key)?;
        let any = WriteCondition::default();
        let e_tag = buckets.put(&input.bucket, &input.key, object.bytes, &any)?;
        reply(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: strong(e_tag),
                last_modified: Some(object.modified.into()),
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        self.lock()
            .delete(&input.bucket, &input.key, input.if_match)?;
        reply(DeleteObjectOutput::default())
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        let mut buckets = self.lock();
        let mut deleted = Vec::new();
        for object in input.delete.objects {
            buckets.delete(&input.bucket, &object.key, None)?;
            deleted.push(DeletedObject {
                key: Some(object.key),
                ..Default::default()
            });
        }
        let quiet = input.delete.quiet == Some(true);
        reply(DeleteObjectsOutput {
            deleted: (!quiet).then_some(deleted),
            ..Default::default()
        })
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let entries_max = input
            .max_keys
            .unwrap_or(PAGE_ENTRIES)
            .clamp(0, PAGE_ENTRIES);
        let after = input
            .continuation_token
            .as_ref()
            .or(input.start_after.as_ref());
        let page = self.lock().list(
            &input.bucket,
            input.prefix.as_deref().unwrap_or_default(),
            after.map_or("", String::as_str),
            input.delimiter.as_deref().filter(|d| !d.is_empty()),
            usize::try_from(entries_max).unwrap_or_default(),
        )?;
        let mut contents = Vec::new();
        let mut common_prefixes = Vec::new();
        for entry in page.entries {
            match entry {
                Entry::Prefix(prefix) => common_prefixes.push(CommonPrefix {
                    prefix: Some(prefix),
                }),
                Entry::Key {
                    key,
                    e_tag,
                    size,
                    modified,
                } => contents.push(Object {
                    key: Some(key),
                    e_tag: strong(e_tag),
                    size: length(size),
                    last_modified: Some(modified.into()),
                    ..Default::default()
                }),
            }
        }
        let entries = contents.len() + common_prefixes.len();
        reply(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            start_after: input.start_after,
            continuation_token: input.continuation_token,
            max_keys: Some(entries_max),
            key_count: i32::try_from(entries).ok(),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            ..Default::default()
        })
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let id = self.lock().start_upload(&input.bucket, &input.key)?;
        reply(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..Default::default()
        })
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let bytes = read_body(input.body).await?;
        check_length(&bytes, input.content_length)?;
        let e_tag = self.lock().put_part(
            &input.bucket,
            &input.key,
            &input.upload_id,
            input.part_number,
            bytes,
        )?;
        reply(UploadPartOutput {
            e_tag: strong(e_tag),
            ..Default::default()
        })
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let parts = input.multipart_upload.and_then(|upload| upload.parts);
        let parts: Vec<_> = parts
            .unwrap_or_default()
            .into_iter()
            .map(|part| (part.part_number.unwrap_or_default(), part.e_tag))
            .collect();
        let condition = WriteCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
        };
        let e_tag = self.lock().complete_upload(
            &input.bucket,
            &input.key,
            &input.upload_id,
            &parts,
            &condition,
        )?;
        reply(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: strong(e_tag),
            ..Default::default()
        })
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        self.lock()
            .abort_upload(&input.bucket, &input.key, &input.upload_id)?;
        reply(AbortMultipartUploadOutput::default())
    }
}
