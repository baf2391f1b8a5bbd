//! An HTTP server that answers as told, and a store that remembers.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use futures::future::BoxFuture;
use tokio::sync::watch;
use varve_storage::wal::{Append, SampleRow};
use varve_storage::{MetricMetadata, SampleValue};

use crate::config::Config;
use crate::scrape::{ScrapeManager, ScrapeOptions, StartTimestamps};
use crate::sink::SampleSink;

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A metric that the store refuses.
pub(super) const REFUSED: &str = "refused";

/// What the server answers.
#[derive(Clone)]
pub(super) struct Exposition {
    pub(super) body: Vec<u8>,
    pub(super) content_type: &'static str,
    pub(super) status: u16,
    pub(super) gzip: bool,
    pub(super) delay: Duration,
}

impl Exposition {
    pub(super) fn text(body: &str) -> Self {
        Self {
            body: body.as_bytes().to_vec(),
            content_type: "text/plain; version=0.0.4",
            status: 200,
            gzip: false,
            delay: Duration::ZERO,
        }
    }
}

pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[derive(Clone)]
pub(super) struct Received {
    pub(super) path: String,
    headers: HeaderMap,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// All values of a header.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values.map(|v| v.to_str().unwrap()).collect()
    }
}

struct ServerState {
    exposition: Mutex<Exposition>,
    requests: Mutex<Vec<Received>>,
}

pub(super) struct Server {
    pub(super) address: String,
    state: Arc<ServerState>,
    task: tokio::task::JoinHandle<()>,
}

async fn handle(State(state): State<Arc<ServerState>>, request: Request) -> Response {
    let path = request.uri().to_string();
    if path == "/redirect" {
        return Redirect::temporary("/metrics").into_response();
    }
    state.requests.lock().unwrap().push(Received {
        path,
        headers: request.headers().clone(),
    });
    let exposition = state.exposition.lock().unwrap().clone();
    tokio::time::sleep(exposition.delay).await;
    let mut response = exposition.body.into_response();
    *response.status_mut() = StatusCode::from_u16(exposition.status).unwrap();
    let headers = response.headers_mut();
    headers.insert("content-type", exposition.content_type.parse().unwrap());
    if exposition.gzip {
        headers.insert("content-encoding", "gzip".parse().unwrap());
    }
    response
}

impl Server {
    async fn start() -> Self {
        let state = Arc::new(ServerState {
            exposition: Mutex::new(Exposition::text("")),
            requests: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&state));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            state,
            task,
        }
    }

    pub(super) fn say(&self, body: &str) {
        self.answer(Exposition::text(body));
    }

    pub(super) fn answer(&self, exposition: Exposition) {
        *self.state.exposition.lock().unwrap() = exposition;
    }

    pub(super) fn requests(&self) -> Vec<Received> {
        self.state.requests.lock().unwrap().clone()
    }

    pub(super) fn last_header(&self, name: &str) -> String {
        let requests = self.requests();
        requests
            .last()
            .map_or(String::new(), |r| r.header(name).to_owned())
    }

    pub(super) async fn wait_header(&self, name: &str, value: &str) {
        let wait = async {
            while self.last_header(name) != value {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(
            waited.is_ok(),
            "{name} is {} instead of {value}",
            self.last_header(name)
        );
    }

    pub(super) async fn close(&self) {
        self.task.abort();
        while !self.task.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

/// A store in memory.
pub(super) struct Sink {
    appends: Mutex<Vec<Append>>,
    blocked: watch::Sender<bool>,
}

impl SampleSink for Sink {
    fn append(&self, append: Append) -> BoxFuture<'_, varve_storage::Result<()>> {
        Box::pin(async move {
            let mut blocked = self.blocked.subscribe();
            blocked.wait_for(|blocked| !*blocked).await.unwrap();
            let mut names = append
                .samples
                .iter()
                .map(|row| row.series.labels.metric_name());
            if names.any(|name| name == REFUSED) {
                return Err(varve_storage::Error::Limit("too much".to_owned()));
            }
            self.appends.lock().unwrap().push(append);
            Ok(())
        })
    }
}

impl Sink {
    pub(super) fn block(&self) {
        self.blocked.send_replace(true);
    }

    pub(super) fn unblock(&self) {
        self.blocked.send_replace(false);
    }

    pub(super) fn clear(&self) {
        self.appends.lock().unwrap().clear();
    }

    /// Visits samples in the order of appending: labels, metric name, value.
    fn find<T>(&self, mut visit: impl FnMut(&str, &str, f64) -> Option<T>) -> Option<T> {
        let appends = self.appends.lock().unwrap();
        appends
            .iter()
            .flat_map(|append| &append.samples)
            .find_map(|row| {
                let SampleValue::Float(value) = row.value else {
                    return None;
                };
                let labels = &row.series.labels;
                visit(&labels.to_string(), labels.metric_name(), value)
            })
    }

    pub(super) fn first(&self, series: &str) -> Option<f64> {
        self.find(|labels, _, value| (labels == series).then_some(value))
    }

    pub(super) fn first_of(&self, metric: &str) -> Option<f64> {
        self.find(|_, name, value| (name == metric).then_some(value))
    }

    pub(super) fn count(&self, matches: impl Fn(&str, f64) -> bool) -> usize {
        let mut count = 0;
        self.find(|_, name, value| {
            count += usize::from(matches(name, value));
            None::<()>
        });
        count
    }

    /// All samples, in the order of appending.
    pub(super) fn rows(&self) -> Vec<SampleRow> {
        let appends = self.appends.lock().unwrap();
        appends.iter().flat_map(|a| a.samples.clone()).collect()
    }

    /// The times of exemplars, in the order of appending.
    pub(super) fn exemplars_ms(&self) -> Vec<i64> {
        let appends = self.appends.lock().unwrap();
        let exemplars = appends.iter().flat_map(|append| &append.exemplars);
        exemplars.map(|exemplar| exemplar.timestamp_ms).collect()
    }

    pub(super) fn metadata(&self) -> Vec<MetricMetadata> {
        let appends = self.appends.lock().unwrap();
        appends
            .iter()
            .flat_map(|append| append.metadata.clone())
            .collect()
    }
}

pub(super) struct Fixture {
    pub(super) server: Server,
    pub(super) sink: Arc<Sink>,
    pub(super) manager: ScrapeManager,
    pub(super) folder: tempfile::TempDir,
}

impl Fixture {
    pub(super) async fn start() -> Self {
        Self::start_with(StartTimestamps::default()).await
    }

    pub(super) async fn start_with(start_timestamps: StartTimestamps) -> Self {
        let sink = Arc::new(Sink {
            appends: Mutex::default(),
            blocked: watch::Sender::new(false),
        });
        let options = ScrapeOptions {
            start_timestamps,
            host_name: "testhost".to_owned(),
            spread: false,
            shutdown_grace: Duration::from_secs(1),
        };
        Self {
            server: Server::start().await,
            manager: ScrapeManager::new(sink.clone(), options),
            sink,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A configuration with one job of the server's address, scraped ten times a second.
    pub(super) fn config(&self, fields: &str) -> Config {
        let address = &self.server.address;
        let comma = if fields.is_empty() { "" } else { "," };
        self.parse(&format!(
            "global: {{scrape_interval: 100ms}}\nscrape_configs: [{{job_name: j, static_configs: [{{targets: ['{address}']}}]{comma} {fields}}}]"
        ))
    }

    fn parse(&self, text: &str) -> Config {
        Config::parse(text, self.folder.path()).unwrap()
    }

    pub(super) async fn apply(&self, fields: &str) {
        self.manager.apply(&self.config(fields)).await.unwrap();
    }

    pub(super) async fn apply_text(&self, text: &str) {
        self.manager.apply(&self.parse(text)).await.unwrap();
    }

    /// Waits until a sample of a metric has a value.
    pub(super) async fn wait(&self, metric: &str, value: impl Fn(f64) -> bool) {
        let wait = async {
            while self.sink.count(|name, v| name == metric && value(v)) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        let targets = self.manager.targets();
        assert!(waited.is_ok(), "no such sample of {metric}; {targets:?}");
    }
}
