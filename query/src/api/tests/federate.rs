//! Federation over HTTP.

use varve_storage::stale_nan;

use super::*;

/// Series with samples so many milliseconds ago.
fn archive(now_ms: i64) -> MemoryArchive {
    let named = |name: &str, job: &str| Labels::from_pairs([("__name__", name), ("job", job)]);
    let ago = |samples: &[(i64, f64)]| samples.iter().map(|(t, v)| (now_ms - t, *v)).collect();
    MemoryArchive::new([
        (named("m2", "a"), ago(&[(60_000, 1.0), (1_000, 2.5)])),
        (named("m1", "b"), ago(&[(200_000, 3.0)])),
        (named("m1", "a"), ago(&[(100_000, 4.0)])),
        (
            named("stale", "a"),
            ago(&[(2_000, 4.0), (1_000, stale_nan())]),
        ),
        (named("old", "a"), ago(&[(310_000, 1.0)])),
        (named("later", "a"), ago(&[(-60_000, 1.0)])),
    ])
}

#[tokio::test]
async fn the_newest_samples_are_served() {
    let now_ms = now_ms();
    let site = Site::over(archive(now_ms), |_| {}).await;
    *site.process.external_labels.lock().unwrap() = Labels::from_pairs([("zone", "z")]);
    let m1 = format!(
        "# TYPE m1 untyped\nm1{{job=\"a\",instance=\"\",zone=\"z\"}} 4 {}\nm1{{job=\"b\",instance=\"\",zone=\"z\"}} 3 {}\n",
        now_ms - 100_000,
        now_ms - 200_000
    );
    let m2 = format!(
        "# TYPE m2 untyped\nm2{{job=\"a\",instance=\"\",zone=\"z\"}} 2.5 {}\n",
        now_ms - 1_000
    );
    for (query, expected) in [
        (String::new(), String::new()),
        ("?match[]={}".to_owned(), String::new()),
        ("?match[]=other".to_owned(), String::new()),
        ("?match[]=m1".to_owned(), m1.clone()),
        (
            "?match[]={job=%22a%22}&match[]=m1".to_owned(),
            m1.clone() + &m2,
        ),
        (
            "?match[]={__name__=~%22.%2b%22,zone=%22%22}".to_owned(),
            m1 + &m2,
        ),
    ] {
        let answer = site.get(&format!("/federate{query}")).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, expected.as_str()),
            "{query}"
        );
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
        );
    }
}

#[tokio::test]
async fn the_look_back_is_the_servers() {
    let now_ms = now_ms();
    let site = Site::over(archive(now_ms), |options| {
        options.lookback = Duration::from_secs(600);
    });
    let answer = site.await.get("/federate?match[]=old").await;
    let expected = format!(
        "# TYPE old untyped\nold{{job=\"a\",instance=\"\"}} 1 {}\n",
        now_ms - 310_000
    );
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn a_client_chooses_the_format() {
    let site = Site::over(archive(now_ms()), |_| {}).await;
    let accept = "Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=values\r\n";
    let request = format!("GET /federate?match[]=m2 HTTP/1.0\r\nHost: x\r\n{accept}\r\n");
    let (answer, body) = site.exchange(request.as_bytes()).await;
    assert_eq!(
        answer.header("content-type"),
        Some(
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=values"
        )
    );
    assert!(body.starts_with(b"\x32\x0a\x02m2\x18\x03"), "{body:?}");
}

#[tokio::test]
async fn wrong_requests_are_refused_as_text() {
    let site = Site::over(archive(now_ms()), |_| {}).await;
    for (path, status, body) in [
        (
            "/federate?match[]=-a",
            400,
            "1:1: parse error: unexpected <op:->\n",
        ),
        (
            "/federate?match[]=not-valid",
            400,
            "1:4: parse error: unexpected <op:->\n",
        ),
        (
            "/federate?a=%zz",
            400,
            "error parsing form values: invalid URL escape \"%zz\"\n",
        ),
    ] {
        let answer = site.get(path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, body),
            "{path}"
        );
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    let answer = site.request("POST", "/federate", "").await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, Some("GET, OPTIONS"))
    );
    site.process.starting.store(true, Ordering::SeqCst);
    assert_eq!(site.get("/federate?match[]=m1").await.status, 503);
}
