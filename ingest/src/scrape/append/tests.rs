#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use varve_storage::is_stale_nan;

use super::*;
use crate::config::Config;

#[path = "exemplars.rs"]
mod exemplars;
#[path = "histograms.rs"]
mod histograms;
#[path = "hostile.rs"]
mod hostile;
#[path = "starts.rs"]
mod starts;

/// One target, scraped again and again without a network.
struct Fixture {
    config: Arc<ScrapeConfig>,
    cache: ScrapeCache,
    metrics: ScrapeMetrics,
    target: Labels,
    starts: StartTimestamps,
    time_ms: i64,
}

/// What a scrape left: rows as text, and the counts.
struct Outcome {
    rows: Vec<String>,
    exemplars: Vec<Exemplar>,
    error: Option<String>,
    scraped: u64,
    post_relabeling: u64,
    series_added: u64,
}

fn show(rows: &[SampleRow]) -> Vec<String> {
    let mut out: Vec<_> = rows
        .iter()
        .map(|row| {
            let value = match &row.value {
                SampleValue::Histogram(histogram) => format!("count {}", histogram.count),
                SampleValue::Float(value) if is_stale_nan(*value) => "stale".to_owned(),
                SampleValue::Float(value) => value.to_string(),
            };
            let labels: Vec<_> = row
                .series
                .labels
                .iter()
                .map(|(n, v)| format!("{n}={v}"))
                .collect();
            let start = match row.start_timestamp_ms {
                NO_START_MS => String::new(),
                start_ms => format!(" since {start_ms}"),
            };
            let time_ms = row.timestamp_ms;
            format!("{} {value} @{time_ms}{start}", labels.join(" "))
        })
        .collect();
    out.sort();
    out
}

impl Fixture {
    fn new(job: &str) -> Self {
        let text = format!("scrape_configs: [{{job_name: j{job}}}]");
        let config = Config::parse(&text, Path::new("")).unwrap();
        Self {
            config: Arc::clone(&config.scrape_configs[0]),
            cache: ScrapeCache::default(),
            metrics: ScrapeMetrics::default(),
            target: Labels::from_pairs([("job", "j")]),
            starts: StartTimestamps::default(),
            time_ms: 0,
        }
    }

    /// Scrapes `body` a second after the last scrape; a failed scrape is followed by an empty one, as in a loop.
    fn scrape(&mut self, body: &str) -> Outcome {
        let format = match body.ends_with("# EOF\n") {
            true => Format::OpenMetrics,
            false => Format::Text,
        };
        self.scrape_as(format, body.as_bytes())
    }

    fn scrape_as(&mut self, format: Format, body: &[u8]) -> Outcome {
        self.time_ms += 1000;
        let context = PassContext {
            config: &self.config,
            target: &self.target,
            metrics: &self.metrics,
            time_ms: self.time_ms,
            options: ReadOptions {
                start_timestamps: self.starts.wanted(),
                ..self.config.read_options()
            },
            starts: self.starts,
        };
        let (pass, result) = pass(body, format, &mut self.cache, &context);
        let rows = match result {
            Ok(()) => show(&pass.samples),
            Err(_) => show(&empty_pass(&mut self.cache, &context)),
        };
        Outcome {
            rows,
            exemplars: pass.exemplars,
            error: result.err().map(|error| error.to_string()),
            scraped: pass.scraped,
            post_relabeling: pass.post_relabeling,
            series_added: pass.series_added,
        }
    }

    fn rows(&mut self, body: &str) -> Vec<String> {
        let outcome = self.scrape(body);
        assert_eq!(outcome.error, None, "{body}");
        outcome.rows
    }
}

#[test]
fn series_that_go_get_one_stale_marker() {
    let mut target = Fixture::new("");
    assert_eq!(
        target.rows("a 1\nb 2\n"),
        ["__name__=a job=j 1 @1000", "__name__=b job=j 2 @1000"]
    );
    assert_eq!(
        target.rows("b 3\n"),
        ["__name__=a job=j stale @2000", "__name__=b job=j 3 @2000"]
    );
    assert_eq!(target.rows("b 3\n"), ["__name__=b job=j 3 @3000"]);
    // It comes back, and everything goes.
    assert_eq!(target.rows("b 3\na 4\n").len(), 2);
    assert_eq!(
        target.rows("# nothing\n"),
        [
            "__name__=a job=j stale @5000",
            "__name__=b job=j stale @5000"
        ]
    );
    assert!(target.rows("# nothing\n").is_empty());
}

#[test]
fn counts_are_those_of_the_report_series() {
    let mut target = Fixture::new(
        ", metric_relabel_configs: [{source_labels: [__name__], regex: drop.*, action: drop}]",
    );
    let first = target.scrape("a 1\nb 2\ndrop_me 3\n");
    assert_eq!(
        (first.scraped, first.post_relabeling, first.series_added),
        (3, 2, 2)
    );
    let second = target.scrape("a 1\ndrop_me 3\nc 2\n");
    assert_eq!(
        (second.scraped, second.post_relabeling, second.series_added),
        (3, 2, 1)
    );
    assert_eq!(second.rows.len(), 3);
}

#[test]
fn the_order_of_series_may_change() {
    let mut target = Fixture::new("");
    target.rows("a 1\nb 2\nc 3\n");
    for body in [
        "c 3\na 1\nb 2\n",
        "b 2\nc 3\na 1\n",
        "a{} 1\nb 2\nc 3\n",
        "a 1\nb 2\nc 3\n",
    ] {
        let outcome = target.scrape(body);
        assert_eq!(outcome.rows.len(), 3, "{body}");
        assert!(
            outcome.rows.iter().all(|row| !row.contains("stale")),
            "{body}: {:?}",
            outcome.rows
        );
    }
}

#[test]
fn of_duplicates_the_first_stands() {
    let mut target = Fixture::new("");
    for _ in 0..2 {
        let rows =
            target.rows("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 5\na{x=\"1\",y=\"2\"} 9\n");
        assert_eq!(rows.len(), 1);
        assert!(
            rows[0].starts_with("__name__=a job=j x=1 y=2 1 "),
            "{rows:?}"
        );
    }
    // What is seen twice in the very same spelling is counted as a duplicate.
    assert_eq!(target.metrics.samples_duplicate.load(Ordering::Relaxed), 2);
}

#[test]
fn conflicting_labels_are_exported_or_honoured() {
    let body = "a{job=\"own\",exported_job=\"x\"} 1\n";
    assert_eq!(
        Fixture::new("").rows(body),
        ["__name__=a exported_exported_job=own exported_job=x job=j 1 @1000"]
    );
    let honour = ", honor_labels: true";
    assert_eq!(
        Fixture::new(honour).rows(body),
        ["__name__=a exported_job=x job=own 1 @1000"]
    );
    // An empty label keeps the target's away.
    assert_eq!(
        Fixture::new(honour).rows("a{job=\"\"} 1\n"),
        ["__name__=a 1 @1000"]
    );
}

#[test]
fn timestamps_of_the_exposition() {
    let mut target = Fixture::new("");
    assert_eq!(
        target.rows("a 1 500\nb 2\n"),
        ["__name__=a job=j 1 @500", "__name__=b job=j 2 @1000"]
    );
    // The same sample again is not written again, an older one is dropped, and no stale marker follows.
    assert_eq!(target.rows("a 1 500\nb 2\n"), ["__name__=b job=j 2 @2000"]);
    assert_eq!(target.rows("a 1 400\nb 2\n"), ["__name__=b job=j 2 @3000"]);
    assert_eq!(target.rows("b 2\n"), ["__name__=b job=j 2 @4000"]);
    assert_eq!(
        target.rows("c 1 9999999999\n"),
        ["__name__=b job=j stale @5000"]
    );
    assert_eq!(
        target.metrics.samples_out_of_order.load(Ordering::Relaxed),
        1
    );
    assert_eq!(
        target.metrics.samples_out_of_bounds.load(Ordering::Relaxed),
        1
    );

    let mut ignoring = Fixture::new(", honor_timestamps: false");
    assert_eq!(ignoring.rows("a 1 500\n"), ["__name__=a job=j 1 @1000"]);
    let mut tracking = Fixture::new(", track_timestamps_staleness: true");
    tracking.rows("a 1 500\n");
    assert_eq!(
        tracking.rows("b 1 600\n"),
        ["__name__=a job=j stale @2000", "__name__=b job=j 1 @600"]
    );
}

#[test]
fn a_failed_scrape_stores_nothing_and_ends_what_was_there() {
    let mut target = Fixture::new("");
    target.rows("a 1\nb 2 700\n");
    let failed = target.scrape("# HELP a x\nc 2 900\nbroken\n");
    assert_eq!(
        failed.error.unwrap(),
        "line 3: expected value after metric, got \"\\n\" (\"INVALID\") while parsing: \"broken\\n\""
    );
    assert_eq!(failed.rows, ["__name__=a job=j stale @2000"]);
    assert_eq!(failed.scraped, 1);
    // The sample of the failed scrape was not stored, so the same one is new.
    assert_eq!(target.rows("c 2 900\n"), ["__name__=c job=j 2 @900"]);
}

#[test]
fn series_that_a_failed_scrape_saw_stay_alive() {
    // Prometheus's behaviour: what was read before the error counts as seen.
    let mut target = Fixture::new("");
    target.rows("a 1\nb 2\n");
    let failed = target.scrape("a 1\nbroken\n");
    assert_eq!(failed.rows, ["__name__=b job=j stale @2000"]);
    assert_eq!(
        target.rows("b 1\n"),
        ["__name__=a job=j stale @3000", "__name__=b job=j 1 @3000"]
    );
}

#[test]
fn limits_fail_the_scrape_and_say_which() {
    let mut samples = Fixture::new(", sample_limit: 2");
    assert_eq!(samples.rows("a 1\nb 2\n").len(), 2);
    let over = samples.scrape("a 1\nb 2\nc 3\nd 4\n");
    assert_eq!(over.error.unwrap(), "sample limit exceeded");
    // The count goes on to the end, so that the report tells by how much.
    assert_eq!(
        (over.scraped, over.post_relabeling, over.series_added),
        (4, 4, 0)
    );
    for (limit, message) in [
        (
            "label_limit: 2",
            "label_limit exceeded (metric: m, number of labels: 3, limit: 2)",
        ),
        (
            "label_name_length_limit: 8",
            "label_name_length_limit exceeded (metric: m, label name: long_name, length: 9, limit: 8)",
        ),
        (
            "label_value_length_limit: 4",
            "label_value_length_limit exceeded (metric: m, label name: long_name, value: \"value\", length: 5, limit: 4)",
        ),
    ] {
        let outcome = Fixture::new(&format!(", {limit}")).scrape("m{long_name=\"value\"} 1\n");
        assert_eq!(outcome.error.unwrap(), message);
    }
    let labels: Vec<_> = (0..1001).map(|i| format!("l{i}=\"x\"")).collect();
    let outcome = Fixture::new("").scrape(&format!("m{{{}}} 1\n", labels.join(",")));
    assert!(outcome.error.unwrap().contains("at most 1000 labels"));
}

#[test]
fn what_cannot_be_a_series_fails_the_scrape() {
    let unnamed = ", metric_relabel_configs: [{regex: __name__, action: labeldrop}]";
    assert_eq!(
        Fixture::new(unnamed).scrape("a 1\n").error.unwrap(),
        "missing metric name (__name__ label)"
    );
    let legacy = ", metric_name_validation_scheme: legacy";
    assert_eq!(
        Fixture::new(legacy).scrape("{\"a.b\"} 1\n").error.unwrap(),
        "invalid metric name or label names: {__name__=\"a.b\", job=\"j\"}"
    );
    assert_eq!(
        Fixture::new("").rows("{\"a.b\"} 1\n"),
        ["__name__=a.b job=j 1 @1000"]
    );
}

#[test]
fn metadata_is_handed_over_when_it_changes() {
    let mut target = Fixture::new("");
    target.rows("# HELP a Old.\n# TYPE a counter\na 1\n");
    let changed = target.cache.take_changed_metadata();
    assert_eq!(changed.len(), 1);
    assert_eq!(
        (changed[0].help.as_str(), changed[0].kind.as_str()),
        ("Old.", "counter")
    );
    target.rows("# HELP a Old.\n# TYPE a counter\na 1\n");
    assert!(target.cache.take_changed_metadata().is_empty());
    target.rows("# HELP a New.\n# TYPE a counter\na 1\n");
    assert_eq!(target.cache.take_changed_metadata()[0].help, "New.");
    // It outlives its family for ten scrapes.
    for _ in 0..11 {
        target.rows("b 1\n");
    }
    assert!(target.cache.metadata().is_empty());
}

#[test]
fn the_cache_forgets_what_is_gone() {
    let mut target = Fixture::new("");
    for round in 0..50 {
        let body: String = (0..100)
            .map(|i| format!("m{{id=\"{round}_{i}\"}} 1\n"))
            .collect();
        target.rows(&body);
        assert!(target.cache.entries() <= 450, "{}", target.cache.entries());
    }
    // Failed scrapes may not fill it without bound either.
    for round in 0..100 {
        let body: String = (0..100)
            .map(|i| format!("n{{id=\"{round}_{i}\"}} 1\n"))
            .collect();
        assert!(target.scrape(&format!("{body}broken\n")).error.is_some());
        assert!(target.cache.entries() <= 3000, "{}", target.cache.entries());
    }
}

#[test]
fn a_sample_must_follow_the_newest_of_its_series() {
    let mut target = Fixture::new("");
    assert_eq!(
        target.rows("a 1\nb 1 1000\n"),
        ["__name__=a job=j 1 @1000", "__name__=b job=j 1 @1000"]
    );
    // Earlier than the scrape before, another value for its time, the same once more.
    assert_eq!(
        target.rows("a 2 900\nb 2 1000\n"),
        ["__name__=a job=j stale @2000"]
    );
    assert_eq!(target.rows("a 2 2000\nb 1 1000\n"), Vec::<String>::new());
    // Ahead of time: later scrapes wait until it has come.
    assert_eq!(target.rows("a 3 6000\n"), ["__name__=a job=j 3 @6000"]);
    assert_eq!(target.rows("a 4\n"), Vec::<String>::new());
    assert_eq!(target.rows("a 4\n"), Vec::<String>::new());
    assert_eq!(target.rows("a 4\n"), ["__name__=a job=j 4 @7000"]);
    assert_eq!(
        target.metrics.samples_out_of_order.load(Ordering::Relaxed),
        2
    );
}

#[test]
fn within_a_scrape_times_may_only_rise() {
    let mut target = Fixture::new("");
    let outcome = target.scrape("a 1 500\na 2 400\na 3 500\na 4 600\n");
    assert_eq!(
        outcome.rows,
        ["__name__=a job=j 1 @500", "__name__=a job=j 4 @600"]
    );
    assert_eq!((outcome.scraped, outcome.series_added), (4, 1));
}

#[test]
fn series_that_were_gone_still_refuse_what_is_older() {
    let mut target = Fixture::new("");
    target.rows("a 1\nb 1\n");
    assert_eq!(
        target.rows("b 1\n"),
        ["__name__=a job=j stale @2000", "__name__=b job=j 1 @2000"]
    );
    target.rows("b 1\n");
    let outcome = target.scrape("a 2 1500\n");
    assert_eq!(outcome.rows, ["__name__=b job=j stale @4000"]);
    // It stays new until a sample of it is taken.
    assert_eq!((outcome.post_relabeling, outcome.series_added), (1, 0));
    let outcome = target.scrape("a 2 2500\n");
    assert_eq!(outcome.rows, ["__name__=a job=j 2 @2500"]);
    assert_eq!(outcome.series_added, 1);
    // No track is left behind by what was never taken.
    for i in 0..100 {
        target.scrape(&format!("c{{i=\"{i}\"}} 1 9999999999\na 2 2500\n"));
    }
    assert!(target.cache.entries() < 10, "{}", target.cache.entries());
}

#[test]
fn samples_of_long_ago_are_taken() {
    let mut target = Fixture::new("");
    target.time_ms = 4_000_000_000;
    assert_eq!(
        target.rows("a 1 1000\na 2 16000\n"),
        ["__name__=a job=j 1 @1000", "__name__=a job=j 2 @16000"]
    );
    assert_eq!(
        target.metrics.samples_out_of_bounds.load(Ordering::Relaxed),
        0
    );
}

#[test]
fn two_spellings_of_a_series_are_two_series_added() {
    let mut target = Fixture::new("");
    let outcome = target.scrape("a{x=\"1\"} 1\na{x=\"1\",} 2\n");
    assert_eq!(outcome.rows, ["__name__=a job=j x=1 1 @1000"]);
    assert_eq!((outcome.post_relabeling, outcome.series_added), (2, 2));
}

#[test]
fn labels_that_cannot_be_stored_fail_the_scrape() {
    let mut target = Fixture::new("");
    for (body, message) in [
        (
            "a{b=\"1\",b=\"2\"} 1\n",
            "label name \"b\" is not unique: invalid sample",
        ),
        (
            "{\"a\",\"\"=\"x\"} 1\n",
            "invalid metric name or label names: {__name__=\"a\", job=\"j\"}",
        ),
    ] {
        assert_eq!(target.scrape(body).error.unwrap(), message);
    }
    // Where the sample is left out anyway, nobody looks at it.
    assert_eq!(
        target.rows("a{b=\"1\",b=\"2\"} 1 9999999999\n"),
        Vec::<String>::new()
    );
    assert_eq!(target.rows("{\"a\",\"\"=\"\"} 1\n").len(), 1);
}

#[test]
fn an_append_that_was_refused_is_forgotten() {
    let mut target = Fixture::new("");
    target.rows("a 1 500\n");
    target.cache.not_stored();
    assert_eq!(target.rows("a 1 500\n"), ["__name__=a job=j 1 @500"]);
    assert_eq!(target.rows("a 1 500\n"), Vec::<String>::new());
}
