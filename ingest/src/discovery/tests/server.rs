//! An HTTP server that answers as told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::discovery::{Discovery, DiscoveryConfig, Failures, LabelMap, TargetGroup};

#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

#[derive(Debug, Default)]
struct ServerState {
    answers: Mutex<BTreeMap<String, (u16, String)>>,
    /// A header of an answer, by the same path.
    headers: Mutex<BTreeMap<String, (&'static str, String)>>,
    requests: Mutex<Vec<Received>>,
}

/// A server of JSON documents by path, or by path and query.
#[derive(Debug)]
pub(crate) struct Server {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    state: Arc<ServerState>,
}

async fn handle(State(state): State<Arc<ServerState>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    state.requests.lock().unwrap().push(Received {
        path: parts.uri.to_string(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let full = parts.uri.to_string();
    let answers = state.answers.lock().unwrap();
    let answer = answers.get(&full).or(answers.get(&path)).cloned();
    drop(answers);
    let (status, body) = answer.unwrap_or((404, "not here".to_owned()));
    let status = StatusCode::from_u16(status).unwrap();
    let json = [("content-type", "application/json")];
    let mut response = (status, json, body).into_response();
    let headers = state.headers.lock().unwrap();
    if let Some((name, value)) = headers.get(&full).or(headers.get(&path)) {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    drop(headers);
    response
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (router, state) = Self::router();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, state }
    }

    /// A server on a Unix socket.
    pub(crate) fn start_on_socket(path: &std::path::Path) -> Self {
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        let (router, state) = Self::router();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address: String::new(),
            state,
        }
    }

    fn router() -> (Router, Arc<ServerState>) {
        let state = Arc::<ServerState>::default();
        let router = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&state));
        (router, state)
    }

    pub(crate) fn say(&self, path: &str, body: &str) {
        self.answer(path, 200, body);
    }

    pub(crate) fn answer(&self, path: &str, status: u16, body: &str) {
        let mut answers = self.state.answers.lock().unwrap();
        answers.insert(path.to_owned(), (status, body.to_owned()));
    }

    /// Adds a header to the answer of a path.
    pub(crate) fn add_header(&self, path: &str, name: &'static str, value: &str) {
        let mut headers = self.state.headers.lock().unwrap();
        headers.insert(path.to_owned(), (name, value.to_owned()));
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.state.requests.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Received {
        self.requests().pop().unwrap()
    }
}

/// Makes the discovery of a configuration.
pub(crate) fn discovery(config: &DiscoveryConfig) -> Box<dyn Discovery> {
    config.discovery(Failures::default()).unwrap()
}

/// Asks once.
pub(crate) async fn found(config: &DiscoveryConfig) -> Result<Vec<TargetGroup>, String> {
    let refreshed = discovery(config).refresh().await;
    refreshed.map_err(|e| e.to_string())
}

/// A target's labels, each as `name=value`, with the prefix of their kind cut off.
pub(crate) fn lines(target: &LabelMap, prefix: &str) -> Vec<String> {
    let labels = target.iter();
    labels
        .map(|(name, value)| format!("{}={value}", name.strip_prefix(prefix).unwrap_or(name)))
        .collect()
}
