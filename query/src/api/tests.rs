//! Every endpoint over a real socket, bodies to the byte. The backend gives fixed answers and records what it was asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use varve_storage::{Labels, MetricMetadata, MetricType};

use super::*;
use crate::{
    Error, Explanation, MatrixSeries, QueryOptions, QueryResult, QueryStats, QueryValue, Result,
    VectorSample,
};

const TIME_MS: i64 = 1_435_781_451_781;

fn up(job: &str) -> Labels {
    Labels::from_pairs([("__name__", "up"), ("job", job)])
}

/// Answers by the text of the query; everything that it is asked is kept.
#[derive(Default)]
struct Backend {
    asked: Mutex<Vec<String>>,
    dropped: Arc<AtomicBool>,
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Backend {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    async fn answer(&self, query: &str, time_ms: i64, is_range: bool) -> Result<QueryResult> {
        let vector = |jobs: &[&str]| {
            let sample = |job: &&str| VectorSample {
                labels: up(job),
                time_ms,
                value: 1.5,
            };
            QueryValue::Vector(jobs.iter().map(sample).collect())
        };
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        let value = match query {
            "up" if is_range => QueryValue::Matrix(vec![
                MatrixSeries {
                    labels: up("a"),
                    samples: vec![(time_ms, 1.0), (time_ms + 15_000, f64::NAN)],
                },
                MatrixSeries {
                    labels: up("b"),
                    samples: vec![(time_ms, 1e-9)],
                },
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
}

#[derive(Default)]
struct Process {
    starting: AtomicBool,
    quit: AtomicBool,
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

    fn metadata(&self) -> Vec<MetricMetadata> {
        let metadata = |family: &str, help: &str| MetricMetadata {
            family: family.to_owned(),
            kind: MetricType::Gauge,
            unit: String::new(),
            help: help.to_owned(),
        };
        vec![
            metadata("up", "Whether."),
            metadata("go_threads", "How <many>."),
            metadata("up", "Whether."),
            metadata("up", "If."),
        ]
    }

    fn config_yaml(&self) -> String {
        "global:\n  scrape_interval: 15s\n".to_owned()
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

    async fn with(change: impl FnOnce(&mut ApiOptions)) -> Site {
        let mut options = ApiOptions {
            query_timeout: Duration::from_secs(120),
            query_concurrency: 20,
            cors_origin: CorsOrigin::new(".*").unwrap(),
            lifecycle: false,
        };
        change(&mut options);
        let backend = Arc::new(Backend::default());
        let process = Arc::new(Process::default());
        let metrics = Arc::new(HttpMetrics::default());
        let router = router(backend.clone(), process.clone(), metrics.clone(), options);
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
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head[9..12].parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
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

#[tokio::test]
async fn query_results_are_prometheuss_to_the_byte() {
    assert_bodies(&Site::start().await, &[
        (
            "/api/v1/query?query=up&time=1435781451.781",
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[1435781451.781,"1.5"]},{"metric":{"__name__":"up","job":"b"},"value":[1435781451.781,"1.5"]}]}}"#,
        ),
        (
            "/api/v1/query?query=none",
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
        ),
        (
            "/api/v1/query?query=1&time=1435781430",
            200,
            r#"{"status":"success","data":{"resultType":"scalar","result":[1435781430,"1"]}}"#,
        ),
        (
            "/api/v1/query?query='x'&time=2015-07-01T20:10:51.78Z",
            200,
            r#"{"status":"success","data":{"resultType":"string","result":[1435781451.78,"x \u0026 \u003cy\u003e"]}}"#,
        ),
        (
            "/api/v1/query?query=annotated&time=0",
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[0,"1.5"]}]},"warnings":["PromQL warning: w (1:1)"],"infos":["PromQL info: i (1:1)"]}"#,
        ),
        (
            "/api/v1/query?query=up&time=0&limit=1",
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[0,"1.5"]}]},"warnings":["results truncated due to limit"]}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=1435781430&end=1435781460&step=15s",
            200,
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"a"},"values":[[1435781430,"1"],[1435781445,"NaN"]]},{"metric":{"__name__":"up","job":"b"},"values":[[1435781430,"1e-09"]]}]}}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=1&end=2&step=1&limit=1",
            200,
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"a"},"values":[[1,"1"],[16,"NaN"]]}]},"warnings":["results truncated due to limit"]}"#,
        ),
        (
            "/api/v1/explain?query=up&time=1",
            200,
            r#"{"status":"success","data":{"logical":"up \u0026 TimeGrid { start_ms: 1000, end_ms: 1000, step_ms: 1 }","physical":"Scan\n"}}"#,
        ),
        (
            "/api/v1/explain?query=up&start=1&end=3&step=1",
            200,
            r#"{"status":"success","data":{"logical":"up \u0026 TimeGrid { start_ms: 1000, end_ms: 3000, step_ms: 1000 }","physical":"Scan\n"}}"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn expressions_are_formatted() {
    let site = Site::start().await;
    let formatted = site.get("/api/v1/format_query?query=foo/bar").await;
    assert_eq!(formatted.body, r#"{"status":"success","data":"foo / bar"}"#);
    let wrong = site
        .get("/api/v1/format_query?query=invalid_expression/")
        .await;
    assert_eq!(
        wrong.body,
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:20: parse error: unexpected end of input"}"#
    );
}

#[tokio::test]
async fn wrong_parameters_get_prometheuss_messages() {
    assert_bodies(&Site::start().await, &[
        (
            "/api/v1/query?query=bad",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:4: parse error: unexpected x"}"#,
        ),
        (
            "/api/v1/query?query=up&time=abc",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"time\": invalid time value for 'time': cannot parse \"abc\" to a valid timestamp"}"#,
        ),
        (
            "/api/v1/query?query=up&timeout=x",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"timeout\": cannot parse \"x\" to a valid duration"}"#,
        ),
        (
            "/api/v1/query?query=up&limit=1.5",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"limit\": strconv.Atoi: parsing \"1.5\": invalid syntax"}"#,
        ),
        (
            "/api/v1/query?query=up&lookback_delta=x",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"error parsing lookback delta duration: cannot parse \"x\" to a valid duration"}"#,
        ),
        (
            "/api/v1/query_range?query=up",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"start\": cannot parse \"\" to a valid timestamp"}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=5&end=1&step=1",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"end\": end timestamp must not be before start time"}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=1&end=5&step=foo",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"step\": cannot parse \"foo\" to a valid duration"}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=1&end=5&step=0",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer"}"#,
        ),
        (
            "/api/v1/query_range?query=up&start=0&end=11001&step=1",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"}"#,
        ),
        (
            "/api/v1/query?query=fails",
            422,
            r#"{"status":"error","errorType":"execution","error":"many-to-many \"\u003c\u003e\""}"#,
        ),
        (
            "/api/v1/query?query=canceled",
            499,
            r#"{"status":"error","errorType":"canceled","error":"query was canceled in expression evaluation"}"#,
        ),
        (
            "/api/v1/query?query=slow&timeout=20ms",
            503,
            r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#,
        ),
        (
            "/api/v1/series",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"no match[] parameter provided"}"#,
        ),
        (
            "/api/v1/series?match[]={}",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"match[]\": match[] must contain at least one non-empty matcher"}"#,
        ),
        (
            "/api/v1/labels?match[]={}",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"match[] must contain at least one non-empty matcher"}"#,
        ),
        (
            "/api/v1/labels?start=x",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp"}"#,
        ),
        (
            "/api/v1/metadata?limit=x",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"limit must be a number"}"#,
        ),
        (
            "/api/v1/metadata?limit_per_metric=x",
            400,
            r#"{"status":"error","errorType":"bad_data","error":"limit_per_metric must be a number"}"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn labels_and_series_are_prometheuss_to_the_byte() {
    assert_bodies(&Site::start().await, &[
        (
            "/api/v1/series?match[]=up",
            200,
            r#"{"status":"success","data":[{"__name__":"up","job":"a"},{"__name__":"up","job":"<b>"}]}"#,
        ),
        (
            "/api/v1/series?match[]=up&limit=1",
            200,
            r#"{"status":"success","data":[{"__name__":"up","job":"a"}],"warnings":["results truncated due to limit"]}"#,
        ),
        (
            "/api/v1/labels",
            200,
            r#"{"status":"success","data":["__name__","job"],"warnings":["quarantined"]}"#,
        ),
        (
            "/api/v1/label/job/values",
            200,
            r#"{"status":"success","data":["a","\u003cb\u003e"]}"#,
        ),
        (
            "/api/v1/label/job/values?limit=1",
            200,
            r#"{"status":"success","data":["a"],"warnings":["results truncated due to limit"]}"#,
        ),
        (
            "/api/v1/label/missing/values",
            200,
            r#"{"status":"success","data":[]}"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn the_process_describes_itself_as_prometheus_does() {
    assert_bodies(&Site::start().await, &[
        (
            "/api/v1/targets",
            200,
            r#"{"status":"success","data":{"activeTargets":[{"discoveredLabels":{"__address__":"127.0.0.1:9100","job":"node"},"labels":{"instance":"127.0.0.1:9100"},"scrapePool":"node","scrapeUrl":"http://127.0.0.1:9100/metrics?a=1\u0026b=2","globalUrl":"http://host:9100/metrics","lastError":"","lastScrape":"2015-07-01T20:10:51.781Z","lastScrapeDuration":0.010651205,"health":"up","scrapeInterval":"15s","scrapeTimeout":"10s"}],"droppedTargets":[{"discoveredLabels":{"__address__":"127.0.0.1:9100"},"scrapePool":"other"}],"droppedTargetCounts":{"node":0,"other":1}}}"#,
        ),
        (
            "/api/v1/targets?state=dropped&scrapePool=node",
            200,
            r#"{"status":"success","data":{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{"node":0,"other":1}}}"#,
        ),
        (
            "/api/v1/targets?state=active&scrapePool=x",
            200,
            r#"{"status":"success","data":{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":null}}"#,
        ),
        (
            "/api/v1/scrape_pools",
            200,
            r#"{"status":"success","data":{"scrapePools":["node","other"]}}"#,
        ),
        (
            "/api/v1/metadata",
            200,
            r#"{"status":"success","data":{"go_threads":[{"type":"gauge","unit":"","help":"How \u003cmany\u003e."}],"up":[{"type":"gauge","unit":"","help":"If."},{"type":"gauge","unit":"","help":"Whether."}]}}"#,
        ),
        (
            "/api/v1/metadata?metric=up&limit_per_metric=1",
            200,
            r#"{"status":"success","data":{"up":[{"type":"gauge","unit":"","help":"If."}]}}"#,
        ),
        ("/api/v1/metadata?limit=0", 200, r#"{"status":"success","data":{}}"#),
        (
            "/api/v1/status/config",
            200,
            r#"{"status":"success","data":{"yaml":"global:\n  scrape_interval: 15s\n"}}"#,
        ),
        (
            "/api/v1/status/flags",
            200,
            r#"{"status":"success","data":{"query.timeout":"2m"}}"#,
        ),
        (
            "/api/v1/status/buildinfo",
            200,
            r#"{"status":"success","data":{"version":"3.14.0","revision":"r","branch":"b","buildUser":"u","buildDate":"d","goVersion":"g"}}"#,
        ),
        (
            "/api/v1/status/runtimeinfo",
            200,
            r#"{"status":"success","data":{"startTime":"2015-07-01T20:10:51.781Z","CWD":"/","hostname":"h","serverTime":"2015-07-01T20:10:51.781Z","reloadConfigSuccess":true,"lastConfigTime":"0001-01-01T00:00:00Z","corruptionCount":0,"goroutineCount":1,"GOMAXPROCS":2,"GOMEMLIMIT":3,"GOGC":"","GODEBUG":"","storageRetention":""}}"#,
        ),
    ])
    .await;
}

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
    let answer = site.request("DELETE", "/api/v1/query", "").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (405, "Method Not Allowed\n")
    );
    assert!(answer.header("allow").unwrap().contains("POST"));
    let answer = site.get("/-/reload").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.body, "Only POST or PUT requests allowed");
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
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
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
        Some("text/plain; version=0.0.4; charset=utf-8")
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
