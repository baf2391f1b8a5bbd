#![allow(clippy::unwrap_used)]
//! A receiver over a sink in memory.

use futures::future::BoxFuture;
use varve_storage::SampleValue;

use super::*;

/// Keeps appends, or fails.
#[derive(Debug, Default)]
pub(crate) struct MemorySink {
    pub(crate) appends: Mutex<Vec<Append>>,
    /// What the next append answers instead of success.
    pub(crate) error: Mutex<Option<varve_storage::Error>>,
}

impl DurableSink for MemorySink {
    fn append_durable(
        &self,
        append: Append,
        _: Duration,
    ) -> BoxFuture<'_, varve_storage::Result<()>> {
        Box::pin(async move {
            if let Some(error) = self.error.lock().unwrap().take() {
                return Err(error);
            }
            self.appends.lock().unwrap().push(append);
            Ok(())
        })
    }
}

pub(crate) fn receiver() -> (Arc<MemorySink>, PushReceiver) {
    let sink = Arc::new(MemorySink::default());
    let receiver = PushReceiver::new(sink.clone(), PushOptions::default());
    (sink, receiver)
}

/// Samples as text: series, time, start and value.
pub(crate) fn shown(append: &Append) -> Vec<String> {
    let rows = append.samples.iter().map(|row| {
        let value = match &row.value {
            SampleValue::Float(value) => format!("{value:?}"),
            SampleValue::Histogram(h) => format!("{:?} count {}", h.counter_reset_hint, h.count),
        };
        let start = row.start_timestamp_ms;
        format!("{} {} {start} {value}", row.series.labels, row.timestamp_ms)
    });
    rows.collect()
}

const UP: [(&[u8], &[u8]); 2] = [(b"job", b"j"), (b"__name__", b"up")];

#[test]
fn labels_are_checked_as_prometheus_does() {
    let (_, receiver) = receiver();
    let mut request = receiver.request(0);
    let up = request.series(&UP).unwrap();
    assert_eq!(up.labels.to_string(), r#"{__name__="up", job="j"}"#);
    let empty = [(&b"a"[..], &b""[..]), UP[0], UP[1]];
    assert_eq!(request.series(&empty).unwrap().id, up.id);
    for (labels, message) in [
        (
            vec![UP[0]],
            r#"invalid metric name or labels, got {job="j"}"#,
        ),
        (
            vec![(&b"__name__"[..], &b""[..])],
            r#"invalid metric name or labels, got {__name__=""}"#,
        ),
        (
            vec![UP[1], (b"", b"x")],
            r#"invalid metric name or labels, got {__name__="up", ="x"}"#,
        ),
        (
            vec![UP[1], (b"a", b"\xff")],
            "invalid metric name or labels, got {__name__=\"up\", a=\"\u{fffd}\"}",
        ),
        (
            vec![UP[1], UP[0], UP[0]],
            r#"invalid labels for series, labels {__name__="up", job="j", job="j"}, duplicated label job"#,
        ),
    ] {
        assert_eq!(request.series(&labels).unwrap_err().to_string(), message);
    }
    let long = vec![b'x'; 2 << 20];
    assert!(request.series(&[UP[1], (b"a", &long)]).is_err());
    let names: Vec<String> = (0..1001).map(|n| format!("a{n}")).collect();
    let many: Vec<(&[u8], &[u8])> = names.iter().map(|n| (n.as_bytes(), &b"v"[..])).collect();
    assert!(request.series(&many).is_err());
}

#[test]
fn samples_may_be_old_but_not_far_ahead() {
    let (_, receiver) = receiver();
    let mut request = receiver.request(1_000_000);
    let up = request.series(&UP).unwrap();
    request.float(&up, -5, 0, 1.0).unwrap();
    request.float(&up, 1_600_000, 0, 2.0).unwrap();
    assert_eq!(
        request
            .float(&up, 1_600_001, 0, 3.0)
            .unwrap_err()
            .to_string(),
        r#"out of bounds: timestamp is too far in the future for series {__name__="up", job="j"}"#
    );
    assert_eq!(request.finish().samples.len(), 2);
}

#[test]
fn hints_follow_from_the_histogram_before() {
    let (_, receiver) = receiver();
    let histogram = |count: f64, hint| {
        Ok(FloatHistogram {
            count,
            counter_reset_hint: hint,
            ..FloatHistogram::default()
        })
    };
    use varve_storage::histogram::CounterResetHint::{Gauge, NotCounterReset, Unknown};
    let mut request = receiver.request(1_000);
    let up = request.series(&UP).unwrap();
    request
        .histogram(&up, 10, 0, histogram(1.0, NotCounterReset))
        .unwrap();
    request
        .histogram(&up, 20, 0, histogram(2.0, Unknown))
        .unwrap();
    let first = request.finish();
    // The next request remembers; a late one has no histogram before it, and the newest stays.
    let mut request = receiver.request(1_000);
    request
        .histogram(&up, 15, 0, histogram(1.0, NotCounterReset))
        .unwrap();
    request
        .histogram(&up, 30, 0, histogram(3.0, Unknown))
        .unwrap();
    request
        .histogram(&up, 40, 0, histogram(1.0, NotCounterReset))
        .unwrap();
    request
        .histogram(&up, 50, 0, histogram(5.0, Gauge))
        .unwrap();
    let hints = |append: &Append| -> Vec<_> {
        append
            .samples
            .iter()
            .map(|row| match &row.value {
                SampleValue::Histogram(histogram) => histogram.counter_reset_hint,
                SampleValue::Float(_) => unreachable!(),
            })
            .collect()
    };
    assert_eq!(hints(&first), [Unknown, NotCounterReset]);
    assert_eq!(
        hints(&request.finish()),
        [Unknown, NotCounterReset, Unknown, Gauge]
    );
}

#[tokio::test]
async fn metadata_is_stored_once() {
    let (sink, receiver) = receiver();
    let metadata = |help: &str| MetricMetadata {
        family: "m".to_owned(),
        kind: varve_storage::MetricType::Gauge,
        unit: String::new(),
        help: help.to_owned(),
    };
    for (help, stored) in [("a", 1), ("a", 0), ("b", 1), ("b", 0)] {
        let mut request = receiver.request(0);
        request.metadata(metadata(help));
        let append = request.finish();
        assert_eq!(append.metadata.len(), stored, "{help}");
        receiver.store(append).await.unwrap();
    }
    // What was not stored is sent again.
    *sink.error.lock().unwrap() = Some(varve_storage::Error::Closed { shard: 0 });
    for stored in [false, true] {
        let mut request = receiver.request(0);
        request.metadata(metadata("c"));
        let append = request.finish();
        assert_eq!(append.metadata.len(), 1);
        assert_eq!(receiver.store(append).await.is_ok(), stored);
    }
}
