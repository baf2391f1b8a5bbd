//! What real servers and client libraries expose arrives, by value: node_exporter, Prometheus, Alertmanager, and the clients for
//! Python and Rust.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use serde_json::Value;
use varve_tests::exporter::FixedPage;
use varve_tests::http_api::ApiClient;
use varve_tests::process::{self, Program};
use varve_tests::prometheus::{Prometheus, node_exporter};
use varve_tests::server::{ServerSetup, now_ms};

use crate::compare::NOTHING_TO_SCRAPE;

/// How long a server may take to start, and a scrape to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A series without the labels of its target.
type Series = BTreeMap<String, String>;

/// The samples of a page in the text format or OpenMetrics, without timestamps.
fn samples(page: &str) -> BTreeMap<Series, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.filter(|line| !line.trim().is_empty());
    lines.map(sample).collect()
}

fn sample(line: &str) -> (Series, f64) {
    let line = line.split(" # {").next().unwrap();
    let mut series = Series::new();
    let name_end = line.find(['{', ' ']).unwrap();
    series.insert("__name__".to_owned(), line[..name_end].to_owned());
    let mut rest = &line[name_end..];
    while let Some(label) = rest.strip_prefix(['{', ',']) {
        let Some((name, text)) = label.split_once("=\"") else {
            rest = label;
            break;
        };
        let mut value = String::new();
        let mut chars = text.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (end, '"') => break end,
                (_, '\\') => match chars.next().unwrap().1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        if !value.is_empty() {
            series.insert(name.to_owned(), bound(name, value));
        }
        rest = &text[end + 1..];
    }
    let value = rest.trim_start_matches('}').trim();
    (series, value.parse().unwrap())
}

/// Bounds are numbers: stores write them in another way than targets do.
fn bound(label: &str, value: String) -> String {
    let number = value.parse::<f64>().ok();
    let number = number.filter(|_| ["le", "quantile"].contains(&label));
    number.map_or(value, |number| format!("{number:?}"))
}

/// What Varve has of one scrape.
async fn stored(client: &ApiClient, job: &str, time_ms: i64) -> BTreeMap<Series, f64> {
    let query = format!("{{job=\"{job}\"}}");
    let time = (time_ms as f64 / 1e3).to_string();
    let parameters = [("query", query.as_str()), ("time", &time)];
    let answer = client.get("/api/v1/query", &parameters).await.unwrap();
    let result = answer["data"]["result"].as_array().unwrap().iter();
    result
        .map(|series| {
            let labels: Series = serde_json::from_value(series["metric"].clone()).unwrap();
            let own = labels.into_iter();
            let own = own.filter(|(name, _)| !["job", "instance"].contains(&name.as_str()));
            let own = own.map(|(name, value)| (name.clone(), bound(&name, value)));
            let value = series["value"][1].as_str().unwrap().parse().unwrap();
            (own.collect(), value)
        })
        .collect()
}

/// `http` keeps its connection: a target counts those that it has, and more of them would be there when it is looked at than when it is scraped.
async fn page(http: &reqwest::Client, url: &str) -> BTreeMap<Series, f64> {
    let request = http.get(url);
    let request = request.header("accept", "text/plain; version=0.0.4");
    let answer = request.send().await.unwrap();
    samples(&answer.text().await.unwrap())
}

/// The time of the first scrape of a job at or after a time.
async fn scraped(client: &ApiClient, job: &str, since_ms: i64) -> i64 {
    let query = format!("timestamp(up{{job=\"{job}\"}})");
    let started = Instant::now();
    loop {
        let answer: Value = client
            .get("/api/v1/query", &[("query", &query)])
            .await
            .unwrap();
        let seconds = answer["data"]["result"][0]["value"][1].as_str();
        let time_ms = seconds.map(|s| (s.parse::<f64>().unwrap() * 1e3).round() as i64);
        if let Some(time_ms) = time_ms.filter(|time_ms| *time_ms >= since_ms) {
            return time_ms;
        }
        assert!(started.elapsed() < PATIENCE, "{job} was not scraped");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Compares scrapes with the pages before and after them, until one agrees: a gauge may go up and down again in between.
async fn assert_arrives(client: &ApiClient, job: &str, url: &str, least: usize) {
    let http = reqwest::Client::new();
    for attempt in 0..20 {
        match arrives(client, &http, job, url).await {
            Ok(equal) => {
                assert!(equal >= least, "{job}: {equal} series");
                eprintln!("{job}: {equal} series by value");
                return;
            }
            Err(difference) => assert!(attempt < 19, "{job}: {difference}"),
        }
    }
}

/// How many series have one value in both pages and in the scrape between them; an error for one that has another there, or that nobody
/// exposed.
async fn arrives(
    client: &ApiClient,
    http: &reqwest::Client,
    job: &str,
    url: &str,
) -> Result<usize, String> {
    let before = page(http, url).await;
    let time_ms = scraped(client, job, now_ms()).await;
    let after = page(http, url).await;
    let ours = stored(client, job, time_ms).await;
    let mut equal = 0;
    for (series, value) in &before {
        let same =
            |other: &f64| other.to_bits() == value.to_bits() || other.is_nan() && value.is_nan();
        if after.get(series).is_some_and(same) {
            let ours = ours.get(series);
            if !ours.is_some_and(same) {
                return Err(format!("{series:?} is {value}, not {ours:?}"));
            }
            equal += 1;
        }
    }
    for series in ours.keys() {
        let name = &series["__name__"];
        let known = before.contains_key(series) || after.contains_key(series);
        if !known && name != "up" && !name.starts_with("scrape_") {
            return Err(format!("nobody exposed {series:?}"));
        }
    }
    Ok(equal)
}

fn job(name: &str, target: &str, protocols: &str) -> String {
    format!(
        "  - job_name: {name}
    scrape_protocols: [{protocols}]
    static_configs:
      - targets: ['{target}']
"
    )
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    code: String,
}

/// What the client for Rust says of every kind of metric.
fn page_of_rust_client() -> String {
    let mut registry = Registry::default();
    let requests = Family::<Code, Counter>::default();
    let code = |code: &str| Code {
        code: code.to_owned(),
    };
    requests.get_or_create(&code("200")).inc_by(17);
    requests.get_or_create(&code("5\\0\"0\n")).inc();
    registry.register("requests", "Requests.", requests);
    let level: Gauge<f64, std::sync::atomic::AtomicU64> = Gauge::default();
    level.set(-1.5e-9);
    registry.register_with_unit("level", "A level.", Unit::Ratios, level);
    let seconds = HistogramWithExemplars::new(exponential_buckets(0.5, 2.0, 4));
    for value in [0.1, 0.7, 3.0, 99.0] {
        seconds.observe(
            value,
            Some(vec![("trace_id".to_owned(), "abc".to_owned())]),
            None,
        );
    }
    registry.register_with_unit("latency", "How long.", Unit::Seconds, seconds);
    let info = Info::new(vec![("version", "1.2.3")]);
    registry.register("build", "What it is.", info);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus, Alertmanager, node_exporter and the client for Python: .ci/run end_to_end"]
async fn what_real_targets_expose_arrives_by_value() {
    let folder = tempfile::tempdir().unwrap();
    let Some(python) = process::python(&["prometheus_client"]) else {
        return;
    };
    let Some(alertmanager) = process::find("prometheus-alertmanager") else {
        return;
    };
    let Some((_node, node)) = node_exporter(folder.path()).await.unwrap() else {
        return;
    };
    let Some(peer) = Prometheus::start(folder.path(), NOTHING_TO_SCRAPE)
        .await
        .unwrap()
    else {
        return;
    };
    let prometheus = peer
        .client
        .base_url()
        .trim_start_matches("http://")
        .to_owned();

    let file = folder.path().join("alertmanager.yml");
    std::fs::write(
        &file,
        "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n",
    )
    .unwrap();
    let alerts = format!("127.0.0.1:{}", process::free_port().unwrap());
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.path={}", folder.path().join("alerts").display()),
        format!("--web.listen-address={alerts}"),
        "--cluster.listen-address=".to_owned(),
    ];
    let started = Program::start("alertmanager", &alertmanager, arguments, &[], folder.path());
    let mut alertmanager = started.unwrap();
    let metrics = |target: &str| format!("http://{target}/metrics");
    alertmanager
        .ready(&metrics(&alerts), PATIENCE)
        .await
        .unwrap();

    let script = folder.path().join("target.py");
    std::fs::write(&script, include_str!("prometheus_client.py")).unwrap();
    let port = process::free_port().unwrap().to_string();
    let arguments = [script.display().to_string(), port.clone()];
    let started = Program::start("python", &python, arguments, &[], folder.path());
    let (mut in_python, python) = (started.unwrap(), format!("127.0.0.1:{port}"));
    in_python.ready(&metrics(&python), PATIENCE).await.unwrap();

    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let rust = FixedPage::start(openmetrics, page_of_rust_client())
        .await
        .unwrap();

    let (text, open) = ("PrometheusText0.0.4", "OpenMetricsText1.0.0");
    let all = "PrometheusProto, OpenMetricsText1.0.0, OpenMetricsText0.0.1, PrometheusText1.0.0, PrometheusText0.0.4";
    let jobs = [
        ("node", node.as_str(), all, 300),
        ("prometheus", &prometheus, all, 200),
        ("prometheus_text", &prometheus, text, 200),
        ("alertmanager", &alerts, all, 100),
        ("alertmanager_open", &alerts, open, 100),
        ("python_text", &python, text, 20),
        ("python_open", &python, open, 20),
        ("python_text1", &python, "PrometheusText1.0.0", 20),
        ("rust", &rust.target(), open, 11),
    ];
    let mut config =
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs:\n".to_owned();
    for (name, target, protocols, _) in &jobs {
        config += &job(name, target, protocols);
    }
    let setup = ServerSetup::new(folder.path(), &config).unwrap();
    let _varve = setup.start().await.unwrap();
    for (name, target, _, least) in &jobs {
        assert_arrives(&setup.client(), name, &metrics(target), *least).await;
    }
    // Every bit of a number that is not one, and text with all that has to be escaped.
    let client = setup.client();
    let now = scraped(&client, "python_open", now_ms()).await;
    let ours = stored(&client, "python_open", now).await;
    let of = |name: &str| ours.iter().find(|(s, _)| s["__name__"] == name).unwrap();
    assert!(of("nothing").1.is_nan());
    assert!(
        ours.keys()
            .any(|s| s.get("kind").is_some_and(|k| k == "quo\"te \\ and\nline"))
    );
}
