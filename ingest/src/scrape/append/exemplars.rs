//! Exemplars of scrapes.

use super::*;

/// Exemplars of a scrape, in order.
fn exemplars(target: &mut Fixture, body: &str) -> Vec<String> {
    let outcome = target.scrape(&format!("{body}# EOF\n"));
    assert_eq!(outcome.error, None, "{body}");
    let exemplars = outcome.exemplars.iter();
    exemplars
        .map(|e| {
            let metric = e.series.labels.metric_name();
            format!("{metric} {} {} @{}", e.labels, e.value, e.timestamp_ms)
        })
        .collect()
}

fn out_of_order(target: &Fixture) -> u64 {
    target
        .metrics
        .exemplars_out_of_order
        .load(Ordering::Relaxed)
}

#[test]
fn exemplars_belong_to_their_series_and_are_taken_once() {
    let mut target = Fixture::new("");
    let body =
        "# TYPE a counter\na_total 1 # {trace_id=\"t\",empty=\"\"} 0.5 1.5\nb 2 # {x=\"y\"} 3\n";
    let both = [
        r#"a_total {trace_id="t"} 0.5 @1500"#,
        r#"b {x="y"} 3 @1000"#,
    ];
    assert_eq!(exemplars(&mut target, body), both);
    // Targets repeat the last one; without a time of its own it is the same at any time.
    assert!(exemplars(&mut target, body).is_empty());
    let newer = body.replace("0.5 1.5", "0.5 2.5").replace("} 3", "} 4");
    assert_eq!(exemplars(&mut target, &newer).len(), 2);
    assert_eq!(out_of_order(&target), 0);
}

#[test]
fn older_exemplars_are_left_out() {
    let mut target = Fixture::new("");
    let of = |value: &str, time: &str| format!("a 1 # {{x=\"{value}\"}} {value} {time}\n");
    assert_eq!(exemplars(&mut target, &of("2", "3")).len(), 1);
    assert_eq!(exemplars(&mut target, &of("9", "2.9")).len(), 0);
    assert_eq!(exemplars(&mut target, &of("1", "3")).len(), 0);
    assert_eq!(out_of_order(&target), 2);
    assert_eq!(exemplars(&mut target, &of("3", "3")).len(), 1);
    let long = format!("a 1 # {{x=\"{}\"}} 1 9\n", "é".repeat(127));
    assert_eq!(exemplars(&mut target, &long).len(), 1);
    let longer = format!("a 1 # {{x=\"{}\"}} 1 10\n", "é".repeat(128));
    assert_eq!(exemplars(&mut target, &longer).len(), 0);
    assert_eq!(out_of_order(&target), 2);
}

#[test]
fn exemplars_go_with_their_samples() {
    let mut target = Fixture::new("");
    exemplars(&mut target, "a 1 5\n");
    // Out of order, twice in one scrape, and a failed scrape.
    assert!(exemplars(&mut target, "a 1 4 # {x=\"y\"} 1\n").is_empty());
    let twice = exemplars(&mut target, "b 1 # {x=\"y\"} 1\nb 1 # {x=\"z\"} 1\n");
    assert_eq!(twice, [r#"b {x="y"} 1 @3000"#]);
    let failed = target.scrape("c 1 # {x=\"y\"} 1\nb 1 # {x=\"z\"} 2\nbroken\n# EOF\n");
    assert!(failed.error.is_some() && failed.exemplars.is_empty());
    let next = exemplars(&mut target, "c 1 # {x=\"y\"} 1\nb 1 # {x=\"y\"} 1\n");
    assert_eq!(next, [r#"c {x="y"} 1 @5000"#]);
}

#[test]
fn converted_histograms_have_those_with_a_time_in_order() {
    let mut target = Fixture::new(", convert_classic_histograms_to_nhcb: true");
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {a=\"1\"} 0.5 0.9\nh_bucket{le=\"2\"} 2 # {b=\"1\"} 1.5 0.3\nh_bucket{le=\"+Inf\"} 3 # {c=\"1\"} 3\nh_count 3\n";
    let all = [r#"h {b="1"} 1.5 @300"#, r#"h {a="1"} 0.5 @900"#];
    assert_eq!(exemplars(&mut target, body), all);
    assert!(exemplars(&mut target, body).is_empty());
    // Not all were out of order: the newest one is known.
    assert_eq!(out_of_order(&target), 0);
    let older = body.replace("0.5 0.9", "0.5 0.8");
    assert!(exemplars(&mut target, &older).is_empty());
    assert_eq!(out_of_order(&target), 2);
    // Of one time, all values and labels count, the smaller ones first.
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {b=\"1\"} 0.5 2\nh_bucket{le=\"2\"} 2 # {a=\"1\"} 0.5 2\nh_bucket{le=\"3\"} 3 # {a=\"1\"} 0.25 2\nh_count 3\n";
    let all = [
        r#"h {a="1"} 0.25 @2000"#,
        r#"h {a="1"} 0.5 @2000"#,
        r#"h {b="1"} 0.5 @2000"#,
    ];
    assert_eq!(exemplars(&mut target, body), all);
}
