#![allow(clippy::unwrap_used)]
//! Requests through the HTTP side, in JSON where the form does not matter.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;
use varve_storage::wal::Append;
use varve_storage::{MetricType, SampleValue};

use super::*;
use crate::config::TranslationStrategy;
use crate::push::tests::{MemorySink, shown};
use crate::push::{PushOptions, routes};

/// 2023-11-14, in nanoseconds and in milliseconds.
const T_NS: u64 = 1_700_000_000_000_000_000;
const T_MS: i64 = 1_700_000_000_000;

struct Fixture {
    sink: Arc<MemorySink>,
    receiver: Arc<PushReceiver>,
}

fn fixture(options: PushOptions, config: OtlpConfig) -> Fixture {
    let sink = Arc::new(MemorySink::default());
    let receiver = Arc::new(PushReceiver::new(sink.clone(), options));
    receiver.set_otlp_config(config);
    Fixture { sink, receiver }
}

impl Fixture {
    async fn send(&self, content_type: &str, body: impl Into<Body>) -> (u16, String) {
        let request = Request::post("/api/v1/otlp/v1/metrics")
            .header("content-type", content_type)
            .body(body.into())
            .unwrap();
        self.answer(request).await
    }

    async fn answer(&self, request: Request<Body>) -> (u16, String) {
        let router = routes::router(self.receiver.clone());
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn json(&self, body: &Value) -> (u16, String) {
        self.send("application/json", body.to_string()).await
    }

    fn appends(&self) -> Vec<Append> {
        std::mem::take(&mut *self.sink.appends.lock().unwrap())
    }
}

fn attributes(pairs: &[(&str, &str)]) -> Value {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
        .collect()
}

/// A request of one resource and one scope.
fn request(metrics: Value) -> Value {
    json!({"resourceMetrics": [{
        "resource": {"attributes": attributes(&[("service.name", "s"), ("service.instance.id", "i")])},
        "scopeMetrics": [{"scope": {"name": "lib", "version": "1"}, "metrics": metrics}],
    }]})
}

/// What is stored of some metrics, with everything else by default.
async fn stored(metrics: Value) -> Vec<String> {
    stored_with(PushOptions::default(), OtlpConfig::default(), metrics).await
}

async fn stored_with(options: PushOptions, config: OtlpConfig, metrics: Value) -> Vec<String> {
    let fixture = fixture(options, config);
    assert_eq!(
        fixture.json(&request(metrics)).await,
        (200, "{}".to_owned())
    );
    fixture.appends().iter().flat_map(shown).collect()
}

#[tokio::test]
async fn gauges_and_sums_are_stored() {
    let rows = stored(json!([
        {"name": "room.temperature", "unit": "Cel", "gauge": {"dataPoints": [
            {"timeUnixNano": T_NS.to_string(), "asDouble": 21.5, "attributes": attributes(&[("room", "1")])},
            {"timeUnixNano": T_NS.to_string(), "asInt": "-3", "attributes": attributes(&[("room", "2")])},
        ]}},
        {"name": "requests", "sum": {"isMonotonic": true, "aggregationTemporality": 2, "dataPoints": [
            {"startTimeUnixNano": (T_NS - 5_000_000).to_string(), "timeUnixNano": T_NS.to_string(), "asInt": 7},
        ]}},
        {"name": "queue", "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE", "dataPoints": [
            {"timeUnixNano": T_NS.to_string(), "flags": 1},
        ]}},
    ]))
    .await;
    assert_eq!(
        rows,
        [
            format!(
                r#"{{__name__="room_temperature_celsius", instance="i", job="s", room="1"}} {T_MS} 0 21.5"#
            ),
            format!(
                r#"{{__name__="room_temperature_celsius", instance="i", job="s", room="2"}} {T_MS} 0 -3.0"#
            ),
            format!(
                r#"{{__name__="requests_total", instance="i", job="s"}} {T_MS} {} 7.0"#,
                T_MS - 5
            ),
            format!(r#"{{__name__="queue", instance="i", job="s"}} {T_MS} 0 NaN"#),
        ]
    );
}

#[tokio::test]
async fn histograms_are_classic_native_or_custom() {
    let explicit = json!([{"name": "h", "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": T_NS, "count": 6, "sum": 9.5, "bucketCounts": [1, 2, 3], "explicitBounds": [0.5, 10],
         "exemplars": [
            {"timeUnixNano": T_NS - 1_000_000, "asDouble": 0.4, "traceId": "000000000000000000000000000000ab", "spanId": "0000000000000000"},
            {"asInt": 11, "filteredAttributes": attributes(&[("a", "b")])},
         ]},
    ]}}]);
    let series = |name: &str, value: &str| {
        format!(r#"{{__name__="{name}, instance="i", job="s"}} {T_MS} 0 {value}"#)
    };
    let bucket = |le: &str, value: &str| {
        format!(
            r#"{{__name__="h_seconds_bucket", instance="i", job="s", le="{le}"}} {T_MS} 0 {value}"#
        )
    };
    let classic = fixture(PushOptions::default(), OtlpConfig::default());
    assert_eq!(classic.json(&request(explicit.clone())).await.0, 200);
    let append = classic.appends().remove(0);
    assert_eq!(
        shown(&append),
        [
            series("h_seconds_sum\"", "9.5"),
            series("h_seconds_count\"", "6.0"),
            bucket("0.5", "1.0"),
            bucket("10", "3.0"),
            bucket("+Inf", "6.0"),
        ]
    );
    let exemplars: Vec<String> = append
        .exemplars
        .iter()
        .map(|e| {
            let le = e.series.labels.get("le").unwrap();
            format!("{le} {} {} {}", e.labels, e.timestamp_ms - T_MS, e.value)
        })
        .collect();
    assert_eq!(
        exemplars,
        [
            r#"0.5 {trace_id="000000000000000000000000000000ab"} -1 0.4"#,
            r#"+Inf {a="b"} 0 11"#
        ]
    );
    assert_eq!(append.metadata.len(), 1);
    assert_eq!(append.metadata[0].kind, MetricType::Histogram);
    assert_eq!(append.metadata[0].unit, "seconds");

    let config = OtlpConfig {
        convert_histograms_to_nhcb: true,
        ..OtlpConfig::default()
    };
    assert_eq!(
        stored_with(PushOptions::default(), config, explicit).await,
        [series("h_seconds\"", "Unknown count 6")]
    );

    let exponential = json!([{"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": T_NS, "count": 7, "sum": 9.5, "scale": 9, "zeroCount": 1,
         "positive": {"offset": -2, "bucketCounts": [1, 1, 2]}, "negative": {"bucketCounts": ["2"]}},
    ]}}]);
    let native = fixture(PushOptions::default(), OtlpConfig::default());
    assert_eq!(native.json(&request(exponential)).await.0, 200);
    let append = native.appends().remove(0);
    let SampleValue::Histogram(histogram) = &append.samples[0].value else {
        unreachable!()
    };
    assert_eq!((histogram.schema, histogram.zero_threshold), (8, 1e-128));
    assert_eq!(histogram.positive_buckets, [2.0, 2.0]);
    assert_eq!(histogram.positive_spans[0].offset, 0);
    assert_eq!(histogram.negative_spans[0].offset, 1);
}

#[tokio::test]
async fn summaries_are_stored() {
    let rows = stored(json!([{"name": "s", "summary": {"dataPoints": [
        {"timeUnixNano": T_NS, "count": 2, "sum": 3, "quantileValues": [{"quantile": 0.5, "value": 1}, {"quantile": 1}]},
    ]}}]))
    .await;
    assert_eq!(
        rows,
        [
            format!(r#"{{__name__="s_sum", instance="i", job="s"}} {T_MS} 0 3.0"#),
            format!(r#"{{__name__="s_count", instance="i", job="s"}} {T_MS} 0 2.0"#),
            format!(r#"{{__name__="s", instance="i", job="s", quantile="0.5"}} {T_MS} 0 1.0"#),
            format!(r#"{{__name__="s", instance="i", job="s", quantile="1"}} {T_MS} 0 0.0"#),
        ]
    );
}

fn gauge(name: &str, time_ns: u64) -> Value {
    json!({"name": name, "gauge": {"dataPoints": [{"timeUnixNano": time_ns, "asInt": 1}]}})
}

fn delta(time_ns: u64, value: i64) -> Value {
    json!({"name": "d", "sum": {"isMonotonic": true, "aggregationTemporality": 1, "dataPoints": [
        {"startTimeUnixNano": T_NS, "timeUnixNano": time_ns, "asInt": value},
    ]}})
}

#[tokio::test]
async fn target_info_covers_the_time_of_a_resource() {
    let resource = json!({"attributes": attributes(&[("service.name", "s"), ("host.name", "h"), ("host_name", "g")])});
    let minutes = |n: u64| T_NS + n * 60_000_000_000;
    let of_resource =
        |metrics: Value| json!({"resource": resource, "scopeMetrics": [{"metrics": metrics}]});
    let fixture = fixture(PushOptions::default(), OtlpConfig::default());
    // The second resource is the same one; what is there already is not written again.
    let body = json!({"resourceMetrics": [
        of_resource(json!([gauge("a", minutes(0)), gauge("b", minutes(6))])),
        of_resource(json!([gauge("c", minutes(6))])),
    ]});
    assert_eq!(fixture.json(&body).await.0, 200);
    let append = fixture.appends().remove(0);
    let times: Vec<i64> = append
        .samples
        .iter()
        .filter(|row| row.series.labels.metric_name() == "target_info")
        .map(|row| (row.timestamp_ms - T_MS) / 1000)
        .collect();
    assert_eq!(times, [0, 150, 300, 360]);
    let info = append
        .samples
        .iter()
        .find(|row| row.series.labels.metric_name() == "target_info");
    assert_eq!(
        info.unwrap().series.labels.to_string(),
        r#"{__name__="target_info", host_name="h;g", job="s"}"#
    );
    let collisions = &fixture.receiver.metrics().otlp_label_name_collisions;
    assert_eq!(collisions.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn deltas_are_refused_added_up_or_stored() {
    let refused = fixture(PushOptions::default(), OtlpConfig::default());
    let body = request(json!([gauge("g", T_NS), delta(T_NS + 1_000_000, 5)]));
    let (status, message) = refused.json(&body).await;
    assert_eq!(
        (status, message.as_str()),
        (
            400,
            "invalid temporality and type combination for metric \"d\"\n"
        )
    );
    assert!(refused.appends().is_empty());

    let with = |otlp_delta| {
        let options = PushOptions {
            otlp_delta,
            ..PushOptions::default()
        };
        fixture(options, OtlpConfig::default())
    };
    let added = with(OtlpDelta::ToCumulative);
    for (ms, value) in [(1, 5), (2, 6), (2, 6), (4, 1)] {
        let body = request(json!([delta(T_NS + ms * 1_000_000, value)]));
        assert_eq!(added.json(&body).await.0, 200);
    }
    let rows: Vec<String> = added.appends().iter().flat_map(shown).collect();
    let row = |ms: i64, value: &str| {
        format!(
            r#"{{__name__="d_total", instance="i", job="s"}} {} {T_MS} {value}"#,
            T_MS + ms
        )
    };
    assert_eq!(rows, [row(1, "5.0"), row(2, "11.0"), row(4, "12.0")]);

    let native = with(OtlpDelta::Native);
    for (ms, value) in [(1, 5), (2, 6)] {
        let body = request(json!([delta(T_NS + ms * 1_000_000, value)]));
        assert_eq!(native.json(&body).await.0, 200);
    }
    let appends = native.appends();
    assert_eq!(appends[0].metadata[0].kind, MetricType::Unknown);
    let rows: Vec<String> = appends.iter().flat_map(shown).collect();
    assert_eq!(rows, [row(1, "5.0"), row(2, "6.0")]);
}

#[tokio::test]
async fn delta_histograms_are_added_up_too() {
    let options = PushOptions {
        otlp_delta: OtlpDelta::ToCumulative,
        ..PushOptions::default()
    };
    let fixture = fixture(options, OtlpConfig::default());
    for ms in [1, 2] {
        let time = T_NS + ms * 1_000_000;
        let body = request(json!([
            {"name": "h", "histogram": {"aggregationTemporality": 1, "dataPoints": [
                {"timeUnixNano": time, "count": 3, "sum": 1, "bucketCounts": [1, 2], "explicitBounds": [1]}]}},
            {"name": "e", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [
                {"timeUnixNano": time, "count": 3, "scale": 3, "positive": {"offset": ms, "bucketCounts": [1, 2]}}]}},
        ]));
        assert_eq!(fixture.json(&body).await, (200, "{}".to_owned()));
    }
    let rows: Vec<String> = fixture.appends().iter().skip(1).flat_map(shown).collect();
    let values: Vec<&str> = rows
        .iter()
        .map(|row| row.split_once(" 0 ").unwrap().1)
        .collect();
    assert_eq!(
        values,
        ["2.0", "6.0", "2.0", "6.0", "NotCounterReset count 6"]
    );
}

#[tokio::test]
async fn a_request_is_stored_as_a_whole_or_not_at_all() {
    let fixture = fixture(PushOptions::default(), OtlpConfig::default());
    let number = |time_ns: u64, attributes: Value| {
        json!([gauge("good", T_NS), {"name": "x", "gauge": {"dataPoints": [
            {"timeUnixNano": time_ns, "asInt": 1, "attributes": attributes}]}}])
    };
    let far = T_NS + 10_u64.pow(18);
    let exponential = json!([{"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": T_NS, "scale": -5}]}}]);
    let histogram = json!([{"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": T_NS, "count": 3}]}}]);
    for (metrics, message) in [
        (
            number(far, json!([])),
            "out of bounds: timestamp is too far in the future for series {__name__=\"x\", instance=\"i\", job=\"s\"}",
        ),
        (
            number(0, json!([])),
            "out of bounds: a data point of metric \"x\" has no time",
        ),
        (
            number(T_NS, attributes(&[("", "v")])),
            "label name is empty",
        ),
        (
            number(T_NS, attributes(&[("__", "v")])),
            "normalization for label name \"__\" resulted in invalid name \"__\"",
        ),
        (
            json!([{"name": "x"}]),
            "could not get aggregation temporality for x as it has unsupported metric type Empty",
        ),
        (
            json!([gauge("", T_NS)]),
            "normalization for metric \"\" resulted in empty name",
        ),
        (
            json!([{"name": "x", "sum": {}}, {"name": "y", "sum": {}}]),
            "invalid temporality and type combination for metric \"x\"\ninvalid temporality and type combination for metric \"y\"",
        ),
        (
            exponential,
            "cannot convert exponential to native histogram. Scale must be >= -4, was -5",
        ),
        (
            histogram,
            "0 observations found in buckets, but the Count field is 3: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN) for series {__name__=\"e\", instance=\"i\", job=\"s\"}",
        ),
    ] {
        let (status, answer) = fixture.json(&request(metrics)).await;
        assert_eq!((status, answer.trim_end()), (400, message));
    }
    assert!(fixture.appends().is_empty());
    let many: Vec<Value> = (0..50).map(|n| json!({"name": format!("m{n}")})).collect();
    let (_, answer) = fixture.json(&request(json!(many))).await;
    assert_eq!(answer.lines().count(), 10);
}

#[tokio::test]
async fn types_encodings_and_the_switch_are_looked_at() {
    let off = fixture(
        PushOptions {
            otlp: false,
            ..PushOptions::default()
        },
        OtlpConfig::default(),
    );
    assert_eq!(
        off.json(&json!({})).await,
        (
            404,
            "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n".to_owned()
        )
    );
    let on = fixture(PushOptions::default(), OtlpConfig::default());
    assert_eq!(
        on.send("text/plain", "x").await,
        (400, "unsupported content type: text/plain, supported: [application/json, application/x-protobuf]\n".to_owned())
    );
    assert_eq!(
        on.send("application/x-protobuf", "").await,
        (200, String::new())
    );
    assert_eq!(
        on.send("application/x-protobuf", vec![0x0a, 5]).await,
        (400, "unexpected EOF\n".to_owned())
    );
    assert_eq!(
        on.send("application/json; charset=utf-8", "{}").await.0,
        200
    );
    assert_eq!(on.send("application/json", "{").await.0, 400);
    let encoded = |encoding: &str, body: Vec<u8>| {
        Request::post("/api/v1/otlp/v1/metrics")
            .header("content-type", "application/json")
            .header("content-encoding", encoding)
            .body(Body::from(body))
            .unwrap()
    };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(
        &mut gzip,
        request(json!([gauge("g", T_NS)])).to_string().as_bytes(),
    )
    .unwrap();
    let gzip = gzip.finish().unwrap();
    assert_eq!(on.answer(encoded("gzip", gzip)).await.0, 200);
    assert_eq!(on.appends().len(), 1);
    assert_eq!(
        on.answer(encoded("zstd", Vec::new())).await,
        (
            400,
            "unsupported compression: zstd. Only \"gzip\" or no compression supported\n".to_owned()
        )
    );
}

#[tokio::test]
async fn what_cannot_be_stored_is_told_apart() {
    let fixture = fixture(PushOptions::default(), OtlpConfig::default());
    *fixture.sink.error.lock().unwrap() = Some(varve_storage::Error::Closed { shard: 0 });
    let body = request(json!([gauge("g", T_NS)]));
    assert_eq!(fixture.json(&body).await.0, 503);
    assert_eq!(fixture.json(&body).await.0, 200);
}

#[tokio::test]
async fn the_configuration_may_change() {
    let fixture = fixture(PushOptions::default(), OtlpConfig::default());
    fixture.receiver.set_otlp_config(OtlpConfig {
        translation_strategy: TranslationStrategy::NoTranslation,
        promote_scope_metadata: true,
        ..OtlpConfig::default()
    });
    let metrics = json!([{"name": "a.b", "unit": "s", "gauge": {"dataPoints": [
        {"timeUnixNano": T_NS, "asInt": 1, "attributes": attributes(&[("x.y", "z")])}]}}]);
    assert_eq!(fixture.json(&request(metrics)).await.0, 200);
    assert_eq!(
        shown(&fixture.appends()[0]),
        [format!(
            r#"{{__name__="a.b", instance="i", job="s", otel_scope_name="lib", otel_scope_version="1", "x.y"="z"}} {T_MS} 0 1.0"#
        )]
    );
}

/// Long labels that many data points share take no more than the limit.
#[tokio::test]
async fn repeated_labels_are_bounded() {
    let config = OtlpConfig {
        promote_all_resource_attributes: true,
        ..OtlpConfig::default()
    };
    let fixture = fixture(PushOptions::default(), config);
    let points: Vec<Value> = (0..1000)
        .map(|n| json!({"timeUnixNano": T_NS, "attributes": attributes(&[("n", &n.to_string())])}))
        .collect();
    let body = json!({"resourceMetrics": [{
        "resource": {"attributes": attributes(&[("long", &"x".repeat(900_000))])},
        "scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": points}}]}],
    }]});
    let (status, message) = fixture.json(&body).await;
    assert_eq!(
        (status, message.as_str()),
        (
            400,
            "the request has more than 256 MiB of labels; send less at once\n"
        )
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let fixture = fixture(PushOptions::default(), OtlpConfig::default());
        read_any(&fixture.receiver, &bytes, false);
        // The same bytes where data points are.
        let mut body = bytes;
        for number in [1_u8, 5, 2, 2, 1] {
            let mut outer = vec![number << 3 | 2];
            let mut length = body.len();
            while length >= 0x80 {
                outer.push(length as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend(body);
            body = outer;
        }
        read_any(&fixture.receiver, &body, false);
    }
}
