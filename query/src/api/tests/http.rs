//! Methods, paths, headers, forms, and the life of a request.

use super::*;

#[tokio::test]
async fn parameters_reach_the_backend() {
    let site = Site::start().await;
    site.get("/api/v1/query?query=up&time=1.5&timeout=1h&lookback_delta=90s&limit=7")
        .await;
    assert_eq!(
        site.last_asked(),
        "instant up 1500 QueryOptions { lookback_ms: Some(90000), timeout: Some(120s), limit: Some(8) }"
    );
    // A form's values go before the URL's.
    let body = "query=up&start=1&end=31&step=15&timeout=5";
    let headers = format!(
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let request =
        "POST /api/v1/query_range?step=1&query=none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    assert_eq!(site.send(&format!("{request}{headers}")).await.status, 200);
    assert_eq!(
        site.last_asked(),
        "range up TimeGrid { start_ms: 1000, end_ms: 31000, step_ms: 15000 } \
         QueryOptions { lookback_ms: None, timeout: Some(5s), limit: None }"
    );
    site.get("/api/v1/label/U__a_2e_b/values?match[]=up&match[]=down&start=1&end=2&limit=3")
        .await;
    let asked = site.last_asked();
    assert!(
        asked.starts_with("values a.b LabelQuery { matchers: [[Matcher {"),
        "{asked}"
    );
    assert!(
        asked.contains("\"up\"") && asked.contains("\"down\""),
        "{asked}"
    );
    assert!(
        asked.ends_with("start_ms: 1000, end_ms: 2000, limit: Some(4) }"),
        "{asked}"
    );
    site.get("/api/v1/labels").await;
    assert_eq!(
        site.last_asked(),
        "names LabelQuery { matchers: [], start_ms: -9223309901257974000, \
         end_ms: 9223309901257974999, limit: None }"
    );
}

#[tokio::test]
async fn an_answer_says_what_it_cost() {
    let site = Site::start().await;
    let answer = site.get("/api/v1/query?query=none&stats=true").await;
    assert_eq!(answer.header("x-varve-requests"), Some("7"));
    assert_eq!(answer.header("x-varve-bytes-read"), Some("4096"));
    assert_eq!(answer.header("x-varve-samples"), Some("30"));
    assert!(
        answer
            .header("server-timing")
            .unwrap()
            .starts_with("total;dur=")
    );
    assert_eq!(
        answer.body,
        concat!(
            r#"{"status":"success","data":{"resultType":"vector","result":[],"#,
            r#""stats":{"timings":{"evalTotalTime":0,"resultSortTime":0,"queryPreparationTime":0,"innerEvalTime":0,"#,
            r#""execQueueTime":0,"execTotalTime":0},"samples":{"totalQueryableSamples":30,"samplesRead":30,"peakSamples":30},"#,
            r#""storage":{"requests":7,"listRequests":0,"bytesRead":4096,"rowsScanned":0,"seriesSelected":0,"#,
            r#""seriesReturned":0,"cpuTime":0,"peakMemoryBytes":0}}}}"#
        )
    );
    let answer = site.get("/api/v1/query?query=none&stats=1").await;
    assert!(answer.body.ends_with(
        r#","warnings":["value \"1\" for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\""]}"#
    ), "{}", answer.body);
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_as_go_does() {
    let site = Site::start().await;
    for path in ["/nope", "/api/v1/nope"] {
        let answer = site.get(path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (404, "404 page not found\n")
        );
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
    }
    for (method, path, allowed) in [
        ("DELETE", "/api/v1/query", "GET, OPTIONS, POST"),
        ("PUT", "/api/v1/series", "GET, OPTIONS, POST"),
        ("POST", "/api/v1/label/job/values", "GET, OPTIONS"),
        ("POST", "/metrics", "GET, OPTIONS"),
        ("POST", "/-/healthy", "GET, HEAD, OPTIONS"),
        ("DELETE", "/-/reload", "GET, OPTIONS, POST, PUT"),
    ] {
        let answer = site.request(method, path, "Origin: http://a\r\n").await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (405, "Method Not Allowed\n"),
            "{path}"
        );
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let answer = site.get("/-/reload").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.body, "Only POST or PUT requests allowed");
    assert_eq!(answer.header("allow"), None);
    for (path, status) in [("/api/v1/query?query=up", 405), ("/-/healthy", 200)] {
        let answer = site.request("HEAD", path, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (status, ""));
    }
    let answer = site.request("OPTIONS", "/-/healthy", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
}

#[tokio::test]
async fn paths_are_cleaned_by_redirects() {
    let site = Site::start().await;
    let answer = site.get("//api/v1/../v1/query?query=up&time=1").await;
    assert_eq!(answer.status, 301);
    let clean = "/api/v1/query?query=up&time=1";
    assert_eq!(answer.header("location"), Some(clean));
    assert_eq!(
        answer.body,
        "<a href=\"/api/v1/query?query=up&amp;time=1\">Moved Permanently</a>.\n\n"
    );
    let answer = site.request("POST", "//api/v1/query", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (301, ""));
    let answer = site.get("/api/v1/label/%zz/values").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (400, "400 Bad Request")
    );
}

#[tokio::test]
async fn only_forms_are_read_from_a_body() {
    let site = Site::start().await;
    for (content_type, asked) in [
        ("application/x-www-form-urlencoded", "none"),
        ("Application/X-WWW-Form-URLencoded; charset=utf-8", "none"),
        ("application/x-www-form-urlencodedx", "up"),
        ("text/plain", "up"),
    ] {
        let body = "query=none&broken=%zz&a;b";
        let length = body.len();
        let request = format!(
            "POST /api/v1/query?query=up&time=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        assert_eq!(site.send(&request).await.status, 200);
        let expected = format!("instant {asked} 1000 ");
        assert!(site.last_asked().starts_with(&expected), "{content_type}");
    }
}

#[tokio::test]
async fn the_life_cycle_is_off_unless_enabled() {
    let site = Site::start().await;
    for path in ["/-/reload", "/-/quit"] {
        let answer = site.request("POST", path, "").await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (403, "Lifecycle API is not enabled.")
        );
    }
    let site = Site::with(|options| options.lifecycle = true).await;
    let answer = site.request("PUT", "/-/reload", "").await;
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.body,
        "failed to reload config: prometheus.yml:3:5: unknown field\n"
    );
    assert_eq!(site.request("POST", "/-/quit", "").await.status, 200);
    assert!(site.process.quit.load(Ordering::SeqCst));
}

#[tokio::test]
async fn nothing_is_answered_before_the_process_is_ready() {
    let site = Site::start().await;
    assert_eq!(site.get("/-/ready").await.body, "Varve is Ready.\n");
    site.process.starting.store(true, Ordering::SeqCst);
    assert_eq!(site.get("/-/healthy").await.status, 200);
    for path in ["/-/ready", "/api/v1/query?query=up"] {
        let answer = site.get(path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (503, "Service Unavailable")
        );
    }
}

#[tokio::test]
async fn a_browser_may_call_from_allowed_origins() {
    let site = Site::start().await;
    let answer = site
        .request("OPTIONS", "/api/v1/query", "Origin: http://a\r\n")
        .await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://a")
    );
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("GET, POST, OPTIONS")
    );
    assert!(answer.head.to_lowercase().contains("vary: origin"));

    let pattern = "https?://(a|b)\\.example";
    let site = Site::with(|options| options.cors_origin = CorsOrigin::new(pattern).unwrap()).await;
    for (origin, allowed) in [
        ("http://a.example", Some("http://a.example")),
        ("http://a.example.org", None),
    ] {
        let headers = format!("Origin: {origin}\r\n");
        let answer = site.request("GET", "/api/v1/labels", &headers).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_code() {
    let site = Site::start().await;
    site.get("/api/v1/label/job/values").await;
    site.get("/api/v1/label/other/values").await;
    site.get("/api/v1/query?query=bad").await;
    site.get("/nope").await;
    let counts = site.metrics.snapshot();
    let counts = counts
        .iter()
        .map(|h| (h.handler.as_str(), h.codes.as_slice()));
    assert_eq!(
        counts.collect::<Vec<_>>(),
        [
            ("/api/v1/label/{name}/values", [(200, 2)].as_slice()),
            ("/api/v1/query", &[(400, 1)]),
            ("other", &[(404, 1)]),
        ]
    );
    let metrics = site.get("/metrics").await;
    assert_eq!(metrics.body, "varve_test 1\n");
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
    );
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_query() {
    let site = Site::start().await;
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream
        .write_all(b"GET /api/v1/query?query=slow HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    while site.backend.asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(stream);
    while !site.backend.dropped.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while site.metrics.in_flight() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn queries_above_the_limit_wait_for_their_turn() {
    let site = Site::with(|options| options.query_concurrency = 1).await;
    let mut running = TcpStream::connect(site.address).await.unwrap();
    running
        .write_all(b"GET /api/v1/query?query=slow HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    while site.backend.asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let waiting = site.get("/api/v1/query?query=up&timeout=20ms").await;
    assert_eq!(
        waiting.body,
        r#"{"status":"error","errorType":"timeout","error":"query timed out in query queue"}"#
    );
    drop(running);
    assert_eq!(site.get("/api/v1/query?query=up").await.status, 200);
}

#[tokio::test]
async fn an_answer_is_compressed_for_who_asks() {
    let site = Site::start().await;
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream
        .write_all(b"GET /api/v1/query?query=up HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n")
        .await
        .unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    assert!(text.contains("content-encoding: gzip"), "{text}");
    assert!(
        text.contains("vary: accept-encoding") || text.contains("vary: origin, accept-encoding")
    );
}

#[tokio::test]
async fn the_landing_page_works_offline() {
    let page = Site::start().await.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("api/v1/query"));
    // No script, style or font from elsewhere.
    assert!(!page.body.contains("src=") && !page.body.contains("http"));
}
