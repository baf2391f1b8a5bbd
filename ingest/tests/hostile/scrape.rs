//! Targets that mean harm.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use varve_ingest::{Config, SampleSink, ScrapeManager, ScrapeOptions};
use varve_storage::wal::Append;

use crate::target::{Answer, Target, chunk, chunked, ok, sized};
use crate::{check_memory, gzip};

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps floats by their metric, the newest last.
#[derive(Default)]
struct Sink {
    samples: Mutex<Vec<(String, f64)>>,
}

impl SampleSink for Sink {
    fn append(&self, append: Append) -> BoxFuture<'_, varve_storage::Result<()>> {
        let samples = append.samples.iter().filter_map(|row| {
            let name = row.series.labels.metric_name().to_owned();
            Some((name, row.value.float()?))
        });
        self.samples.lock().unwrap().extend(samples);
        Box::pin(async { Ok(()) })
    }
}

struct Fixture {
    target: Target,
    sink: Arc<Sink>,
    manager: ScrapeManager,
}

impl Fixture {
    /// A job with these fields, and a target that is well and was scraped.
    async fn start(interval: &str, fields: &str) -> Self {
        let target = Target::start().await;
        target.say(ok("", b"good 1\n"));
        let sink = Arc::new(Sink::default());
        let options = ScrapeOptions {
            spread: false,
            ..ScrapeOptions::default()
        };
        let text = format!(
            "global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\nscrape_configs: [{{job_name: j, static_configs: [{{targets: ['{}']}}]{fields}}}]",
            target.address
        );
        let config = Config::parse(&text, Path::new("")).unwrap();
        let manager = ScrapeManager::new(sink.clone(), options);
        manager.apply(&config).await.unwrap();
        let fixture = Self {
            target,
            sink,
            manager,
        };
        fixture.wait("good", 1.0).await;
        fixture
    }

    async fn wait(&self, metric: &str, value: f64) {
        let wait = async {
            loop {
                let found = |(name, v): &(String, f64)| name == metric && *v == value;
                if self.sink.samples.lock().unwrap().iter().any(found) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "no {metric} {value}; {}", self.last_error());
    }

    fn last_error(&self) -> String {
        let targets = self.manager.targets();
        targets.active[0].last_error.clone()
    }

    /// The answer must fail a scrape for this reason, and the next good answer must be stored by the same loop.
    async fn refuses(&self, answer: Answer, reason: &str) {
        self.target.say(answer);
        let wait = async {
            while !self.last_error().contains(reason) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{reason:?}, but {:?}", self.last_error());
        self.wait("up", 0.0).await;
        self.sink.samples.lock().unwrap().clear();
        self.target.say(ok("", b"good 2\n"));
        self.wait("good", 2.0).await;
        self.wait("up", 1.0).await;
        self.sink.samples.lock().unwrap().clear();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_too_large() {
    let fixture = Fixture::start("1s", ", body_size_limit: 1MB").await;
    let reason = "body size limit exceeded";
    let comments = "# comment\n".repeat(10_000).into_bytes();
    let gzipped = "Content-Encoding: gzip\r\n";
    let bomb = gzip(&vec![b'\n'; 100 << 20]);
    assert!(bomb.len() < 1 << 20);
    for answer in [
        ok(gzipped, &bomb),
        ok("", &comments.repeat(20)),
        Answer::Endless(chunked(""), chunk(&comments)),
        Answer::Endless(chunked(gzipped), chunk(&gzip(&comments))),
    ] {
        fixture.refuses(answer, reason).await;
    }
    fixture.manager.shutdown().await;
    check_memory();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_too_large_even_without_a_limit() {
    let fixture = Fixture::start("8s", "").await;
    let bomb = gzip(&vec![b'\n'; 300 << 20]);
    let answer = ok("Content-Encoding: gzip\r\n", &bomb);
    fixture.refuses(answer, "body size limit exceeded").await;
    fixture.manager.shutdown().await;
    check_memory();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_take_too_long() {
    let fixture = Fixture::start("300ms", "").await;
    let head = b"HTTP/1.1 200 OK\r\n".to_vec();
    for answer in [
        Answer::Silence,
        Answer::Drip(chunked(""), chunk(b"#")),
        // Headers that come one by one.
        Answer::Drip(head, b"X-Slow: yes\r\n".to_vec()),
        Answer::Drip(chunked("Content-Encoding: gzip\r\n"), chunk(&gzip(b"#"))),
    ] {
        fixture.refuses(answer, "").await;
    }
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_bombs() {
    let fixture = Fixture::start("1s", "").await;
    let many: String = (0..100_000).map(|i| format!("X-{i}: y\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "x".repeat(10 << 20));
    let head = b"HTTP/1.1 200 OK\r\n".to_vec();
    for answer in [
        ok(&many, b"a 1\n"),
        ok(&long, b"a 1\n"),
        Answer::Endless(head.clone(), b"X-Again: and again\r\n".to_vec()),
        Answer::Endless(head, b"x".repeat(1000)),
        Answer::Bytes(Arc::new(
            b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n".to_vec(),
        )),
        Answer::Bytes(Arc::new(Vec::new())),
    ] {
        fixture.refuses(answer, "Get ").await;
    }
    fixture.manager.shutdown().await;
    check_memory();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lengths_that_are_wrong() {
    let fixture = Fixture::start("1s", "").await;
    // More is announced than comes.
    fixture.refuses(sized("", 100, b"a 1\n"), "Get ").await;
    let huge = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\na 1\n",
        u64::MAX
    );
    fixture
        .refuses(Answer::Bytes(Arc::new(huge.into_bytes())), "")
        .await;
    let negative =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: -1\r\n\r\na 1\n";
    fixture
        .refuses(Answer::Bytes(Arc::new(negative.to_vec())), "Get ")
        .await;
    // A chunk that is longer than a number can say, and one that never ends.
    let chunks = [&chunked("")[..], b"fffffffffffffffff\r\na 1\n"].concat();
    fixture
        .refuses(Answer::Bytes(Arc::new(chunks)), "Get ")
        .await;
    let chunks = [&chunked("")[..], b"100\r\na 1\n"].concat();
    fixture
        .refuses(Answer::Bytes(Arc::new(chunks.clone())), "Get ")
        .await;
    fixture.refuses(Answer::Reset(chunks), "Get ").await;
    // Less is announced than comes: the rest is no part of the answer, nor of the next one.
    fixture.target.say(sized(
        "",
        4,
        b"a 1\nb 2\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nc 3\n",
    ));
    fixture.wait("a", 1.0).await;
    fixture.target.say(ok("", b"good 3\n"));
    fixture.wait("good", 3.0).await;
    let samples = fixture.sink.samples.lock().unwrap().clone();
    assert!(samples.iter().all(|(name, _)| name != "b" && name != "c"));
    // A gzip stream that is cut, and one that is none.
    let gzipped = "Content-Encoding: gzip\r\n";
    let whole = gzip(b"a 1\n");
    for body in [&whole[..whole.len() / 2], b"a 1\n"] {
        let reason = "cannot decompress the response";
        fixture.refuses(ok(gzipped, body), reason).await;
    }
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_without_measure() {
    let value = format!("a{{l=\"{}\"}} 1\n", "x".repeat(10 << 20));
    let labels: String = (0..1_000_000).map(|i| format!("l{i}=\"v\",")).collect();
    let labels = format!("a{{{labels}}} 1\n");
    let fixture = Fixture::start("2s", "").await;
    let reason = "at most 1000 labels of 1048576 bytes can be stored";
    fixture.refuses(ok("", value.as_bytes()), reason).await;
    let reason = "more than 10000 labels while parsing";
    fixture.refuses(ok("", labels.as_bytes()), reason).await;
    fixture.manager.shutdown().await;

    let limits = ", label_limit: 10, label_value_length_limit: 100, label_name_length_limit: 50";
    let fixture = Fixture::start("2s", limits).await;
    let reason = "label_value_length_limit exceeded";
    fixture.refuses(ok("", value.as_bytes()), reason).await;
    let few: String = (0..20).map(|i| format!("l{i}=\"v\",")).collect();
    let few = format!("a{{{few}}} 1\n");
    let reason = "label_limit exceeded";
    fixture.refuses(ok("", few.as_bytes()), reason).await;
    fixture.manager.shutdown().await;
    check_memory();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_without_end() {
    let body: String = (0..1_000_000)
        .map(|i| format!("a{{l=\"{i}\"}} 1\n"))
        .collect();
    let fixture = Fixture::start("8s", ", sample_limit: 1000").await;
    let answer = ok("", body.as_bytes());
    fixture.refuses(answer, "sample limit exceeded").await;
    fixture.manager.shutdown().await;
    check_memory();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_without_end() {
    let fixture = Fixture::start("1s", "").await;
    let address = &fixture.target.address;
    let again = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{address}/again\r\nContent-Length: 0\r\n\r\n"
    );
    let answer = Answer::Bytes(Arc::new(again.into_bytes()));
    fixture.refuses(answer, "Get ").await;
    fixture.manager.shutdown().await;
}
