//! All objects of one resource, kept up to date.
//!
//! A list gives the objects and a version; a watch from that version gives what changes after it. What breaks a watch makes
//! the objects *stale*: they are listed again, while those known so far go on to count.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::objects::{Meta, Object, Status};
use crate::discovery::api_client::{ApiClient, nullable};
use crate::discovery::{DiscoveryError, Failures};

/// Objects that one answer lists at most; as many as Kubernetes's own clients ask for.
const PAGE_OBJECTS: usize = 500;

/// How long the server is asked to keep a watch open. One that ends is opened again where it ended.
const WATCH_TIME: Duration = Duration::from_secs(7 * 60);

/// How much longer than that a watch may last: connections that died unnoticed end here.
const WATCH_GRACE: Duration = Duration::from_secs(30);

/// A watch that ends earlier than this and says nothing is a failure, lest it be opened again at once for ever.
const WATCH_TIME_MIN: Duration = Duration::from_secs(1);

/// Bytes of one event: objects are below 2 MiB, their JSON not much longer.
const EVENT_BYTES_MAX: usize = 32 << 20;

/// How long after a failure the next list is made: the first time, and at most. It doubles with every failure.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Objects by key.
pub(super) type Store<T> = BTreeMap<String, T>;

/// A resource whatever its objects are.
#[async_trait]
pub(super) trait Resource: Send {
    /// Lists the objects if they are stale and it is time to.
    async fn sync(&mut self) -> Result<(), DiscoveryError>;

    /// Returns when an object changed or the objects have to be listed. May be dropped at any time.
    async fn advance(&mut self);

    /// Whether the objects have to be listed.
    fn is_stale(&self) -> bool;
}

/// The objects of a resource.
#[derive(Debug)]
pub(super) struct Watched<T> {
    client: Arc<ApiClient>,
    failures: Failures,
    /// The URL of the list.
    url: String,
    /// Selectors as parameters of the URL.
    selectors: String,
    objects: Store<T>,
    listed: bool,
    stale: bool,
    version: String,
    stream: Option<Stream>,
    retry_at: Instant,
    retry_after: Duration,
}

#[derive(Debug)]
struct Stream {
    response: Response,
    unread: Vec<u8>,
    opened: Instant,
    events: u64,
}

#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct List<T> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default = "Vec::new", deserialize_with = "nullable")]
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct EventKind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct EventOf<O> {
    object: O,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Bookmark {
    metadata: Meta,
}

impl<T: Object> Watched<T> {
    /// The resource whose list is at `url`. `label` and `field` select some of its objects.
    pub(super) fn new(
        client: Arc<ApiClient>,
        failures: Failures,
        url: &str,
        (label, field): (&str, &str),
    ) -> Self {
        let mut selectors = String::new();
        for (name, selector) in [("labelSelector", label), ("fieldSelector", field)] {
            if !selector.is_empty() {
                selectors.push_str(&format!("&{name}={}", encoded(selector)));
            }
        }
        Self {
            client,
            failures,
            url: url.to_owned(),
            selectors,
            objects: Store::new(),
            listed: false,
            stale: true,
            version: String::new(),
            stream: None,
            retry_at: Instant::now(),
            retry_after: RETRY_FIRST,
        }
    }

    /// The objects; `None` before the first list.
    pub(super) fn objects(&self) -> Option<&Store<T>> {
        self.listed.then_some(&self.objects)
    }

    async fn list(&mut self) -> Result<(), DiscoveryError> {
        let mut objects = Store::new();
        let mut limit = format!("limit={PAGE_OBJECTS}");
        let mut next = String::new();
        loop {
            let mut url = format!("{}?{limit}{}", self.url, self.selectors);
            if !next.is_empty() {
                url.push_str(&format!("&continue={}", encoded(&next)));
            }
            let answer = self.client.get(&url).await?;
            if answer.status == StatusCode::GONE && !next.is_empty() {
                // The list took so long that the server forgot its state: everything at once then.
                objects.clear();
                next.clear();
                limit = "limit=0".to_owned();
                continue;
            }
            let page: List<T> = answer.json(&url)?;
            let items = page.items.into_iter();
            objects.extend(items.map(|object| (object.meta().key(), object)));
            next = page.metadata.next;
            if next.is_empty() {
                self.version = page.metadata.resource_version;
                self.objects = objects;
                return Ok(());
            }
        }
    }

    async fn open(&self) -> Result<Stream, Ended> {
        let url = format!(
            "{}?watch=1&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={}{}",
            self.url,
            WATCH_TIME.as_secs(),
            encoded(&self.version),
            self.selectors
        );
        let response = self.client.open(&url).await.map_err(Ended::failed)?;
        match response.status() {
            StatusCode::OK => Ok(Stream {
                response,
                unread: Vec::new(),
                opened: Instant::now(),
                events: 0,
            }),
            StatusCode::GONE => Err(Ended::TooOld),
            status => Err(Ended::Failed(format!(
                "{url}: server returned HTTP status {status}"
            ))),
        }
    }

    /// Applies an event; says whether it changed an object.
    fn apply(&mut self, line: &[u8]) -> Result<bool, Ended> {
        let event: EventKind = parsed(line)?;
        match event.kind.as_str() {
            "ADDED" | "MODIFIED" => {
                let EventOf::<T> { object } = parsed(line)?;
                object.meta().resource_version.clone_into(&mut self.version);
                self.objects.insert(object.meta().key(), object);
                Ok(true)
            }
            "DELETED" => {
                let EventOf::<T> { object } = parsed(line)?;
                object.meta().resource_version.clone_into(&mut self.version);
                Ok(self.objects.remove(&object.meta().key()).is_some())
            }
            "BOOKMARK" => {
                let EventOf::<Bookmark> { object } = parsed(line)?;
                self.version = object.metadata.resource_version;
                Ok(false)
            }
            "ERROR" => {
                let EventOf::<Status> { object } = parsed(line)?;
                match object.code {
                    410 => Err(Ended::TooOld),
                    _ => Err(Ended::Failed(object.message)),
                }
            }
            other => Err(Ended::Failed(format!("unknown event {other:?}"))),
        }
    }

    /// Returns when an object changed, or with the reason why the watch is over.
    async fn next_change(&mut self) -> Result<(), Ended> {
        loop {
            if self.stream.is_none() {
                self.stream = Some(self.open().await?);
            }
            let Some(stream) = &mut self.stream else {
                continue;
            };
            match stream.next_event().await? {
                Some(line) => {
                    if self.apply(&line)? {
                        return Ok(());
                    }
                }
                None if stream.events == 0 && stream.opened.elapsed() < WATCH_TIME_MIN => {
                    return Err(Ended::Failed("a watch was closed at once".to_owned()));
                }
                None => self.stream = None,
            }
        }
    }

    fn failed(&mut self) {
        self.retry_at = Instant::now() + self.retry_after;
        self.retry_after = RETRY_MAX.min(self.retry_after * 2);
    }
}

#[async_trait]
impl<T: Object> Resource for Watched<T> {
    async fn sync(&mut self) -> Result<(), DiscoveryError> {
        if !self.stale || Instant::now() < self.retry_at {
            return Ok(());
        }
        let listed = self.list().await;
        match &listed {
            Ok(()) => {
                self.listed = true;
                self.stale = false;
                self.retry_after = RETRY_FIRST;
            }
            Err(_) => self.failed(),
        }
        listed
    }

    async fn advance(&mut self) {
        if self.stale {
            return sleep_until(self.retry_at).await;
        }
        let Err(ended) = self.next_change().await else {
            return;
        };
        self.stream = None;
        self.stale = true;
        self.retry_at = Instant::now();
        if let Ended::Failed(error) = ended {
            self.failures.count();
            self.failed();
            tracing::warn!(url = self.url, error, "a watch failed; listing again");
        }
    }

    fn is_stale(&self) -> bool {
        self.stale
    }
}

/// Why a watch cannot go on.
enum Ended {
    /// The server does not remember the version any more.
    TooOld,
    Failed(String),
}

impl Ended {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Stream {
    /// The next line; `None` at the end of the stream. Nothing is lost if this is dropped.
    async fn next_event(&mut self) -> Result<Option<Vec<u8>>, Ended> {
        let deadline = self.opened + WATCH_TIME + WATCH_GRACE;
        let mut searched = 0;
        loop {
            let unsearched = self.unread.get(searched..).unwrap_or_default();
            if let Some(found) = memchr::memchr(b'\n', unsearched) {
                let rest = self.unread.split_off(searched + found + 1);
                self.events += 1;
                return Ok(Some(std::mem::replace(&mut self.unread, rest)));
            }
            searched = self.unread.len();
            if searched > EVENT_BYTES_MAX {
                return Err(Ended::Failed(format!(
                    "an event is longer than {EVENT_BYTES_MAX} bytes"
                )));
            }
            match timeout_at(deadline, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.unread.extend_from_slice(&chunk),
                Ok(Ok(None)) | Err(_) => return Ok(None),
                Ok(Err(error)) => return Err(Ended::failed(error)),
            }
        }
    }
}

fn parsed<'a, V: Deserialize<'a>>(line: &'a [u8]) -> Result<V, Ended> {
    serde_json::from_slice(line).map_err(Ended::failed)
}

fn encoded(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}
