//! A store that fails on demand, for tests.
//!
//! Requests are numbered from 0 in the order in which they arrive, over all classes; a multipart upload's start, parts and end are
//! requests of their own. A test with one task at a time is thus deterministic: run once without faults to learn how many requests there
//! are, then once per request with a fault at it. The fault model is that of S3:
//!
//! - [`Fault::Before`]: the request fails and nothing happened (503, connection refused);
//! - [`Fault::LostResponse`]: the request took effect, its answer was lost;
//! - [`Fault::Delay`]: the answer is late.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing happened.
    Before,
    /// It takes effect, and then its answer is lost. A read simply fails.
    LostResponse,
    /// It is served after a pause.
    Delay(Duration),
}

/// The class of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestClass {
    /// An object's bytes.
    Get,
    /// An object's size and time.
    Head,
    /// A whole object, a part, a copy, or the start or end of a multipart upload.
    Put,
    /// A listing.
    List,
    /// A deletion.
    Delete,
}

/// One request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its class.
    pub class: RequestClass,
    /// The object, or the prefix of a listing.
    pub key: String,
}

#[derive(Debug, Default)]
struct Plan {
    log: Vec<Request>,
    by_number: BTreeMap<usize, Fault>,
    by_class: BTreeMap<RequestClass, (Fault, Option<usize>)>,
}

/// An object store that injects faults into another one. Clones share the plan and the log.
#[derive(Clone, Debug)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Mutex<Plan>>,
}

fn unavailable(key: &str) -> Error {
    Error::Generic {
        store: "fault",
        source: format!("503 Service Unavailable, injected: {key}").into(),
    }
}

impl FaultStore {
    /// A store without faults.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self {
            inner,
            plan: Arc::default(),
        }
    }

    fn plan<T>(&self, with: impl FnOnce(&mut Plan) -> T) -> T {
        with(&mut self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets the request with this number fail.
    pub fn fail_request(&self, number: usize, fault: Fault) {
        self.plan(|plan| plan.by_number.insert(number, fault));
    }

    /// Lets all further requests of a class fail.
    pub fn fail_class(&self, class: RequestClass, fault: Fault) {
        self.plan(|plan| plan.by_class.insert(class, (fault, None)));
    }

    /// Lets the next `count` requests of a class fail.
    pub fn fail_next(&self, class: RequestClass, count: usize, fault: Fault) {
        self.plan(|plan| plan.by_class.insert(class, (fault, Some(count))));
    }

    /// Takes back all faults; the log and the numbering go on.
    pub fn heal(&self) {
        self.plan(|plan| {
            plan.by_number.clear();
            plan.by_class.clear();
        });
    }

    /// Every request so far, in order of arrival.
    pub fn log(&self) -> Vec<Request> {
        self.plan(|plan| plan.log.clone())
    }

    /// Enters a request in the log and says what shall happen to it.
    fn arrive(&self, class: RequestClass, key: &str) -> Option<Fault> {
        self.plan(|plan| {
            let number = plan.log.len();
            plan.log.push(Request {
                class,
                key: key.to_owned(),
            });
            if let Some(fault) = plan.by_number.remove(&number) {
                return Some(fault);
            }
            let (fault, left) = plan.by_class.get_mut(&class)?;
            match left {
                Some(0) => None,
                Some(n) => {
                    *n -= 1;
                    Some(*fault)
                }
                None => Some(*fault),
            }
        })
    }

    async fn serve<T>(
        &self,
        class: RequestClass,
        key: &str,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match self.arrive(class, key) {
            Some(Fault::Before) => Err(unavailable(key)),
            Some(Fault::LostResponse) => {
                // Whatever the answer was, the caller does not learn it.
                let _ = request.await;
                Err(unavailable(key))
            }
            Some(Fault::Delay(pause)) => {
                tokio::time::sleep(pause).await;
                request.await
            }
            None => request.await,
        }
    }

    fn serve_list(
        &self,
        prefix: Option<&Path>,
        stream: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let key = prefix.map(ToString::to_string).unwrap_or_default();
        match self.arrive(RequestClass::List, &key) {
            Some(Fault::Before | Fault::LostResponse) => {
                futures::stream::once(async move { Err(unavailable(&key)) }).boxed()
            }
            Some(Fault::Delay(pause)) => tokio::time::sleep(pause)
                .map(move |()| stream)
                .flatten_stream()
                .boxed(),
            None => stream,
        }
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faults over {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let request = self.inner.put_opts(location, payload, options);
        self.serve(RequestClass::Put, location.as_ref(), request)
            .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let request = self.inner.put_multipart_opts(location, options);
        let inner = self
            .serve(RequestClass::Put, location.as_ref(), request)
            .await?;
        Ok(Box::new(FaultUpload {
            inner: Arc::new(tokio::sync::Mutex::new(inner)),
            store: self.clone(),
            key: location.to_string(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let class = if options.head {
            RequestClass::Head
        } else {
            RequestClass::Get
        };
        let request = self.inner.get_opts(location, options);
        self.serve(class, location.as_ref(), request).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .then(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    let request = object_store::ObjectStoreExt::delete(&store.inner, &location);
                    store
                        .serve(RequestClass::Delete, location.as_ref(), request)
                        .await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.serve_list(prefix, self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.serve_list(prefix, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let key = prefix.map(ToString::to_string).unwrap_or_default();
        let request = self.inner.list_with_delimiter(prefix);
        self.serve(RequestClass::List, &key, request).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let request = self.inner.copy_opts(from, to, options);
        self.serve(RequestClass::Put, to.as_ref(), request).await
    }
}

#[derive(Debug)]
struct FaultUpload {
    inner: Arc<tokio::sync::Mutex<Box<dyn MultipartUpload>>>,
    store: FaultStore,
    key: String,
}

#[async_trait]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (inner, store) = (Arc::clone(&self.inner), self.store.clone());
        let key = self.key.clone();
        async move {
            let request = async {
                // Parts are numbered when they are put, so that only the transfer runs beside others.
                let part = inner.lock().await.put_part(data);
                part.await
            };
            store.serve(RequestClass::Put, &key, request).await
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let request = async { self.inner.lock().await.complete().await };
        self.store
            .serve(RequestClass::Put, &self.key, request)
            .await
    }

    async fn abort(&mut self) -> Result<()> {
        let request = async { self.inner.lock().await.abort().await };
        self.store
            .serve(RequestClass::Delete, &self.key, request)
            .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn a_lost_response_takes_effect_and_a_failure_does_not() {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        store.fail_request(0, Fault::Before);
        store.fail_request(1, Fault::LostResponse);
        let (a, b) = (Path::from("a"), Path::from("b"));
        store.put(&a, "x".into()).await.unwrap_err();
        store.put(&b, "x".into()).await.unwrap_err();
        assert!(store.get(&a).await.is_err());
        assert!(store.get(&b).await.is_ok());
        let classes: Vec<RequestClass> = store.log().iter().map(|r| r.class).collect();
        use RequestClass::{Get, Put};
        assert_eq!(classes, [Put, Put, Get, Get]);
    }

    #[tokio::test]
    async fn a_class_fails_as_often_as_asked() {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        store.fail_next(RequestClass::Put, 2, Fault::Before);
        let key = Path::from("a");
        assert!(store.put(&key, "x".into()).await.is_err());
        assert!(store.put(&key, "x".into()).await.is_err());
        assert!(store.put(&key, "x".into()).await.is_ok());
        store.fail_class(RequestClass::Delete, Fault::Before);
        assert!(store.delete(&key).await.is_err());
        store.heal();
        assert!(store.delete(&key).await.is_ok());
    }
}
