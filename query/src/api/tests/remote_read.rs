//! Remote read, to the byte.

use varve_storage::protobuf::encode::Message;
use varve_storage::protobuf::wire::Fields;
use varve_storage::{FloatHistogram, stale_nan};

use axum::extract::State;

use super::*;

/// A query of a request: its range of time, its matchers as (type, name, value), the function of its hints.
pub(super) type Asked<'a> = (i64, i64, &'a [(u64, &'a str, &'a str)], &'a str);

/// A request in snappy's format.
pub(super) fn request(queries: &[Asked<'_>], accepted: &[u32]) -> Vec<u8> {
    let mut request = Message::default();
    for (start_ms, end_ms, matchers, function) in queries {
        request.message(1, |query| {
            query.int64(1, *start_ms);
            query.int64(2, *end_ms);
            for (op, name, value) in *matchers {
                query.message(3, |matcher| {
                    matcher.uint64(1, *op);
                    matcher.string(2, name);
                    matcher.string(3, value);
                });
            }
            if !function.is_empty() {
                query.message(4, |hints| {
                    hints.string(2, function);
                    hints.int64(3, *start_ms);
                    hints.int64(4, *end_ms);
                });
            }
        });
    }
    request.uint32s(2, accepted);
    let mut encoder = snap::raw::Encoder::new();
    encoder.compress_vec(request.as_bytes()).unwrap()
}

/// `m` with floats, a stale marker, and a native histogram that ends with another; and another series.
pub(super) fn archive() -> MemoryArchive {
    let m = Labels::from_pairs([("__name__", "m"), ("job", "a"), ("region", "us")]);
    let histogram = FloatHistogram {
        count: 3.0,
        sum: 4.5,
        zero_threshold: 0.001,
        schema: 1,
        positive_spans: vec![varve_storage::histogram::Span {
            offset: -1,
            length: 2,
        }],
        positive_buckets: vec![1.0, 2.0],
        ..FloatHistogram::default()
    };
    let float = SampleValue::Float;
    MemoryArchive::with_samples([
        (
            m,
            vec![
                (999, float(0.5)),
                (1_000, float(1.5)),
                (2_000, float(stale_nan())),
                (3_000, SampleValue::Histogram(histogram.into())),
                (4_000, float(stale_nan())),
                (4_001, float(9.0)),
            ],
        ),
        (up("a"), vec![(1_500, float(0.0))]),
    ])
}

impl Site {
    pub(super) async fn read(&self, body: &[u8]) -> (Answer, Vec<u8>) {
        // Version 1.0 has bodies without chunks.
        let head = format!(
            "POST /api/v1/read HTTP/1.0\r\nHost: x\r\nAccept-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.exchange(&[head.as_bytes(), body].concat()).await
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<Vec<_>>().concat()
}

fn text(text: &str) -> String {
    format!("{:02x}{}", text.len(), hex(text.as_bytes()))
}

#[tokio::test]
async fn samples_are_one_message_with_external_labels() {
    let site = Site::over(archive(), |_| {}).await;
    let external = Labels::from_pairs([("region", "eu"), ("a", "z")]);
    *site.process.external_labels.lock().unwrap() = external;
    let body = request(
        &[
            (1_000, 4_000, &[(0, "__name__", "m"), (0, "a", "z")], ""),
            (0, 9_999, &[(3, "__name__", "m|x")], "rate"),
            (0, 9_999, &[], ""),
        ],
        &[],
    );
    let (answer, body) = site.read(&body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-protobuf")
    );
    assert_eq!(answer.header("content-encoding"), Some("snappy"));
    let message = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    let label = |name: &str, value: &str| {
        let label = format!("0a{}12{}", text(name), text(value));
        format!("0a{:02x}{label}", label.len() / 2)
    };
    let m = [
        label("__name__", "m"),
        label("a", "z"),
        label("job", "a"),
        label("region", "us"),
        // 1.5 at 1,000; a stale marker at 2,000.
        "120c09000000000000f83f10e807".to_owned(),
        "120c09020000000000f07f10d00f".to_owned(),
        // The histogram at 3,000: counts, sum, schema, zero threshold, zero count, spans, buckets, time.
        "2241".to_owned(),
        "110000000000000840".to_owned(),
        "190000000000001240".to_owned(),
        "2002".to_owned(),
        "29fca9f1d24d62503f".to_owned(),
        "390000000000000000".to_owned(),
        "5a0408011002".to_owned(),
        "6a10000000000000f03f0000000000000040".to_owned(),
        "78b817".to_owned(),
        // Its stale marker at 4,000: a sum and zeros.
        "221e".to_owned(),
        "110000000000000000".to_owned(),
        "19020000000000f07f".to_owned(),
        "390000000000000000".to_owned(),
        "78a01f".to_owned(),
    ]
    .concat();
    let up = [
        label("__name__", "up"),
        label("a", "z"),
        label("job", "a"),
        label("region", "eu"),
        // A value of 0 is left out.
        "120310dc0b".to_owned(),
    ]
    .concat();
    let result = |series: &str| {
        let mut result = Message::default();
        result.message(1, |out| {
            let bytes: Vec<u8> = (0..series.len() / 2)
                .map(|i| u8::from_str_radix(&series[2 * i..2 * i + 2], 16).unwrap())
                .collect();
            out.bytes(1, &bytes);
        });
        hex(result.as_bytes())
    };
    assert_eq!(
        hex(&message),
        [result(&m), result(&up), "0a00".to_owned()].concat()
    );
}

#[tokio::test]
async fn series_alone_come_without_samples() {
    let site = Site::over(archive(), |_| {}).await;
    let body = request(&[(1_000, 4_000, &[(0, "__name__", "up")], "series")], &[0]);
    let (answer, body) = site.read(&body).await;
    assert_eq!(answer.status, 200);
    assert!(
        site.last_asked().starts_with("series "),
        "{}",
        site.last_asked()
    );
    let message = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    let text = String::from_utf8_lossy(&message);
    assert!(text.contains("<b>") && message.len() < 80, "{text}");
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_in_prometheuss_words() {
    let site = Site::over(archive(), |options| options.remote_read.samples_max = 4).await;
    let everything: &[(u64, &str, &str)] = &[(2, "__name__", ".+")];
    for (body, status, message) in [
        (b"\x05no".to_vec(), 400, "snappy: corrupt input\n"),
        (
            request(&[(0, 9_999, everything, "")], &[]),
            400,
            "exceeded sample limit (4)\n",
        ),
        (
            request(&[(0, 9_999, everything, "")], &[5]),
            400,
            "server does not support any of the requested response types: [5]; supported: map[SAMPLES:{} STREAMED_XOR_CHUNKS:{}]\n",
        ),
        (
            request(&[(0, 1, &[(2, "a", "*")], "")], &[]),
            500,
            "error parsing regexp: missing argument to repetition operator: `*`\n",
        ),
        (
            request(&[(0, 1, &[(9, "a", "b")], "")], &[]),
            500,
            "invalid matcher type\n",
        ),
    ] {
        let (answer, body) = site.read(&body).await;
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("content-encoding"), None);
        let body = String::from_utf8(body).unwrap();
        assert_eq!((answer.status, body.as_str()), (status, message));
    }
    // The limit is that of a query, not of a request.
    let m: &[(u64, &str, &str)] = &[(0, "__name__", "m")];
    let twice = request(&[(0, 3_000, m, ""), (0, 3_000, m, "")], &[]);
    assert_eq!(site.read(&twice).await.0.status, 200);
    let answer = site.get("/api/v1/read").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), Some("OPTIONS, POST"));
    site.process.starting.store(true, Ordering::SeqCst);
    assert_eq!(site.read(&twice).await.0.status, 503);
}

/// A chunk of a frame.
#[derive(Debug)]
struct Chunk {
    series: Vec<(String, String)>,
    query: i64,
    frame: usize,
    min_ms: i64,
    max_ms: i64,
    samples: Vec<varve_tsdb::Sample>,
}

/// The chunks of a stream of frames, whose lengths and checksums are right.
fn chunks(mut stream: &[u8]) -> Vec<Chunk> {
    let mut all = Vec::new();
    let mut number = 0;
    while !stream.is_empty() {
        let (mut length, mut shift) = (0, 0);
        while let Some((byte, rest)) = stream.split_first() {
            stream = rest;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (checksum, rest) = stream.split_at(4);
        let (message, rest) = rest.split_at(length);
        stream = rest;
        assert_eq!(checksum, varve_tsdb::crc32c(message).to_be_bytes());
        let mut frame = Vec::new();
        let mut series = Vec::new();
        let mut query = 0;
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next().unwrap() {
            if field.number == 2 {
                query = field.int64().unwrap();
                continue;
            }
            let mut fields = field.message().unwrap();
            while let Some(field) = fields.next().unwrap() {
                let inner = numbers_and_bytes(field.message().unwrap());
                let text = |n: usize| String::from_utf8(inner.1[n].to_vec()).unwrap();
                if field.number == 1 {
                    series.push((text(0), text(1)));
                    continue;
                }
                let encoding = varve_tsdb::Encoding::from_byte(inner.0[2] as u8).unwrap();
                let data = inner.1[0].to_vec().into();
                let samples = varve_tsdb::ChunkSamples::new(encoding, data).unwrap();
                frame.push(Chunk {
                    series: Vec::new(),
                    query: 0,
                    frame: number,
                    min_ms: inner.0[0] as i64,
                    max_ms: inner.0[1] as i64,
                    samples: samples.map(|sample| sample.unwrap()).collect(),
                });
            }
        }
        for chunk in &mut frame {
            chunk.series.clone_from(&series);
            chunk.query = query;
        }
        all.extend(frame);
        number += 1;
    }
    all
}

/// The integers and the texts of a message, in order.
fn numbers_and_bytes(mut fields: Fields<'_>) -> (Vec<u64>, Vec<&[u8]>) {
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    while let Some(field) = fields.next().unwrap() {
        match field.bytes() {
            Ok(bytes) => texts.push(bytes),
            Err(_) => numbers.push(field.uint64().unwrap()),
        }
    }
    (numbers, texts)
}

#[tokio::test]
async fn a_frame_has_a_length_a_checksum_and_a_message() {
    let site = Site::over(archive(), |_| {}).await;
    let body = request(
        &[
            (0, 9_999, &[(0, "__name__", "none")], ""),
            (0, 9_999, &[(0, "__name__", "up")], ""),
        ],
        &[9, 1, 0],
    );
    let (answer, body) = site.read(&body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
    );
    assert_eq!(answer.header("content-encoding"), None);
    let message = [
        // Labels, and one chunk from 1,500 to 1,500, encoded as XOR, with one sample.
        "0a32".to_owned(),
        format!("0a0e0a{}12{}", text("__name__"), text("up")),
        format!("0a080a{}12{}", text("job"), text("a")),
        "121608dc0b10dc0b1801220c".to_owned(),
        "0001b8170000000000000000".to_owned(),
        "1001".to_owned(),
    ]
    .concat();
    let bytes: Vec<u8> = (0..message.len() / 2)
        .map(|i| u8::from_str_radix(&message[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    let checksum = format!("{:08x}", varve_tsdb::crc32c(&bytes));
    assert_eq!(
        hex(&body),
        format!("{:02x}{checksum}{message}", bytes.len())
    );
}

#[tokio::test]
async fn chunks_have_every_sample_and_stale_markers_of_both_kinds() {
    let site = Site::over(archive(), |options| options.remote_read.samples_max = 1).await;
    *site.process.external_labels.lock().unwrap() = Labels::from_pairs([("a", "z")]);
    let body = request(&[(1_000, 4_001, &[(0, "__name__", "m")], "")], &[1]);
    let chunks = chunks(&site.read(&body).await.1);
    let labels = [
        ("__name__", "m"),
        ("a", "z"),
        ("job", "a"),
        ("region", "us"),
    ];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk.series == labels && chunk.query == 0)
    );
    let times: Vec<_> = chunks
        .iter()
        .map(|c| (c.min_ms, c.max_ms, c.frame))
        .collect();
    assert_eq!(
        times,
        [(1_000, 2_000, 0), (3_000, 4_000, 0), (4_001, 4_001, 0)]
    );
    let values = chunks.iter().flat_map(|chunk| &chunk.samples);
    let values: Vec<String> = values
        .map(|sample| match &sample.value {
            SampleValue::Float(value) => format!("{:x}", value.to_bits()),
            SampleValue::Histogram(h) => format!("{} {:x}", h.count, h.sum.to_bits()),
        })
        .collect();
    let stale = "7ff0000000000002";
    let stale_histogram = format!("0 {stale}");
    let expected = [
        "3ff8000000000000",
        stale,
        "3 4012000000000000",
        &stale_histogram,
        "4022000000000000",
    ];
    assert_eq!(values, expected);
}

#[tokio::test]
async fn series_are_split_into_frames_and_never_share_one() {
    let labels = |name: &str| Labels::from_pairs([("__name__", name)]);
    let samples: Vec<(i64, f64)> = (0..1_000).map(|t| (t, (t * t) as f64)).collect();
    let archive = MemoryArchive::new([(labels("b"), samples.clone()), (labels("a"), samples)]);
    let everything: &[(u64, &str, &str)] = &[(2, "__name__", ".+")];
    let body = request(&[(10, 989, everything, "")], &[1]);
    for (frame_bytes, frames) in [(1 << 20, 2), (1_000, 6), (0, 18)] {
        let site = Site::over(archive.clone(), |options| {
            options.remote_read.frame_bytes = frame_bytes;
        });
        let chunks = chunks(&site.await.read(&body).await.1);
        assert_eq!(chunks.last().unwrap().frame + 1, frames, "{frame_bytes}");
        let names: Vec<_> = chunks
            .iter()
            .map(|chunk| chunk.series[0].1.as_str())
            .collect();
        assert_eq!(names, [["a"; 9], ["b"; 9]].concat());
        for series in chunks.chunks(9) {
            let samples = series.iter().flat_map(|chunk| &chunk.samples);
            let times: Vec<i64> = samples.map(|sample| sample.timestamp_ms).collect();
            assert_eq!(times, (10..990).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn a_request_has_its_place_until_its_answer_is_sent() {
    let read_places = Arc::new(Semaphore::new(1));
    let api = Api(Arc::new(Shared {
        backend: Arc::new(Backend::over(archive())),
        host: Arc::new(Process::default()),
        options: Site::options(),
        query_places: Semaphore::new(1),
        read_places: Arc::clone(&read_places),
        metrics: Arc::default(),
    }));
    for accepted in [0, 1] {
        let body = request(&[(0, 9_999, &[(0, "__name__", "up")], "")], &[accepted]);
        let request = axum::extract::Request::new(axum::body::Body::from(body));
        let place = read_places.try_acquire().unwrap();
        let mut answer = Box::pin(super::super::remote_read::read(State(api.clone()), request));
        assert!(futures::poll!(&mut answer).is_pending(), "it did not wait");
        drop(place);
        let answer = answer.await;
        assert_eq!(answer.status(), 200);
        if accepted == 1 {
            assert_eq!(read_places.available_permits(), 0);
        }
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
        assert!(!body.unwrap().is_empty());
        assert_eq!(read_places.available_permits(), 1);
    }
}
