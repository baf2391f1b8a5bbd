//! Passes over native histograms.

use varve_storage::SampleValue;
use varve_storage::histogram::CounterResetHint::{Gauge, NotCounterReset, Unknown};

use super::*;
use varve_storage::protobuf::encode::Message;

/// A body with one histogram: its count, and the differences of its buckets at a schema.
fn body(kind: u64, schema: i32, deltas: &[i64]) -> Vec<u8> {
    let mut count = 0;
    let counts = deltas.iter().scan(0, |sum, delta| {
        *sum += delta;
        Some(*sum)
    });
    count += counts.sum::<i64>();
    let mut family = Message::default();
    family.string(1, "h");
    family.uint64(3, kind);
    family.message(4, |metric| {
        metric.message(7, |histogram| {
            histogram.uint64(1, count.unsigned_abs());
            histogram.double(2, 1.0);
            histogram.sint32(5, schema);
            histogram.message(12, |span| span.uint64(2, deltas.len() as u64));
            histogram.sint64s(13, deltas);
        });
    });
    let mut field = Message::default();
    field.bytes(1, family.as_bytes());
    field.into_bytes()[1..].to_vec()
}

impl Fixture {
    /// The histograms and stale markers of one scrape.
    fn histograms(&mut self, body: &[u8]) -> Result<Vec<FloatHistogram>> {
        self.time_ms += 1000;
        let context = PassContext {
            config: &self.config,
            target: &self.target,
            metrics: &self.metrics,
            time_ms: self.time_ms,
            options: self.config.read_options(),
            starts: self.starts,
        };
        let (pass, result) = pass(body, Format::Protobuf, &mut self.cache, &context);
        if let Err(error) = result {
            empty_pass(&mut self.cache, &context);
            return Err(error);
        }
        let histograms = pass.samples.into_iter().map(|row| match row.value {
            SampleValue::Histogram(histogram) => histogram.as_ref().clone(),
            SampleValue::Float(value) => unreachable!("{value}"),
        });
        Ok(histograms.collect())
    }
}

#[test]
fn hints_follow_from_the_scrape_before_and_the_end_is_a_histogram() {
    let mut target = Fixture::new(", scrape_native_histograms: true");
    let mut hints = Vec::new();
    for deltas in [&[1, 1][..], &[2, 1], &[1, 0], &[1, 1]] {
        let found = target.histograms(&body(4, 0, deltas)).unwrap();
        assert_eq!(found.len(), 1);
        hints.push(found[0].counter_reset_hint);
    }
    assert_eq!(hints, [Unknown, NotCounterReset, Unknown, NotCounterReset]);
    let ended = target.histograms(&body(4, 0, &[])[..0]).unwrap();
    assert!(varve_storage::is_stale_nan(ended[0].sum));
    let gauge = target.histograms(&body(5, 0, &[1])).unwrap();
    assert_eq!(gauge[0].counter_reset_hint, Gauge);
}

#[test]
fn too_many_buckets_are_merged_or_fail_the_scrape() {
    let mut target = Fixture::new(
        ", scrape_native_histograms: true, native_histogram_bucket_limit: 2, native_histogram_min_bucket_factor: 1.4",
    );
    // The factor allows schema 1; two more steps bring eight buckets down to two.
    let found = target
        .histograms(&body(4, 3, &[1, 0, 0, 0, 0, 0, 0, 0]))
        .unwrap();
    assert_eq!(found[0].count, 8.0);
    assert!(found[0].schema <= 1 && found[0].positive_buckets.len() <= 2);
    let mut wide = vec![0; 1000];
    wide[0] = 1;
    let error = target.histograms(&body(4, -4, &wide)).unwrap_err();
    assert_eq!(error.to_string(), "histogram bucket limit exceeded");
    assert!(target.histograms(&body(4, 0, &[1])).is_ok());
}

#[test]
fn classic_histograms_of_texts_are_converted() {
    let text = "# TYPE h histogram
h_bucket{a=\"1\",le=\"1\"} 1
h_bucket{a=\"1\",le=\"+Inf\"} 3
h_sum{a=\"1\"} 4.5
h_count{a=\"1\"} 3
h_bucket{a=\"2\",le=\"+Inf\"} 1
h_count{a=\"2\"} 1
h_sum{a=\"2\"} 0
h_count_other 7
# TYPE g gauge
g_bucket{le=\"1\"} 5
";
    let count = "__name__=h a=1 job=j count 3 @1000";
    let rows = |fields: &str| {
        let mut target = Fixture::new(fields);
        target.time_ms = 0;
        let mut rows = target.rows(text);
        rows.sort();
        rows
    };
    let converted = rows(", convert_classic_histograms_to_nhcb: true");
    assert_eq!(converted.len(), 4, "{converted:?}");
    assert!(converted.iter().any(|row| row == count), "{converted:?}");
    assert!(!converted.iter().any(|row| row.contains("h_sum")));
    let kept =
        rows(", convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true");
    assert_eq!(kept.len(), 11, "{kept:?}");
    // Contradictions give no histogram, and the series are not kept either.
    let mut target = Fixture::new(", convert_classic_histograms_to_nhcb: true");
    let wrong =
        "# TYPE h histogram\nh_bucket{le=\"1\"} 5\nh_bucket{le=\"+Inf\"} 3\nh_count 3\nx 1\n";
    assert_eq!(target.rows(wrong).len(), 1);
}

#[test]
fn labels_that_are_repeated_for_every_bucket_are_bounded() {
    let mut target = Fixture::new("");
    let value = "x".repeat(500_000);
    let mut family = Message::default();
    family.string(1, "h");
    family.uint64(3, 4);
    family.message(4, |metric| {
        metric.message(1, |label| {
            label.string(1, "a");
            label.string(2, &value);
        });
        metric.message(7, |histogram| {
            for bucket in 0..2_000 {
                histogram.message(3, |message| message.double(2, f64::from(bucket)));
            }
        });
    });
    let mut field = Message::default();
    field.bytes(1, family.as_bytes());
    let error = target.histograms(&field.into_bytes()[1..]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "new series take more than 536870912 bytes"
    );
}

/// A body of one family with one metric that has this histogram.
fn histogram(write: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut family = Message::default();
    family.string(1, "h");
    family.uint64(3, 4);
    family.message(4, |metric| metric.message(7, write));
    let mut field = Message::default();
    field.bytes(1, family.as_bytes());
    field.into_bytes()[1..].to_vec()
}

const NATIVE: &str = ", scrape_native_histograms: true";

#[test]
fn an_invalid_histogram_fails_the_scrape_unless_it_is_dropped() {
    let dropping = format!(
        "{NATIVE}, metric_relabel_configs: [{{source_labels: [__name__], regex: h, action: drop}}]"
    );
    let wrong = histogram(|histogram| {
        histogram.uint64(1, 9);
        histogram.message(12, |span| span.uint64(2, 1));
        histogram.sint64s(13, &[1]);
    });
    let error = Fixture::new(NATIVE).histograms(&wrong).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 observations found in buckets, but the Count field is 9: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)"
    );
    assert!(Fixture::new(&dropping).histograms(&wrong).is_ok());
    // Spans that do not fit the buckets are wrong in any case.
    let unfit = histogram(|histogram| {
        histogram.uint64(1, 1);
        histogram.message(12, |span| span.uint64(2, 2));
        histogram.sint64s(13, &[1]);
    });
    let error = Fixture::new(&dropping).histograms(&unfit).unwrap_err();
    assert_eq!(
        error.to_string(),
        "histogram \"h\": positive side: spans require 2 buckets, have 1"
    );
}

#[test]
fn a_schema_above_the_finest_is_wrong_unless_a_coarser_one_is_wanted() {
    let fine = body(4, 20, &[1]);
    let error = Fixture::new(NATIVE).histograms(&fine).unwrap_err();
    assert!(error.to_string().ends_with("got schema 20"), "{error}");
    let reducing = format!("{NATIVE}, native_histogram_min_bucket_factor: 1.1");
    let reduced = Fixture::new(&reducing).histograms(&fine).unwrap();
    assert_eq!((reduced[0].schema, reduced[0].count), (2, 1.0));
    let limited = format!("{NATIVE}, native_histogram_bucket_limit: 1");
    let wide = body(4, 20, &[1, 0]);
    let error = Fixture::new(&limited).histograms(&wide).unwrap_err();
    assert_eq!(error.to_string(), "histogram bucket limit exceeded");
}

#[test]
fn a_histogram_with_too_many_buckets_is_not_one_of_the_samples() {
    let limits = format!("{NATIVE}, native_histogram_bucket_limit: 1, sample_limit: 1");
    let mut target = Fixture::new(&limits);
    let mut wide = vec![0; 1000];
    wide[0] = 1;
    let mut exposed = body(4, -4, &wide);
    let gauge = |name: &str| {
        let mut family = Message::default();
        family.string(1, name);
        family.uint64(3, 1);
        family.message(4, |metric| metric.message(2, |gauge| gauge.double(1, 1.0)));
        let mut field = Message::default();
        field.bytes(1, family.as_bytes());
        field.into_bytes()[1..].to_vec()
    };
    exposed.extend(gauge("a"));
    let outcome = target.scrape_as(Format::Protobuf, &exposed);
    assert_eq!(outcome.error.unwrap(), "histogram bucket limit exceeded");
    assert_eq!(
        (
            outcome.scraped,
            outcome.post_relabeling,
            outcome.series_added
        ),
        (2, 2, 0)
    );
    let exceeded = &target.metrics.histogram_bucket_limit_exceeded;
    assert_eq!(exceeded.load(Ordering::Relaxed), 1);
    // Where there is one sample too many besides, that counts.
    exposed.extend(gauge("b"));
    let outcome = target.scrape_as(Format::Protobuf, &exposed);
    assert_eq!(outcome.error.unwrap(), "sample limit exceeded");
}

#[test]
fn a_stale_marker_of_the_target_ends_a_series_whatever_the_limit() {
    let gauge = |name: &str, value: f64| {
        let mut family = Message::default();
        family.string(1, name);
        family.uint64(3, 1);
        family.message(4, |metric| {
            metric.message(2, |gauge| gauge.double(1, value));
        });
        let mut field = Message::default();
        field.bytes(1, family.as_bytes());
        field.into_bytes()[1..].to_vec()
    };
    let mut target = Fixture::new(", sample_limit: 1");
    target.scrape_as(Format::Protobuf, &gauge("a", 1.0));
    let stale = gauge("a", varve_storage::stale_nan());
    let outcome = target.scrape_as(Format::Protobuf, &[stale, gauge("b", 2.0)].concat());
    assert_eq!(outcome.error, None);
    assert_eq!(
        outcome.rows,
        ["__name__=a job=j stale @2000", "__name__=b job=j 2 @2000"]
    );
}

#[test]
fn a_comment_ends_a_histogram_of_a_text() {
    let text = "# TYPE h histogram
h_bucket{le=\"1\"} 1
h_bucket{le=\"+Inf\"} 3

h_count 3
# said in between
h_sum 4
h_count 5
";
    let mut target = Fixture::new(", convert_classic_histograms_to_nhcb: true");
    let outcome = target.scrape(text);
    assert_eq!((outcome.scraped, outcome.error), (2, None));
    // What comes behind it is another histogram of the series, and the first one stands.
    assert_eq!(outcome.rows, ["__name__=h job=j count 3 @1000"]);
}
