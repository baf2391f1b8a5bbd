#![allow(clippy::unwrap_used, clippy::panic)]

mod quirks;
mod starts;

use proptest::prelude::*;

use super::*;

/// Everything that an exposition says, one line per entry.
fn read(input: &[u8], format: Format) -> Result<Vec<String>, ExpositionError> {
    let mut parser = Parser::new(input, format);
    let mut out = Vec::new();
    while let Some(entry) = parser.next(b"")? {
        out.push(match entry {
            Entry::Type(family, kind) => {
                format!("TYPE {} {}", String::from_utf8_lossy(family), kind.as_str())
            }
            Entry::Help(family, text) => {
                format!("HELP {} {text:?}", String::from_utf8_lossy(family))
            }
            Entry::Unit(family, unit) => {
                format!("UNIT {} {unit:?}", String::from_utf8_lossy(family))
            }
            Entry::Series(sample) => {
                let labels = parser.labels()?;
                let labels: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
                let mut line = format!("{} {}", labels.join(" "), sample.value);
                if let Some(timestamp_ms) = sample.timestamp_ms {
                    line.push_str(&format!(" @{timestamp_ms}"));
                }
                if let Some(exemplar) = parser.exemplar() {
                    line.push_str(&format!(" # {:?} {}", exemplar.labels, exemplar.value));
                    if let Some(timestamp_ms) = exemplar.timestamp_ms {
                        line.push_str(&format!(" @{timestamp_ms}"));
                    }
                }
                line
            }
        });
    }
    Ok(out)
}

fn text(input: &str) -> Vec<String> {
    read(input.as_bytes(), Format::Text).unwrap_or_else(|error| panic!("{input:?}: {error}"))
}

fn open_metrics(input: &str) -> Vec<String> {
    read(input.as_bytes(), Format::OpenMetrics).unwrap_or_else(|error| panic!("{input:?}: {error}"))
}

#[test]
fn the_text_format_in_all_its_freedom() {
    let series = |line: &str, expected: &str| assert_eq!(text(line), [expected], "{line:?}");
    series("a 1", r#"__name__="a" 1"#);
    series("a\t1 \t 123 \n", r#"__name__="a" 1 @123"#);
    // Blanks before a name become part of it, as in Prometheus; those before a brace do not.
    series("  a\t{b=\"c\"} 1\n", r#"__name__="  a" b="c" 1"#);
    series(" {\"a\"} 1\n", r#"__name__="a" 1"#);
    series(
        "some:rate5m{a_b=\"c\"}\t1\n",
        r#"__name__="some:rate5m" a_b="c" 1"#,
    );
    series(
        "a { q = \"1\" , b= \"x\", } 2\n",
        r#"__name__="a" q="1" b="x" 2"#,
    );
    // Labels need no comma between them, as in Prometheus.
    series("a{q=\"1\" b=\"x\"}2", r#"__name__="a" q="1" b="x" 2"#);
    series("a{} 2", r#"__name__="a" 2"#);
    series("a-1", r#"__name__="a" -1"#);
    series("a{b=\"x\ny\"} 1", r#"__name__="a" b="x\ny" 1"#);
    series(
        "a{b=\"\\\\ \\n \\\" \\x\"} 1",
        r#"__name__="a" b="\\ \n \" \\x" 1"#,
    );
    series("a{b=\"abc\0\"} 1", r#"__name__="a" b="abc\0" 1"#);
    series(r#"{"a.b"} 99"#, r#"__name__="a.b" 99"#);
    series(
        r#"{ "a.b" , "l.x"="1",c="2", } 9"#,
        r#"__name__="a.b" l.x="1" c="2" 9"#,
    );
    series(r#"{q="0","a.b"} 9"#, r#"__name__="a.b" q="0" 9"#);
    series("{\"ö {\\n\\\"}\"} 1", r#"__name__="ö {\n\"}" 1"#);
    series("a NaN", r#"__name__="a" NaN"#);
    series("a -Inf", r#"__name__="a" -inf"#);
    assert!(
        text("").is_empty() && text("\n \n\t\n# comment\n#\n#HELP a b\n# HELPa b\n").is_empty()
    );
    // Where a line begins with a NUL the input ends.
    assert_eq!(text("a 1\n\0rubbish"), [r#"__name__="a" 1"#]);
}

#[test]
fn text_metadata() {
    assert_eq!(
        text(
            "# HELP a Some help \\n \\\\ \\\" text.\n# \tTYPE a summary\na{quantile=\"0\"} 1\na{quantile=\"x\",le=\"1\"} 2\n\
             # HELP nohelp\n# HELP blank  \n# TYPE h histogram\nh_bucket{le=\"1000000\"} 1\nh_bucket{le=\"+Inf\"} 1\n\
             # TYPE u untyped\nu{le=\"10\"} 1\n# HELP \"q.n\" \tx\n# HELP n foo\0bar"
        ),
        [
            r#"HELP a "Some help \n \\ \\\" text.""#,
            "TYPE a summary",
            r#"__name__="a" quantile="0.0" 1"#,
            r#"__name__="a" quantile="x" le="1" 2"#,
            r#"HELP nohelp """#,
            r#"HELP blank """#,
            "TYPE h histogram",
            r#"__name__="h_bucket" le="1e+06" 1"#,
            r#"__name__="h_bucket" le="+Inf" 1"#,
            "TYPE u unknown",
            r#"__name__="u" le="10" 1"#,
            r#"HELP q.n "\tx""#,
            r#"HELP n "foo\0bar""#,
        ]
    );
}

#[test]
fn open_metrics_with_units_exemplars_and_timestamps() {
    assert_eq!(
        open_metrics(
            "# HELP foo Help \\\" \\n \\\\.\n# TYPE foo counter\n# UNIT s_seconds seconds\n# UNIT nounit \n\
             foo_total 17.0 1520879607.789 # {id=\"counter-test\"} 5\n\
             foo_total{a=\"b\"} 17.0 # {id=\"x\",q=\"y\"} 5 123.321\nfoo_created 1.5e9\n\
             # TYPE hh histogram\nhh_bucket{le=\"1\"} 1 # {} 0.5\n# TYPE g gaugehistogram\n# TYPE i info\n# TYPE st stateset\n# TYPE un unknown\n\
             {\"a.b\",c=\"d\",} 1 -0.5\nm nan\n# EOF\n"
        ),
        [
            r#"HELP foo "Help \" \n \\.""#,
            "TYPE foo counter",
            r#"UNIT s_seconds "seconds""#,
            r#"UNIT nounit """#,
            r#"__name__="foo_total" 17 @1520879607789 # [("id", "counter-test")] 5"#,
            r#"__name__="foo_total" a="b" 17 # [("id", "x"), ("q", "y")] 5 @123321"#,
            r#"__name__="foo_created" 1500000000"#,
            "TYPE hh histogram",
            r#"__name__="hh_bucket" le="1.0" 1 # [] 0.5"#,
            "TYPE g gaugehistogram",
            "TYPE i info",
            "TYPE st stateset",
            "TYPE un unknown",
            r#"__name__="a.b" c="d" 1 @-500"#,
            r#"__name__="m" NaN"#,
        ]
    );
    assert!(open_metrics("# EOF").is_empty() && open_metrics("# EOF\n").is_empty());
}

#[test]
fn text_errors_have_prometheus_words() {
    for (input, message) in [
        (
            &b"a"[..],
            r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n""#,
        ),
        (
            b"a{b='c'} 1\n",
            r#"expected label value, got "'" ("INVALID") while parsing: "a{b='""#,
        ),
        (
            b"a{b=\n",
            r#"expected label value, got "\n" ("INVALID") while parsing: "a{b=\n""#,
        ),
        (
            b"a{\xff=\"foo\"} 1\n",
            r#"expected label name, got "\xff" ("INVALID") while parsing: "a{\xff""#,
        ),
        (
            b"a{b=\"\xff\"} 1\n",
            r#"invalid UTF-8 label value: "\"\xff\"""#,
        ),
        (
            br#"{"a", "b = "c"}"#,
            r#"expected equal, got "c\"" ("LNAME") while parsing: "{\"a\", \"b = \"c\"""#,
        ),
        (
            br#"{"a",b\nc="d"} 1"#,
            r#"expected equal, got "\\" ("INVALID") while parsing: "{\"a\",b\\""#,
        ),
        (
            b"a true\n",
            r#"strconv.ParseFloat: parsing "true": invalid syntax while parsing: "a true""#,
        ),
        (
            b"something_weird{problem=\"",
            r#"expected label value, got "\"\n" ("INVALID") while parsing: "something_weird{problem=\"\n""#,
        ),
        (
            b"empty_label_name{=\"\"} 0",
            r#"expected label name, got "=\"" ("EQUAL") while parsing: "empty_label_name{=\"""#,
        ),
        (
            b"{A}0",
            r#"expected equal, got "}0" ("BCLOSE") while parsing: "{A}0""#,
        ),
        (
            b"foo 1_2\n",
            r#"unsupported character in float while parsing: "foo 1_2""#,
        ),
        (
            b"foo 0x1p-3\n",
            r#"unsupported character in float while parsing: "foo 0x1p-3""#,
        ),
        (
            b"foo 0 1_2\n",
            r#"expected next entry after timestamp, got "_" ("INVALID") while parsing: "foo 0 1_""#,
        ),
        (
            b"{a=\"ok\"} 1",
            r#"metric name not set while parsing: "{a=\"ok\"} 1""#,
        ),
        (
            b"# TYPE #\n#EOF\n",
            r##"expected metric name after TYPE, got "#" ("INVALID") while parsing: "# TYPE #""##,
        ),
        (
            b"# HELP #\n#EOF\n",
            r##"expected metric name after HELP, got "#" ("INVALID") while parsing: "# HELP #""##,
        ),
        (
            b"a{b=\0\"ssss\"} 1\n",
            r#"expected label value, got "\x00" ("INVALID") while parsing: "a{b=\x00""#,
        ),
        (
            b"a{b=\"\0",
            r#"expected label value, got "\"\x00\n" ("INVALID") while parsing: "a{b=\"\x00\n""#,
        ),
        (
            b"a{b\0=\"hiih\"}\t1",
            r#"expected equal, got "\x00" ("INVALID") while parsing: "a{b\x00""#,
        ),
        (
            b"a\0{b=\"ddd\"} 1",
            r#"expected value after metric, got "\x00" ("INVALID") while parsing: "a\x00""#,
        ),
        (
            b"a 0 1\0",
            r#"expected next entry after timestamp, got "\x00" ("INVALID") while parsing: "a 0 1\x00""#,
        ),
        (b"# TYPE a foo\n", r#"invalid metric type "foo""#),
        (
            b"# TYPE a counter\r\n",
            r#"invalid metric type "counter\r""#,
        ),
        (
            b"# HELP a \xff\n",
            "help text \"\u{fffd}\" is not a valid utf8 string",
        ),
        (
            b"a 1\r\n",
            r#"strconv.ParseFloat: parsing "1\r": invalid syntax while parsing: "a 1\r""#,
        ),
        (
            b"a 1 -5\n",
            r#"expected timestamp or new record, got "-" ("INVALID") while parsing: "a 1 -""#,
        ),
        (
            b"a 1 99999999999999999999\n",
            r#"strconv.ParseInt: parsing "99999999999999999999": value out of range while parsing: "a 1 99999999999999999999""#,
        ),
        (
            b"a{\"b\"} 1\n",
            r#"metric name already set while parsing: "a{\"b\"}""#,
        ),
        (
            b"{\"\xff\"} 1\n",
            r#"invalid metric name or label names: "{\"\xff\"} 1\n""#,
        ),
        (
            b"9 1\n",
            r#"expected a valid start token, got "9" ("INVALID") while parsing: "9""#,
        ),
    ] {
        let error = read(input, Format::Text).unwrap_err();
        assert_eq!(error.message, message, "{}", String::from_utf8_lossy(input));
    }
}

#[test]
fn open_metrics_errors_have_prometheus_words() {
    for (input, message) in [
        (&b""[..], "data does not end with # EOF"),
        (
            b"\n",
            r#"expected a valid start token, got "\n" ("INVALID") while parsing: "\n""#,
        ),
        (b"metric 1", "data does not end with # EOF"),
        (b"metric 1\n", "data does not end with # EOF"),
        (
            b"metric_total 1 # {aa=\"bb\"} 4",
            "data does not end with # EOF",
        ),
        (
            b"a\n#EOF\n",
            r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n""#,
        ),
        (
            b" a 1\n#EOF\n",
            r#"expected a valid start token, got " " ("INVALID") while parsing: " ""#,
        ),
        (
            b"9\n#EOF\n",
            r#"expected a valid start token, got "9" ("INVALID") while parsing: "9""#,
        ),
        (
            b"# TYPE u untyped\n#EOF\n",
            r#"invalid metric type "untyped""#,
        ),
        (
            b"# TYPE c counter \n#EOF\n",
            r#"invalid metric type "counter ""#,
        ),
        (
            b"#  TYPE c counter\n#EOF\n",
            r##"expected a valid start token, got "#  " ("INVALID") while parsing: "#  ""##,
        ),
        (
            b"# TYPE \n#EOF\n",
            r##"expected metric name after TYPE, got "\n" ("INVALID") while parsing: "# TYPE \n""##,
        ),
        (b"# TYPE m\n#EOF\n", "expected text in TYPE"),
        (
            b"# UNIT metric suffix\n#EOF\n",
            r#"unit "suffix" not a suffix of metric "metric""#,
        ),
        (
            b"# UNIT metricsuffix suffix\n#EOF\n",
            r#"unit "suffix" not a suffix of metric "metricsuffix""#,
        ),
        (b"# UNIT m\n#EOF\n", "expected text in UNIT"),
        (
            b"a\t1\n#EOF\n",
            r#"expected value after metric, got "\t" ("INVALID") while parsing: "a\t""#,
        ),
        (
            b"a 1\t2\n#EOF\n",
            r#"strconv.ParseFloat: parsing "1\t2": invalid syntax while parsing: "a 1\t2""#,
        ),
        (
            b"a 1 2 \n#EOF\n",
            r#"expected next entry after timestamp, got " \n" ("INVALID") while parsing: "a 1 2 \n""#,
        ),
        (
            b"a 1 2 #\n#EOF\n",
            r##"expected next entry after timestamp, got " #\n" ("TIMESTAMP") while parsing: "a 1 2 #\n""##,
        ),
        (
            b"a 1 1z\n#EOF\n",
            r#"strconv.ParseFloat: parsing "1z": invalid syntax while parsing: "a 1 1z""#,
        ),
        (b"# EOF\na 1", "unexpected data after # EOF"),
        (b"# EOF\n\n", "unexpected data after # EOF"),
        (b"# EOFa 1", "unexpected data after # EOF"),
        (
            b"#\tTYPE c counter\n",
            r##"expected a valid start token, got "#\t" ("INVALID") while parsing: "#\t""##,
        ),
        (b"# TYPE c  counter\n", r#"invalid metric type " counter""#),
        (
            b"a 1 1 1\n# EOF\n",
            r#"expected next entry after timestamp, got " 1\n" ("TIMESTAMP") while parsing: "a 1 1 1\n""#,
        ),
        (
            b"a{,b=\"c\"} 1\n# EOF\n",
            r#"expected label name, got ",b" ("COMMA") while parsing: "a{,b""#,
        ),
        (
            b"a{b=\"c\"d=\"e\"} 1\n# EOF\n",
            r#"expected comma or brace close, got "d=" ("LNAME") while parsing: "a{b=\"c\"d=""#,
        ),
        (
            b"a{b=\"c\",,d=\"e\"} 1\n# EOF\n",
            r#"expected label name, got ",d" ("COMMA") while parsing: "a{b=\"c\",,d""#,
        ),
        (
            b"a{b=\"c\", d=\"e\"} 1\n# EOF\n",
            r#"expected label name, got " " ("INVALID") while parsing: "a{b=\"c\", ""#,
        ),
        (
            b"foo 0 1_2\n\n# EOF\n",
            r#"unsupported character in float while parsing: "foo 0 1_2""#,
        ),
        (
            b"c 1 # {aa=bb}\n# EOF\n",
            r#"expected label value, got "b" ("INVALID") while parsing: "c 1 # {aa=b""#,
        ),
        (
            b"c 1 # {aa=\"bb\"}\n# EOF\n",
            r#"expected value after exemplar labels, got "\n" ("INVALID") while parsing: "c 1 # {aa=\"bb\"}\n""#,
        ),
        (
            b"c 1 # {bb}",
            r#"expected equal, got "}" ("BCLOSE") while parsing: "c 1 # {bb}""#,
        ),
        (
            b"c 1 # {bb, a=\"dd\"}",
            r#"expected equal, got ", " ("COMMA") while parsing: "c 1 # {bb, ""#,
        ),
        (
            b"c 1 # {aa=\"bb\"} true",
            r#"strconv.ParseFloat: parsing "true": invalid syntax while parsing: "c 1 # {aa=\"bb\"} true""#,
        ),
        (
            b"{b=\"c\",} 1",
            r#"metric name not set while parsing: "{b=\"c\",} 1""#,
        ),
        (b"a 1 NaN", "invalid timestamp NaN"),
        (b"a 1 -Inf", "invalid timestamp -Inf"),
        (b"a 1 Inf", "invalid timestamp +Inf"),
        (b"h 1 # {aa=\"bb\"} 4 NaN", "invalid exemplar timestamp NaN"),
        (
            b"# comment\n# EOF\n",
            r##"expected a valid start token, got "# c" ("INVALID") while parsing: "# c""##,
        ),
        (
            b"# H",
            r##"expected a valid start token, got "# H" ("INVALID") while parsing: "# H""##,
        ),
    ] {
        let error = read(input, Format::OpenMetrics).unwrap_err();
        assert_eq!(error.message, message, "{}", String::from_utf8_lossy(input));
    }
}

#[test]
fn errors_name_the_line_and_stay_short() {
    let error = read(b"# HELP a b\n\na 1\nb x\n", Format::Text).unwrap_err();
    assert_eq!(error.line, 4);
    assert!(
        error.to_string().starts_with("line 4: strconv.ParseFloat"),
        "{error}"
    );
    let mut endless = b"a{b=\"".to_vec();
    endless.extend(std::iter::repeat_n(b'x', 1 << 20));
    let error = read(&endless, Format::Text).unwrap_err();
    assert!(error.message.len() < 500, "{}", error.message.len());
}

#[test]
fn the_format_follows_from_the_content_type() {
    let of = |content_type: &str| Format::of(Some(content_type), None);
    assert_eq!(
        of("text/plain; version=0.0.4; charset=utf-8"),
        Ok(Format::Text)
    );
    assert_eq!(
        of("application/openmetrics-text; version=1.0.0"),
        Ok(Format::OpenMetrics)
    );
    assert!(
        of("text/html")
            .unwrap_err()
            .contains("received unsupported Content-Type \"text/html\"")
    );
    assert!(
        Format::of(None, None)
            .unwrap_err()
            .contains("blank Content-Type")
    );
    assert_eq!(Format::of(None, Some(Format::Text)), Ok(Format::Text));
    assert_eq!(
        Format::of(Some("text/html"), Some(Format::OpenMetrics)),
        Ok(Format::OpenMetrics)
    );
}

#[test]
fn an_expected_series_is_taken_only_where_it_stands() {
    let input = b"a{b=\"c\"} 1\nab 2\na{b=\"c\"} 3\nab {x=\"y\"} 4\n";
    let mut parser = Parser::new(input, Format::Text);
    let mut seen = Vec::new();
    for expected in [&b"a{b=\"c\"}"[..], b"a", b"a{b=\"c\"}", b"ab"] {
        let Some(Entry::Series(sample)) = parser.next(expected).unwrap() else {
            panic!("no series");
        };
        seen.push((sample.series.to_vec(), sample.value, sample.expected));
    }
    assert_eq!(
        seen,
        [
            (b"a{b=\"c\"}".to_vec(), 1.0, true),
            (b"ab".to_vec(), 2.0, false),
            (b"a{b=\"c\"}".to_vec(), 3.0, true),
            (b"ab {x=\"y\"}".to_vec(), 4.0, false),
        ]
    );
}

/// Series, bits of the value, time.
type Read = (Vec<u8>, u64, Option<i64>);

/// Samples of an exposition: read with each series as the expectation for itself, or with none.
fn samples(input: &[u8], format: Format, hints: Option<&[Vec<u8>]>) -> Result<Vec<Read>, String> {
    let mut parser = Parser::new(input, format);
    let mut out = Vec::new();
    loop {
        let hint = hints.and_then(|hints| hints.get(out.len()));
        match parser.next(hint.map_or(&b""[..], Vec::as_slice)) {
            Ok(None) => return Ok(out),
            Err(error) => return Err(error.message),
            Ok(Some(Entry::Series(s))) => {
                out.push((s.series.to_vec(), s.value.to_bits(), s.timestamp_ms));
            }
            Ok(Some(_)) => {}
        }
    }
}

fn exposition_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b_total",
        "{",
        "}",
        "\"",
        "=",
        ",",
        " ",
        "  ",
        "\t",
        "\n",
        "\\",
        "\\\"",
        "1",
        "-2.5e3",
        "NaN",
        "a{b=\"c\"} 1\n",
        "a 1 5\n",
        "# HELP a x\n",
        "# TYPE a counter\n",
        "# UNIT a_s s\n",
        "# EOF\n",
        "#",
        "# {x=\"y\"} 1",
        "{\"a.b\",c=\"d\"} 2\n",
        "é",
        "\0",
        "\r",
        "0x1p3",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_input_panics_and_expectations_change_nothing(input in exposition_like(), raw in any::<Vec<u8>>()) {
        for format in [Format::Text, Format::OpenMetrics] {
            let _ = samples(&raw, format, None);
            let plain = samples(input.as_bytes(), format, None);
            if let Ok(found) = &plain {
                let hints: Vec<_> = found.iter().map(|(series, ..)| series.clone()).collect();
                prop_assert_eq!(&samples(input.as_bytes(), format, Some(&hints)), &plain);
                let mut reversed = hints;
                reversed.reverse();
                prop_assert_eq!(&samples(input.as_bytes(), format, Some(&reversed)), &plain);
            }
        }
    }

    #[test]
    fn what_is_written_is_read(
        labels in prop::collection::btree_map("[a-z_][a-z0-9_]{0,6}", ".{0,12}", 0..5),
        value in any::<f64>().prop_filter("number", |v| v.is_finite()),
        timestamp_ms in prop::option::of(0..i64::MAX),
    ) {
        let escape = |v: &str| v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let pairs: Vec<_> = labels.iter().map(|(n, v)| format!("{n}=\"{}\"", escape(v))).collect();
        let mut line = format!("m{{{}}} {value:e}", pairs.join(","));
        if let Some(t) = timestamp_ms {
            line.push_str(&format!(" {t}"));
        }
        let mut parser = Parser::new(line.as_bytes(), Format::Text);
        let Some(Entry::Series(sample)) = parser.next(b"").unwrap() else { panic!("no series") };
        prop_assert_eq!(sample.value.to_bits(), value.to_bits());
        prop_assert_eq!(sample.timestamp_ms, timestamp_ms);
        let read: Vec<_> = parser.labels().unwrap().split_off(1);
        prop_assert_eq!(read, labels.into_iter().collect::<Vec<_>>());
    }
}
