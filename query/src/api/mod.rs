//! The Prometheus HTTP API.
//!
//! [`router`] makes an axum router from two things: a [`QueryBackend`] that answers queries and a [`Host`] that knows the
//! process around it. Every answer has Prometheus's envelope, error types, status codes and JSON to the byte
//! ([`crate::json`]); what Varve adds is in response headers (`Server-Timing`, `X-Varve-Requests`, `X-Varve-Bytes-Read`,
//! `X-Varve-Samples`), in `data.stats.storage` when `stats` is asked for, and in `/api/v1/explain`.
//!
//! Flow of a request: the request metrics, clean paths and CORS ([`metrics`], [`routing`], [`cors`]) wrap everything; a
//! [`params::Form`] merges body and URL; the handler checks parameters in Prometheus's order, so that of two errors the same one is reported; the
//! value is streamed. When a client goes away, hyper drops the handler's future, and with it the query.
//!
//! At most [`ApiOptions::query_concurrency`] queries run at once; others wait, within their own time limit.

pub mod backend;
mod cardinality;
mod cors;
mod exemplars;
mod federate;
mod labels;
mod landing;
mod lifecycle;
mod metadata;
pub mod metrics;
pub mod params;
mod query;
mod remote_read;
pub mod respond;
mod routing;
mod rules;
mod status;
mod syntax;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::middleware;
use tokio::sync::Semaphore;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

pub use backend::{
    ActiveTarget, BuildInfo, DroppedTarget, Host, LabelQuery, QueryBackend, ReadOnlyHost,
    RuntimeInfo, TargetHealth, TargetMetadata, Targets, TimeGrid, WallTime,
};
pub use cors::CorsOrigin;
pub use metrics::HttpMetrics;
pub use remote_read::RemoteReadOptions;
use routing::{get, get_or_head, get_or_post, post, post_or_put};

/// Settings of the API.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// The longest a query may take; a request may ask for less.
    pub query_timeout: Duration,
    /// The most queries that run at once.
    pub query_concurrency: usize,
    /// Which origins a browser may call from.
    pub cors_origin: CorsOrigin,
    /// Whether `/-/reload` and `/-/quit` work.
    pub lifecycle: bool,
    /// How far federation looks back for a sample.
    pub lookback: Duration,
    /// Limits of remote read.
    pub remote_read: RemoteReadOptions,
}

/// What every handler shares.
#[derive(Clone)]
struct Api(Arc<Shared>);

struct Shared {
    backend: Arc<dyn QueryBackend>,
    host: Arc<dyn Host>,
    options: ApiOptions,
    query_places: Semaphore,
    /// Each request of remote read holds one until its answer is sent.
    read_places: Arc<Semaphore>,
    metrics: Arc<HttpMetrics>,
}

impl Api {
    fn backend(&self) -> &dyn QueryBackend {
        self.0.backend.as_ref()
    }

    fn host(&self) -> &dyn Host {
        self.0.host.as_ref()
    }

    fn options(&self) -> &ApiOptions {
        &self.0.options
    }

    fn query_places(&self) -> &Semaphore {
        &self.0.query_places
    }

    fn read_places(&self) -> &Arc<Semaphore> {
        &self.0.read_places
    }
}

/// The whole site: the API under `/api/v1`, `/federate`, life cycle and health under `/-`, `/metrics`, and a landing page. `others` are the routes of
/// other parts of the process, which get the same metrics, paths and CORS.
pub fn router(
    backend: Arc<dyn QueryBackend>,
    host: Arc<dyn Host>,
    metrics: Arc<HttpMetrics>,
    options: ApiOptions,
    others: Router,
) -> Router {
    let query_places = Semaphore::new(options.query_concurrency.clamp(1, Semaphore::MAX_PERMITS));
    let read_places = Arc::new(Semaphore::new(options.remote_read.places()));
    let api = Api(Arc::new(Shared {
        backend,
        host,
        options,
        query_places,
        read_places,
        metrics,
    }));
    let ready = || middleware::from_fn_with_state(api.clone(), lifecycle::require_ready);
    let v1 = Router::new()
        .route("/query", get_or_post(query::instant))
        .route("/query_range", get_or_post(query::range))
        .route("/query_exemplars", get_or_post(exemplars::query))
        .route("/explain", get_or_post(query::explain))
        .route("/format_query", get_or_post(syntax::format))
        .route("/parse_query", get_or_post(syntax::tree))
        .route("/series", get_or_post(labels::series))
        .route("/labels", get_or_post(labels::names))
        .route("/label/{name}/values", get(labels::values))
        .route("/metadata", get(metadata::families))
        .route("/targets", get(status::targets))
        .route("/targets/metadata", get(metadata::of_targets))
        .route("/targets/relabel_steps", get(status::relabel_steps))
        .route("/scrape_pools", get(status::scrape_pools))
        .route("/scrape_pools/config", get(status::scrape_pool_config))
        .route("/rules", get(rules::rules))
        .route("/alerts", get(rules::alerts))
        .route("/alertmanagers", get(rules::alertmanagers))
        .route("/status/config", get(status::config))
        .route("/status/flags", get(status::flags))
        .route("/status/buildinfo", get(status::build_info))
        .route("/status/runtimeinfo", get(status::runtime_info))
        .route("/status/tsdb", get(cardinality::status))
        .layer(ready())
        .route("/status/walreplay", get(status::wal_replay))
        .route("/notifications", get(rules::notifications))
        .route("/notifications/live", get(rules::live_notifications));
    // Their answers are compressed by themselves.
    let read = Router::new()
        .route("/api/v1/read", post(remote_read::read))
        .layer(ready());
    Router::new()
        .nest("/api/v1", v1)
        .route("/federate", get(federate::federate).layer(ready()))
        .route("/", get(landing::page))
        .route("/version", get(status::version))
        .route("/metrics", get(lifecycle::metrics))
        .route("/-/healthy", get_or_head(lifecycle::healthy))
        .route("/-/ready", get_or_head(lifecycle::ready))
        .route("/-/reload", post_or_put(lifecycle::reload))
        .route("/-/quit", post_or_put(lifecycle::quit))
        .merge(others.with_state(()))
        .fallback(routing::not_found)
        // The better levels take longer than all else that a large answer needs, and save little of its digits.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .merge(read)
        .layer(middleware::from_fn_with_state(api.clone(), cors::apply))
        .layer(middleware::from_fn(routing::tidy))
        .layer(middleware::from_fn_with_state(api.clone(), metrics::record))
        .with_state(api)
}

/// The wall clock in milliseconds since the epoch.
fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |elapsed| {
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    })
}
