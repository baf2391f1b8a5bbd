//! Clients that mean harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use varve_ingest::push::{PushOptions, PushReceiver, routes};
use varve_ingest::sink::DurableSink;
use varve_storage::protobuf::encode::Message;
use varve_storage::wal::Append;

use crate::{check_memory, gzip};

#[derive(Default)]
struct Sink {
    samples: AtomicUsize,
}

impl DurableSink for Sink {
    fn append_durable(
        &self,
        append: Append,
        _: Duration,
    ) -> BoxFuture<'_, varve_storage::Result<()>> {
        self.samples
            .fetch_add(append.samples.len(), Ordering::Relaxed);
        Box::pin(async { Ok(()) })
    }
}

struct Fixture {
    address: String,
    sink: Arc<Sink>,
}

impl Fixture {
    async fn start() -> Self {
        let sink = Arc::new(Sink::default());
        let options = PushOptions {
            body_bytes_max: 1 << 20,
            body_timeout: Duration::from_millis(500),
            ..PushOptions::default()
        };
        let receiver = Arc::new(PushReceiver::new(sink.clone(), options));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let served = axum::serve(listener, routes::router(receiver));
            served.await.unwrap();
        });
        Self { address, sink }
    }

    /// Sends the head, then what `more` gives until it gives no more or the server has answered; gives the status.
    async fn send(&self, head: &str, more: impl Iterator<Item = Vec<u8>>) -> u16 {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        writer.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = async {
            while !answer.ends_with(b"\r\n\r\n") {
                let Ok(byte) = reader.read_u8().await else {
                    return;
                };
                answer.push(byte);
            }
        };
        let write = async {
            for part in more {
                if writer.write_all(&part).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            // The connection stays open.
            std::future::pending::<()>().await;
        };
        let answered = async {
            tokio::select! {
                () = read => {}
                () = write => {}
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), answered).await;
        assert!(waited.is_ok(), "no answer to {head:?}");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
        status.unwrap_or_else(|| panic!("no status in {answer:?}"))
    }

    async fn send_whole(&self, path: &str, headers: &str, body: Vec<u8>) -> u16 {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {length}\r\n\r\n");
        self.send(&head, std::iter::once(body)).await
    }

    /// A request as it should be is taken.
    async fn is_well(&self) {
        let before = self.sink.samples.load(Ordering::Relaxed);
        let mut message = Message::default();
        message.message(1, |series| {
            series.message(1, |label| {
                label.string(1, "__name__");
                label.string(2, "m");
            });
            series.message(2, |sample| {
                sample.double(1, 1.0);
                sample.int64(2, 1);
            });
        });
        let body = snap::raw::Encoder::new()
            .compress_vec(&message.into_bytes())
            .unwrap();
        let status = self.send_whole(WRITE, SNAPPY, body).await;
        assert_eq!(status, 204);
        assert_eq!(self.sink.samples.load(Ordering::Relaxed), before + 1);
    }
}

const WRITE: &str = "/api/v1/write";
const OTLP: &str = "/api/v1/otlp/v1/metrics";
const SNAPPY: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n";
const PATHS: [(&str, &str); 4] = [
    (WRITE, SNAPPY),
    (OTLP, "Content-Type: application/x-protobuf\r\n"),
    (OTLP, "Content-Type: application/json\r\n"),
    ("/api/v2/write?bucket=b", ""),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs() {
    let fixture = Fixture::start().await;
    // 4 GiB less one are announced in five bytes.
    let claim = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0; 100]].concat();
    assert_eq!(fixture.send_whole(WRITE, SNAPPY, claim).await, 413);
    let zeros = vec![0; 100 << 20];
    let snappy = snap::raw::Encoder::new()
        .compress_vec(&zeros[..10 << 20])
        .unwrap();
    assert!(snappy.len() < 1 << 20);
    assert_eq!(fixture.send_whole(WRITE, SNAPPY, snappy).await, 413);
    fixture.is_well().await;
    let bomb = gzip(&zeros);
    drop(zeros);
    for (path, headers) in &PATHS[1..] {
        let headers = format!("{headers}Content-Encoding: gzip\r\n");
        let status = fixture.send_whole(path, &headers, bomb.clone()).await;
        assert_eq!(status, 413, "{path}");
        fixture.is_well().await;
    }
    check_memory();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_do_not_end_or_do_not_come() {
    let fixture = Fixture::start().await;
    for (path, headers) in PATHS {
        let head =
            |length: &str| format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}{length}\r\n\r\n");
        let chunk = [&b"10000\r\n"[..], &vec![b'a'; 0x10000], b"\r\n"].concat();
        let endless = head("Transfer-Encoding: chunked");
        let status = fixture.send(&endless, std::iter::repeat(chunk)).await;
        assert_eq!(status, 413, "{path}");
        // It is announced, and only a part comes.
        let announced = head("Content-Length: 100000");
        let part = std::iter::once(b"abc".to_vec());
        assert_eq!(fixture.send(&announced, part).await, 408, "{path}");
        let nothing = std::iter::empty();
        assert_eq!(fixture.send(&announced, nothing).await, 408, "{path}");
        let huge = head("Content-Length: 18446744073709551615");
        let part = std::iter::once(b"abc".to_vec());
        let status = fixture.send(&huge, part).await;
        assert!((400..500).contains(&status), "{path}: {status}");
        fixture.is_well().await;
    }
    check_memory();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_bombs() {
    let fixture = Fixture::start().await;
    let many: String = (0..10_000).map(|i| format!("X-{i}: y\r\n")).collect();
    let status = fixture.send_whole(WRITE, &many, Vec::new()).await;
    assert_eq!(status, 431);
    let long = format!("X-Long: {}\r\n", "x".repeat(2 << 20));
    let status = fixture.send_whole(WRITE, &long, Vec::new()).await;
    assert_eq!(status, 431);
    fixture.is_well().await;
}
