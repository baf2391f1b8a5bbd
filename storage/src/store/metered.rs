//! Counting requests and bytes: what the archive costs, request by request.
//!
//! A request is counted when it is made, whether it succeeds or not, for that is how it is billed. Bytes read are counted
//! as a body streams, so a body that is dropped half-way counts half. Retries inside the S3 client
//! are not seen here.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    UploadPart,
};

/// Objects per answer of S3's ListObjectsV2: a longer listing is several requests.
const LIST_PAGE_OBJECTS: u64 = 1_000;

/// Request and byte counts at one moment, or between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Requests for an object's bytes or a range of them.
    pub get: u64,
    /// Requests for an object's size and time.
    pub head: u64,
    /// Objects and parts written, copies, and the start and end of a multipart upload.
    pub put: u64,
    /// Pages of listings.
    pub list: u64,
    /// Objects deleted, and multipart uploads aborted.
    pub delete: u64,
    /// Requests that failed. An object that is absent, or already there, is an answer and not a failure.
    pub errors: u64,
    /// Bytes received in bodies.
    pub bytes_read: u64,
    /// Bytes sent in bodies.
    pub bytes_written: u64,
}

impl RequestCounts {
    /// All requests.
    pub fn requests(&self) -> u64 {
        self.get + self.head + self.put + self.list + self.delete
    }

    /// What was added since an `earlier` snapshot of the same counters.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            get: self.get.saturating_sub(earlier.get),
            head: self.head.saturating_sub(earlier.head),
            put: self.put.saturating_sub(earlier.put),
            list: self.list.saturating_sub(earlier.list),
            delete: self.delete.saturating_sub(earlier.delete),
            errors: self.errors.saturating_sub(earlier.errors),
            bytes_read: self.bytes_read.saturating_sub(earlier.bytes_read),
            bytes_written: self.bytes_written.saturating_sub(earlier.bytes_written),
        }
    }
}

/// Counters that only grow; shared by everyone who looks at them.
#[derive(Debug, Default)]
pub struct RequestCounters {
    get: AtomicU64,
    head: AtomicU64,
    put: AtomicU64,
    list: AtomicU64,
    delete: AtomicU64,
    errors: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl RequestCounters {
    /// The counts now. Counters are read one after the other, so requests under way may show in part.
    pub fn snapshot(&self) -> RequestCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RequestCounts {
            get: read(&self.get),
            head: read(&self.head),
            put: read(&self.put),
            list: read(&self.list),
            delete: read(&self.delete),
            errors: read(&self.errors),
            bytes_read: read(&self.bytes_read),
            bytes_written: read(&self.bytes_written),
        }
    }

    fn count<T>(&self, result: Result<T>) -> Result<T> {
        use object_store::Error::{AlreadyExists, NotFound, NotModified, Precondition};
        match &result {
            Ok(_)
            | Err(
                AlreadyExists { .. } | NotFound { .. } | NotModified { .. } | Precondition { .. },
            ) => {}
            Err(_) => add(&self.errors, 1),
        }
        result
    }
}

/// An object store that counts what goes through it.
#[derive(Debug)]
pub(super) struct Metered {
    inner: Arc<dyn ObjectStore>,
    counters: Arc<RequestCounters>,
}

impl Metered {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, counters: Arc<RequestCounters>) -> Self {
        Self { inner, counters }
    }

    fn count_listed(
        &self,
        stream: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let counters = Arc::clone(&self.counters);
        add(&counters.list, 1);
        let mut listed = 0;
        stream
            .map(move |item| {
                if item.is_ok() {
                    if listed > 0 && listed % LIST_PAGE_OBJECTS == 0 {
                        add(&counters.list, 1);
                    }
                    listed += 1;
                }
                counters.count(item)
            })
            .boxed()
    }
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Metered {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        add(&self.counters.put, 1);
        add(
            &self.counters.bytes_written,
            payload.content_length() as u64,
        );
        self.counters
            .count(self.inner.put_opts(location, payload, options).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        add(&self.counters.put, 1);
        let inner = self
            .counters
            .count(self.inner.put_multipart_opts(location, options).await)?;
        Ok(Box::new(MeteredUpload {
            inner,
            counters: Arc::clone(&self.counters),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        add(
            if head {
                &self.counters.head
            } else {
                &self.counters.get
            },
            1,
        );
        let mut result = self
            .counters
            .count(self.inner.get_opts(location, options).await)?;
        if head {
            return Ok(result);
        }
        match result.payload {
            // A file is read by its receiver, out of our sight; what was asked for is counted.
            GetResultPayload::File(..) => {
                add(
                    &self.counters.bytes_read,
                    result.range.end.saturating_sub(result.range.start),
                );
            }
            GetResultPayload::Stream(stream) => {
                let counters = Arc::clone(&self.counters);
                let stream = stream
                    .map(move |chunk| {
                        if let Ok(chunk) = &chunk {
                            add(&counters.bytes_read, chunk.len() as u64);
                        }
                        counters.count(chunk)
                    })
                    .boxed();
                result.payload = GetResultPayload::Stream(stream);
            }
        }
        Ok(result)
    }

    /// Ranges that lie close together are read as one, on every kind of store alike, so that counts on a local folder
    /// say what S3 would bill.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        object_store::coalesce_ranges(
            ranges,
            |range| async move {
                let options = GetOptions::new().with_range(Some(range));
                self.get_opts(location, options).await?.bytes().await
            },
            object_store::OBJECT_STORE_COALESCE_DEFAULT,
        )
        .await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let counters = Arc::clone(&self.counters);
        let locations = locations
            .inspect(move |location| {
                if location.is_ok() {
                    add(&counters.delete, 1);
                }
            })
            .boxed();
        let counters = Arc::clone(&self.counters);
        self.inner
            .delete_stream(locations)
            .map(move |result| counters.count(result))
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count_listed(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count_listed(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        add(&self.counters.list, 1);
        let result = self
            .counters
            .count(self.inner.list_with_delimiter(prefix).await)?;
        let entries = (result.objects.len() + result.common_prefixes.len()) as u64;
        add(
            &self.counters.list,
            entries.saturating_sub(1) / LIST_PAGE_OBJECTS,
        );
        Ok(result)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        add(&self.counters.put, 1);
        self.counters
            .count(self.inner.copy_opts(from, to, options).await)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        add(&self.counters.put, 1);
        add(&self.counters.delete, 1);
        self.counters
            .count(self.inner.rename_opts(from, to, options).await)
    }
}

#[derive(Debug)]
struct MeteredUpload {
    inner: Box<dyn MultipartUpload>,
    counters: Arc<RequestCounters>,
}

#[async_trait]
impl MultipartUpload for MeteredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let counters = Arc::clone(&self.counters);
        add(&counters.put, 1);
        add(&counters.bytes_written, data.content_length() as u64);
        let part = self.inner.put_part(data);
        Box::pin(async move { counters.count(part.await) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        add(&self.counters.put, 1);
        let result = self.inner.complete().await;
        self.counters.count(result)
    }

    async fn abort(&mut self) -> Result<()> {
        add(&self.counters.delete, 1);
        let result = self.inner.abort().await;
        self.counters.count(result)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::store::Store;
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn requests_of_every_class_and_bytes_of_both_directions_are_counted() {
        let store = Store::from_object_store(Arc::new(InMemory::new()));
        let objects = store.objects();
        let key = Path::from("a/b");
        objects.put(&key, vec![7; 100].into()).await.unwrap();
        assert_eq!(objects.get_range(&key, 10..30).await.unwrap().len(), 20);
        objects.head(&key).await.unwrap();
        objects.get(&Path::from("absent")).await.unwrap_err();
        objects.list(None).try_collect::<Vec<_>>().await.unwrap();
        objects.delete(&key).await.unwrap();
        let want = RequestCounts {
            get: 2,
            head: 1,
            put: 1,
            list: 1,
            delete: 1,
            errors: 0,
            bytes_read: 20,
            bytes_written: 100,
        };
        assert_eq!(store.counters().snapshot(), want);
        assert_eq!(want.requests(), 6);
    }

    #[tokio::test]
    async fn a_body_counts_as_far_as_it_is_read_and_a_multipart_upload_part_by_part() {
        let store = Store::from_object_store(Arc::new(object_store::chunked::ChunkedStore::new(
            Arc::new(InMemory::new()),
            10,
        )));
        let objects = store.objects();
        let key = Path::from("a");
        let mut upload = objects.put_multipart(&key).await.unwrap();
        upload.put_part(vec![1; 25].into()).await.unwrap();
        upload.put_part(vec![1; 15].into()).await.unwrap();
        upload.complete().await.unwrap();
        let counts = store.counters().snapshot();
        assert_eq!((counts.put, counts.bytes_written), (4, 40));

        let mut body = objects.get(&key).await.unwrap().into_stream();
        assert_eq!(body.next().await.unwrap().unwrap().len(), 10);
        drop(body);
        assert_eq!(store.counters().snapshot().bytes_read, 10);
    }

    #[tokio::test]
    async fn near_ranges_are_one_request_on_a_folder_as_on_s3() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&crate::store::StorageUrl::local(folder.path())).unwrap();
        let key = Path::from("a");
        store
            .objects()
            .put(&key, vec![1; 1_000].into())
            .await
            .unwrap();
        let ranges = [0..10, 20..30, 990..1_000];
        let parts = store.objects().get_ranges(&key, &ranges).await.unwrap();
        assert_eq!(parts.iter().map(Bytes::len).collect::<Vec<_>>(), [10; 3]);
        let counts = store.counters().snapshot();
        assert_eq!((counts.get, counts.bytes_read), (1, 1_000));
    }

    #[tokio::test]
    async fn a_scope_sees_its_own_requests_and_the_store_sees_all() {
        let store = Store::from_object_store(Arc::new(InMemory::new()));
        let key = Path::from("a");
        store.objects().put(&key, "x".into()).await.unwrap();
        let (scoped, bill) = store.scoped();
        scoped.get(&key).await.unwrap().bytes().await.unwrap();
        assert_eq!(bill.snapshot().requests(), 1);
        assert_eq!(bill.snapshot().bytes_read, 1);
        let before = store.counters().snapshot();
        assert_eq!(before.requests(), 2);
        store.objects().head(&key).await.unwrap();
        assert_eq!(bill.snapshot().requests(), 1);
        assert_eq!(store.counters().snapshot().since(&before).head, 1);
    }
}
