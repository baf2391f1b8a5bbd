//! Counts and durations of HTTP requests, as plain atomics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::Api;

/// Upper bounds of the duration buckets in seconds, those of Prometheus's own HTTP histogram and two finer ones.
pub const DURATION_BOUNDS_SECONDS: [f64; 12] = [
    0.005, 0.02, 0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0, 600.0,
];

/// Requests to one handler.
#[derive(Debug, Default)]
struct HandlerMetrics {
    /// By status code.
    codes: Mutex<BTreeMap<u16, u64>>,
    /// Requests by bucket, not cumulative; the last is above every bound.
    buckets: [AtomicU64; DURATION_BOUNDS_SECONDS.len() + 1],
    duration_ns: AtomicU64,
}

/// What one handler was asked, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerSnapshot {
    /// The route, such as `/api/v1/query`.
    pub handler: String,
    /// (status code, answers), ascending.
    pub codes: Vec<(u16, u64)>,
    /// Requests up to each of [`DURATION_BOUNDS_SECONDS`], cumulative; then all.
    pub buckets: Vec<u64>,
    /// The sum of all durations up to the first byte of the answer.
    pub duration: Duration,
}

/// Counters of every handler.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    handlers: Mutex<BTreeMap<String, std::sync::Arc<HandlerMetrics>>>,
    in_flight: AtomicU64,
}

impl HttpMetrics {
    fn observe(&self, handler: &str, code: u16, duration: Duration) {
        let metrics = {
            let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
            match handlers.get(handler) {
                Some(metrics) => metrics.clone(),
                None => handlers.entry(handler.to_owned()).or_default().clone(),
            }
        };
        let mut codes = metrics.codes.lock().unwrap_or_else(PoisonError::into_inner);
        *codes.entry(code).or_default() += 1;
        drop(codes);
        let seconds = duration.as_secs_f64();
        let bucket = DURATION_BOUNDS_SECONDS.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = metrics.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        metrics
            .duration_ns
            .fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Requests under way.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Every handler that was asked so far, by name.
    pub fn snapshot(&self) -> Vec<HandlerSnapshot> {
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = |(name, metrics): (&String, &std::sync::Arc<HandlerMetrics>)| {
            let codes = metrics.codes.lock().unwrap_or_else(PoisonError::into_inner);
            let cumulative = metrics.buckets.iter().scan(0, |sum, bucket| {
                *sum += bucket.load(Ordering::Relaxed);
                Some(*sum)
            });
            HandlerSnapshot {
                handler: name.clone(),
                codes: codes.iter().map(|(code, count)| (*code, *count)).collect(),
                buckets: cumulative.collect(),
                duration: Duration::from_nanos(metrics.duration_ns.load(Ordering::Relaxed)),
            }
        };
        handlers.iter().map(snapshot).collect()
    }
}

/// Counts one request down however its handler ends, a client's going away included.
struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Records one request under its route, never under its path: label values stay few.
pub(super) async fn record(State(api): State<Api>, request: Request, next: Next) -> Response {
    let metrics = &api.0.metrics;
    let handler = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    metrics.in_flight.fetch_add(1, Ordering::Relaxed);
    let in_flight = InFlight(&metrics.in_flight);
    let started = Instant::now();
    let response = next.run(request).await;
    metrics.observe(&handler, response.status().as_u16(), started.elapsed());
    drop(in_flight);
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_bounds_inclusive() {
        let metrics = HttpMetrics::default();
        metrics.observe("/q", 200, Duration::from_millis(5));
        metrics.observe("/q", 200, Duration::from_millis(6));
        metrics.observe("/q", 400, Duration::from_secs(700));
        let snapshot = metrics.snapshot().pop().unwrap();
        assert_eq!(snapshot.codes, [(200, 2), (400, 1)]);
        assert_eq!(snapshot.buckets[..3], [1, 2, 2]);
        assert_eq!(snapshot.buckets[11..], [2, 3]);
        assert_eq!(snapshot.duration, Duration::from_millis(700_011));
    }
}
