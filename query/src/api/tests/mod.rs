//! Every endpoint over a real socket, bodies to the byte. The backend gives fixed answers and records what it was asked.
//!
//! [`answers`] holds what queries give, [`process`] what the process says about itself, [`http`] methods, headers and forms, [`remote_read`] what other
//! servers read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod federate;
mod http;
mod process;
mod remote_read;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use varve_storage::{Exemplar, Labels, MetricMetadata, MetricType, SampleValue, Series, SeriesRef};

use super::*;
use crate::exemplars::{ExemplarQuery, SeriesExemplars};
use crate::memory::MemoryArchive;
use crate::selector::SelectorSpec;
use crate::{
    Engine, EngineOptions, Error, Explanation, MatrixSeries, QueryOptions, QueryResult, QueryStats,
    QueryValue, RawStream, Result, VectorSample,
};

const TIME_MS: i64 = 1_435_781_451_781;

fn up(job: &str) -> Labels {
    Labels::from_pairs([("__name__", "up"), ("job", job)])
}

/// Answers by the text of the query; everything that it is asked is kept.
struct Backend {
    /// Over the stored samples.
    engine: Engine,
    asked: Mutex<Vec<String>>,
    dropped: Arc<AtomicBool>,
}

impl Default for Backend {
    fn default() -> Self {
        Self::over(MemoryArchive::default())
    }
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Backend {
    fn over(archive: MemoryArchive) -> Self {
        Self {
            engine: Engine::new(Arc::new(archive), EngineOptions::default()),
            asked: Mutex::default(),
            dropped: Arc::default(),
        }
    }

    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    async fn answer(&self, query: &str, time_ms: i64, is_range: bool) -> Result<QueryResult> {
        let vector = |jobs: &[&str]| {
            let sample = |job: &&str| VectorSample {
                labels: up(job),
                time_ms,
                value: SampleValue::Float(1.5),
            };
            QueryValue::Vector(jobs.iter().map(sample).collect())
        };
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        let value = match query {
            "up" if is_range => QueryValue::Matrix(vec![
                MatrixSeries::of_floats(
                    up("a"),
                    vec![(time_ms, 1.0), (time_ms + 15_000, f64::NAN)],
                ),
                MatrixSeries::of_floats(up("b"), vec![(time_ms, 1e-9)]),
            ]),
            "up" => vector(&["a", "b"]),
            "none" => vector(&[]),
            "1" => QueryValue::Scalar {
                time_ms,
                value: 1.0,
            },
            "'x'" => QueryValue::String {
                time_ms,
                value: "x & <y>".to_owned(),
            },
            "annotated" => {
                warnings.push("PromQL warning: w (1:1)".to_owned());
                infos.push("PromQL info: i (1:1)".to_owned());
                vector(&["a"])
            }
            "bad" => return Err(Error::BadData("1:4: parse error: unexpected x".to_owned())),
            "fails" => return Err(Error::Execution("many-to-many \"<>\"".to_owned())),
            "canceled" => return Err(Error::Canceled("expression evaluation")),
            "slow" => {
                let _guard = SetOnDrop(self.dropped.clone());
                tokio::time::sleep(Duration::from_secs(60)).await;
                vector(&[])
            }
            other => panic!("no answer to {other}"),
        };
        let stats = QueryStats {
            get_requests: 7,
            bytes_read: 4096,
            samples_read: 30,
            ..QueryStats::default()
        };
        Ok(QueryResult {
            value,
            warnings,
            infos,
            stats,
        })
    }
}

#[async_trait]
impl QueryBackend for Backend {
    async fn instant(
        &self,
        query: &str,
        time_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult> {
        self.note(format!("instant {query} {time_ms} {options:?}"));
        self.answer(query, time_ms, false).await
    }

    async fn range(
        &self,
        query: &str,
        grid: TimeGrid,
        options: &QueryOptions,
    ) -> Result<QueryResult> {
        self.note(format!("range {query} {grid:?} {options:?}"));
        self.answer(query, grid.start_ms, true).await
    }

    async fn explain(&self, query: &str, grid: TimeGrid, _: &QueryOptions) -> Result<Explanation> {
        Ok(Explanation {
            logical: format!("{query} & {grid:?}"),
            physical: "Scan\n".to_owned(),
        })
    }

    async fn series(&self, query: &LabelQuery) -> backend::Listed<Labels> {
        self.note(format!("series {query:?}"));
        let all = [up("a"), up("<b>")];
        Ok((all[..query.limit.unwrap_or(2).min(2)].to_vec(), Vec::new()))
    }

    async fn label_names(&self, query: &LabelQuery) -> backend::Listed<String> {
        self.note(format!("names {query:?}"));
        Ok((
            vec!["__name__".to_owned(), "job".to_owned()],
            vec!["quarantined".to_owned()],
        ))
    }

    async fn label_values(&self, name: &str, query: &LabelQuery) -> backend::Listed<String> {
        self.note(format!("values {name} {query:?}"));
        if name == "missing" {
            return Ok((Vec::new(), Vec::new()));
        }
        Ok((vec!["a".to_owned(), "<b>".to_owned()], Vec::new()))
    }

    fn raw(&self, selector: SelectorSpec) -> RawStream {
        self.note(format!("raw {selector:?}"));
        self.engine.raw_series(selector)
    }

    async fn exemplars(&self, query: &ExemplarQuery) -> backend::Listed<SeriesExemplars> {
        self.note(format!("exemplars {query:?}"));
        let name = query.matchers[0].last().unwrap();
        let exemplar = |series: &SeriesRef, trace: &str, timestamp_ms, value| Exemplar {
            series: Arc::clone(series),
            labels: Labels::from_pairs([("trace_id", trace)]),
            timestamp_ms,
            value,
        };
        let series = |job| Arc::new(Series::new(up(job)));
        let (a, b) = (series("a"), series("<b>"));
        Ok(match name.value.as_str() {
            "up" => (
                vec![
                    SeriesExemplars {
                        exemplars: vec![
                            exemplar(&a, "EpTxMJ40fUus7aGY", 1_600_096_945_479, 6.0),
                            exemplar(&a, "", 1_600_096_955_000, 1e-9),
                        ],
                        series: a,
                    },
                    SeriesExemplars {
                        exemplars: vec![exemplar(&b, "<&>", -1_500, f64::NAN)],
                        series: b,
                    },
                ],
                Vec::new(),
            ),
            "many" => (Vec::new(), vec!["only the newest".to_owned()]),
            "fails" => return Err(Error::Execution("one id".to_owned())),
            _ => (Vec::new(), Vec::new()),
        })
    }

    async fn metadata(&self, family: &str) -> backend::Listed<MetricMetadata> {
        self.note(format!("metadata {family}"));
        let metadata = |family: &str, kind, help: &str| MetricMetadata {
            family: family.to_owned(),
            kind,
            unit: "s".to_owned(),
            help: help.to_owned(),
        };
        let all = [
            metadata("old_total", MetricType::Counter, "Zuletzt."),
            metadata("old_total", MetricType::Counter, "Anfangs."),
            metadata("pushed", MetricType::Gauge, "A < b."),
        ];
        let known = all.into_iter();
        let known = known.filter(|m| family.is_empty() || m.family == family);
        let warnings = match family {
            "pushed" => vec!["a file is broken".to_owned()],
            _ => Vec::new(),
        };
        Ok((known.collect(), warnings))
    }
}

struct Process {
    external_labels: Mutex<Labels>,
    starting: AtomicBool,
    quit: AtomicBool,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            external_labels: Mutex::new(Labels::empty()),
            starting: AtomicBool::default(),
            quit: AtomicBool::default(),
        }
    }
}

#[async_trait]
impl Host for Process {
    fn is_ready(&self) -> bool {
        !self.starting.load(Ordering::SeqCst)
    }

    fn targets(&self) -> Targets {
        let address = ("__address__", "127.0.0.1:9100");
        Targets {
            active: vec![ActiveTarget {
                discovered_labels: Labels::from_pairs([("job", "node"), address]),
                labels: Labels::from_pairs([("instance", "127.0.0.1:9100")]),
                scrape_pool: "node".to_owned(),
                scrape_url: "http://127.0.0.1:9100/metrics?a=1&b=2".to_owned(),
                global_url: "http://host:9100/metrics".to_owned(),
                last_error: String::new(),
                last_scrape: WallTime(Some(TIME_MS)),
                last_scrape_duration: 0.010651205,
                health: TargetHealth::Up,
                scrape_interval: "15s".to_owned(),
                scrape_timeout: "10s".to_owned(),
            }],
            dropped: vec![DroppedTarget {
                discovered_labels: Labels::from_pairs([address]),
                scrape_pool: "other".to_owned(),
            }],
            dropped_counts: BTreeMap::from([("node".to_owned(), 0), ("other".to_owned(), 1)]),
        }
    }

    fn metadata(&self) -> Vec<TargetMetadata> {
        let metadata = |family: &str, help: &str| MetricMetadata {
            family: family.to_owned(),
            kind: MetricType::Gauge,
            unit: String::new(),
            help: help.to_owned(),
        };
        let target = |instance: &str, metadata| TargetMetadata {
            target: Labels::from_pairs([("instance", instance)]),
            metadata,
        };
        vec![
            target(
                "<a>",
                vec![
                    metadata("go_threads", "How <many>."),
                    metadata("up", "Whether."),
                ],
            ),
            target("b", vec![metadata("up", "Whether.")]),
            target("c", vec![metadata("up", "If.")]),
        ]
    }

    fn config_yaml(&self) -> String {
        "global:\n  scrape_interval: 15s\n".to_owned()
    }

    fn external_labels(&self) -> Labels {
        self.external_labels.lock().unwrap().clone()
    }

    fn flags(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("query.timeout".to_owned(), "2m".to_owned())])
    }

    fn build_info(&self) -> BuildInfo {
        BuildInfo {
            version: "3.14.0".to_owned(),
            revision: "r".to_owned(),
            branch: "b".to_owned(),
            build_user: "u".to_owned(),
            build_date: "d".to_owned(),
            go_version: "g".to_owned(),
        }
    }

    fn runtime_info(&self) -> RuntimeInfo {
        RuntimeInfo {
            start_time: WallTime(Some(TIME_MS)),
            working_directory: "/".to_owned(),
            hostname: "h".to_owned(),
            server_time: WallTime(Some(TIME_MS)),
            reload_config_success: true,
            last_config_time: WallTime(None),
            corruption_count: 0,
            thread_count: 1,
            core_count: 2,
            memory_limit_bytes: 3,
            garbage_collector: String::new(),
            debug: String::new(),
            storage_retention: String::new(),
        }
    }

    fn write_metrics(&self, out: &mut String) {
        out.push_str("varve_test 1\n");
    }

    async fn reload(&self) -> std::result::Result<(), String> {
        Err("prometheus.yml:3:5: unknown field".to_owned())
    }

    fn quit(&self) {
        self.quit.store(true, Ordering::SeqCst);
    }
}

struct Site {
    address: SocketAddr,
    backend: Arc<Backend>,
    process: Arc<Process>,
    metrics: Arc<HttpMetrics>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Site {
    async fn start() -> Site {
        Site::with(|_| {}).await
    }

    fn options() -> ApiOptions {
        ApiOptions {
            query_timeout: Duration::from_secs(120),
            query_concurrency: 20,
            cors_origin: CorsOrigin::new(".*").unwrap(),
            lifecycle: false,
            lookback: Duration::from_secs(300),
            remote_read: RemoteReadOptions::default(),
        }
    }

    async fn with(change: impl FnOnce(&mut ApiOptions)) -> Site {
        Site::over(MemoryArchive::default(), change).await
    }

    async fn over(archive: MemoryArchive, change: impl FnOnce(&mut ApiOptions)) -> Site {
        let mut options = Self::options();
        change(&mut options);
        let backend = Arc::new(Backend::over(archive));
        let process = Arc::new(Process::default());
        let metrics = Arc::new(HttpMetrics::default());
        let router = router(
            backend.clone(),
            process.clone(),
            metrics.clone(),
            options,
            Router::new(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Site {
            address,
            backend,
            process,
            metrics,
        }
    }

    async fn send(&self, request: &str) -> Answer {
        let (mut answer, body) = self.exchange(request.as_bytes()).await;
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// Sends bytes; the body of the answer stands beside it.
    async fn exchange(&self, request: &[u8]) -> (Answer, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let answer = Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body: String::new(),
        };
        (answer, bytes.split_off(end + 4))
    }

    async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "").await
    }

    async fn request(&self, method: &str, path: &str, headers: &str) -> Answer {
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
        ))
        .await
    }

    fn last_asked(&self) -> String {
        self.backend.asked.lock().unwrap().last().unwrap().clone()
    }
}

async fn assert_bodies(site: &Site, cases: &[(&str, u16, &str)]) {
    for (path, status, body) in cases {
        let answer = site.get(path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (*status, *body),
            "{path}"
        );
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{path}"
        );
    }
}
