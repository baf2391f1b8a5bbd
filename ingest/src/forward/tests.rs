#![allow(clippy::unwrap_used)]
//! From a WAL in memory to a receiver of our own, over HTTP.

mod clouds;

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use varve_storage::keys::TenantKeys;
use varve_storage::wal::{Append, SampleRow, WalHolds, WalOptions, WalWriter};
use varve_storage::{
    Exemplar, FloatHistogram, Labels, MetricMetadata, MetricType, SampleValue, Series, SeriesRef,
};

use super::*;
use crate::config::Config;
use crate::push::routes::router;
use crate::push::tests::{MemorySink, receiver, shown};

/// A receiver that answers with failures first.
struct Peer {
    url: String,
    sink: Arc<MemorySink>,
    /// What so many requests are answered with.
    failing: Arc<AtomicU32>,
    status: Arc<Mutex<StatusCode>>,
    requests: Arc<AtomicU64>,
}

impl Peer {
    async fn start() -> Self {
        let (sink, receiver) = receiver();
        let failing = Arc::new(AtomicU32::new(0));
        let status = Arc::new(Mutex::new(StatusCode::SERVICE_UNAVAILABLE));
        let requests = Arc::new(AtomicU64::new(0));
        let layer = {
            let (failing, status, requests) = (failing.clone(), status.clone(), requests.clone());
            move |request: Request, next: Next| {
                requests.fetch_add(1, Ordering::SeqCst);
                let fails =
                    failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                let status = *status.lock().unwrap();
                async move {
                    match fails {
                        Ok(_) => status.into_response(),
                        Err(_) => next.run(request).await,
                    }
                }
            }
        };
        let router = router(Arc::new(receiver)).layer(middleware::from_fn(layer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            sink,
            failing,
            status,
            requests,
        }
    }

    /// All samples that it has.
    fn samples(&self) -> Vec<String> {
        let appends = self.sink.appends.lock().unwrap();
        let mut samples: Vec<_> = appends.iter().flat_map(shown).collect();
        samples.sort();
        samples
    }

    async fn wait_for(&self, samples: usize) -> Vec<String> {
        let started = Instant::now();
        while self.samples().len() < samples {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{:?}",
                self.samples()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.samples()
    }
}

/// A WAL, and a manager that forwards it.
struct Sender {
    store: Arc<dyn ObjectStore>,
    wal: Arc<WalWriter>,
    holds: Arc<WalHolds>,
}

impl Sender {
    async fn new() -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let options = WalOptions {
            flush_interval: Duration::from_millis(1),
            ..WalOptions::default()
        };
        let wal = WalWriter::open(store.clone(), TenantKeys::default(), 0, options).await;
        Self {
            store,
            wal: Arc::new(wal.unwrap()),
            holds: Arc::default(),
        }
    }

    async fn manager(&self, config: &str) -> ForwardManager {
        let manager = ForwardManager::new(ForwardOptions {
            store: self.store.clone(),
            keys: TenantKeys::default(),
            shard: 0,
            wal: self.wal.metrics().clone(),
            holds: self.holds.clone(),
            metadata: Arc::new(|| vec![metadata("m")]),
        });
        manager.apply(&parse(config)).await.unwrap();
        manager
    }

    async fn append(&self, append: Append) {
        let ticket = self.wal.append(append).await.unwrap();
        ticket.durable().await.unwrap();
    }

    async fn append_number(&self, number: i64) {
        let samples = vec![float(&[("__name__", "m")], number, number as f64)];
        self.append(Append {
            samples,
            ..Append::default()
        })
        .await;
    }
}

fn parse(config: &str) -> Config {
    Config::parse(config, Path::new("")).unwrap()
}

fn metadata(family: &str) -> MetricMetadata {
    MetricMetadata {
        family: family.to_owned(),
        kind: MetricType::Counter,
        unit: "u".to_owned(),
        help: "h".to_owned(),
    }
}

fn series(labels: &[(&str, &str)]) -> SeriesRef {
    SeriesRef::new(Series::new(Labels::from_pairs(labels.iter().copied())))
}

fn float(labels: &[(&str, &str)], timestamp_ms: i64, value: f64) -> SampleRow {
    SampleRow {
        series: series(labels),
        timestamp_ms,
        start_timestamp_ms: 0,
        value: SampleValue::Float(value),
    }
}

/// Floats, a histogram, an exemplar and metadata.
fn everything() -> Append {
    let histogram = FloatHistogram {
        count: 3.0,
        ..FloatHistogram::default()
    };
    let of_histogram = series(&[("__name__", "h")]);
    let mut started = float(&[("__name__", "m_total"), ("keep", "x")], 10, 1.5);
    started.start_timestamp_ms = 5;
    Append {
        exemplars: vec![Exemplar {
            series: started.series.clone(),
            labels: Labels::from_pairs([("trace_id", "t")]),
            timestamp_ms: 10,
            value: 1.0,
        }],
        samples: vec![
            started,
            float(&[("__name__", "m"), ("drop", "x")], 10, 2.5),
            SampleRow {
                series: of_histogram,
                timestamp_ms: 20,
                start_timestamp_ms: 0,
                value: SampleValue::Histogram(Arc::new(histogram)),
            },
        ],
        metadata: vec![metadata("m_total")],
    }
}

const SETTINGS: &str = "global: {external_labels: {replica: a, keep: y}}\nremote_write:\n";

#[tokio::test]
async fn everything_is_sent_in_both_versions() {
    for (message, start) in [
        ("prometheus.WriteRequest", 0),
        ("io.prometheus.write.v2.Request", 5),
    ] {
        let (peer, sender) = (Peer::start().await, Sender::new().await);
        // From before the receiver was there, and so not for it.
        sender.append_number(1).await;
        let config = format!(
            "{SETTINGS}- url: {}\n  protobuf_message: {message}\n  send_exemplars: true\n  send_native_histograms: true\n  write_relabel_configs: [{{source_labels: [drop], regex: x, action: drop}}]\n",
            peer.url
        );
        let manager = sender.manager(&config).await;
        sender.append(everything()).await;
        let samples = peer.wait_for(2).await;
        assert_eq!(
            samples,
            [
                r#"{__name__="h", keep="y", replica="a"} 20 0 Unknown count 3"#.to_owned(),
                format!(r#"{{__name__="m_total", keep="x", replica="a"}} 10 {start} 1.5"#),
            ]
        );
        manager.shutdown().await;
        let appends = peer.sink.appends.lock().unwrap();
        let exemplars: Vec<_> = appends
            .iter()
            .flat_map(|append| &append.exemplars)
            .collect();
        assert_eq!(exemplars.len(), 1);
        assert_eq!(exemplars[0].labels.to_string(), r#"{trace_id="t"}"#);
        let known: Vec<_> = appends.iter().flat_map(|append| &append.metadata).collect();
        assert!(
            known
                .iter()
                .any(|m| m.kind == MetricType::Counter && m.help == "h"),
            "{known:?}"
        );
    }
}

#[tokio::test]
async fn histograms_and_exemplars_only_go_where_they_are_wanted() {
    let (peer, sender) = (Peer::start().await, Sender::new().await);
    let manager = sender
        .manager(&format!("remote_write: [{{url: '{}'}}]", peer.url))
        .await;
    sender.append(everything()).await;
    assert_eq!(peer.wait_for(2).await.len(), 2);
    let (_, metrics) = manager.metrics().pop().unwrap();
    manager.shutdown().await;
    assert_eq!(metrics.samples_dropped.load(Ordering::SeqCst), 1);
    assert_eq!(metrics.exemplars.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_fails_is_repeated_and_what_is_refused_is_not() {
    let (peer, sender) = (Peer::start().await, Sender::new().await);
    let config = format!(
        "remote_write: [{{url: '{}', queue_config: {{min_backoff: 1ms, max_backoff: 5ms}}, metadata_config: {{send: false}}}}]",
        peer.url
    );
    let manager = sender.manager(&config).await;
    peer.failing.store(4, Ordering::SeqCst);
    sender.append_number(1).await;
    peer.wait_for(1).await;
    assert_eq!(peer.requests.load(Ordering::SeqCst), 5);
    *peer.status.lock().unwrap() = StatusCode::TOO_MANY_REQUESTS;
    peer.failing.store(1, Ordering::SeqCst);
    sender.append_number(2).await;
    sender.append_number(3).await;
    assert_eq!(
        peer.wait_for(2).await,
        [r#"{__name__="m"} 1 0 1.0"#, r#"{__name__="m"} 3 0 3.0"#]
    );
    let (_, metrics) = manager.metrics().pop().unwrap();
    manager.shutdown().await;
    assert_eq!(metrics.samples.load(Ordering::SeqCst), 2);
    assert_eq!(metrics.samples_failed.load(Ordering::SeqCst), 1);
    assert_eq!(metrics.retries.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let (peer, sender) = (Peer::start().await, Sender::new().await);
    let config = format!("remote_write: [{{url: '{}'}}]", peer.url);
    let manager = sender.manager(&config).await;
    sender.append_number(1).await;
    peer.wait_for(1).await;
    // The receiver is down, the process stops, and more is written before it forwards again.
    peer.failing.store(u32::MAX, Ordering::SeqCst);
    sender.append_number(2).await;
    manager.shutdown().await;
    sender.append_number(3).await;
    assert_eq!(sender.holds.first_needed(0), Some(2));
    peer.failing.store(0, Ordering::SeqCst);
    let manager = sender.manager(&config).await;
    assert_eq!(peer.wait_for(3).await.len(), 3);
    // Another configuration of the same receiver goes on too; without one nothing is held.
    let other = format!(
        "remote_write: [{{url: '{}', remote_timeout: 5s}}]",
        peer.url
    );
    manager.apply(&parse(&other)).await.unwrap();
    sender.append_number(4).await;
    assert_eq!(peer.wait_for(4).await.len(), 4);
    manager.apply(&parse("")).await.unwrap();
    assert_eq!(sender.holds.first_needed(0), None);
}

#[tokio::test]
async fn deleted_segments_are_counted_and_passed_over() {
    let (peer, sender) = (Peer::start().await, Sender::new().await);
    let config = format!("remote_write: [{{url: '{}'}}]", peer.url);
    let manager = sender.manager(&config).await;
    sender.append_number(1).await;
    peer.wait_for(1).await;
    manager.shutdown().await;
    for number in 2..=4 {
        sender.append_number(number).await;
    }
    let keys = TenantKeys::default();
    for sequence in 1..=3 {
        sender
            .store
            .delete(&keys.wal_segment(0, sequence))
            .await
            .unwrap();
    }
    let manager = sender.manager(&config).await;
    assert_eq!(peer.wait_for(2).await[1], r#"{__name__="m"} 4 0 4.0"#);
    let (_, metrics) = manager.metrics().pop().unwrap();
    assert_eq!(metrics.segments_missed.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_large_segment_goes_in_several_requests() {
    let (peer, sender) = (Peer::start().await, Sender::new().await);
    let config = format!(
        "remote_write: [{{url: '{}', queue_config: {{max_samples_per_send: 10, min_shards: 3}}, metadata_config: {{send: false}}}}]",
        peer.url
    );
    let manager = sender.manager(&config).await;
    let samples = (0..100).map(|n| {
        let instance = (n % 7).to_string();
        float(&[("__name__", "m"), ("i", &instance)], n, n as f64)
    });
    sender
        .append(Append {
            samples: samples.collect(),
            ..Append::default()
        })
        .await;
    assert_eq!(peer.wait_for(100).await.len(), 100);
    manager.shutdown().await;
    let appends = peer.sink.appends.lock().unwrap();
    assert!(appends.len() >= 10 && appends.iter().all(|append| append.samples.len() <= 10));
}
