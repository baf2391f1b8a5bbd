#![allow(clippy::unwrap_used)]
//! Requests over HTTP, as senders write them.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use proptest::prelude::*;
use tower::ServiceExt;

use super::*;
use crate::push::routes::router;
use crate::push::tests::{MemorySink, receiver, shown};
use varve_storage::protobuf::encode::Message;

const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

async fn send(
    receiver: &Arc<PushReceiver>,
    content_type: &str,
    message: Vec<u8>,
) -> (StatusCode, HeaderMap, String) {
    let body = snap::raw::Encoder::new().compress_vec(&message).unwrap();
    send_body(receiver, content_type, "snappy", body).await
}

async fn send_body(
    receiver: &Arc<PushReceiver>,
    content_type: &str,
    encoding: &str,
    body: Vec<u8>,
) -> (StatusCode, HeaderMap, String) {
    let request = Request::post("/api/v1/write")
        .header("content-type", content_type)
        .header("content-encoding", encoding)
        .body(Body::from(body))
        .unwrap();
    let answer = router(Arc::clone(receiver)).oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (parts.status, parts.headers, text)
}

fn fixture() -> (Arc<MemorySink>, Arc<PushReceiver>) {
    let (sink, receiver) = receiver();
    (sink, Arc::new(receiver))
}

fn v1_series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> impl Fn(&mut Message) {
    let labels: Vec<_> = labels
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    let samples = samples.to_vec();
    move |series| {
        for (time_ms, value) in &samples {
            series.message(2, |sample| {
                sample.double(1, *value);
                sample.int64(2, *time_ms);
            });
        }
        for (name, value) in &labels {
            series.message(1, |label| {
                label.string(1, name);
                label.string(2, value);
            });
        }
    }
}

#[tokio::test]
async fn version_1_is_stored() {
    let (sink, receiver) = fixture();
    let mut message = Message::default();
    let stale = varve_storage::stale_nan();
    // Labels behind the samples, and a field that nobody knows.
    message.message(
        1,
        v1_series(&[("job", "a"), ("__name__", "m")], &[(1, 1.5), (2, stale)]),
    );
    message.message(9, |unknown| unknown.uint64(1, 1));
    message.message(1, |series| {
        v1_series(&[("__name__", "h")], &[])(series);
        series.message(4, |histogram| {
            histogram.uint64(1, 3);
            histogram.double(3, 2.5);
            histogram.message(11, |span| span.uint64(2, 2));
            histogram.sint64s(12, &[1, 1]);
            histogram.int64(15, 7);
        });
        series.message(3, |exemplar| {
            exemplar.message(1, |label| {
                label.string(1, "trace_id");
                label.string(2, "x");
            });
            exemplar.double(2, 4.0);
            exemplar.int64(3, 7);
        });
    });
    message.message(3, |metadata| {
        metadata.uint64(1, 1);
        metadata.string(2, "m");
        metadata.string(4, "helps");
    });
    let answer = send(&receiver, "application/x-protobuf", message.into_bytes()).await;
    assert_eq!((answer.0, answer.2.as_str()), (StatusCode::NO_CONTENT, ""));
    assert!(
        !answer
            .1
            .contains_key("x-prometheus-remote-write-samples-written")
    );
    let appends = sink.appends.lock().unwrap();
    assert_eq!(
        shown(&appends[0]),
        [
            r#"{__name__="m", job="a"} 1 0 1.5"#,
            r#"{__name__="m", job="a"} 2 0 NaN"#,
            r#"{__name__="h"} 7 0 Unknown count 3"#,
        ]
    );
    assert!(appends[0].samples[1].value.is_stale());
    let exemplar = &appends[0].exemplars[0];
    assert_eq!(exemplar.labels.to_string(), r#"{trace_id="x"}"#);
    assert_eq!((exemplar.timestamp_ms, exemplar.value), (7, 4.0));
    assert_eq!(appends[0].metadata[0].help, "helps");
}

#[tokio::test]
async fn what_is_invalid_is_rejected_and_the_rest_is_stored() {
    let (sink, receiver) = fixture();
    let mut message = Message::default();
    message.message(1, v1_series(&[("job", "a")], &[(1, 1.0)]));
    message.message(
        1,
        v1_series(&[("__name__", "m")], &[(i64::MAX, 1.0), (3, 3.0)]),
    );
    message.message(1, |series| {
        v1_series(&[("__name__", "h")], &[])(series);
        // More observations than its buckets hold.
        series.message(4, |histogram| histogram.uint64(1, 3));
    });
    let (status, _, text) = send(&receiver, "", message.into_bytes()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        text,
        "invalid metric name or labels, got {job=\"a\"}\n\
         out of bounds: timestamp is too far in the future for series {__name__=\"m\"}\n\
         0 observations found in buckets, but the Count field is 3: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN) for series {__name__=\"h\"}\n"
    );
    let appends = sink.appends.lock().unwrap();
    assert_eq!(shown(&appends[0]), [r#"{__name__="m"} 3 0 3.0"#]);
}

fn v2_message(refs: &[u32], write: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::default();
    message.message(5, |series| {
        series.uint32s(1, refs);
        write(series);
    });
    // The table of symbols behind the series that needs it.
    for symbol in [
        "",
        "__name__",
        "m_seconds_sum",
        "job",
        "a",
        "help",
        "seconds",
    ] {
        message.bytes(4, symbol.as_bytes());
    }
    message.into_bytes()
}

#[tokio::test]
async fn version_2_is_stored_and_counted() {
    let (sink, receiver) = fixture();
    let message = v2_message(&[3, 4, 1, 2], |series| {
        for (time, start) in [(10, 5), (20, 0), (30, 30)] {
            series.message(2, |sample| {
                sample.double(1, 1.0);
                sample.int64(2, time);
                sample.int64(3, start);
            });
        }
        series.message(3, |histogram| {
            histogram.double_always(2, 1.5);
            histogram.message(8, |span| {
                span.sint32(1, -3);
                span.uint64(2, 1);
            });
            histogram.doubles(10, &[1.5]);
            histogram.int64(15, 40);
            histogram.int64(17, 39);
        });
        series.message(4, |exemplar| {
            exemplar.uint32s(1, &[3, 4]);
            exemplar.double(2, 1.0);
            exemplar.int64(3, 10);
        });
        series.message(5, |metadata| {
            metadata.uint64(1, 5);
            metadata.uint64(3, 5);
            metadata.uint64(4, 6);
        });
    });
    let (status, headers, _) = send(&receiver, V2, message).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    for (name, count) in [("samples", "3"), ("histograms", "1"), ("exemplars", "1")] {
        let header = format!("x-prometheus-remote-write-{name}-written");
        assert_eq!(headers[&header], count);
    }
    let appends = sink.appends.lock().unwrap();
    let series = r#"{__name__="m_seconds_sum", job="a"}"#;
    assert_eq!(
        shown(&appends[0]),
        [
            format!("{series} 10 5 1.0"),
            format!("{series} 20 0 1.0"),
            format!("{series} 30 0 1.0"),
            format!("{series} 40 39 Unknown count 1.5"),
        ]
    );
    let metadata = &appends[0].metadata[0];
    assert_eq!(
        (metadata.family.as_str(), metadata.unit.as_str()),
        ("m_seconds", "seconds")
    );
}

#[tokio::test]
async fn broken_references_and_empty_series_are_rejected() {
    for (refs, reason) in [
        (
            &[1, 99][..],
            "parsing labels for series [1, 99]: symbol reference 99 is out of bounds of the 7 symbols\n",
        ),
        (
            &[1],
            "parsing labels for series [1]: invalid labelRefs length 1\n",
        ),
        (
            &[1, 2],
            "TimeSeries must contain at least one sample or histogram for series {__name__=\"m_seconds_sum\"}\n",
        ),
    ] {
        let (_, receiver) = fixture();
        let (status, headers, text) = send(&receiver, V2, v2_message(refs, |_| ())).await;
        assert_eq!((status, text.as_str()), (StatusCode::BAD_REQUEST, reason));
        assert_eq!(headers["x-prometheus-remote-write-samples-written"], "0");
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_retriable_and_counts_nothing() {
    let (sink, receiver) = fixture();
    let message = v2_message(&[1, 2], |series| {
        series.message(2, |sample| sample.int64(2, 1))
    });
    *sink.error.lock().unwrap() = Some(varve_storage::Error::Closed { shard: 0 });
    let (status, headers, _) = send(&receiver, V2, message.clone()).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!headers.contains_key("x-prometheus-remote-write-samples-written"));
    assert_eq!(send(&receiver, V2, message).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn other_types_encodings_and_sizes_are_refused() {
    let (_, receiver) = fixture();
    let unsupported = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    for (content_type, encoding, body, status, message) in [
        (
            "text/plain",
            "snappy",
            vec![],
            unsupported,
            "expected application/x-protobuf as the first (media) part, got text/plain content-type\n",
        ),
        (
            "application/x-protobuf;proto",
            "snappy",
            vec![],
            unsupported,
            "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got proto in application/x-protobuf;proto content-type\n",
        ),
        (
            "application/x-protobuf;proto=x",
            "snappy",
            vec![],
            unsupported,
            "unknown type for remote write protobuf message x, supported: [prometheus.WriteRequest io.prometheus.write.v2.Request]\n",
        ),
        (
            "application/x-protobuf",
            "zstd",
            vec![],
            unsupported,
            "zstd encoding (compression) is not accepted by this server; only snappy is acceptable\n",
        ),
        (
            "application/x-protobuf",
            "snappy",
            vec![9, 0xff],
            StatusCode::BAD_REQUEST,
            "snappy: corrupt input: ",
        ),
        (
            "application/x-protobuf",
            "snappy",
            vec![2, 4, 0x0a, 0x05],
            StatusCode::BAD_REQUEST,
            "unexpected EOF\n",
        ),
        (
            "application/x-protobuf",
            "snappy",
            vec![0xff, 0xff, 0xff, 0xff, 0x0f],
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request has more than 33554432 bytes; send less at once\n",
        ),
        (
            "application/x-protobuf",
            "snappy",
            vec![0; 33_554_433],
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request has more than 33554432 bytes; send less at once\n",
        ),
    ] {
        let answer = send_body(&receiver, content_type, encoding, body).await;
        assert_eq!(answer.0, status, "{content_type} {encoding}: {}", answer.2);
        assert!(answer.2.starts_with(message), "{}", answer.2);
    }
}

proptest! {
    #[test]
    fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), second: bool) {
        let (_, receiver) = receiver();
        let mut reading = Reading {
            builder: receiver.request(0),
            counts: Counts::default(),
            rejected: Vec::new(),
        };
        let _ = match second {
            true => v2::read(&bytes, &mut reading),
            false => v1::read(&bytes, &mut reading),
        };
    }
}
