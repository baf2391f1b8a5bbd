//! Formats over the network: what is asked for, what is made of the answer, and what is logged where there is none.

use varve_storage::protobuf::encode::Message;

use super::fixture::{Exposition, Fixture, gzip};
use super::*;

const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A counter with an exemplar and a start, in a gzip stream.
fn counter() -> Exposition {
    let time = |message: &mut Message, number, seconds| {
        message.message(number, |time| time.int64(1, seconds));
    };
    let mut family = Message::default();
    family.string(1, "c");
    family.string(2, "Help.");
    family.message(4, |metric| {
        metric.message(3, |counter| {
            counter.double(1, 4.0);
            counter.message(2, |exemplar| {
                exemplar.message(1, |label| {
                    label.string(1, "trace_id");
                    label.string(2, "t");
                });
                exemplar.double(2, 1.0);
                time(exemplar, 3, 77);
            });
            time(counter, 3, 55);
        });
    });
    let mut field = Message::default();
    field.bytes(1, family.as_bytes());
    Exposition {
        body: gzip(&field.into_bytes()[1..]),
        content_type: PROTOBUF,
        gzip: true,
        ..Exposition::text("")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protobuf_is_asked_for_where_starts_are_wanted() {
    let starts = StartTimestamps {
        store: true,
        zero_samples: false,
    };
    let fixture = Fixture::start_with(starts).await;
    fixture.server.answer(counter());
    fixture.apply("").await;
    fixture.wait("c", |value| value == 4.0).await;
    let accept = fixture.server.last_header("accept");
    assert!(
        accept.starts_with("application/vnd.google.protobuf;"),
        "{accept}"
    );
    // The exemplar is exposed again and again, and stored once.
    fixture.wait("up", |value| value == 1.0).await;
    fixture.sink.clear();
    fixture.wait("c", |value| value == 4.0).await;
    assert_eq!(fixture.sink.exemplars_ms(), [0; 0]);
    let rows = fixture.sink.rows();
    let mut counters = rows
        .iter()
        .filter(|row| row.series.labels.metric_name() == "c");
    assert!(counters.all(|row| row.start_timestamp_ms == 55_000));

    let job = "scrape_protocols: [PrometheusText0.0.4]";
    fixture.apply(job).await;
    let accept = "text/plain;version=0.0.4;q=0.6,*/*;q=0.5";
    fixture.server.wait_header("accept", accept).await;
    fixture.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_logged_in_a_file() {
    let fixture = Fixture::start().await;
    fixture.server.answer(Exposition {
        status: 503,
        ..Exposition::text("")
    });
    let file = fixture.folder.path().join("failures.log");
    fixture.apply("scrape_failure_log_file: failures.log").await;
    let line = async {
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Some((line, _)) = text.split_once('\n') {
                break line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let line = tokio::time::timeout(Duration::from_secs(30), line)
        .await
        .unwrap();
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    let fields = ["level", "msg", "job_name", "target"];
    let fields = fields.map(|name| json[name].as_str().unwrap().to_owned());
    let target = format!("http://{}/metrics", fixture.server.address);
    let message = "server returned HTTP status 503 Service Unavailable";
    assert_eq!(fields, ["ERROR", message, "j", &target]);
    assert!(json["time"].is_string() && json["source"].is_string());
    // The file is opened anew with the configuration, and one that is not there to be written is an error, which changes nothing.
    std::fs::rename(&file, fixture.folder.path().join("old.log")).unwrap();
    fixture.apply("scrape_failure_log_file: failures.log").await;
    assert!(file.exists());
    let config = fixture.config("scrape_failure_log_file: none/failures.log");
    let error = fixture.manager.apply(&config).await.unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("can't create json log file: open "),
        "{error}"
    );
    fixture.server.say("a 1\n");
    fixture.wait("a", |value| value == 1.0).await;
    fixture.manager.shutdown().await;
}
