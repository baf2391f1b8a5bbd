#![allow(clippy::unwrap_used)]
//! Requests as Telegraf makes them.

use std::io::Write;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use tower::ServiceExt;

use super::*;
use crate::push::tests::{MemorySink, shown};
use crate::push::{PushOptions, routes};

struct Fixture {
    sink: Arc<MemorySink>,
    receiver: Arc<PushReceiver>,
}

fn fixture(options: PushOptions) -> Fixture {
    let sink = Arc::new(MemorySink::default());
    let receiver = Arc::new(PushReceiver::new(sink.clone(), options));
    Fixture { sink, receiver }
}

impl Fixture {
    async fn answer(&self, request: Request<Body>) -> (u16, String) {
        let router = routes::router(self.receiver.clone());
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn post(&self, path: &str, body: &str) -> (u16, String) {
        let request = Request::post(path).body(Body::from(body.to_owned()));
        self.answer(request.unwrap()).await
    }

    fn rows(&self) -> Vec<String> {
        let appends = std::mem::take(&mut *self.sink.appends.lock().unwrap());
        appends.iter().flat_map(shown).collect()
    }
}

#[tokio::test]
async fn fields_become_series() {
    let fixture = fixture(PushOptions::default());
    let body = "cpu,host=a usage=1.5,up=true,text=\"x\",n=3i 1700000000123456789\n";
    assert_eq!(
        fixture.post("/write?db=telegraf&rp=x", body).await,
        (204, String::new())
    );
    let row = |name: &str, value: &str| {
        format!(r#"{{__name__="{name}", db="telegraf", host="a"}} 1700000000123 0 {value}"#)
    };
    assert_eq!(
        fixture.rows(),
        [
            row("cpu_usage", "1.5"),
            row("cpu_up", "1.0"),
            row("cpu_n", "3.0")
        ]
    );
    let body = ",db=own f=1 5\n cpu-x,a.b=c f.1=2 6\n";
    assert_eq!(
        fixture
            .post("/api/v2/write?bucket=b&org=o&precision=s", body)
            .await
            .0,
        204
    );
    assert_eq!(
        fixture.rows(),
        [
            r#"{__name__="f", db="own"} 5000 0 1.0"#,
            r#"{__name__="cpu-x_f.1", "a.b"="c"} 6000 0 2.0"#
        ]
    );
}

#[tokio::test]
async fn timestamps_have_a_unit() {
    let fixture = fixture(PushOptions::default());
    for (precision, written, ms) in [
        ("", "-1", -1),
        ("&precision=ns", "1999999", 1),
        ("&precision=n", "2000000", 2),
        ("&precision=u", "2000", 2),
        ("&precision=us", "2000", 2),
        ("&precision=ms", "2", 2),
        ("&precision=s", "2", 2000),
        ("&precision=m", "2", 120_000),
        ("&precision=h", "2", 7_200_000),
    ] {
        let answer = fixture
            .post(
                &format!("/write?db=d{precision}"),
                &format!("m f=1 {written}"),
            )
            .await;
        assert_eq!(answer.0, 204);
        assert_eq!(
            fixture.rows(),
            [format!(r#"{{__name__="m_f", db="d"}} {ms} 0 1.0"#)]
        );
    }
    assert_eq!(
        fixture.post("/write?precision=y", "m f=1").await,
        (
            400,
            "{\"error\":\"invalid precision \\\"y\\\" (use n, u, ms, s, m or h)\"}\n".to_owned()
        )
    );
    let far = fixture
        .post("/write?precision=h", "m f=1 9223372036854775807")
        .await;
    assert!(
        far.0 == 400 && far.1.contains("too far in the future"),
        "{}",
        far.1
    );
    // Without one it is now.
    let before = crate::push::routes::now_ms();
    assert_eq!(fixture.post("/write", "m f=1").await.0, 204);
    let appends = fixture.sink.appends.lock().unwrap();
    assert!(appends[0].samples[0].timestamp_ms >= before);
}

#[tokio::test]
async fn wrong_lines_are_told_and_the_others_stored() {
    let fixture = fixture(PushOptions::default());
    let body = "a f=1 1\n# comment\nb\nc f=x\nd f=2 1\n";
    assert_eq!(
        fixture.post("/write", body).await,
        (400, "{\"error\":\"partial write: line 3: missing fields; line 4: invalid value \\\"x\\\"\"}\n".to_owned())
    );
    assert_eq!(fixture.rows().len(), 2);
    let (status, message) = fixture.post("/api/v2/write", &"x\n".repeat(15)).await;
    assert_eq!(status, 400);
    assert!(
        message.starts_with(
            "{\"code\":\"invalid\",\"message\":\"unable to parse: line 1: missing fields; "
        ),
        "{message}"
    );
    assert!(message.contains("; and 5 more"), "{message}");
}

#[tokio::test]
async fn errors_are_json() {
    let fixture = fixture(PushOptions {
        body_bytes_max: 100,
        ..PushOptions::default()
    });
    let (status, message) = fixture.post("/write", &"x".repeat(200)).await;
    assert!(
        status == 413 && message.starts_with("{\"error\":"),
        "{message}"
    );
    let encoded = |encoding: &str, body: Vec<u8>| {
        Request::post("/api/v2/write")
            .header("content-encoding", encoding)
            .body(Body::from(body))
            .unwrap()
    };
    assert_eq!(fixture.answer(encoded("zstd", vec![])).await.0, 415);
    assert_eq!(fixture.answer(encoded("gzip", b"x".to_vec())).await.0, 400);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"m f=1 1").unwrap();
    let gzip = gzip.finish().unwrap();
    assert_eq!(fixture.answer(encoded("gzip", gzip)).await.0, 204);
    *fixture.sink.error.lock().unwrap() = Some(varve_storage::Error::Closed { shard: 0 });
    let (status, message) = fixture.post("/api/v2/write", "m f=1 1").await;
    assert!(
        status == 500 && message.starts_with("{\"code\":\"internal error\""),
        "{message}"
    );
}

#[tokio::test]
async fn clients_find_what_they_ask_for_first() {
    let on = fixture(PushOptions::default());
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(on.answer(get("/ping")).await, (204, String::new()));
    assert!(
        on.answer(get("/health"))
            .await
            .1
            .contains("\"status\":\"pass\"")
    );
    let (status, body) = on.post("/query", "q=CREATE+DATABASE+%22telegraf%22").await;
    assert_eq!(
        (status, body.as_str()),
        (200, "{\"results\":[{\"statement_id\":0}]}\n")
    );
    let off = fixture(PushOptions {
        influx: false,
        ..PushOptions::default()
    });
    assert_eq!(off.answer(get("/ping")).await.0, 404);
    assert_eq!(off.post("/write", "m f=1").await.0, 404);
    assert_eq!(read_any(&on.receiver, b"m f=1,g=2\nx"), 2);
}
