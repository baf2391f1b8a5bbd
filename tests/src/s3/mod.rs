//! An S3 endpoint in the test's own process, over real HTTP.
//!
//! What it promises is what Varve needs of S3: PUT and CompleteMultipartUpload with `If-None-Match: *` or `If-Match` are
//! atomic, reads and listings see every finished write, and signatures are checked. Requests are logged and counted by
//! class, and any of them can be made to fail, before or after it took effect.
//!
//! The parts: `objects` is the state, `operations` the S3 verbs on it, `faults` what may go wrong; this module is
//! the HTTP server around them.

mod faults;
mod objects;
mod operations;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use self::faults::FaultPlan;
pub use self::faults::{Fault, FaultRule, RequestClass};
use self::objects::{Buckets, WriteCondition};
use self::operations::Operations;

/// The access key that the double accepts.
pub const ACCESS_KEY: &str = "varve-test";
/// The secret that goes with [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "varve-test-secret";
/// The region that clients sign for.
pub const REGION: &str = "us-east-1";

/// The largest request body, in bytes: a table file of a test.
const BODY_BYTES_MAX: usize = 512 << 20;

/// A running endpoint. Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct S3Double {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    service: S3Service,
    buckets: Arc<Mutex<Buckets>>,
    faults: Mutex<FaultPlan>,
    log: Mutex<Vec<LoggedRequest>>,
}

/// One request as the double saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRequest {
    /// Its class.
    pub class: RequestClass,
    /// `/bucket/key`.
    pub path: String,
    /// The response's status; `None` where no response was sent.
    pub status: Option<u16>,
    /// The fault that struck it.
    pub fault: Option<Fault>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl S3Double {
    /// Listens on a free port of the loopback interface. There is no bucket yet.
    pub async fn start() -> io::Result<Self> {
        let buckets = Arc::new(Mutex::new(Buckets::default()));
        let mut builder = S3ServiceBuilder::new(Operations {
            buckets: Arc::clone(&buckets),
        });
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let shared = Arc::new(Shared {
            service: builder.build(),
            buckets,
            faults: Mutex::default(),
            log: Mutex::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    /// Like [`S3Double::start`], with one bucket.
    pub async fn with_bucket(bucket: &str) -> io::Result<Self> {
        let double = Self::start().await?;
        let created = lock(&double.shared.buckets).create(bucket);
        created.map_err(io::Error::other)?;
        Ok(double)
    }

    /// The endpoint's URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The environment that points a client at this endpoint.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
    }

    /// Adds a fault.
    pub fn inject(&self, rule: FaultRule) {
        lock(&self.shared.faults).add(rule);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Takes the log of requests so far.
    pub fn take_log(&self) -> Vec<LoggedRequest> {
        std::mem::take(&mut lock(&self.shared.log))
    }

    /// How many requests the log holds, by class.
    pub fn counts(&self) -> BTreeMap<RequestClass, u64> {
        let mut counts = BTreeMap::new();
        for request in lock(&self.shared.log).iter() {
            *counts.entry(request.class).or_default() += 1;
        }
        counts
    }

    /// All keys of a bucket, in order, without a request.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let page = lock(&self.shared.buckets).list(bucket, "", "", None, usize::MAX);
        let entries = page.map(|page| page.entries).unwrap_or_default();
        let key = |entry| match entry {
            objects::Entry::Key { key, .. } => Some(key),
            objects::Entry::Prefix(_) => None,
        };
        entries.into_iter().filter_map(key).collect()
    }

    /// An object's bytes, without a request; `None` if there is none.
    pub fn read(&self, bucket: &str, key: &str) -> Option<Bytes> {
        let object = lock(&self.shared.buckets).get(bucket, key);
        object.ok().map(|object| object.bytes)
    }

    /// Replaces an object's bytes, without a request: damage that a test does behind Varve's back.
    pub fn overwrite(&self, bucket: &str, key: &str, bytes: Bytes) -> io::Result<()> {
        let any = WriteCondition::default();
        let put = lock(&self.shared.buckets).put(bucket, key, bytes, &any);
        put.map(|_| ()).map_err(io::Error::other)
    }
}

impl Drop for S3Double {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Connections live in the set, so that aborting this task closes them too.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
                Err(_) => return,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { shared.handle(request).await }
    });
    // An error means that the connection is gone, be it the client's doing or an injected fault.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Shared {
    /// Serves one request; an error makes hyper drop the connection without a response.
    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Body>, HttpError> {
        let uri = request.uri();
        let path = uri.path().to_owned();
        let class = RequestClass::of(request.method(), &path, uri.query().unwrap_or_default());
        let fault = lock(&self.faults).strike(class, &path);
        let result = self.respond(request, fault).await;
        let status = result.as_ref().ok().map(|r| r.status().as_u16());
        lock(&self.log).push(LoggedRequest {
            class,
            path,
            status,
            fault,
        });
        result
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        fault: Option<Fault>,
    ) -> Result<Response<Body>, HttpError> {
        // The body is read first, so that a client never sees its connection closed where an error response was meant.
        let (parts, body) = request.into_parts();
        let mut body = Body::from(body);
        let bytes = body.store_all_limited(BODY_BYTES_MAX).await;
        let request = Request::from_parts(parts, Body::from(bytes.map_err(HttpError::new)?));
        match fault {
            None => self.service.call(request).await,
            Some(Fault::SlowDown) => error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
            Some(Fault::InternalError) => error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
            Some(Fault::Conflict) => error(StatusCode::CONFLICT, "ConditionalRequestConflict"),
            Some(Fault::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                self.service.call(request).await
            }
            Some(Fault::ConnectionLost) => Err(connection_lost()),
            Some(Fault::ResponseLost) => {
                self.service.call(request).await?;
                Err(connection_lost())
            }
            Some(Fault::ErrorAfterEffect) => {
                self.service.call(request).await?;
                error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")
            }
        }
    }
}

fn connection_lost() -> HttpError {
    HttpError::new(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)))
}

fn error(status: StatusCode, code: &str) -> Result<Response<Body>, HttpError> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>injected</Message></Error>"
    );
    let response = Response::builder()
        .status(status)
        .header(hyper::header::CONTENT_TYPE, "application/xml")
        .body(Body::from(text));
    response.map_err(|e| HttpError::new(Box::new(e)))
}
