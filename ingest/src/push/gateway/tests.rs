#![allow(clippy::unwrap_used)]
//! Pushes through the HTTP side, over an archive in memory.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use object_store::memory::InMemory;
use proptest::prelude::*;
use tower::ServiceExt;
use varve_storage::is_stale_nan;

use super::*;
use crate::push::PushOptions;
use crate::push::tests::MemorySink;

struct Fixture {
    sink: Arc<MemorySink>,
    objects: Arc<InMemory>,
    gateway: Arc<PushGateway>,
}

async fn fixture(objects: Arc<InMemory>, options: GatewayOptions) -> Fixture {
    let sink = Arc::new(MemorySink::default());
    let receiver = Arc::new(PushReceiver::new(sink.clone(), PushOptions::default()));
    let gateway = PushGateway::open(receiver, objects.clone(), TenantKeys::default(), options);
    let gateway = Arc::new(gateway.await.unwrap());
    Fixture {
        sink,
        objects,
        gateway,
    }
}

async fn new() -> Fixture {
    fixture(Arc::new(InMemory::new()), GatewayOptions::default()).await
}

impl Fixture {
    async fn answer(&self, request: Request<Body>) -> (u16, String) {
        let router = router(self.gateway.clone());
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path);
        self.answer(request.body(Body::from(body.to_owned())).unwrap())
            .await
    }

    async fn ok(&self, method: &str, path: &str, body: &str) {
        assert_eq!(self.send(method, path, body).await.0, 200);
    }

    /// Series and values that were stored since the last call, without those of the gateway itself.
    fn rows(&self) -> Vec<String> {
        let all = self.all_rows();
        let own = all.into_iter().filter(|row| !row.contains("push_"));
        own.collect()
    }

    fn all_rows(&self) -> Vec<String> {
        let appends = std::mem::take(&mut *self.sink.appends.lock().unwrap());
        let rows = appends.iter().flat_map(|append| &append.samples);
        rows.map(|row| {
            let labels = &row.series.labels;
            match row.value.float() {
                Some(value) if is_stale_nan(value) => format!("{labels} stale"),
                Some(value) => format!("{labels} {value}"),
                None => format!("{labels} histogram"),
            }
        })
        .collect()
    }

    async fn objects(&self) -> usize {
        let folder = TenantKeys::default().push_groups();
        let listed = self.objects.list_with_delimiter(Some(&folder)).await;
        listed.unwrap().objects.len()
    }
}

#[tokio::test]
async fn a_push_is_stored_with_the_labels_of_its_group() {
    let fixture = new().await;
    let body = "# TYPE some_metric counter\nsome_metric{label=\"val1\",job=\"own\"} 42\nother 1\n";
    fixture
        .ok("POST", "/metrics/job/some_job/instance/i", body)
        .await;
    let rows = fixture.all_rows();
    let (own, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.contains("push_"));
    assert_eq!(
        others,
        [
            r#"{__name__="other", instance="i", job="some_job"} 1"#,
            r#"{__name__="some_metric", instance="i", job="some_job", label="val1"} 42"#,
        ]
    );
    assert_eq!(own.len(), 2);
    assert_eq!(
        own[1],
        r#"{__name__="push_failure_time_seconds", instance="i", job="some_job"} 0"#
    );
    let seconds = own[0].rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
    assert!((seconds * 1000.0 - now_ms() as f64).abs() < 60_000.0);
    // An empty label of the path takes the body's away.
    fixture
        .ok("PUT", "/metrics/job/j/x@base64/=", "m{x=\"1\"} 1\n")
        .await;
    assert_eq!(fixture.rows(), [r#"{__name__="m", job="j"} 1"#]);
}

#[tokio::test]
async fn post_adds_families_and_put_replaces_all() {
    let fixture = new().await;
    let path = "/metrics/job/j";
    let series = |name: &str, value: &str| format!(r#"{{__name__="{name}", job="j"}} {value}"#);
    let histogram = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    fixture
        .ok(
            "POST",
            path,
            &format!("a{{n=\"1\"}} 1\na 1\nb 1\n{histogram}"),
        )
        .await;
    assert_eq!(fixture.rows().len(), 6);
    // Of `a` one series goes, of `h` all but one; `b` stays.
    fixture
        .ok("POST", path, "a 2\n# TYPE h histogram\nh_count 5\n")
        .await;
    assert_eq!(
        fixture.rows(),
        [
            series("a", "2"),
            series("b", "1"),
            series("h_count", "5"),
            r#"{__name__="a", job="j", n="1"} stale"#.to_owned(),
            r#"{__name__="h_bucket", job="j", le="+Inf"} stale"#.to_owned(),
            series("h_sum", "stale"),
        ]
    );
    fixture.ok("PUT", path, "c 3\n").await;
    assert_eq!(
        fixture.rows(),
        [
            series("c", "3"),
            series("a", "stale"),
            series("b", "stale"),
            series("h_count", "stale"),
        ]
    );
    // Nothing at all: only the time changes.
    fixture.ok("POST", path, "").await;
    assert_eq!(fixture.rows(), [series("c", "3")]);
    fixture.ok("PUT", path, "").await;
    assert_eq!(fixture.rows(), [series("c", "stale")]);
}

#[tokio::test]
async fn groups_are_repeated_until_they_are_deleted() {
    let fixture = new().await;
    fixture.ok("PUT", "/metrics/job/j", "a 1\n").await;
    fixture.ok("PUT", "/metrics/job/j/x/y", "a 2\n").await;
    fixture.rows();
    let one = r#"{__name__="a", job="j"} 1"#;
    let two = r#"{__name__="a", job="j", x="y"} 2"#;
    for minutes in 1..3 {
        fixture.gateway.repeat(now_ms() + minutes * 60_000).await;
        let mut rows = fixture.rows();
        rows.sort();
        assert_eq!(rows, [two, one]);
    }
    assert_eq!(fixture.objects().await, 2);
    // Markers are later than what was repeated ahead of the clock.
    let repeated_ms = now_ms() + 2 * 60_000;
    assert_eq!(fixture.send("DELETE", "/metrics/job/j", "").await.0, 202);
    let markers = fixture.sink.appends.lock().unwrap()[0].samples.clone();
    assert!(
        markers
            .iter()
            .all(|row| row.timestamp_ms >= repeated_ms - 10_000)
    );
    assert_eq!(fixture.all_rows().len(), 3);
    assert_eq!((fixture.objects().await, fixture.gateway.groups()), (1, 1));
    fixture.gateway.repeat(now_ms() + 180_000).await;
    assert_eq!(fixture.rows(), [two]);
    // What is not there can be deleted, too.
    assert_eq!(fixture.send("DELETE", "/metrics/job/none", "").await.0, 202);
    assert!(fixture.rows().is_empty());
}

#[tokio::test]
async fn groups_survive_a_restart_and_expire() {
    let first = new().await;
    let body = "# TYPE a gauge\n# HELP a Help.\na 1.5\nb NaN\nc +Inf\n";
    first.ok("PUT", "/metrics/job/j", body).await;
    let path = TenantKeys::default().push_group("bad");
    object_store::ObjectStoreExt::put(first.objects.as_ref(), &path, "{}".into())
        .await
        .unwrap();
    let second = fixture(first.objects.clone(), GatewayOptions::default()).await;
    assert_eq!(second.gateway.groups(), 1);
    second.gateway.repeat(now_ms()).await;
    let mut again = second.rows();
    again.sort();
    let mut rows = first.rows();
    rows.sort();
    assert_eq!(again, rows);
    let week_ms = 7 * 24 * 3_600_000;
    second.gateway.repeat(now_ms() + week_ms - 60_000).await;
    second.rows();
    second.gateway.repeat(now_ms() + week_ms + 60_000).await;
    let rows = second.all_rows();
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row.ends_with("stale")));
    assert_eq!((second.objects().await, second.gateway.groups()), (1, 0));
}

#[tokio::test]
async fn bodies_that_cannot_be_pushed_are_told_apart() {
    let fixture = new().await;
    let path = "/metrics/job/j";
    fixture.ok("PUT", path, "a 1\n").await;
    fixture.rows();
    let (status, message) = fixture.send("PUT", path, "a 1 1700000000000\n").await;
    assert_eq!(
        (status, message.as_str()),
        (
            400,
            "pushed metrics are invalid or inconsistent with existing metrics: pushed metrics must not have timestamps\n"
        )
    );
    // The group stays, and has the time of the failure.
    let rows = fixture.all_rows();
    assert_eq!(rows[0], r#"{__name__="a", job="j"} 1"#);
    assert!(rows[2].starts_with(r#"{__name__="push_failure_time_seconds", job="j"} 1"#));
    for (body, reason) in [
        ("a{x=\"1\",x=\"2\"} 1\n", "label name \"x\" is not unique"),
        (
            "a 1\na 2\n",
            "collected metric {__name__=\"a\", job=\"j\"} was collected before with the same name and label values",
        ),
        (
            "a{job=\"1\"} 1\na{job=\"2\"} 2\n",
            "collected metric {__name__=\"a\", job=\"j\"} was collected before with the same name and label values",
        ),
    ] {
        let (status, message) = fixture.send("POST", path, body).await;
        assert_eq!(status, 400);
        assert!(message.contains(reason), "{message}");
    }
    assert_eq!(fixture.send("POST", path, "a b\n").await.0, 400);
    assert_eq!(
        fixture.send("POST", "/metrics/job/j/x", "a 1\n").await.0,
        400
    );
    assert_eq!(fixture.send("GET", path, "").await.0, 405);
    // The failure of a group that is not there makes one.
    assert_eq!(
        fixture.send("POST", "/metrics/job/new", "a 1 1\n").await.0,
        400
    );
    assert_eq!(fixture.gateway.groups(), 2);
}

#[tokio::test]
async fn bodies_may_be_compressed_and_in_other_formats() {
    let fixture = new().await;
    let request = |encoding: &str, kind: &str, body: Vec<u8>| {
        Request::post("/metrics/job/j")
            .header("content-encoding", encoding)
            .header("content-type", kind)
            .body(Body::from(body))
            .unwrap()
    };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"a 1\n").unwrap();
    let mut frames = snap::write::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut frames, b"a 2\n").unwrap();
    let (gzip, frames) = (gzip.finish().unwrap(), frames.into_inner().unwrap());
    let form = "application/x-www-form-urlencoded";
    assert_eq!(fixture.answer(request("gzip", form, gzip)).await.0, 200);
    assert_eq!(fixture.answer(request("snappy", form, frames)).await.0, 200);
    assert_eq!(fixture.answer(request("br", form, vec![])).await.0, 415);
    assert_eq!(
        fixture.answer(request("gzip", form, b"x".to_vec())).await.0,
        400
    );
    fixture.rows();
    let open = b"# TYPE c counter\nc_total 5\n# EOF\n".to_vec();
    let kind = "application/openmetrics-text; version=1.0.0";
    assert_eq!(fixture.answer(request("", kind, open)).await.0, 200);
    assert_eq!(
        fixture.rows(),
        [
            r#"{__name__="a", job="j"} 2"#,
            r#"{__name__="c_total", job="j"} 5"#
        ]
    );
}

#[tokio::test]
async fn what_is_not_stored_is_not_acknowledged() {
    let fixture = new().await;
    fixture.ok("PUT", "/metrics/job/j", "a 1\n").await;
    fixture.rows();
    let fail =
        || *fixture.sink.error.lock().unwrap() = Some(varve_storage::Error::Closed { shard: 0 });
    fail();
    assert_eq!(fixture.send("PUT", "/metrics/job/j", "a 2\n").await.0, 500);
    fail();
    assert_eq!(fixture.send("DELETE", "/metrics/job/j", "").await.0, 500);
    fixture.gateway.repeat(now_ms()).await;
    assert_eq!(fixture.rows(), [r#"{__name__="a", job="j"} 1"#]);
    assert_eq!(fixture.send("DELETE", "/metrics/job/j", "").await.0, 202);
    assert_eq!(
        (fixture.objects().await, fixture.gateway.lock().bytes),
        (0, 0)
    );
}

#[tokio::test]
async fn groups_and_bytes_are_bounded() {
    let options = GatewayOptions {
        groups_max: 2,
        bytes_max: 1000,
        ..GatewayOptions::default()
    };
    let fixture = fixture(Arc::new(InMemory::new()), options).await;
    fixture.ok("PUT", "/metrics/job/a", "a 1\n").await;
    let long = format!("a{{x=\"{}\"}} 1\n", "x".repeat(2000));
    assert_eq!(fixture.send("PUT", "/metrics/job/b", &long).await.0, 507);
    assert_eq!(fixture.gateway.groups(), 1);
    fixture.ok("PUT", "/metrics/job/b", "a 1\n").await;
    assert_eq!(fixture.send("PUT", "/metrics/job/c", "a 1\n").await.0, 507);
    assert_eq!(fixture.send("DELETE", "/metrics/job/a", "").await.0, 202);
    fixture.ok("PUT", "/metrics/job/c", "a 1\n").await;
}

#[test]
fn native_histograms_are_kept_too() {
    let receiver = PushReceiver::new(Arc::new(MemorySink::default()), PushOptions::default());
    let mut builder = receiver.request(0);
    let series = builder.series(&[(b"__name__", b"h")]).unwrap();
    let histogram = FloatHistogram {
        count: 2.0,
        zero_count: 2.0,
        sum: 1.0,
        ..FloatHistogram::default()
    };
    let mut group = Group::default();
    let family = families::Family {
        samples: vec![(series, SampleValue::Histogram(Arc::new(histogram)))],
        ..families::Family::default()
    };
    group.families.insert("h".to_owned(), family);
    let again = Group::from_json(&group.to_json().unwrap(), &mut builder).unwrap();
    let values = |group: &Group| group.families["h"].samples[0].1.clone();
    assert_eq!(values(&again), values(&group));
}

proptest! {
    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..100), text in "[a-c{}=\", 0-9.\n#TYPE]{0,60}") {
        let receiver = PushReceiver::new(Arc::new(MemorySink::default()), PushOptions::default());
        for format in [Format::Text, Format::OpenMetrics] {
            read_any(&receiver, "job/j/a/b", &body, format);
            read_any(&receiver, "job/j/a/b", text.as_bytes(), format);
        }
        let _ = Group::from_json(&body, &mut receiver.request(0));
    }
}
