//! The canonical text of queries, and their layout over several lines.

#![allow(clippy::unwrap_used)]

use varve_promql::{ParseOptions, parse, parse_with};

#[test]
fn canonical_text() {
    for (query, expected) in [
        ("sum by() (a)", "sum(a)"),
        ("sum(a)without()", "sum without () (a)"),
        (
            "topk  by(b,\"c.d\",'without') (5,a)",
            "topk by (b, \"c.d\", \"without\") (5, a)",
        ),
        ("count_values('v',a)", "count_values(\"v\", a)"),
        ("a-on()b", "a - on () b"),
        ("a-ignoring()b", "a - b"),
        (
            "a-ignoring()group_left b",
            "a - ignoring () group_left () b",
        ),
        (
            "a>=bool on(b,c)group_right(d)e",
            "a >= bool on (b, c) group_right (d) e",
        ),
        ("a and on(b) c", "a and on (b) c"),
        ("a + fill_left(5)fill_right(5) b", "a + fill (5) b"),
        (
            "a + fill_right(1e6)fill_left(-0x10) b",
            "a + fill_left (-16) fill_right (1e+06) b",
        ),
        ("a{c='d',b=\"\\u00e9\"}", "a{b=\"é\",c=\"d\"}"),
        (
            "{'a b', \"c.d\"!~`e\\d`}",
            "{\"c.d\"!~\"e\\\\d\",__name__=\"a b\"}",
        ),
        ("{__name__=\"\",a!=\"\"}", "{__name__=\"\",a!=\"\"}"),
        ("a[90]offset-1.5", "a[1m30s] offset -1s500ms"),
        ("a offset 1h anchored @ 5", "a @ 5.000 anchored offset 1h"),
        (
            "a[5m] offset 1m smoothed @ 1603774568.5",
            "a[5m] smoothed @ 1603774568.500 offset 1m",
        ),
        (
            "rate(a[5m:]@end()offset 1w)",
            "rate(a[5m:] @ end() offset 1w)",
        ),
        ("(a)[1h : 60] @ -0.001", "(a)[1h:1m] @ -0.001"),
        (
            "a[step()+(-range()*2^-1)]",
            "a[step() + (-range() * 2 ^ -1)]",
        ),
        ("a offset +min_of(10,+(5m))", "a offset min_of(10, (5m))"),
        ("a offset --5m-1", "a offset ++5m - 1"),
        ("0x10+1e3-.5e-7", "16 + 1000 - 0.00000005"),
        ("1h30m*-5m", "1h30m * -5m"),
        ("vector(inf)*-nan", "vector(+Inf) * NaN"),
        ("Inf^2", "Inf ^ 2"),
        ("-a^+b", "-a ^ +b"),
        ("'it\"s\\n\\xff'", "\"it\\\"s\\n\\xff\""),
    ] {
        let printed = parse_with(query, &ParseOptions::experimental())
            .unwrap()
            .to_string();
        assert_eq!(printed, expected, "{query}");
    }
}

#[test]
fn a_line_holds_a_hundred_bytes() {
    let query = |length: usize| format!("abs({})", "m".repeat(length - "abs()".len()));
    assert_eq!(parse(&query(100)).unwrap().prettify(), query(100));
    let metric = "m".repeat(96);
    assert_eq!(
        parse(&query(101)).unwrap().prettify(),
        format!("abs(\n  {metric}\n)")
    );
}

#[test]
fn long_queries_are_laid_out() {
    let query = "histogram_quantile(0.99, sum by (le, job, instance) (rate(http_request_duration_seconds_bucket{env=\"prod\"}[5m])))\
        and on (job) -(avg_over_time((up{env=\"production\"} * on (instance) group_left (team) owner)[1h:5m] @ end()) > bool 0.95)";
    let expected = r#"  histogram_quantile(
    0.99,
    sum by (le, job, instance) (rate(http_request_duration_seconds_bucket{env="prod"}[5m]))
  )
and on (job)
  -(
      avg_over_time((up{env="production"} * on (instance) group_left (team) owner)[1h:5m] @ end())
    > bool
      0.95
  )"#;
    assert_eq!(parse(query).unwrap().prettify(), expected);
}

#[test]
fn aggregations_and_sums_are_laid_out() {
    let long = "a_metric_with_a_very_long_name_that_goes_on_and_on_and_does_not_end";
    let query = format!("topk without (b) (5, {long} + ({long} - rate({long}[5m])))");
    let expected = format!(
        "topk without (b) (\n  5,\n    {long}\n  +\n    (\n        {long}\n      -\n        rate({long}[5m])\n    )\n)"
    );
    assert_eq!(parse(&query).unwrap().prettify(), expected);
}
